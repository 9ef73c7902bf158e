use ffapi_domain::Tenant;
use poem::http::Uri;
use poem_openapi::Object;

use super::body::{AccountShown, shown};
use crate::{page, problem::Problem, reply::Reply, state::Gateway};

/// A page of accounts.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct AccountPage {
    data: Vec<AccountShown>,
    next_cursor: Option<String>,
    has_more: bool,
}

pub(super) async fn list(
    gateway: &Gateway,
    uri: &Uri,
    limit: Option<u32>,
    cursor: Option<&str>,
) -> Result<Reply<200, AccountPage>, Problem> {
    let limit = page::limit(limit, "accounts")?;
    let after: Option<Tenant> = page::after(cursor)?;
    let more = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1);
    let mut tenants = gateway.credentials.tenants(after.as_ref(), more);
    let next_cursor = page::cut(&mut tenants, limit, Tenant::clone);
    let link = next_cursor.as_ref().map(|cursor| page::next(uri, cursor));
    let has_more = next_cursor.is_some();
    let mut data = Vec::with_capacity(tenants.len());
    for tenant in &tenants {
        data.push(shown(gateway, tenant).await?);
    }
    Ok(Reply::new(AccountPage { data, next_cursor, has_more }).next(link))
}
