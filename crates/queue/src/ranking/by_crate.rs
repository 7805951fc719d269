//! The same order kept by the `priority-queue` crate.

use std::cmp::Ordering;

use priority_queue::PriorityQueue;

use super::{Places, Ranking};
use crate::tag::Rank;

/// The same order kept by the `priority-queue` crate, whose `change_priority` is exactly what a charge does.
///
/// It needs a hash for each change where [`IndexedHeap`](super::IndexedHeap) needs an index. It is here as the other
/// side of every benchmark and of the tests, and works in its place.
#[derive(Debug, Default)]
pub struct ByPriorityQueue(PriorityQueue<u32, Lowest>);

/// The greatest is the one with the lowest rank.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lowest(pub(crate) Rank);

impl Ranking for ByPriorityQueue {
    fn set(&mut self, places: &mut Places, child: u32, rank: Rank) {
        if places.holds(child) {
            self.0.change_priority(&child, Lowest(rank));
        } else {
            self.0.push(child, Lowest(rank));
            places.put(child, 0);
        }
    }

    fn remove(&mut self, places: &mut Places, child: u32) {
        if places.holds(child) {
            self.0.remove(&child);
            places.clear(child);
        }
    }

    fn first(&self) -> Option<u32> {
        self.0.peek().map(|(child, _)| *child)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

// === impl Lowest ===

impl Ord for Lowest {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.0 == other.0 {
            Ordering::Equal
        } else if self.0.is_before(other.0) {
            Ordering::Greater
        } else {
            Ordering::Less
        }
    }
}

impl PartialOrd for Lowest {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Eq for Lowest {}

impl PartialEq for Lowest {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
