//! What each policy does with the tags of a node's children.

use super::{Inner, Tree};
use crate::ranking::Ranking;
use crate::settings::Policy;
use crate::tag::{Rank, SCALE, Tag, Unit};

impl<T, R: Ranking> Tree<T, R> {
    pub(super) fn rank(&self, at: u32) -> Rank {
        let node = self.node(at);
        Rank { tag: node.start, arrival: node.arrival }
    }

    /// A child begins to take part.
    pub(super) fn begin(&mut self, parent: u32, at: u32) {
        let inner = self.inner(parent).expect("parents are groups");
        let (now, policy) = (inner.now, inner.policy);
        match policy {
            Policy::Fair => {
                let node = self.node_mut(at);
                node.start = node.start.max(now);
            }
            Policy::FinishFirst => {
                let account = self.account(at);
                if account.attained >= account.due {
                    self.issue_finish(parent, at);
                }
            }
            Policy::LeastAttained { patience } => self.wait_from(at, now, patience.get()),
            Policy::Keyed => {}
        }
    }

    /// A child is served work worth `cost`.
    pub(super) fn bill(&mut self, parent: u32, at: u32, cost: u32) {
        let (start, unit) = (self.node(at).start, self.node(at).unit);
        let inner = self.inner_mut(parent);
        match inner.policy {
            Policy::Fair => {
                inner.now = inner.now.max(start);
                let start = start.plus(u64::from(cost), unit);
                inner.furthest = inner.furthest.max(start);
                self.node_mut(at).start = start;
            }
            Policy::FinishFirst => {
                inner.share_ideally(cost);
                let account = self.account_mut(at);
                account.attained += u64::from(cost);
                if account.attained >= account.due {
                    self.issue_finish(parent, at);
                }
            }
            Policy::LeastAttained { patience } => {
                inner.now = inner.now.plus(u64::from(cost), Unit::of(std::num::NonZeroU32::MIN));
                let now = inner.now;
                self.account_mut(at).attained += u64::from(cost);
                self.wait_from(at, now, patience.get());
            }
            Policy::Keyed => {}
        }
    }

    /// A child's charge turns out to have been wrong by so much.
    pub(super) fn correct(&mut self, parent: u32, at: u32, more: i64) {
        let node = self.node_mut(at);
        let start = node.start.corrected(more, node.unit);
        let inner = self.inner_mut(parent);
        match inner.policy {
            Policy::Fair => {
                inner.furthest = inner.furthest.max(start);
                self.node_mut(at).start = start;
            }
            Policy::FinishFirst | Policy::LeastAttained { .. } => {
                let account = self.account_mut(at);
                account.attained = account.attained.saturating_add_signed(more);
            }
            Policy::Keyed => {}
        }
    }

    /// Says when a child will be done if all share fairly from now on.
    fn issue_finish(&mut self, parent: u32, at: u32) {
        let account = self.account_mut(at);
        let known = account.promised.saturating_sub(account.attained);
        let left = if known > 0 { known } else { assumed(account.attained) };
        account.due = account.attained + left;
        let node = self.node(at);
        let (old, unit, weight) = (node.start, node.unit, node.weight.get());
        let inner = self.inner_mut(parent);
        inner.leave_ideal(old, at);
        let finish = inner.now.plus(left, unit);
        inner.ideal.insert((finish.0, at), weight);
        inner.ideal_weight += u64::from(weight);
        self.node_mut(at).start = finish;
    }

    /// The more a child has taken, the longer it waits; who waits grows older as others are served.
    fn wait_from(&mut self, at: u32, now: Tag, patience: u32) {
        let attained = self.account(at).attained;
        let attained = if attained == 0 { 0 } else { attained.next_power_of_two() };
        let node = self.node_mut(at);
        node.start = now.plus(attained.saturating_mul(u64::from(patience)), node.unit);
    }
}

impl<R> Inner<R> {
    /// A child is forgotten, or begins anew.
    pub(super) fn leave_ideal(&mut self, finish: Tag, at: u32) {
        if let Some(weight) = self.ideal.remove(&(finish.0, at)) {
            self.ideal_weight -= u64::from(weight);
        }
    }

    /// Moves virtual time on as if `cost` had been shared by all children that would still be at work.
    fn share_ideally(&mut self, cost: u32) {
        let mut work = u64::from(cost) * u64::from(SCALE);
        while let Some((&(finish, child), &weight)) = self.ideal.first_key_value() {
            let needed = finish.saturating_sub(self.now.0).saturating_mul(self.ideal_weight);
            if work < needed {
                self.now = Tag(self.now.0 + work / self.ideal_weight);
                return;
            }
            work -= needed;
            self.now = self.now.max(Tag(finish));
            self.ideal.remove(&(finish, child));
            self.ideal_weight -= u64::from(weight);
        }
    }
}

/// What a child that said nothing will probably still take: as much again.
const fn assumed(attained: u64) -> u64 {
    if attained == 0 { 1 } else { attained.next_power_of_two() }
}
