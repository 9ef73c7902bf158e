use std::collections::{BTreeMap, BTreeSet};

use super::{BlockReason, Dispatch, Flow, Release, explain::WORTH_A_WORD, fair_queue::Picker};
use crate::{BatchId, KeyId, Tenant, Timestamp, media::Pool};

/// What one round has taken so far, beside what is out already.
#[derive(Debug, Default)]
struct Taken<'a> {
    of: BTreeMap<&'a Tenant, usize>,
    by: BTreeMap<KeyId, usize>,
    batch: BTreeMap<BatchId, usize>,
}

impl Dispatch {
    /// Chooses a pool's next jobs, none beyond a cap, until `free` are chosen. `present` are the pools
    /// with workers.
    pub fn choose(
        &mut self,
        pool: Pool,
        present: &BTreeSet<Pool>,
        free: usize,
        now: Timestamp,
    ) -> Vec<Release> {
        self.wake(now);
        let (chosen, account_caps, flow_caps) = self.round(pool, present, free, now);
        for (tenant, most) in account_caps {
            if let Some(queue) = self.queues.get_mut(&tenant) {
                queue.held = Some((now, BlockReason::AccountCap { most }));
            }
        }
        for (tenant, flow, why) in flow_caps {
            if let Some(queue) = self.queues.get_mut(&tenant) {
                queue.hold(&flow, now, why);
            }
        }
        chosen
    }

    /// Notes which pools have no worker while jobs wait for them.
    pub fn look_for_workers(&mut self, present: &BTreeSet<Pool>, now: Timestamp) {
        let wishes = self.queues.values().flat_map(|queue| queue.flows().map(|flow| flow.wish));
        let pools: BTreeSet<Pool> = wishes.map(|wish| wish.pool(present)).collect();
        self.absent.extend(pools.difference(present).map(|pool| (*pool, now)));
    }

    /// One round, and which accounts and flows their caps kept from going.
    #[expect(clippy::type_complexity, reason = "three lists, taken apart at once")]
    fn round(
        &self,
        pool: Pool,
        present: &BTreeSet<Pool>,
        free: usize,
        now: Timestamp,
    ) -> (Vec<Release>, Vec<(Tenant, usize)>, Vec<(Tenant, Flow, BlockReason)>) {
        let (mut chosen, mut account_caps, mut flow_caps) = (Vec::new(), Vec::new(), Vec::new());
        let mut taken = Taken::default();
        let mut pickers: BTreeMap<&Tenant, Picker<'_>> = BTreeMap::new();
        let mut again: BTreeSet<(u64, &Tenant)> = BTreeSet::new();
        let mut rest = self.shares.in_order().peekable();
        while chosen.len() < free {
            let from_rest = match (again.first(), rest.peek()) {
                (None, None) => break,
                (Some(_), None) => false,
                (None, Some(_)) => true,
                (Some(again), Some(rest)) => rest <= again,
            };
            let next = if from_rest { rest.next() } else { again.pop_first() };
            let Some((time, tenant)) = next else { break };
            let Some(queue) = self.queues.get(tenant) else { continue };
            let most = self.caps.of_tenant(tenant);
            let out = self.out_of.get(tenant).copied().unwrap_or(0);
            if out.saturating_add(taken.of.get(tenant).copied().unwrap_or(0)) >= most {
                account_caps.push((tenant.clone(), most));
                continue;
            }
            let picker = pickers.entry(tenant).or_insert_with(|| {
                Picker::new(queue, self.caps.aging(), |flow| flow.wish.pool(present) == pool)
            });
            let next = picker.next(|flow| match self.full(flow, &taken) {
                None => true,
                Some(why) => {
                    flow_caps.push((tenant.clone(), *flow, why));
                    false
                }
            });
            let Some((flow, ready, job)) = next else { continue };
            super::more(&mut taken.of, tenant);
            for key in flow.key.into_iter().flat_map(|key| self.caps.line(key)) {
                super::more(&mut taken.by, key);
            }
            flow.batch.inspect(|(batch, _)| super::more(&mut taken.batch, *batch));
            let waited =
                (now.since(ready) >= WORTH_A_WORD).then(|| self.waited(queue, flow, pool, ready));
            let attempt = self.waiting.get(&job).map_or(1, |waiting| waiting.attempt);
            chosen.push(Release { job, tenant: tenant.clone(), attempt, waited });
            let (time, _) = self.shares.after(tenant, time, self.caps.weight(tenant));
            again.insert((time, tenant));
        }
        (chosen, account_caps, flow_caps)
    }

    /// The cap that a flow is at, if it is at one.
    fn full(&self, flow: &Flow, taken: &Taken<'_>) -> Option<BlockReason> {
        let count = |out: Option<&usize>, taken: Option<&usize>| {
            out.copied().unwrap_or(0).saturating_add(taken.copied().unwrap_or(0))
        };
        for key in flow.key.into_iter().flat_map(|key| self.caps.line(key)) {
            let most = self.caps.of_key(key);
            if count(self.out_by.get(&key), taken.by.get(&key)) >= most {
                return Some(BlockReason::KeyCap { most });
            }
        }
        let (batch, most) = flow.batch?;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let out = count(self.out_batch.get(&batch), taken.batch.get(&batch));
        (out >= most).then_some(BlockReason::BatchCap { most })
    }

    /// The cap that keeps a flow from going now, were it its turn.
    pub(super) fn capped(&self, tenant: &Tenant, flow: &Flow) -> Option<BlockReason> {
        let most = self.caps.of_tenant(tenant);
        if self.out_of.get(tenant).copied().unwrap_or(0) >= most {
            return Some(BlockReason::AccountCap { most });
        }
        self.full(flow, &Taken::default())
    }
}
