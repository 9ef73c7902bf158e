//! A webhook receiver: a small HTTP server that records requests, with scripted responses.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::polling;

/// One received request.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Got {
    pub(crate) fn id(&self) -> &str {
        self.headers["webhook-id"].to_str().unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }

    /// Verifies the signature with the official library.
    pub(crate) fn is_signed_with(&self, secret: &str) -> bool {
        Webhook::new(secret).unwrap().verify(self.body.as_bytes(), &self.headers).is_ok()
    }
}

/// Verifies a `v1a` signature with another library than the sender's.
pub(crate) fn is_signed_by(got: &Got, public_key: &str) -> bool {
    let decode = |text: &str| STANDARD.decode(text).unwrap();
    let key = decode(public_key.strip_prefix("whpk_").unwrap());
    let key = UnparsedPublicKey::new(&ED25519, key);
    let header = |name: &str| got.headers[name].to_str().unwrap();
    let signed = format!("{}.{}.{}", got.id(), header("webhook-timestamp"), got.body);
    let signatures = header("webhook-signature").split(' ');
    let mut asymmetric = signatures.filter_map(|one| one.strip_prefix("v1a,"));
    asymmetric.any(|signature| key.verify(signed.as_bytes(), &decode(signature)).is_ok())
}

/// The receiver of one test, with the response by path: a status and more headers.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    pub(crate) got: Arc<Mutex<Vec<Got>>>,
    answers: Arc<Mutex<BTreeMap<String, (u16, String)>>>,
    /// Requests that were not answered.
    pub(crate) unanswered: Arc<Mutex<u64>>,
}

impl Receiver {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let this =
            Self { url, got: Arc::default(), answers: Arc::default(), unanswered: Arc::default() };
        let serving = this.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let this = serving.clone();
                tokio::spawn(async move { this.serve(connection).await });
            }
        });
        this
    }

    async fn serve(&self, connection: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(connection);
        let mut line = String::new();
        reader.read_line(&mut line).await.ok()?;
        let path = line.split(' ').nth(1)?.to_owned();
        let mut headers = HeaderMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).await.ok()?;
            let Some((name, value)) = line.trim().split_once(": ") else { break };
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            headers.append(name, HeaderValue::from_str(value).ok()?);
        }
        let length: usize = headers.get("content-length")?.to_str().ok()?.parse().ok()?;
        let mut body = vec![0; length];
        reader.read_exact(&mut body).await.ok()?;
        let body = String::from_utf8_lossy(&body).into_owned();
        let answer = self.answers.lock().unwrap().get(&path).cloned();
        let (status, more) = answer.unwrap_or((200, String::new()));
        if status == 0 {
            *self.unanswered.lock().unwrap() += 1;
            std::future::pending::<()>().await;
        }
        self.got.lock().unwrap().push(Got { path, headers, body });
        let answer = format!(
            "HTTP/1.1 {status} X\r\ncontent-length: 5\r\nconnection: close\r\n{more}\r\nthere"
        );
        reader.get_mut().write_all(answer.as_bytes()).await.ok()
    }

    pub(crate) fn answer(&self, path: &str, status: u16, more: &str) {
        self.answers.lock().unwrap().insert(path.to_owned(), (status, more.to_owned()));
    }

    pub(crate) fn at(&self, path: &str) -> Vec<Got> {
        self.got.lock().unwrap().iter().filter(|got| got.path == path).cloned().collect()
    }

    pub(crate) async fn until(&self, path: &str, wanted: impl Fn(&[Got]) -> bool) -> Vec<Got> {
        polling::until(async || self.at(path), |got: &Vec<Got>| wanted(got)).await
    }
}
