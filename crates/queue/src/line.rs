//! The tasks of one flow, in the order of their keys.

use std::collections::VecDeque;

use crate::scheduler::Key;
use crate::slab::Slab;

/// The tasks of one flow, in the order of their keys; equal keys in the order of arrival.
///
/// As long as keys arrive in order, and they do when they are moments of arrival, a line is a plain deque. The first
/// key that comes too early turns it into a heap, and it becomes a deque again when it has run empty. A cancelled
/// task leaves its entry behind, but never in front; as soon as such entries outnumber the tasks, all are swept out.
///
/// Invariant: the first entry is that of a waiting task.
#[derive(Debug)]
pub(crate) struct Line {
    order: Order,
    live: u32,
    dead: u32,
}

#[derive(Debug)]
enum Order {
    Arrival(VecDeque<Entry>),
    Keys(Vec<Entry>),
}

/// Twelve bytes: the key is cut in two so that it need not lie on a multiple of eight.
#[derive(Clone, Copy, Debug)]
struct Entry {
    high: u32,
    low: u32,
    slot: u32,
}

// === impl Entry ===

impl Entry {
    const fn new(key: Key, slot: u32) -> Self {
        Self { high: (key.0 >> 32) as u32, low: key.0 as u32, slot }
    }

    const fn key(self) -> Key {
        Key((self.high as u64) << 32 | self.low as u64)
    }

    fn is_before<T>(self, other: Self, slab: &Slab<T>) -> bool {
        match self.key().cmp(&other.key()) {
            std::cmp::Ordering::Equal => slab.born(self.slot).wrapping_sub(slab.born(other.slot)).cast_signed() < 0,
            order => order.is_lt(),
        }
    }
}

// === impl Line ===

impl Line {
    pub(crate) const fn new() -> Self {
        Self { order: Order::Arrival(VecDeque::new()), live: 0, dead: 0 }
    }

    /// How many tasks wait.
    pub(crate) const fn len(&self) -> u32 {
        self.live
    }

    pub(crate) fn push<T>(&mut self, key: Key, slot: u32, slab: &Slab<T>) {
        let entry = Entry::new(key, slot);
        self.live += 1;
        if let Order::Arrival(entries) = &mut self.order {
            if entries.back().is_none_or(|last| last.key() <= key) {
                if entries.len() == entries.capacity() {
                    entries.reserve_exact(entries.len() / 16 + 4);
                }
                entries.push_back(entry);
                return;
            }
            // Entries in order are a heap already.
            self.order = Order::Keys(std::mem::take(entries).into());
        }
        if let Order::Keys(heap) = &mut self.order {
            if heap.len() == heap.capacity() {
                heap.reserve_exact(heap.len() / 16 + 4);
            }
            heap.push(entry);
            let last = heap.len() - 1;
            sift_up(heap, last, slab);
        }
    }

    /// The first task: its key and its slot.
    pub(crate) fn first(&self) -> Option<(Key, u32)> {
        let entry = match &self.order {
            Order::Arrival(entries) => entries.front()?,
            Order::Keys(heap) => heap.first()?,
        };
        Some((entry.key(), entry.slot))
    }

    /// Takes the first task's slot out of the line.
    pub(crate) fn pop<T>(&mut self, slab: &mut Slab<T>) -> Option<u32> {
        let (_, slot) = self.first()?;
        self.drop_first(slab);
        self.live -= 1;
        self.settle_front(slab);
        Some(slot)
    }

    /// The task that is the first to go when room is needed: the newest, or the least urgent if there are keys.
    pub(crate) fn last<T>(&self, slab: &Slab<T>) -> Option<u32> {
        match &self.order {
            Order::Arrival(entries) => entries.iter().rev().find(|entry| !slab.is_dead(entry.slot)),
            Order::Keys(heap) => {
                let living = heap.iter().filter(|entry| !slab.is_dead(entry.slot));
                living.reduce(|last, entry| if last.is_before(*entry, slab) { entry } else { last })
            }
        }
        .map(|entry| entry.slot)
    }

    /// Notes that one of its tasks was cancelled; amortised over cancellations this takes constant time.
    pub(crate) fn cancelled<T>(&mut self, slot: u32, slab: &mut Slab<T>) {
        self.live -= 1;
        self.dead += 1;
        if self.dead > self.live.max(MIN_SWEEP) {
            self.sweep(slab);
            self.settle_front(slab);
        } else if self.first().is_some_and(|(_, first)| first == slot) {
            self.settle_front(slab);
        }
    }

    fn sweep<T>(&mut self, slab: &mut Slab<T>) {
        let keep = |entry: &Entry, slab: &mut Slab<T>| {
            let dead = slab.is_dead(entry.slot);
            if dead {
                slab.release(entry.slot);
            }
            !dead
        };
        match &mut self.order {
            Order::Arrival(entries) => entries.retain(|entry| keep(entry, slab)),
            Order::Keys(heap) => {
                heap.retain(|entry| keep(entry, slab));
                for at in (0..heap.len().div_ceil(CHILDREN)).rev() {
                    sift_down(heap, at, slab);
                }
            }
        }
        self.dead = 0;
    }

    /// Lets no cancelled task stand in front, and an empty line begin again in order of arrival.
    fn settle_front<T>(&mut self, slab: &mut Slab<T>) {
        while self.dead > 0
            && let Some((_, slot)) = self.first()
            && slab.is_dead(slot)
        {
            self.drop_first(slab);
            self.dead -= 1;
            slab.release(slot);
        }
        if self.live == 0
            && let Order::Keys(heap) = &mut self.order
        {
            self.order = Order::Arrival(std::mem::take(heap).into());
        }
    }

    fn drop_first<T>(&mut self, slab: &Slab<T>) {
        match &mut self.order {
            Order::Arrival(entries) => {
                entries.pop_front();
            }
            Order::Keys(heap) => {
                heap.swap_remove(0);
                if !heap.is_empty() {
                    sift_down(heap, 0, slab);
                }
            }
        }
    }
}

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
/// A sweep is not worth its while below so many cancelled entries.
const MIN_SWEEP: u32 = 8;
