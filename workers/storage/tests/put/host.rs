use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// A request as the host received it.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// What the host does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// A status, further header lines, and a body.
    Status(u16, String, &'static str),
    /// Reads half of the file and closes the connection.
    Drop,
    /// Answers 200 before it reads the file, then reads all of it.
    Early,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self::Status(status, String::new(), "")
    }
}

/// A host that gives one reply after the other, and then always 200.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) url: String,
    replies: Arc<Mutex<VecDeque<Reply>>>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Host {
    pub(crate) async fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            replies: Arc::new(Mutex::new(replies.into_iter().collect())),
            requests: Arc::default(),
        };
        let serving = host.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let host = serving.clone();
                tokio::spawn(async move { host.serve(connection).await });
            }
        });
        host
    }

    async fn serve(&self, connection: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(connection);
        let (mut line, mut headers) = (String::new(), vec![]);
        reader.read_line(&mut line).await.ok()?;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).await.ok()?;
            if header.trim().is_empty() {
                break;
            }
            headers.push(header.trim().to_owned());
        }
        let mut request = Request { line: line.trim().to_owned(), headers, body: vec![] };
        let length = request.header("content-length").and_then(|length| length.parse().ok());
        let reply = self.replies.lock().unwrap().pop_front().unwrap_or_else(|| Reply::status(200));
        // Without a length, what S3 answers.
        let length: usize = length.unwrap_or(0);
        if let Reply::Drop = reply {
            request.body = vec![0; length / 2];
            reader.read_exact(&mut request.body).await.ok()?;
            self.requests.lock().unwrap().push(request);
            return None;
        }
        if let Reply::Early = reply {
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            reader.get_mut().write_all(answer.as_bytes()).await.ok()?;
        }
        request.body = vec![0; length];
        reader.read_exact(&mut request.body).await.ok()?;
        self.requests.lock().unwrap().push(request);
        let Reply::Status(status, more, body) = reply else { return None };
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n{more}\r\n{body}"
        );
        reader.get_mut().write_all(answer.as_bytes()).await.ok()
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}
