use std::time::Duration;

use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::{http::Client, text};

/// One server-sent event.
#[derive(Debug, Default)]
struct Event {
    id: Option<String>,
    kind: String,
    data: String,
}

const RECONNECT_DELAY: Duration = Duration::from_secs(1);
const TERMINAL_EVENTS: [&str; 3] = ["job.completed", "job.failed", "job.cancelled"];

/// Shows a progress bar until the job ends; returns the type of the event that ended it.
pub(crate) async fn follow(client: &Client, job: &str) -> anyhow::Result<String> {
    let bar = ProgressBar::new(1000);
    bar.set_style(ProgressStyle::with_template("{msg:<12} [{bar:40}] {percent:>3}% {prefix}")?);
    bar.set_message("queued");
    let mut after: Option<String> = None;
    // A retried job has events after one that ended it: the last one before the end of the stream counts.
    let mut ended: Option<String> = None;
    loop {
        let answer = match client.events(job, after.as_deref()).await {
            Ok(answer) => answer,
            Err(error) if after.is_none() => return Err(error),
            // Reconnects after a lost connection; the stream resumes after the last event.
            Err(_) => {
                tokio::time::sleep(RECONNECT_DELAY).await;
                continue;
            }
        };
        let mut bytes = answer.bytes_stream();
        let mut buffer = String::new();
        while let Some(Ok(chunk)) = bytes.next().await {
            buffer.push_str(&String::from_utf8_lossy(&chunk));
            while let Some((block, rest)) = buffer.split_once("\n\n") {
                let event = parse(block);
                buffer = rest.to_owned();
                show(&bar, &event);
                after = event.id.or(after);
                if TERMINAL_EVENTS.contains(&event.kind.as_str()) {
                    ended = Some(event.kind);
                } else if event.kind == "job.retried" {
                    ended = None;
                }
            }
        }
        if let Some(kind) = ended {
            bar.finish_with_message(kind.trim_start_matches("job.").to_owned());
            return Ok(kind);
        }
        tokio::time::sleep(RECONNECT_DELAY).await;
    }
}

fn parse(block: &str) -> Event {
    let mut event = Event::default();
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => event.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut event.kind),
            "data" => event.data.push_str(value),
            _ => {}
        }
    }
    event
}

fn show(bar: &ProgressBar, event: &Event) {
    let data: Value = serde_json::from_str(&event.data).unwrap_or_default();
    match event.kind.as_str() {
        "job.progress" => {
            let number = |name: &str| data.get(name).and_then(Value::as_f64).unwrap_or(0.0);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "0 to 100"
            )]
            bar.set_position((number("progress") * 10.0) as u64);
            bar.set_message(text(&data, "/stage").to_owned());
            bar.set_prefix(format!("{:.0} fps, ETA {:.0} s", number("fps"), number("eta_seconds")));
        }
        "job.completed" => bar.set_position(1000),
        "" => {}
        other => bar.set_message(other.trim_start_matches("job.").to_owned()),
    }
}
