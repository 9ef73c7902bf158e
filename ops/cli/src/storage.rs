use std::io::Write;

use anyhow::bail;
use ffapi_commands::LaterOutputs;
use ffapi_domain::{
    Timestamp,
    job::{JobView, OutputFile},
    location::Location,
};
use ffapi_projections::job_detail::{self, ExpiredOutputs};
use ffapi_storage::{RetryPolicy, StagedJob, Storage, StorageError, TenantStorage, Total};
use ffapi_workers::Retention;
use futures::TryStreamExt;
use sha2::{Digest, Sha256};

use crate::{
    arguments::StorageVerb,
    config::Config,
    roles::{self, AppContext},
};

/// Jobs that are read at a time.
const PAGE_SIZE: u32 = 20;

/// Shows, checks or cleans up the stores.
pub(crate) async fn run(config: &Config, verb: &StorageVerb) -> anyhow::Result<()> {
    let storage = roles::storage(config, RetryPolicy::Work)?;
    match verb {
        StorageVerb::Usage => usage(&storage).await,
        StorageVerb::Verify { hash } => {
            let check = if *hash { Check::Contents } else { Check::Size };
            verify(config, &storage, check).await
        }
        StorageVerb::Gc { dry_run: true } => {
            let context = AppContext::new(config).await?;
            let found = list_garbage(&context, &storage).await?;
            Ok(writeln!(std::io::stdout(), "{found} would be deleted")?)
        }
        StorageVerb::Gc { dry_run: false } => {
            let context = AppContext::new(config).await?;
            let found = list_garbage(&context, &storage).await?;
            let AppContext { commands, database, .. } = context;
            let retention = Retention::new(commands, database, storage, config.retention.clone());
            retention.collect_garbage().await.map_err(|error| anyhow::anyhow!("{error}"))?;
            Ok(writeln!(std::io::stdout(), "{found} were deleted")?)
        }
    }
}

/// What of an output is compared with the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    Size,
    /// The size, and the hash of the contents.
    Contents,
}

async fn usage(storage: &Storage) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{:<16} {:<20} {:>24} {:>24} {:>24}",
        "store", "tenant", "uploads", "objects", "unfinished"
    )?;
    let shown = |total: Total| format!("{} ({} bytes)", total.count, total.bytes);
    for usage in storage.usage().await? {
        writeln!(
            out,
            "{:<16} {:<20} {:>24} {:>24} {:>24}",
            usage.store,
            usage.tenant,
            shown(usage.uploads),
            shown(usage.objects),
            shown(usage.unfinished),
        )?;
    }
    Ok(())
}

/// How an output differs from what the log says.
async fn difference(
    storage: &TenantStorage,
    location: &Location,
    output: &OutputFile,
    check: Check,
) -> Result<Option<String>, StorageError> {
    let Some(stat) = storage.stat(location).await? else {
        return Ok(Some("is missing".to_owned()));
    };
    if stat.size != output.size {
        return Ok(Some(format!("has {} bytes instead of {}", stat.size, output.size)));
    }
    if check == Check::Size {
        return Ok(None);
    }
    let mut bytes = storage.read(location, None).await?.bytes;
    let mut sha256 = Sha256::new();
    while let Some(chunk) = bytes.try_next().await? {
        sha256.update(&chunk);
    }
    let is_same = hex::encode(sha256.finalize()) == output.sha256;
    Ok((!is_same).then(|| "has other contents".to_owned()))
}

/// Prints every output that is not as the log says; fails if there is any.
async fn verify(config: &Config, storage: &Storage, check: Check) -> anyhow::Result<()> {
    let AppContext { commands, database, .. } = AppContext::new(config).await?;
    let mut out = std::io::stdout();
    // Everything that is not deleted yet.
    let end = Timestamp::from_millis(u64::MAX);
    let all = ExpiredOutputs { completed_before: end, now: end };
    let (mut outputs, mut different, mut after) = (0_u64, 0_u64, None);
    loop {
        let page = job_detail::page_with_unexpired_outputs(&database, all, after.take(), PAGE_SIZE)
            .await?;
        for job in &page.jobs {
            let JobView { summary, .. } = job;
            let storage = storage.of(&summary.tenant);
            let mut later_outputs = LaterOutputs::new(&commands, job);
            for output in &job.outputs {
                let location = output.location.as_ref();
                let location = location.and_then(|text| Location::try_from(text.clone()).ok());
                let Some(location) = location else { continue };
                outputs = outputs.saturating_add(1);
                let Some(difference) = difference(&storage, &location, output, check).await? else {
                    continue;
                };
                if later_outputs.contains(&location).await? {
                    continue;
                }
                different = different.saturating_add(1);
                writeln!(out, "{} {}: {location} {difference}", summary.tenant, summary.id)?;
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    writeln!(out, "{outputs} outputs, of which {different} are not as the log says")?;
    if different > 0 {
        bail!("{different} outputs are missing or changed");
    }
    Ok(())
}

/// Prints what can be deleted; returns how much it is.
async fn list_garbage(context: &AppContext, storage: &Storage) -> anyhow::Result<String> {
    let mut out = std::io::stdout();
    let failed = |error| anyhow::anyhow!("{error}");
    let (jobs, uploads) = Retention::garbage(&context.commands, storage).await.map_err(failed)?;
    for StagedJob { tenant, job } in &jobs {
        writeln!(out, "{tenant} {job}: staged files of a job that has ended")?;
    }
    for (tenant, upload) in &uploads {
        writeln!(out, "{tenant} {upload}: an upload that was interrupted")?;
    }
    Ok(format!("{} of jobs and {} of uploads", jobs.len(), uploads.len()))
}
