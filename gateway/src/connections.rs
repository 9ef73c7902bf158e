//! Limits of open connections, in total and by address, and eviction of idle ones. Some file
//! descriptors stay reserved for files, the log and the database.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use nix::sys::resource::{Resource, getrlimit};
use tokio_util::sync::CancellationToken;

use crate::{
    GatewayConfig,
    auth::{Proxies, subnet},
    metrics::{self, ConnectionLimit, OpenConnection},
};

/// File descriptors reserved for everything except connections and the files that they read or
/// write.
const RESERVED_DESCRIPTORS: u64 = 200;
/// Minimum of the connection limit, however few descriptors there are.
const MIN_CONNECTIONS: u64 = 16;
/// Minimum interval between two warnings about rejected connections.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// All open connections.
#[derive(Debug)]
pub(crate) struct Connections {
    max: usize,
    max_per_address: usize,
    /// Loopback and trusted proxies forward for many clients and are exempt from the limit by
    /// address.
    proxies: Proxies,
    started: Instant,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    by_peer: HashMap<SocketAddr, Arc<State>>,
    /// Those without a complete request so far, oldest first.
    silent: BTreeMap<u64, Arc<State>>,
    /// Their number by address or IPv6 subnet.
    by_address: HashMap<IpAddr, usize>,
    warned_at: Option<Instant>,
}

/// The state of one connection.
#[derive(Debug)]
pub(crate) struct State {
    number: u64,
    peer: SocketAddr,
    /// True once a complete request was received.
    has_request: AtomicBool,
    /// Number of requests in progress.
    busy: AtomicUsize,
    /// Time of the last read or write, in milliseconds since `started`.
    touched_at: AtomicU64,
    evicted: CancellationToken,
}

/// The permit of one connection; returned when it is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    state: Arc<State>,
    connections: Arc<Connections>,
    _counted: OpenConnection,
}

/// A request in progress; keeps its connection busy.
#[derive(Debug)]
pub(crate) struct Busy(Arc<State>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connections {
    pub(crate) fn new(config: &GatewayConfig) -> Self {
        let descriptors = getrlimit(Resource::RLIMIT_NOFILE).map_or(1_024, |(soft, _)| soft);
        let proxies = Proxies::new(config.trusted_proxies.clone(), config.proxy_header);
        Self::of(Limits::new(config, descriptors), proxies)
    }

    fn of(limits: Limits, proxies: Proxies) -> Self {
        let Limits { max, max_per_address } = limits;
        Self { max, max_per_address, proxies, started: Instant::now(), open: Mutex::default() }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A permit for a connection; none if its address has too many, or all connections are busy.
    pub(crate) fn admit(self: &Arc<Self>, peer: SocketAddr) -> Option<ConnectionPermit> {
        let mut open = self.open();
        let own = peer.ip().to_canonical();
        let address = subnet(own);
        let count = open.by_address.get(&address).copied().unwrap_or(0);
        let counted = !(own.is_loopback() || self.proxies.trusts(own));
        let rejected = if counted && count >= self.max_per_address {
            Some((ConnectionLimit::Address, "the address has its maximum of connections"))
        } else if open.by_peer.len() >= self.max && !open.evict() {
            let why = "the maximum of connections is reached and all are busy";
            Some((ConnectionLimit::Total, why))
        } else {
            None
        };
        if let Some((limit, why)) = rejected {
            metrics::connection_rejected(limit);
            if open.warned_at.is_none_or(|at| at.elapsed() > WARNING_INTERVAL) {
                open.warned_at = Some(Instant::now());
                tracing::warn!(network = network(own), why, "a connection is rejected");
            }
            return None;
        }
        let number = open.next;
        open.next = number.saturating_add(1);
        let state = Arc::new(State {
            number,
            peer,
            has_request: AtomicBool::new(false),
            busy: AtomicUsize::new(0),
            touched_at: AtomicU64::new(self.now()),
            evicted: CancellationToken::new(),
        });
        open.by_peer.insert(peer, Arc::clone(&state));
        open.silent.insert(number, Arc::clone(&state));
        *open.by_address.entry(address).or_default() += 1;
        drop(open);
        let connections = Arc::clone(self);
        Some(ConnectionPermit { state, connections, _counted: OpenConnection::begin() })
    }

    /// Evicts the least active connection to free its descriptor.
    pub(crate) fn evict(&self) {
        self.open().evict();
    }

    /// Records that a complete request was received; the connection is busy until `Busy` is
    /// dropped.
    pub(crate) fn begin_request(&self, peer: SocketAddr) -> Option<Busy> {
        let mut open = self.open();
        let state = Arc::clone(open.by_peer.get(&peer)?);
        if !state.has_request.swap(true, Ordering::Relaxed) {
            open.silent.remove(&state.number);
        }
        state.busy.fetch_add(1, Ordering::Relaxed);
        Some(Busy(state))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Removes a closed connection.
    fn release(&self, state: &Arc<State>) {
        let mut open = self.open();
        open.remove(state);
        let address = subnet(state.peer.ip().to_canonical());
        if let Some(count) = open.by_address.get_mut(&address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.by_address.remove(&address);
            }
        }
    }
}

impl Open {
    /// Evicts the oldest connection without a request; else, of those without a request in
    /// progress, the one that has been idle for longest. False if all are busy.
    fn evict(&mut self) -> bool {
        let silent = self.silent.first_key_value().map(|(_, state)| Arc::clone(state));
        let idle = || {
            let idle =
                self.by_peer.values().filter(|state| state.busy.load(Ordering::Relaxed) == 0);
            idle.min_by_key(|state| state.touched_at.load(Ordering::Relaxed)).map(Arc::clone)
        };
        let Some(state) = silent.or_else(idle) else { return false };
        state.evicted.cancel();
        self.remove(&state);
        true
    }

    /// Removes a connection, unless a newer one has the same peer address and port.
    fn remove(&mut self, state: &Arc<State>) {
        self.silent.remove(&state.number);
        if self.by_peer.get(&state.peer).is_some_and(|known| known.number == state.number) {
            self.by_peer.remove(&state.peer);
        }
    }
}

impl ConnectionPermit {
    /// Records a read or write.
    pub(crate) fn touch(&self) {
        self.state.touched_at.store(self.connections.now(), Ordering::Relaxed);
    }

    /// True once a complete request was received.
    pub(crate) fn has_request(&self) -> bool {
        self.state.has_request.load(Ordering::Relaxed)
    }

    /// Cancelled when the connection is evicted.
    pub(crate) fn evicted(&self) -> CancellationToken {
        self.state.evicted.clone()
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.connections.release(&self.state);
    }
}

/// The limits of open connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limits {
    max: usize,
    max_per_address: usize,
}

impl Limits {
    /// The configured limits, lowered to fit the descriptors: each connection may also use a file.
    fn new(config: &GatewayConfig, descriptors: u64) -> Self {
        let available = (descriptors.saturating_sub(RESERVED_DESCRIPTORS) / 2).max(MIN_CONNECTIONS);
        let max = config.connections.clamp(1, available);
        // One address never gets all connections.
        let max_per_address = config.connections_per_address.clamp(1, (max * 3 / 4).max(1));
        let number = |limit| usize::try_from(limit).unwrap_or(usize::MAX);
        Self { max: number(max), max_per_address: number(max_per_address) }
    }
}

/// The network of an address, large enough to be nobody's: for logs, which outlive an erasure.
fn network(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}::/48")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(max: usize, max_per_address: usize) -> Arc<Connections> {
        let proxies =
            Proxies::new(vec!["10.0.0.0/8".parse().unwrap()], crate::ProxyHeader::default());
        Arc::new(Connections::of(Limits { max, max_per_address }, proxies))
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn descriptors_stay_in_reserve() {
        let config = GatewayConfig::default();
        let limits = |descriptors| Limits::new(&config, descriptors);
        assert_eq!(limits(1_024), Limits { max: 412, max_per_address: 309 });
        assert_eq!(limits(1_000_000), Limits { max: 10_000, max_per_address: 1_000 });
        assert_eq!(limits(64), Limits { max: 16, max_per_address: 12 });
    }

    #[test]
    fn the_limit_of_one_address_does_not_affect_others() {
        let open = of(100, 2);
        let first = open.admit(at("192.0.2.1:1")).unwrap();
        let _second = open.admit(at("192.0.2.1:2")).unwrap();
        assert!(open.admit(at("192.0.2.1:3")).is_none());
        let _other = open.admit(at("192.0.2.2:1")).unwrap();
        drop(first);
        let _again = open.admit(at("192.0.2.1:3")).unwrap();
        // IPv6 is limited by subnet; loopback and proxies, which forward for many, not at all.
        let _six = ["[2001:db8::1]:1", "[2001:db8::2]:1"].map(|peer| open.admit(at(peer)).unwrap());
        assert!(open.admit(at("[2001:db8::3]:1")).is_none());
        for host in ["127.0.0.1", "[::1]", "10.1.2.3"] {
            let many = (1..9).map(|port| open.admit(at(&format!("{host}:{port}"))));
            assert!(many.collect::<Vec<_>>().iter().all(Option::is_some), "{host}");
        }
    }

    #[test]
    fn the_oldest_connection_without_a_request_is_evicted() {
        let open = of(3, 3);
        let asked = open.admit(at("192.0.2.1:1")).unwrap();
        let busy = open.begin_request(at("192.0.2.1:1")).unwrap();
        let silent: Vec<ConnectionPermit> =
            (2..4).map(|port| open.admit(at(&format!("192.0.2.{port}:1"))).unwrap()).collect();
        let late = open.admit(at("192.0.2.9:1")).unwrap();
        let evicted = |permit: &ConnectionPermit| permit.evicted().is_cancelled();
        assert!(evicted(&silent[0]) && !evicted(&silent[1]) && !evicted(&asked) && !evicted(&late));
        drop(silent);
        drop(late);
        // Without a silent connection an idle one is evicted; if all are busy, none is accepted.
        let more: Vec<(ConnectionPermit, Busy)> = (4..6)
            .map(|port| {
                let peer = at(&format!("192.0.2.{port}:1"));
                (open.admit(peer).unwrap(), open.begin_request(peer).unwrap())
            })
            .collect();
        assert!(open.admit(at("192.0.2.9:2")).is_none());
        drop(busy);
        let _last = open.admit(at("192.0.2.9:3")).unwrap();
        assert!(evicted(&asked) && more.iter().all(|(permit, _)| !evicted(permit)));
    }

    #[test]
    fn closed_connections_leave_no_entries() {
        let open = of(2, 2);
        for _ in 0..10 {
            let permits = [1, 2, 3].map(|port| open.admit(at(&format!("192.0.2.1:{port}"))));
            assert!(permits[2].is_none());
        }
        let open = open.open();
        assert_eq!((open.by_peer.len(), open.silent.len(), open.by_address.len()), (0, 0, 0));
    }
}
