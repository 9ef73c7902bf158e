use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{
    polling::until,
    stack::{Stack, ffapi, quick},
};

/// The settings for a stack's private servers, as an operator would set them.
pub(crate) fn settings(stack: &Stack) -> Vec<(String, String)> {
    let data = stack.data.path().canonicalize().unwrap();
    let secrets = std::fs::read_to_string(data.join("secrets.json")).unwrap();
    let secrets: Value = serde_json::from_str(&secrets).unwrap();
    let secret = |name: &str| secrets[name].as_str().unwrap().to_owned();
    let log = std::fs::read_to_string(data.join("postgres.location")).unwrap();
    let pid_file = std::path::Path::new(log.trim()).join("postmaster.pid");
    let lines = std::fs::read_to_string(pid_file).unwrap();
    let socket = lines.lines().nth(4).unwrap();
    let user = Command::new("stat").args(["-c", "%U", log.trim()]).output().unwrap();
    let user = String::from_utf8(user.stdout).unwrap();
    let postgres = format!("postgres:///postgres?host={socket}&user={}", user.trim());
    vec![
        ("FFAPI_NATS__URL".to_owned(), stack.nats_url("operator")),
        ("FFAPI_POSTGRES__URL".to_owned(), postgres),
        ("FFAPI_SECRETS__MASTER_KEY".to_owned(), secret("master_key")),
        ("FFAPI_SECRETS__PEPPER".to_owned(), secret("pepper")),
        ("FFAPI_SECRETS__SIGNING_KEY".to_owned(), secret("signing_key")),
        ("FFAPI_STORAGE__ROOT".to_owned(), data.join("storage").display().to_string()),
    ]
}

/// Runs an operator command on a stack's servers: whether it succeeded, and its output.
pub(crate) fn run(stack: &Stack, arguments: &[&str]) -> (bool, String) {
    let done = ffapi().envs(settings(stack)).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&done.stderr).into_owned();
    (done.status.success(), String::from_utf8_lossy(&done.stdout).into_owned() + &error)
}

#[tokio::test]
async fn a_report_is_built_from_the_whole_log() {
    let stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    for name in ["a.mp4", "b.mp4", "c.webm"] {
        let job = stack.convert(&upload, name, quick()).await;
        assert_eq!(stack.finished(&job).await.text("/status"), "completed");
    }
    for _ in 0..2 {
        let (success, printed) = run(&stack, &["report"]);
        assert!(success, "{printed}");
        let line = |codec: &str| {
            let found =
                printed.lines().find(|line| line.contains("default") && line.contains(codec));
            found.unwrap_or_else(|| panic!("{codec}: {printed}")).split_whitespace().collect()
        };
        let (h264, vp9): (Vec<&str>, Vec<&str>) = (line("h264"), line("vp9"));
        // Two jobs and one job, of a second each.
        assert_eq!((h264[3], h264[4]), ("2", "0.03"), "the report is repeatable: {printed}");
        assert_eq!((vp9[3], vp9[4]), ("1", "0.02"), "{printed}");
    }
}

#[tokio::test]
async fn operator_and_client_commands_find_the_servers_and_key_of_a_data_folder() {
    let stack = Stack::new().await;
    let data = stack.data.path();
    let run = |arguments: &[&str]| {
        let done = ffapi().args(arguments).output().unwrap();
        let error = String::from_utf8_lossy(&done.stderr).into_owned();
        (done.status.success(), String::from_utf8_lossy(&done.stdout).into_owned() + &error)
    };
    let folder = data.display().to_string();
    let server = ["--url", &stack.url, "--data-dir", &folder];
    let video = crate::stack::bunny().display().to_string();
    let (success, printed) = run(&[&["probe", &video][..], &server].concat());
    assert!(success && printed.contains("\"streams\""), "{printed}");
    let job = printed.lines().find(|line| line.starts_with("job_")).unwrap().to_owned();
    let thumbnails = ["thumbnails", &video, "--preset", "thumbnail-poster", "--output", "posters"];
    let (success, printed) = run(&[&thumbnails[..], &server].concat());
    assert!(success && printed.contains("local://posters/"), "{printed}");
    let batch = ["batch", &video, &format!("upload_{:032x}", 1), "--output", "batch/{name}.mp3"];
    let (success, printed) = run(&[&batch[..], &server].concat());
    assert!(!success && printed.contains("does not exist or has expired"), "{printed}");
    let batch = ["batch", &video, &video, "--output", "batch/{index}/{name}.mp3"];
    let (success, printed) = run(&[&batch[..], &server].concat());
    let outputs: Vec<&str> = printed.lines().filter(|line| line.contains("  completed ")).collect();
    assert!(success && outputs.len() == 2, "{printed}");
    assert!(printed.contains("-> local://batch/2/bigbuckbunny.mp3"), "{printed}");
    let (success, printed) = run(&[&["jobs", "--kind", "probe", "--json"][..], &server].concat());
    let listed: Value = serde_json::from_str(&printed).unwrap();
    assert!(success && listed["data"][0]["id"] == job.as_str(), "{printed}");
    let pages = data.join("man");
    let (success, printed) = run(&["man", &pages.display().to_string()]);
    assert!(success && pages.join("ffapi-batch.1").exists(), "{printed}");
    let (success, printed) = run(&["completions", "bash"]);
    assert!(success && printed.contains("complete -F _ffapi"), "{printed}");
    for verb in [
        &["doctor"][..],
        &["replay", "--job", &job],
        &["report"],
        &["projections", "status"],
        &["audit", "verify"],
    ] {
        let (success, printed) = run(&[verb, &["--data-dir", &folder]].concat());
        assert!(success, "{verb:?}: {printed}");
    }
}

#[tokio::test]
async fn operator_commands_print_the_current_state() {
    let stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    let job = stack.convert(&upload, "a.mp4", quick()).await;
    stack.finished(&job).await;

    let (success, printed) = run(&stack, &["doctor"]);
    assert!(success, "{printed}");
    assert_eq!(printed.matches("ok    ").count(), 7, "{printed}");
    let engine = printed.lines().find(|line| line.starts_with("ok    FFmpeg: ")).unwrap();
    assert!(engine.contains(", built on 20"), "{engine}");
    assert!(engine.contains("configured with --"), "{engine}");
    let (success, printed) = run(&stack, &["topology", "check"]);
    assert!(success && printed.contains("epoch 1"), "{printed}");
    let (success, printed) = run(&stack, &["migrate"]);
    assert!(success, "{printed}");
    let (success, printed) = run(&stack, &["projections", "status"]);
    assert!(success, "{printed}");
    for name in ["job_detail", "job_list", "upload", "queue", "pace", "archive", "audit_decision"] {
        assert!(printed.contains(&format!("{name}: at")), "{printed}");
        let (success, printed) = run(&stack, &["projections", "rebuild", name]);
        assert!(success && printed.contains("rebuilt up to"), "{printed}");
    }
    assert_eq!(stack.get(&format!("/jobs/{job}")).await.text("/status"), "completed");
    let (success, printed) = run(&stack, &["projections", "rebuild", "nothing"]);
    assert!(
        !success
            && printed.contains(
                "\"job_detail\", \"job_list\", \"batch\", \"preset\", \"upload\", \"queue\""
            ),
        "{printed}"
    );
    let (success, printed) = run(&stack, &["config", "print"]);
    let secret = settings(&stack)[2].1.clone();
    assert!(success && printed.contains("(hidden)") && !printed.contains(&secret), "{printed}");
}

#[test]
fn a_secret_can_be_read_from_a_file_and_is_never_printed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    std::fs::write(&file, "nats://ffapi:hush@nats.example.com:4222\n").unwrap();
    let print = |path: &std::path::Path| {
        let mut command = ffapi();
        command.env("FFAPI_NATS__URL_FILE", path).args(["config", "print"]).output().unwrap()
    };
    let printed = print(&file);
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(printed.contains("nats.example.com") && !printed.contains("hush"), "{printed}");
    let missing = print(&folder.path().join("nothing"));
    let printed = String::from_utf8(missing.stderr).unwrap();
    assert!(!missing.status.success() && printed.contains("FFAPI_NATS__URL_FILE"), "{printed}");
}

#[tokio::test]
async fn replay_prints_the_whole_history_one_event_per_line() {
    let stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    let job = stack.convert(&upload, "a.mp4", quick()).await;
    stack.finished(&job).await;
    let events = |arguments: &[&str]| {
        let (success, printed) = run(&stack, arguments);
        assert!(success, "{printed}");
        let lines = printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.collect::<Vec<_>>()
    };
    let of_job = events(&["replay", "--job", &job]);
    let kinds: Vec<&String> =
        of_job.iter().flat_map(|line| line["event"].as_object().unwrap().keys()).collect();
    assert_eq!(
        kinds,
        ["job.submitted", "job.attempt_started", "job.outputs_sealed", "job.completed"]
    );
    assert_eq!(of_job[0]["actor"]["kind"], "key");
    let mut all = events(&["replay"]);
    // Its minutes are settled, its bytes counted, and its queue slot freed, a moment after its end.
    let later = |subject: &str| {
        // The shared presets are defined at the first start.
        ["ev.quota.", "ev.room.", "ev.kept.", "ev.preset."]
            .iter()
            .any(|kind| subject.starts_with(kind))
    };
    assert!(all.iter().any(|line| line["event"]["room.leased"].is_object()));
    all.retain(|line| !later(line["subject"].as_str().unwrap()));
    assert_eq!(
        all.len(),
        of_job.len() + 5,
        "an account, a key, an upload, an output name, a release more"
    );
    assert_eq!(events(&["replay", "--tenant", "nobody"]).len(), 0);
    let from = of_job[1]["position"].as_str().unwrap();
    assert_eq!(events(&["replay", "--job", &job, "--from", from]).len(), 3);
    assert_eq!(events(&["replay", "--since", "2100-01-01T00:00:00Z"]).len(), 0);
}

#[tokio::test]
async fn doctor_reports_how_to_fix_problems() {
    let folder = tempfile::tempdir().unwrap();
    let done = ffapi().arg("doctor").current_dir(folder.path()).output().unwrap();
    let printed = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(!done.status.success());
    for remedy in ["FFAPI_NATS__URL", "FFAPI_POSTGRES__URL", "FFAPI_SECRETS__MASTER_KEY"] {
        assert!(printed.contains(remedy), "{remedy}: {printed}");
    }
    // One missing secret is a problem, because no role would start.
    let secret = "ab".repeat(32);
    let mut command = ffapi();
    command.env("FFAPI_SECRETS__MASTER_KEY", &secret).env("FFAPI_SECRETS__PEPPER", &secret);
    let done = command.arg("doctor").current_dir(folder.path()).output().unwrap();
    let printed = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(printed.contains("FFAPI_SECRETS__SIGNING_KEY"), "{printed}");
}

#[test]
fn a_password_is_never_printed() {
    let printed = |verb: &[&str]| {
        let mut command = ffapi();
        command
            .env("FFAPI_NATS__URL", "nats://ffapi:hush@127.0.0.1:9")
            .env("FFAPI_POSTGRES__URL", "postgres:///db?host=/nowhere&password=hush");
        let done = command.args(verb).output().unwrap();
        let error = String::from_utf8_lossy(&done.stderr).into_owned();
        String::from_utf8_lossy(&done.stdout).into_owned() + &error
    };
    for verb in [&["doctor"][..], &["config", "print"], &["topology", "check"], &["migrate"]] {
        let printed = printed(verb);
        assert!(
            printed.contains("127.0.0.1:9") || printed.contains("migrat"),
            "{verb:?}: {printed}"
        );
        assert!(!printed.contains("hush"), "{verb:?}: {printed}");
    }
}

#[tokio::test]
async fn a_second_instance_in_the_same_folder_is_rejected() {
    let stack = Stack::new().await;
    let done = ffapi()
        .args(["up", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(stack.data.path())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(
        !done.status.success() && printed.contains("another `ffapi up` is running"),
        "{printed}"
    );
}

fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[tokio::test]
async fn child_processes_end_when_it_is_interrupted_or_killed() {
    for signal in ["INT", "KILL"] {
        let mut stack = Stack::new().await;
        let upload = stack.upload_bunny().await;
        let job = stack.convert(&upload, "a.mp4", crate::stack::slow()).await;
        stack.until(&job, |job| job.json["progress"].as_f64().unwrap_or(0.0) > 0.0).await;
        let children = crate::chaos::children(stack.pid(), "");
        assert!(children.len() >= 4, "servers and warm media children: {children:?}");
        let pid = stack.pid().to_string();
        Command::new("kill").args(["-s", signal, &pid]).status().unwrap();
        stack.exited().await;
        let left = async || children.iter().copied().filter(|child| alive(*child)).collect();
        until(left, |left: &Vec<_>| left.is_empty()).await;
        stack.restart().await;
    }
}

#[test]
fn a_command_ends_silently_with_the_reader_of_its_output() {
    let mut command = ffapi();
    let mut running = command
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(running.stdout.take());
    let ended = running.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
    assert_eq!(ended.status.code(), Some(141));
}

#[tokio::test]
async fn a_smoke_test_converts_a_video_and_leaves_nothing_behind() {
    let stack = Stack::new().await;
    let folder = stack.data.path().display().to_string();
    let run = |key: &[&str]| {
        let arguments = [&["smoke", "--url", &stack.url, "--data-dir", &folder][..], key].concat();
        let done = ffapi().args(arguments).output().unwrap();
        let error = String::from_utf8_lossy(&done.stderr).into_owned();
        (done.status.success(), String::from_utf8_lossy(&done.stdout).into_owned() + &error)
    };
    let (success, printed) = run(&[]);
    assert!(success && printed.matches("ok ").count() == 7, "{printed}");
    let uploads = stack.get("/uploads").await;
    assert_eq!(uploads.json["data"], serde_json::json!([]), "{uploads:#?}");
    let jobs = stack.get("/jobs").await;
    assert!(!jobs.text("/data/0/outputs_expired_at").is_empty(), "{jobs:#?}");
    let (success, printed) = run(&["--key", "ff_none"]);
    assert!(!success && printed.contains("GET /me: 401"), "{printed}");
}

#[test]
fn a_configuration_is_validated_without_any_server() {
    let validate = |settings: &[(&str, &str)]| {
        let arguments = ["config", "validate"];
        let done = ffapi().args(arguments).envs(settings.iter().copied()).output().unwrap();
        (done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let (valid, error) = validate(&[("FFAPI_NATS__URL", "nats://nats.invalid")]);
    assert!(valid, "{error}");
    for (name, value, shown) in [
        ("FFAPI_STORAGE__DEFAULT", "media", "media"),
        ("FFAPI_BACKUP__STORE", "s3://backups", "recipients"),
        ("FFAPI_SECRETS__PEPPER", "short", "pepper"),
        ("FFAPI_GATEWAY__PRICES__JOB", "-1.0", "0 or more"),
        ("FFAPI_GATEWAY__LISTEM", "127.0.0.1:1", "listem"),
    ] {
        let (valid, error) = validate(&[(name, value)]);
        assert!(!valid && error.contains(shown), "{name}: {error}");
    }
}

#[tokio::test]
async fn doctor_says_what_production_needs_beyond_a_service_that_works() {
    let stack = Stack::new().await;
    let (success, printed) = run(&stack, &["doctor"]);
    assert!(success, "{printed}");
    let (success, printed) = run(&stack, &["doctor", "--production"]);
    assert!(!success);
    for shown in [
        "ok    durability of Postgres: fsync",
        "WRONG replicas of the log: 1 of each stream",
        "ffapi topology apply --replicas 3",
        "WRONG transport",
        "WRONG store",
        "ok    sandbox: full",
    ] {
        assert!(printed.contains(shown), "{shown}: {printed}");
    }
}
