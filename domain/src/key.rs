//! An API key: authenticates a tenant's client, with scopes and limits.

mod change;
mod decide;
mod event;
mod public;
mod quota;
mod scope;
mod state;
mod terms;
mod token;

pub use self::{
    change::KeyChange,
    decide::{Key, KeyCommand, KeyRejection},
    event::KeyEvent,
    public::public,
    quota::{
        ClaimPurpose, KeyCensus, KeyQuota, KeyQuotaCommand, KeyQuotaEvent, KeyQuotaRejection,
        KeySlot,
    },
    scope::Scope,
    state::{ActiveKey, KeyState, StoredSecret},
    terms::{Grant, KeyTerms, MAX_KEY_GENERATIONS, TermsRejection},
    token::{MAX_REVOKED_TOKENS, TokenId},
};

#[cfg(test)]
mod tests;
