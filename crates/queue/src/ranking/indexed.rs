//! A heap of four children each that knows where everybody stands.

use super::{Places, Ranking};
use crate::tag::{Rank, Tag};

/// A heap of four children each that knows where everybody stands; the default.
///
/// Four children share a cache line, and the places live in one table for all heaps, so that moving a child writes
/// four bytes. At 10,000 children this is several times faster than a heap over a hash map; `docs/QUEUE.md` has the
/// figures.
#[derive(Debug, Default)]
pub struct IndexedHeap(Vec<Entry>);

#[derive(Clone, Copy, Debug)]
struct Entry {
    tag: Tag,
    arrival: u32,
    child: u32,
}

impl Ranking for IndexedHeap {
    fn set(&mut self, places: &mut Places, child: u32, rank: Rank) {
        let entry = Entry { tag: rank.tag, arrival: rank.arrival, child };
        if places.holds(child) {
            let at = places.get(child);
            self.0[at] = entry;
            if !self.sift_up(places, at) {
                self.sift_down(places, at);
            }
        } else {
            self.0.push(entry);
            places.put(child, self.0.len() - 1);
            self.sift_up(places, self.0.len() - 1);
        }
    }

    fn remove(&mut self, places: &mut Places, child: u32) {
        if !places.holds(child) {
            return;
        }
        let at = places.get(child);
        places.clear(child);
        self.0.swap_remove(at);
        if at < self.0.len() && !self.sift_up(places, at) {
            self.sift_down(places, at);
        }
    }

    fn first(&self) -> Option<u32> {
        self.0.first().map(|entry| entry.child)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IndexedHeap {
    /// Moves the entry at `at` up to where it belongs; whether it moved. Either way its place is written.
    fn sift_up(&mut self, places: &mut Places, mut at: usize) -> bool {
        let (entry, from) = (self.0[at], at);
        while at > 0 {
            let parent = (at - 1) / CHILDREN;
            if !entry.rank().is_before(self.0[parent].rank()) {
                break;
            }
            self.0[at] = self.0[parent];
            places.put(self.0[at].child, at);
            at = parent;
        }
        self.0[at] = entry;
        places.put(entry.child, at);
        at != from
    }

    fn sift_down(&mut self, places: &mut Places, mut at: usize) {
        let entry = self.0[at];
        loop {
            let first = at * CHILDREN + 1;
            let last = self.0.len().min(first + CHILDREN);
            if first >= last {
                break;
            }
            let mut least = first;
            for child in first + 1..last {
                if self.0[child].rank().is_before(self.0[least].rank()) {
                    least = child;
                }
            }
            if !self.0[least].rank().is_before(entry.rank()) {
                break;
            }
            self.0[at] = self.0[least];
            places.put(self.0[at].child, at);
            at = least;
        }
        self.0[at] = entry;
        places.put(entry.child, at);
    }
}

impl Entry {
    const fn rank(self) -> Rank {
        Rank { tag: self.tag, arrival: self.arrival }
    }
}

const CHILDREN: usize = 4;
