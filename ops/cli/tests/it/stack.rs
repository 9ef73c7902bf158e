use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::patience::until;

/// A whole ffapi of a test's own, ended with it.
pub(crate) struct Stack {
    process: Child,
    /// The program; the media child stands beside it.
    program: PathBuf,
    pub(crate) data: TempDir,
    pub(crate) url: String,
    pub(crate) key: String,
    http: reqwest::Client,
}

/// What came back.
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
    command
}

pub(crate) fn bunny() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.join(".tools/media/bigbuckbunny.mp4").canonicalize().unwrap()
}

pub(crate) fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

fn launch(path: &Path, data: &Path, port: u16, settings: &[(&str, &str)]) -> Child {
    let mut command = program(path);
    command
        // A test asks again and again whether something is there.
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

    /// One with settings of its own, until it is started again.
    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        Self::of(Path::new(env!("CARGO_BIN_EXE_ffapi")), settings).await
    }

    /// One of a program that stands elsewhere, with another media child beside it.
    pub(crate) async fn of(program: &Path, settings: &[(&str, &str)]) -> Self {
        let data = ffapi_embedded::temporary_folder().unwrap();
        std::fs::create_dir(data.path().join("failpoints")).unwrap();
        let port = free_port();
        let process = launch(program, data.path(), port, settings);
        let program = program.to_owned();
        let url = format!("http://127.0.0.1:{port}");
        let mut stack = Self { process, program, data, url, key: String::new(), http: http() };
        assert!(stack.ready().await, "it does not start");
        let key = std::fs::read_to_string(stack.data.path().join("admin.key")).unwrap();
        key.trim().clone_into(&mut stack.key);
        stack
    }

    /// Waits until it is ready; false if it died before that.
    async fn ready(&mut self) -> bool {
        let path = format!("{}/health/ready", self.url);
        let (http, process) = (&self.http, &mut self.process);
        let look = async || {
            if process.try_wait().unwrap().is_some() {
                return Some(false);
            }
            let answer = http.get(&path).send().await;
            answer.is_ok_and(|answer| answer.status().is_success()).then_some(true)
        };
        until(look, Option::is_some).await.unwrap()
    }

    /// What the process had to say lately.
    fn said(&self) -> String {
        let log = std::fs::read_to_string(self.data.path().join("up.log")).unwrap_or_default();
        let from = log.len().saturating_sub(8000);
        log.get(from..).unwrap_or(&log).to_owned()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Whoever comes by a named place next kills a child process, or, with no name, itself.
    pub(crate) fn arm(&self, place: &str, whom: &str) {
        std::fs::write(self.data.path().join("failpoints").join(place), whom).unwrap();
    }

    /// Waits until somebody came by an armed place.
    pub(crate) async fn fired(&self, place: &str) {
        let armed = self.data.path().join("failpoints").join(place);
        until(async || armed.exists().then_some(&armed), Option::is_none).await;
    }

    /// Waits until the process has ended by itself.
    pub(crate) async fn died(&mut self) {
        until(async || self.has_died(), |died| *died).await;
    }

    pub(crate) async fn died_and_came_again(&mut self) {
        self.died_and_came_again_with(&[]).await;
    }

    pub(crate) async fn died_and_came_again_with(&mut self, settings: &[(&str, &str)]) {
        self.died().await;
        self.again_with(settings).await;
    }

    pub(crate) fn has_died(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }

    /// Starts it again where it was.
    pub(crate) async fn again(&mut self) {
        self.again_with(&[]).await;
    }

    /// Starts it again where it was, with these settings.
    pub(crate) async fn again_with(&mut self, settings: &[(&str, &str)]) {
        self.start_with(settings);
        // What a test armed may be come by while it starts.
        while !self.ready().await {
            self.start_with(settings);
        }
    }

    /// The same, for as long as it lives.
    pub(crate) fn start_with(&mut self, settings: &[(&str, &str)]) {
        let port = self.url.rsplit(':').next().unwrap().parse().unwrap();
        self.process = launch(&self.program, self.data.path(), port, settings);
    }

    /// What one of the users of its private NATS connects to.
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

    /// With another key than the first.
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

    /// A file of the tenant's own storage, as somebody else than us may put it there: its name.
    pub(crate) fn place(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.data.path().join("storage/default").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        name.to_owned()
    }

    pub(crate) async fn upload(&self, bytes: Vec<u8>) -> String {
        let request = self
            .request(Method::POST, "/uploads")
            .header("content-type", "application/octet-stream")
            .header("content-disposition", "attachment; filename=\"film\"")
            .body(bytes);
        let answer = self.send(request).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        answer.text("/id").to_owned()
    }

    pub(crate) async fn upload_bunny(&self) -> String {
        self.upload(std::fs::read(bunny()).unwrap()).await
    }

    /// Submits a conversion and answers the job's id.
    pub(crate) async fn convert(&self, input: &str, output: &str, operations: Value) -> String {
        let body = json!({ "input": input, "output": output, "operations": operations });
        let answer = self.post("/convert", &body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        answer.text("/job/id").to_owned()
    }

    /// Polls a job until `wanted` holds.
    pub(crate) async fn until(&self, job: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
        self.polled(&format!("/jobs/{job}"), wanted).await
    }

    /// Asks until `wanted` holds of the answer.
    pub(crate) async fn polled(&self, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
        let ask = async || {
            let answer = self.request(Method::GET, path).send().await?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            let json = serde_json::from_slice(&answer.bytes().await?).unwrap_or_default();
            Ok::<_, reqwest::Error>(Answer { status, headers, json })
        };
        until(ask, |answer| answer.as_ref().is_ok_and(&wanted)).await.unwrap()
    }

    pub(crate) async fn over(&self, job: &str) -> Answer {
        self.until(job, |answer| {
            matches!(answer.text("/status"), "completed" | "failed" | "cancelled")
        })
        .await
    }

    /// Waits until a list has so many entries, and sees that it never has more: it is a read model of
    /// its own, and may be a moment behind what each entry says of itself.
    pub(crate) async fn lists(&self, path: &str, count: usize) {
        self.polled(path, |listed| {
            let found = listed.json["data"].as_array().map_or(0, Vec::len);
            assert!(found <= count, "{listed:#?}");
            found == count
        })
        .await;
    }

    /// The same as seen with another key than the first.
    pub(crate) async fn lists_as(&self, secret: &str, path: &str, count: usize) {
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

    /// Every file in the store that a user could see or that was left in staging.
    pub(crate) fn files(&self) -> Vec<String> {
        self.stored().into_iter().filter(|path| !path.contains("/.uploads/")).collect()
    }

    /// Every file in the store.
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
    #[expect(clippy::print_stderr, reason = "beside what the test itself says")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("what it had to say:\n{}", self.said());
        }
        // SIGTERM lets it take its children along; the kernel does so if we are killed.
        if let Ok(pid) = i32::try_from(self.process.id()) {
            let _ = Command::new("kill").arg(pid.to_string()).status();
        }
        let _ = self.process.wait();
    }
}

/// One value as ffprobe sees it.
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

/// One that is seen at work for some seconds, and ends.
pub(crate) fn steady() -> Value {
    json!([{ "type": "transcode", "preset": "medium" }])
}

/// One that takes so long that only an interruption ends it: minutes, where much else runs.
pub(crate) fn slow() -> Value {
    json!([{ "type": "scale", "height": 1080 }, { "type": "transcode", "preset": "veryslow" }])
}
