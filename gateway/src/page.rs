use poem::http::Uri;

/// The link to the page behind a cursor, with the same filters.
pub(crate) fn next(uri: &Uri, cursor: &str) -> String {
    let query = uri.query().unwrap_or_default();
    let others = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    let cursor = format!("cursor={cursor}");
    let query: Vec<&str> = others.chain([cursor.as_str()]).collect();
    format!("{}?{}", uri.path(), query.join("&"))
}
