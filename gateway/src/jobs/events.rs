use std::{sync::Arc, time::Duration};

use domain::{Decider, JobId, Tenant, job::Job};
use nats::Position;
use poem::web::sse::Event;
use tokio::sync::{broadcast, mpsc};

use crate::{
    auth::Principal,
    events::{News, Topic, next},
    feed::{self, Shown, translate},
    problem::Problem,
    reply::Raw,
    state::Gateway,
};

/// The history as JSON, or the history and what follows as server-sent events.
pub(crate) async fn events(
    gateway: &Arc<Gateway>,
    principal: &Principal,
    id: JobId,
    last: Option<String>,
    accept: Option<String>,
) -> Result<Raw, Problem> {
    let tenant = &principal.tenant;
    let after = feed::seen(last.as_deref(), "#Last-Event-ID")?;
    // Listening first: what is appended between the two is seen twice, and shown once.
    let listener = gateway.hub.listen(Topic::Job(id));
    let history = shown(gateway, tenant, id).await?;
    if history.is_empty() {
        return Err(Problem::not_found("job"));
    }
    if feed::wants_json(accept.as_deref()) {
        return Ok(feed::page(&history, false));
    }
    let (sender, receiver) = mpsc::channel(16);
    let follow = Follow { gateway: Arc::clone(gateway), tenant: tenant.clone(), id, after, sender };
    tokio::spawn(follow.run(history, listener));
    Ok(feed::stream(gateway, principal, receiver))
}

/// Everything that happened to a job, as shown.
async fn shown(gateway: &Gateway, tenant: &Tenant, id: JobId) -> Result<Vec<Shown>, Problem> {
    let subject = format!("ev.{}.{tenant}.{id}", Job::CATEGORY);
    let mut all = Vec::new();
    for message in gateway.commands.log().load(&subject, 1).await? {
        all.extend(translate(gateway, &message).await?);
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
    async fn run(mut self, history: Vec<Shown>, mut listener: broadcast::Receiver<News>) {
        if self.send(&history).await.is_none() {
            return;
        }
        drop(history);
        loop {
            let news = tokio::select! {
                news = next(&mut listener) => news,
                () = self.sender.closed() => return,
            };
            if let Some(News::Progress(_, data)) = news {
                let event = Event::message(data.to_string()).event_type("job.progress");
                if self.sender.send(event).await.is_err() {
                    return;
                }
                continue;
            }
            // Read again rather than trust one message: whatever was missed is there.
            let all = loop {
                match shown(&self.gateway, &self.tenant, self.id).await {
                    Ok(all) => break all,
                    Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
                }
            };
            if self.send(&all).await.is_none() {
                return;
            }
        }
    }

    /// Sends what is new; none once there is no more to say, or nobody to say it to.
    async fn send(&mut self, all: &[Shown]) -> Option<()> {
        for shown in all {
            if self.after.is_some_and(|after| shown.position <= after) {
                continue;
            }
            self.after = Some(shown.position);
            self.sender.send(shown.event()).await.ok()?;
        }
        let over = all.last().is_some_and(|last| last.terminal);
        (!over).then_some(())
    }
}
