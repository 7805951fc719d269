//! The tasks there are, each in a slot of its own.

use crate::scheduler::TaskId;

/// The tasks there are, each in a slot of its own; a freed slot is the next to be used.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    /// The first free slot, or `NONE`.
    free: u32,
    born: u32,
}

/// 16 bytes beside the task, so that with an entry in its line a task stays below 32.
#[derive(Debug)]
pub(crate) enum Slot<T> {
    /// Free; the next free one, or `NONE`.
    Free { next: u32 },
    /// Cancelled while its line still names it; keeps its rank there.
    Dead { born: u32 },
    /// Waits in the line of a flow.
    Queued { born: u32, flow: u32, cost: u32, task: T },
    /// Taken and not settled yet.
    Granted { born: u32, flow: u32, cost: u32 },
}

/// A task that left its slot.
#[derive(Debug)]
pub(crate) struct Taken<T> {
    pub(crate) id: TaskId,
    pub(crate) flow: u32,
    pub(crate) cost: u32,
    pub(crate) task: T,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), free: NONE, born: 0 }
    }

    pub(crate) fn insert(&mut self, flow: u32, cost: u32, task: T) -> TaskId {
        let born = self.born;
        self.born = born.wrapping_add(1);
        let slot = Slot::Queued { born, flow, cost, task };
        let at = self.free;
        if at == NONE {
            // Grows by a sixteenth: doubling would leave up to half of a large slab empty.
            if self.slots.len() == self.slots.capacity() {
                self.slots.reserve_exact(self.slots.len() / 16 + 16);
            }
            self.slots.push(slot);
            return TaskId { slot: self.slots.len() as u32 - 1, born };
        }
        let Slot::Free { next } = self.slots[at as usize] else { unreachable!("the free list names free slots") };
        self.free = next;
        self.slots[at as usize] = slot;
        TaskId { slot: at, born }
    }

    /// When a waiting task came, for ties.
    pub(crate) fn born(&self, slot: u32) -> u32 {
        match self.slots[slot as usize] {
            Slot::Dead { born } | Slot::Queued { born, .. } | Slot::Granted { born, .. } => born,
            Slot::Free { .. } => 0,
        }
    }

    pub(crate) fn is_dead(&self, slot: u32) -> bool {
        matches!(self.slots[slot as usize], Slot::Dead { .. })
    }

    pub(crate) fn cost(&self, slot: u32) -> u32 {
        match self.slots[slot as usize] {
            Slot::Queued { cost, .. } | Slot::Granted { cost, .. } => cost,
            Slot::Dead { .. } | Slot::Free { .. } => 0,
        }
    }

    pub(crate) fn id(&self, slot: u32) -> TaskId {
        TaskId { slot, born: self.born(slot) }
    }

    /// The flow of a waiting task, and where it stands.
    pub(crate) fn queued(&self, id: TaskId) -> Option<(u32, &T)> {
        match self.slots.get(id.slot as usize) {
            Some(Slot::Queued { born, flow, task, .. }) if *born == id.born => Some((*flow, task)),
            _ => None,
        }
    }

    /// Takes a waiting task out; its line still names the slot.
    pub(crate) fn kill(&mut self, id: TaskId) -> Option<Taken<T>> {
        self.queued(id)?;
        self.replace(id.slot, Slot::Dead { born: id.born })
    }

    /// Takes a waiting task out for good.
    pub(crate) fn take(&mut self, slot: u32) -> Option<Taken<T>> {
        let taken = self.replace(slot, Slot::Free { next: self.free })?;
        self.free = slot;
        Some(taken)
    }

    /// Takes a waiting task out, to be settled later.
    pub(crate) fn grant(&mut self, slot: u32) -> Option<Taken<T>> {
        let taken = self.replace(slot, Slot::Free { next: NONE })?;
        self.slots[slot as usize] = Slot::Granted { born: taken.id.born, flow: taken.flow, cost: taken.cost };
        Some(taken)
    }

    /// Ends a granted task: its flow and what it was charged.
    pub(crate) fn settle(&mut self, id: TaskId) -> Option<(u32, u32)> {
        match self.slots.get(id.slot as usize) {
            Some(Slot::Granted { born, flow, cost }) if *born == id.born => {
                let settled = (*flow, *cost);
                self.release(id.slot);
                Some(settled)
            }
            _ => None,
        }
    }

    /// Changes what a granted task is charged: its flow and what it was charged before.
    pub(crate) fn revise(&mut self, id: TaskId, to: u32) -> Option<(u32, u32)> {
        match self.slots.get_mut(id.slot as usize) {
            Some(Slot::Granted { born, flow, cost }) if *born == id.born => Some((*flow, std::mem::replace(cost, to))),
            _ => None,
        }
    }

    /// Frees a slot that no line names any more.
    pub(crate) fn release(&mut self, slot: u32) {
        self.slots[slot as usize] = Slot::Free { next: self.free };
        self.free = slot;
    }

    /// The memory it holds, in slots.
    pub(crate) fn capacity(&self) -> usize {
        self.slots.capacity()
    }

    fn replace(&mut self, slot: u32, by: Slot<T>) -> Option<Taken<T>> {
        match std::mem::replace(&mut self.slots[slot as usize], by) {
            Slot::Queued { born, flow, cost, task } => Some(Taken { id: TaskId { slot, born }, flow, cost, task }),
            other => {
                self.slots[slot as usize] = other;
                None
            }
        }
    }
}

pub(crate) const NONE: u32 = u32::MAX;
const _: () = assert!(size_of::<Slot<u64>>() == 24, "16 bytes beside the task");
