//! The seam to a run's durable memory.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::call::RunId;

/// Remembers runs: for each an append-only list of entries, written by one writer at a time.
#[async_trait]
pub trait Journal: fmt::Debug + Send + Sync {
    /// Becomes the one writer of a run, new or old. The lease before it is void from now on.
    ///
    /// # Errors
    ///
    /// [`JournalError`] if the store fails.
    ///
    /// # Cancel safety
    ///
    /// The lease may have been taken; taking it again is harmless.
    async fn lease(&self, run: &RunId) -> Result<Lease, JournalError>;

    /// Appends entries, all or none, and returns once they are durable.
    ///
    /// # Errors
    ///
    /// [`JournalError::Fenced`] if another writer took the run over; else the store's failure.
    ///
    /// # Cancel safety
    ///
    /// The entries may have been written all the same.
    async fn append(&self, lease: &Lease, entries: Vec<Entry>) -> Result<(), JournalError>;

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
    pub body: Value,
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
    /// The store failed.
    #[error("the journal's store failed")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
}
