use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_nats::{Auth, ConnectOptions, Event, jetstream};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::watch;

use crate::{LogError, metrics, server_watch};

/// How to connect to NATS.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NatsConfig {
    /// `nats://host:port` or `nats://user:password@host:port`; separate several with commas.
    pub url: String,
}

impl NatsConfig {
    /// The server URLs without credentials, and the credentials (before `@`) of the first that has
    /// any.
    fn parts(&self) -> (Vec<String>, Option<&str>) {
        let mut credentials = None;
        let servers = self.url.split(',').map(|url| {
            let url = url.trim();
            let (scheme, rest) = url.split_once("://").unwrap_or(("nats", url));
            let Some((userinfo, host)) = rest.rsplit_once('@') else { return url.to_owned() };
            credentials = credentials.or(Some(userinfo));
            format!("{scheme}://{host}")
        });
        (servers.collect(), credentials)
    }

    /// The URLs without credentials, for logs and diagnostics.
    pub fn shown(&self) -> String {
        self.parts().0.join(",")
    }
}

impl std::fmt::Debug for NatsConfig {
    /// Without credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsConfig").field("url", &self.shown()).finish()
    }
}

/// A connection that reconnects automatically.
#[derive(Clone)]
pub struct Nats {
    pub(crate) client: async_nats::Client,
    pub(crate) jetstream: jetstream::Context,
    connected: Arc<watch::Receiver<Option<Instant>>>,
    /// Credentials for the next connection attempt.
    auth: Arc<RwLock<Auth>>,
    replicated: Arc<AtomicBool>,
}

impl std::fmt::Debug for Nats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nats").field("client", &self.client).finish_non_exhaustive()
    }
}

/// Parses `user:password`, or a token.
fn parse_credentials(credentials: Option<&str>) -> Auth {
    let mut auth = Auth::new();
    match credentials.map(|text| (text, text.split_once(':'))) {
        None => {}
        Some((token, None)) => auth.token = Some(token.to_owned()),
        Some((_, Some((user, password)))) => {
            (auth.username, auth.password) = (Some(user.to_owned()), Some(password.to_owned()));
        }
    }
    auth
}

/// How long one request may take before its outcome counts as unknown.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// A server that is cut off or frozen breaks no connection: after three pings without a response the
/// client connects to another one. Its default would be three minutes.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// How long one server may take to accept a connection before the next one is tried.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);

/// The oldest supported nats-server.
const MIN_SERVER_VERSION: (i64, i64, i64) = (2, 12, 1);

impl Nats {
    /// Connects. Rejects a server that is too old, because it would silently ignore stream
    /// settings.
    ///
    /// # Errors
    /// When no server responds, or it is older than 2.12.1.
    pub async fn connect(config: &NatsConfig) -> Result<Self, LogError> {
        let (sender, connected) = watch::channel(None);
        let sender = Arc::new(sender);
        let (servers, credentials) = config.parts();
        let has_others = servers.len() > 1;
        let auth = Arc::new(RwLock::new(parse_credentials(credentials)));
        let current_auth = Arc::clone(&auth);
        // Called for each connection: the password may have changed since the last one.
        let mut options = ConnectOptions::with_auth_callback(move |_| {
            let auth = current_auth.read().unwrap_or_else(PoisonError::into_inner).clone();
            async move { Ok(auth) }
        });
        if let Some((user, _)) = credentials.and_then(|text| text.split_once(':')) {
            // Each user has its own inbox prefix, which other users may not subscribe to.
            options = options.custom_inbox_prefix(format!("_INBOX.{user}"));
        }
        let client = options
            .name("ffapi")
            .request_timeout(Some(REQUEST_TIMEOUT))
            .ping_interval(PING_INTERVAL)
            .connection_timeout(CONNECTION_TIMEOUT)
            .subscription_capacity(65_536)
            .reconnect_delay_callback(|attempt| {
                let tries = u32::try_from(attempt).unwrap_or(u32::MAX).min(6);
                Duration::from_millis(25 * 2_u64.saturating_pow(tries)).min(Duration::from_secs(1))
            })
            .event_callback(move |event| {
                let sender = Arc::clone(&sender);
                async move {
                    match event {
                        Event::Connected => {
                            metrics::connected();
                            sender.send_replace(Some(Instant::now()));
                        }
                        Event::Disconnected => {
                            metrics::disconnected();
                            sender.send_replace(None);
                        }
                        Event::Closed => {
                            sender.send_replace(None);
                        }
                        Event::LameDuckMode | Event::Draining => {}
                        Event::SlowConsumer(_) => {
                            metrics::slow_consumer();
                            tracing::warn!(%event, "nats");
                        }
                        Event::ServerError(_) | Event::ClientError(_) => {
                            tracing::warn!(%event, "nats");
                        }
                    }
                }
            })
            .connect(servers)
            .await
            .map_err(LogError::unavailable)?;
        let oldest = MIN_SERVER_VERSION;
        if !client.is_server_compatible(oldest.0, oldest.1, oldest.2) {
            let found = client.server_info().version;
            return Err(LogError::Misconfigured(format!(
                "nats-server {found} is too old; 2.12.1 or newer is required"
            )));
        }
        if has_others {
            tokio::spawn(server_watch::run(client.clone()));
        }
        let jetstream =
            jetstream::ContextBuilder::new().timeout(REQUEST_TIMEOUT).build(client.clone());
        let connected = Arc::new(connected);
        Ok(Self { client, jetstream, connected, auth, replicated: Arc::default() })
    }

    /// Uses these credentials from the next reconnect on: the same user with a new password.
    pub fn set_credentials(&self, config: &NatsConfig) {
        *self.auth.write().unwrap_or_else(PoisonError::into_inner) =
            parse_credentials(config.parts().1);
    }

    /// Whether streams have replicas. Any of them answers a direct get, and may lag behind: then what
    /// must be current is asked of the leader.
    pub(crate) fn is_replicated(&self) -> bool {
        self.replicated.load(Ordering::Relaxed)
    }

    /// Records how many replicas a stream was found to have.
    pub(crate) fn found_replicas(&self, replicas: usize) {
        if replicas > 1 {
            self.replicated.store(true, Ordering::Relaxed);
        }
    }

    /// How long the connection has been up without interruption; `None` while it is down.
    pub fn connected_for(&self) -> Option<Duration> {
        if self.client.connection_state() != async_nats::connection::State::Connected {
            return None;
        }
        Some(self.connected.borrow().map_or(Duration::ZERO, |since| since.elapsed()))
    }

    /// Awaits a response while the connection that carried the request is up. Once that is lost, no
    /// response can arrive, and waiting for the timeout would only delay a retry.
    pub(crate) async fn await_response<T, E>(
        &self,
        reply: impl Future<Output = Result<T, E>>,
    ) -> Result<T, LogError>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        tokio::select! {
            response = reply => response.map_err(LogError::unavailable),
            () = self.disconnected() => Err(LogError::unavailable("the connection was lost")),
        }
    }

    /// Completes when the current connection is lost; while disconnected, when the next connection
    /// is lost.
    pub(crate) async fn disconnected(&self) {
        let mut connected = (*self.connected).clone();
        let Ok(now) = connected.wait_for(Option::is_some).await.map(|since| *since) else {
            return std::future::pending().await;
        };
        let _ = connected.wait_for(|since| *since != now).await;
    }

    /// The server's version.
    pub fn server_version(&self) -> String {
        self.client.server_info().version
    }

    /// Sends everything that is buffered, then closes the connection.
    pub async fn close(&self) {
        let _ = self.client.drain().await;
    }

    /// Sends a JSON request to the JetStream API and parses the response.
    pub(crate) async fn api<T: DeserializeOwned>(
        &self,
        verb: &str,
        request: &(impl Serialize + Sync),
    ) -> Result<T, LogError> {
        let payload =
            serde_json::to_vec(request).map_err(|error| LogError::Corrupt(error.to_string()))?;
        let reply = self.client.request(format!("$JS.API.{verb}"), payload.into());
        let response = self.await_response(reply).await?;
        parse(&response.payload)
    }
}

#[derive(Deserialize)]
struct ErrorResponse {
    error: ErrorBody,
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

/// Errors of a cluster that has no leader or no majority at the moment, or of a server whose
/// JetStream is disabled: a retry may succeed, and the outcome of a write is unknown.
const UNAVAILABLE_CODES: [u64; 9] =
    [10_005, 10_006, 10_008, 10_009, 10_023, 10_039, 10_041, 10_076, 10_118];

/// Parses a JetStream response: the payload, or the server's error.
pub(crate) fn parse<T: DeserializeOwned>(payload: &[u8]) -> Result<T, LogError> {
    if let Ok(ErrorResponse { error }) = serde_json::from_slice(payload) {
        if UNAVAILABLE_CODES.contains(&error.err_code) {
            return Err(LogError::unavailable(error.description));
        }
        return Err(LogError::Server { code: error.err_code, description: error.description });
    }
    serde_json::from_slice(payload).map_err(|error| LogError::Corrupt(error.to_string()))
}

/// What says who leads a stream or a consumer.
#[derive(Deserialize)]
struct Led {
    cluster: Option<Raft>,
}

#[derive(Deserialize)]
struct Raft {
    #[serde(default)]
    leader: String,
}

/// Whether the information about a stream or a consumer names a leader. Any server may answer for one
/// that has none; a server without a cluster leads itself.
pub(crate) fn is_led(information: &[u8]) -> Result<bool, LogError> {
    let led: Led = parse(information)?;
    Ok(led.cluster.is_none_or(|raft| !raft.leader.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_of_a_cluster_is_led_if_a_leader_is_named() {
        let led = |text: &str| is_led(text.as_bytes()).unwrap();
        assert!(led(r#"{"state": {}}"#));
        assert!(led(r#"{"cluster": {"name": "a", "leader": "nats-1"}}"#));
        // As nats-server 2.15.1 answers after `catchup aborted, no leader`.
        assert!(!led(r#"{"cluster": {"name": "a", "replicas": [{"name": "nats-1"}]}}"#));
        assert!(is_led(br#"{"error": {"err_code": 10059, "description": "no"}}"#).is_err());
    }

    #[test]
    fn a_cluster_without_a_leader_is_unavailable_and_other_errors_are_refusals() {
        let answer = |code: u64| {
            let error = serde_json::json!({"error": {"err_code": code, "description": "no"}});
            parse::<u64>(error.to_string().as_bytes()).unwrap_err()
        };
        assert!(matches!(answer(10_008), LogError::Unavailable(_)));
        assert!(matches!(answer(10_071), LogError::Server { code: 10_071, .. }));
    }

    #[test]
    fn credentials_are_separated_from_the_server_urls() {
        let config = |url: &str| NatsConfig { url: url.to_owned() };
        let two = config("nats://me:p@ss:w@a:4222, nats://me:p@ss:w@b:4222");
        assert_eq!(two.parts().1, Some("me:p@ss:w"));
        assert_eq!(two.shown(), "nats://a:4222,nats://b:4222");
        assert!(!format!("{two:?}").contains("p@ss"), "{two:?}");
        assert_eq!(config("nats://token@a:4222").parts().1, Some("token"));
        assert_eq!(config("a:4222").parts(), (vec!["a:4222".to_owned()], None));
    }
}
