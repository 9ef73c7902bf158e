use poem_openapi::Object;

use super::body::{self, AccountShown};
use crate::{auth::Principal, problem::Problem, reply::Reply, state::Gateway};

/// The caller: its key, and its account.
#[derive(Debug, Object)]
#[oai(rename = "Caller", skip_serializing_if_is_none)]
pub(crate) struct Caller {
    /// Id of the key that the request was sent with.
    key_id: String,
    /// What the key may do.
    scopes: Vec<String>,
    /// When the key expires.
    expires_at: Option<String>,
    account: AccountShown,
}

pub(super) async fn me(
    gateway: &Gateway,
    principal: &Principal,
) -> Result<Reply<200, Caller>, Problem> {
    Ok(Reply::new(Caller {
        key_id: principal.key.to_string(),
        scopes: principal.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
        expires_at: principal.terms.expires_at.map(|at| at.to_string()),
        account: body::shown(gateway, &principal.tenant).await?,
    }))
}
