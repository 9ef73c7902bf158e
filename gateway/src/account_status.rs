//! Whether requests for an account are accepted: not from the moment its erasure begins until an
//! admin reopens it.

use ffapi_domain::{Tenant, account::AccountStatus};

use crate::{
    problem::{Kind, Problem},
    state::Gateway,
};

impl Gateway {
    /// Rejects requests for an account that is being erased or is erased, by this gateway's current
    /// copy of the account.
    pub(crate) fn must_be_open(&self, tenant: &Tenant) -> Result<(), Problem> {
        let detail = match self.credentials.account(tenant).state.standing {
            AccountStatus::Open => return Ok(()),
            AccountStatus::Closing => {
                format!("the account {tenant} is being erased and accepts no requests")
            }
            AccountStatus::Erased => format!(
                "the account {tenant} is erased; an admin can reopen it with \
                 POST /accounts/{tenant}/reopen"
            ),
        };
        Err(Problem::new(Kind::Gone, detail))
    }

    /// The same after reading everything that is in the log now.
    pub(crate) async fn must_still_be_open(&self, tenant: &Tenant) -> Result<(), Problem> {
        self.credentials.catch_up(self.commands.log()).await?;
        self.must_be_open(tenant)
    }

    /// The problem if the account was closed meanwhile, and the request just accepted must be
    /// undone. An unavailable log is no reason to undo it.
    pub(crate) async fn has_closed(&self, tenant: &Tenant) -> Option<Problem> {
        if self.credentials.catch_up(self.commands.log()).await.is_err() {
            tracing::debug!("the log is unavailable; the account's status may be out of date");
        }
        self.must_be_open(tenant).err()
    }
}
