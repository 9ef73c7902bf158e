//! Questions that wait, of all tenants in turn.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use ffapi_domain::Tenant;

/// Questions of one tenant that may wait; of more, the oldest are dropped.
const MAX_WAITING: usize = 32;
/// Tenants whose questions may wait.
const MAX_TENANTS: usize = 1_024;

/// Which question is answered next: tenants in turn, none with all slots, and none that its asker does
/// not wait for any longer.
pub(super) struct Turns<T> {
    slots: usize,
    /// How long the asker of a question waits.
    timeout: Duration,
    waiting: BTreeMap<Tenant, VecDeque<(Instant, T)>>,
    /// Those that wait, the one whose turn it is first.
    order: VecDeque<Tenant>,
    running: BTreeMap<Tenant, usize>,
}

impl<T> Turns<T> {
    pub(super) const fn new(slots: usize, timeout: Duration) -> Self {
        Self {
            slots,
            timeout,
            waiting: BTreeMap::new(),
            order: VecDeque::new(),
            running: BTreeMap::new(),
        }
    }

    /// Adds a question that was heard `now`.
    pub(super) fn add(&mut self, tenant: Tenant, now: Instant, question: T) {
        if !self.waiting.contains_key(&tenant) {
            if self.order.len() >= MAX_TENANTS {
                return;
            }
            self.order.push_back(tenant.clone());
        }
        let waiting = self.waiting.entry(tenant).or_default();
        if waiting.len() >= MAX_WAITING {
            waiting.pop_front();
        }
        waiting.push_back((now, question));
    }

    /// Takes the question that is answered next, if a slot is free for one.
    pub(super) fn take(&mut self, now: Instant) -> Option<(Tenant, T)> {
        if self.running.values().sum::<usize>() >= self.slots {
            return None;
        }
        // One slot is always left for the others.
        let most = self.slots.saturating_sub(1).max(1);
        for _ in 0..self.order.len() {
            let tenant = self.order.pop_front()?;
            let Some(waiting) = self.waiting.get_mut(&tenant) else { continue };
            let timeout = self.timeout;
            waiting.retain(|(heard, _)| now.saturating_duration_since(*heard) < timeout);
            let busy = self.running.get(&tenant).is_some_and(|running| *running >= most);
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

    /// A question of this tenant is answered.
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

    /// Takes what is next, as long as there is something.
    fn taken(turns: &mut Turns<u32>, now: Instant) -> Vec<u32> {
        std::iter::from_fn(|| turns.take(now)).map(|(_, question)| question).collect()
    }

    #[test]
    fn tenants_are_served_in_turn_and_none_holds_every_slot() {
        let now = Instant::now();
        let mut turns = Turns::new(3, TIMEOUT);
        for question in 1..=5 {
            turns.add(tenant("many"), now, question);
        }
        assert_eq!(taken(&mut turns, now), [1, 2], "one slot is left for others");
        turns.add(tenant("other"), now, 100);
        turns.add(tenant("third"), now, 200);
        assert_eq!(taken(&mut turns, now), [100]);
        turns.done(&tenant("many"));
        turns.done(&tenant("many"));
        assert_eq!(taken(&mut turns, now), [200, 3]);
        turns.done(&tenant("other"));
        turns.done(&tenant("third"));
        turns.done(&tenant("many"));
        assert_eq!(taken(&mut turns, now), [4, 5]);
    }

    #[test]
    fn a_question_is_dropped_once_nobody_waits_for_its_answer() {
        let start = Instant::now();
        let mut turns = Turns::new(2, TIMEOUT);
        turns.add(tenant("one"), start, 1);
        turns.add(tenant("one"), start + TIMEOUT, 2);
        assert_eq!(taken(&mut turns, start + TIMEOUT), [2]);
    }

    #[test]
    fn a_slot_is_enough() {
        let now = Instant::now();
        let mut turns = Turns::new(1, TIMEOUT);
        turns.add(tenant("one"), now, 1);
        turns.add(tenant("one"), now, 2);
        assert_eq!(taken(&mut turns, now), [1]);
        turns.done(&tenant("one"));
        assert_eq!(taken(&mut turns, now), [2]);
    }

    #[test]
    fn of_what_waits_only_the_newest_is_kept() {
        let now = Instant::now();
        let mut turns = Turns::new(2, TIMEOUT);
        let most = u32::try_from(MAX_WAITING).unwrap();
        for question in 0..=most {
            turns.add(tenant("one"), now, question);
        }
        assert_eq!(turns.take(now).map(|(_, question)| question), Some(1));
        for name in 0..2 * MAX_TENANTS {
            turns.add(tenant(&format!("t{name}")), now, 0);
        }
        assert_eq!(turns.order.len(), MAX_TENANTS);
    }
}
