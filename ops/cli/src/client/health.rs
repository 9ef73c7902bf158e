use std::time::Duration;

use anyhow::Context;

/// How long a server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Fails unless a server is ready: it reaches the event log and the database.
pub(crate) async fn health(url: &str) -> anyhow::Result<()> {
    let url = format!("{}/health/ready", url.trim_end_matches('/'));
    let client = reqwest::Client::builder().timeout(TIMEOUT).build()?;
    let answer =
        client.get(&url).send().await.with_context(|| format!("{url} does not respond"))?;
    anyhow::ensure!(answer.status().is_success(), "{url}: {}", answer.status());
    Ok(())
}
