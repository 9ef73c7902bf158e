use ffapi_domain::{Personal, upload::UploadEvent};

use super::{
    Samples,
    values::{personal, text},
};

impl Samples for UploadEvent {
    fn after(event: Option<&Self>) -> Option<Self> {
        Some(match event {
            None => Self::Completed {
                file_name: personal("a.mp4"),
                size: 7,
                sha256: text("00"),
                media: Some(Personal::Clear([("container", "mp4")].into_iter().collect())),
            },
            Some(Self::Completed { .. }) => Self::Expired {},
            Some(Self::Expired {}) => return None,
        })
    }

    fn sparse() -> Vec<Self> {
        let (file_name, sha256) = (Personal::Erased, text("00"));
        vec![Self::Completed { file_name, size: 7, sha256, media: None }]
    }
}
