//! Whether a message says what its subject promises, whichever aggregate it is of.

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
    storage_quota::StorageQuota,
    upload::Upload,
    webhook::{Webhook, WebhookQuota},
};
use ffapi_nats::{Codec, CodecError, Decision, Message};
use serde::de::DeserializeOwned;

/// Reads one message and forgets what it says.
///
/// # Errors
/// `Unreadable` when it is no decision of its aggregate, or nobody knows such an aggregate.
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
    Err(CodecError::Unreadable("nobody knows such an aggregate".to_owned()))
}

async fn read<E: DeserializeOwned>(codec: &Codec, message: &Message) -> Result<(), CodecError> {
    codec.decode::<E>(&message.payload).await.map(|_: Decision<E>| ())
}
