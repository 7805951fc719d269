//! A heap of four children each that knows where everybody stands.

use std::hint::select_unpredictable;

use super::{Places, Ranking};
use crate::tag::{Rank, Tag};

/// A heap of four children each that knows where everybody stands; the default.
///
/// Four children are a cache line, and the places live in one table for all heaps, so that moving a child writes
/// four bytes. Which of four goes first is worked out without a branch, for a guess would be wrong half of the time.
/// At 10,000 children this is several times faster than a heap over a hash map; `docs/QUEUE.md` has the figures.
///
/// The entries stand at 3, 4, 5 and so on, so that the children of the one at `n` are the whole line `n - 2`.
#[derive(Debug, Default)]
pub struct IndexedHeap {
    lines: Vec<Siblings>,
    len: usize,
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Siblings([Entry; CHILDREN]);

#[derive(Clone, Copy, Debug, Default)]
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
            if !self.sift_up(places, at, entry) {
                self.sift_down(places, at, entry);
            }
        } else {
            let at = FIRST + self.len;
            if at / CHILDREN == self.lines.len() {
                // Doubling would leave up to half of a large heap empty.
                if self.lines.len() == self.lines.capacity() {
                    self.lines.reserve_exact(self.lines.len() / 8 + 1);
                }
                self.lines.push(Siblings::default());
            }
            self.len += 1;
            if !self.sift_up(places, at, entry) {
                self.put(places, at, entry);
            }
        }
    }

    fn remove(&mut self, places: &mut Places, child: u32) {
        if !places.holds(child) {
            return;
        }
        let at = places.get(child);
        places.clear(child);
        self.len -= 1;
        let last = FIRST + self.len;
        if at < last {
            let entry = self.get(last);
            if !self.sift_up(places, at, entry) {
                self.sift_down(places, at, entry);
            }
        }
        self.lines.truncate(last.div_ceil(CHILDREN));
    }

    fn first(&self) -> Option<u32> {
        if self.len == 0 { None } else { Some(self.get(FIRST).child) }
    }

    fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl IndexedHeap {
    fn get(&self, at: usize) -> Entry {
        self.lines[at / CHILDREN].0[at % CHILDREN]
    }

    fn put(&mut self, places: &mut Places, at: usize, entry: Entry) {
        self.lines[at / CHILDREN].0[at % CHILDREN] = entry;
        places.put(entry.child, at);
    }

    /// Puts an entry that belongs above `at` where it belongs; whether it did.
    fn sift_up(&mut self, places: &mut Places, from: usize, entry: Entry) -> bool {
        let mut at = from;
        while at > FIRST {
            let parent = at / CHILDREN + 2;
            let above = self.get(parent);
            if !entry.rank().is_before(above.rank()) {
                break;
            }
            self.put(places, at, above);
            at = parent;
        }
        if at != from {
            self.put(places, at, entry);
        }
        at != from
    }

    /// Puts an entry that belongs at `at` or below where it belongs.
    fn sift_down(&mut self, places: &mut Places, mut at: usize, entry: Entry) {
        let end = FIRST + self.len;
        while let Some(siblings) = self.lines.get(at - 2) {
            let line = (at - 2) * CHILDREN;
            if line >= end {
                break;
            }
            let lane = if line + CHILDREN <= end { siblings.first() } else { siblings.first_of(end - line) };
            let least = siblings.0[lane % CHILDREN];
            if !least.rank().is_before(entry.rank()) {
                break;
            }
            self.put(places, at, least);
            at = line + lane;
        }
        self.put(places, at, entry);
    }
}

impl Siblings {
    /// Which of the four goes first.
    fn first(&self) -> usize {
        let siblings = &self.0;
        let before = |one: usize, other: usize| siblings[one].rank().is_before(siblings[other].rank());
        let left = usize::from(before(1, 0));
        let right = 2 + usize::from(before(3, 2));
        // The lane is below four either way; saying so spares the check.
        select_unpredictable(before(right % CHILDREN, left % CHILDREN), right, left)
    }

    /// Which of the first so many goes first.
    fn first_of(&self, some: usize) -> usize {
        let mut first = 0;
        for lane in 1..some.min(CHILDREN) {
            if self.0[lane].rank().is_before(self.0[first].rank()) {
                first = lane;
            }
        }
        first
    }
}

impl Entry {
    const fn rank(self) -> Rank {
        Rank { tag: self.tag, arrival: self.arrival }
    }
}

const CHILDREN: usize = 4;
/// Where the entry with the lowest rank stands.
const FIRST: usize = 3;
const _: () = assert!(size_of::<Siblings>() == 64, "four children are a cache line");
