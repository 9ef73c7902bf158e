use std::io::Write;

use anyhow::Context;
use ffapi_domain::{AnyEvent, Category, Decider, Timestamp, job::Job};
use ffapi_nats::{Codec, Decision, Message, Position, subject};
use serde_json::json;

use crate::{arguments::Replay, config::Config, roles::AppContext};

/// Prints the log, or a part of it, one event per line.
pub(crate) async fn replay(config: &Config, asked: Replay) -> anyhow::Result<()> {
    let context = AppContext::new(config).await?;
    let log = context.commands.log();
    let from = asked.from.as_deref().map(str::parse::<Position>).transpose()?;
    let since = asked.since.as_deref().map(str::parse::<Timestamp>).transpose();
    let since = since.context("--since is a time like 2026-11-21T12:00:00Z")?;
    let filter = match (&asked.job, &asked.tenant) {
        (Some(job), tenant) => {
            subject::aggregate(Job::CATEGORY, tenant.as_deref().unwrap_or("*"), job)
        }
        (None, Some(tenant)) => subject::aggregate("*", tenant, "*"),
        (None, None) => subject::ALL_DECISIONS.to_owned(),
    };
    let last = log.last_sequence().await?;
    let mut out = std::io::stdout();
    let is_wanted = |line: &serde_json::Value| {
        let at = line.get("at").and_then(serde_json::Value::as_str);
        let at = at.and_then(|at| at.parse::<Timestamp>().ok());
        since.is_none_or(|since| at.is_some_and(|at| at >= since))
    };
    let mut pages = log.pages(filter, last);
    while let Some(messages) = pages.next().await? {
        let later = |message: &&Message| from.is_none_or(|from| message.sequence >= from.sequence);
        for message in messages.iter().filter(later) {
            let lines = lines(context.commands.codec(), message, log.identity().epoch).await?;
            for line in lines.iter().filter(|line| is_wanted(line)) {
                writeln!(out, "{line}")?;
            }
        }
    }
    Ok(())
}

async fn lines(
    codec: &Codec,
    message: &Message,
    epoch: u32,
) -> anyhow::Result<Vec<serde_json::Value>> {
    if Category::of(message.category()).is_none() {
        return Ok(vec![json!({ "subject": message.subject, "event": null })]);
    }
    let decision: Decision<AnyEvent> = codec.read_any(message).await?;
    let line = |(index, event): (usize, &AnyEvent)| {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        json!({
            "position": Position { epoch, sequence: message.sequence, index }.to_string(),
            "subject": message.subject,
            "tenant": decision.tenant,
            "at": Timestamp::from_millis(decision.at),
            "actor": decision.actor,
            "command_id": decision.command_id,
            "correlation_id": decision.correlation_id,
            "causation": decision.causation,
            "traceparent": decision.traceparent,
            "event": event,
        })
    };
    Ok(decision.events.iter().enumerate().map(line).collect())
}
