use std::{sync::Arc, time::Duration};

use domain::{
    Decider, JobId, Tenant, Timestamp,
    job::{Job, public},
};
use futures::{StreamExt, stream};
use nats::Position;
use poem::{
    IntoResponse, Response,
    web::sse::{Event, SSE},
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    auth::{Principal, while_admitted},
    events::next_on,
    problem::{Kind, Problem},
    reply::Raw,
    state::Gateway,
};

/// One event as it is shown, and whether it is the last.
struct Shown {
    position: Position,
    kind: &'static str,
    body: Value,
    terminal: bool,
}

const HEARTBEAT: Duration = Duration::from_secs(15);

/// The history as JSON, or the history and what follows as server-sent events.
pub(crate) async fn events(
    gateway: &Arc<Gateway>,
    principal: &Principal,
    id: JobId,
    last: Option<String>,
    accept: Option<String>,
) -> Result<Raw, Problem> {
    let tenant = &principal.tenant;
    let after = last.map(|text| {
        text.parse::<Position>()
            .map_err(|error| Problem::field(Kind::Malformed, "#Last-Event-ID", error.to_string()))
    });
    let after = after.transpose()?;
    // Listening first: what is appended between the two is seen twice, and shown once.
    let listener = gateway.hub.listen();
    let history = shown(gateway, tenant, id).await?;
    if history.is_empty() {
        return Err(Problem::not_found("job"));
    }
    if accept.is_some_and(|accept| accept.contains("application/json")) {
        let data: Vec<&Value> = history.iter().map(|shown| &shown.body).collect();
        let body = json!({ "data": data, "has_more": false }).to_string();
        return Ok(Raw(Response::builder().content_type("application/json").body(body)));
    }
    let (sender, receiver) = mpsc::channel(64);
    let follow = Follow { gateway: Arc::clone(gateway), tenant: tenant.clone(), id, after, sender };
    tokio::spawn(follow.run(history, listener));
    let events = stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|event| (event, receiver))
    });
    let events = while_admitted(&gateway.directory, principal, events);
    let mut response = SSE::new(events.boxed()).keep_alive(HEARTBEAT).into_response();
    let headers = response.headers_mut();
    headers.insert("cache-control", poem::http::HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", poem::http::HeaderValue::from_static("no"));
    Ok(Raw(response))
}

/// Everything that happened to a job, as shown.
async fn shown(gateway: &Gateway, tenant: &Tenant, id: JobId) -> Result<Vec<Shown>, Problem> {
    let epoch = gateway.commands.log().identity().epoch;
    let history = gateway.commands.history::<Job>(tenant.as_str(), &id.to_string()).await?;
    let mut all = Vec::new();
    for (sequence, decision) in &history {
        for (index, event) in decision.events.iter().enumerate() {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            let position = Position { epoch, sequence: *sequence, index };
            let event = public(event);
            let body = json!({
                "id": position.to_string(),
                "type": event.kind,
                "time": Timestamp::from_millis(decision.at),
                "job_id": id,
                "actor": decision.actor,
                "data": event.data,
            });
            all.push(Shown { position, kind: event.kind, body, terminal: event.terminal });
        }
    }
    Ok(all)
}

struct Follow {
    gateway: Arc<Gateway>,
    tenant: Tenant,
    id: JobId,
    after: Option<Position>,
    sender: mpsc::Sender<Event>,
}

impl Follow {
    /// Sends what there is and what comes, until the job is over or nobody listens.
    async fn run(
        mut self,
        history: Vec<Shown>,
        mut listener: tokio::sync::broadcast::Receiver<Arc<nats::Message>>,
    ) {
        let subject = format!("ev.{}.{}.{}", Job::CATEGORY, self.tenant, self.id);
        let progress = format!("live.{}.job.{}.progress", self.tenant, self.id);
        let mut progress = self.gateway.live.listen(progress).await.ok();
        if self.send(history).await.is_none() {
            return;
        }
        loop {
            tokio::select! {
                _ = next_on(&mut listener, &subject) => {
                    // Read again rather than trust one message: whatever was missed is there.
                    let all = loop {
                        match shown(&self.gateway, &self.tenant, self.id).await {
                            Ok(all) => break all,
                            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
                        }
                    };
                    if self.send(all).await.is_none() {
                        return;
                    }
                }
                Some(heard) = hear(&mut progress) => {
                    let event = serde_json::from_slice::<Value>(&heard.payload).unwrap_or_default();
                    let data = event.get("data").cloned().unwrap_or_default();
                    let event = Event::message(data.to_string()).event_type("job.progress");
                    if self.sender.send(event).await.is_err() {
                        return;
                    }
                }
                () = self.sender.closed() => return,
            }
        }
    }

    /// Sends what is new; none once there is no more to say, or nobody to say it to.
    async fn send(&mut self, all: Vec<Shown>) -> Option<()> {
        let over = all.last().is_some_and(|last| last.terminal);
        for shown in all {
            if self.after.is_some_and(|after| shown.position <= after) {
                continue;
            }
            self.after = Some(shown.position);
            let event = Event::message(shown.body.to_string())
                .id(shown.position.to_string())
                .event_type(shown.kind);
            self.sender.send(event).await.ok()?;
        }
        (!over).then_some(())
    }
}

async fn hear(subscription: &mut Option<nats::Subscription>) -> Option<nats::Heard> {
    match subscription {
        Some(open) => open.next().await,
        None => std::future::pending().await,
    }
}
