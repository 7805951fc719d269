//! Tasks in the order of their keys, each in a slot elsewhere.

use std::cmp::Ordering;

use crate::scheduler::Key;
use crate::slab::Slab;

/// Tasks in the order of their keys, each in a slot elsewhere.
///
/// The few that are next stand in front, in order. Behind them is a heap of four children each, and behind that those
/// that came since; nobody looks at them before the front has run empty and the next few are brought forward. A flow
/// that has not been served for a while lies far from the processor, and so it is fetched once for several tasks, not
/// for each.
///
/// Invariants: nobody behind goes before anybody in front, and the front is empty only if all is.
#[derive(Debug)]
pub(super) struct Heap {
    /// The next few, the very next one last.
    front: Box<[Next; FRONT]>,
    rest: Vec<Entry>,
    /// How many are in front.
    in_front: u32,
    /// How many of the rest are a heap.
    heaped: u32,
}

/// One of the next few tasks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Next {
    pub(super) key: Key,
    pub(super) slot: u32,
    pub(super) cost: u32,
}

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
        Self {
            front: Box::new([Next::default(); FRONT]),
            rest: Vec::with_capacity(tasks.saturating_sub(FRONT)),
            in_front: 0,
            heaped: 0,
        }
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.in_front as usize + self.rest.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.in_front == 0
    }

    /// Takes in a task that came later than all others and does not go before any of those behind the front.
    pub(super) fn push_behind(&mut self, key: Key, slot: u32) {
        if self.rest.len() == self.rest.capacity() {
            self.rest.reserve_exact(self.rest.len() / 32 + 2);
        }
        self.rest.push(Entry::of(key, slot));
    }

    /// Takes in a task that came later than all others and goes before all of those behind the front. If the front was
    /// full, somebody has gone behind it: no key below the one returned is there now.
    pub(super) fn push_in_front(&mut self, new: Next) -> Option<Key> {
        let mut len = self.in_front as usize;
        let last = self.front[0];
        let is_full = len == FRONT;
        if is_full {
            let gone = if new.key < last.key { last } else { new };
            self.push_behind(gone.key, gone.slot);
            if gone.slot == new.slot {
                return Some(last.key);
            }
            self.front.copy_within(1.., 0);
            len -= 1;
        }
        let next = &mut *self.front;
        // Equal keys stay in the order of arrival.
        let at = next[..len].partition_point(|entry| entry.key > new.key);
        next.copy_within(at..len, at + 1);
        next[at] = new;
        self.in_front = len as u32 + 1;
        is_full.then_some(last.key)
    }

    /// The first task.
    pub(super) fn first(&self) -> Option<Next> {
        self.front.get((self.in_front as usize).checked_sub(1)?).copied()
    }

    /// Drops the first entry.
    pub(super) fn pop(&mut self) {
        self.in_front = self.in_front.saturating_sub(1);
    }

    /// Brings the next few to the front, which has run empty; the least key of those behind, or a lower one.
    #[inline(never)]
    pub(super) fn advance<T>(&mut self, slab: &Slab<T>) -> Key {
        for at in self.heaped as usize..self.rest.len() {
            sift_up(&mut self.rest, at, slab);
        }
        let len = self.rest.len().min(FRONT);
        for at in (0..len).rev() {
            let entry = self.rest.swap_remove(0);
            self.front[at] = Next { key: entry.key(), slot: entry.slot, cost: 0 };
            if !self.rest.is_empty() {
                sift_down(&mut self.rest, slab);
            }
        }
        // All at once, so that one slot need not be waited for before the next is asked for.
        for next in &mut self.front[..len] {
            next.cost = slab.cost(next.slot);
        }
        self.in_front = len as u32;
        self.heaped = self.rest.len() as u32;
        if self.rest.is_empty() { LAST } else { self.front[0].key }
    }

    /// The slot of the last task in order.
    pub(super) fn last<T>(&self, slab: &Slab<T>) -> Option<u32> {
        let next = self.front[..self.in_front as usize].iter().map(|next| Entry::of(next.key, next.slot));
        let living = next.chain(self.rest.iter().copied()).filter(|entry| !slab.is_dead(entry.slot));
        let last = living.reduce(|last, entry| if last.is_before(entry, slab) { entry } else { last })?;
        Some(last.slot)
    }

    /// Drops the entries of cancelled tasks behind the front, and frees their slots.
    pub(super) fn sweep<T>(&mut self, slab: &mut Slab<T>) {
        self.rest.retain(|entry| {
            let dead = slab.is_dead(entry.slot);
            if dead {
                slab.release(entry.slot);
            }
            !dead
        });
        self.heaped = 0;
    }
}

// === impl Entry ===

impl Entry {
    const fn of(key: Key, slot: u32) -> Self {
        Self { high: (key.0 >> 32) as u32, low: key.0 as u32, slot }
    }

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

/// Moves an entry up to where it belongs.
fn sift_up<T>(heap: &mut [Entry], mut at: usize, slab: &Slab<T>) {
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

/// Moves the first entry down to where it belongs.
fn sift_down<T>(heap: &mut [Entry], slab: &Slab<T>) {
    let mut at = 0;
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
/// So many tasks stand in front.
const FRONT: usize = 15;
/// While nobody is behind the front, everybody goes in front.
pub(super) const LAST: Key = Key(u64::MAX);
const _: () = assert!(size_of::<Heap>() == 40, "a ring and a word");
