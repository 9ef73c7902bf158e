//! Where an endpoint is: its address may be what opens it, so rows hold it encrypted under its tenant's
//! data key, and beside that only what can be shown to anybody.

use ffapi_domain::{Personal, WebhookId, webhook::WebhookView};
use ffapi_nats::Codec;
use sqlx::{PgConnection, types::Json};
use url::Url;

use crate::ProjectionError;

/// Rows of before that are sealed at once.
const PAGE: i64 = 500;

fn context(hook: WebhookId) -> String {
    format!("webhook {hook}")
}

/// Takes the address out of what is written down; none if it was erased.
pub(super) async fn seal(
    codec: &Codec,
    view: &mut WebhookView,
) -> Result<Option<Vec<u8>>, ProjectionError> {
    let Personal::Clear(url) = &view.url else { return Ok(None) };
    let sealed = codec.seal(view.tenant.as_str(), &context(view.id), url.as_bytes()).await?;
    // Of an address that nobody can open any more nothing is kept.
    view.url = match sealed {
        Some(_) => Personal::Clear(origin(url)),
        None => Personal::Erased,
    };
    Ok(sealed)
}

/// Puts the address back.
pub(super) async fn open(
    codec: &Codec,
    mut view: WebhookView,
    sealed: Option<Vec<u8>>,
) -> Result<WebhookView, ProjectionError> {
    // A row of before holds it in the clear until the reader of the log comes by.
    let Some(sealed) = sealed else { return Ok(view) };
    let url = codec.open(view.tenant.as_str(), &context(view.id), &sealed).await?;
    let url = url.and_then(|url| String::from_utf8(url).ok());
    view.url = url.map_or(Personal::Erased, Personal::Clear);
    Ok(view)
}

/// What of an address can be shown to anybody.
fn origin(url: &str) -> String {
    let origin = Url::parse(url).map(|url| url.origin().ascii_serialization());
    origin.map(|origin| format!("{origin}/…")).unwrap_or_default()
}

/// Seals rows of before.
pub(super) async fn seal_rows_of_before(
    connection: &mut PgConnection,
    codec: &Codec,
) -> Result<(), ProjectionError> {
    loop {
        let rows: Vec<(Json<WebhookView>,)> = sqlx::query_as(
            "SELECT doc FROM webhook WHERE sealed IS NULL AND doc->>'url' IS NOT NULL
             ORDER BY id LIMIT $1 FOR UPDATE",
        )
        .bind(PAGE)
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
