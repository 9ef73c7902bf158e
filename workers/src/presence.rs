use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use ffapi_domain::media::{Capabilities, Pool};
use serde::{Deserialize, Serialize};

use crate::self_heartbeat::SelfHeartbeat;

/// Every worker says this, every two seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Which process: new at every start.
    pub worker: String,
    /// On which machine.
    pub host: String,
    /// Tasks at once, by what they run on.
    pub pools: BTreeMap<Pool, usize>,
    /// `job_….attempt` of each task it has now.
    pub running: Vec<String>,
    /// What it proved it can do.
    pub capabilities: Capabilities,
    /// How well its media children are locked in.
    pub sandbox: String,
    /// True once it takes no more tasks.
    #[serde(default)]
    pub leaving: bool,
    /// Workers of the same folder that it found dead when it started: their locks were free.
    #[serde(default)]
    pub buried: Vec<String>,
}

/// Where presence is told, by worker.
pub const PRESENCE: &str = "presence.worker";

/// How often.
pub(crate) const BEAT: Duration = Duration::from_secs(2);
/// A worker not heard of for so long is gone.
const GONE: Duration = Duration::from_secs(6);

/// Who was heard lately.
#[derive(Debug, Default)]
pub struct Roster {
    heard: BTreeMap<String, (Instant, Presence)>,
    buried: BTreeSet<String>,
    self_heartbeat: SelfHeartbeat,
}

impl Roster {
    /// Takes in what one worker said.
    pub fn hear(&mut self, payload: &[u8]) {
        if let Ok(presence) = serde_json::from_slice::<Presence>(payload) {
            self.buried.extend(presence.buried.iter().cloned());
            self.heard.insert(presence.worker.clone(), (Instant::now(), presence));
        }
    }

    /// Takes in that what we said ourselves came back.
    pub(crate) fn hear_ourselves(&mut self) {
        self.self_heartbeat.receive(Instant::now());
    }

    /// True if who is not heard is silent.
    pub(crate) fn hears(&self) -> bool {
        self.self_heartbeat.is_settled(Instant::now())
    }

    /// True if this worker is gone: another found it dead, or it is silent while we hear.
    pub(crate) fn lacks(&self, worker: &str) -> bool {
        self.buried(worker) || (self.hears() && !self.knows(worker))
    }

    /// Forgets who has been silent for too long.
    pub fn forget_the_gone(&mut self) {
        self.heard.retain(|_, (at, _)| at.elapsed() < GONE);
    }

    /// Who is there.
    pub fn present(&self) -> impl Iterator<Item = &Presence> {
        self.heard.values().filter(|(at, _)| at.elapsed() < GONE).map(|(_, presence)| presence)
    }

    /// True if another worker found this one dead: its silence need not be waited for.
    pub fn buried(&self, worker: &str) -> bool {
        self.buried.contains(worker)
    }

    /// True if this worker was heard lately.
    pub fn knows(&self, worker: &str) -> bool {
        self.heard.get(worker).is_some_and(|(at, _)| at.elapsed() < GONE)
    }

    /// Slots of a pool, busy or not, of the workers that take tasks.
    pub fn slots(&self, pool: Pool) -> usize {
        let open = self.present().filter(|presence| !presence.leaving);
        open.filter_map(|presence| presence.pools.get(&pool)).sum()
    }

    /// Slots of every pool that has any.
    pub fn pools(&self) -> BTreeMap<Pool, usize> {
        let slots = Pool::ALL.iter().map(|pool| (*pool, self.slots(*pool)));
        slots.filter(|(_, slots)| *slots > 0).collect()
    }
}
