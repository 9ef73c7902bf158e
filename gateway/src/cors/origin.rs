use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use url::Url;

/// An origin whose pages may call the API, as browsers send it, like `https://app.example.com`; or all of
/// them, `*`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum AllowedOrigin {
    /// Every origin.
    Any,
    /// This one, in the form in which browsers send it.
    Exact(String),
}

/// The text is no origin, and would match no page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no origin: one is a scheme, a host and perhaps a port, like `https://app.example.com` or \
     `http://localhost:3000`, without a path; `*` is all origins"
)]
pub struct BadOrigin(String);

impl FromStr for AllowedOrigin {
    type Err = BadOrigin;

    fn from_str(text: &str) -> Result<Self, BadOrigin> {
        match text {
            "*" => return Ok(Self::Any),
            // Of pages from files, and in sandboxed frames.
            "null" => return Ok(Self::Exact(text.to_owned())),
            _ => {}
        }
        let bad = || BadOrigin(text.to_owned());
        let url = Url::parse(text).map_err(|_| bad())?;
        let host = url.host_str().filter(|host| !host.is_empty() && !host.contains('*'));
        let is_bare = matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        let (Some(host), true) = (host, is_bare) else { return Err(bad()) };
        // A scheme's usual port is no part of an origin; `Url` leaves it out.
        let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
        Ok(Self::Exact(format!("{}://{host}{port}", url.scheme())))
    }
}

impl fmt::Display for AllowedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "*",
            Self::Exact(origin) => origin,
        })
    }
}

impl TryFrom<String> for AllowedOrigin {
    type Error = BadOrigin;

    fn try_from(text: String) -> Result<Self, BadOrigin> {
        text.parse()
    }
}

impl From<AllowedOrigin> for String {
    fn from(origin: AllowedOrigin) -> Self {
        origin.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_read_in_the_form_in_which_browsers_send_it() {
        for (text, expected) in [
            ("*", "*"),
            ("null", "null"),
            ("https://app.example.com", "https://app.example.com"),
            ("https://App.Example.com:443/", "https://app.example.com"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("capacitor://localhost", "capacitor://localhost"),
        ] {
            assert_eq!(
                text.parse().map(|it: AllowedOrigin| it.to_string()),
                Ok(expected.to_owned())
            );
        }
    }

    #[test]
    fn what_would_match_no_page_is_rejected() {
        for text in [
            "",
            "app.example.com",
            "localhost:3000",
            "https://",
            "https://*.example.com",
            "https://example.com/app",
            "https://example.com?x",
            "https://user@example.com",
            "//example.com",
        ] {
            assert!(text.parse::<AllowedOrigin>().is_err(), "{text}");
        }
    }
}
