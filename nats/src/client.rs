use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use async_nats::{Auth, ConnectOptions, Event, jetstream};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::watch;

use crate::LogError;

/// Where NATS is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NatsConfig {
    /// `nats://host:port` or `nats://user:password@host:port`, several separated by commas.
    pub url: String,
}

impl NatsConfig {
    /// The servers' addresses, and what stands before the `@` of the first that has one.
    fn parts(&self) -> (Vec<String>, Option<&str>) {
        let mut shown = None;
        let servers = self.url.split(',').map(|url| {
            let url = url.trim();
            let (scheme, rest) = url.split_once("://").unwrap_or(("nats", url));
            let Some((who, host)) = rest.rsplit_once('@') else { return url.to_owned() };
            shown = shown.or(Some(who));
            format!("{scheme}://{host}")
        });
        (servers.collect(), shown)
    }

    /// The address without what opens it.
    pub fn shown(&self) -> String {
        self.parts().0.join(",")
    }
}

/// A connection that comes back by itself.
#[derive(Clone)]
pub struct Nats {
    pub(crate) client: async_nats::Client,
    pub(crate) jetstream: jetstream::Context,
    connected: Arc<watch::Receiver<Option<Instant>>>,
    /// What opens the server.
    shows: Arc<RwLock<Auth>>,
}

impl std::fmt::Debug for Nats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nats").field("client", &self.client).finish_non_exhaustive()
    }
}

/// A user and its password, or a token.
fn opening(shown: Option<&str>) -> Auth {
    let mut auth = Auth::new();
    match shown.map(|shown| (shown, shown.split_once(':'))) {
        None => {}
        Some((token, None)) => auth.token = Some(token.to_owned()),
        Some((_, Some((user, password)))) => {
            (auth.username, auth.password) = (Some(user.to_owned()), Some(password.to_owned()));
        }
    }
    auth
}

/// How long one request may take before its outcome counts as unknown.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);

const OLDEST: (i64, i64, i64) = (2, 12, 1);

impl Nats {
    /// Connects, and refuses a server that is too old: those ignore unknown settings in silence.
    ///
    /// # Errors
    /// When nobody answers, or the server is older than 2.12.1.
    pub async fn connect(config: &NatsConfig) -> Result<Self, LogError> {
        let (sender, connected) = watch::channel(None);
        let sender = Arc::new(sender);
        let (servers, shown) = config.parts();
        let shows = Arc::new(RwLock::new(opening(shown)));
        let asked = Arc::clone(&shows);
        // Asked at each connection: a password may have changed since the last.
        let mut options = ConnectOptions::with_auth_callback(move |_| {
            let auth = asked.read().unwrap_or_else(PoisonError::into_inner).clone();
            async move { Ok(auth) }
        });
        if let Some((user, _)) = shown.and_then(|shown| shown.split_once(':')) {
            // Answers come to an inbox of its user's own, where others may not listen.
            options = options.custom_inbox_prefix(format!("_INBOX.{user}"));
        }
        let client = options
            .name("ffapi")
            .request_timeout(Some(TIMEOUT))
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
                            sender.send_replace(Some(Instant::now()));
                        }
                        Event::Disconnected | Event::Closed => {
                            sender.send_replace(None);
                        }
                        Event::LameDuckMode | Event::Draining => {}
                        Event::SlowConsumer(_) | Event::ServerError(_) | Event::ClientError(_) => {
                            tracing::warn!(%event, "nats");
                        }
                    }
                }
            })
            .connect(servers)
            .await
            .map_err(LogError::unavailable)?;
        if !client.is_server_compatible(OLDEST.0, OLDEST.1, OLDEST.2) {
            let found = client.server_info().version;
            return Err(LogError::Misconfigured(format!(
                "nats-server {found} is too old; 2.12.1 or newer is needed"
            )));
        }
        let jetstream = jetstream::ContextBuilder::new().timeout(TIMEOUT).build(client.clone());
        Ok(Self { client, jetstream, connected: Arc::new(connected), shows })
    }

    /// Shows this from the next connection on: the same user, with another password.
    pub fn set_credentials(&self, config: &NatsConfig) {
        *self.shows.write().unwrap_or_else(PoisonError::into_inner) = opening(config.parts().1);
    }

    /// How long the connection has stood without a break; none while it is down.
    pub fn connected_for(&self) -> Option<Duration> {
        if self.client.connection_state() != async_nats::connection::State::Connected {
            return None;
        }
        Some(self.connected.borrow().map_or(Duration::ZERO, |since| since.elapsed()))
    }

    /// Waits for an answer for as long as the connection stands that it was asked over: after a
    /// break nobody would send it, and waiting out a timeout would only delay asking again.
    pub(crate) async fn answer<T, E>(
        &self,
        asking: impl Future<Output = Result<T, E>>,
    ) -> Result<T, LogError>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        tokio::select! {
            answer = asking => answer.map_err(LogError::unavailable),
            () = self.broken() => Err(LogError::unavailable("the connection broke")),
        }
    }

    /// Ends when the connection that stands now is gone; while none stands, when one that comes
    /// is gone again.
    pub(crate) async fn broken(&self) {
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

    /// Sends everything buffered and closes.
    pub async fn close(&self) {
        let _ = self.client.drain().await;
    }

    /// Asks the JetStream API something, as JSON.
    pub(crate) async fn api<T: DeserializeOwned>(
        &self,
        verb: &str,
        request: &(impl Serialize + Sync),
    ) -> Result<T, LogError> {
        let payload =
            serde_json::to_vec(request).map_err(|error| LogError::Corrupt(error.to_string()))?;
        let asking = self.client.request(format!("$JS.API.{verb}"), payload.into());
        let answer = self.answer(asking).await?;
        parse(&answer.payload)
    }
}

#[derive(Deserialize)]
struct Refusal {
    error: RefusalBody,
}

#[derive(Deserialize)]
struct RefusalBody {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

/// Reads a JetStream answer: the thing itself, or the server's refusal.
pub(crate) fn parse<T: DeserializeOwned>(payload: &[u8]) -> Result<T, LogError> {
    if let Ok(Refusal { error }) = serde_json::from_slice(payload) {
        return Err(LogError::Server { code: error.err_code, description: error.description });
    }
    serde_json::from_slice(payload).map_err(|error| LogError::Corrupt(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_opens_a_server_is_no_part_of_its_address() {
        let config = |url: &str| NatsConfig { url: url.to_owned() };
        let two = config("nats://me:p@ss:w@a:4222, nats://me:p@ss:w@b:4222");
        assert_eq!(two.parts().1, Some("me:p@ss:w"));
        assert_eq!(two.shown(), "nats://a:4222,nats://b:4222");
        assert_eq!(config("nats://token@a:4222").parts().1, Some("token"));
        assert_eq!(config("a:4222").parts(), (vec!["a:4222".to_owned()], None));
    }
}
