use std::{
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
};

use ffapi_domain::{Category, Tenant, WebhookId, job::JobView};
use ffapi_nats::{Codec, CodecError, Message};
use futures::FutureExt;

use super::{Webhooks, endpoints::Endpoints, job_end};
use crate::{ProjectionError, public_message, public_message::PublicMessage};

/// What is read of a batch before its transaction: its public events, and the jobs that ended in it.
#[derive(Debug, Default)]
pub struct PreparedMessages {
    /// By sequence. Messages that cannot be decoded are missing.
    messages: BTreeMap<u64, PreparedMessage>,
}

/// What is read of one message.
#[derive(Debug, Default)]
struct PreparedMessage {
    /// Its public part, if it has one.
    public: Option<PublicMessage>,
    /// The job that ended in it, as it was then, if an endpoint gets that.
    ended: Option<JobView>,
}

impl PreparedMessages {
    /// True if a message was decoded.
    pub(super) fn contains(&self, sequence: u64) -> bool {
        self.messages.contains_key(&sequence)
    }

    /// The public part of a message, if it was decoded and has one.
    pub(super) fn public(&self, sequence: u64) -> Option<&PublicMessage> {
        self.messages.get(&sequence)?.public.as_ref()
    }

    /// The job that ended in a message; `None` if its history cannot be read, or no endpoint gets
    /// the event.
    pub(super) fn ended(&self, sequence: u64) -> Option<&JobView> {
        self.messages.get(&sequence)?.ended.as_ref()
    }
}

/// The endpoints whose deliveries are prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Receivers {
    /// The known ones, and those that the messages themselves add.
    All,
    /// A known one.
    Only(WebhookId),
}

/// Endpoints that messages of the batch itself may add.
#[derive(Debug, Default)]
struct Added {
    tenants: BTreeSet<String>,
    /// Ids of jobs and batches.
    things: BTreeSet<String>,
}

impl Webhooks {
    /// Reads the public parts of messages, and the jobs that ended in them if an endpoint gets that.
    pub(super) async fn read<'a>(
        &self,
        codec: &Codec,
        endpoints: &Endpoints,
        messages: impl Iterator<Item = &'a Message> + Send,
        receivers: Receivers,
    ) -> Result<PreparedMessages, ProjectionError> {
        let (mut prepared, mut added) = (PreparedMessages::default(), Added::default());
        for message in messages {
            let sequence = message.sequence;
            let read = self.read_one(codec, endpoints, message, receivers, &mut added);
            // A message that panics is left out, like one that cannot be decoded.
            let Ok(read) = AssertUnwindSafe(read).catch_unwind().await else { continue };
            prepared.messages.extend(read?.map(|message| (sequence, message)));
        }
        Ok(prepared)
    }

    /// Reads one message; `None` if it cannot be decoded.
    async fn read_one(
        &self,
        codec: &Codec,
        endpoints: &Endpoints,
        message: &Message,
        receivers: Receivers,
        added: &mut Added,
    ) -> Result<Option<PreparedMessage>, ProjectionError> {
        let sequence = message.sequence;
        let Some((category, name, _)) = message.address() else { return Ok(None) };
        let Ok(tenant) = name.parse::<Tenant>() else { return Ok(None) };
        let public = match public_message::decode(codec, message).await {
            Ok(Some(public)) => public,
            Ok(None) => return Ok(Some(PreparedMessage::default())),
            Err(CodecError::Unreadable(_)) => return Ok(None),
            Err(error) => return Err(ProjectionError::from_codec(sequence, error)),
        };
        if Category::of(category) == Some(Category::Webhook) {
            added.tenants.insert(name.to_owned());
        }
        if public.callback.is_some() {
            added.things.insert(public.thing.clone());
        }
        let is_added = receivers == Receivers::All
            && (added.tenants.contains(name) || added.things.contains(&public.thing));
        let mut ends = public.events.iter().filter(|(_, event)| event.terminal);
        let is_wanted = ends.any(|(_, event)| {
            let hooks = endpoints.subscribed(&tenant, &public.thing, event.kind);
            is_added || hooks.into_iter().any(|hook| receivers.has(hook))
        });
        let mut ended = None;
        if is_wanted
            && public.field == "job_id"
            && let Ok(id) = public.thing.parse()
        {
            ended = job_end::view(&self.log, codec, &tenant, id, sequence).await?;
        }
        Ok(Some(PreparedMessage { public: Some(public), ended }))
    }
}

impl Receivers {
    fn has(self, hook: WebhookId) -> bool {
        match self {
            Self::All => true,
            Self::Only(only) => only == hook,
        }
    }
}
