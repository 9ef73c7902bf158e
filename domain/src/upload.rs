//! An upload: a file that was received completely, and what was found in it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Category, Decider, Personal};

/// What happened to an upload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum UploadEvent {
    /// All bytes were stored and synced.
    #[serde(rename = "upload.completed")]
    Completed {
        /// File name as the client sent it.
        #[serde(default)]
        file_name: Personal<String>,
        /// Size in bytes.
        size: u64,
        /// SHA-256 as a hex digest.
        sha256: String,
        /// Result of the sandboxed probe; `None` if no worker could be asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        media: Option<Personal<Value>>,
    },
    /// The upload was deleted at the end of its retention.
    #[serde(rename = "upload.expired")]
    Expired {},
}

/// A command for an upload.
#[derive(Debug, Clone)]
pub enum UploadCommand {
    /// Record a completed upload.
    Complete {
        /// File name as the client sent it.
        file_name: Personal<String>,
        /// Size in bytes.
        size: u64,
        /// SHA-256 as a hex digest.
        sha256: String,
        /// Result of the sandboxed probe.
        media: Option<Personal<Value>>,
    },
    /// Record that it was deleted at the end of its retention.
    Expire,
}

/// State of an upload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum UploadState {
    /// No upload has this id.
    #[default]
    Unknown,
    /// The upload is stored.
    Completed {
        /// Size in bytes.
        size: u64,
        /// SHA-256 as a hex digest.
        sha256: String,
    },
    /// The upload was deleted.
    Expired,
}

/// The upload decider.
#[derive(Debug)]
pub struct Upload;

/// Why an upload command is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UploadRejection {
    /// The id belongs to an upload with other content.
    #[error("the upload exists with other content")]
    OtherBytes,
}

impl Decider for Upload {
    type Command = UploadCommand;
    type Event = UploadEvent;
    type State = UploadState;
    type Rejection = UploadRejection;

    const CATEGORY: &'static str = Category::Upload.as_str();

    fn decide(
        state: &UploadState,
        command: UploadCommand,
    ) -> Result<Vec<UploadEvent>, UploadRejection> {
        let UploadCommand::Complete { file_name, size, sha256, media } = command else {
            return Ok(match state {
                UploadState::Completed { .. } => vec![UploadEvent::Expired {}],
                UploadState::Unknown | UploadState::Expired => vec![],
            });
        };
        match state {
            UploadState::Unknown => {
                Ok(vec![UploadEvent::Completed { file_name, size, sha256, media }])
            }
            UploadState::Completed { sha256: have, .. } if *have == sha256 => Ok(vec![]),
            UploadState::Completed { .. } | UploadState::Expired => {
                Err(UploadRejection::OtherBytes)
            }
        }
    }

    fn evolve(_: UploadState, event: &UploadEvent) -> UploadState {
        match event {
            UploadEvent::Completed { size, sha256, .. } => {
                UploadState::Completed { size: *size, sha256: sha256.clone() }
            }
            UploadEvent::Expired {} => UploadState::Expired,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::given;

    fn complete(sha256: &str) -> UploadCommand {
        UploadCommand::Complete {
            file_name: Personal::Clear("a.mp4".to_owned()),
            size: 3,
            sha256: sha256.to_owned(),
            media: None,
        }
    }

    fn completed(sha256: &str) -> UploadEvent {
        UploadEvent::Completed {
            file_name: Personal::Clear("a.mp4".to_owned()),
            size: 3,
            sha256: sha256.to_owned(),
            media: None,
        }
    }

    #[test]
    fn a_completed_upload_is_recorded_once() {
        given::<Upload>([]).when(complete("aa")).then([completed("aa")]);
        given::<Upload>([completed("aa")]).when(complete("aa")).then_nothing();
    }

    #[test]
    fn an_upload_is_never_replaced_by_other_content() {
        given::<Upload>([completed("aa")])
            .when(complete("bb"))
            .then_rejected(&UploadRejection::OtherBytes);
    }
}
