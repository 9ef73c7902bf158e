use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use ffapi_domain::{
    KeyId, Tenant, Timestamp,
    key::{KeyTerms, Scope},
};
use jsonwebtoken::{
    Algorithm, DecodingKey, Header, Validation, decode, decode_header,
    jwk::{Jwk, JwkSet},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{AuthError, CredentialKind, CredentialStore, Principal};

/// An external issuer of tokens, as `OpenID` Connect defines it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// The value of `iss`.
    pub issuer: String,
    /// The value of `aud` that names this service.
    pub audience: String,
    /// The URL of its keys (`jwks_uri`).
    pub jwks: String,
    /// The claim that names the tenant.
    #[serde(default = "tenant")]
    pub tenant_claim: String,
    /// Tenants by value of that claim; a value that is not listed is the tenant's name.
    #[serde(default)]
    pub tenants: BTreeMap<String, Tenant>,
    /// The claim with the permissions: words separated by spaces, or a list.
    #[serde(default = "scope")]
    pub scope_claim: String,
    /// The scopes that each permission grants; permissions that are not listed grant none.
    pub scopes: BTreeMap<String, BTreeSet<Scope>>,
}

fn tenant() -> String {
    "tenant".to_owned()
}

fn scope() -> String {
    "scope".to_owned()
}

/// What a request does while another one fetches the keys.
#[derive(Debug, Clone, Copy)]
enum OtherFetch {
    /// Waits for it.
    Await,
    /// Continues without it.
    Ignore,
}

/// Verifies tokens of an issuer with its published keys.
#[derive(Debug)]
pub(crate) struct Issuer {
    config: IssuerConfig,
    client: reqwest::Client,
    keys: RwLock<Option<(Arc<JwkSet>, Instant)>>,
    /// Locked while the keys are fetched; holds the time of the last attempt.
    fetched: Mutex<Option<Instant>>,
}

/// How long its keys are used without fetching them again.
const KEYS_REFRESH_AFTER: Duration = Duration::from_mins(10);
/// How long they are used while they cannot be fetched.
const KEYS_MAX_AGE: Duration = Duration::from_hours(1);
/// The minimum interval between two fetches, also for tokens with an unknown key.
const MIN_FETCH_INTERVAL: Duration = Duration::from_secs(5);
/// Accepted algorithms: public-key signatures only, no shared secrets.
const ALGORITHMS: [Algorithm; 7] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

impl Issuer {
    pub(crate) fn new(config: IssuerConfig) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { config, client, keys: RwLock::default(), fetched: Mutex::default() })
    }

    /// True if a text looks like a JWT.
    pub(crate) fn is_token(text: &str) -> bool {
        text.split('.').count() == 3 && !text.starts_with("ffapi_")
    }

    /// The principal of a token, if the issuer signed it for this service and it has not expired.
    pub(crate) async fn read(
        &self,
        token: &str,
        from: Option<IpAddr>,
        credentials: &CredentialStore,
    ) -> Result<Principal, AuthError> {
        let header = decode_header(token).map_err(|_| AuthError::Unknown)?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(AuthError::Unknown);
        }
        let key = self.key(&header).await?;
        let key = DecodingKey::from_jwk(&key).map_err(|_| AuthError::Unknown)?;
        let mut validation = Validation::new(header.alg);
        validation.set_audience(&[&self.config.audience]);
        validation.set_issuer(&[&self.config.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        let claims = decode::<Map<String, Value>>(token, &key, &validation);
        let claims = claims.map_err(|error| match error.kind() {
            jsonwebtoken::errors::ErrorKind::ExpiredSignature => AuthError::Expired,
            _ => AuthError::Unknown,
        })?;
        self.principal(&claims.claims, from, credentials)
    }

    fn principal(
        &self,
        claims: &Map<String, Value>,
        from: Option<IpAddr>,
        credentials: &CredentialStore,
    ) -> Result<Principal, AuthError> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let named = text(&self.config.tenant_claim).ok_or(AuthError::Unknown)?;
        let tenant = self.config.tenants.get(named).cloned();
        let tenant = tenant.or_else(|| named.parse().ok()).ok_or(AuthError::Unknown)?;
        credentials.admit_issued(&tenant, from)?;
        let words: Vec<&str> = match claims.get(&self.config.scope_claim) {
            Some(Value::String(words)) => words.split_whitespace().collect(),
            Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let meant = words.iter().filter_map(|word| self.config.scopes.get(*word));
        let scopes: BTreeSet<Scope> = meant.flatten().copied().collect();
        let until = claims.get("exp").and_then(Value::as_u64).ok_or(AuthError::Unknown)?;
        let subject = text("sub").ok_or(AuthError::Unknown)?;
        // A stable id for each subject of an issuer; UUIDs of API keys have another version.
        let name = format!("{}\n{subject}", self.config.issuer);
        let key = KeyId::from_uuid(Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()));
        Ok(Principal {
            key,
            tenant,
            scopes,
            terms: KeyTerms::default(),
            makers: vec![],
            address: from,
            until: Some(Timestamp::from_millis(until.saturating_mul(1_000))),
            token: None,
            credential: CredentialKind::Issued,
        })
    }

    /// The key that a token names as its signing key.
    async fn key(&self, header: &Header) -> Result<Jwk, AuthError> {
        let find = |keys: &JwkSet| match &header.kid {
            Some(kid) => keys.find(kid).cloned(),
            // A set with one key needs no key id.
            None => keys.keys.first().filter(|_| keys.keys.len() == 1).cloned(),
        };
        let (known, age) = self.known();
        if let Some(key) = known.as_deref().and_then(find)
            && age < KEYS_REFRESH_AFTER
        {
            return Ok(key);
        }
        // While one request fetches the keys, others continue with the current ones.
        let usable = age < KEYS_MAX_AGE && known.as_deref().and_then(find).is_some();
        let others = if usable { OtherFetch::Ignore } else { OtherFetch::Await };
        self.fetch(others).await;
        let (known, age) = self.known();
        match known.as_deref() {
            Some(keys) if age < KEYS_MAX_AGE => find(keys).ok_or(AuthError::Unknown),
            _ => Err(AuthError::Stale),
        }
    }

    fn known(&self) -> (Option<Arc<JwkSet>>, Duration) {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let age = keys.as_ref().map_or(Duration::MAX, |(_, at)| at.elapsed());
        (keys.as_ref().map(|(keys, _)| Arc::clone(keys)), age)
    }

    /// Fetches the keys, one request at a time and not more often than [`MIN_FETCH_INTERVAL`].
    async fn fetch(&self, others: OtherFetch) {
        let mut fetched = match self.fetched.try_lock() {
            Ok(fetched) => fetched,
            Err(_) => match others {
                OtherFetch::Await => self.fetched.lock().await,
                OtherFetch::Ignore => return,
            },
        };
        if fetched.is_some_and(|at| at.elapsed() < MIN_FETCH_INTERVAL) {
            return;
        }
        let response = self.client.get(&self.config.jwks).send().await;
        let keys = match response.and_then(reqwest::Response::error_for_status) {
            Ok(response) => response.json::<JwkSet>().await,
            Err(error) => Err(error),
        };
        match keys {
            Ok(keys) => {
                let mut kept = self.keys.write().unwrap_or_else(PoisonError::into_inner);
                *kept = Some((Arc::new(keys), Instant::now()));
            }
            Err(error) => tracing::warn!(%error, "the issuer's keys cannot be fetched"),
        }
        // Counted from the response: requests that waited for it do not fetch again.
        *fetched = Some(Instant::now());
    }
}
