//! What is given back when it is dropped: a place in the line, a task in flight.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use super::Shared;
use crate::hall::Hall;
use crate::scheduler::{Granted, TaskId};

type Owner<T> = Arc<Shared<T, Mutex<Hall<T>>>>;

/// A task's place in the line. Dropping it cancels the task if it still waits.
#[must_use = "dropping a place cancels the task; `keep` leaves it in the line"]
pub struct Place<T: Send> {
    /// `None` once it was kept.
    owner: Option<Owner<T>>,
    id: TaskId,
}

/// A task that was taken. Dropping it settles the task at what it was charged.
///
/// Invariant: `task` is there until the task is settled.
#[must_use = "dropping a grant settles the task as if it had cost what was expected"]
pub struct Grant<T: Send> {
    owner: Owner<T>,
    id: TaskId,
    band: usize,
    cost: u32,
    task: Option<T>,
}

// === impl Place ===

impl<T: Send> Place<T> {
    pub(super) fn new(owner: &Owner<T>, id: TaskId) -> Self {
        Self { owner: Some(Arc::clone(owner)), id }
    }

    /// Leaves the task in the line, whatever becomes of whoever pushed it.
    pub fn keep(mut self) -> TaskId {
        self.owner = None;
        self.id
    }

    /// Takes the task out of the line; `None` if it was taken or shed before.
    #[must_use]
    pub fn cancel(mut self) -> Option<T> {
        self.owner.take()?.cancel(self.id)
    }
}

impl<T: Send> Drop for Place<T> {
    fn drop(&mut self) {
        if let Some(owner) = self.owner.take() {
            drop(owner.cancel(self.id));
        }
    }
}

impl<T: Send> fmt::Debug for Place<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("id", &self.id).finish_non_exhaustive()
    }
}

// === impl Grant ===

impl<T: Send> Grant<T> {
    pub(super) fn new(owner: &Owner<T>, granted: Granted<T>) -> Self {
        let Granted { id, band, cost, task } = granted;
        Self { owner: Arc::clone(owner), id, band, cost, task: Some(task) }
    }

    /// What it was charged.
    #[must_use]
    pub const fn cost(&self) -> u32 {
        self.cost
    }

    /// The band it waited in.
    #[must_use]
    pub const fn band(&self) -> usize {
        self.band
    }

    /// Corrects what the task is charged while it is in flight, as its cost becomes clear.
    pub fn revise(&mut self, cost: u64) {
        self.owner.change(|scheduler| {
            scheduler.revise(self.id, cost);
        });
    }

    /// Settles the task at what it really cost; 0 if nothing came of it.
    #[expect(clippy::missing_panics_doc, reason = "the task is there until it is settled")]
    pub fn settle(mut self, cost: u64) -> T {
        let task = self.task.take().expect("a task is there until it is settled");
        self.owner.settle(self.id, cost);
        task
    }

    /// Lets go of the guard: somebody else will settle the task.
    pub(crate) fn detach(mut self) -> (TaskId, T) {
        (self.id, self.task.take().expect("a task is there until it is settled"))
    }
}

impl<T: Send> Deref for Grant<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.task.as_ref().expect("a task is there until it is settled")
    }
}

impl<T: Send> Drop for Grant<T> {
    fn drop(&mut self) {
        if self.task.is_some() {
            self.owner.finish(self.id);
        }
    }
}

impl<T: Send> fmt::Debug for Grant<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("id", &self.id).field("cost", &self.cost).finish_non_exhaustive()
    }
}
