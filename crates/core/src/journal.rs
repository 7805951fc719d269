//! The seam to a run's durable memory.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::call::RunId;
use crate::time::Timestamp;

/// Remembers runs: for each an append-only list of entries, written by one writer at a time.
#[async_trait]
pub trait Journal: std::fmt::Debug + Send + Sync {
    /// Becomes the one writer of a run, new or old. A writer before it that is gone is fenced off.
    ///
    /// # Errors
    ///
    /// [`JournalError::Held`] while another writer is alive; else the store's failure.
    ///
    /// # Cancel safety
    ///
    /// The lease may have been taken; [`take_over`](Self::take_over) gets it back.
    async fn lease(&self, run: &RunId) -> Result<Lease, JournalError>;

    /// Becomes the one writer of a run whoever holds it. The lease before it is void from now on.
    ///
    /// # Errors
    ///
    /// [`JournalError`] if the store fails.
    ///
    /// # Cancel safety
    ///
    /// The lease may have been taken; taking it again is harmless.
    async fn take_over(&self, run: &RunId) -> Result<Lease, JournalError>;

    /// Gives a lease back, so that the next writer need not wait for its end. Nothing can be appended with it afterwards.
    ///
    /// # Errors
    ///
    /// [`JournalError::Fenced`] if the lease was void already; else the store's failure.
    ///
    /// # Cancel safety
    ///
    /// The lease may have been given back all the same.
    async fn release(&self, lease: &Lease) -> Result<(), JournalError>;

    /// Appends entries, all or none, and returns the last one's number once they are durable.
    ///
    /// # Errors
    ///
    /// [`JournalError::Fenced`] if another writer took the run over; else the store's failure.
    ///
    /// # Cancel safety
    ///
    /// The entries may have been written all the same.
    async fn append(&self, lease: &Lease, entries: Vec<Entry>) -> Result<u64, JournalError>;

    /// All entries of a run, in order; none if the run is unknown.
    ///
    /// # Errors
    ///
    /// [`JournalError`] if the store fails or is damaged.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed.
    async fn load(&self, run: &RunId) -> Result<Vec<Entry>, JournalError>;

    /// At most `limit` entries of a run after number `after`, in order: ask again with the last number to follow a run.
    ///
    /// # Errors
    ///
    /// [`JournalError`] if the store fails or is damaged.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed.
    async fn read(&self, run: &RunId, after: u64, limit: usize) -> Result<Vec<Recorded>, JournalError>;

    /// Keeps a fold of a run's entries up to number `seq`, instead of the one before. It saves time and holds nothing of
    /// its own: whoever finds none folds the entries.
    ///
    /// # Errors
    ///
    /// [`JournalError::Fenced`] if another writer took the run over; the store's failure, also if the run has no such
    /// entry or the fold is too large.
    ///
    /// # Cancel safety
    ///
    /// The fold may have been kept all the same.
    async fn snapshot(&self, lease: &Lease, seq: u64, state: Vec<u8>) -> Result<(), JournalError>;

    /// The fold that was kept last; none if it is damaged or does not belong to the entries that are there.
    ///
    /// # Errors
    ///
    /// [`JournalError`] if the store fails.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed.
    async fn last_snapshot(&self, run: &RunId) -> Result<Option<Snapshot>, JournalError>;

    /// The runs there are, the oldest first.
    ///
    /// # Errors
    ///
    /// [`JournalError`] if the store fails.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed.
    async fn runs(&self) -> Result<Vec<RunId>, JournalError>;
}

const _: fn(&dyn Journal) = |_| {};

/// The right to write a run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lease {
    /// The run.
    pub run: RunId,
    /// The fencing token: grows with every lease of the run.
    pub epoch: u64,
}

/// One thing to remember.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Entry {
    /// What kind of thing, such as `task_accepted`.
    pub kind: String,
    /// The thing itself.
    pub body: serde_json::Value,
}

/// An entry as it was remembered.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Its number within the run, counted from 1 without gaps.
    pub seq: u64,
    /// When it was appended, by the writer's wall clock: the time since the Unix epoch.
    pub at: Timestamp,
    /// The entry.
    pub entry: Entry,
}

/// A fold of a run's entries up to one of them, as its writer left it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Snapshot {
    /// The number of the last entry in it.
    pub seq: u64,
    /// What the writer gave.
    pub state: Vec<u8>,
}

/// The process that writes a run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// The machine it runs on.
    pub host: String,
    /// Since when it has been the writer, as time since the Unix epoch.
    pub since: Timestamp,
    /// When its lease ends unless it is renewed.
    pub until: Timestamp,
}

/// Why a journal did not do as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Another writer has taken the run over.
    #[error("run {run} is now written by somebody else")]
    Fenced {
        /// The run.
        run: RunId,
    },
    /// Another writer holds the run and is alive.
    #[error("run {run} is being written by process {} on {}", holder.pid, holder.host)]
    Held {
        /// The run.
        run: RunId,
        /// Who writes it.
        holder: Holder,
    },
    /// The store failed.
    #[error("the journal's store failed")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
}
