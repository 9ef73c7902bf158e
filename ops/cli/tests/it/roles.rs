//! The roles apart, two of each, against given NATS and Postgres.

use std::{
    collections::BTreeMap,
    process::{Child, Command},
    time::{Duration, Instant},
};

use embedded::{NatsServer, Postgres};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::stack::{PATIENCE, Stack, bunny, ffapi, free_port, http, quick, slow};

struct Fleet {
    settings: BTreeMap<String, String>,
    processes: Vec<(String, Child)>,
    key: String,
    urls: Vec<String>,
    nats: NatsServer,
    postgres: Postgres,
    data: tempfile::TempDir,
}

impl Fleet {
    async fn new() -> Self {
        // The first key comes from `ffapi up`; its servers' data is then taken over.
        let mut first = Stack::new().await;
        first.kill();
        let data = std::mem::replace(&mut first.data, embedded::temporary_folder().unwrap());
        let key = first.key.clone();
        let folder = data.path().canonicalize().unwrap();
        let nats = NatsServer::start(&folder.join("nats")).unwrap();
        let postgres = Postgres::start(&folder).unwrap();
        let secrets = std::fs::read_to_string(folder.join("secrets.json")).unwrap();
        let secrets: Value = serde_json::from_str(&secrets).unwrap();
        let text = |name: &str| secrets[name].as_str().unwrap().to_owned();
        let settings = BTreeMap::from([
            ("FFAPI_NATS__URL".to_owned(), nats.url()),
            ("FFAPI_POSTGRES__URL".to_owned(), postgres.url()),
            ("FFAPI_SECRETS__MASTER_KEY".to_owned(), text("master_key")),
            ("FFAPI_SECRETS__PEPPER".to_owned(), text("pepper")),
            ("FFAPI_STORAGE__ROOT".to_owned(), folder.join("storage").display().to_string()),
            ("FFAPI_WORKER__SLOTS".to_owned(), "1".to_owned()),
        ]);
        let processes = Vec::new();
        let mut fleet = Self { settings, processes, key, urls: vec![], nats, postgres, data };
        for role in ["projector", "conductor", "worker", "gateway"] {
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

    fn start(&mut self, role: &str) {
        let mut command = self.command();
        if role == "gateway" {
            let listen = format!("127.0.0.1:{}", free_port());
            self.urls.push(format!("http://{listen}"));
            command.env("FFAPI_GATEWAY__LISTEN", listen);
        }
        let process = command.arg(role).stderr(std::process::Stdio::null()).spawn().unwrap();
        self.processes.push((role.to_owned(), process));
    }

    fn kill_one(&mut self, role: &str) {
        let place = self.processes.iter().position(|(name, _)| name == role).unwrap();
        let (_, mut process) = self.processes.remove(place);
        process.kill().unwrap();
        process.wait().unwrap();
    }

    async fn get(&self, url: &str, path: &str) -> Option<(StatusCode, Value)> {
        let request = http().get(format!("{url}{path}")).header("x-api-key", &self.key);
        let answer = request.send().await.ok()?;
        Some((answer.status(), answer.json().await.unwrap_or_default()))
    }

    async fn until(
        &self,
        url: &str,
        path: &str,
        wanted: impl Fn(StatusCode, &Value) -> bool + Send + Sync,
    ) -> Value {
        let start = Instant::now();
        loop {
            let answer = self.get(url, path).await;
            if let Some((status, json)) = &answer
                && wanted(*status, json)
            {
                return json.clone();
            }
            assert!(start.elapsed() < PATIENCE, "{path}: {answer:?}");
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    async fn post(&self, path: &str, body: reqwest::Body) -> (StatusCode, Value) {
        let request = http()
            .post(format!("{}/api/v1{path}", self.urls[0]))
            .header("x-api-key", &self.key)
            .header("content-type", "application/json");
        let answer = request.body(body).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap_or_default())
    }

    async fn convert(&self, input: &str, output: &str, operations: Value) -> String {
        let body = json!({ "input": input, "output": output, "operations": operations });
        let (status, json) = self.post("/convert", body.to_string().into()).await;
        assert_eq!(status, StatusCode::CREATED, "{json}");
        json["job"]["id"].as_str().unwrap().to_owned()
    }

    async fn upload(&self) -> String {
        let (status, json) = self.post("/uploads", std::fs::read(bunny()).unwrap().into()).await;
        assert_eq!(status, StatusCode::CREATED, "{json}");
        json["id"].as_str().unwrap().to_owned()
    }

    /// The job as the second gateway shows it, once it is so.
    async fn job(&self, id: &str, wanted: impl Fn(&Value) -> bool + Send + Sync) -> Value {
        self.until(&self.urls[1], &format!("/api/v1/jobs/{id}"), |_, job| wanted(job)).await
    }

    async fn completed(&self, id: &str) -> Value {
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

#[tokio::test]
async fn two_of_each_do_every_job_once_and_one_of_each_may_die() {
    let mut fleet = Fleet::new().await;
    let upload = fleet.upload().await;
    let mut jobs = Vec::new();
    for n in 0..4 {
        jobs.push(fleet.convert(&upload, &format!("{n}.mp4"), quick()).await);
    }
    for job in &jobs {
        let job = fleet.completed(job).await;
        assert_eq!(job["attempts"].as_array().unwrap().len(), 1, "{job:#}");
    }
    fleet.kill_one("conductor");
    fleet.kill_one("projector");
    let job = fleet.convert(&upload, "after.mp4", quick()).await;
    fleet.completed(&job).await;
}

#[tokio::test]
async fn of_two_workers_with_the_same_task_one_wins() {
    let fleet = Fleet::new().await;
    let upload = fleet.upload().await;
    let job = fleet.convert(&upload, "a.mp4", slow()).await;
    fleet.job(&job, |job| job["progress"].as_f64().unwrap_or(0.0) > 0.0).await;
    // The very same task once more, under another name, so that the other worker gets it.
    let nats = nats::Nats::connect(&nats::NatsConfig { url: fleet.nats.url() }).await.unwrap();
    let work = nats::Work::new(nats);
    let task = json!({ "job": job, "tenant": "default", "attempt": 1 }).to_string();
    work.offer("cpu", &format!("copy.{job}.1"), task.into()).await.unwrap();
    let done = fleet.completed(&job).await;
    assert_eq!(done["attempts"].as_array().unwrap().len(), 1, "{done:#}");
    while work.names("cpu").await.unwrap().iter().any(|name| name.contains(&job)) {
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

#[tokio::test]
async fn a_dead_workers_job_goes_on_elsewhere_within_a_minute() {
    let mut fleet = Fleet::new().await;
    let upload = fleet.upload().await;
    fleet.kill_one("worker");
    let job = fleet.convert(&upload, "a.mp4", slow()).await;
    fleet.job(&job, |job| job["progress"].as_f64().unwrap_or(0.0) > 0.0).await;
    fleet.kill_one("worker");
    fleet.start("worker");
    let start = Instant::now();
    let job = fleet.job(&job, |job| job["attempt"] == 2).await;
    assert!(start.elapsed() < Duration::from_mins(1), "{:?}", start.elapsed());
    assert_eq!(job["attempts"][0]["outcome"], "abandoned", "{job:#}");
}

#[tokio::test]
async fn nothing_is_lost_while_nats_or_postgres_is_away() {
    let mut fleet = Fleet::new().await;
    let upload = fleet.upload().await;
    let job = fleet.convert(&upload, "a.mp4", slow()).await;
    fleet.job(&job, |job| job["progress"].as_f64().unwrap_or(0.0) > 0.0).await;

    fleet.nats.kill();
    let body = json!({ "input": upload, "output": "b.mp4" });
    let (status, problem) = fleet.post("/convert", body.to_string().into()).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
    assert_eq!(problem["retry_hint"], "retry");
    fleet.nats.restart().unwrap();

    fleet.postgres.kill();
    let away = fleet.get(&fleet.urls[0], &format!("/api/v1/jobs/{job}")).await.unwrap();
    assert_eq!(away.0, StatusCode::SERVICE_UNAVAILABLE, "{away:?}");
    while fleet.postgres.restart().is_err() {}

    let done = fleet.completed(&job).await;
    // The encode went on all the while: no attempt was lost.
    assert_eq!(done["attempts"].as_array().unwrap().len(), 1, "{done:#}");
    assert!(fleet.data.path().exists());
}
