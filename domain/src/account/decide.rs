use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Limits, LimitsPatch, Tier, Tiers};
use crate::{Category, Decider, Network};

/// What a tenant is entitled to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountTerms {
    /// The tier; `None` for the default one.
    #[serde(default)]
    pub tier: Option<Tier>,
    /// Limits that override the tier's for this tenant.
    #[serde(default)]
    pub limits: LimitsPatch,
    /// Its keys are only accepted from these addresses; from any address if empty.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allowed_ips: BTreeSet<Network>,
}

impl AccountTerms {
    /// The effective limits.
    pub fn limits(&self, tiers: &Tiers) -> Limits {
        tiers.of(self.tier.unwrap_or(tiers.usual)).with(&self.limits)
    }
}

/// Whether an account may be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AccountStatus {
    /// It may be used according to its terms.
    #[default]
    Open,
    /// It is being erased and accepts nothing new.
    Closing,
    /// It is erased and accepts nothing until it is reopened.
    Erased,
}

/// State of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountState {
    /// What it is entitled to.
    pub terms: AccountTerms,
    /// Whether it may be used.
    pub standing: AccountStatus,
}

impl AccountState {
    /// The effective limits.
    pub fn limits(&self, tiers: &Tiers) -> Limits {
        self.terms.limits(tiers)
    }

    /// False while it is being erased and once it is.
    pub fn is_open(&self) -> bool {
        self.standing == AccountStatus::Open
    }
}

/// What happened to an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccountEvent {
    /// Its terms changed.
    #[serde(rename = "account.changed")]
    Changed {
        /// The complete new terms.
        terms: AccountTerms,
    },
    /// Its erasure started: it accepts nothing new from here on.
    #[serde(rename = "account.closing")]
    Closing {},
    /// Its data key was deleted: none of its personal data can be read any more.
    #[serde(rename = "account.erased")]
    Erased {},
    /// It was reopened, with another data key and the default terms. Keys that were created before
    /// are not accepted any more.
    #[serde(rename = "account.reopened")]
    Reopened {},
}

/// A command for an account.
#[derive(Debug, Clone)]
pub enum AccountCommand {
    /// Change the given values and keep the others.
    Change {
        /// Another tier.
        tier: Option<Tier>,
        /// Limits that override the tier's for this tenant.
        limits: Box<LimitsPatch>,
        /// The addresses that its keys are accepted from.
        allowed_ips: Option<BTreeSet<Network>>,
    },
    /// Accept nothing new: it is about to be erased.
    Close,
    /// Record that its data key was deleted.
    Erase,
    /// Reopen it, with the new data key that is already in the vault.
    Reopen,
}

/// The account decider.
#[derive(Debug)]
pub struct Account;

/// Why an account command is rejected; permissions are checked by the gateway.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountRejection {
    /// The account is being erased.
    #[error("the account is being erased; repeat the erasure request to finish it")]
    Closing,
    /// The account is erased.
    #[error("the account is erased; an admin can reopen it with POST /accounts/{{tenant}}/reopen")]
    Erased,
}

impl Decider for Account {
    type Command = AccountCommand;
    type Event = AccountEvent;
    type State = AccountState;
    type Rejection = AccountRejection;

    const CATEGORY: &'static str = Category::Account.as_str();

    fn decide(
        state: &AccountState,
        command: AccountCommand,
    ) -> Result<Vec<AccountEvent>, AccountRejection> {
        match (command, state.standing) {
            (AccountCommand::Change { .. } | AccountCommand::Reopen, AccountStatus::Closing) => {
                Err(AccountRejection::Closing)
            }
            (AccountCommand::Change { .. }, AccountStatus::Erased) => Err(AccountRejection::Erased),
            (AccountCommand::Change { tier, limits, allowed_ips }, AccountStatus::Open) => {
                let current = &state.terms;
                let terms = AccountTerms {
                    tier: tier.or(current.tier),
                    limits: current.limits.with(&limits),
                    allowed_ips: allowed_ips.unwrap_or_else(|| current.allowed_ips.clone()),
                };
                Ok(if terms == *current { vec![] } else { vec![AccountEvent::Changed { terms }] })
            }
            (AccountCommand::Close, AccountStatus::Open) => Ok(vec![AccountEvent::Closing {}]),
            (AccountCommand::Close, AccountStatus::Closing | AccountStatus::Erased)
            | (AccountCommand::Reopen, AccountStatus::Open) => Ok(vec![]),
            // Repeatable: readers of the repeated event delete what was written meanwhile.
            (AccountCommand::Erase, _) => Ok(vec![AccountEvent::Erased {}]),
            (AccountCommand::Reopen, AccountStatus::Erased) => Ok(vec![AccountEvent::Reopened {}]),
        }
    }

    fn evolve(state: AccountState, event: &AccountEvent) -> AccountState {
        match event {
            AccountEvent::Changed { terms } => AccountState { terms: terms.clone(), ..state },
            AccountEvent::Closing {} => AccountState { standing: AccountStatus::Closing, ..state },
            AccountEvent::Erased {} => AccountState { standing: AccountStatus::Erased, ..state },
            AccountEvent::Reopened {} => AccountState::default(),
        }
    }
}
