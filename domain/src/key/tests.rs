use std::{collections::BTreeSet, time::Duration};

use super::{
    Grant, Key, KeyChange, KeyCommand, KeyEvent, KeyRejection, KeyState, KeyTerms,
    MAX_KEY_GENERATIONS, MAX_REVOKED_TOKENS, Scope, TokenId,
};
use uuid::Uuid;

use crate::{Decider, KeyId, Personal, Timestamp, spec::given};

const NOW: Timestamp = Timestamp::from_millis(1_000);

fn scopes<const N: usize>(scopes: [Scope; N]) -> BTreeSet<Scope> {
    BTreeSet::from(scopes)
}

fn until(end: u64) -> KeyTerms {
    KeyTerms { expires_at: Some(Timestamp::from_millis(end)), ..KeyTerms::default() }
}

fn create(wanted: BTreeSet<Scope>, terms: KeyTerms, by: Grant) -> KeyCommand {
    KeyCommand::Create {
        name: Personal::Erased,
        description: None,
        hash: "00".to_owned(),
        pepper_version: 1,
        scopes: wanted,
        terms,
        by,
        at: NOW,
    }
}

fn created(scopes: BTreeSet<Scope>, terms: KeyTerms) -> KeyEvent {
    KeyEvent::Created {
        name: Personal::Erased,
        hash: "00".to_owned(),
        pepper_version: 1,
        scopes,
        description: None,
        terms,
        makers: vec![],
        at: NOW,
    }
}

fn reader() -> KeyEvent {
    created(scopes([Scope::JobsRead]), KeyTerms::default())
}

fn rotate(by: Grant) -> KeyCommand {
    let grace = Duration::from_millis(500);
    let hash = "11".to_owned();
    KeyCommand::Rotate { hash, pepper_version: 1, grace, replaces: None, by, at: NOW }
}

fn rotated() -> KeyEvent {
    KeyEvent::Rotated {
        hash: "11".to_owned(),
        pepper_version: 1,
        old_until: Timestamp::from_millis(1_500),
        at: NOW,
    }
}

fn assert_rejected(given: Vec<KeyEvent>, when: KeyCommand, pointer: &str) {
    match Key::decide(&Key::replay(&given), when) {
        Err(KeyRejection::Beyond(beyond)) => assert_eq!(beyond.pointer, pointer),
        other => panic!("{other:?}"),
    }
}

fn manager(terms: KeyTerms) -> Grant {
    Grant { scopes: scopes([Scope::JobsRead, Scope::KeysManage]), terms, line: vec![] }
}

#[test]
fn the_chain_of_parent_keys_is_recorded_and_limited() {
    let read = || scopes([Scope::JobsRead]);
    let line = |length: usize| -> Vec<KeyId> {
        (0..length).map(|n| KeyId::from_uuid(Uuid::from_u128(n as u128))).collect()
    };
    let by = |length| Grant { line: line(length), ..manager(KeyTerms::default()) };
    let made =
        |length| Key::decide(&KeyState::Unknown, create(read(), KeyTerms::default(), by(length)));
    let state = Key::replay(&made(MAX_KEY_GENERATIONS).unwrap());
    assert_eq!(state.key().unwrap().makers, line(MAX_KEY_GENERATIONS));
    assert_eq!(made(MAX_KEY_GENERATIONS + 1), Err(KeyRejection::TooManyMakers));
}

#[test]
fn a_key_is_created_once_and_revoked_once() {
    let unrestricted = Grant::unrestricted;
    let all = scopes([Scope::JobsRead]);
    given::<Key>([])
        .when(create(all.clone(), KeyTerms::default(), unrestricted()))
        .then([reader()]);
    given::<Key>([reader()])
        .when(create(all, KeyTerms::default(), unrestricted()))
        .then_rejected(&KeyRejection::AlreadyCreated);
    let revoke = || KeyCommand::Revoke { by: Grant::unrestricted() };
    given::<Key>([]).when(revoke()).then_rejected(&KeyRejection::NotFound);
    given::<Key>([reader()]).when(revoke()).then([KeyEvent::Revoked {}]);
    given::<Key>([reader(), KeyEvent::Revoked {}]).when(revoke()).then_nothing();
    given::<Key>([reader(), KeyEvent::Revoked {}])
        .when(rotate(unrestricted()))
        .then_rejected(&KeyRejection::Revoked);
}

#[test]
fn a_caller_cannot_grant_more_than_it_has() {
    let plain = KeyTerms::default;
    let read = || scopes([Scope::JobsRead]);
    let few = KeyTerms { max_concurrent_jobs: Some(2), ..plain() };
    let near = KeyTerms { allowed_ips: ["10.0.0.0/8".parse().unwrap()].into(), ..plain() };
    let far = KeyTerms { allowed_ips: ["11.0.0.0/8".parse().unwrap()].into(), ..plain() };
    for (wanted, terms, own, pointer) in [
        (scopes([Scope::JobsWrite]), plain(), plain(), "#/scopes"),
        (scopes([Scope::Admin]), plain(), plain(), "#/scopes"),
        (read(), plain(), until(5_000), "#/expires_at"),
        (read(), until(6_000), until(5_000), "#/expires_at"),
        (read(), plain(), few.clone(), "#/max_concurrent_jobs"),
        (
            read(),
            plain(),
            KeyTerms { monthly_limit_minutes: Some(1), ..plain() },
            "#/monthly_limit_minutes",
        ),
        (read(), plain(), KeyTerms { rotate_every: Some(9), ..plain() }, "#/rotate_every"),
        (read(), plain(), near.clone(), "#/allowed_ips"),
        (read(), far, near.clone(), "#/allowed_ips"),
    ] {
        assert_rejected(vec![], create(wanted, terms, manager(own)), pointer);
    }
    given::<Key>([])
        .when(create(read(), until(5_000), manager(until(5_000))))
        .then([created(read(), until(5_000))]);
    // Nor can it change, extend, rotate or revoke a key with more permissions.
    let strong = || vec![created(scopes([Scope::JobsWrite]), plain())];
    let weak = || manager(plain());
    let less = KeyChange { scopes: Some(read()), ..KeyChange::default() };
    let update = KeyCommand::Update { change: Box::new(less), by: weak() };
    assert_rejected(strong(), update, "#/scopes");
    assert_rejected(
        strong(),
        KeyCommand::Extend { expires_at: None, by: weak(), at: NOW },
        "#/scopes",
    );
    assert_rejected(strong(), rotate(weak()), "#/scopes");
    assert_rejected(strong(), KeyCommand::Revoke { by: weak() }, "#/scopes");
    assert_rejected(
        vec![created(read(), until(5_000))],
        KeyCommand::Extend {
            expires_at: Some(Timestamp::from_millis(9_000)),
            by: manager(until(8_000)),
            at: NOW,
        },
        "#/expires_at",
    );
}

#[test]
fn a_rotated_key_has_two_secrets_during_the_grace_period() {
    given::<Key>([reader()]).when(rotate(Grant::unrestricted())).then([rotated()]);
    let KeyState::Active(key) = Key::replay(&[reader(), rotated(), rotated()]) else { panic!() };
    let open = |at| key.valid_secrets(Timestamp::from_millis(at)).count();
    assert_eq!((key.secrets.len(), open(1_499), open(1_500)), (2, 2, 1));
    assert_eq!(key.secrets.first().unwrap().until, None);
}

#[test]
fn an_expiry_can_change_and_must_be_in_the_future() {
    let extend = |end: u64| KeyCommand::Extend {
        expires_at: Some(Timestamp::from_millis(end)),
        by: Grant::unrestricted(),
        at: NOW,
    };
    let moved = KeyEvent::Extended { expires_at: Some(Timestamp::from_millis(9_000)) };
    given::<Key>([reader()]).when(extend(9_000)).then([moved.clone()]);
    given::<Key>([reader(), moved.clone()]).when(extend(9_000)).then_nothing();
    given::<Key>([reader()]).when(extend(1_000)).then_rejected(&KeyRejection::EndsInThePast);
    let KeyState::Active(key) = Key::replay(&[reader(), moved]) else { panic!() };
    assert!(!key.is_expired(Timestamp::from_millis(8_999)));
    assert!(key.is_expired(Timestamp::from_millis(9_000)));
}

#[test]
fn an_update_keeps_values_that_are_not_given() {
    let update =
        |change| KeyCommand::Update { change: Box::new(change), by: Grant::unrestricted() };
    let read = || scopes([Scope::JobsRead]);
    let unchanged = KeyChange { scopes: Some(read()), ..KeyChange::default() };
    given::<Key>([reader()]).when(update(unchanged)).then_nothing();
    let wide = KeyTerms { monthly_limit_minutes: Some(9), ..until(5_000) };
    let fewer = KeyChange { max_concurrent_jobs: Some(Some(1)), ..KeyChange::default() };
    let narrow = KeyTerms { max_concurrent_jobs: Some(1), ..wide.clone() };
    let updated = |terms: &KeyTerms| KeyEvent::Updated {
        name: Personal::Erased,
        description: None,
        scopes: read(),
        terms: terms.clone(),
    };
    let made = || created(read(), wide.clone());
    given::<Key>([made()]).when(update(fewer)).then([updated(&narrow)]);
    let any = KeyChange { max_concurrent_jobs: Some(None), ..KeyChange::default() };
    given::<Key>([made(), updated(&narrow)]).when(update(any)).then([updated(&wide)]);
}

#[test]
fn a_rotation_is_announced_once() {
    let due = Timestamp::from_millis(7_000);
    let announce = || KeyCommand::AnnounceRotation { due };
    given::<Key>([reader()]).when(announce()).then([KeyEvent::RotationDue { due }]);
    given::<Key>([reader(), KeyEvent::RotationDue { due }]).when(announce()).then_nothing();
}

#[test]
fn only_one_of_two_rotations_replaces_a_secret() {
    let replace = |made: u64| KeyCommand::Rotate {
        hash: "11".to_owned(),
        pepper_version: 1,
        grace: Duration::from_millis(500),
        replaces: Some(Timestamp::from_millis(made)),
        by: Grant::unrestricted(),
        at: NOW,
    };
    given::<Key>([reader()]).when(replace(1_000)).then([rotated()]);
    given::<Key>([reader()]).when(replace(999)).then_nothing();
}

fn token(n: u32) -> TokenId {
    let mut digest = [0; 32];
    digest[..4].copy_from_slice(&n.to_be_bytes());
    TokenId::from_digest(&digest)
}

fn revoked(n: u32, expires_at: u64) -> KeyEvent {
    let expires_at = Timestamp::from_millis(expires_at);
    KeyEvent::TokenRevoked { token: token(n), expires_at, at: NOW }
}

#[test]
fn a_token_is_revoked_once_and_only_before_it_expires() {
    let revoke = |expires_at: u64| KeyCommand::RevokeToken {
        token: token(1),
        expires_at: Timestamp::from_millis(expires_at),
        at: NOW,
    };
    given::<Key>([reader()]).when(revoke(1_001)).then([revoked(1, 1_001)]);
    given::<Key>([reader(), revoked(1, 1_001)]).when(revoke(1_001)).then_nothing();
    given::<Key>([reader()]).when(revoke(1_000)).then_nothing();
}

#[test]
fn a_key_has_a_limited_number_of_revoked_tokens_that_have_not_expired() {
    let revoke = |at: u64| KeyCommand::RevokeToken {
        token: token(u32::MAX),
        expires_at: Timestamp::from_millis(9_000),
        at: Timestamp::from_millis(at),
    };
    let limit = u32::try_from(MAX_REVOKED_TOKENS).unwrap();
    let history = || std::iter::once(reader()).chain((0..limit).map(|n| revoked(n, 5_000)));
    given::<Key>(history()).when(revoke(4_999)).then_rejected(&KeyRejection::TooManyRevokedTokens);
    let state = history().fold(KeyState::Unknown, |state, event| Key::evolve(state, &event));
    let events = Key::decide(&state, revoke(5_000)).unwrap();
    let state = events.iter().fold(state, Key::evolve);
    assert_eq!(state.key().unwrap().revoked_tokens.len(), 1);
    // A revoked key accepts none.
    let state = Key::evolve(state, &KeyEvent::Revoked {});
    assert!(matches!(&state, KeyState::Revoked(key) if key.revoked_tokens.is_empty()));
}
