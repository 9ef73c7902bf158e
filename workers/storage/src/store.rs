use std::{error::Error, fmt, sync::Arc, time::Instant};

use ffapi_domain::{
    Tenant,
    location::{DEFAULT_BACKEND, JOB_SCHEME},
};
use tracing::Instrument;

use crate::{
    Downloads, RetryPolicy, StorageError, StoreConfig,
    backend::Backend,
    breaker::{Breaker, BreakerState, Outcome},
    bucket,
    folder::Folder,
    layout::Layout,
    metrics::{self, Operation},
    spans,
};

/// One store: where it is, how its keys begin, and who may use it.
pub(crate) struct Store {
    pub(crate) name: String,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) layout: Layout,
    config: StoreConfig,
    /// None for a disk, which does not recover by being left alone.
    breaker: Option<Breaker>,
}

/// A request to a store. If it is dropped without an outcome, another one probes the store.
struct Attempt<'a> {
    store: &'a Store,
    outcome: Outcome,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let breaker = self.store.breaker.as_ref();
        if let Some(state) = breaker.and_then(|breaker| breaker.record(self.outcome)) {
            tracing::warn!(store = self.store.name, ?state, "the circuit breaker has changed");
            metrics::breaker(&self.store.name, state);
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({} in {:?})", self.name, self.backend)
    }
}

/// Schemes that mean something else.
const RESERVED: [&str; 10] =
    [DEFAULT_BACKEND, JOB_SCHEME, "s3", "gs", "az", "file", "http", "https", "upload", "data"];

/// What the client of object storage writes before the status of a failed response, whose type is private to
/// it.
const BEFORE_STATUS: &str = "status code: ";

/// True if a store answered, and rejected this request: whatever is wrong with a name or its credentials,
/// others can use the store.
fn is_about_request(cause: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(cause);
    while let Some(error) = cause {
        let text = error.to_string();
        let status = text.split_once(BEFORE_STATUS).and_then(|(_, rest)| rest.get(..3));
        if let Some(status) = status.and_then(|status| status.parse::<u16>().ok()) {
            return (400..500).contains(&status) && ![408, 429].contains(&status);
        }
        cause = error.source();
    }
    false
}

impl Store {
    /// The local folder.
    pub(crate) fn local(folder: Arc<Folder>, layout: Layout) -> Self {
        let (name, config) = (DEFAULT_BACKEND.to_owned(), StoreConfig::default());
        metrics::breaker(&name, BreakerState::Closed);
        Self { name, backend: folder, layout, config, breaker: None }
    }

    /// Opens a configured store.
    pub(crate) fn open(
        name: &str,
        config: &StoreConfig,
        layout: Layout,
        retry_policy: RetryPolicy,
    ) -> Result<Self, StorageError> {
        let wrong = |detail: String| StorageError::Config(format!("stores.{name}: {detail}"));
        if name.parse::<Tenant>().is_err() || RESERVED.contains(&name) {
            let detail = "a store's name is 1 to 63 of a-z, 0-9 and `-`, and no other scheme";
            return Err(wrong(detail.to_owned()));
        }
        let folder = config.url.strip_prefix("file://");
        let is_plain = config.endpoint.is_none()
            && config.region.is_none()
            && config.access_key_id.is_none()
            && config.secret_access_key.is_none()
            && config.options.is_empty()
            && config.downloads == Downloads::Proxy;
        if folder.is_some() && !is_plain {
            return Err(wrong("a folder has no settings but `url` and `tenants`".to_owned()));
        }
        let backend: Arc<dyn Backend> = match folder {
            Some(folder) => Arc::new(Folder::open(folder.as_ref())?),
            None => Arc::new(bucket::open(config, retry_policy).map_err(wrong)?),
        };
        let breaker = folder.is_none().then(|| Breaker::new(retry_policy));
        metrics::breaker(name, BreakerState::Closed);
        Ok(Self { name: name.to_owned(), backend, layout, config: config.clone(), breaker })
    }

    /// Performs an operation on the store, unless it is known to be away, and measures it.
    pub(crate) async fn perform<T>(
        &self,
        operation: Operation,
        performing: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        if let Some(breaker) = &self.breaker {
            breaker.admit(&self.name).await?;
        }
        let mut attempt = Attempt { store: self, outcome: Outcome::Unknown };
        let start = Instant::now();
        let span = spans::operation(&self.name, operation);
        let performed = Box::pin(performing).instrument(span.clone()).await;
        span.record("ffapi.outcome", metrics::outcome(performed.as_ref().err()));
        attempt.outcome = match &performed {
            Err(StorageError::Unavailable(cause)) if is_about_request(&**cause) => {
                Outcome::Answered
            }
            Err(StorageError::Unavailable(_)) => Outcome::Failed,
            Err(StorageError::Interrupted(_) | StorageError::TooLarge { .. }) => Outcome::Unknown,
            Ok(_) | Err(_) => Outcome::Answered,
        };
        metrics::performed(&self.name, operation, start.elapsed(), performed.as_ref().err());
        performed
    }

    /// True if a tenant may use the store.
    pub(crate) fn allows(&self, tenant: &Tenant) -> bool {
        self.layout == Layout::ByTenant || self.config.allows(tenant)
    }

    /// The path in this store of an object that is named by its provider's URL; none if it is
    /// elsewhere.
    pub(crate) fn path_of(&self, url: &str) -> Option<String> {
        let root = self.config.url.trim_end_matches('/');
        let path = url.strip_prefix(root).filter(|_| !root.is_empty())?.strip_prefix('/')?;
        (self.layout == Layout::AsNamed && !path.is_empty()).then(|| path.to_owned())
    }

    /// The tenants that have anything internal in the store.
    pub(crate) async fn tenants(&self) -> Result<Vec<Tenant>, StorageError> {
        let folders = self.backend.folders(&self.layout.tenants()).await?;
        Ok(folders.iter().filter_map(|name| name.parse().ok()).collect())
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// A store at a server that answers every request with this status.
    async fn answering(status: u16) -> Store {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let _ = client.read(&mut [0; 4096]).await;
                let answer = format!(
                    "HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                );
                let _ = client.write_all(answer.as_bytes()).await;
            }
        });
        let config = StoreConfig {
            url: "s3://bucket".to_owned(),
            endpoint: Some(endpoint),
            access_key_id: Some("a".to_owned()),
            secret_access_key: Some("b".to_owned()),
            ..StoreConfig::default()
        };
        Store::open("media", &config, Layout::AsNamed, RetryPolicy::Request).unwrap()
    }

    #[tokio::test]
    async fn only_a_store_that_is_away_is_not_asked_for_a_while() {
        for status in [400, 414] {
            let store = answering(status).await;
            for _ in 0..6 {
                let asked = store.perform(Operation::Stat, store.backend.check()).await;
                asked.unwrap_err();
            }
            store.breaker.as_ref().unwrap().admit("media").await.unwrap();
        }
        // It is asked several times for each request, with pauses.
        let away = answering(503).await.backend.check().await;
        let Err(StorageError::Unavailable(cause)) = away else { panic!("{away:?}") };
        assert!(!is_about_request(&*cause), "{cause}");
    }
}
