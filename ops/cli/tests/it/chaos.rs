//! Random kills of all processes, with a printed seed. `FFAPI_CHAOS_KILLS` sets their number.

use std::{
    env, fs,
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{
    polling::until,
    stack::{Stack, quick},
};

/// The children of a process whose command line contains a word.
pub(crate) fn children(of: u32, mentions: &str) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1));
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        parent == Some(&of.to_string()) && line.contains(mentions)
    })
    .collect()
}

/// Clock ticks that a process has used.
pub(crate) fn cpu_time(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit(") ").next().unwrap_or_default();
    rest.split(' ').nth(11).and_then(|ticks| ticks.parse().ok()).unwrap_or(0)
}

pub(crate) fn kill(pid: u32) {
    let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
}

/// A small random generator: the same seed gives the same kills.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "a failure must be repeatable")]
async fn every_job_ends_exactly_once_despite_random_kills() {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let seed = number("FFAPI_CHAOS_SEED").unwrap_or(clock).max(1);
    let kills = number("FFAPI_CHAOS_KILLS").unwrap_or(20);
    eprintln!("FFAPI_CHAOS_SEED={seed} FFAPI_CHAOS_KILLS={kills}");
    let mut dice = Dice(seed);
    let mut stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    let mut jobs = Vec::new();
    for n in 0..kills {
        let body = serde_json::json!({
            "input": upload, "output": format!("{n}.mp4"), "operations": quick(),
        });
        // A kill may interrupt the submission itself: repeated with its key, it is the same job.
        let submit = async || {
            let request = stack.request(reqwest::Method::POST, "/convert").json(&body);
            let sent = request.header("idempotency-key", format!("chaos-{n}")).send().await;
            let answer = sent?.error_for_status()?.json::<serde_json::Value>().await?;
            Ok::<_, reqwest::Error>(answer["job"]["id"].as_str().unwrap().to_owned())
        };
        jobs.push(until(submit, Result::is_ok).await.unwrap());
        tokio::time::sleep(Duration::from_millis(dice.roll(400))).await;
        let victims = match dice.roll(4) {
            0 => children(stack.pid(), "media-child"),
            1 => children(stack.pid(), "nats-server"),
            2 => children(stack.pid(), "postgres"),
            _ => {
                stack.kill();
                stack.restart().await;
                continue;
            }
        };
        let chosen = usize::try_from(dice.roll(victims.len().max(1) as u64)).unwrap();
        if let Some(victim) = victims.get(chosen) {
            kill(*victim);
        }
    }
    let mut completed = 0;
    for job in &jobs {
        let ended = stack.finished(job).await;
        // Kills of its media child may exhaust a job's attempts, which is then its only outcome.
        let status = ended.text("/status").to_owned();
        assert!(status == "completed" || ended.json["dead_lettered"] == true, "{ended:#?}");
        completed += usize::from(status == "completed");
        let history = stack.history(job).await;
        let ends = history.iter().filter(|kind| {
            matches!(kind.as_str(), "job.completed" | "job.failed" | "job.cancelled")
        });
        assert_eq!(ends.count(), 1, "{history:?}");
    }
    assert!(completed > 0, "some jobs complete");
    stack.list_has("/jobs?status=completed&limit=200", completed).await;
    // What a worker was killed over before it could remove it stays in staging until the next cleanup.
    let mut files = stack.files();
    files.retain(|path| !path.contains("/.staging/"));
    assert_eq!(files.len(), completed, "{files:#?}");
    crate::crash::equals_its_rebuild(&stack);
}
