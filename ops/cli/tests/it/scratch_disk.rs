//! The scratch disk of a worker: a job for which it has not enough space waits, and a disk that is full delays jobs
//! and fails none but those that filled it. The disk is a small file system that the test mounts, which only root can.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::stack::{Answer, Stack, steady};

/// Runs ffapi with a storage folder of 64 MiB that nothing else sees.
const SCRIPT: &str = r#"#!/bin/sh
set -eu
for data; do :; done
mkdir -p "$data/storage"
export data
exec unshare -m sh -c 'mount -t tmpfs -o size=64m,mode=755 tmpfs "$data/storage" && exec "$0" "$@"' PROGRAM "$@"
"#;
/// What stays free.
const MIN_FREE: u64 = 1024 * 1024;

struct SmallDisk {
    stack: Stack,
    _program: tempfile::TempDir,
}

impl SmallDisk {
    /// A disk for so many jobs at once.
    async fn for_slots(slots: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("ffapi");
        fs::write(&program, SCRIPT.replace("PROGRAM", env!("CARGO_BIN_EXE_ffapi"))).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let settings = [
            ("FFAPI_WORKER__MIN_FREE_BYTES", MIN_FREE.to_string()),
            ("FFAPI_WORKER__SLOTS", slots.to_string()),
            ("FFAPI_EGRESS__ALLOW", "127.0.0.1/32".to_owned()),
        ];
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, &**value)).collect();
        let stack = Stack::with_program(&program, &settings).await;
        Self { stack, _program: folder }
    }

    /// A file on the disk, as the processes of ffapi see it.
    fn filler(&self) -> PathBuf {
        let storage = self.stack.data.path().join("storage");
        let root = format!("/proc/{}/root", self.stack.pid());
        Path::new(&root).join(storage.strip_prefix("/").unwrap()).join("filler")
    }

    fn fill(&self) {
        let mut file =
            fs::OpenOptions::new().append(true).create(true).open(self.filler()).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
    }

    /// Leaves so many bytes free, of a disk that is full.
    fn leave(&self, bytes: u64) {
        let file = fs::OpenOptions::new().write(true).open(self.filler()).unwrap();
        file.set_len(file.metadata().unwrap().len() - bytes).unwrap();
    }

    async fn submit(&self, input: &str) -> String {
        self.stack.convert(input, "a.mp4", steady()).await
    }

    /// Waits until an attempt had not enough space.
    async fn deferred(&self, job: &str) -> Answer {
        let code = |job: &Answer| job.text("/attempts/0/error/code").to_owned();
        let job = self.stack.until(job, |job| !code(job).is_empty()).await;
        assert_eq!(code(&job), "scratch_full", "{job:#?}");
        assert_eq!(job.text("/attempts/0/error/retry_hint"), "retry", "{job:#?}");
        job
    }

    /// Checks that a job completes, though the number of its attempts is more than may fail.
    async fn completes(&self, job: &str) {
        let ended = self.stack.finished(job).await;
        assert_eq!(ended.text("/status"), "completed", "{ended:#?}");
        let attempts = ended.json["attempts"].as_array().unwrap();
        let codes: Vec<&Value> =
            attempts.iter().filter_map(|attempt| attempt.pointer("/error/code")).collect();
        assert!(
            !codes.is_empty() && codes.iter().all(|code| *code == "scratch_full"),
            "{ended:#?}"
        );
    }
}

#[tokio::test]
async fn a_job_waits_until_a_worker_has_space_for_what_it_is_going_to_write() {
    if !ffapi_embedded::is_root_or_skipped("can mount a small disk") {
        return;
    }
    let disk = SmallDisk::for_slots(1).await;
    let upload = disk.stack.upload_bunny().await;
    // With less than what stays free, the worker takes no tasks.
    disk.fill();
    let job = disk.submit(&upload).await;
    // Unless it had asked for one before: then the job had not enough space in it.
    let waits = |queue: &Answer| {
        let reason = &queue.json["waiting"][0]["reason"];
        reason == "no_worker" || reason == "backoff"
    };
    disk.stack.poll("/queue", waits).await;
    // With a little more it does, and the plan says that it is not enough.
    disk.leave(MIN_FREE + 64 * 1024);
    let waiting = disk.deferred(&job).await;
    let message = waiting.text("/attempts/0/error/message");
    assert!(message.contains("MiB of the worker's disk"), "{message}");
    let why = disk.stack.get(&format!("/jobs/{job}/why")).await;
    assert!(why.json.to_string().contains("MiB of the worker's disk"), "{why:#?}");
    fs::remove_file(disk.filler()).unwrap();
    disk.completes(&job).await;
}

#[tokio::test]
async fn a_disk_that_is_full_during_a_job_delays_it() {
    if !ffapi_embedded::is_root_or_skipped("can mount a small disk") {
        return;
    }
    let disk = SmallDisk::for_slots(1).await;
    let upload = disk.stack.upload_bunny().await;
    let job = disk.submit(&upload).await;
    disk.stack.until(&job, |job| job.json["progress"].as_f64().unwrap_or(0.0) > 0.0).await;
    disk.fill();
    let waiting = disk.deferred(&job).await;
    assert_eq!(
        waiting.text("/attempts/0/error/message").split(';').next(),
        Some("the worker's disk was full")
    );
    fs::remove_file(disk.filler()).unwrap();
    disk.completes(&job).await;
}

/// A host whose answers have no stated length and do not end.
async fn endless() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = connection.read(&mut [0; 4_096]).await;
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                let mut part = head.as_bytes().to_vec();
                let chunk = [format!("{:x}\r\n", 1 << 16).into_bytes(), vec![1; 1 << 16]].concat();
                while connection.write_all(&part).await.is_ok() {
                    part = [&chunk[..], b"\r\n"].concat();
                }
            });
        }
    });
    format!("http://{address}/video.mp4")
}

#[tokio::test]
async fn an_endless_input_takes_no_more_than_its_share_and_its_attempts_count() {
    if !ffapi_embedded::is_root_or_skipped("can mount a small disk") {
        return;
    }
    let disk = SmallDisk::for_slots(2).await;
    let upload = disk.stack.upload_bunny().await;
    let body = json!({ "input": endless().await, "output": "endless.mp4" });
    let endless = disk.stack.post("/convert", &body).await.text("/job/id").to_owned();
    let other = disk.submit(&upload).await;
    let failed = disk.stack.finished(&endless).await;
    let attempts = failed.json["attempts"].as_array().unwrap();
    let counts = |attempt: &Value| attempt["error"]["code"] == "resource_exhausted";
    assert!(attempts.len() == 3 && attempts.iter().all(counts), "{failed:#?}");
    let completed = disk.stack.finished(&other).await;
    assert_eq!(completed.text("/status"), "completed", "{completed:#?}");
    assert_eq!(completed.json["attempt"], 1, "it always had its own share: {completed:#?}");
    let printed = fs::read_to_string(disk.stack.data.path().join("up.log")).unwrap();
    assert!(!printed.contains("a worker without space takes no tasks"), "{printed}");
}
