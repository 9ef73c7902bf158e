use std::collections::BTreeSet;

use super::*;
use crate::{Personal, Timestamp, spec::given};

fn terms(url: &str) -> HookTerms {
    HookTerms {
        url: Personal::Clear(url.to_owned()),
        events: BTreeSet::new(),
        description: Personal::Clear(None),
        concurrency: 4,
    }
}

fn created() -> HookEvent {
    HookEvent::Created { terms: terms("https://a") }
}

const OWNER: HookEvent = HookEvent::Disabled { by: DisabledBy::Owner };

#[test]
fn an_endpoint_is_made_once_and_gone_for_good() {
    let create = HookCommand::Create { terms: terms("https://a") };
    given::<Hook>([]).when(create.clone()).then([created()]);
    given::<Hook>([created()]).when(create.clone()).then_rejected(&HookRejection::AlreadyCreated);
    let gone = || [created(), HookEvent::Deleted {}];
    given::<Hook>(gone()).when(create).then_rejected(&HookRejection::AlreadyCreated);
    given::<Hook>(gone()).when(HookCommand::Delete).then_nothing();
    given::<Hook>(gone()).when(HookCommand::Test).then_rejected(&HookRejection::NotFound);
}

#[test]
fn it_is_disabled_and_enabled() {
    let disable = HookCommand::Disable { by: DisabledBy::Owner };
    given::<Hook>([created()]).when(disable.clone()).then([OWNER]);
    given::<Hook>([created(), OWNER]).when(disable).then_nothing();
    given::<Hook>([created(), OWNER]).when(HookCommand::Enable).then([HookEvent::Enabled {}]);
    given::<Hook>([created()]).when(HookCommand::Enable).then_nothing();
    given::<Hook>([created(), OWNER])
        .when(HookCommand::Test)
        .then_rejected(&HookRejection::Disabled);
}

#[test]
fn what_a_change_does_not_name_stays_as_it_is_by_then() {
    let update = |change| HookCommand::Update { change };
    let slower = || HookChange { concurrency: Some(1), ..HookChange::default() };
    let moved = || HookEvent::Updated { terms: terms("https://b") };
    let both = HookTerms { concurrency: 1, ..terms("https://b") };
    let both = HookEvent::Updated { terms: both };
    given::<Hook>([created(), moved()]).when(update(slower())).then([both.clone()]);
    given::<Hook>([created(), moved(), both.clone()]).when(update(slower())).then_nothing();
    let off = HookChange { enabled: Some(false), ..slower() };
    given::<Hook>([created(), moved()]).when(update(off.clone())).then([both.clone(), OWNER]);
    given::<Hook>([created(), OWNER, moved(), both]).when(update(off)).then_nothing();
}

#[test]
fn of_two_who_rotate_its_secret_at_once_one_does() {
    let rotate =
        |secret| HookCommand::RotateSecret { secret, old_until: Timestamp::from_millis(5) };
    let rotated = HookEvent::SecretRotated { secret: 2, old_until: Timestamp::from_millis(5) };
    given::<Hook>([created()]).when(rotate(2)).then([rotated.clone()]);
    given::<Hook>([created(), rotated]).when(rotate(2)).then_rejected(&HookRejection::StaleSecret);
}

#[test]
fn what_is_wanted_is_named_or_its_whole_group_or_everything() {
    let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    assert!(wants(&BTreeSet::new(), "job.completed"));
    assert!(wants(&named(&["job.completed"]), "job.completed"));
    assert!(wants(&named(&["job.*"]), "job.completed"));
    assert!(!wants(&named(&["job.failed", "batch.*"]), "job.completed"));
}
