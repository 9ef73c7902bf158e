use std::collections::BTreeSet;

use super::*;
use crate::{Personal, Timestamp, spec::given};

fn terms(url: &str) -> WebhookTerms {
    WebhookTerms {
        url: Personal::Clear(url.to_owned()),
        events: BTreeSet::new(),
        description: Personal::Clear(None),
        concurrency: 4,
    }
}

fn created() -> WebhookEvent {
    WebhookEvent::Created { terms: terms("https://a") }
}

const OWNER: WebhookEvent = WebhookEvent::Disabled { by: DisabledBy::Owner };

#[test]
fn an_endpoint_is_created_once_and_deleted_for_good() {
    let create = WebhookCommand::Create { terms: terms("https://a") };
    given::<Webhook>([]).when(create.clone()).then([created()]);
    given::<Webhook>([created()])
        .when(create.clone())
        .then_rejected(&WebhookRejection::AlreadyCreated);
    let gone = || [created(), WebhookEvent::Deleted {}];
    given::<Webhook>(gone()).when(create).then_rejected(&WebhookRejection::AlreadyCreated);
    given::<Webhook>(gone()).when(WebhookCommand::Delete).then_nothing();
    given::<Webhook>(gone()).when(WebhookCommand::Test).then_rejected(&WebhookRejection::NotFound);
}

#[test]
fn an_endpoint_can_be_disabled_and_enabled() {
    let disable = WebhookCommand::Disable { by: DisabledBy::Owner };
    given::<Webhook>([created()]).when(disable.clone()).then([OWNER]);
    given::<Webhook>([created(), OWNER]).when(disable).then_nothing();
    given::<Webhook>([created(), OWNER])
        .when(WebhookCommand::Enable)
        .then([WebhookEvent::Enabled {}]);
    given::<Webhook>([created()]).when(WebhookCommand::Enable).then_nothing();
    given::<Webhook>([created(), OWNER])
        .when(WebhookCommand::Test)
        .then_rejected(&WebhookRejection::Disabled);
}

#[test]
fn an_update_keeps_values_that_are_not_given() {
    let update = |change| WebhookCommand::Update { change };
    let slower = || WebhookChange { concurrency: Some(1), ..WebhookChange::default() };
    let moved = || WebhookEvent::Updated { terms: terms("https://b") };
    let both = WebhookTerms { concurrency: 1, ..terms("https://b") };
    let both = WebhookEvent::Updated { terms: both };
    given::<Webhook>([created(), moved()]).when(update(slower())).then([both.clone()]);
    given::<Webhook>([created(), moved(), both.clone()]).when(update(slower())).then_nothing();
    let off = WebhookChange { enabled: Some(false), ..slower() };
    given::<Webhook>([created(), moved()]).when(update(off.clone())).then([both.clone(), OWNER]);
    given::<Webhook>([created(), OWNER, moved(), both]).when(update(off)).then_nothing();
}

#[test]
fn only_one_of_two_concurrent_rotations_succeeds() {
    let rotate =
        |secret| WebhookCommand::RotateSecret { secret, old_until: Timestamp::from_millis(5) };
    let rotated = WebhookEvent::SecretRotated { secret: 2, old_until: Timestamp::from_millis(5) };
    given::<Webhook>([created()]).when(rotate(2)).then([rotated.clone()]);
    given::<Webhook>([created(), rotated])
        .when(rotate(2))
        .then_rejected(&WebhookRejection::StaleSecret);
}

#[test]
fn event_filters_match_a_type_a_group_or_everything() {
    let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    assert!(wants(&BTreeSet::new(), "job.completed"));
    assert!(wants(&named(&["job.completed"]), "job.completed"));
    assert!(wants(&named(&["job.*"]), "job.completed"));
    assert!(!wants(&named(&["job.failed", "batch.*"]), "job.completed"));
}
