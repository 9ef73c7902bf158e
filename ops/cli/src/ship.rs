//! The audit trail, entry by entry, to whoever collects such things: at least once, in order.

mod otlp;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Context;
use ffapi_domain::Timestamp;
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
use crate::roles::{self, Ground};

/// Bytes of a syslog message over UDP.
const DATAGRAM: usize = 8_192;

/// How far the log and the notes beside it were told.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Told {
    decisions: u64,
    notes: u64,
}

/// Where entries go.
enum Outlet {
    StandardOutput,
    Udp(UdpSocket),
    Tcp(TcpStream),
    Otlp(Collector),
}

/// Tells what there is and what comes, until told to stop.
pub(crate) async fn follow(
    ground: &Ground,
    state: Option<PathBuf>,
    syslog: Option<String>,
    otlp: Option<String>,
) -> anyhow::Result<()> {
    let stop = roles::stop_on_signal()?;
    let mut outlet = match otlp {
        Some(url) => Outlet::Otlp(Collector::open(&url)?),
        None => Outlet::open(syslog.as_deref()).await?,
    };
    let mut told = state.as_deref().map(read).transpose()?.unwrap_or_default();
    let (log, codec) = (ground.commands.log(), ground.commands.codec());
    let mut decisions =
        log.follow_only(&["ev.key.>", "ev.account.>"], told.decisions.saturating_add(1));
    let mut notes = log.notes().follow_only(&["audit.>"], told.notes.saturating_add(1));
    loop {
        let (message, noted) = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            message = decisions.next() => (message, false),
            message = notes.next() => (message, true),
        };
        match audit::rows(codec, &message).await {
            Ok(rows) => {
                for row in rows {
                    outlet.tell(&row).await?;
                }
            }
            // It will never be read: what comes after it is told all the same.
            Err(ProjectionError::Poison { sequence, flaw }) => {
                tracing::error!(sequence, %flaw, "an entry cannot be read and is passed over");
            }
            Err(error) => return Err(error.into()),
        }
        *(if noted { &mut told.notes } else { &mut told.decisions }) = message.sequence;
        if let Some(state) = &state {
            // Whole or not at all; told twice rather than never.
            let draft = state.with_extension("new");
            fs::write(&draft, serde_json::to_string(&told)?)?;
            fs::rename(draft, state)?;
        }
    }
}

fn read(state: &Path) -> anyhow::Result<Told> {
    if !state.exists() {
        return Ok(Told::default());
    }
    let text = fs::read_to_string(state)?;
    serde_json::from_str(&text).with_context(|| format!("{} is no state of ours", state.display()))
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

impl Outlet {
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

    async fn tell(&mut self, row: &AuditRow) -> anyhow::Result<()> {
        match self {
            Self::StandardOutput => {
                let mut out = std::io::stdout();
                writeln!(out, "{}", entry(row))?;
                out.flush()?;
            }
            Self::Udp(socket) => {
                // What does not fit into a datagram is cut: better its beginning than nothing.
                let line = syslog_line(row);
                let line = line.as_bytes();
                socket.send(line.get(..DATAGRAM).unwrap_or(line)).await?;
            }
            Self::Otlp(collector) => collector.tell(row).await?,
            // RFC 6587: each message after its length.
            Self::Tcp(connection) => {
                let line = syslog_line(row);
                connection.write_all(format!("{} {line}", line.len()).as_bytes()).await?;
                connection.flush().await?;
            }
        }
        Ok(())
    }
}
