//! A fleet for one test: separate processes, two of each role, with one NATS and Postgres.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
};

use ffapi_embedded::{NatsServer, Postgres};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    polling::until,
    stack::{Answer, Stack, bunny, ffapi, free_port, http},
};

pub(crate) struct Fleet {
    settings: BTreeMap<String, String>,
    disks: Disks,
    processes: Vec<(String, Child)>,
    pub(crate) key: String,
    pub(crate) urls: Vec<String>,
    pub(crate) nats: NatsServer,
    pub(crate) postgres: Postgres,
    pub(crate) data: tempfile::TempDir,
}

/// The disks of a fleet's processes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Disks {
    /// All processes have one.
    Shared,
    /// Each process has its own.
    Separate,
}

impl Fleet {
    pub(crate) async fn new() -> Self {
        Self::of(&["projector", "conductor", "worker", "gateway"]).await
    }

    /// A fleet in which no worker was ever started.
    pub(crate) async fn without_workers() -> Self {
        Self::of(&["projector", "conductor", "gateway"]).await
    }

    /// A fleet with additional settings whose processes have no disk in common.
    pub(crate) async fn on_separate_disks(settings: &[(&str, &str)]) -> Self {
        let roles = ["projector", "conductor", "worker", "gateway"];
        Self::start_all(&roles, Disks::Separate, settings).await
    }

    /// A fleet of two processes of each of these roles.
    pub(crate) async fn of(roles: &[&str]) -> Self {
        Self::start_all(roles, Disks::Shared, &[]).await
    }

    async fn start_all(roles: &[&str], disks: Disks, additional: &[(&str, &str)]) -> Self {
        // `ffapi up` creates the first key; the data of its servers is then used by the fleet.
        let mut first = Stack::new().await;
        first.kill();
        let data = std::mem::replace(&mut first.data, ffapi_embedded::temporary_folder().unwrap());
        let key = first.key.clone();
        let folder = data.path().canonicalize().unwrap();
        let nats = NatsServer::start(&folder.join("nats")).unwrap();
        let postgres = Postgres::start(&folder).unwrap();
        let secrets = std::fs::read_to_string(folder.join("secrets.json")).unwrap();
        let secrets: Value = serde_json::from_str(&secrets).unwrap();
        let text = |name: &str| secrets[name].as_str().unwrap().to_owned();
        let mut settings = BTreeMap::from([
            ("FFAPI_NATS__URL".to_owned(), nats.url()),
            ("FFAPI_POSTGRES__URL".to_owned(), postgres.url()),
            ("FFAPI_SECRETS__MASTER_KEY".to_owned(), text("master_key")),
            ("FFAPI_SECRETS__PEPPER".to_owned(), text("pepper")),
            ("FFAPI_SECRETS__SIGNING_KEY".to_owned(), text("signing_key")),
            ("FFAPI_STORAGE__ROOT".to_owned(), folder.join("storage").display().to_string()),
            ("FFAPI_WORKER__SLOTS".to_owned(), "1".to_owned()),
            ("FFAPI_TIERS__ENTERPRISE__REQUESTS_PER_HOUR".to_owned(), "1000000".to_owned()),
        ]);
        let additional = additional.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        settings.extend(additional);
        let processes = Vec::new();
        let mut fleet =
            Self { settings, disks, processes, key, urls: vec![], nats, postgres, data };
        for role in roles {
            fleet.start(role);
            fleet.start(role);
        }
        for url in fleet.urls.clone() {
            fleet.until(&url, "/health/ready", |status, _| status == StatusCode::OK).await;
        }
        fleet
    }

    fn command(&self) -> Command {
        let mut command = ffapi();
        command.envs(&self.settings);
        command
    }

    pub(crate) fn start(&mut self, role: &str) {
        self.start_with(role, &[]);
    }

    /// Starts a role with additional settings.
    pub(crate) fn start_with(&mut self, role: &str, settings: &[(&str, &str)]) {
        let mut command = self.command();
        if self.disks == Disks::Separate {
            let disk = self.data.path().join(format!("disk-{role}-{}", self.processes.len()));
            command.env("FFAPI_STORAGE__ROOT", disk);
        }
        command.envs(settings.iter().copied());
        if role == "gateway" {
            let listen = format!("127.0.0.1:{}", free_port());
            self.urls.push(format!("http://{listen}"));
            command.env("FFAPI_GATEWAY__LISTEN", listen);
        }
        let process = command.arg(role).stderr(Stdio::null()).spawn().unwrap();
        self.processes.push((role.to_owned(), process));
    }

    /// Runs a command with the fleet's settings until it ends.
    pub(crate) async fn run(&self, arguments: &[&str]) -> ExitStatus {
        let mut command = self.command();
        command.args(arguments).stderr(Stdio::null());
        tokio::task::spawn_blocking(move || command.status().unwrap()).await.unwrap()
    }

    pub(crate) fn kill_one(&mut self, role: &str) {
        let index = self.processes.iter().position(|(name, _)| name == role).unwrap();
        let (_, mut process) = self.processes.remove(index);
        process.kill().unwrap();
        process.wait().unwrap();
    }

    pub(crate) async fn get(&self, url: &str, path: &str) -> Option<(StatusCode, Value)> {
        let request = http().get(format!("{url}{path}")).header("x-api-key", &self.key);
        let answer = request.send().await.ok()?;
        Some((answer.status(), answer.json().await.unwrap_or_default()))
    }

    pub(crate) async fn until(
        &self,
        url: &str,
        path: &str,
        wanted: impl Fn(StatusCode, &Value) -> bool,
    ) -> Value {
        let there = |answer: &Option<(StatusCode, Value)>| {
            answer.as_ref().is_some_and(|(status, json)| wanted(*status, json))
        };
        until(async || self.get(url, path).await, there).await.unwrap().1
    }

    /// Sends a body once, with an idempotency key.
    pub(crate) async fn post(&self, path: &str, body: reqwest::Body, key: &str) -> Answer {
        let mut request = http()
            .post(format!("{}/api/v1{path}", self.urls[0]))
            .header("x-api-key", &self.key)
            .header("content-type", "application/json");
        if !key.is_empty() {
            request = request.header("idempotency-key", key);
        }
        let answer = request.body(body).send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        Answer { status, headers, json: answer.json().await.unwrap_or_default() }
    }

    pub(crate) async fn convert(&self, input: &str, output: &str, operations: Value) -> String {
        let body = json!({ "input": input, "output": output, "operations": operations });
        let answer = self.post("/convert", body.to_string().into(), output).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        answer.text("/job/id").to_owned()
    }

    pub(crate) async fn upload(&self) -> String {
        self.upload_file(&bunny()).await
    }

    pub(crate) async fn upload_file(&self, path: &Path) -> String {
        let answer = self.post("/uploads", std::fs::read(path).unwrap().into(), "").await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        answer.text("/id").to_owned()
    }

    /// Polls a job at the second gateway until `wanted` accepts it.
    pub(crate) async fn job(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.until(&self.urls[1], &format!("/api/v1/jobs/{id}"), |_, job| wanted(job)).await
    }

    pub(crate) async fn completed(&self, id: &str) -> Value {
        let over = |job: &Value| job["completed_at"].is_string();
        let job = self.job(id, over).await;
        assert_eq!(job["status"], "completed", "{job:#}");
        job
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for (_, process) in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
