//! What is stored of an upload in parts besides its parts.

use std::time::Duration;

use bytes::Bytes;
use ffapi_domain::Timestamp;
use ffapi_storage::PartialUpload;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    http_date::http_date,
    problem::{Kind, Problem},
};

/// How long an upload is kept if nothing is added to it.
pub(crate) const LIFETIME: Duration = Duration::from_hours(24);
/// How long a request stores parts until storage is held anew.
pub(super) const RENEWAL: Duration = Duration::from_hours(1);
/// How long an upload that has expired may stay in the store.
const DELETION: Duration = Duration::from_hours(2);

/// What its creator said about an upload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Description {
    /// Size in bytes; none until the client knows it.
    pub(super) length: Option<u64>,
    /// `Upload-Metadata` as it was sent.
    pub(super) metadata: Option<String>,
    /// True if it is only a part of a file, for `Upload-Concat: final`.
    pub(super) is_part: bool,
    /// When it was last begun or continued, in milliseconds since 1970.
    pub(super) touched: u64,
    /// The request that continued it last: an earlier one that is still running stores nothing more, so that
    /// the parts of several never overlap.
    #[serde(default)]
    pub(super) writer: Option<Uuid>,
}

impl Description {
    pub(super) fn decode(bytes: &Bytes) -> Result<Self, Problem> {
        let damaged = |error: serde_json::Error| Problem::new(Kind::Internal, error.to_string());
        serde_json::from_slice(bytes).map_err(damaged)
    }

    pub(super) fn encode(&self) -> Result<Bytes, Problem> {
        let failed = |error: serde_json::Error| Problem::new(Kind::Internal, error.to_string());
        serde_json::to_vec(self).map(Bytes::from).map_err(failed)
    }

    /// When the upload expires, as a header has it.
    pub(super) fn expires(&self) -> String {
        http_date(Timestamp::from_millis(self.touched).plus(LIFETIME))
    }

    /// The time until which storage is held for it: that of its last part, and until this is deleted.
    pub(super) fn held_until(&self) -> Timestamp {
        Timestamp::from_millis(self.touched).plus(RENEWAL).plus(LIFETIME).plus(DELETION)
    }

    /// True if this is its whole size.
    pub(super) fn is_complete_at(&self, size: u64) -> bool {
        self.length == Some(size)
    }
}

/// Where the client continues. If all bytes are there and the file is not recorded yet, the
/// last part is wanted once more: a client that reads the whole length believes that it is done.
pub(super) fn offset(description: &Description, partial: &PartialUpload) -> u64 {
    let size = partial.size();
    if description.is_complete_at(size) && !description.is_part {
        partial.size_without_last()
    } else {
        size
    }
}
