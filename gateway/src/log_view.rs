//! Representations of aggregates, folded from their decisions: from the log, or from what a command has
//! just appended.

use std::fmt::Display;

use ffapi_commands::{CommandOutcome, Commands};
use ffapi_domain::{Decider, Tenant};
use ffapi_nats::{CodecError, Decision, Position};
use serde::de::DeserializeOwned;

/// A representation of an aggregate, folded from its decisions.
pub(crate) trait LogView: Clone + Send {
    /// The aggregate.
    type Aggregate: Decider<Event: DeserializeOwned>;
    /// Its id.
    type Id: Copy + Display + Send + Sync;

    /// Folds in a decision. A `None` view means that there was nothing before, a `None` result that
    /// there still is nothing.
    fn fold(
        view: Option<Self>,
        entry: &Entry<'_, <Self::Aggregate as Decider>::Event>,
        of: &Address<'_, Self::Id>,
    ) -> Option<Self>;
}

/// The id of an aggregate, and its tenant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Address<'a, I> {
    pub(crate) tenant: &'a Tenant,
    pub(crate) id: I,
}

/// A decision, and the stream sequence of its message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a, E> {
    pub(crate) sequence: u64,
    pub(crate) decision: &'a Decision<E>,
}

/// A representation of an aggregate, and the position of the newest event in it.
#[derive(Debug, Clone)]
pub(crate) struct InLog<V> {
    pub(crate) view: V,
    pub(crate) position: Position,
}

/// An aggregate as it is in the log now; `None` if there is none.
///
/// # Errors
/// When the log cannot be read.
pub(crate) async fn in_log<V: LogView>(
    commands: &Commands,
    of: Address<'_, V::Id>,
) -> Result<Option<InLog<V>>, CodecError> {
    let epoch = commands.log().identity().epoch;
    let (mut view, mut position) = (None, Position { epoch, ..Position::default() });
    let fold = |sequence, decision: Decision<_>| {
        view = V::fold(view.take(), &Entry { sequence, decision: &decision }, &of);
        let index = decision.events.len().saturating_sub(1);
        position = Position { epoch, sequence, index: u32::try_from(index).unwrap_or(u32::MAX) };
    };
    commands.visit::<V::Aggregate>(of.tenant.as_str(), &of.id.to_string(), fold).await?;
    Ok(view.map(|view| InLog { view, position }))
}

/// An aggregate as a command left it. `before` is an earlier representation, if there is one at hand.
///
/// Only if other decisions came between `before` and the command, or the command changed nothing, the log
/// is read.
///
/// # Errors
/// When the log cannot be read.
pub(crate) async fn after<V: LogView>(
    commands: &Commands,
    of: Address<'_, V::Id>,
    outcome: &CommandOutcome<V::Aggregate>,
    before: Option<InLog<V>>,
) -> Result<Option<InLog<V>>, CodecError> {
    match continued(of, outcome, before) {
        Ok(found) => Ok(found),
        Err(Unconnected) => in_log(commands, of).await,
    }
}

/// What is between an earlier representation and the end of a command is only in the log.
#[derive(Debug, PartialEq, Eq)]
struct Unconnected;

/// An aggregate as a command left it, without a read of the log.
fn continued<V: LogView>(
    of: Address<'_, V::Id>,
    outcome: &CommandOutcome<V::Aggregate>,
    before: Option<InLog<V>>,
) -> Result<Option<InLog<V>>, Unconnected> {
    let appended = outcome.appended.as_ref().ok_or(Unconnected)?;
    let before = before.filter(|before| before.position.sequence == appended.previous);
    if before.is_none() && appended.previous > 0 {
        return Err(Unconnected);
    }
    let position = outcome.position;
    let entry = Entry { sequence: position.sequence, decision: &appended.decision };
    let view = V::fold(before.map(|before| before.view), &entry, &of);
    Ok(view.map(|view| InLog { view, position }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ffapi_commands::Appended;
    use ffapi_domain::{
        Personal, WebhookId,
        webhook::{DisabledBy, Webhook, WebhookEvent, WebhookState, WebhookTerms, WebhookView},
    };
    use ffapi_nats::Actor;
    use uuid::Uuid;

    use super::*;

    const ID: WebhookId = WebhookId::from_uuid(Uuid::nil());

    fn appended(
        previous: u64,
        sequence: u64,
        events: Vec<WebhookEvent>,
    ) -> CommandOutcome<Webhook> {
        let actor = Actor::Process("test".to_owned());
        let index = u32::try_from(events.len()).unwrap() - 1;
        let decision = Decision::new(Uuid::nil(), actor, "acme", sequence, events);
        CommandOutcome {
            position: Position { epoch: 1, sequence, index },
            version: 1,
            state: WebhookState::Unknown,
            appended: Some(Appended { previous, decision }),
        }
    }

    fn created() -> CommandOutcome<Webhook> {
        let terms = WebhookTerms {
            url: Personal::Clear("https://example.com".to_owned()),
            events: BTreeSet::new(),
            description: Personal::Clear(None),
            concurrency: 4,
        };
        appended(0, 3, vec![WebhookEvent::Created { terms }])
    }

    fn disabled(previous: u64) -> CommandOutcome<Webhook> {
        let off = WebhookEvent::Disabled { by: DisabledBy::Owner };
        appended(previous, 7, vec![WebhookEvent::Tested {}, off])
    }

    fn after(
        outcome: &CommandOutcome<Webhook>,
        before: Option<&InLog<WebhookView>>,
    ) -> Result<InLog<WebhookView>, Unconnected> {
        let tenant = "acme".parse().unwrap();
        let of = Address { tenant: &tenant, id: ID };
        Ok(continued(of, outcome, before.cloned())?.unwrap())
    }

    #[test]
    fn what_a_command_creates_is_folded_from_what_it_appended() {
        let InLog { view, position } = after(&created(), None).unwrap();
        assert_eq!((view.version, view.created_at.as_millis()), (1, 3));
        assert_eq!(position, Position { epoch: 1, sequence: 3, index: 0 });
    }

    #[test]
    fn an_earlier_representation_is_continued_only_without_a_gap() {
        let before = after(&created(), None).unwrap();
        let InLog { view, position } = after(&disabled(3), Some(&before)).unwrap();
        assert_eq!((view.version, view.disabled_by), (3, Some(DisabledBy::Owner)));
        assert_eq!(position, Position { epoch: 1, sequence: 7, index: 1 });
        // Another decision, at 5, came in between; or nothing earlier is known.
        assert_eq!(after(&disabled(5), Some(&before)).map(|_| ()), Err(Unconnected));
        assert_eq!(after(&disabled(3), None).map(|_| ()), Err(Unconnected));
    }

    #[test]
    fn a_command_that_changed_nothing_says_nothing_about_what_is_in_the_log() {
        let unchanged = CommandOutcome { appended: None, ..created() };
        assert_eq!(after(&unchanged, None).map(|_| ()), Err(Unconnected));
    }
}
