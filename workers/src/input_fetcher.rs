//! Provides a task's inputs as open files: from the tenant's storage, or fetched from the web. The
//! child that reads them receives the file descriptors.

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

/// The inputs from the web that one task has fetched: the limit on their size is for all of them.
#[derive(Debug, Default)]
pub(crate) struct FetchedInputs {
    bytes: u64,
}

/// Where inputs come from, and the limits on their size.
#[derive(Debug, Clone)]
pub struct InputFetcher {
    /// The store of uploads and outputs.
    pub storage: Storage,
    /// The HTTP client for inputs on the web.
    pub egress: Egress,
    /// Account tiers: they limit the size of the inputs from the web.
    pub tiers: Tiers,
}

impl InputFetcher {
    /// Opens one input of a tenant; one from the web is downloaded to `to` first.
    pub(crate) async fn open(
        &self,
        commands: &ffapi_commands::Commands,
        tenant: &Tenant,
        location: &Location,
        to: &Path,
        fetched: &mut FetchedInputs,
    ) -> Result<File, MediaError> {
        let Location::Web(url) = location else {
            let storage = self.storage.of(tenant).map_err(failed)?;
            return storage.open_object(location).await.map_err(failed);
        };
        // The account's limits are needed; the caller can cancel while the log is unavailable.
        let account = loop {
            match commands.state::<Account>(tenant.as_str(), tenant.as_str()).await {
                Ok(account) => break account,
                Err(error) => tracing::warn!(%error, "cannot read the account; retrying"),
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        let max = account.limits(&self.tiers).max_file_bytes;
        let left = max.saturating_sub(fetched.bytes);
        let size = self.egress.fetch(url, to, left).await.map_err(|error| match error {
            EgressError::TooLarge { .. } if left < max => MediaError {
                code: FailureCode::InputTooLarge,
                message: format!("the inputs from the web have over {max} bytes together"),
            },
            error => fetch_failed(error),
        })?;
        fetched.bytes = fetched.bytes.saturating_add(size);
        File::open(to).map_err(|error| failed(error.into()))
    }
}

/// Maps a failed download to a job's failure.
fn fetch_failed(error: EgressError) -> MediaError {
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
