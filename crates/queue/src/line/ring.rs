//! Tasks in order of arrival, held where they stand.

use std::collections::VecDeque;

use super::Names;
use super::heap::Heap;
use crate::scheduler::Key;
use crate::slab::Slab;

/// Tasks in order of arrival, held where they stand.
///
/// Their numbers follow each other without a gap, so that a number says where a task stands. Whoever asks says what
/// number the `next` task will have.
#[derive(Debug)]
pub(super) struct Ring<T>(VecDeque<Entry<T>>);

/// 16 bytes beside the task: the key is cut in two so that it need not lie on a multiple of eight.
#[derive(Debug)]
enum Entry<T> {
    /// Was cancelled; keeps its key, so that the next one still knows whether it comes in order.
    Gone {
        high: u32,
        low: u32,
    },
    Waiting {
        high: u32,
        low: u32,
        cost: u32,
        task: T,
    },
}

impl<T> Ring<T> {
    pub(super) const fn new() -> Self {
        Self(VecDeque::new())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn push(&mut self, key: Key, cost: u32, task: T) {
        if self.0.len() == self.0.capacity() {
            self.0.reserve_exact(self.0.len() / 8 + 4);
        }
        self.0.push_back(Entry::Waiting { high: (key.0 >> 32) as u32, low: key.0 as u32, cost, task });
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The first task's key and cost.
    pub(super) fn first(&self) -> Option<(Key, u32)> {
        match self.0.front()? {
            entry @ Entry::Waiting { cost, .. } => Some((entry.key(), *cost)),
            Entry::Gone { .. } => None,
        }
    }

    pub(super) fn first_number(&self, next: u32) -> u32 {
        next.wrapping_sub(self.0.len() as u32)
    }

    /// Takes the first task out.
    pub(super) fn pop(&mut self) -> Option<T> {
        match self.0.pop_front()? {
            Entry::Waiting { task, .. } => Some(task),
            Entry::Gone { .. } => None,
        }
    }

    pub(super) fn holds(&self, number: u32, next: u32) -> bool {
        let entry = self.0.get(number.wrapping_sub(self.first_number(next)) as usize);
        entry.is_some_and(Entry::waits)
    }

    /// Takes the task with this number out and leaves an entry in its place: its cost and itself.
    pub(super) fn cancel(&mut self, number: u32, next: u32) -> Option<(u32, T)> {
        let at = number.wrapping_sub(self.first_number(next)) as usize;
        let entry = self.0.get_mut(at).filter(|entry| entry.waits())?;
        let key = entry.key();
        match std::mem::replace(entry, Entry::Gone { high: (key.0 >> 32) as u32, low: key.0 as u32 }) {
            Entry::Waiting { cost, task, .. } => Some((cost, task)),
            Entry::Gone { .. } => None,
        }
    }

    /// The number of the newest task.
    pub(super) fn last_number(&self, next: u32) -> Option<u32> {
        let at = self.0.iter().rposition(Entry::waits)?;
        Some(self.first_number(next).wrapping_add(at as u32))
    }

    /// Drops the entries of cancelled tasks in front.
    pub(super) fn settle_front(&mut self) {
        while self.0.front().is_some_and(|entry| !entry.waits()) {
            self.0.pop_front();
        }
    }

    /// Gives the memory of a long line back once it is empty.
    pub(super) fn rest(&mut self) {
        if self.0.capacity() > KEPT {
            self.0 = VecDeque::new();
        }
    }

    pub(super) fn room(&self) -> usize {
        self.0.capacity()
    }

    /// Moves all tasks into slots, under the names they have.
    pub(super) fn into_heap(self, names: Names, slab: &mut Slab<T>) -> Heap {
        let first = self.first_number(names.next);
        let mut heap = Heap::with_room_for(self.0.len());
        for (entry, at) in self.0.into_iter().zip(0_u32..) {
            let key = entry.key();
            if let Entry::Waiting { cost, task, .. } = entry {
                let slot = slab.insert_stray(names.flow, first.wrapping_add(at), cost, task);
                heap.push_behind(key, slot);
            }
        }
        heap
    }
}

// === impl Entry ===

impl<T> Entry<T> {
    const fn key(&self) -> Key {
        let (Self::Gone { high, low } | Self::Waiting { high, low, .. }) = self;
        Key((*high as u64) << 32 | *low as u64)
    }

    const fn waits(&self) -> bool {
        matches!(self, Self::Waiting { .. })
    }
}

/// An empty line keeps the room of so many tasks.
const KEPT: usize = 64;
const _: () = assert!(size_of::<Entry<u64>>() == 24, "16 bytes beside the task");
