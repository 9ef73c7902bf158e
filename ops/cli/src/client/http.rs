use std::path::Path;

use anyhow::Context;
use futures::StreamExt;
use reqwest::{Body, RequestBuilder, Response};
use serde_json::Value;
use tokio::{fs::File, io::AsyncWriteExt};

use super::{key, text};
use crate::arguments::Server;

/// A client of one server with one key.
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    key: String,
}

impl Client {
    pub(crate) fn new(server: &Server) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().build()?;
        let key = key(server.key.as_deref(), server.key_file.as_deref())?;
        Ok(Self { http, url: server.url.trim_end_matches('/').to_owned(), key })
    }

    async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let answer = request.header("x-api-key", &self.key).send().await;
        let answer = answer.with_context(|| format!("{} does not respond", self.url))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let problem: Value = answer.json().await.unwrap_or_default();
        anyhow::bail!("{status}: {}", text(&problem, "/detail"))
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        Ok(self.send(self.http.get(format!("{}{path}", self.url))).await?.json().await?)
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let mut request = self.http.post(format!("{}{path}", self.url));
        if !body.is_null() {
            request = request.json(body);
        }
        Ok(self.send(request).await?.json().await?)
    }

    pub(crate) async fn delete(&self, path: &str) -> anyhow::Result<()> {
        self.send(self.http.delete(format!("{}{path}", self.url))).await.map(|_| ())
    }

    /// The bytes of a file, or of a part of it, like `bytes=0-99`.
    pub(crate) async fn bytes(&self, path: &str, range: Option<&str>) -> anyhow::Result<Vec<u8>> {
        let mut request = self.http.get(format!("{}{path}", self.url));
        if let Some(range) = range {
            request = request.header("range", range);
        }
        Ok(self.send(request).await?.bytes().await?.to_vec())
    }

    pub(crate) async fn upload(&self, path: &Path) -> anyhow::Result<Value> {
        let file = File::open(path).await.with_context(|| format!("{}", path.display()))?;
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("upload");
        // The service reads UTF-8; quotes and backslashes end the value.
        let name: String =
            name.chars().filter(|c| !c.is_control() && !"\"\\".contains(*c)).collect();
        let request = self
            .http
            .post(format!("{}/api/v1/uploads", self.url))
            .header("content-type", "application/octet-stream")
            .header("content-disposition", format!("attachment; filename=\"{name}\""))
            .body(Body::wrap_stream(tokio_util::io::ReaderStream::new(file)));
        Ok(self.send(request).await?.json().await?)
    }

    pub(crate) async fn download(&self, path: &str, to: &Path) -> anyhow::Result<()> {
        let answer = self.send(self.http.get(format!("{}{path}", self.url))).await?;
        let mut file = File::create(to).await.with_context(|| format!("{}", to.display()))?;
        let mut bytes = answer.bytes_stream();
        while let Some(chunk) = bytes.next().await {
            file.write_all(&chunk?).await?;
        }
        file.flush().await?;
        Ok(())
    }

    /// A job's events from the beginning, or after the last one seen.
    pub(crate) async fn events(&self, job: &str, after: Option<&str>) -> anyhow::Result<Response> {
        let mut request = self.http.get(format!("{}/api/v1/jobs/{job}/events", self.url));
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        self.send(request).await
    }
}
