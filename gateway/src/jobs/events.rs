use std::{collections::VecDeque, sync::Arc, time::Duration};

use domain::{Decider, JobId, Tenant, job::Job};
use nats::Position;
use poem::web::sse::Event;
use tokio::sync::broadcast;

use crate::{
    auth::Principal,
    events::{News, Topic, next},
    feed::{self, Shown, Source, translate},
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
    let mut follow = Follow {
        gateway: Arc::clone(gateway),
        tenant: tenant.clone(),
        id,
        after,
        listener,
        ready: VecDeque::new(),
        over: false,
    };
    follow.take(&history);
    Ok(feed::stream(gateway, principal, follow))
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
    listener: broadcast::Receiver<News>,
    /// To be sent.
    ready: VecDeque<Event>,
    over: bool,
}

impl Follow {
    /// Takes in what is new, until the job is over.
    fn take(&mut self, all: &[Shown]) {
        for shown in all {
            if self.after.is_some_and(|after| shown.position <= after) {
                continue;
            }
            self.after = Some(shown.position);
            self.ready.push_back(shown.event());
        }
        self.over = all.last().is_some_and(|last| last.terminal);
    }

    /// Reads again rather than trust one message: whatever was missed is there.
    async fn look_again(&mut self) {
        let all = loop {
            match shown(&self.gateway, &self.tenant, self.id).await {
                Ok(all) => break all,
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        };
        self.take(&all);
    }
}

impl Source for Follow {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            // Who waits keeps nothing of what was sent; what is done now and then is boxed.
            self.ready = VecDeque::new();
            if self.over {
                return None;
            }
            match next(&mut self.listener).await {
                Some(News::Progress(_, data)) => {
                    return Some(Event::message(data.to_string()).event_type("job.progress"));
                }
                Some(News::Logged(_)) | None => Box::pin(self.look_again()).await,
            }
        }
    }
}
