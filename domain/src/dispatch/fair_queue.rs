//! One tenant's waiting jobs: lanes, and within a lane the flows that take turns.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry, btree_set},
    iter::Peekable,
};

use super::BlockReason;
use crate::{BatchId, JobId, KeyId, Timestamp, job::Priority, media::Hardware};

/// What takes turns: the jobs of one key and one batch, of one lane and one wish. Whatever caps one of
/// them caps all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Flow {
    pub(super) wish: Hardware,
    pub(super) priority: Priority,
    /// With how many of it may be out at once.
    pub(super) batch: Option<(BatchId, u32)>,
    pub(super) key: Option<KeyId>,
}

/// Waiting jobs, those that could go first in front.
type Jobs = BTreeSet<(Timestamp, JobId)>;

#[derive(Debug, Clone, Default)]
struct Line {
    jobs: Jobs,
    /// Turns it has had, or was credited when it came.
    served: u64,
    /// When a cap last kept it from going, and which.
    held: Option<(Timestamp, BlockReason)>,
}

/// One tenant's jobs that could go if there was room.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue {
    flows: BTreeMap<Flow, Line>,
    /// The last turn that was taken, of each lane and wish.
    turns: BTreeMap<(Priority, Hardware), u64>,
    /// When the account's own cap last kept it from going, and which that was.
    pub(super) held: Option<(Timestamp, BlockReason)>,
    /// When a job of a higher lane last went before these.
    passed: BTreeMap<Priority, Timestamp>,
}

impl Queue {
    pub(super) fn insert(&mut self, flow: Flow, job: (Timestamp, JobId)) {
        let turn = self.turns.get(&(flow.priority, flow.wish)).map(|turn| turn.saturating_add(1));
        let line = match self.flows.entry(flow) {
            Entry::Occupied(line) => line.into_mut(),
            // Who comes late has no turns to catch up, and goes before nobody who waits for one.
            Entry::Vacant(place) => {
                place.insert(Line { served: turn.unwrap_or(0), ..Line::default() })
            }
        };
        line.jobs.insert(job);
    }

    pub(super) fn remove(&mut self, flow: &Flow, job: (Timestamp, JobId)) {
        let Some(line) = self.flows.get_mut(flow) else { return };
        line.jobs.remove(&job);
        if line.jobs.is_empty() {
            self.flows.remove(flow);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    pub(super) fn took_turn(&mut self, flow: &Flow, at: Timestamp) {
        if let Some(line) = self.flows.get_mut(flow) {
            let turn = self.turns.entry((flow.priority, flow.wish)).or_default();
            *turn = line.served.max(*turn);
            line.served = line.served.saturating_add(1);
        }
        for lane in [Priority::Low, Priority::Normal] {
            if lane < flow.priority {
                self.passed.insert(lane, at);
            }
        }
    }

    pub(super) fn hold(&mut self, flow: &Flow, at: Timestamp, why: BlockReason) {
        if let Some(line) = self.flows.get_mut(flow) {
            line.held = Some((at, why));
        }
    }

    /// What kept a job of this flow from going since it was ready, the strongest reason first.
    pub(super) fn kept_back(&self, flow: &Flow, ready: Timestamp) -> Option<BlockReason> {
        let line = self.flows.get(flow);
        let since = |held: &(Timestamp, BlockReason)| (held.0 >= ready).then_some(held.1);
        let passed = || {
            let at = self.passed.get(&flow.priority)?;
            (*at >= ready).then_some(BlockReason::Priority)
        };
        self.held
            .as_ref()
            .and_then(since)
            .or_else(|| line.and_then(|line| line.held.as_ref()).and_then(since))
            .or_else(passed)
    }

    /// Its flows.
    pub(super) fn flows(&self) -> impl Iterator<Item = &Flow> {
        self.flows.keys()
    }
}

/// Goes through a tenant's jobs in the order in which they would go.
#[derive(Debug)]
pub(super) struct Picker<'a> {
    cursors: Vec<Cursor<'a>>,
    /// Milliseconds of waiting that are worth a lane.
    aging: u64,
}

#[derive(Debug)]
struct Cursor<'a> {
    flow: &'a Flow,
    jobs: Peekable<btree_set::Iter<'a, (Timestamp, JobId)>>,
    served: u64,
}

impl<'a> Picker<'a> {
    /// Of those flows that are wanted.
    pub(super) fn new(queue: &'a Queue, aging: u64, wanted: impl Fn(&Flow) -> bool) -> Self {
        let flows = queue.flows.iter().filter(|(flow, _)| wanted(flow));
        let cursors = flows.map(|(flow, line)| Cursor {
            flow,
            jobs: line.jobs.iter().peekable(),
            served: line.served,
        });
        Self { cursors: cursors.collect(), aging }
    }

    /// The next job of a flow that has room.
    pub(super) fn next(
        &mut self,
        mut has_room: impl FnMut(&Flow) -> bool,
    ) -> Option<(&'a Flow, Timestamp, JobId)> {
        let aging = self.aging;
        // What is full stays so for the round: nobody is looked at twice for it.
        self.cursors.retain_mut(|cursor| cursor.jobs.peek().is_some() && has_room(cursor.flow));
        let mut open: Vec<(u64, &mut Cursor<'a>)> = Vec::with_capacity(self.cursors.len());
        for cursor in &mut self.cursors {
            if let Some((ready, _)) = cursor.jobs.peek() {
                let lanes_below_high = match cursor.flow.priority {
                    Priority::High => 0,
                    Priority::Normal => 1,
                    Priority::Low => 2_u64,
                };
                let age = ready.as_millis().saturating_add(lanes_below_high.saturating_mul(aging));
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
