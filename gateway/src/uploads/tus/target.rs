use ffapi_domain::UploadId;

/// The path of all uploads.
pub(super) const UPLOADS: &str = "/api/v1/uploads";

/// What a path names.
pub(super) enum Target {
    All,
    One(UploadId),
}

/// What a path names; none if it is no upload.
pub(super) fn target(path: &str) -> Option<Target> {
    let rest = path.strip_prefix(UPLOADS)?;
    if rest.is_empty() {
        return Some(Target::All);
    }
    rest.strip_prefix('/')?.parse().ok().map(Target::One)
}
