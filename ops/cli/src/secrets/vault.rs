use anyhow::Context;
use futures::{FutureExt, future::BoxFuture};
use serde_json::Value;

use super::{Provider, client, read, variable};

/// `HashiCorp` Vault or `OpenBao`, with either version of the key-value engine. Configured by
/// `VAULT_ADDR`, `VAULT_TOKEN` or the file `VAULT_TOKEN_FILE`, and optionally `VAULT_NAMESPACE`.
pub(super) struct Vault {
    address: String,
    token: String,
    namespace: Option<String>,
}

impl Vault {
    pub(super) fn from_environment() -> anyhow::Result<Self> {
        let token = match std::env::var("VAULT_TOKEN_FILE") {
            Ok(file) => std::fs::read_to_string(&file).context(file)?,
            Err(_) => variable("VAULT_TOKEN")?,
        };
        let namespace = std::env::var("VAULT_NAMESPACE").ok();
        Ok(Self { address: variable("VAULT_ADDR")?, token: token.trim().to_owned(), namespace })
    }
}

impl Provider for Vault {
    /// The name is the path of the API, like `secret/data/ffapi`.
    fn fetch<'a>(&'a self, name: &'a str) -> BoxFuture<'a, anyhow::Result<Value>> {
        async move {
            let url = format!("{}/v1/{name}", self.address.trim_end_matches('/'));
            let mut request = client()?.get(url).header("x-vault-token", &self.token);
            if let Some(namespace) = &self.namespace {
                request = request.header("x-vault-namespace", namespace);
            }
            let answer = read(request.send().await?).await?;
            let data = answer.get("data").context("the response has no `data`")?;
            // Version 2 of the engine nests the fields next to their metadata.
            let fields = data.get("data").filter(|_| data.get("metadata").is_some());
            Ok(fields.unwrap_or(data).clone())
        }
        .boxed()
    }
}
