//! Pagination of lists: limits, cursors and links.

use std::{fmt::Display, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use poem::http::Uri;

use crate::problem::Problem;

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 200;

/// Validates the `limit` of a page.
pub(crate) fn limit(requested: Option<u32>, items: &str) -> Result<u32, Problem> {
    let limit = requested.unwrap_or(DEFAULT_LIMIT);
    if (1..=MAX_LIMIT).contains(&limit) {
        return Ok(limit);
    }
    let detail = format!("a page has 1 to {MAX_LIMIT} {items}");
    Err(Problem::parameter("limit", detail))
}

/// Decodes a cursor: the id of the last item of the page before.
pub(crate) fn after<I: FromStr>(cursor: Option<&str>) -> Result<Option<I>, Problem> {
    let read = |cursor: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        String::from_utf8(bytes).ok()?.parse().ok()
    };
    let bad = || {
        let detail = "take the cursor from `next_cursor` of the same list";
        Problem::parameter("cursor", detail)
    };
    cursor.map(|cursor| read(cursor).ok_or_else(bad)).transpose()
}

/// Truncates rows to a page and returns the cursor of the next one, if there are more. `rows` must
/// have been queried with a limit of one more.
pub(crate) fn cut<R, I: Display>(
    rows: &mut Vec<R>,
    limit: u32,
    id: impl Fn(&R) -> I,
) -> Option<String> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    rows.last().filter(|_| has_more).map(|row| URL_SAFE_NO_PAD.encode(id(row).to_string()))
}

/// The link to the page after a cursor, with the same filters.
pub(crate) fn next(uri: &Uri, cursor: &str) -> String {
    let query = uri.query().unwrap_or_default();
    let others = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    let cursor = format!("cursor={cursor}");
    let query: Vec<&str> = others.chain([cursor.as_str()]).collect();
    format!("{}?{}", uri.path(), query.join("&"))
}
