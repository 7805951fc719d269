//! How a scheduler stands, for those who watch it.

use std::num::NonZeroU32;

use super::{FlowId, Scheduler};
use crate::ranking::Ranking;
use crate::slab::NONE;
use crate::tree::Body;

/// How a flow or a group of flows stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FlowStatus {
    /// How many of its tasks wait; 0 for a group.
    pub waiting: u32,
    /// What they are expected to cost; 0 for a group.
    pub backlog: u64,
    /// How many of its tasks are in flight.
    pub in_flight: u32,
    /// Its weight among its siblings.
    pub weight: NonZeroU32,
    /// How many of its tasks may be in flight.
    pub cap: u32,
    /// Its start tag, in units of 2^-20 token for each unit of weight: where it stands among its siblings. Tags wrap
    /// around; only their differences mean something.
    pub start: u64,
    /// What one token adds to its start tag.
    pub unit: u32,
    /// Whether it takes part: it has work and may take it.
    pub ready: bool,
}

#[expect(private_bounds, reason = "the ranking is not for others to implement")]
impl<T, R: Ranking> Scheduler<T, R> {
    /// How many tasks wait.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether no task waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether fewer tasks wait than may.
    pub(crate) const fn has_room(&self) -> bool {
        self.len < self.capacity
    }

    /// How many tasks of a band wait.
    #[must_use]
    pub fn waiting(&self, band: usize) -> usize {
        self.waiting.get(band).copied().unwrap_or(0)
    }

    /// How many tasks are in flight.
    #[must_use]
    pub const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// How many flows and groups are known, the bands among them.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.tree.len()
    }

    /// Whether a task could be taken now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        (0..self.bands.len()).any(|band| self.tree.is_ready(band))
    }

    /// How many slots for tasks it holds memory for.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slab.capacity() + self.tree.room()
    }

    /// How the flow or group at a path stands, if it is known.
    #[must_use]
    pub fn status(&self, band: usize, path: &[&str]) -> Option<FlowStatus> {
        self.tree.find(band, path).map(|at| self.status_at(at))
    }

    /// How an open flow stands.
    #[must_use]
    pub fn status_of(&self, flow: FlowId) -> Option<FlowStatus> {
        self.is_open(flow).then(|| self.status_at(flow.node))
    }

    fn status_at(&self, at: u32) -> FlowStatus {
        let node = self.tree.node(at);
        let waiting = match &node.body {
            Body::Leaf(line) => line.len(),
            Body::Inner(_) => 0,
        };
        FlowStatus {
            waiting,
            backlog: node.backlog,
            in_flight: node.in_flight,
            weight: node.weight,
            cap: node.cap,
            start: node.start.0,
            unit: node.unit.get(),
            ready: node.parent == NONE || self.tree.is_placed(at),
        }
    }
}
