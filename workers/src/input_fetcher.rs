//! How a task's inputs come: opened in the tenant's storage, or fetched from the web. The child that
//! reads them is handed the open files.

use std::{fs::File, path::Path, time::Duration};

use ffapi_domain::{
    Tenant,
    account::{Account, Tiers},
    job::FailureCode,
    location::Location,
};
use ffapi_media::MediaError;
use ffapi_storage::{Egress, EgressError, Storage};

use crate::failure::failed;

/// What inputs come from, and how much of them.
#[derive(Debug, Clone)]
pub struct InputFetcher {
    /// What is kept here.
    pub storage: Storage,
    /// The way to the web.
    pub egress: Egress,
    /// How large an input from there may be.
    pub tiers: Tiers,
}

impl InputFetcher {
    /// Opens one input of a tenant's; what comes from the web is kept in `fetched` meanwhile.
    pub(crate) async fn open(
        &self,
        commands: &ffapi_commands::Commands,
        tenant: &Tenant,
        location: &Location,
        fetched: &Path,
    ) -> Result<File, MediaError> {
        let Location::Web(url) = location else {
            let storage = self.storage.of(tenant).map_err(failed)?;
            return storage.open_object(location).await.map_err(failed);
        };
        // Without an answer nothing is known of what the account may; whoever waits may call it off.
        let account = loop {
            match commands.state::<Account>(tenant.as_str(), tenant.as_str()).await {
                Ok(account) => break account,
                Err(error) => tracing::warn!(%error, "an account cannot be read yet"),
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        let max = account.limits(&self.tiers).max_file_bytes;
        self.egress.fetch(url, fetched, max).await.map_err(lost)?;
        File::open(fetched).map_err(|error| failed(error.into()))
    }
}

/// What the web says, as a job's failure.
fn lost(error: EgressError) -> MediaError {
    let code = match &error {
        EgressError::Closed { .. } => FailureCode::InputForbidden,
        EgressError::NoHost(_) | EgressError::Redirects(_) => FailureCode::InputNotFound,
        EgressError::Refused { status, .. } => match status.as_u16() {
            401 | 403 | 451 => FailureCode::InputForbidden,
            408 | 425 | 429 | 500..=599 => FailureCode::InputUnreachable,
            _ => FailureCode::InputNotFound,
        },
        EgressError::TooLarge { .. } => FailureCode::InputTooLarge,
        EgressError::Unreachable { .. } => FailureCode::InputUnreachable,
        EgressError::Disk(_) => FailureCode::StorageUnavailable,
    };
    MediaError { code, message: error.to_string() }
}
