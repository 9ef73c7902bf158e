//! An upload: bytes that arrived whole, and what is known of them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Decider, Personal};

/// What happened to an upload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum UploadEvent {
    /// Every byte is stored and synced.
    #[serde(rename = "upload.completed")]
    Completed {
        /// As the sender called it.
        #[serde(default)]
        file_name: Personal<String>,
        /// Bytes.
        size: u64,
        /// Hex digest.
        sha256: String,
        /// What a sandboxed look found it to be; none where no worker could be asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        media: Option<Personal<Value>>,
    },
    /// It was kept as long as uploads are kept, and is gone.
    #[serde(rename = "upload.expired")]
    Expired {},
}

/// What may be asked.
#[derive(Debug, Clone)]
pub enum UploadCommand {
    /// Record the arrival.
    Complete {
        /// As the sender called it.
        file_name: Personal<String>,
        /// Bytes.
        size: u64,
        /// Hex digest.
        sha256: String,
        /// What it is.
        media: Option<Personal<Value>>,
    },
    /// Say that it is gone.
    Expire,
}

/// Where it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum UploadState {
    /// Nothing arrived under this id.
    #[default]
    Unknown,
    /// It is there.
    Completed {
        /// Bytes.
        size: u64,
        /// Hex digest.
        sha256: String,
    },
    /// It was there.
    Expired,
}

/// The upload decider.
#[derive(Debug)]
pub struct Upload;

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UploadRejection {
    /// Other bytes stand under this id.
    #[error("this upload holds other bytes already")]
    OtherBytes,
}

impl Decider for Upload {
    type Command = UploadCommand;
    type Event = UploadEvent;
    type State = UploadState;
    type Rejection = UploadRejection;

    const CATEGORY: &'static str = "upload";

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
    fn bytes_that_arrived_are_recorded_once() {
        given::<Upload>([]).when(complete("aa")).then([completed("aa")]);
        given::<Upload>([completed("aa")]).when(complete("aa")).then_nothing();
    }

    #[test]
    fn other_bytes_never_take_its_place() {
        given::<Upload>([completed("aa")])
            .when(complete("bb"))
            .then_rejected(&UploadRejection::OtherBytes);
    }
}
