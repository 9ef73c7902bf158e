//! Encryption of endpoint URLs. A URL may contain a secret, so rows have it encrypted under the
//! tenant's data key, and only its origin in plain text.

use ffapi_domain::{Personal, WebhookId, webhook::WebhookView};
use ffapi_nats::Codec;
use sqlx::{PgConnection, types::Json};
use url::Url;

use crate::ProjectionError;

/// Legacy rows that are encrypted at a time.
const PAGE_SIZE: i64 = 500;

/// Binds a ciphertext to its endpoint.
fn context(hook: WebhookId) -> String {
    format!("webhook {hook}")
}

/// Replaces the URL in the view by its origin and returns the encrypted URL; `None` if it was
/// erased.
pub(super) async fn seal(
    codec: &Codec,
    view: &mut WebhookView,
) -> Result<Option<Vec<u8>>, ProjectionError> {
    let Personal::Clear(url) = &view.url else { return Ok(None) };
    let sealed = codec.seal(view.tenant.as_str(), &context(view.id), url.as_bytes()).await?;
    // Without a data key the URL could never be decrypted, so nothing of it is stored.
    view.url = match sealed {
        Some(_) => Personal::Clear(origin(url)),
        None => Personal::Erased,
    };
    Ok(sealed)
}

/// Decrypts the URL into the view.
pub(crate) async fn open(
    codec: &Codec,
    mut view: WebhookView,
    sealed: Option<Vec<u8>>,
) -> Result<WebhookView, ProjectionError> {
    // A legacy row has the URL in plain text until the projector has encrypted it.
    let Some(sealed) = sealed else { return Ok(view) };
    let url = codec.open(view.tenant.as_str(), &context(view.id), &sealed).await?;
    let url = url.and_then(|url| String::from_utf8(url).ok());
    view.url = url.map_or(Personal::Erased, Personal::Clear);
    Ok(view)
}

/// The part of a URL that contains no secret.
fn origin(url: &str) -> String {
    let origin = Url::parse(url).map(|url| url.origin().ascii_serialization());
    origin.map(|origin| format!("{origin}/…")).unwrap_or_default()
}

/// Encrypts the URLs of legacy rows, which have them in plain text.
pub(super) async fn seal_legacy_rows(
    connection: &mut PgConnection,
    codec: &Codec,
) -> Result<(), ProjectionError> {
    loop {
        let rows: Vec<(Json<WebhookView>,)> = sqlx::query_as(
            "SELECT doc FROM webhook WHERE sealed IS NULL AND doc->>'url' IS NOT NULL
             ORDER BY id LIMIT $1 FOR UPDATE",
        )
        .bind(PAGE_SIZE)
        .fetch_all(&mut *connection)
        .await?;
        if rows.is_empty() {
            return Ok(());
        }
        for (Json(mut view),) in rows {
            let sealed = seal(codec, &mut view).await?;
            sqlx::query("UPDATE webhook SET doc = $2, sealed = $3 WHERE id = $1")
                .bind(view.id.to_string())
                .bind(Json(&view))
                .bind(sealed)
                .execute(&mut *connection)
                .await?;
        }
    }
}
