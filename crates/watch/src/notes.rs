//! What calls did, noted beside a run's own entries in its journal, so that it can be shown later.
//!
//! A run's journal holds what the team decided. How long calls waited and for what, when a provider asked to slow down
//! and what limits were found is told as facts, which are gone once they were told. A [`Notebook`] hears them, and
//! [`Noting`] writes them into the run's journal as entries of the kind [`KIND`], which every fold of a run passes over.
//!
//! Looking on never disturbs: hearing a fact takes a lock for a moment, a note that finds no room is counted and
//! dropped, and a note that cannot be written is forgotten.

mod heard;
mod noting;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bellwether_core::journal::{Entry, Lease};
use bellwether_core::{Fact, Observer, RunId, Usd};
use bellwether_journal::clock::{SystemClock, WallClock};
use serde_json::json;
use tokio::sync::Mutex as Gate;

pub use heard::{Heard, Note, Whose};
pub use noting::Noting;

/// The kind of entry that holds notes. Folds of a run pass over it.
pub const KIND: &str = "heard";

/// Hears facts and keeps them until they are written into the journal of the run they belong to.
///
/// At most 4,096 notes of a run wait at a time; further ones are counted and dropped.
#[derive(Debug)]
pub struct Notebook {
    clock: Arc<dyn WallClock>,
    runs: Mutex<HashMap<RunId, Pending>>,
    /// How the budget stands: the first thing that is noted of a run.
    budget: Mutex<Option<Heard>>,
}

#[derive(Debug)]
struct Pending {
    lease: Lease,
    notes: Vec<Note>,
    lost: u64,
    /// Held while notes are written by themselves: the run's last entry waits for them.
    writing: Arc<Gate<()>>,
}

impl Default for Notebook {
    fn default() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }
}

impl Notebook {
    /// An empty notebook that reads the time from `clock`.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn WallClock>) -> Self {
        Self { clock, runs: Mutex::default(), budget: Mutex::default() }
    }

    /// Notes how a budget stands, for every run that is on: spent, reserved for calls under way, and the cap.
    pub fn budget(&self, spent: Usd, reserved: Usd, cap: Option<Usd>) {
        let (spent, reserved) = (spent.as_nanos(), reserved.as_nanos());
        let heard = Heard::Budget { spent, reserved, cap: cap.map(Usd::as_nanos) };
        *self.budget.lock().unwrap_or_else(PoisonError::into_inner) = Some(heard.clone());
        self.note(None, || heard);
    }

    fn note(&self, run: Option<&RunId>, heard: impl FnOnce() -> Heard) {
        let at = self.clock.now().as_nanos() / 1_000_000;
        let mut runs = self.lock();
        match run {
            Some(run) => {
                if let Some(pending) = runs.get_mut(run) {
                    pending.push(Note { at, heard: heard() });
                }
            }
            None => {
                let heard = heard();
                runs.values_mut().for_each(|pending| pending.push(Note { at, heard: heard.clone() }));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, Pending>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to note a run, if it is not noted already under this lease.
    fn open(&self, lease: &Lease) {
        let standing = self.budget.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let at = self.clock.now().as_nanos() / 1_000_000;
        let mut runs = self.lock();
        if runs.get(&lease.run).is_none_or(|pending| pending.lease != *lease) {
            let notes = standing.into_iter().map(|heard| Note { at, heard }).collect();
            let pending = Pending { lease: lease.clone(), notes, lost: 0, writing: Arc::default() };
            runs.insert(lease.run.clone(), pending);
        }
    }

    /// Notes nothing further of a run.
    fn close(&self, run: &RunId) {
        self.lock().remove(run);
    }

    /// What waits to be written for a run, as an entry.
    fn take(&self, run: &RunId) -> Option<Entry> {
        self.lock().get_mut(run).and_then(Pending::take)
    }

    /// The runs for which something waits to be written.
    fn waiting(&self) -> Vec<(Lease, Arc<Gate<()>>)> {
        let runs = self.lock();
        let waiting = runs.values().filter(|pending| !pending.notes.is_empty());
        waiting.map(|pending| (pending.lease.clone(), Arc::clone(&pending.writing))).collect()
    }

    /// What is held while notes of a run are written by themselves.
    fn writing(&self, run: &RunId) -> Option<Arc<Gate<()>>> {
        self.lock().get(run).map(|pending| Arc::clone(&pending.writing))
    }
}

impl Observer for Notebook {
    fn observe(&self, fact: &Fact) {
        let run = match fact {
            Fact::CallAbandoned { call, .. }
            | Fact::CallAdmitted { call, .. }
            | Fact::CallCompleted { call, .. }
            | Fact::CallFailed { call, .. }
            | Fact::CallHedged { call, .. }
            | Fact::CallQueued { call }
            | Fact::CallRefused { call, .. }
            | Fact::CallRetried { call, .. }
            | Fact::CallThrottled { call, .. } => call.context.run.as_ref(),
            Fact::TaskMoved { run, .. } => Some(run),
            Fact::LimitChanged { .. } | Fact::QuotaPaused { .. } => None,
            _ => return,
        };
        if let Some(heard) = Heard::of(fact) {
            self.note(run, || heard);
        }
    }
}

// === impl Pending ===

impl Pending {
    fn push(&mut self, note: Note) {
        if self.notes.len() < MOST {
            self.notes.push(note);
        } else {
            self.lost += 1;
        }
    }

    fn take(&mut self) -> Option<Entry> {
        if self.notes.is_empty() {
            return None;
        }
        let (notes, lost) = (std::mem::take(&mut self.notes), std::mem::take(&mut self.lost));
        Some(Entry { kind: KIND.to_owned(), body: json!({ "notes": notes, "lost": lost }) })
    }
}

const MOST: usize = 4_096;
