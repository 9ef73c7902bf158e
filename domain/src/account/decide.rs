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

/// Whether an account may be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Standing {
    /// As its terms say.
    #[default]
    Open,
    /// It is being erased: nothing new is taken for it.
    Closing,
    /// It is erased: nothing is taken for it until it is opened anew.
    Erased,
}

/// Where an account stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountState {
    /// What it is entitled to.
    pub terms: AccountTerms,
    /// Whether it may be used.
    pub standing: Standing,
}

impl AccountState {
    /// How much it may have.
    pub fn limits(&self, tiers: &Tiers) -> Limits {
        self.terms.limits(tiers)
    }

    /// False while it is being erased and once it is.
    pub fn is_open(&self) -> bool {
        self.standing == Standing::Open
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
    /// Its erasure began: nothing new is taken for it from here on.
    #[serde(rename = "account.closing")]
    Closing {},
    /// Its data key is gone: nothing personal of it can be read any more.
    #[serde(rename = "account.erased")]
    Erased {},
    /// It begins anew, with another data key and the usual terms. Keys that were made before open
    /// nothing.
    #[serde(rename = "account.reopened")]
    Reopened {},
}

/// What may be asked of an account.
#[derive(Debug, Clone)]
pub enum AccountCommand {
    /// Change what is given, and leave the rest.
    Change {
        /// Another tier.
        tier: Option<Tier>,
        /// What is otherwise for this tenant.
        limits: Box<LimitsPatch>,
        /// From where its keys open.
        allowed_ips: Option<BTreeSet<Network>>,
    },
    /// Take nothing new for it: it is about to be erased.
    Close,
    /// Say that its data key is gone.
    Erase,
    /// Begin anew, with the data key that is in the vault already.
    Reopen,
}

/// The account decider.
#[derive(Debug)]
pub struct Account;

/// Why not; who may change it is asked at the door.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountRejection {
    /// It is being erased.
    #[error("the account is being erased; ask for its erasure again to finish it")]
    Closing,
    /// It is erased.
    #[error("the account is erased; an admin opens it anew with POST /accounts/{{tenant}}/reopen")]
    Erased,
}

impl Decider for Account {
    type Command = AccountCommand;
    type Event = AccountEvent;
    type State = AccountState;
    type Rejection = AccountRejection;

    const CATEGORY: &'static str = "account";

    fn decide(
        state: &AccountState,
        command: AccountCommand,
    ) -> Result<Vec<AccountEvent>, AccountRejection> {
        match (command, state.standing) {
            (AccountCommand::Change { .. } | AccountCommand::Reopen, Standing::Closing) => {
                Err(AccountRejection::Closing)
            }
            (AccountCommand::Change { .. }, Standing::Erased) => Err(AccountRejection::Erased),
            (AccountCommand::Change { tier, limits, allowed_ips }, Standing::Open) => {
                let have = &state.terms;
                let terms = AccountTerms {
                    tier: tier.or(have.tier),
                    limits: have.limits.with(&limits),
                    allowed_ips: allowed_ips.unwrap_or_else(|| have.allowed_ips.clone()),
                };
                Ok(if terms == *have { vec![] } else { vec![AccountEvent::Changed { terms }] })
            }
            (AccountCommand::Close, Standing::Open) => Ok(vec![AccountEvent::Closing {}]),
            (AccountCommand::Close, Standing::Closing | Standing::Erased)
            | (AccountCommand::Reopen, Standing::Open) => Ok(vec![]),
            // Also once more: what reads it then removes what came meanwhile.
            (AccountCommand::Erase, _) => Ok(vec![AccountEvent::Erased {}]),
            (AccountCommand::Reopen, Standing::Erased) => Ok(vec![AccountEvent::Reopened {}]),
        }
    }

    fn evolve(state: AccountState, event: &AccountEvent) -> AccountState {
        match event {
            AccountEvent::Changed { terms } => AccountState { terms: terms.clone(), ..state },
            AccountEvent::Closing {} => AccountState { standing: Standing::Closing, ..state },
            AccountEvent::Erased {} => AccountState { standing: Standing::Erased, ..state },
            AccountEvent::Reopened {} => AccountState::default(),
        }
    }
}
