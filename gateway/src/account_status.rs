//! Whether anything is taken for an account: nothing, from the moment its erasure begins until an admin
//! opens it anew.

use ffapi_domain::{Tenant, account::Standing};

use crate::{
    problem::{Kind, Problem},
    state::Gateway,
};

impl Gateway {
    /// Refuses what is wanted of an account that is being erased or is erased, as far as this gateway
    /// knows by now.
    pub(crate) fn must_be_open(&self, tenant: &Tenant) -> Result<(), Problem> {
        let detail = match self.directory.account(tenant).state.standing {
            Standing::Open => return Ok(()),
            Standing::Closing => {
                format!("the account {tenant} is being erased; nothing is taken for it any more")
            }
            Standing::Erased => format!(
                "the account {tenant} is erased; an admin opens it anew with \
                 POST /accounts/{tenant}/reopen"
            ),
        };
        Err(Problem::new(Kind::Gone, detail))
    }

    /// The same, with all that the log holds by now.
    pub(crate) async fn must_still_be_open(&self, tenant: &Tenant) -> Result<(), Problem> {
        self.directory.catch_up(self.commands.log()).await?;
        self.must_be_open(tenant)
    }

    /// Why what was just taken is to be undone: the account closed meanwhile. No answer from the log is
    /// no reason to undo anything.
    pub(crate) async fn has_closed(&self, tenant: &Tenant) -> Option<Problem> {
        if self.directory.catch_up(self.commands.log()).await.is_err() {
            tracing::debug!("what the log holds by now is not known");
        }
        self.must_be_open(tenant).err()
    }
}
