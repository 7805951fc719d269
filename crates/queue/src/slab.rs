//! The tasks that do not stand in a ring, each in a slot of its own.

use std::collections::HashMap;

use crate::scheduler::TaskId;

/// The tasks that do not stand in the ring of their flow: those that wait in order of keys, and those in flight.
///
/// Each has a slot of its own; a freed slot is the next to be used. A task that began in a ring has a name that says
/// no slot, and is looked up.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    /// The first free slot, or `NONE`.
    free: u32,
    /// The slots of those whose names do not say them.
    strays: HashMap<(u32, u32), u32>,
}

/// 16 bytes beside the task, so that with an entry in its line a task stays below 32.
#[derive(Debug)]
enum Slot<T> {
    /// Free; the next free one, or `NONE`.
    Free { next: u32 },
    /// Cancelled while its line still names it; keeps its rank there.
    Dead { number: u32 },
    /// Waits in the line of a flow.
    Queued { number: u32, flow: u32, cost: u32, task: T },
    /// Taken and not settled yet.
    Granted { number: u32, flow: u32, cost: u32 },
}

/// A task that left its line.
#[derive(Debug)]
pub(crate) struct Taken<T> {
    pub(crate) id: TaskId,
    pub(crate) cost: u32,
    pub(crate) task: T,
}

impl<T> Slab<T> {
    pub(crate) fn new() -> Self {
        Self { slots: Vec::new(), free: NONE, strays: HashMap::new() }
    }

    /// Puts a waiting task into a slot.
    pub(crate) fn insert(&mut self, flow: u32, number: u32, cost: u32, task: T) -> u32 {
        self.occupy(Slot::Queued { number, flow, cost, task })
    }

    /// The same for a task whose name says no slot.
    pub(crate) fn insert_stray(&mut self, flow: u32, number: u32, cost: u32, task: T) -> u32 {
        let slot = self.insert(flow, number, cost, task);
        self.strays.insert((flow, number), slot);
        slot
    }

    /// Notes that a task was taken out of a ring and is in flight.
    pub(crate) fn fly(&mut self, id: TaskId, cost: u32) {
        let slot = self.occupy(Slot::Granted { number: id.number, flow: id.flow, cost });
        self.strays.insert((id.flow, id.number), slot);
    }

    /// Which of two tasks of one flow came first.
    pub(crate) fn came_before(&self, one: u32, other: u32) -> bool {
        self.number(one).wrapping_sub(self.number(other)).cast_signed() < 0
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

    /// The slot of a task that waits in order of keys.
    pub(crate) fn waiting(&self, id: TaskId) -> Option<u32> {
        let slot = self.slot(id)?;
        match self.slots.get(slot as usize)? {
            Slot::Queued { number, flow, .. } if (*flow, *number) == (id.flow, id.number) => Some(slot),
            _ => None,
        }
    }

    /// Takes a waiting task out; its line still names the slot.
    pub(crate) fn kill(&mut self, slot: u32, id: TaskId) -> Option<Taken<T>> {
        self.forget_stray(id);
        self.replace(slot, id, Slot::Dead { number: id.number })
    }

    /// Takes a waiting task out, to be settled later if it `holds`. What it costs is known to the caller, who need not
    /// wait for the slot.
    pub(crate) fn take(&mut self, slot: u32, id: TaskId, cost: u32, holds: bool) -> Option<T> {
        if holds {
            let granted = Slot::Granted { number: id.number, flow: id.flow, cost };
            return self.replace(slot, id, granted).map(|taken| taken.task);
        }
        self.forget_stray(id);
        let taken = self.replace(slot, id, Slot::Free { next: self.free })?;
        self.free = slot;
        Some(taken.task)
    }

    /// Ends a granted task: what it was charged.
    pub(crate) fn settle(&mut self, id: TaskId) -> Option<u32> {
        let charged = *self.charge(id)?;
        let slot = self.slot(id)?;
        self.forget_stray(id);
        self.release(slot);
        Some(charged)
    }

    /// Changes what a granted task is charged: what it was charged before.
    pub(crate) fn revise(&mut self, id: TaskId, to: u32) -> Option<u32> {
        self.charge(id).map(|cost| std::mem::replace(cost, to))
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

    fn occupy(&mut self, slot: Slot<T>) -> u32 {
        let at = self.free;
        if at == NONE {
            // Grows by little: doubling would leave up to half of a large slab empty.
            if self.slots.len() == self.slots.capacity() {
                self.slots.reserve_exact(self.slots.len() / 128 + 16);
            }
            self.slots.push(slot);
            return self.slots.len() as u32 - 1;
        }
        let Slot::Free { next } = self.slots[at as usize] else { unreachable!("the free list names free slots") };
        self.free = next;
        self.slots[at as usize] = slot;
        at
    }

    fn slot(&self, id: TaskId) -> Option<u32> {
        if id.slot == NONE { self.strays.get(&(id.flow, id.number)).copied() } else { Some(id.slot) }
    }

    fn forget_stray(&mut self, id: TaskId) {
        if id.slot == NONE {
            self.strays.remove(&(id.flow, id.number));
        }
    }

    fn charge(&mut self, id: TaskId) -> Option<&mut u32> {
        let slot = self.slot(id)?;
        match self.slots.get_mut(slot as usize)? {
            Slot::Granted { number, flow, cost } if (*flow, *number) == (id.flow, id.number) => Some(cost),
            _ => None,
        }
    }

    /// The number of a task in a slot.
    pub(crate) fn number(&self, slot: u32) -> u32 {
        match self.slots[slot as usize] {
            Slot::Dead { number } | Slot::Queued { number, .. } | Slot::Granted { number, .. } => number,
            Slot::Free { .. } => 0,
        }
    }

    fn replace(&mut self, slot: u32, id: TaskId, by: Slot<T>) -> Option<Taken<T>> {
        match std::mem::replace(&mut self.slots[slot as usize], by) {
            Slot::Queued { cost, task, .. } => Some(Taken { id, cost, task }),
            other => {
                self.slots[slot as usize] = other;
                None
            }
        }
    }
}

pub(crate) const NONE: u32 = u32::MAX;
const _: () = assert!(size_of::<Slot<u64>>() == 24, "16 bytes beside the task");
