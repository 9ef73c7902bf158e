use uuid::Uuid;

use super::*;
use crate::spec::given;

/// A moment at which everything that was claimed at the beginning of time has settled.
const LATE: Timestamp = Timestamp::from_millis(10_000_000);

fn hook(n: u128) -> WebhookId {
    WebhookId::from_uuid(Uuid::from_u128(n))
}

fn hooks(hooks: &[u128]) -> BTreeSet<WebhookId> {
    hooks.iter().copied().map(hook).collect()
}

/// Of whom it is known what they are.
fn are(digests: &[(u128, &str)]) -> WebhookCensus {
    let digests = digests.iter().map(|(n, digest)| (hook(*n), (*digest).to_owned())).collect();
    WebhookCensus { digests, as_of: LATE, ..WebhookCensus::default() }
}

fn deleted(deleted: &[u128]) -> WebhookCensus {
    WebhookCensus { deleted: hooks(deleted), ..are(&[]) }
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

/// Long ago.
fn claimed(n: u128, digest: &str) -> WebhookQuotaEvent {
    claimed_at(n, digest, Timestamp::default())
}

fn now(n: u128, digest: &str, gone: &[u128], beside: &[&str]) -> WebhookQuotaEvent {
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
fn there_are_no_more_endpoints_than_the_account_has() {
    given::<WebhookQuota>([]).when(claim(1, "a", are(&[]), 0)).then([now(1, "a", &[], &[])]);
    given::<WebhookQuota>(two()).when(claim(3, "c", are(&[]), 2)).then_rejected(&FULL);
    given::<WebhookQuota>([]).when(claim(3, "c", are(&[]), 2)).then_rejected(&FULL);
    given::<WebhookQuota>(two()).when(claim(3, "c", deleted(&[1]), 1)).then([now(
        3,
        "c",
        &[1],
        &[],
    )]);
}

#[test]
fn no_two_send_the_same_to_the_same_address() {
    given::<WebhookQuota>([claimed(1, "a")])
        .when(claim(2, "a", are(&[]), 1))
        .then_rejected(&same(1));
    given::<WebhookQuota>(two()).when(claim(2, "a", are(&[(2, "b")]), 2)).then_rejected(&same(1));
    given::<WebhookQuota>(two()).when(claim(2, "c", are(&[(2, "b")]), 2)).then([now(
        2,
        "c",
        &[],
        &["b"],
    )]);
    given::<WebhookQuota>([claimed(1, "a"), claimed_at(2, "b", LATE)])
        .when(claim(2, "b", are(&[(2, "b")]), 2))
        .then_nothing();
    given::<WebhookQuota>(two()).when(claim(3, "a", deleted(&[1]), 1)).then([now(
        3,
        "a",
        &[1],
        &[],
    )]);
}

#[test]
fn a_change_that_does_not_happen_leaves_an_endpoint_what_it_holds() {
    let refused = || [claimed(1, "a"), now(1, "c", &[], &["a"])];
    for census in [are(&[]), are(&[(1, "a")])] {
        given::<WebhookQuota>(refused()).when(claim(2, "a", census, 1)).then_rejected(&same(1));
    }
    // What it was to become is free a minute later.
    let known = || are(&[(1, "a")]);
    given::<WebhookQuota>(refused()).when(claim(2, "c", known(), 1)).then_rejected(&same(1));
    let later = WebhookCensus { as_of: LATE.plus(SETTLING), ..known() };
    let at = later.as_of;
    given::<WebhookQuota>(refused()).when(claim(2, "c", later, 1)).then([claimed_at(2, "c", at)]);
}

#[test]
fn what_an_endpoint_is_no_more_is_free() {
    let moved = || [claimed(1, "a"), now(1, "c", &[], &["a"])];
    given::<WebhookQuota>(moved()).when(claim(2, "a", are(&[(1, "c")]), 1)).then([now(
        2,
        "a",
        &[],
        &[],
    )]);
    let later = WebhookCensus { as_of: LATE.plus(SETTLING), ..are(&[(1, "c")]) };
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
fn an_endpoint_that_is_about_to_be_made_keeps_its_place_however_old_its_name_is() {
    let unmade = || WebhookCensus { unmade: hooks(&[2]), ..are(&[(1, "a")]) };
    let being_made = || [claimed(1, "a"), now(2, "b", &[], &[])];
    given::<WebhookQuota>(being_made()).when(claim(3, "c", unmade(), 1)).then_rejected(&FULL);
    given::<WebhookQuota>(being_made()).when(claim(3, "b", unmade(), 1)).then_rejected(&same(2));
    let later = WebhookCensus { as_of: LATE.plus(SETTLING), ..unmade() };
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
fn an_endpoint_holds_so_many_changes_at_once() {
    let changes = (0..=CHANGES).map(|n| {
        let before: Vec<String> = (0..n).map(|n| format!("d{n}")).collect();
        let before: Vec<&str> = before.iter().map(String::as_str).collect();
        now(1, &format!("d{n}"), &[], &before)
    });
    given::<WebhookQuota>(changes)
        .when(claim(1, "more", are(&[(1, "d0")]), 1))
        .then_rejected(&WebhookQuotaRejection::Busy);
}
