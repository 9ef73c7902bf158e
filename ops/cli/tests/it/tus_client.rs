//! A client of tus, and requests that wait before they send.

use reqwest::{Method, RequestBuilder, header::HeaderMap};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::stack::{Stack, bunny, http};

pub(crate) const BYTES: &str = "application/offset+octet-stream";

/// A client of tus at one gateway.
pub(crate) struct Client<'a> {
    pub(crate) url: &'a str,
    pub(crate) key: &'a str,
}

/// What it is answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    headers: HeaderMap,
    #[expect(dead_code, reason = "only in the output of failed tests")]
    body: String,
}

impl Answered {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn offset(&self) -> usize {
        self.header("upload-offset").parse().ok().unwrap_or_else(|| unreachable!("{self:?}"))
    }
}

impl Client<'_> {
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        http()
            .request(method, format!("{}{path}", self.url))
            .header("x-api-key", self.key)
            .header("tus-resumable", "1.0.0")
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Answered {
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Answered { status, headers, body: answer.text().await.unwrap() }
    }

    /// Begins an upload with these headers; returns its path.
    pub(crate) async fn create(&self, headers: &[(&str, &str)]) -> String {
        let mut request = self.request(Method::POST, "/api/v1/uploads");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let created = self.send(request).await;
        assert_eq!(created.status, 201, "{created:?}");
        assert_eq!(created.header("tus-resumable"), "1.0.0");
        created.header("location").to_owned()
    }

    pub(crate) fn patch(&self, path: &str, offset: usize, bytes: &[u8]) -> RequestBuilder {
        let request = self.request(Method::PATCH, path).header("content-type", BYTES);
        request.header("upload-offset", offset.to_string()).body(bytes.to_vec())
    }

    pub(crate) async fn append(&self, path: &str, offset: usize, bytes: &[u8]) -> Answered {
        self.send(self.patch(path, offset, bytes)).await
    }

    pub(crate) async fn head(&self, path: &str) -> Answered {
        self.send(self.request(Method::HEAD, path)).await
    }
}

pub(crate) fn client(stack: &Stack) -> Client<'_> {
    Client { url: &stack.url, key: &stack.key }
}

pub(crate) fn id(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

pub(crate) fn media() -> Vec<u8> {
    std::fs::read(bunny()).unwrap()
}

/// A request that continues an upload from its beginning and has sent nothing but its headers.
pub(crate) struct Waiting {
    connection: TcpStream,
}

impl Waiting {
    /// Sends the headers, and waits until the gateway wants the bytes.
    pub(crate) async fn begin(
        client: &Client<'_>,
        path: &str,
        bytes: usize,
        headers: &str,
    ) -> Self {
        let head = format!(
            "PATCH {path} HTTP/1.1\r\nhost: localhost\r\nx-api-key: {}\r\ntus-resumable: 1.0.0\r\n\
             connection: close\r\nupload-offset: 0\r\ncontent-type: {BYTES}\r\n{headers}\
             expect: 100-continue\r\ncontent-length: {bytes}\r\n\r\n",
            client.key
        );
        let address = client.url.trim_start_matches("http://");
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 25];
        connection.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
        Self { connection }
    }

    /// Sends the next bytes.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.connection.write_all(bytes).await.unwrap();
    }

    /// Sends the last bytes; returns the answer's status.
    pub(crate) async fn end(mut self, bytes: &[u8]) -> u16 {
        self.send(bytes).await;
        let mut answer = String::new();
        self.connection.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.unwrap_or_else(|| unreachable!("{answer}"))
    }
}
