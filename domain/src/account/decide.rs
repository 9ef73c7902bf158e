use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Limits, LimitsPatch, Tier, Tiers};
use crate::{Decider, Network};

/// What a tenant is entitled to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountTerms {
    /// None for the usual one.
    #[serde(default)]
    pub tier: Option<Tier>,
    /// What is otherwise for this tenant.
    #[serde(default)]
    pub limits: LimitsPatch,
    /// Its keys open from these addresses only; from everywhere if there is none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allowed_ips: BTreeSet<Network>,
}

impl AccountTerms {
    /// How much that is.
    pub fn limits(&self, tiers: &Tiers) -> Limits {
        tiers.of(self.tier.unwrap_or(tiers.usual)).with(&self.limits)
    }
}

/// What happened to an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccountEvent {
    /// It has these terms from now on.
    #[serde(rename = "account.changed")]
    Changed {
        /// All of them.
        terms: AccountTerms,
    },
    /// Its data key is gone: nothing personal of it can be read any more.
    #[serde(rename = "account.erased")]
    Erased {},
}

/// What may be asked of an account.
#[derive(Debug, Clone)]
pub enum AccountCommand {
    /// Change what is given, and leave the rest.
    Change {
        /// Another tier.
        tier: Option<Tier>,
        /// What is otherwise for this tenant.
        limits: LimitsPatch,
        /// From where its keys open.
        allowed_ips: Option<BTreeSet<Network>>,
    },
    /// Say that its data key is gone.
    Erase,
}

/// The account decider.
#[derive(Debug)]
pub struct Account;

/// Why not: an account never refuses; who may change it is asked at the door.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountRejection {}

impl Decider for Account {
    type Command = AccountCommand;
    type Event = AccountEvent;
    type State = AccountTerms;
    type Rejection = AccountRejection;

    const CATEGORY: &'static str = "account";

    fn decide(
        state: &AccountTerms,
        command: AccountCommand,
    ) -> Result<Vec<AccountEvent>, AccountRejection> {
        let AccountCommand::Change { tier, limits, allowed_ips } = command else {
            return Ok(vec![AccountEvent::Erased {}]);
        };
        let terms = AccountTerms {
            tier: tier.or(state.tier),
            limits: state.limits.with(&limits),
            allowed_ips: allowed_ips.unwrap_or_else(|| state.allowed_ips.clone()),
        };
        if terms == *state { Ok(vec![]) } else { Ok(vec![AccountEvent::Changed { terms }]) }
    }

    fn evolve(state: AccountTerms, event: &AccountEvent) -> AccountTerms {
        match event {
            AccountEvent::Changed { terms } => terms.clone(),
            AccountEvent::Erased {} => state,
        }
    }
}
