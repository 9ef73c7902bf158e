//! An API key: who may speak for a tenant, and how far.

mod change;
mod decide;
mod event;
mod public;
mod ring;
mod scope;
mod state;
mod terms;

pub use self::{
    change::KeyChange,
    decide::{Key, KeyCommand, KeyRejection},
    event::KeyEvent,
    public::public,
    ring::{ClaimPurpose, KeyCensus, Place, Ring, RingCommand, RingEvent, RingRejection},
    scope::Scope,
    state::{ActiveKey, KeptSecret, KeyState},
    terms::{GENERATIONS, Grant, KeyTerms, TermsRejection},
};

#[cfg(test)]
mod tests;
