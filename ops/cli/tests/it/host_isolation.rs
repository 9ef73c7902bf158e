//! Isolation of `ffapi up` from other users of the same machine.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use crate::{
    chaos,
    polling::until,
    stack::{Stack, ffapi, free_port, http, quick, slow},
};

/// The user id of `nobody`, which exists on every system.
const NOBODY: u32 = 65_534;

/// True for root, who can run programs as other users.
fn has_other_users() -> bool {
    ffapi_embedded::is_root_or_skipped("can run a program as another user")
}

/// Runs a program as another user of this machine.
fn as_user(user: &str, arguments: &[&str]) -> Output {
    let group = if user == "nobody" { "nogroup" } else { user };
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--regid", group, "--clear-groups", "--"]).args(arguments);
    command.current_dir("/").output().unwrap()
}

fn passwords(stack: &Stack) -> Vec<String> {
    let users = fs::read_to_string(stack.data.path().join("nats/users.json")).unwrap();
    let users: Value = serde_json::from_str(&users).unwrap();
    users.as_object().unwrap().values().map(|value| value.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn nats_rejects_connections_without_a_password() {
    let stack = Stack::new().await;
    let address = stack.nats_url("operator").rsplit('@').next().unwrap().to_owned();
    let anonymous = async_nats::connect(&address).await;
    assert!(anonymous.is_err(), "{anonymous:?}");
    let connect =
        async |url: String| ffapi_nats::Nats::connect(&ffapi_nats::NatsConfig { url }).await;
    let wrong = connect(format!("nats://operator:wrong@{address}")).await;
    assert!(wrong.is_err(), "{wrong:?}");
    assert!(connect(stack.nats_url("operator")).await.is_ok());
    // The password of one role is valid for that role only.
    let worker = connect(stack.nats_url("worker")).await.unwrap();
    assert!(ffapi_nats::topology::apply(&worker).await.is_err());
}

#[tokio::test]
async fn postgres_accepts_only_the_user_that_started_it() {
    if !has_other_users() {
        return;
    }
    let stack = Stack::new().await;
    let settings = crate::operator::settings(&stack);
    let url = settings.iter().find(|(name, _)| name == "FFAPI_POSTGRES__URL").unwrap().1.clone();
    let ask = ["psql", &url, "-tAc", "SELECT 1"];
    let own = Command::new("psql").args(&ask[1..]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&own.stdout).trim(), "1", "{own:?}");
    // `nobody` cannot reach the socket; the server's own user can, and is rejected by the server.
    for (user, why) in [("nobody", "Permission denied"), ("postgres", "Peer authentication failed")]
    {
        let done = as_user(user, &ask);
        let printed = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success() && printed.contains(why), "{user}: {printed}");
    }
}

#[tokio::test]
async fn server_credentials_are_unreadable_to_other_users() {
    if !has_other_users() {
        return;
    }
    let stack = Stack::new().await;
    let data = stack.data.path();
    for name in ["secrets.json", "admin.key", "nats/users.json", "nats/nats.conf"] {
        let path = data.join(name);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        let done = as_user("nobody", &["cat", path.to_str().unwrap()]);
        assert!(!done.status.success() && done.stdout.is_empty(), "{name}");
    }
    // No process exposes it in its arguments, environment or output.
    let mut shown: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    for process in chaos::children(stack.pid(), "").into_iter().chain([stack.pid()]) {
        for file in ["cmdline", "environ"] {
            let path = PathBuf::from(format!("/proc/{process}/{file}"));
            shown.push((path.clone(), fs::read(path).unwrap_or_default()));
        }
    }
    for log in ["up.log", "nats/nats.log", "postgres.log"] {
        shown.push((data.join(log), fs::read(data.join(log)).unwrap()));
    }
    let secrets = fs::read_to_string(data.join("secrets.json")).unwrap();
    let secrets: Value = serde_json::from_str(&secrets).unwrap();
    let secrets = secrets.as_object().unwrap().values().map(|value| value.as_str().unwrap());
    let hidden: Vec<String> = passwords(&stack)
        .into_iter()
        .chain([stack.key.clone()])
        .chain(secrets.map(str::to_owned))
        .collect();
    for (path, bytes) in shown {
        let text = String::from_utf8_lossy(&bytes);
        assert!(hidden.iter().all(|secret| !text.contains(secret)), "{}", path.display());
    }
}

/// Collects all paths below a folder.
fn below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        found.push(entry.path());
        if entry.file_type().unwrap().is_dir() {
            below(&entry.path(), found);
        }
    }
}

#[tokio::test]
async fn stored_files_are_inaccessible_to_media_children() {
    if !has_other_users() {
        return;
    }
    let stack = Stack::new().await;
    let (upload, other) = (stack.upload_bunny().await, stack.upload_bunny().await);
    let job = stack.convert(&upload, "a.mp4", quick()).await;
    assert_eq!(stack.finished(&job).await.text("/status"), "completed");
    let data = stack.data.path();
    assert_eq!(data.metadata().unwrap().mode() & 0o707, 0o700, "the database's group passes");
    let storage = data.join("storage");
    assert_eq!(storage.metadata().unwrap().mode() & 0o777, 0o700);
    let mut all = Vec::new();
    below(&storage.join("default"), &mut all);
    assert!(all.len() >= 4, "{all:?}");
    for path in all {
        let meta = path.metadata().unwrap();
        let (mode, owner) = (meta.mode() & 0o777, (meta.uid(), meta.gid()));
        let name = path.display().to_string();
        // This includes inputs of children, which receive an open descriptor.
        let expected = if meta.is_dir() { 0o700 } else { 0o600 };
        assert_eq!((mode, owner), (expected, (0, 0)), "{name}");
    }
    // A process with a child's user cannot access any of these files.
    let output = storage.join("default/a.mp4");
    let before = fs::read(&output).unwrap();
    for path in [output.clone(), storage.join("default/.uploads").join(&other)] {
        for deed in ["cat", "echo x >>"] {
            let done = as_user("nobody", &["sh", "-c", &format!("{deed} {}", path.display())]);
            assert!(!done.status.success() && done.stdout.is_empty(), "{deed} {done:?}");
        }
    }
    assert_eq!(fs::read(&output).unwrap(), before);
}

/// A line of a file in `/proc`, after its label.
fn labelled(text: &str, label: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(label));
    line.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn running_media_children_are_confined_and_inherit_nothing() {
    let stack = Stack::with(&[("FFAPI_WORKER__SLOTS", "2")]).await;
    let upload = stack.upload_bunny().await;
    let mut jobs = Vec::new();
    for name in ["a.mp4", "b.mp4"] {
        jobs.push(stack.convert(&upload, name, slow()).await);
    }
    for job in &jobs {
        stack.until(job, |job| job.json["progress"].as_f64().unwrap_or(0.0) > 0.0).await;
    }
    let data = stack.data.path().canonicalize().unwrap();
    let children = chaos::children(stack.pid(), "media-child");
    let has_input = |child: &u32| descriptors(*child).iter().any(|(_, to)| to.contains(&upload));
    let running: Vec<u32> = children.into_iter().filter(has_input).collect();
    assert_eq!(running.len(), 2, "{running:?}");
    let is_root = ffapi_embedded::is_root_or_skipped("gives each child a user of its own");
    let mut users = Vec::new();
    for child in running {
        let read = |file: &str| fs::read_to_string(format!("/proc/{child}/{file}")).unwrap();
        for (number, to) in descriptors(child) {
            let is_expected = match number {
                0 => to.starts_with("socket:"),
                1 => to.starts_with("pipe:"),
                2 => to == "/dev/null",
                // Its input and its own files.
                _ => {
                    let folder = format!("/proc/{child}/cwd");
                    let slot = fs::read_link(folder).unwrap();
                    to.ends_with(&format!("/.uploads/{upload}"))
                        && Path::new(&to).starts_with(&data)
                        || Path::new(&to).starts_with(slot.join("out"))
                }
            };
            assert!(is_expected, "{number}: {to}");
        }
        let stat = read("stat");
        let session = stat.rsplit(") ").next().unwrap().split(' ').nth(3).unwrap();
        assert_eq!(session, child.to_string(), "the session is its own");
        let status = read("status");
        assert_eq!(labelled(&status, "NoNewPrivs:"), "1");
        assert_eq!(labelled(&status, "Seccomp:"), "2", "a filter");
        assert_eq!(read("oom_score_adj").trim(), "1000");
        let limits = read("limits");
        assert_eq!(labelled(&limits, "Max core file size"), "0 0 bytes");
        assert_eq!(labelled(&limits, "Max open files"), "256 256 files");
        assert!(!labelled(&limits, "Max address space").starts_with("unlimited"));
        if is_root {
            assert_eq!(labelled(&limits, "Max processes"), "4096 4096 processes");
            assert_eq!(labelled(&status, "CapEff:"), "0000000000000000");
            assert_eq!(labelled(&status, "Groups:"), "", "no group of the service");
            users.push(labelled(&status, "Uid:"));
        }
    }
    let set: std::collections::BTreeSet<&String> = users.iter().collect();
    assert_eq!(set.len(), users.len(), "{users:?}");
    assert!(users.iter().all(|user| !user.split(' ').any(|id| id == "0")), "{users:?}");
    for job in jobs {
        stack.post(&format!("/jobs/{job}/cancel"), &serde_json::json!({})).await;
    }
}

/// The open descriptors of a process, each with what it refers to.
fn descriptors(process: u32) -> Vec<(u32, String)> {
    let entries = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    let open = entries.filter_map(|entry| {
        let to = fs::read_link(entry.path()).ok()?;
        Some((entry.file_name().to_str()?.parse().ok()?, to.to_string_lossy().into_owned()))
    });
    open.collect()
}

#[tokio::test]
async fn a_data_folder_without_nats_users_is_upgraded() {
    let mut stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    let job = stack.convert(&upload, "a.mp4", quick()).await;
    stack.finished(&job).await;
    let first = passwords(&stack);
    stack.kill();
    let data = stack.data.path();
    fs::remove_file(data.join("nats/users.json")).unwrap();
    // The state that an older version leaves.
    let postgres = fs::read_to_string(data.join("postgres.location")).unwrap();
    let rules = Path::new(postgres.trim()).join("pg_hba.conf");
    fs::write(rules, "local all all trust\n").unwrap();
    fs::set_permissions(data.join("nats"), fs::Permissions::from_mode(0o755)).unwrap();
    stack.restart().await;
    assert_eq!(stack.get(&format!("/jobs/{job}")).await.text("/status"), "completed");
    let second = passwords(&stack);
    assert!(first.iter().all(|password| !second.contains(password)));
    let folder = stack.data.path().join("nats");
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn everything_runs_as_an_unprivileged_user() {
    if !has_other_users() {
        return;
    }
    // The user must be able to read the programs, wherever this checkout is.
    let programs = ffapi_embedded::temporary_folder().unwrap();
    let ours = Path::new(env!("CARGO_BIN_EXE_ffapi"));
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/bin");
    for program in [ours, &ours.with_file_name("ffapi-media-child"), &tools.join("nats-server")] {
        fs::copy(program, programs.path().join(program.file_name().unwrap())).unwrap();
    }
    let data = ffapi_embedded::temporary_folder().unwrap();
    chown(data.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let url = format!("http://127.0.0.1:{}", free_port());
    let mut up = Command::new("setpriv")
        .args(["--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "--"])
        .arg(programs.path().join("ffapi"))
        .args(["up", "--listen", url.trim_start_matches("http://"), "--data-dir"])
        .arg(data.path())
        .env("FFAPI_TOOLS", programs.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let ready = async || http().get(format!("{url}/health/ready")).send().await;
    until(ready, |answer| answer.as_ref().is_ok_and(|answer| answer.status().is_success()))
        .await
        .unwrap();
    let key = data.path().join("admin.key");
    assert_eq!(
        (key.metadata().unwrap().uid(), key.metadata().unwrap().mode() & 0o777),
        (NOBODY, 0o600)
    );
    // A process of the same user, such as a media child, cannot inspect it.
    for file in ["environ", "mem", "maps"] {
        let path = format!("/proc/{}/{file}", up.id());
        let done = as_user("nobody", &["head", "-c", "1", &path]);
        assert!(!done.status.success() && done.stdout.is_empty(), "{file}: {done:?}");
    }
    // The client commands read the key file of their user.
    let output = programs.path().join("out.mp4");
    let done = ffapi()
        .args(["convert", "--start", "1", "--duration", "1", "--height", "90", "--url", &url])
        .arg("--key-file")
        .arg(&key)
        .args([&crate::stack::bunny(), &output])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let _ = Command::new("kill").arg(up.id().to_string()).status();
    up.wait().unwrap();
}

#[test]
fn programs_in_the_working_directory_are_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let tools = folder.path().join(".tools/bin");
    fs::create_dir_all(&tools).unwrap();
    let trap = folder.path().join("sprung");
    for program in ["nats-server", "initdb", "postgres", "setpriv"] {
        let script = format!("#!/bin/sh\ntouch {}\n", trap.display());
        for folder in [tools.as_path(), folder.path()] {
            fs::write(folder.join(program), &script).unwrap();
            fs::set_permissions(folder.join(program), fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    let data = ffapi_embedded::temporary_folder().unwrap();
    let mut up = ffapi()
        .args(["up", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(data.path())
        .env("PATH", format!(":.:{}", std::env::var("PATH").unwrap()))
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut printed = std::io::BufReader::new(up.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut printed, &mut line).unwrap();
    assert!(line.contains("admin.key"), "it started: {line}");
    assert!(!line.contains("ffapi_"), "the key is in its file only: {line}");
    let _ = Command::new("kill").arg(up.id().to_string()).status();
    up.wait().unwrap();
    assert!(!trap.exists());
}
