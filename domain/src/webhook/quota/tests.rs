use uuid::Uuid;

use super::*;
use crate::spec::given;

/// A time by which all claims of the tests have settled.
const LATE: Timestamp = Timestamp::from_millis(10_000_000);

fn hook(n: u128) -> WebhookId {
    WebhookId::from_uuid(Uuid::from_u128(n))
}

fn hooks(hooks: &[u128]) -> BTreeSet<WebhookId> {
    hooks.iter().copied().map(hook).collect()
}

/// A census that knows these digests.
fn with_digests(digests: &[(u128, &str)]) -> WebhookCensus {
    let digests = digests.iter().map(|(n, digest)| (hook(*n), (*digest).to_owned())).collect();
    WebhookCensus { digests, as_of: LATE, ..WebhookCensus::default() }
}

fn deleted(deleted: &[u128]) -> WebhookCensus {
    WebhookCensus { deleted: hooks(deleted), ..with_digests(&[]) }
}

fn claim(n: u128, digest: &str, census: WebhookCensus, known: u32) -> WebhookQuotaCommand {
    WebhookQuotaCommand::Claim { hook: hook(n), digest: digest.to_owned(), census, known, limit: 2 }
}

fn claimed_at(n: u128, digest: &str, at: Timestamp) -> WebhookQuotaEvent {
    WebhookQuotaEvent::Claimed {
        hook: hook(n),
        digest: digest.to_owned(),
        gone: BTreeSet::new(),
        at,
        beside: BTreeSet::new(),
    }
}

/// A claim from long ago.
fn claimed(n: u128, digest: &str) -> WebhookQuotaEvent {
    claimed_at(n, digest, Timestamp::default())
}

fn claimed_late(n: u128, digest: &str, gone: &[u128], beside: &[&str]) -> WebhookQuotaEvent {
    WebhookQuotaEvent::Claimed {
        hook: hook(n),
        digest: digest.to_owned(),
        gone: hooks(gone),
        at: LATE,
        beside: beside.iter().map(|digest| (*digest).to_owned()).collect(),
    }
}

fn two() -> [WebhookQuotaEvent; 2] {
    [claimed(1, "a"), claimed(2, "b")]
}

const FULL: WebhookQuotaRejection = WebhookQuotaRejection::Full { limit: 2 };

fn same(n: u128) -> WebhookQuotaRejection {
    WebhookQuotaRejection::Same { hook: hook(n) }
}

#[test]
fn the_number_of_endpoints_is_limited() {
    given::<WebhookQuota>([]).when(claim(1, "a", with_digests(&[]), 0)).then([claimed_late(
        1,
        "a",
        &[],
        &[],
    )]);
    given::<WebhookQuota>(two()).when(claim(3, "c", with_digests(&[]), 2)).then_rejected(&FULL);
    given::<WebhookQuota>([]).when(claim(3, "c", with_digests(&[]), 2)).then_rejected(&FULL);
    given::<WebhookQuota>(two()).when(claim(3, "c", deleted(&[1]), 1)).then([claimed_late(
        3,
        "c",
        &[1],
        &[],
    )]);
}

#[test]
fn duplicate_endpoints_are_rejected() {
    given::<WebhookQuota>([claimed(1, "a")])
        .when(claim(2, "a", with_digests(&[]), 1))
        .then_rejected(&same(1));
    given::<WebhookQuota>(two())
        .when(claim(2, "a", with_digests(&[(2, "b")]), 2))
        .then_rejected(&same(1));
    given::<WebhookQuota>(two())
        .when(claim(2, "c", with_digests(&[(2, "b")]), 2))
        .then([claimed_late(2, "c", &[], &["b"])]);
    given::<WebhookQuota>([claimed(1, "a"), claimed_at(2, "b", LATE)])
        .when(claim(2, "b", with_digests(&[(2, "b")]), 2))
        .then_nothing();
    given::<WebhookQuota>(two()).when(claim(3, "a", deleted(&[1]), 1)).then([claimed_late(
        3,
        "a",
        &[1],
        &[],
    )]);
}

#[test]
fn a_change_that_fails_keeps_the_current_digest() {
    let refused = || [claimed(1, "a"), claimed_late(1, "c", &[], &["a"])];
    for census in [with_digests(&[]), with_digests(&[(1, "a")])] {
        given::<WebhookQuota>(refused()).when(claim(2, "a", census, 1)).then_rejected(&same(1));
    }
    // The new digest is free again a minute later.
    let known = || with_digests(&[(1, "a")]);
    given::<WebhookQuota>(refused()).when(claim(2, "c", known(), 1)).then_rejected(&same(1));
    let later = WebhookCensus { as_of: LATE.plus(SETTLING_TIME), ..known() };
    let at = later.as_of;
    given::<WebhookQuota>(refused()).when(claim(2, "c", later, 1)).then([claimed_at(2, "c", at)]);
}

#[test]
fn a_digest_that_is_no_longer_used_is_free() {
    let moved = || [claimed(1, "a"), claimed_late(1, "c", &[], &["a"])];
    given::<WebhookQuota>(moved())
        .when(claim(2, "a", with_digests(&[(1, "c")]), 1))
        .then([claimed_late(2, "a", &[], &[])]);
    let later = WebhookCensus { as_of: LATE.plus(SETTLING_TIME), ..with_digests(&[(1, "c")]) };
    let expected = WebhookQuotaEvent::Claimed {
        hook: hook(1),
        digest: "d".to_owned(),
        gone: BTreeSet::new(),
        at: later.as_of,
        beside: ["c".to_owned()].into(),
    };
    given::<WebhookQuota>(moved()).when(claim(1, "d", later, 1)).then([expected]);
}

#[test]
fn the_slot_of_an_endpoint_being_created_is_not_reclaimed() {
    let unmade = || WebhookCensus { unmade: hooks(&[2]), ..with_digests(&[(1, "a")]) };
    let being_made = || [claimed(1, "a"), claimed_late(2, "b", &[], &[])];
    given::<WebhookQuota>(being_made()).when(claim(3, "c", unmade(), 1)).then_rejected(&FULL);
    given::<WebhookQuota>(being_made()).when(claim(3, "b", unmade(), 1)).then_rejected(&same(2));
    let later = WebhookCensus { as_of: LATE.plus(SETTLING_TIME), ..unmade() };
    let expected = WebhookQuotaEvent::Claimed {
        hook: hook(3),
        digest: "c".to_owned(),
        gone: hooks(&[2]),
        at: later.as_of,
        beside: BTreeSet::new(),
    };
    given::<WebhookQuota>(being_made()).when(claim(3, "c", later, 1)).then([expected]);
}

#[test]
fn the_number_of_pending_changes_is_limited() {
    let changes = (0..=MAX_CHANGES).map(|n| {
        let before: Vec<String> = (0..n).map(|n| format!("d{n}")).collect();
        let before: Vec<&str> = before.iter().map(String::as_str).collect();
        claimed_late(1, &format!("d{n}"), &[], &before)
    });
    given::<WebhookQuota>(changes)
        .when(claim(1, "more", with_digests(&[(1, "d0")]), 1))
        .then_rejected(&WebhookQuotaRejection::Busy);
}
