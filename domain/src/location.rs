//! Where bytes are, as a user names it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use url::Url;

use crate::UploadId;

/// The backend that a bare path means.
pub const DEFAULT_BACKEND: &str = "local";

/// A place that bytes come from or go to: an upload, a path in a named backend, or a web address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Location {
    /// Bytes sent to `POST /uploads`.
    Upload(UploadId),
    /// `https://…` or `http://…`: an input of somebody else's.
    Web(Url),
    /// `backend://path`.
    Object {
        /// The scheme: which configured store.
        backend: String,
        /// Relative, normalised, `/`-separated.
        path: String,
    },
}

/// Why a text is no location.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLocation {
    /// Nothing there.
    #[error("a location is a path like `videos/a.mp4`, `local://videos/a.mp4` or `upload_…`")]
    Empty,
    /// `..`, an absolute path, an empty segment, a control character.
    #[error("a path is relative, without `..`, empty segments, backslashes or control characters")]
    UnsafePath,
    /// Not one that this build can reach.
    #[error(
        "`{0}://` is not available here; `local://`, `upload_…` and, for inputs, `https://` are"
    )]
    Scheme(String),
    /// No web address, or one that holds a name and a password.
    #[error("a web address looks like `https://host/film.mp4`, without a name or password in it")]
    Web,
    /// Looks like an upload's id and is none.
    #[error("an upload is named `upload_<32 hex digits>`, as POST /uploads answered it")]
    UploadId,
    /// Over 1024 bytes, or a web address of over 4096.
    #[error("a location is at most 1024 bytes long, a web address 4096")]
    TooLong,
}

impl Location {
    /// The last segment of a path; none for an upload.
    pub fn file_name(&self) -> Option<&str> {
        match self {
            Self::Upload(_) => None,
            Self::Web(url) => url.path_segments().and_then(Iterator::last),
            Self::Object { path, .. } => path.rsplit('/').next(),
        }
    }

    /// A file in it, taken as a folder; the name is one that we chose.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        match self {
            Self::Upload(_) | Self::Web(_) => self.clone(),
            Self::Object { backend, path } => {
                Self::Object { backend: backend.clone(), path: format!("{path}/{name}") }
            }
        }
    }

    /// A file beside it; the name is one that we chose.
    #[must_use]
    pub fn beside(&self, name: &str) -> Self {
        match self {
            Self::Upload(_) | Self::Web(_) => self.clone(),
            Self::Object { backend, path } => {
                let folder = path.rsplit_once('/').map(|(folder, _)| format!("{folder}/"));
                let path = format!("{}{name}", folder.unwrap_or_default());
                Self::Object { backend: backend.clone(), path }
            }
        }
    }

    /// As it is shown: what a web address asks for may be a signature that opens it.
    pub fn shown(&self) -> String {
        match self {
            Self::Web(url) if url.query().is_some() => {
                let mut bare = url.clone();
                bare.set_query(None);
                format!("{bare}?…")
            }
            Self::Upload(_) | Self::Web(_) | Self::Object { .. } => self.to_string(),
        }
    }

    /// The part of the name after its last dot, lower-cased.
    pub fn extension(&self) -> Option<String> {
        let (stem, extension) = self.file_name()?.rsplit_once('.')?;
        (!stem.is_empty()).then(|| extension.to_ascii_lowercase())
    }
}

fn safe_path(path: &str) -> bool {
    !path.is_empty()
        && !path.chars().any(|c| c.is_control() || c == '\\')
        && path.split('/').all(|s| !s.is_empty() && s != "." && s != ".." && s.len() <= 255)
        && !path.starts_with(".staging")
        && !path.starts_with(".uploads")
}

impl FromStr for Location {
    type Err = BadLocation;

    fn from_str(text: &str) -> Result<Self, BadLocation> {
        if text.is_empty() {
            return Err(BadLocation::Empty);
        }
        let is_web = ["http://", "https://"].iter().any(|scheme| {
            text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        });
        if text.len() > if is_web { 4096 } else { 1024 } {
            return Err(BadLocation::TooLong);
        }
        if is_web {
            return web(text);
        }
        if text.starts_with(UploadId::PREFIX) && !text.contains(['/', '.']) {
            return text.parse().map(Self::Upload).map_err(|_| BadLocation::UploadId);
        }
        let (backend, path) = match text.split_once("://") {
            Some((scheme, path)) => (scheme, path),
            None => (DEFAULT_BACKEND, text),
        };
        if backend != DEFAULT_BACKEND {
            return Err(BadLocation::Scheme(backend.to_owned()));
        }
        // One name for what looks the same, however its letters are put together.
        let path: String = path.nfc().collect();
        if !safe_path(&path) {
            return Err(BadLocation::UnsafePath);
        }
        Ok(Self::Object { backend: backend.to_owned(), path })
    }
}

fn web(text: &str) -> Result<Location, BadLocation> {
    let mut url: Url = text.parse().map_err(|_| BadLocation::Web)?;
    let open = url.username().is_empty() && url.password().is_none();
    if !open || !url.has_host() || text.chars().any(char::is_control) {
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
        }
    }
}

impl TryFrom<String> for Location {
    type Error = BadLocation;

    fn try_from(text: String) -> Result<Self, BadLocation> {
        text.parse()
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
    fn nothing_climbs_out_of_the_store() {
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
    fn a_name_is_one_however_its_letters_are_put_together() {
        let (one, two) = ("caf\u{e9} (1) [final].mp4", "cafe\u{301} (1) [final].mp4");
        assert_eq!(one.parse::<Location>(), two.parse::<Location>());
        for good in ["a b/c [d] (e) #1.mp4", "Фильм.mp4", "映画.mp4", "%2e%2e/a", "a..b"] {
            assert!(good.parse::<Location>().is_ok(), "{good}");
        }
        // Looks like two dots, and is a letter of its own; what would become two dots does not pass.
        assert!("\u{2025}/a".parse::<Location>().is_ok());
    }

    #[test]
    fn an_unknown_store_says_what_would_work() {
        let refusal = "ftp://host/a.mp4".parse::<Location>().unwrap_err();
        assert_eq!(refusal, BadLocation::Scheme("ftp".to_owned()));
        assert!(refusal.to_string().contains("local://"));
    }

    #[test]
    fn a_web_address_has_no_name_in_it_and_is_shown_without_its_signature() {
        let location: Location = "https://host/a/b.mp4?sig=secret#x".parse().unwrap();
        assert_eq!(location.to_string(), "https://host/a/b.mp4?sig=secret");
        assert_eq!(location.shown(), "https://host/a/b.mp4?…");
        assert_eq!(location.extension().as_deref(), Some("mp4"));
        for bad in ["https://u:p@host/a.mp4", "https://u@host/a", "https://", "https://a b/"] {
            assert_eq!(bad.parse::<Location>(), Err(BadLocation::Web), "{bad}");
        }
    }

    #[test]
    fn however_an_address_is_written_it_is_that_address() {
        for text in
            ["http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/", "http://127.1/"]
        {
            let location: Location = text.parse().unwrap();
            assert_eq!(location.to_string(), "http://127.0.0.1/");
        }
    }
}
