use domain::dispatch::Release;

/// The task's name in the queue: one message a job and attempt, whoever offers it.
pub(crate) fn name(release: &Release) -> String {
    format!("{}.{}.{}", release.tenant, release.job, release.attempt)
}

/// The task's body.
pub(crate) fn encode(release: &Release) -> Vec<u8> {
    serde_json::to_vec(release).unwrap_or_default()
}

pub(crate) fn decode(bytes: &[u8]) -> Option<Release> {
    serde_json::from_slice(bytes).ok()
}
