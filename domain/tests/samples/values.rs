//! Values used by the samples.

use ffapi_domain::{
    BatchId, JobId, KeyId, LeaseId, Network, Personal, Timestamp, WebhookId, location::Location,
    webhook::Callback,
};
use uuid::Uuid;

pub(super) fn text(text: &str) -> String {
    text.to_owned()
}

pub(super) fn personal(text: &str) -> Personal<String> {
    Personal::Clear(text.to_owned())
}

pub(super) const fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(super) const fn job(n: u128) -> JobId {
    JobId::from_uuid(Uuid::from_u128(n))
}

pub(super) const fn key(n: u128) -> KeyId {
    KeyId::from_uuid(Uuid::from_u128(n))
}

pub(super) const fn hook(n: u128) -> WebhookId {
    WebhookId::from_uuid(Uuid::from_u128(n))
}

pub(super) const fn lease(n: u128) -> LeaseId {
    LeaseId::from_uuid(Uuid::from_u128(n))
}

pub(super) const fn batch(n: u128) -> BatchId {
    BatchId::from_uuid(Uuid::from_u128(n))
}

pub(super) fn network(text: &str) -> Network {
    text.parse().unwrap()
}

pub(super) fn location(text: &str) -> Personal<Location> {
    Personal::Clear(text.parse().unwrap())
}

pub(super) fn callback(kind: &str) -> Callback {
    Callback { url: personal("https://a"), events: [kind.to_owned()].into() }
}
