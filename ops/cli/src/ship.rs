//! Exports the audit trail, entry by entry, to log collectors: at least once, in order.

mod otlp;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Context;
use ffapi_domain::{Category, Timestamp};
use ffapi_nats::subject;
use ffapi_projections::{
    ProjectionError,
    audit::{self, AuditRow},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, UdpSocket},
};

use self::otlp::Collector;
use crate::roles::{self, AppContext};

/// Maximum length of a syslog message over UDP.
const MAX_DATAGRAM_BYTES: usize = 8_192;

/// The last sequences of the log and of the audit notes that were sent.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Cursor {
    decisions: u64,
    notes: u64,
}

/// The destination of entries.
enum Sink {
    StandardOutput,
    Udp(UdpSocket),
    Tcp(TcpStream),
    Otlp(Collector),
}

/// Sends existing and new entries until it is interrupted.
pub(crate) async fn follow(
    context: &AppContext,
    state: Option<PathBuf>,
    syslog: Option<String>,
    otlp: Option<String>,
) -> anyhow::Result<()> {
    let stop = roles::stop_on_signal()?;
    let mut sink = match otlp {
        Some(url) => Sink::Otlp(Collector::open(&url)?),
        None => Sink::open(syslog.as_deref()).await?,
    };
    let mut cursor = state.as_deref().map(read).transpose()?.unwrap_or_default();
    let (log, codec) = (context.commands.log(), context.commands.codec());
    let mut decisions = log.follow_only(
        [subject::category(Category::Key.as_str()), subject::category(Category::Account.as_str())],
        cursor.decisions.saturating_add(1),
    );
    let mut notes =
        log.notes().follow_only([subject::ALL_NOTES.to_owned()], cursor.notes.saturating_add(1));
    loop {
        let (message, is_note) = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            message = decisions.next() => (message, false),
            message = notes.next() => (message, true),
        };
        match audit::rows(codec, &message).await {
            Ok(rows) => {
                for row in rows {
                    sink.send(&row).await?;
                }
            }
            // It can never be decoded, so it is skipped.
            Err(ProjectionError::Poison { sequence, flaw }) => {
                tracing::error!(sequence, %flaw, "an entry cannot be decoded and is skipped");
            }
            Err(error) => return Err(error.into()),
        }
        *(if is_note { &mut cursor.notes } else { &mut cursor.decisions }) = message.sequence;
        if let Some(state) = &state {
            // Replaced atomically. After a crash an entry may be sent twice, but none is lost.
            let draft = state.with_extension("new");
            fs::write(&draft, serde_json::to_string(&cursor)?)?;
            fs::rename(draft, state)?;
        }
    }
}

fn read(state: &Path) -> anyhow::Result<Cursor> {
    if !state.exists() {
        return Ok(Cursor::default());
    }
    let text = fs::read_to_string(state)?;
    serde_json::from_str(&text).with_context(|| format!("{} is not a state file", state.display()))
}

fn entry(row: &AuditRow) -> Value {
    let at = Timestamp::from_millis(u64::try_from(row.at).unwrap_or(0));
    let AuditRow { source, sequence, index, tenant, actor, address, action, target, .. } = row;
    json!({
        "id": format!("{source}-{sequence}-{index}"), "at": at, "tenant": tenant, "actor": actor,
        "address": address, "action": action, "target": target, "request_id": row.request_id,
        "detail": row.detail,
    })
}

/// RFC 5424: facility 13 (log audit), severity 5 (notice); the entry as JSON.
fn syslog_line(row: &AuditRow) -> String {
    let at = Timestamp::from_millis(u64::try_from(row.at).unwrap_or(0));
    let (process, action) = (std::process::id(), &row.action);
    format!("<109>1 {at} - ffapi {process} {action} - {}", entry(row))
}

impl Sink {
    async fn open(syslog: Option<&str>) -> anyhow::Result<Self> {
        let Some(url) = syslog else { return Ok(Self::StandardOutput) };
        let (scheme, address) = url.split_once("://").unwrap_or(("", url));
        Ok(match scheme {
            "udp" => {
                let socket = UdpSocket::bind("0.0.0.0:0").await?;
                socket.connect(address).await.with_context(|| url.to_owned())?;
                Self::Udp(socket)
            }
            "tcp" => Self::Tcp(TcpStream::connect(address).await.with_context(|| url.to_owned())?),
            _ => anyhow::bail!("--syslog is udp://host:port or tcp://host:port"),
        })
    }

    async fn send(&mut self, row: &AuditRow) -> anyhow::Result<()> {
        match self {
            Self::StandardOutput => {
                let mut out = std::io::stdout();
                writeln!(out, "{}", entry(row))?;
                out.flush()?;
            }
            Self::Udp(socket) => {
                // A message that does not fit into a datagram is truncated.
                let line = syslog_line(row);
                let line = line.as_bytes();
                socket.send(line.get(..MAX_DATAGRAM_BYTES).unwrap_or(line)).await?;
            }
            Self::Otlp(collector) => collector.send(row).await?,
            // RFC 6587: each message is prefixed with its length.
            Self::Tcp(connection) => {
                let line = syslog_line(row);
                connection.write_all(format!("{} {line}", line.len()).as_bytes()).await?;
                connection.flush().await?;
            }
        }
        Ok(())
    }
}
