use std::collections::{BTreeMap, BTreeSet};

use super::{
    BlockReason, Dispatch, Flow, Release, explain::MIN_EXPLAINED_WAIT, fair_queue::Picker,
};
use crate::{BatchId, KeyId, Tenant, Timestamp, media::Pool};

/// What the current round has chosen so far, in addition to what is in flight already.
#[derive(Debug, Default)]
struct Taken<'a> {
    tenants: BTreeMap<&'a Tenant, usize>,
    keys: BTreeMap<KeyId, usize>,
    batches: BTreeMap<BatchId, usize>,
}

impl Dispatch {
    /// Chooses up to `free` next jobs of a pool, none beyond a limit. `present` are the pools with
    /// workers.
    pub fn choose(
        &mut self,
        pool: Pool,
        present: &BTreeSet<Pool>,
        free: usize,
        now: Timestamp,
    ) -> Vec<Release> {
        self.fire_timers(now);
        let (chosen, account_caps, flow_caps) = self.round(pool, present, free, now);
        for (tenant, most) in account_caps {
            if let Some(queue) = self.queues.get_mut(&tenant) {
                queue.blocked = Some((now, BlockReason::AccountCap { most }));
            }
        }
        for (tenant, flow, why) in flow_caps {
            if let Some(queue) = self.queues.get_mut(&tenant) {
                queue.block(&flow, now, why);
            }
        }
        chosen
    }

    /// Records which pools have no worker while jobs wait for them.
    pub fn record_absent_pools(&mut self, present: &BTreeSet<Pool>, now: Timestamp) {
        let wishes = self.queues.values().flat_map(|queue| queue.flows().map(|flow| flow.wish));
        let pools: BTreeSet<Pool> = wishes.map(|wish| wish.pool(present)).collect();
        self.absent.extend(pools.difference(present).map(|pool| (*pool, now)));
    }

    /// Computes one round; returns its releases, and the accounts and flows that are at their
    /// limits.
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
            let most = self.caps.tenant_cap(tenant);
            let in_flight = self.in_flight_by_tenant.get(tenant).copied().unwrap_or(0);
            if in_flight.saturating_add(taken.tenants.get(tenant).copied().unwrap_or(0)) >= most {
                account_caps.push((tenant.clone(), most));
                continue;
            }
            let picker = pickers.entry(tenant).or_insert_with(|| {
                Picker::new(queue, self.caps.aging_millis(), |flow| flow.wish.pool(present) == pool)
            });
            let next = picker.next(|flow| match self.flow_cap(flow, &taken) {
                None => true,
                Some(why) => {
                    flow_caps.push((tenant.clone(), *flow, why));
                    false
                }
            });
            let Some((flow, ready, job)) = next else { continue };
            super::increment(&mut taken.tenants, tenant);
            for key in flow.key.into_iter().flat_map(|key| self.caps.lineage(key)) {
                super::increment(&mut taken.keys, key);
            }
            flow.batch.inspect(|(batch, _)| super::increment(&mut taken.batches, *batch));
            let waited = (now.since(ready) >= MIN_EXPLAINED_WAIT)
                .then(|| self.waited(queue, flow, pool, ready));
            let attempt = self.waiting.get(&job).map_or(1, |waiting| waiting.attempt);
            chosen.push(Release { job, tenant: tenant.clone(), attempt, waited });
            let (time, _) = self.shares.after(tenant, time, self.caps.weight(tenant));
            again.insert((time, tenant));
        }
        (chosen, account_caps, flow_caps)
    }

    /// The limit that a flow has reached, if any.
    fn flow_cap(&self, flow: &Flow, taken: &Taken<'_>) -> Option<BlockReason> {
        let count = |in_flight: Option<&usize>, taken: Option<&usize>| {
            in_flight.copied().unwrap_or(0).saturating_add(taken.copied().unwrap_or(0))
        };
        for key in flow.key.into_iter().flat_map(|key| self.caps.lineage(key)) {
            let most = self.caps.key_cap(key);
            if count(self.in_flight_by_key.get(&key), taken.keys.get(&key)) >= most {
                return Some(BlockReason::KeyCap { most });
            }
        }
        let (batch, most) = flow.batch?;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let in_flight = count(self.in_flight_by_batch.get(&batch), taken.batches.get(&batch));
        (in_flight >= most).then_some(BlockReason::BatchCap { most })
    }

    /// The limit that blocks a flow at present, regardless of its turn.
    pub(super) fn current_cap(&self, tenant: &Tenant, flow: &Flow) -> Option<BlockReason> {
        let most = self.caps.tenant_cap(tenant);
        if self.in_flight_by_tenant.get(tenant).copied().unwrap_or(0) >= most {
            return Some(BlockReason::AccountCap { most });
        }
        self.flow_cap(flow, &Taken::default())
    }
}
