//! Provides a task's inputs: open files of the local store or fetched from the web, and objects of
//! remote stores, which are read by ranges. The child receives the descriptors.

use std::{fs::File, path::Path, time::Duration};

use ffapi_domain::{
    JobId, Tenant, Timestamp,
    account::{Account, Tiers},
    job::{EventMetadata, FailureCode, Job, JobView, OutputMissing},
    location::Location,
};
use ffapi_media::MediaError;
use ffapi_nats::until_available;
use ffapi_storage::{Egress, EgressError, NoSpace, Opened, Space, Storage, StorageError};
use url::Url;

use crate::{
    failure::{erased, failed},
    ranged_input::RangedInputs,
    scratch::Reservation,
};

/// The inputs of one task.
#[derive(Debug)]
pub(crate) struct TaskInputs<'a> {
    /// Their descriptors, in the order of the request.
    pub(crate) files: Vec<File>,
    /// Those that are read by ranges.
    pub(crate) ranged: RangedInputs,
    /// Bytes that were fetched from the web: the limit on their size is for all of them.
    fetched_bytes: u64,
    /// Where those are.
    scratch: &'a Reservation,
}

impl<'a> TaskInputs<'a> {
    /// No inputs yet; those from the web take space that is reserved.
    pub(crate) fn on(scratch: &'a Reservation) -> Self {
        Self { files: vec![], ranged: RangedInputs::default(), fetched_bytes: 0, scratch }
    }
}

/// The space for one more input from the web.
struct InputSpace<'a> {
    scratch: &'a Reservation,
    /// Bytes of the earlier ones.
    before: u64,
}

/// Bytes that are reserved at once for inputs of unknown length.
const STEP: u64 = 16 * 1024 * 1024;

impl Space for InputSpace<'_> {
    fn reserve(&self, bytes: u64) -> Result<(), NoSpace> {
        // If the disk cannot be asked, it cannot be written either.
        self.scratch.reserve_inputs(self.before.saturating_add(bytes)).unwrap_or(Ok(()))
    }

    fn take(&self, bytes: u64) -> Result<(), NoSpace> {
        let total = self.before.saturating_add(bytes);
        if !self.scratch.has(total) {
            let step = self.reserve(bytes.next_multiple_of(STEP));
            let taken = step.or_else(|_| self.reserve(bytes));
            if let Err(refused) = taken {
                if matches!(refused, NoSpace::Now { .. }) {
                    self.scratch.learn(total);
                }
                return Err(refused);
            }
        }
        self.scratch.record_fetched(total);
        Ok(())
    }
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
    /// Adds one input of a tenant; one from the web is downloaded to `to` first.
    pub(crate) async fn open(
        &self,
        commands: &ffapi_commands::Commands,
        tenant: &Tenant,
        location: &Location,
        to: &Path,
        inputs: &mut TaskInputs<'_>,
    ) -> Result<(), MediaError> {
        let file = match location {
            Location::Web(url) => self.fetch(commands, tenant, url, to, inputs).await?,
            Location::Upload(_) | Location::Object { .. } => {
                self.open_object(tenant, location, inputs).await?
            }
            Location::JobOutput { job, name } => {
                let made = find_output(commands, tenant, *job, name).await?;
                self.open_object(tenant, &made, inputs).await?
            }
        };
        inputs.files.push(file);
        Ok(())
    }

    /// Opens an object of a store.
    async fn open_object(
        &self,
        tenant: &Tenant,
        location: &Location,
        inputs: &mut TaskInputs<'_>,
    ) -> Result<File, MediaError> {
        match self.storage.of(tenant).open(location).await.map_err(cannot_open)? {
            Opened::File(file) => Ok(file),
            Opened::Remote(object) => {
                let served = inputs.ranged.serve(object);
                served.map_err(|error| failed(StorageError::from(error)))
            }
        }
    }

    /// Downloads an input from the web.
    async fn fetch(
        &self,
        commands: &ffapi_commands::Commands,
        tenant: &Tenant,
        url: &Url,
        to: &Path,
        inputs: &mut TaskInputs<'_>,
    ) -> Result<File, MediaError> {
        // The account's limits are needed; the caller can cancel while the log is unavailable.
        let account = loop {
            match commands.state::<Account>(tenant.as_str(), tenant.as_str()).await {
                Ok(account) => break account,
                Err(error) => tracing::warn!(%error, "cannot read the account; retrying"),
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        let max = account.limits(&self.tiers).max_file_bytes;
        let left = max.saturating_sub(inputs.fetched_bytes);
        let space = InputSpace { scratch: inputs.scratch, before: inputs.fetched_bytes };
        let size = self.egress.fetch(url, to, left, &space).await.map_err(|error| match error {
            EgressError::TooLarge { .. } if left < max => MediaError {
                code: FailureCode::InputTooLarge,
                message: format!("the inputs from the web have over {max} bytes together"),
            },
            error => fetch_failed(error),
        })?;
        inputs.fetched_bytes = inputs.fetched_bytes.saturating_add(size);
        File::open(to).map_err(|error| failed(StorageError::from(error)))
    }
}

/// Where an output of another job is.
async fn find_output(
    commands: &ffapi_commands::Commands,
    tenant: &Tenant,
    job: JobId,
    name: &str,
) -> Result<Location, MediaError> {
    // The caller can cancel while the log is unavailable.
    let id = job.to_string();
    let history = until_available(|| commands.history::<Job>(tenant.as_str(), &id)).await;
    let not_found = |message| MediaError { code: FailureCode::InputNotFound, message };
    let mut found = None;
    for (_, decision) in history.unwrap_or_default() {
        let at = Timestamp::from_millis(decision.at);
        let meta = EventMetadata { id: job, tenant: tenant.clone(), at, trace_id: None };
        let events = decision.events.iter();
        found = events.fold(found, |row, event| JobView::apply(row, event, &meta));
    }
    let found = found.ok_or_else(|| not_found(format!("there is no {job}")))?;
    let output = found.find_output(name).map_err(|missing| output_missing(&missing))?;
    let location = output.location.as_ref().and_then(|text| Location::try_from(text.clone()).ok());
    location.ok_or_else(|| erased("input"))
}

/// Maps a missing output of another job to a job's failure.
fn output_missing(missing: &OutputMissing) -> MediaError {
    let code = match missing {
        OutputMissing::NotYet(_) | OutputMissing::Ended { .. } => FailureCode::InputJobFailed,
        OutputMissing::Deleted(_)
        | OutputMissing::NoSuchName { .. }
        | OutputMissing::Put(_)
        | OutputMissing::NoOutputs { .. } => FailureCode::InputNotFound,
    };
    MediaError { code, message: missing.to_string() }
}

/// Maps the failure to open an object of a store to a job's failure.
fn cannot_open(error: StorageError) -> MediaError {
    let denied = matches!(error, StorageError::Denied(_));
    let error = failed(error);
    if denied { MediaError { code: FailureCode::InputForbidden, ..error } } else { error }
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
        EgressError::NoSpace(NoSpace::Now { .. }) => FailureCode::ScratchFull,
        EgressError::NoSpace(NoSpace::Share { .. }) => FailureCode::ResourceExhausted,
        EgressError::Unreachable { .. } => FailureCode::InputUnreachable,
        EgressError::Disk(_) => FailureCode::StorageUnavailable,
    };
    MediaError { code, message: error.to_string() }
}
