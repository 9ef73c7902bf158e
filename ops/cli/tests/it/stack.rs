use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::polling::until;

/// A complete ffapi instance for one test, stopped when dropped.
pub(crate) struct Stack {
    process: Child,
    /// The path of the program; the media child is in the same folder.
    program: PathBuf,
    pub(crate) data: TempDir,
    pub(crate) url: String,
    pub(crate) key: String,
    http: reqwest::Client,
}

/// A response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub(crate) fn text(&self, pointer: &str) -> &str {
        self.json.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// The sorted pointers of its `errors`.
    pub(crate) fn pointers(&self) -> Vec<&str> {
        let errors = self.json["errors"].as_array().into_iter().flatten();
        let mut found: Vec<&str> = errors.filter_map(|error| error["pointer"].as_str()).collect();
        found.sort_unstable();
        found
    }
}

pub(crate) fn free_port() -> u16 {
    ffapi_embedded::free_port().unwrap()
}

pub(crate) fn ffapi() -> Command {
    program(Path::new(env!("CARGO_BIN_EXE_ffapi")))
}

fn program(path: &Path) -> Command {
    let mut command = Command::new(path);
    command.env_remove("FFAPI_KEY").env_remove("FFAPI_URL");
    // Tests run side by side, and one port has one listener.
    command.env("FFAPI_METRICS__LISTEN", "");
    command
}

pub(crate) fn bunny() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.join(".tools/media/bigbuckbunny.mp4").canonicalize().unwrap()
}

pub(crate) fn http() -> reqwest::Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::new()
}

fn launch(path: &Path, data: &Path, port: u16, settings: &[(&str, &str)]) -> Child {
    let mut command = program(path);
    command
        // Tests poll often.
        .env("FFAPI_TIERS__ENTERPRISE__REQUESTS_PER_HOUR", "1000000")
        .envs(settings.iter().copied())
        .env("FFAPI_FAILPOINTS", data.join("failpoints"))
        .args(["up", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"])
        .arg(data)
        .stdout(Stdio::null())
        .stderr(
            std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(data.join("up.log"))
                .unwrap(),
        )
        .spawn()
        .unwrap()
}

impl Stack {
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// Starts an instance with additional settings, which apply until it is restarted.
    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        Self::with_program(Path::new(env!("CARGO_BIN_EXE_ffapi")), settings).await
    }

    /// Starts an instance of another copy of the program, with another media child in its folder.
    pub(crate) async fn with_program(program: &Path, settings: &[(&str, &str)]) -> Self {
        let data = ffapi_embedded::temporary_folder().unwrap();
        Self::launched(program, data, settings).await
    }

    /// Starts an instance on a data folder that is there already.
    pub(crate) async fn on(data: TempDir, settings: &[(&str, &str)]) -> Self {
        Self::launched(Path::new(env!("CARGO_BIN_EXE_ffapi")), data, settings).await
    }

    /// Starts an instance on a data folder that was restored, with its own Postgres.
    pub(crate) async fn restored(data: TempDir) -> Self {
        std::fs::create_dir(data.path().join("failpoints")).unwrap();
        Self::started(Path::new(env!("CARGO_BIN_EXE_ffapi")), data, &[]).await
    }

    async fn launched(program: &Path, data: TempDir, settings: &[(&str, &str)]) -> Self {
        std::fs::create_dir(data.path().join("failpoints")).unwrap();
        let templates = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clusters");
        ffapi_embedded::Postgres::copy_cluster(&templates, data.path()).unwrap();
        Self::started(program, data, settings).await
    }

    async fn started(program: &Path, data: TempDir, settings: &[(&str, &str)]) -> Self {
        let port = free_port();
        let process = launch(program, data.path(), port, settings);
        let program = program.to_owned();
        let url = format!("http://127.0.0.1:{port}");
        let mut stack = Self { process, program, data, url, key: String::new(), http: http() };
        assert!(stack.ready().await, "the process exited at the start");
        let key = std::fs::read_to_string(stack.data.path().join("admin.key")).unwrap();
        key.trim().clone_into(&mut stack.key);
        stack
    }

    /// Waits until the instance is ready; false if the process exited before.
    async fn ready(&mut self) -> bool {
        let path = format!("{}/health/ready", self.url);
        let (http, process) = (&self.http, &mut self.process);
        let check = async || {
            if process.try_wait().unwrap().is_some() {
                return Some(false);
            }
            let answer = http.get(&path).send().await;
            answer.is_ok_and(|answer| answer.status().is_success()).then_some(true)
        };
        until(check, Option::is_some).await.unwrap()
    }

    /// The end of the process' log.
    fn recent_log(&self) -> String {
        let log = std::fs::read_to_string(self.data.path().join("up.log")).unwrap_or_default();
        let from = log.len().saturating_sub(8000);
        log.get(from..).unwrap_or(&log).to_owned()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Kills the process with SIGKILL.
    pub(crate) fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Asks the process to stop, with SIGTERM.
    pub(crate) fn terminate(&self) {
        let _ = Command::new("kill").arg(self.pid().to_string()).status();
    }

    /// Arms a failpoint: the next hit kills the child process named `target`, or the process itself
    /// if that is empty.
    pub(crate) fn arm_failpoint(&self, failpoint: &str, target: &str) {
        // Renamed, because the process acts on what it reads: an empty file would kill it.
        let unfinished = self.data.path().join("failpoint.unfinished");
        std::fs::write(&unfinished, target).unwrap();
        std::fs::rename(unfinished, self.data.path().join("failpoints").join(failpoint)).unwrap();
    }

    /// Waits until an armed failpoint was hit.
    pub(crate) async fn failpoint_hit(&self, failpoint: &str) {
        let armed = self.data.path().join("failpoints").join(failpoint);
        until(async || armed.exists().then_some(&armed), Option::is_none).await;
    }

    /// Waits until the process has exited by itself.
    pub(crate) async fn exited(&mut self) {
        until(async || self.has_exited(), |exited| *exited).await;
    }

    pub(crate) async fn died_and_restarted(&mut self) {
        self.died_and_restarted_with(&[]).await;
    }

    pub(crate) async fn died_and_restarted_with(&mut self, settings: &[(&str, &str)]) {
        self.exited().await;
        self.restart_with(settings).await;
    }

    pub(crate) fn has_exited(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }

    /// Restarts the instance with the same data and address.
    pub(crate) async fn restart(&mut self) {
        self.restart_with(&[]).await;
    }

    /// Restarts the instance with these settings.
    pub(crate) async fn restart_with(&mut self, settings: &[(&str, &str)]) {
        self.start_with(settings);
        // An armed failpoint may be hit during the start.
        while !self.ready().await {
            self.start_with(settings);
        }
    }

    /// Starts the process with these settings without waiting until it is ready. One that still runs is
    /// stopped before.
    pub(crate) fn start_with(&mut self, settings: &[(&str, &str)]) {
        if !self.has_exited() {
            self.terminate();
            self.process.wait().unwrap();
        }
        let port = self.url.rsplit(':').next().unwrap().parse().unwrap();
        self.process = launch(&self.program, self.data.path(), port, settings);
    }

    /// The URL of its private NATS for a user.
    pub(crate) fn nats_url(&self, user: &str) -> String {
        let folder = self.data.path().join("nats");
        let config = std::fs::read_to_string(folder.join("nats.conf")).unwrap();
        let users = std::fs::read_to_string(folder.join("users.json")).unwrap();
        let users: Value = serde_json::from_str(&users).unwrap();
        let (address, password) =
            (config.split('"').nth(1).unwrap(), users[user].as_str().unwrap());
        format!("nats://{user}:{password}@{address}")
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.request_as(&self.key, method, path)
    }

    /// A request with a key other than the first one.
    pub(crate) fn request_as(&self, secret: &str, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}/api/v1{path}", self.url);
        self.http.request(method, url).header("x-api-key", secret)
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let json = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default();
        Answer { status, headers, json }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// Writes a file directly into the tenant's storage, as an external program may, and returns
    /// its name.
    pub(crate) fn write_file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.data.path().join("storage/default").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        name.to_owned()
    }

    pub(crate) async fn upload(&self, bytes: Vec<u8>) -> String {
        let request = self
            .request(Method::POST, "/uploads")
            .header("content-type", "application/octet-stream")
            .header("content-disposition", "attachment; filename=\"video\"")
            .body(bytes);
        let answer = self.send(request).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        answer.text("/id").to_owned()
    }

    pub(crate) async fn upload_bunny(&self) -> String {
        self.upload(std::fs::read(bunny()).unwrap()).await
    }

    /// Submits a conversion and returns the job's id.
    pub(crate) async fn convert(&self, input: &str, output: &str, operations: Value) -> String {
        let body = json!({ "input": input, "output": output, "operations": operations });
        let answer = self.post("/convert", &body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        answer.text("/job/id").to_owned()
    }

    /// Polls a job until `wanted` holds.
    pub(crate) async fn until(&self, job: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
        self.poll(&format!("/jobs/{job}"), wanted).await
    }

    /// Requests a path until `wanted` accepts the response.
    pub(crate) async fn poll(&self, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
        let ask = async || {
            let answer = self.request(Method::GET, path).send().await?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            let json = serde_json::from_slice(&answer.bytes().await?).unwrap_or_default();
            Ok::<_, reqwest::Error>(Answer { status, headers, json })
        };
        until(ask, |answer| answer.as_ref().is_ok_and(&wanted)).await.unwrap()
    }

    pub(crate) async fn finished(&self, job: &str) -> Answer {
        self.until(job, |answer| {
            matches!(answer.text("/status"), "completed" | "failed" | "cancelled")
        })
        .await
    }

    /// Waits until a list has `count` entries, and checks that it never has more. A list is a
    /// separate read model, and may lag behind the state of each entry.
    pub(crate) async fn list_has(&self, path: &str, count: usize) {
        self.poll(path, |listed| {
            let found = listed.json["data"].as_array().map_or(0, Vec::len);
            assert!(found <= count, "{listed:#?}");
            found == count
        })
        .await;
    }

    /// Waits until a list, requested with this key, has `count` entries.
    pub(crate) async fn list_has_as(&self, secret: &str, path: &str, count: usize) {
        let ask = async || self.send(self.request_as(secret, Method::GET, path)).await;
        let found = |listed: &Answer| listed.json["data"].as_array().map_or(0, Vec::len);
        until(ask, |listed| found(listed) == count).await;
    }

    /// The types of a job's events, oldest first.
    pub(crate) async fn history(&self, job: &str) -> Vec<String> {
        let request = self.request(Method::GET, &format!("/jobs/{job}/events"));
        let answer = self.send(request.header("accept", "application/json")).await;
        let events = answer.json["data"].as_array().unwrap().clone();
        events.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    }

    /// Every file in the storage except uploads, including files left in staging.
    pub(crate) fn files(&self) -> Vec<String> {
        self.stored().into_iter().filter(|path| !path.contains("/.uploads/")).collect()
    }

    /// Every file in the storage.
    pub(crate) fn stored(&self) -> Vec<String> {
        fn walk(folder: &Path, found: &mut Vec<String>) {
            for entry in folder.read_dir().into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    walk(&path, found);
                } else {
                    found.push(path.display().to_string());
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.data.path().join("storage/default"), &mut found);
        found
    }
}

impl Drop for Stack {
    #[expect(clippy::print_stderr, reason = "in addition to the output of the test")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("its log:\n{}", self.recent_log());
        }
        // It then stops its children; if the test is killed, the kernel does.
        self.terminate();
        let _ = self.process.wait();
    }
}

/// One value that ffprobe reports.
pub(crate) fn probe(path: &Path, stream: &str, entry: &str) -> String {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-of", "default=nw=1:nk=1", "-show_entries", entry]);
    if !stream.is_empty() {
        command.args(["-select_streams", stream]);
    }
    let output = command.arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A quick conversion: one second, small.
pub(crate) fn quick() -> Value {
    json!([
        { "type": "trim", "start": 1, "duration": 1 },
        { "type": "scale", "height": 90 },
        { "type": "transcode", "preset": "ultrafast" },
    ])
}

/// A conversion that runs for some seconds.
pub(crate) fn steady() -> Value {
    json!([{ "type": "transcode", "preset": "medium" }])
}

/// A conversion that takes minutes, and so ends only by an interruption.
pub(crate) fn slow() -> Value {
    json!([{ "type": "scale", "height": 1080 }, { "type": "transcode", "preset": "veryslow" }])
}
