//! The tasks of one flow, in the order of their keys.

mod heap;
mod ring;

use crate::scheduler::{Key, TaskId};
use crate::slab::{NONE, Slab, Taken};

use heap::{Heap, Next};
use ring::Ring;

/// The tasks of one flow, in the order of their keys; equal keys in the order of arrival.
///
/// As long as keys arrive in order, and they do when they are moments of arrival, a line is a ring that holds the tasks
/// themselves. The first key that comes too early turns it into a heap, and it becomes a ring again when it has run
/// empty. A cancelled task leaves its entry behind, but never in front; as soon as such entries outnumber the tasks,
/// all are swept out.
///
/// Invariant: the first entry is that of a waiting task.
#[derive(Debug)]
pub(crate) struct Line<T> {
    order: Order<T>,
    /// A task whose key is not below this goes behind all others.
    last: Key,
    /// How many tasks wait; all other entries are of cancelled ones.
    waiting: u32,
    /// What the first task costs, so that its flow can be charged before the task itself has been fetched.
    first_cost: u32,
    /// The number of the first task that came to a heap; those before it came from a ring.
    since: u32,
}

/// What the tasks of a flow are called: they are numbered as they come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names {
    pub(crate) flow: u32,
    /// The number of the next task that comes.
    pub(crate) next: u32,
}

#[derive(Debug)]
enum Order<T> {
    Arrival(Ring<T>),
    Keys(Heap),
}

const _: () = assert!(size_of::<Line<u64>>() == 64, "a cache line");

// === impl Names ===

impl Names {
    /// What a task in a ring is called.
    const fn id(self, number: u32) -> TaskId {
        TaskId { flow: self.flow, number, slot: NONE }
    }

    /// What a task in a heap is called; its slot is not part of its name if it came from a ring.
    fn in_heap<T>(self, slot: u32, since: u32, slab: &Slab<T>) -> TaskId {
        let number = slab.number(slot);
        let from_ring = number.wrapping_sub(since).cast_signed() < 0;
        TaskId { flow: self.flow, number, slot: if from_ring { NONE } else { slot } }
    }
}

// === impl Line ===

impl<T> Line<T> {
    pub(crate) const fn new() -> Self {
        Self { order: Order::Arrival(Ring::new()), last: Key(0), waiting: 0, first_cost: 0, since: 0 }
    }

    /// How many tasks wait.
    pub(crate) const fn len(&self) -> u32 {
        self.waiting
    }

    /// Takes in the next task.
    pub(crate) fn push(&mut self, names: Names, key: Key, cost: u32, task: T, slab: &mut Slab<T>) -> TaskId {
        if matches!(self.order, Order::Arrival(_)) && key < self.last {
            self.leave_ring(names, slab);
        }
        let Names { flow, next: number } = names;
        self.waiting += 1;
        match &mut self.order {
            Order::Arrival(ring) => {
                if ring.is_empty() {
                    self.first_cost = cost;
                }
                self.last = key;
                ring.push(key, cost, task);
                names.id(number)
            }
            Order::Keys(heap) => {
                // Numbers wrap around in the end; what came from the ring has been served long before.
                if number.wrapping_sub(self.since) > MOST_AHEAD {
                    self.since = self.since.wrapping_add(1);
                }
                let slot = slab.insert(flow, number, cost, task);
                if key >= self.last {
                    heap.push_behind(key, slot);
                } else {
                    self.last = heap.push_in_front(Next { key, slot, cost }).unwrap_or(self.last);
                    self.first_cost = heap.first().map_or(0, |first| first.cost);
                }
                TaskId { flow, number, slot }
            }
        }
    }

    /// The first task's key.
    pub(crate) fn first_key(&self) -> Option<Key> {
        match &self.order {
            Order::Arrival(ring) => ring.first().map(|(key, _)| key),
            Order::Keys(heap) => heap.first().map(|first| first.key),
        }
    }

    /// What the first task costs; 0 if there is none.
    pub(crate) const fn first_cost(&self) -> u32 {
        self.first_cost
    }

    /// Takes the first task out of the line, to be settled later if it `holds`.
    pub(crate) fn pop(&mut self, names: Names, slab: &mut Slab<T>, holds: bool) -> Option<Taken<T>> {
        let cost = self.first_cost;
        let taken = match &mut self.order {
            Order::Arrival(ring) => {
                let id = names.id(ring.first_number(names.next));
                let task = ring.pop()?;
                if holds {
                    slab.fly(id, cost);
                }
                Taken { id, cost, task }
            }
            Order::Keys(heap) => {
                let Next { slot, .. } = heap.first()?;
                let id = names.in_heap(slot, self.since, slab);
                heap.pop();
                Taken { id, cost, task: slab.take(slot, id, cost, holds)? }
            }
        };
        self.waiting -= 1;
        self.settle_front(slab);
        Some(taken)
    }

    /// Whether a task waits here.
    pub(crate) fn holds(&self, names: Names, id: TaskId, slab: &Slab<T>) -> bool {
        match &self.order {
            Order::Arrival(ring) => id.slot == NONE && ring.holds(id.number, names.next),
            Order::Keys(_) => slab.waiting(id).is_some(),
        }
    }

    /// Takes a task out of the line; amortised over cancellations this takes constant time.
    pub(crate) fn cancel(&mut self, names: Names, id: TaskId, slab: &mut Slab<T>) -> Option<Taken<T>> {
        let taken = match &mut self.order {
            Order::Arrival(_) if id.slot != NONE => return None,
            Order::Arrival(ring) => {
                let (cost, task) = ring.cancel(id.number, names.next)?;
                Taken { id, cost, task }
            }
            Order::Keys(_) => slab.kill(slab.waiting(id)?, id)?,
        };
        self.waiting -= 1;
        self.settle_front(slab);
        if self.entries() - self.waiting > self.waiting.max(MIN_SWEEP) {
            self.sweep(names, slab);
        }
        Some(taken)
    }

    /// The task that is the first to go when room is needed: the newest, or the least urgent if there are keys.
    pub(crate) fn last(&self, names: Names, slab: &Slab<T>) -> Option<TaskId> {
        match &self.order {
            Order::Arrival(ring) => Some(names.id(ring.last_number(names.next)?)),
            Order::Keys(heap) => heap.last(slab).map(|slot| names.in_heap(slot, self.since, slab)),
        }
    }

    /// For how many tasks its ring has room.
    pub(crate) fn room(&self) -> usize {
        match &self.order {
            Order::Arrival(ring) => ring.room(),
            Order::Keys(_) => 0,
        }
    }

    /// From now on the tasks wait in slots, in the order of their keys.
    fn leave_ring(&mut self, names: Names, slab: &mut Slab<T>) {
        if let Order::Arrival(ring) = &mut self.order {
            let ring = std::mem::replace(ring, Ring::new());
            let mut heap = ring.into_heap(names, slab);
            (self.since, self.last) = (names.next, heap.advance(slab));
            self.order = Order::Keys(heap);
        }
    }

    fn sweep(&mut self, names: Names, slab: &mut Slab<T>) {
        match &mut self.order {
            // A task's number says where it stands in a ring: nothing can be taken out of the middle of one.
            Order::Arrival(_) => self.leave_ring(names, slab),
            Order::Keys(heap) => heap.sweep(slab),
        }
    }

    /// Lets no cancelled task stand in front, and an empty line begin again in order of arrival.
    fn settle_front(&mut self, slab: &mut Slab<T>) {
        let some_are_gone = self.entries() > self.waiting;
        match &mut self.order {
            Order::Arrival(ring) => {
                if some_are_gone {
                    ring.settle_front();
                }
                match ring.first() {
                    Some((_, cost)) => self.first_cost = cost,
                    None => {
                        ring.rest();
                        (self.first_cost, self.last) = (0, Key(0));
                    }
                }
            }
            Order::Keys(heap) => loop {
                if heap.is_empty() {
                    self.last = heap.advance(slab);
                }
                let Some(Next { slot, cost, .. }) = heap.first() else {
                    *self = Self::new();
                    break;
                };
                if !(some_are_gone && slab.is_dead(slot)) {
                    self.first_cost = cost;
                    break;
                }
                heap.pop();
                slab.release(slot);
            },
        }
    }

    fn entries(&self) -> u32 {
        match &self.order {
            Order::Arrival(ring) => ring.len() as u32,
            Order::Keys(heap) => heap.len() as u32,
        }
    }
}

/// So many numbers after the first of its heap a task is still told from one of the ring before.
const MOST_AHEAD: u32 = 1 << 30;
/// A sweep is not worth its while below so many cancelled entries.
const MIN_SWEEP: u32 = 8;
