//! A queue of waiting questions that serves tenants in turn.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use ffapi_domain::Tenant;

/// Waiting questions per tenant, more than its slots can answer within the timeout; further ones
/// are dropped.
const MAX_WAITING: usize = 512;
/// Tenants with waiting questions; questions of further tenants are dropped.
const MAX_TENANTS: usize = 1_024;

/// Chooses the question to answer next: tenants take turns, none gets all slots, and questions
/// whose asker has timed out are dropped.
pub(super) struct FairQueue<T> {
    slots: usize,
    /// How long the asker of a question waits for the answer.
    timeout: Duration,
    waiting: BTreeMap<Tenant, VecDeque<(Instant, T)>>,
    /// Tenants with waiting questions, the next one first.
    order: VecDeque<Tenant>,
    /// Questions being answered, by tenant.
    running: BTreeMap<Tenant, usize>,
}

impl<T> FairQueue<T> {
    pub(super) const fn new(slots: usize, timeout: Duration) -> Self {
        Self {
            slots,
            timeout,
            waiting: BTreeMap::new(),
            order: VecDeque::new(),
            running: BTreeMap::new(),
        }
    }

    /// Adds a question that was received at `now`.
    pub(super) fn add(&mut self, tenant: Tenant, now: Instant, question: T) {
        if !self.waiting.contains_key(&tenant) {
            if self.order.len() >= MAX_TENANTS {
                return;
            }
            self.order.push_back(tenant.clone());
        }
        let waiting = self.waiting.entry(tenant).or_default();
        if waiting.len() < MAX_WAITING {
            waiting.push_back((now, question));
        }
    }

    /// Takes the question to answer next, if a slot is free.
    pub(super) fn take(&mut self, now: Instant) -> Option<(Tenant, T)> {
        if self.running.values().sum::<usize>() >= self.slots {
            return None;
        }
        // One slot is always left for other tenants.
        let max_running = self.slots.saturating_sub(1).max(1);
        for _ in 0..self.order.len() {
            let tenant = self.order.pop_front()?;
            let Some(waiting) = self.waiting.get_mut(&tenant) else { continue };
            let timeout = self.timeout;
            waiting.retain(|(received, _)| now.saturating_duration_since(*received) < timeout);
            let busy = self.running.get(&tenant).is_some_and(|running| *running >= max_running);
            let question = if busy { None } else { waiting.pop_front() };
            if waiting.is_empty() {
                self.waiting.remove(&tenant);
            } else {
                self.order.push_back(tenant.clone());
            }
            if let Some((_, question)) = question {
                let running = self.running.entry(tenant.clone()).or_default();
                *running = running.saturating_add(1);
                return Some((tenant, question));
            }
        }
        None
    }

    /// Frees the slot of an answered question of this tenant.
    pub(super) fn done(&mut self, tenant: &Tenant) {
        if let Some(running) = self.running.get_mut(tenant) {
            *running = running.saturating_sub(1);
            if *running == 0 {
                self.running.remove(tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(5);

    fn tenant(name: &str) -> Tenant {
        name.parse().unwrap()
    }

    /// Takes questions until none is available.
    fn taken(queue: &mut FairQueue<u32>, now: Instant) -> Vec<u32> {
        std::iter::from_fn(|| queue.take(now)).map(|(_, question)| question).collect()
    }

    #[test]
    fn tenants_are_served_in_turn_and_none_takes_every_slot() {
        let now = Instant::now();
        let mut queue = FairQueue::new(3, TIMEOUT);
        for question in 1..=5 {
            queue.add(tenant("many"), now, question);
        }
        assert_eq!(taken(&mut queue, now), [1, 2], "one slot is left for others");
        queue.add(tenant("other"), now, 100);
        queue.add(tenant("third"), now, 200);
        assert_eq!(taken(&mut queue, now), [100]);
        queue.done(&tenant("many"));
        queue.done(&tenant("many"));
        assert_eq!(taken(&mut queue, now), [200, 3]);
        queue.done(&tenant("other"));
        queue.done(&tenant("third"));
        queue.done(&tenant("many"));
        assert_eq!(taken(&mut queue, now), [4, 5]);
    }

    #[test]
    fn a_question_is_dropped_once_its_asker_has_timed_out() {
        let start = Instant::now();
        let mut queue = FairQueue::new(2, TIMEOUT);
        queue.add(tenant("one"), start, 1);
        queue.add(tenant("one"), start + TIMEOUT, 2);
        assert_eq!(taken(&mut queue, start + TIMEOUT), [2]);
    }

    #[test]
    fn one_slot_serves_one_tenant() {
        let now = Instant::now();
        let mut queue = FairQueue::new(1, TIMEOUT);
        queue.add(tenant("one"), now, 1);
        queue.add(tenant("one"), now, 2);
        assert_eq!(taken(&mut queue, now), [1]);
        queue.done(&tenant("one"));
        assert_eq!(taken(&mut queue, now), [2]);
    }

    #[test]
    fn a_bounded_number_waits() {
        let now = Instant::now();
        let mut queue = FairQueue::new(2, TIMEOUT);
        let max = u32::try_from(MAX_WAITING).unwrap();
        for question in 0..=max {
            queue.add(tenant("one"), now, question);
        }
        let waiting = queue.waiting.values().next().unwrap();
        assert_eq!(waiting.len(), MAX_WAITING);
        assert_eq!(queue.take(now).map(|(_, question)| question), Some(0));
        for name in 0..2 * MAX_TENANTS {
            queue.add(tenant(&format!("t{name}")), now, 0);
        }
        assert_eq!(queue.order.len(), MAX_TENANTS);
    }
}
