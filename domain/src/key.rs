//! An API key: authenticates a tenant's client, with scopes and limits.

mod change;
mod decide;
mod event;
mod public;
mod quota;
mod scope;
mod state;
mod terms;

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
};

#[cfg(test)]
mod tests;
