//! One tenant's waiting jobs: priority lanes, and flows that take turns within a lane.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry, btree_set},
    iter::Peekable,
};

use super::BlockReason;
use crate::{BatchId, JobId, KeyId, Timestamp, job::Priority, media::Hardware};

/// The unit that takes turns: the jobs of one key and one batch with the same priority and hardware
/// preference. A limit that applies to one of them applies to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Flow {
    pub(super) wish: Hardware,
    pub(super) priority: Priority,
    /// The batch and its `max_parallel`.
    pub(super) batch: Option<(BatchId, u32)>,
    pub(super) key: Option<KeyId>,
}

/// Waiting jobs, the one that has been eligible longest first.
type Jobs = BTreeSet<(Timestamp, JobId)>;

#[derive(Debug, Clone, Default)]
struct FlowQueue {
    jobs: Jobs,
    /// Turns it has had, or was credited when it joined.
    served: u64,
    /// When a limit last blocked it, and which one.
    blocked: Option<(Timestamp, BlockReason)>,
}

/// The waiting jobs of one flow, counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct WaitingFlow<'a> {
    pub(super) flow: &'a Flow,
    pub(super) jobs: usize,
    /// Since when the one that has been eligible longest waits.
    pub(super) oldest: Timestamp,
}

/// One tenant's jobs that are eligible for release.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue {
    flows: BTreeMap<Flow, FlowQueue>,
    /// The last turn taken, by lane and hardware preference.
    turns: BTreeMap<(Priority, Hardware), u64>,
    /// When the account's own limit last blocked it, and which one.
    pub(super) blocked: Option<(Timestamp, BlockReason)>,
    /// When a job of a higher lane was last released before those of this lane.
    passed: BTreeMap<Priority, Timestamp>,
}

impl Queue {
    pub(super) fn insert(&mut self, flow: Flow, job: (Timestamp, JobId)) {
        let turn = self.turns.get(&(flow.priority, flow.wish)).map(|turn| turn.saturating_add(1));
        let flow_queue = match self.flows.entry(flow) {
            Entry::Occupied(entry) => entry.into_mut(),
            // A flow that joins late has no turns to catch up on, and does not overtake waiting
            // flows.
            Entry::Vacant(entry) => {
                entry.insert(FlowQueue { served: turn.unwrap_or(0), ..FlowQueue::default() })
            }
        };
        flow_queue.jobs.insert(job);
    }

    pub(super) fn remove(&mut self, flow: &Flow, job: (Timestamp, JobId)) {
        let Some(flow_queue) = self.flows.get_mut(flow) else { return };
        flow_queue.jobs.remove(&job);
        if flow_queue.jobs.is_empty() {
            self.flows.remove(flow);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    pub(super) fn record_turn(&mut self, flow: &Flow, at: Timestamp) {
        if let Some(flow_queue) = self.flows.get_mut(flow) {
            let turn = self.turns.entry((flow.priority, flow.wish)).or_default();
            *turn = flow_queue.served.max(*turn);
            flow_queue.served = flow_queue.served.saturating_add(1);
        }
        for lane in [Priority::Low, Priority::Normal] {
            if lane < flow.priority {
                self.passed.insert(lane, at);
            }
        }
    }

    pub(super) fn block(&mut self, flow: &Flow, at: Timestamp, why: BlockReason) {
        if let Some(flow_queue) = self.flows.get_mut(flow) {
            flow_queue.blocked = Some((at, why));
        }
    }

    /// Why a job of this flow was not released since it was ready, the strongest reason first.
    pub(super) fn block_reason(&self, flow: &Flow, ready: Timestamp) -> Option<BlockReason> {
        let flow_queue = self.flows.get(flow);
        let since = |blocked: &(Timestamp, BlockReason)| (blocked.0 >= ready).then_some(blocked.1);
        let passed = || {
            let at = self.passed.get(&flow.priority)?;
            (*at >= ready).then_some(BlockReason::Priority)
        };
        self.blocked
            .as_ref()
            .and_then(since)
            .or_else(|| {
                flow_queue.and_then(|flow_queue| flow_queue.blocked.as_ref()).and_then(since)
            })
            .or_else(passed)
    }

    /// The flows that have waiting jobs, with their numbers.
    pub(super) fn waiting_flows(&self) -> impl Iterator<Item = WaitingFlow<'_>> {
        self.flows.iter().filter_map(|(flow, flow_queue)| {
            let (oldest, _) = *flow_queue.jobs.first()?;
            Some(WaitingFlow { flow, jobs: flow_queue.jobs.len(), oldest })
        })
    }

    /// The flows that have waiting jobs.
    pub(super) fn flows(&self) -> impl Iterator<Item = &Flow> {
        self.flows.keys()
    }
}

/// Iterates over a tenant's jobs in release order.
#[derive(Debug)]
pub(super) struct Picker<'a> {
    cursors: Vec<Cursor<'a>>,
    /// Milliseconds of waiting that raise a job by one lane.
    aging_millis: u64,
}

#[derive(Debug)]
struct Cursor<'a> {
    flow: &'a Flow,
    jobs: Peekable<btree_set::Iter<'a, (Timestamp, JobId)>>,
    served: u64,
}

impl<'a> Picker<'a> {
    /// Starts with those flows that `wanted` selects.
    pub(super) fn new(queue: &'a Queue, aging_millis: u64, wanted: impl Fn(&Flow) -> bool) -> Self {
        let flows = queue.flows.iter().filter(|(flow, _)| wanted(flow));
        let cursors = flows.map(|(flow, flow_queue)| Cursor {
            flow,
            jobs: flow_queue.jobs.iter().peekable(),
            served: flow_queue.served,
        });
        Self { cursors: cursors.collect(), aging_millis }
    }

    /// The next job of a flow that is below its limits.
    pub(super) fn next(
        &mut self,
        mut is_below_cap: impl FnMut(&Flow) -> bool,
    ) -> Option<(&'a Flow, Timestamp, JobId)> {
        let aging_millis = self.aging_millis;
        // A flow at its limit stays there for the round, so it is not checked again.
        self.cursors.retain_mut(|cursor| cursor.jobs.peek().is_some() && is_below_cap(cursor.flow));
        let mut open: Vec<(u64, &mut Cursor<'a>)> = Vec::with_capacity(self.cursors.len());
        for cursor in &mut self.cursors {
            if let Some((ready, _)) = cursor.jobs.peek() {
                let lanes_below_high = match cursor.flow.priority {
                    Priority::High => 0,
                    Priority::Normal => 1,
                    Priority::Low => 2_u64,
                };
                let age =
                    ready.as_millis().saturating_add(lanes_below_high.saturating_mul(aging_millis));
                open.push((age, cursor));
            }
        }
        let lane = open
            .iter()
            .min_by_key(|(age, cursor)| (*age, std::cmp::Reverse(cursor.flow.priority)))
            .map(|(_, cursor)| cursor.flow.priority)?;
        let (_, cursor) = open
            .into_iter()
            .filter(|(_, cursor)| cursor.flow.priority == lane)
            .min_by_key(|(age, cursor)| (cursor.served, *age, *cursor.flow))?;
        let (ready, job) = cursor.jobs.next()?;
        cursor.served = cursor.served.saturating_add(1);
        Some((cursor.flow, *ready, *job))
    }
}
