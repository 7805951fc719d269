//! Who gives way when there is no room.

use std::cmp::Reverse;
use std::collections::HashMap;

use priority_queue::PriorityQueue;

use super::{Scheduler, Shed, Why};
use crate::ranking::Ranking;
use crate::slab::NONE;
use crate::tree::Body;

/// The backlogs of tenants and of their flows, the largest for its weight first. Every push and every take changes a
/// priority here, which is what the `priority-queue` crate is for.
#[derive(Debug)]
pub(crate) struct Backlogs {
    tenants: Vec<Largest>,
    flows: HashMap<u32, Largest>,
    /// What waits of each tenant.
    sums: HashMap<u32, u64>,
    /// What was last heard of each flow.
    heard: HashMap<u32, u64>,
}

/// Nodes by backlog for weight; equal ones by number, so that the order does not depend on a hash.
type Largest = PriorityQueue<u32, (u64, Reverse<u32>)>;

impl Backlogs {
    pub(crate) fn new(bands: usize) -> Self {
        Self {
            tenants: (0..bands).map(|_| Largest::new()).collect(),
            flows: HashMap::new(),
            sums: HashMap::new(),
            heard: HashMap::new(),
        }
    }

    fn set(&mut self, band: usize, tenant: (u32, u32), flow: (u32, u32), backlog: u64) {
        let before = self.heard.insert(flow.0, backlog).unwrap_or(0);
        let sum = self.sums.entry(tenant.0).or_default();
        *sum = *sum + backlog - before;
        let sum = *sum;
        let flows = self.flows.entry(tenant.0).or_default();
        rank(flows, flow, backlog);
        rank(&mut self.tenants[band], tenant, sum);
        if backlog == 0 {
            self.heard.remove(&flow.0);
        }
        if sum == 0 {
            self.flows.remove(&tenant.0);
            self.sums.remove(&tenant.0);
        }
    }

    /// The flow with the largest backlog of the tenant with the largest backlog.
    fn largest(&self, band: usize) -> Option<(u32, u32)> {
        let (tenant, _) = self.tenants[band].peek()?;
        let (flow, _) = self.flows.get(tenant)?.peek()?;
        Some((*tenant, *flow))
    }
}

fn rank(largest: &mut Largest, (node, unit): (u32, u32), backlog: u64) {
    if backlog == 0 {
        largest.remove(&node);
        return;
    }
    let rank = (backlog.saturating_mul(u64::from(unit)), Reverse(node));
    if largest.change_priority(&node, rank).is_none() {
        largest.push(node, rank);
    }
}

#[expect(private_bounds, reason = "the ranking is not for others to implement")]
impl<T, R: Ranking> Scheduler<T, R> {
    pub(super) fn backlog_changed(&mut self, flow: u32) {
        if self.backlogs.is_none() {
            return;
        }
        let tenant = self.tenant(flow);
        let node = self.tree.node(flow);
        let waiting = match &node.body {
            // Tasks that cost nothing take room too.
            Body::Leaf(line) => node.backlog + u64::from(line.len()),
            Body::Inner(_) => 0,
        };
        let (band, unit) = (usize::from(node.band), node.unit.get());
        let tenant = (tenant, self.tree.node(tenant).unit.get());
        if let Some(backlogs) = &mut self.backlogs {
            backlogs.set(band, tenant, (flow, unit), waiting);
        }
    }

    /// Takes out one task to make room for a newcomer of this flow, unless it is the newcomer that has to go.
    pub(super) fn make_room(&mut self, flow: u32, cost: u32) -> Option<Shed<T>> {
        let own = usize::from(self.tree.node(flow).band);
        // A band that has less than its floor's part of the room may take from a more urgent one that has more.
        let may_take_above = self.waiting[own] < self.part(own);
        let gives =
            |band: &usize| *band != own && (*band > own || may_take_above) && self.waiting[*band] > self.part(*band);
        let band = (0..self.bands.len()).rev().find(gives).unwrap_or(own);
        let (tenant, victim) = self.backlogs.as_ref()?.largest(band)?;
        if band == own && !self.is_lighter(flow, cost, tenant, victim) {
            return None;
        }
        let (names, line) = self.tree.line(victim)?;
        let id = line.last(names, &self.slab)?;
        let task = self.cancel(id)?;
        Some(Shed { id, task, why: Why::Room })
    }

    /// A band's floor's part of the room.
    fn part(&self, band: usize) -> usize {
        (self.capacity as u128 * u128::from(self.bands.floor(band)) / 1_000) as usize
    }

    /// Whether a flow has less waiting for its weight, the newcomer included, than the one that would give way.
    fn is_lighter(&self, flow: u32, cost: u32, tenant: u32, victim: u32) -> bool {
        let Some(backlogs) = &self.backlogs else { return false };
        let (own, more) = (self.tenant(flow), u64::from(cost) + 1);
        let of = |known: &HashMap<u32, u64>, node: u32| known.get(&node).copied().unwrap_or(0);
        let weigh = |node: u32, work: u64| u128::from(work) * u128::from(self.tree.node(node).unit.get());
        if own == tenant {
            let flows = &backlogs.heard;
            flow != victim && weigh(flow, of(flows, flow) + more) <= weigh(victim, of(flows, victim))
        } else {
            weigh(own, of(&backlogs.sums, own) + more) <= weigh(tenant, of(&backlogs.sums, tenant))
        }
    }

    /// The outermost group a flow belongs to, or the flow itself.
    fn tenant(&self, flow: u32) -> u32 {
        let mut at = flow;
        loop {
            let parent = self.tree.node(at).parent;
            if parent == NONE || self.tree.node(parent).parent == NONE {
                return at;
            }
            at = parent;
        }
    }
}
