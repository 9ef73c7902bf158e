//! Backups of a service at work, their verification, and restores.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use ffapi_embedded::{NatsServer, Postgres};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    crash::equals_its_rebuild,
    operator,
    polling::until,
    receiver::Receiver,
    stack::{Stack, ffapi, quick, steady},
};

/// A folder with a key and backups.
struct Backups {
    folder: TempDir,
    recipient: String,
}

impl Backups {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("backup.key");
        let (success, printed) = run(&["backup", "key", "--out", &text(&key)]);
        assert!(success, "{printed}");
        Self { folder, recipient: printed.trim().to_owned() }
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    fn create(&self, stack: &Stack) -> Command {
        let mut command = ffapi();
        command.args(["backup", "create", "--recipient", &self.recipient, "--data-dir"]);
        command.arg(stack.data.path()).arg("--to").arg(self.store());
        command
    }

    /// Makes a backup and returns its id.
    fn made(&self, stack: &Stack) -> String {
        let (success, printed) = output(&mut self.create(stack));
        assert!(success, "{printed}");
        printed.split(':').next().unwrap().to_owned()
    }

    /// Runs a command that reads backups.
    fn read(&self, verb: &[&str], more: &[&str]) -> (bool, String) {
        let (key, store) = (text(&self.folder.path().join("backup.key")), text(&self.store()));
        run(&[verb, &["--from", &store, "--identity", &key], more].concat())
    }

    fn restore(&self, data: &Path, more: &[&str]) -> (bool, String) {
        self.read(&["restore", "--data-dir", &text(data)], more)
    }

    /// The last chunk of the log in a backup. A killed one may have left others.
    fn last_chunk(&self, id: &str) -> PathBuf {
        let manifest = std::fs::read(self.store().join(format!("backups/{id}.json"))).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        let last = manifest["streams"]["EVENTS"].as_array().unwrap().last().unwrap();
        self.store().join(last["key"].as_str().unwrap())
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn run(arguments: &[&str]) -> (bool, String) {
    output(ffapi().args(arguments))
}

fn output(command: &mut Command) -> (bool, String) {
    let done = command.output().unwrap();
    let error = String::from_utf8_lossy(&done.stderr).into_owned();
    (done.status.success(), String::from_utf8_lossy(&done.stdout).into_owned() + &error)
}

/// Every event of the log by position.
fn events(stack: &Stack) -> BTreeMap<String, Value> {
    let (success, printed) = operator::run(stack, &["replay"]);
    assert!(success, "{printed}");
    let lines = printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    // The epoch is another one.
    let position = |line: &Value| {
        let position = line["position"].as_str().unwrap();
        let (sequence, index) = position.split_once('-').unwrap().1.split_once('-').unwrap();
        format!("{sequence:0>8}-{index}")
    };
    let event = |line: &Value| json!([line["subject"], line["at"], line["event"], line["actor"]]);
    lines.map(|line| (position(&line), event(&line))).collect()
}

/// Compares the log of a restored service with that before: the backup that it was restored from, and
/// what was later than that.
fn lost(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> (String, Vec<Value>) {
    let mut restores = after.iter().filter(|(_, event)| event[2]["log.restored"].is_object());
    let (restored_at, restored) = restores.next().unwrap();
    assert!(restores.next().is_none(), "restored once");
    let (kept, gone): (Vec<_>, Vec<_>) = before.iter().partition(|(at, _)| *at < restored_at);
    for (at, event) in kept {
        assert_eq!(after.get(at), Some(event), "{at}");
    }
    let backup = restored[2]["log.restored"]["backup"].as_str().unwrap().to_owned();
    (backup, gone.into_iter().map(|(_, event)| event.clone()).collect())
}

#[tokio::test]
async fn a_service_that_was_lost_is_restored_with_everything_that_was_acknowledged() {
    let backups = Backups::new();
    let mut stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    let done = stack.convert(&upload, "done.mp4", quick()).await;
    stack.finished(&done).await;
    let body = json!({ "name": "other", "tenant": "acme", "scopes": ["jobs:read"] });
    let other = stack.post("/api-keys", &body).await.text("/secret").to_owned();
    let first = backups.made(&stack);

    // The next one is made while jobs are being submitted.
    let mut during = backups.create(&stack).spawn().unwrap();
    let mut jobs = vec![done.clone()];
    while jobs.len() < 20 {
        jobs.push(stack.convert(&upload, &format!("{}.mp4", jobs.len()), quick()).await);
    }
    assert!(during.wait().unwrap().success());
    for job in &jobs {
        stack.finished(job).await;
    }
    // One is being run at the end.
    let running = stack.convert(&upload, "running.mp4", steady()).await;
    let started = stack.until(&running, |job| job.text("/status") == "processing").await;
    let position = started.header("x-log-position").to_owned();
    jobs.push(running);
    let last = backups.made(&stack);
    let before = events(&stack);
    let (success, printed) = run(&["backup", "list", "--from", &text(&backups.store())]);
    assert!(success && printed.contains(&first) && printed.lines().count() == 3, "{printed}");
    let (success, printed) = backups.read(&["backup", "verify"], &[&last]);
    assert!(success && printed.contains("10 read models"), "{printed}");

    stack.kill();
    let data = ffapi_embedded::temporary_folder().unwrap();
    let (success, printed) = backups.restore(data.path(), &[]);
    assert!(success && printed.contains("as epoch 2"), "{printed}");
    // The outputs are stored elsewhere.
    std::fs::rename(stack.data.path().join("storage"), data.path().join("storage")).unwrap();
    let old_key = stack.key.clone();
    drop(stack);
    let stack = Stack::restored(data).await;
    assert_eq!(stack.key, old_key);
    for job in &jobs {
        assert_eq!(stack.finished(job).await.text("/status"), "completed", "{job}");
    }
    let acme = stack.send(stack.request_as(&other, reqwest::Method::GET, "/jobs")).await;
    assert_eq!(acme.status, StatusCode::OK, "{acme:#?}");
    let (backup, gone) = lost(&before, &events(&stack));
    assert_eq!(backup, last);
    // Between the last backup and the kill there was nothing but the work on accepted jobs.
    assert!(gone.iter().all(|event| event[2]["job.submitted"].is_null()), "{gone:#?}");
    let (success, printed) = operator::run(&stack, &["audit", "verify"]);
    assert!(success, "{printed}");
    equals_its_rebuild(&stack);

    // A position of the lost epoch is refused, with the reason.
    let path = format!("/jobs/{done}?min_position={position}");
    let behind = stack.get(&path).await;
    assert!(behind.text("/detail").contains("now in epoch 2"), "{behind:#?}");
    // The restored service is backed up as before.
    let again = backups.made(&stack);
    let (success, printed) = backups.read(&["backup", "verify"], &[&again]);
    assert!(success, "{printed}");
}

#[tokio::test]
async fn a_service_is_restored_as_it_was_at_a_position_except_for_erased_tenants() {
    let backups = Backups::new();
    let stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    let body = json!({ "name": "Erika Mustermann", "tenant": "acme", "scopes": ["jobs:read"] });
    assert_eq!(stack.post("/api-keys", &body).await.status, StatusCode::CREATED);
    let first = stack.convert(&upload, "first.mp4", quick()).await;
    let ended = stack.finished(&first).await;
    let position = ended.header("x-log-position").to_owned();
    let time = ended.text("/attempts/0/ended_at").to_owned();
    assert!(operator::run(&stack, &["replay"]).1.contains("Erika"), "not erased yet");
    let erase = stack.request(reqwest::Method::DELETE, "/accounts/acme");
    assert_eq!(stack.send(erase).await.status, StatusCode::OK);
    let second = stack.convert(&upload, "second.mp4", quick()).await;
    stack.finished(&second).await;
    backups.made(&stack);

    let data = ffapi_embedded::temporary_folder().unwrap();
    let dry = backups.restore(data.path(), &["--to-position", &position, "--dry-run"]);
    assert!(dry.0 && dry.1.contains(" job, ") && dry.1.contains(" account"), "{}", dry.1);
    assert!(data.path().read_dir().unwrap().next().is_none(), "nothing is changed");
    let by_time = backups.restore(data.path(), &["--to-time", &time, "--dry-run"]);
    assert!(by_time.0 && by_time.1.contains(" job, "), "{}", by_time.1);
    let beyond = backups.restore(data.path(), &["--to-position", "1-99999-0"]);
    assert!(!beyond.0 && beyond.1.contains("ends at 1-"), "{}", beyond.1);
    let before = backups.restore(data.path(), &["--to-time", "2000-01-01T00:00:00Z"]);
    assert!(!before.0 && before.1.contains("begins after"), "{}", before.1);
    let occupied = backups.restore(stack.data.path(), &[]);
    assert!(!occupied.0 && occupied.1.contains("empty folder"), "{}", occupied.1);

    let (success, printed) = backups.restore(data.path(), &["--to-position", &position]);
    assert!(success, "{printed}");
    drop(stack);
    let stack = Stack::restored(data).await;
    assert_eq!(stack.get(&format!("/jobs/{first}")).await.text("/status"), "completed");
    assert_eq!(stack.get(&format!("/jobs/{second}")).await.status, StatusCode::NOT_FOUND);
    let (success, printed) = operator::run(&stack, &["replay"]);
    assert!(success && printed.contains("\"acme\"") && !printed.contains("Erika"), "{printed}");
    let (success, printed) = operator::run(&stack, &["audit", "verify"]);
    assert!(success, "{printed}");
    equals_its_rebuild(&stack);
}

#[tokio::test]
async fn backups_and_restores_that_are_killed_can_be_repeated_and_damage_is_named() {
    let backups = Backups::new();
    let stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    let job = stack.convert(&upload, "a.mp4", quick()).await;
    stack.finished(&job).await;
    let failpoints = tempfile::tempdir().unwrap();
    let arm = |name: &str| std::fs::write(failpoints.path().join(name), "").unwrap();
    for failpoint in ["backup.before_chunk.EVENTS", "backup.before_manifest"] {
        arm(failpoint);
        let mut create = backups.create(&stack);
        let killed = output(create.env("FFAPI_FAILPOINTS", failpoints.path()));
        assert!(!killed.0, "{failpoint}: {}", killed.1);
        let listed = run(&["backup", "list", "--from", &text(&backups.store())]);
        assert_eq!(listed, (true, String::new()), "{failpoint}");
    }
    let id = backups.made(&stack);
    let (success, printed) = backups.read(&["backup", "verify"], &[]);
    assert!(success, "{printed}");

    let data = ffapi_embedded::temporary_folder().unwrap();
    for failpoint in ["restore.after_chunk.EVENTS", "restore.before_end", "restore.before_settled"]
    {
        arm(failpoint);
        let (key, store) = (backups.folder.path().join("backup.key"), backups.store());
        let mut restore = ffapi();
        restore.args(["restore", "--data-dir"]).arg(data.path()).arg("--from").arg(store);
        restore.arg("--identity").arg(key).env("FFAPI_FAILPOINTS", failpoints.path());
        let killed = output(&mut restore);
        assert!(!killed.0, "{failpoint}: {}", killed.1);
        let up = ["up", "--listen", "127.0.0.1:0", "--data-dir", &text(data.path())];
        let (success, printed) = run(&up);
        assert!(!success && printed.contains("not complete"), "{failpoint}: {printed}");
    }
    let (success, printed) = backups.restore(data.path(), &[]);
    assert!(success && printed.contains("continuing"), "{printed}");
    let before = events(&stack);
    drop(stack);
    let stack = Stack::restored(data).await;
    assert_eq!(lost(&before, &events(&stack)).0, id);
    equals_its_rebuild(&stack);

    // A changed byte, a chunk that was cut off, and a missing one.
    let chunk = backups.last_chunk(&id);
    let whole = std::fs::read(&chunk).unwrap();
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    let name = chunk.file_name().unwrap().to_str().unwrap();
    let empty = ffapi_embedded::temporary_folder().unwrap();
    for damaged in [Some(&changed[..]), Some(&whole[..whole.len() / 2]), None] {
        match damaged {
            Some(bytes) => std::fs::write(&chunk, bytes).unwrap(),
            None => std::fs::remove_file(&chunk).unwrap(),
        }
        let (success, printed) = backups.read(&["backup", "verify"], &[&id]);
        assert!(!success && printed.contains(name), "{printed}");
        assert!(printed.contains("SHA-256") || printed.contains("missing"), "{printed}");
        let (success, printed) = backups.restore(&empty.path().join("data"), &["--backup", &id]);
        assert!(!success && printed.contains(name), "{printed}");
    }
    let other = backups.folder.path().join("other.key");
    run(&["backup", "key", "--out", &text(&other)]);
    std::fs::write(&chunk, &whole).unwrap();
    let (store, other) = (text(&backups.store()), text(&other));
    let wrong = run(&["backup", "verify", "--from", &store, "--identity", &other, &id]);
    assert!(!wrong.0 && wrong.1.contains("none of the identities"), "{}", wrong.1);
}

/// Servers on the data of a stack that is not running.
fn servers(stack: &Stack) -> (NatsServer, Postgres, Vec<(&'static str, String)>) {
    let nats = NatsServer::start(&stack.data.path().join("nats")).unwrap();
    let postgres = Postgres::start(stack.data.path()).unwrap();
    let secrets = std::fs::read_to_string(stack.data.path().join("secrets.json")).unwrap();
    let secrets: Value = serde_json::from_str(&secrets).unwrap();
    let master = secrets["master_key"].as_str().unwrap().to_owned();
    let settings = vec![
        ("FFAPI_NATS__URL", nats.url()),
        ("FFAPI_POSTGRES__URL", postgres.url()),
        ("FFAPI_SECRETS__MASTER_KEY", master),
    ];
    (nats, postgres, settings)
}

#[tokio::test]
async fn a_lost_nats_or_postgres_loses_nothing_and_sends_no_webhook_of_the_past_again() {
    let egress = [("FFAPI_EGRESS__ALLOW", "127.0.0.1/32")];
    let (backups, receiver) = (Backups::new(), Receiver::new().await);
    let mut stack = Stack::with(&egress).await;
    let hook = json!({ "url": format!("{}/a", receiver.url), "events": ["job.completed"] });
    let hook = stack.post("/webhooks", &hook).await.text("/id").to_owned();
    let upload = stack.upload_bunny().await;
    let mut jobs = vec![stack.convert(&upload, "0.mp4", quick()).await];
    let delivered = |count: usize| {
        move |listed: &crate::stack::Answer| {
            let all = listed.json["data"].as_array().map_or(&[][..], Vec::as_slice);
            all.iter().filter(|delivery| delivery["status"] == "delivered").count() == count
        }
    };
    let deliveries = format!("/webhooks/{hook}/deliveries");
    stack.poll(&deliveries, delivered(1)).await;
    backups.made(&stack);
    jobs.push(stack.convert(&upload, "1.mp4", quick()).await);
    stack.poll(&deliveries, delivered(2)).await;
    equals_its_rebuild(&stack);

    for (lost, option) in [("nats/store", "--with-archive"), ("postgres", "--read-models")] {
        stack.kill();
        if lost == "postgres" {
            let data = stack.data.path().join("postgres.location");
            std::fs::remove_dir_all(std::fs::read_to_string(data).unwrap().trim()).unwrap();
        } else {
            std::fs::remove_dir_all(stack.data.path().join(lost)).unwrap();
        }
        let (nats, postgres, settings) = servers(&stack);
        let restore = |option: Option<&str>| {
            let mut restore = ffapi();
            restore.arg("restore").arg("--from").arg(backups.store()).arg("--identity");
            restore.arg(backups.folder.path().join("backup.key")).args(option);
            output(restore.envs(settings.iter().cloned()))
        };
        if lost != "postgres" {
            // Without saying what is to become of the archive, which has more than the backup.
            let (success, printed) = restore(None);
            assert!(!success && printed.contains("--with-archive"), "{printed}");
        }
        let (success, printed) = restore(Some(option));
        assert!(success, "{lost}: {printed}");
        assert!(printed.contains("1 webhook deliveries are due"), "{lost}: {printed}");
        drop((nats, postgres));
        stack.restart_with(&egress).await;
        for job in &jobs {
            assert_eq!(stack.finished(job).await.text("/status"), "completed", "{lost}");
        }
        equals_its_rebuild(&stack);
    }
    // That of before the backup was sent once; those since may be sent again, under the same id.
    stack.poll(&deliveries, delivered(1)).await;
    let got = receiver.at("/a");
    let of = |job: &String| {
        let of = got.iter().filter(|got| got.json()["data"]["job_id"] == job.as_str());
        of.map(|got| got.id().to_owned()).collect::<Vec<_>>()
    };
    let (before, since) = (of(&jobs[0]), of(&jobs[1]));
    assert_eq!((before.len(), since.len()), (1, 3), "{before:?} {since:?}");
    assert!(since.iter().all(|id| *id == since[0]), "{since:?}");
}

#[tokio::test]
async fn a_service_makes_backups_by_itself_that_survive_a_drill() {
    let backups = Backups::new();
    let (store, recipient) = (text(&backups.store()), backups.recipient.clone());
    let settings = [
        ("FFAPI_BACKUP__STORE", store.as_str()),
        ("FFAPI_BACKUP__RECIPIENTS", recipient.as_str()),
        ("FFAPI_BACKUP__EVERY", "1"),
    ];
    let stack = Stack::with(&settings).await;
    let upload = stack.upload_bunny().await;
    let job = stack.convert(&upload, "a.mp4", quick()).await;
    stack.finished(&job).await;
    let end = operator::run(&stack, &["replay"]).1;
    let end: Value = serde_json::from_str(end.lines().last().unwrap()).unwrap();
    let end = end["position"].as_str().unwrap().split('-').nth(1).unwrap().parse::<u64>().unwrap();
    let listed = async || run(&["backup", "list", "--from", &store]).1;
    let newest = |listed: &String| {
        let id = listed.lines().last().and_then(|line| line.split(':').next());
        id.and_then(|id| id.rsplit('-').next()).and_then(|at| at.parse::<u64>().ok())
    };
    until(listed, |listed| newest(listed).is_some_and(|at| at >= end)).await;
    drop(stack);
    let (success, printed) = backups.read(&["backup", "drill"], &[]);
    assert!(success && printed.matches("recovered from").count() == 4, "{printed}");
}
