//! Tasks in the order of their keys, each in a slot elsewhere.

use std::cmp::Ordering;

use crate::scheduler::Key;
use crate::slab::Slab;

/// Tasks in the order of their keys, each in a slot elsewhere; a heap of four children each.
#[derive(Debug)]
pub(super) struct Heap(Vec<Entry>);

/// Twelve bytes: the key is cut in two so that it need not lie on a multiple of eight.
#[derive(Clone, Copy, Debug)]
struct Entry {
    high: u32,
    low: u32,
    slot: u32,
}

// === impl Heap ===

impl Heap {
    pub(super) fn with_room_for(tasks: usize) -> Self {
        Self(Vec::with_capacity(tasks))
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn push<T>(&mut self, key: Key, slot: u32, slab: &Slab<T>) {
        if self.0.len() == self.0.capacity() {
            self.0.reserve_exact(self.0.len() / 16 + 4);
        }
        self.0.push(Entry { high: (key.0 >> 32) as u32, low: key.0 as u32, slot });
        sift_up(&mut self.0, slab);
    }

    /// The first task's key and slot.
    pub(super) fn first(&self) -> Option<(Key, u32)> {
        self.0.first().map(|entry| (entry.key(), entry.slot))
    }

    /// Drops the first entry.
    pub(super) fn pop<T>(&mut self, slab: &Slab<T>) {
        self.0.swap_remove(0);
        if !self.0.is_empty() {
            sift_down(&mut self.0, 0, slab);
        }
    }

    /// The slot of the last task in order.
    pub(super) fn last<T>(&self, slab: &Slab<T>) -> Option<u32> {
        let living = self.0.iter().filter(|entry| !slab.is_dead(entry.slot));
        let last = living.reduce(|last, entry| if last.is_before(*entry, slab) { entry } else { last })?;
        Some(last.slot)
    }

    /// Drops the entries of cancelled tasks, and frees their slots.
    pub(super) fn sweep<T>(&mut self, slab: &mut Slab<T>) {
        self.0.retain(|entry| {
            let dead = slab.is_dead(entry.slot);
            if dead {
                slab.release(entry.slot);
            }
            !dead
        });
        for at in (0..self.0.len().div_ceil(CHILDREN)).rev() {
            sift_down(&mut self.0, at, slab);
        }
    }

    /// Drops the entries of cancelled tasks in front, and frees their slots: how many.
    pub(super) fn settle_front<T>(&mut self, slab: &mut Slab<T>) -> u32 {
        let mut dropped = 0;
        while let Some((_, slot)) = self.first()
            && slab.is_dead(slot)
        {
            self.pop(slab);
            slab.release(slot);
            dropped += 1;
        }
        dropped
    }
}

// === impl Entry ===

impl Entry {
    const fn key(self) -> Key {
        Key((self.high as u64) << 32 | self.low as u64)
    }

    fn is_before<T>(self, other: Self, slab: &Slab<T>) -> bool {
        match self.key().cmp(&other.key()) {
            Ordering::Equal => slab.came_before(self.slot, other.slot),
            order => order.is_lt(),
        }
    }
}

/// Moves the last entry up to where it belongs.
fn sift_up<T>(heap: &mut [Entry], slab: &Slab<T>) {
    let mut at = heap.len() - 1;
    let entry = heap[at];
    while at > 0 {
        let parent = (at - 1) / CHILDREN;
        if !entry.is_before(heap[parent], slab) {
            break;
        }
        heap[at] = heap[parent];
        at = parent;
    }
    heap[at] = entry;
}

fn sift_down<T>(heap: &mut [Entry], mut at: usize, slab: &Slab<T>) {
    let entry = heap[at];
    loop {
        let first = at * CHILDREN + 1;
        let last = heap.len().min(first + CHILDREN);
        if first >= last {
            break;
        }
        let mut least = first;
        for child in first + 1..last {
            if heap[child].is_before(heap[least], slab) {
                least = child;
            }
        }
        if !heap[least].is_before(entry, slab) {
            break;
        }
        heap[at] = heap[least];
        at = least;
    }
    heap[at] = entry;
}

const CHILDREN: usize = 4;
