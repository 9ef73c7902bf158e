//! Checks that a message of any aggregate can be decoded as the type that its subject names.

use ffapi_domain::{AnyEvent, Category};
use ffapi_nats::{Codec, CodecError, Message};

/// Decodes one message and discards the result.
///
/// # Errors
/// `Unreadable` when it is not a decision of its aggregate, or the aggregate is unknown.
pub(super) async fn readable(codec: &Codec, message: &Message) -> Result<(), CodecError> {
    let category = message.address().and_then(|(category, ..)| Category::of(category));
    if category.is_none() {
        return Err(CodecError::Unreadable("unknown aggregate".to_owned()));
    }
    codec.read_any::<AnyEvent>(message).await.map(|_| ())
}
