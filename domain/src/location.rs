//! Where a file is, as the API names it.

mod put;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use url::Url;

pub use self::put::{BadPut, PutTarget, ended_signature, signature_end};
use crate::{JobId, Tenant, UploadId};

/// The storage backend of a path without a scheme.
pub const DEFAULT_BACKEND: &str = "local";

/// The source or destination of a file: an upload, a path in a named backend, a URL, or an output of
/// a job.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Location {
    /// A file that was sent to `POST /uploads`.
    Upload(UploadId),
    /// `https://…` or `http://…`: an input on another server, or where an output is put.
    Web(Url),
    /// `backend://path`.
    Object {
        /// The scheme, which names a configured store.
        backend: String,
        /// Relative, normalised, `/`-separated path.
        path: String,
    },
    /// `job://<job id>/<name>`: an input that another job of the tenant makes.
    JobOutput {
        /// The job that makes it.
        job: JobId,
        /// The name under which that job lists it.
        name: String,
    },
}

/// The scheme of an output of another job; no store has this name.
pub const JOB_SCHEME: &str = "job";

/// Why a text is not a valid location.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLocation {
    /// The text is empty.
    #[error("a location is a path like `videos/a.mp4`, `local://videos/a.mp4` or `upload_…`")]
    Empty,
    /// `..`, an absolute path, an empty segment, or a control character.
    #[error("a path is relative, without `..`, empty segments, backslashes or control characters")]
    UnsafePath,
    /// A scheme that cannot be the name of a store.
    #[error(
        "`{0}://` names no store; a location is a path, `<store>://path`, `upload_…` or, for inputs, \
         `https://…`"
    )]
    Scheme(String),
    /// Not a valid URL, or one with credentials.
    #[error("a URL looks like `https://host/video.mp4`, without a user name or password")]
    Web,
    /// The text starts like an upload id but is not a valid one.
    #[error("an upload is named `upload_<32 hex digits>`, as POST /uploads answered it")]
    UploadId,
    /// The text starts with `job://` but names no output of a job.
    #[error(
        "an output of another job is named `job://job_<32 hex digits>/<name>`, with the name under \
         which that job lists it"
    )]
    JobOutput,
    /// Longer than 1024 bytes, or a URL longer than 4096.
    #[error("a location is at most 1024 bytes long, a URL 4096")]
    TooLong,
}

impl Location {
    /// The last segment of the path; `None` for an upload.
    pub fn file_name(&self) -> Option<&str> {
        match self {
            Self::Upload(_) => None,
            Self::Web(url) => url.path_segments().and_then(Iterator::last),
            Self::Object { path, .. } | Self::JobOutput { name: path, .. } => {
                path.rsplit('/').next()
            }
        }
    }

    /// A file inside this location, taken as a folder or a template; `name` is chosen by the server.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        match self {
            Self::Upload(_) | Self::JobOutput { .. } => self.clone(),
            Self::Web(template) => Self::Web(put::filled(template, name)),
            Self::Object { backend, path } => {
                Self::Object { backend: backend.clone(), path: format!("{path}/{name}") }
            }
        }
    }

    /// A file next to this one; `name` is chosen by the server.
    #[must_use]
    pub fn beside(&self, name: &str) -> Self {
        match self {
            Self::Upload(_) | Self::Web(_) | Self::JobOutput { .. } => self.clone(),
            Self::Object { backend, path } => {
                let folder = path.rsplit_once('/').map(|(folder, _)| format!("{folder}/"));
                let path = format!("{}{name}", folder.unwrap_or_default());
                Self::Object { backend: backend.clone(), path }
            }
        }
    }

    /// For display: without the query of a URL, which may be a signature that grants access.
    pub fn shown(&self) -> String {
        match self {
            Self::Web(url) => put::shown(url),
            Self::Upload(_) | Self::Object { .. } | Self::JobOutput { .. } => self.to_string(),
        }
    }

    /// The part of the file name after its last dot, in lower case.
    pub fn extension(&self) -> Option<String> {
        let (stem, extension) = self.file_name()?.rsplit_once('.')?;
        (!stem.is_empty()).then(|| extension.to_ascii_lowercase())
    }
}

fn is_safe_path(path: &str) -> bool {
    !path.is_empty()
        && !path.chars().any(|c| c.is_control() || c == '\\')
        && path.split('/').all(|s| !s.is_empty() && s != "." && s != ".." && s.len() <= 255)
        && !path.starts_with(".staging")
        && !path.starts_with(".uploads")
}

impl FromStr for Location {
    type Err = BadLocation;

    /// Parses what a client sends. It is stored in a normal form, which may be longer.
    fn from_str(text: &str) -> Result<Self, BadLocation> {
        let max = if is_web(text) { MAX_URL_BYTES } else { MAX_PATH_BYTES };
        if text.len() > max {
            return Err(BadLocation::TooLong);
        }
        let location = Self::read(text)?;
        let length = match &location {
            Self::Upload(_) => 0,
            Self::Web(url) => url.as_str().len(),
            Self::Object { path, .. } | Self::JobOutput { name: path, .. } => path.len(),
        };
        if matches!(&location, Self::Object { backend, .. } if backend == JOB_SCHEME) {
            return Err(BadLocation::JobOutput);
        }
        if length > max {
            return Err(BadLocation::TooLong);
        }
        if let Self::Web(url) = &location
            && url.host_str().is_some_and(|host| host.len() > MAX_HOST_BYTES)
        {
            return Err(BadLocation::Web);
        }
        // A text may be valid as written and not in its normal form.
        match Self::read(&location.to_string()) {
            Ok(again) if again == location => Ok(location),
            _ => Err(BadLocation::Web),
        }
    }
}

/// Maximum length of a location, in bytes.
const MAX_PATH_BYTES: usize = 1024;
const MAX_URL_BYTES: usize = 4096;
/// Maximum length of a host name by DNS, in bytes.
const MAX_HOST_BYTES: usize = 253;

/// Schemes that never name a store, so that a typing error is not taken for one.
const OTHER_SCHEMES: [&str; 6] = ["file", "ftp", "data", "upload", "rtmp", "rtsp"];

fn is_store_name(scheme: &str) -> bool {
    scheme.parse::<Tenant>().is_ok() && !OTHER_SCHEMES.contains(&scheme)
}

fn is_web(text: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| {
        text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    })
}

impl Location {
    /// Parses a location of any length: what was accepted once stays readable.
    fn read(text: &str) -> Result<Self, BadLocation> {
        if text.is_empty() {
            return Err(BadLocation::Empty);
        }
        if is_web(text) {
            return web(text);
        }
        if text.starts_with(UploadId::PREFIX) && !text.contains(['/', '.']) {
            return text.parse().map(Self::Upload).map_err(|_| BadLocation::UploadId);
        }
        let (backend, path) = match text.split_once("://") {
            Some((JOB_SCHEME, path)) if let Some(output) = job_output(path) => return Ok(output),
            Some((scheme, path)) => (scheme, path),
            None => (DEFAULT_BACKEND, text),
        };
        if !is_store_name(backend) {
            return Err(BadLocation::Scheme(backend.to_owned()));
        }
        let path: String = if backend == DEFAULT_BACKEND {
            // Unicode NFC, so that names that look the same are the same.
            path.nfc().collect()
        } else {
            // Objects of other origin may have any name.
            path.to_owned()
        };
        if !is_safe_path(&path) {
            return Err(BadLocation::UnsafePath);
        }
        Ok(Self::Object { backend: backend.to_owned(), path })
    }
}

fn job_output(path: &str) -> Option<Location> {
    let (job, name) = path.split_once('/')?;
    let job = job.parse().ok()?;
    is_safe_path(name).then(|| Location::JobOutput { job, name: name.to_owned() })
}

fn web(text: &str) -> Result<Location, BadLocation> {
    let mut url: Url = text.parse().map_err(|_| BadLocation::Web)?;
    let no_credentials = url.username().is_empty() && url.password().is_none();
    if !no_credentials || !url.has_host() || text.chars().any(char::is_control) {
        return Err(BadLocation::Web);
    }
    url.set_fragment(None);
    Ok(Location::Web(url))
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upload(id) => write!(f, "{id}"),
            Self::Web(url) => write!(f, "{url}"),
            Self::Object { backend, path } => write!(f, "{backend}://{path}"),
            Self::JobOutput { job, name } => write!(f, "{JOB_SCHEME}://{job}/{name}"),
        }
    }
}

impl TryFrom<String> for Location {
    type Error = BadLocation;

    fn try_from(text: String) -> Result<Self, BadLocation> {
        Self::read(&text)
    }
}

impl From<Location> for String {
    fn from(location: Location) -> Self {
        location.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_path_means_the_default_backend() {
        let location: Location = "out/a.MP4".parse().unwrap();
        assert_eq!(location.to_string(), "local://out/a.MP4");
        assert_eq!(location.extension().as_deref(), Some("mp4"));
    }

    #[test]
    fn path_traversal_is_rejected() {
        for bad in [
            "../a",
            "a/../../b",
            "/etc/passwd",
            "local:///etc/passwd",
            "a//b",
            "a/./b",
            "a\\b",
            "a\nb",
            ".staging/x",
            ".uploads/x",
        ] {
            assert_eq!(bad.parse::<Location>(), Err(BadLocation::UnsafePath), "{bad}");
        }
    }

    #[test]
    fn names_are_compared_in_unicode_nfc() {
        let (one, two) = ("caf\u{e9} (1) [final].mp4", "cafe\u{301} (1) [final].mp4");
        assert_eq!(one.parse::<Location>(), two.parse::<Location>());
        for good in ["a b/c [d] (e) #1.mp4", "Фильм.mp4", "映画.mp4", "%2e%2e/a", "a..b"] {
            assert!(good.parse::<Location>().is_ok(), "{good}");
        }
        // U+2025 looks like two dots but is a single character; only a real `..` is rejected.
        assert!("\u{2025}/a".parse::<Location>().is_ok());
    }

    #[test]
    fn every_accepted_location_can_be_read_again() {
        let part = "a".repeat(255);
        let path = format!("{part}/{part}/{part}/{part}");
        // In bytes, the stored form of a letter of a URL is three times as long.
        let url = |letters: usize| format!("https://example.com/{}", "\u{424}".repeat(letters));
        for text in [path, url(100), url(600)] {
            let location: Location = text.parse().unwrap();
            let stored = serde_json::to_string(&location).unwrap();
            assert_eq!(serde_json::from_str::<Location>(&stored).unwrap(), location);
        }
        let host: String = (0x4e00..0x4e00 + 700).filter_map(char::from_u32).collect();
        assert_eq!(format!("https://{host}/").parse::<Location>(), Err(BadLocation::Web));
        assert_eq!(url(700).parse::<Location>(), Err(BadLocation::TooLong));
        assert_eq!("a".repeat(1025).parse::<Location>(), Err(BadLocation::TooLong));
    }

    #[test]
    fn an_output_of_another_job_is_a_location() {
        let text = "job://job_0190a5b4c3d27e1f8a9b0c1d2e3f4a5b/v0/a.mp4";
        let location: Location = text.parse().unwrap();
        assert_eq!(location.to_string(), text);
        assert_eq!(location.file_name(), Some("a.mp4"));
        for bad in ["job://a.mp4", "job://job_1/a.mp4", &text.replace("v0", ".."), &text[..43]] {
            let error = bad.parse::<Location>().unwrap_err();
            assert!(matches!(error, BadLocation::JobOutput | BadLocation::UnsafePath), "{bad}");
        }
    }

    #[test]
    fn a_scheme_that_names_no_store_is_rejected_with_what_is_possible() {
        let error = "ftp://host/a.mp4".parse::<Location>().unwrap_err();
        assert_eq!(error, BadLocation::Scheme("ftp".to_owned()));
        assert!(error.to_string().contains("<store>://path"), "{error}");
    }

    #[test]
    fn a_url_has_no_credentials_and_is_shown_without_its_query() {
        let location: Location = "https://host/a/b.mp4?sig=secret#x".parse().unwrap();
        assert_eq!(location.to_string(), "https://host/a/b.mp4?sig=secret");
        assert_eq!(location.shown(), "https://host/a/b.mp4?…");
        assert_eq!(location.extension().as_deref(), Some("mp4"));
        for bad in ["https://u:p@host/a.mp4", "https://u@host/a", "https://", "https://a b/"] {
            assert_eq!(bad.parse::<Location>(), Err(BadLocation::Web), "{bad}");
        }
    }

    #[test]
    fn ip_addresses_in_urls_are_normalised() {
        for text in
            ["http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/", "http://127.1/"]
        {
            let location: Location = text.parse().unwrap();
            assert_eq!(location.to_string(), "http://127.0.0.1/");
        }
    }
}
