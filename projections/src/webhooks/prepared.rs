use std::{
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
};

use ffapi_domain::{Category, Tenant, WebhookId};
use ffapi_nats::{Codec, CodecError, Message};
use futures::FutureExt;

use super::{Webhooks, endpoints::Endpoints, job_end};
use crate::{ProjectionError, public_message, public_message::PublicMessage};

/// What is read of a batch before its transaction: its public events, with the jobs that ended in it.
#[derive(Debug, Default)]
pub struct PreparedMessages {
    /// The public parts by sequence; `None` for messages that have none. Messages that cannot be decoded
    /// are missing.
    messages: BTreeMap<u64, Option<PublicMessage>>,
}

impl PreparedMessages {
    /// True if a message was decoded.
    pub(super) fn contains(&self, sequence: u64) -> bool {
        self.messages.contains_key(&sequence)
    }

    /// The public part of a message, if it was decoded and has one.
    pub(super) fn public(&self, sequence: u64) -> Option<&PublicMessage> {
        self.messages.get(&sequence)?.as_ref()
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
    /// Reads the public parts of messages. Events that end a job describe it, if an endpoint gets them and
    /// its history can be read.
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
    ) -> Result<Option<Option<PublicMessage>>, ProjectionError> {
        let sequence = message.sequence;
        let Some((category, name, _)) = message.address() else { return Ok(None) };
        let Ok(tenant) = name.parse::<Tenant>() else { return Ok(None) };
        let mut public = match public_message::decode(codec, message).await {
            Ok(Some(public)) => public,
            Ok(None) => return Ok(Some(None)),
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
        if is_wanted
            && public.field == "job_id"
            && let Ok(id) = public.thing.parse()
            && let Some(job) = job_end::view(&self.log, codec, &tenant, id, sequence).await?
        {
            // The job itself is not kept: it may have thousands of outputs, and the batch many of them.
            for (_, event) in public.events.iter_mut().filter(|(_, event)| event.terminal) {
                if let Some(data) = event.data.as_object_mut() {
                    job_end::describe(event.kind, &job, data);
                }
            }
        }
        Ok(Some(Some(public)))
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
