//! How many connections there may be at once, in all and from one address, and which of them gives way
//! to another. Descriptors stay in reserve for files, the log and the database.

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
};

/// Descriptors for everything but connections and what each of them reads or writes.
const RESERVE: u64 = 200;
/// However few descriptors there are.
const LEAST: u64 = 16;
/// Between two lines of the log about connections that were turned away.
const QUIET: Duration = Duration::from_secs(10);

/// Every connection that is open.
#[derive(Debug)]
pub(crate) struct Connections {
    most: usize,
    most_from_one: usize,
    /// Loopback and trusted proxies stand for many clients: they are not counted by address.
    proxies: Proxies,
    began: Instant,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    all: HashMap<SocketAddr, Arc<Seat>>,
    /// Those over which no whole request came yet, oldest first.
    silent: BTreeMap<u64, Arc<Seat>>,
    from: HashMap<IpAddr, usize>,
    warned: Option<Instant>,
}

/// What is known of one.
#[derive(Debug)]
pub(crate) struct Seat {
    number: u64,
    peer: SocketAddr,
    /// Over which a whole request came.
    asked: AtomicBool,
    /// Requests that are being answered.
    busy: AtomicUsize,
    /// Milliseconds of this gateway's life when something moved last.
    moved: AtomicU64,
    ended: CancellationToken,
}

/// The place of one connection; free again with this value.
#[derive(Debug)]
pub(crate) struct Place {
    seat: Arc<Seat>,
    connections: Arc<Connections>,
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Seat>);

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
        let Limits { most, most_from_one } = limits;
        Self { most, most_from_one, proxies, began: Instant::now(), open: Mutex::default() }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for another one; none if its address has too many, or all are taken and busy.
    pub(crate) fn admit(self: &Arc<Self>, peer: SocketAddr) -> Option<Place> {
        let mut open = self.open();
        let own = peer.ip().to_canonical();
        let address = subnet(own);
        let there = open.from.get(&address).copied().unwrap_or(0);
        let counted = !(own.is_loopback() || self.proxies.trusts(own));
        let refused = if counted && there >= self.most_from_one {
            Some("this address has as many as one may have")
        } else if open.all.len() >= self.most && !open.give_way() {
            Some("there are as many as there may be, and all are busy")
        } else {
            None
        };
        if let Some(why) = refused {
            if open.warned.is_none_or(|at| at.elapsed() > QUIET) {
                open.warned = Some(Instant::now());
                tracing::warn!(address = %peer.ip(), why, "a connection is turned away");
            }
            return None;
        }
        let number = open.next;
        open.next = number.saturating_add(1);
        let seat = Arc::new(Seat {
            number,
            peer,
            asked: AtomicBool::new(false),
            busy: AtomicUsize::new(0),
            moved: AtomicU64::new(self.now()),
            ended: CancellationToken::new(),
        });
        open.all.insert(peer, Arc::clone(&seat));
        open.silent.insert(number, Arc::clone(&seat));
        *open.from.entry(address).or_default() += 1;
        drop(open);
        Some(Place { seat, connections: Arc::clone(self) })
    }

    /// Ends the one that does least, for something else needs what it holds.
    pub(crate) fn give_way(&self) {
        self.open().give_way();
    }

    /// A whole request came over a connection; it is busy with it for as long as the answer is.
    pub(crate) fn asked(&self, peer: SocketAddr) -> Option<Busy> {
        let mut open = self.open();
        let seat = Arc::clone(open.all.get(&peer)?);
        if !seat.asked.swap(true, Ordering::Relaxed) {
            open.silent.remove(&seat.number);
        }
        seat.busy.fetch_add(1, Ordering::Relaxed);
        Some(Busy(seat))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn left(&self, seat: &Arc<Seat>) {
        let mut open = self.open();
        open.remove(seat);
        let address = subnet(seat.peer.ip().to_canonical());
        if let Some(count) = open.from.get_mut(&address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.from.remove(&address);
            }
        }
    }
}

impl Open {
    /// Ends the oldest over which nothing was asked; else the one on which nothing moved for longest, if
    /// nothing of it is being answered. False if all are busy.
    fn give_way(&mut self) -> bool {
        let silent = self.silent.first_key_value().map(|(_, seat)| Arc::clone(seat));
        let idle = || {
            let idle = self.all.values().filter(|seat| seat.busy.load(Ordering::Relaxed) == 0);
            idle.min_by_key(|seat| seat.moved.load(Ordering::Relaxed)).map(Arc::clone)
        };
        let Some(seat) = silent.or_else(idle) else { return false };
        seat.ended.cancel();
        self.remove(&seat);
        true
    }

    /// Forgets it, unless another one came from the same port meanwhile.
    fn remove(&mut self, seat: &Arc<Seat>) {
        self.silent.remove(&seat.number);
        if self.all.get(&seat.peer).is_some_and(|known| known.number == seat.number) {
            self.all.remove(&seat.peer);
        }
    }
}

impl Place {
    /// Something was read or written.
    pub(crate) fn moved(&self) {
        self.seat.moved.store(self.connections.now(), Ordering::Relaxed);
    }

    /// True once a whole request came.
    pub(crate) fn has_asked(&self) -> bool {
        self.seat.asked.load(Ordering::Relaxed)
    }

    /// Ends when the connection is to give way.
    pub(crate) fn ended(&self) -> CancellationToken {
        self.seat.ended.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.left(&self.seat);
    }
}

/// What is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limits {
    most: usize,
    most_from_one: usize,
}

impl Limits {
    /// As configured, as far as descriptors reach: each connection may read or write a file.
    fn new(config: &GatewayConfig, descriptors: u64) -> Self {
        let room = (descriptors.saturating_sub(RESERVE) / 2).max(LEAST);
        let most = config.connections.clamp(1, room);
        // One address leaves others something, however few there may be.
        let most_from_one = config.connections_per_address.clamp(1, (most * 3 / 4).max(1));
        let number = |limit| usize::try_from(limit).unwrap_or(usize::MAX);
        Self { most: number(most), most_from_one: number(most_from_one) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(most: usize, most_from_one: usize) -> Arc<Connections> {
        let proxies =
            Proxies::new(vec!["10.0.0.0/8".parse().unwrap()], crate::ProxyHeader::default());
        Arc::new(Connections::of(Limits { most, most_from_one }, proxies))
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn descriptors_stay_in_reserve() {
        let config = GatewayConfig::default();
        let limits = |descriptors| Limits::new(&config, descriptors);
        assert_eq!(limits(1_024), Limits { most: 412, most_from_one: 309 });
        assert_eq!(limits(1_000_000), Limits { most: 10_000, most_from_one: 1_000 });
        assert_eq!(limits(64), Limits { most: 16, most_from_one: 12 });
    }

    #[test]
    fn one_address_has_so_many_and_others_still_come_in() {
        let open = of(100, 2);
        let first = open.admit(at("192.0.2.1:1")).unwrap();
        let _second = open.admit(at("192.0.2.1:2")).unwrap();
        assert!(open.admit(at("192.0.2.1:3")).is_none());
        let _other = open.admit(at("192.0.2.2:1")).unwrap();
        drop(first);
        let _again = open.admit(at("192.0.2.1:3")).unwrap();
        // Version 6 by subnet; this machine and proxies, which speak for many, not at all.
        let _six = ["[2001:db8::1]:1", "[2001:db8::2]:1"].map(|peer| open.admit(at(peer)).unwrap());
        assert!(open.admit(at("[2001:db8::3]:1")).is_none());
        for host in ["127.0.0.1", "[::1]", "10.1.2.3"] {
            let many = (1..9).map(|port| open.admit(at(&format!("{host}:{port}"))));
            assert!(many.collect::<Vec<_>>().iter().all(Option::is_some), "{host}");
        }
    }

    #[test]
    fn the_oldest_that_asked_nothing_gives_way() {
        let open = of(3, 3);
        let asked = open.admit(at("192.0.2.1:1")).unwrap();
        let busy = open.asked(at("192.0.2.1:1")).unwrap();
        let silent: Vec<Place> =
            (2..4).map(|port| open.admit(at(&format!("192.0.2.{port}:1"))).unwrap()).collect();
        let late = open.admit(at("192.0.2.9:1")).unwrap();
        let ended = |place: &Place| place.ended().is_cancelled();
        assert!(ended(&silent[0]) && !ended(&silent[1]) && !ended(&asked) && !ended(&late));
        drop(silent);
        drop(late);
        // Without a silent one, one that is not busy; if all are busy, nobody comes in.
        let more: Vec<(Place, Busy)> = (4..6)
            .map(|port| {
                let peer = at(&format!("192.0.2.{port}:1"));
                (open.admit(peer).unwrap(), open.asked(peer).unwrap())
            })
            .collect();
        assert!(open.admit(at("192.0.2.9:2")).is_none());
        drop(busy);
        let _last = open.admit(at("192.0.2.9:3")).unwrap();
        assert!(ended(&asked) && more.iter().all(|(place, _)| !ended(place)));
    }

    #[test]
    fn whoever_leaves_leaves_nothing_behind() {
        let open = of(2, 2);
        for _ in 0..10 {
            let places = [1, 2, 3].map(|port| open.admit(at(&format!("192.0.2.1:{port}"))));
            assert!(places[2].is_none());
        }
        let open = open.open();
        assert_eq!((open.all.len(), open.silent.len(), open.from.len()), (0, 0, 0));
    }
}
