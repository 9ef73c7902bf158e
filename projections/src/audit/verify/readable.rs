//! Checks that a message of any aggregate can be decoded as the type that its subject names.

use ffapi_domain::{
    Decider,
    account::Account,
    batch::Batch,
    dispatch::{self, DispatchEvent},
    job::Job,
    key::{Key, KeyQuota},
    output::Output,
    preset::Preset,
    queue_quota::QueueQuota,
    quota::Quota,
    restoration::{self, LogEvent},
    storage_quota::StorageQuota,
    upload::Upload,
    webhook::{Webhook, WebhookQuota},
};
use ffapi_nats::{Codec, CodecError, Decision, Message};
use serde::de::DeserializeOwned;

/// Decodes one message and discards the result.
///
/// # Errors
/// `Unreadable` when it is not a decision of its aggregate, or the aggregate is unknown.
pub(super) async fn readable(codec: &Codec, message: &Message) -> Result<(), CodecError> {
    let category = message.address().map(|(category, _, _)| category).unwrap_or_default();
    macro_rules! of {
        ($($decider:ty),+) => {
            $(if category == <$decider>::CATEGORY {
                return read::<<$decider as Decider>::Event>(codec, message).await;
            })+
        };
    }
    of!(
        Job,
        Batch,
        Upload,
        Output,
        Preset,
        Key,
        KeyQuota,
        Account,
        Quota,
        QueueQuota,
        StorageQuota,
        Webhook,
        WebhookQuota
    );
    if message.subject.starts_with(&format!("ev.{}.", dispatch::CATEGORY)) {
        return read::<DispatchEvent>(codec, message).await;
    }
    if category == restoration::CATEGORY {
        return read::<LogEvent>(codec, message).await;
    }
    Err(CodecError::Unreadable("unknown aggregate".to_owned()))
}

async fn read<E: DeserializeOwned>(codec: &Codec, message: &Message) -> Result<(), CodecError> {
    codec.decode::<E>(&message.payload).await.map(|_: Decision<E>| ())
}
