//! An account: what a tenant is entitled to. Its keys narrow it and never widen it.

mod decide;
mod limits;
mod tier;

pub use self::{
    decide::{
        Account, AccountCommand, AccountEvent, AccountRejection, AccountState, AccountTerms,
        Standing,
    },
    limits::{Limits, LimitsPatch},
    tier::{Tier, Tiers},
};

#[cfg(test)]
mod tests;
