//! An account: what a tenant is entitled to. Its keys can narrow this, never widen it.

mod decide;
mod limits;
mod tier;

pub use self::{
    decide::{
        Account, AccountCommand, AccountEvent, AccountRejection, AccountState, AccountStatus,
        AccountTerms,
    },
    limits::{Limits, LimitsPatch},
    tier::{Tier, Tiers},
};

#[cfg(test)]
mod tests;
