//! Playback URLs: `/api/v1/t/<token>/outputs/…` has the token in its path, so that the relative URLs of
//! playlists and manifests inherit it and every player works unchanged.

use poem::{
    Request,
    http::{Method, Uri, uri::PathAndQuery},
};

use crate::{
    auth::{CredentialStore, Token, TokenScope},
    clock,
};

/// The token in the path of a request.
#[derive(Debug, Clone)]
pub(crate) struct PathToken(pub(crate) String);

const PREFIX: &str = "/api/v1/t/";

/// The path under which the outputs that a token is for are served.
pub(crate) fn url(token: &str) -> String {
    format!("{PREFIX}{token}/outputs/")
}

/// The path to which the file is sent that a token is for.
pub(crate) fn upload_url(token: &str) -> String {
    format!("{PREFIX}{token}/upload")
}

/// The token in a URL or path that has one, whether in its path or its query; a token itself is returned
/// as it is.
pub(crate) fn token(text: &str) -> &str {
    let in_path = text.split_once(PREFIX).and_then(|(_, rest)| rest.split('/').next());
    let in_query = || {
        let (_, query) = text.split_once('?')?;
        query.split('&').find_map(|pair| pair.strip_prefix("token="))
    };
    in_path.or_else(in_query).unwrap_or(text)
}

/// Routes a request with a token in its path to what the token is for, as if it were in the query.
/// What is answered or recorded about the request does not contain it.
pub(crate) fn route(request: &mut Request, credentials: &CredentialStore) {
    let uri = request.uri();
    let Some((token, rest)) = uri.path().strip_prefix(PREFIX).and_then(|rest| rest.split_once('/'))
    else {
        return;
    };
    let valid = Token::read(token, credentials.peppers(), clock::now());
    let path = match valid.map(|token| token.scope) {
        Some(TokenScope::Outputs(job)) => format!("/api/v1/jobs/{job}/{rest}"),
        Some(TokenScope::Upload(_)) if rest == "upload" => "/api/v1/uploads".to_owned(),
        // The guard rejects it.
        _ => format!("{PREFIX}{rest}"),
    };
    let query = uri.query().map_or_else(String::new, |query| format!("&{query}"));
    // A path that was parsed before is one again.
    let path = format!("{path}?token={token}{query}").parse::<PathAndQuery>();
    let token = PathToken(token.to_owned());
    if let Ok(path) = path {
        *request.uri_mut() = Uri::from(path);
    }
    request.set_data(token);
}

/// The methods of the URL that a request was sent to, if it has a valid token in its path.
pub(crate) fn methods(request: &Request) -> Option<&'static [Method]> {
    request.data::<PathToken>()?;
    let path = request.uri().path();
    if path.starts_with(PREFIX) {
        return None;
    }
    Some(if path == "/api/v1/uploads" { &[Method::POST] } else { &[Method::GET, Method::HEAD] })
}

/// The path of the resource that a request is for.
pub(crate) fn path(request: &Request) -> &str {
    if request.data::<PathToken>().is_some() {
        return request.uri().path();
    }
    request.original_uri().path()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_of_a_url_is_found_wherever_it_is() {
        for text in [
            "ffview_a.b",
            "/api/v1/t/ffview_a.b/outputs/",
            "https://media.example/api/v1/t/ffview_a.b/outputs/hls/master.m3u8?download=",
            "http://[::1]:8080/api/v1/jobs/job_1/events?after=3&token=ffview_a.b&x=1",
        ] {
            assert_eq!(token(text), "ffview_a.b", "{text}");
        }
    }
}
