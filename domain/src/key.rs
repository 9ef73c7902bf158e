//! An API key: who may speak for a tenant, and how far.

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
        ClaimPurpose, KeyCensus, KeyQuota, KeyQuotaCommand, KeyQuotaEvent, KeyQuotaRejection, Place,
    },
    scope::Scope,
    state::{ActiveKey, KeptSecret, KeyState},
    terms::{GENERATIONS, Grant, KeyTerms, TermsRejection},
};

#[cfg(test)]
mod tests;
