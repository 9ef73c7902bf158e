//! A collector: a server that records what is pushed to it by OTLP, over HTTP or gRPC.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use h2::server::SendResponse;
use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{AnyValue, KeyValue, any_value::Value},
};
use prost::Message;
use reqwest::header::HeaderMap;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::polling;

/// A span that was received.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    /// The `service.name` of its process.
    pub(crate) service: String,
    pub(crate) name: String,
    pub(crate) trace: String,
    pub(crate) id: String,
    /// The id of its parent; empty if it has none.
    pub(crate) parent: String,
    /// The trace and the id of each span that it is linked to.
    pub(crate) links: Vec<(String, String)>,
    pub(crate) attributes: BTreeMap<String, String>,
    /// Nanoseconds since 1970.
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// A log line that was received.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) body: String,
    /// The trace that it is in; empty if it is in none.
    pub(crate) trace: String,
    pub(crate) attributes: BTreeMap<String, String>,
}

/// How a collector is pushed to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Protocol {
    Http,
    Grpc,
}

/// The collector of one test.
#[derive(Clone)]
pub(crate) struct Collector {
    pub(crate) url: String,
    spans: Arc<Mutex<Vec<Span>>>,
    lines: Arc<Mutex<Vec<Line>>>,
    /// The headers of the newest push.
    pub(crate) headers: Arc<Mutex<HeaderMap>>,
}

impl Collector {
    pub(crate) async fn new(protocol: Protocol) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (spans, lines, headers) = Default::default();
        let this = Self { url, spans, lines, headers };
        let serving = this.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let this = serving.clone();
                tokio::spawn(async move {
                    match protocol {
                        Protocol::Http => this.serve_http(connection).await,
                        Protocol::Grpc => this.serve_grpc(connection).await,
                    }
                });
            }
        });
        this
    }

    async fn serve_http(&self, connection: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(connection);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).await.ok()?;
            let path = line.split(' ').nth(1)?.to_owned();
            let mut headers = HeaderMap::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).await.ok()?;
                let Some((name, value)) = line.trim().split_once(": ") else { break };
                let name: reqwest::header::HeaderName = name.parse().ok()?;
                headers.append(name, value.parse().ok()?);
            }
            let mut body = vec![0; headers.get("content-length")?.to_str().ok()?.parse().ok()?];
            reader.read_exact(&mut body).await.ok()?;
            self.receive(&path, headers, &body);
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            reader.get_mut().write_all(answer.as_bytes()).await.ok()?;
        }
    }

    async fn serve_grpc(&self, connection: TcpStream) -> Option<()> {
        let mut connection = h2::server::handshake(connection).await.ok()?;
        while let Some(Ok((request, answer))) = connection.accept().await {
            let this = self.clone();
            tokio::spawn(async move { this.call(request, answer).await });
        }
        Some(())
    }

    /// Answers one call: its message and the answer's have a prefix of five bytes, a flag and a length.
    async fn call(
        &self,
        request: http::Request<h2::RecvStream>,
        mut answer: SendResponse<bytes::Bytes>,
    ) -> Option<()> {
        let (head, mut body) = request.into_parts();
        let mut message = Vec::new();
        while let Some(chunk) = body.data().await {
            let chunk = chunk.ok()?;
            message.extend_from_slice(&chunk);
            body.flow_control().release_capacity(chunk.len()).ok()?;
        }
        self.receive(head.uri.path(), head.headers, message.get(5..)?);
        let response = http::Response::builder().header("content-type", "application/grpc");
        let mut sending = answer.send_response(response.body(()).ok()?, false).ok()?;
        sending.send_data(bytes::Bytes::from_static(&[0; 5]), false).ok()?;
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().ok()?);
        sending.send_trailers(trailers).ok()
    }

    fn receive(&self, path: &str, headers: HeaderMap, body: &[u8]) {
        *self.headers.lock().unwrap() = headers;
        match path {
            "/v1/traces" | "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => {
                self.receive_spans(body);
            }
            "/v1/logs" | "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => {
                self.receive_lines(body);
            }
            _ => {}
        }
    }

    fn receive_lines(&self, body: &[u8]) {
        let pushed = ExportLogsServiceRequest::decode(body).unwrap();
        let records = pushed.resource_logs.into_iter().flat_map(|of| of.scope_logs);
        let records = records.flat_map(|of| of.log_records);
        self.lines.lock().unwrap().extend(records.map(|record| Line {
            body: text(record.body.as_ref()),
            trace: hex::encode(record.trace_id),
            attributes: texts(&record.attributes),
        }));
    }

    fn receive_spans(&self, body: &[u8]) {
        let pushed = ExportTraceServiceRequest::decode(body).unwrap();
        for of in pushed.resource_spans {
            let resource = texts(&of.resource.unwrap_or_default().attributes);
            let spans = of.scope_spans.into_iter().flat_map(|of| of.spans);
            self.spans.lock().unwrap().extend(spans.map(|span| {
                Span {
                    service: resource["service.name"].clone(),
                    name: span.name,
                    trace: hex::encode(span.trace_id),
                    id: hex::encode(span.span_id),
                    parent: hex::encode(span.parent_span_id),
                    links: span
                        .links
                        .iter()
                        .map(|link| (hex::encode(&link.trace_id), hex::encode(&link.span_id)))
                        .collect(),
                    attributes: texts(&span.attributes),
                    start: span.start_time_unix_nano,
                    end: span.end_time_unix_nano,
                }
            }));
        }
    }

    /// All lines that were received so far.
    pub(crate) fn lines(&self) -> Vec<Line> {
        self.lines.lock().unwrap().clone()
    }

    /// All spans that were received so far.
    pub(crate) fn all(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }

    /// The spans of a trace, once `wanted` accepts them.
    pub(crate) async fn trace(&self, id: &str, wanted: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let received = async || {
            let all = self.all().into_iter();
            all.filter(|span| span.trace == id).collect::<Vec<_>>()
        };
        polling::until(received, |spans| wanted(spans)).await
    }
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|any| any.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        other => format!("{other:?}"),
    }
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    attributes.iter().map(|of| (of.key.clone(), text(of.value.as_ref()))).collect()
}
