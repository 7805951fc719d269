//! Reads a journal that this or another process writes, while it does.

mod queries;

use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use bellwether_core::journal::{Entry, Holder, JournalError, Recorded, Snapshot};
use bellwether_core::{RunId, Timestamp};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::clock::{SystemClock, WallClock};
use crate::entry::Gaps;
use crate::error::Error;
use crate::place::Place;
use crate::schema;
use queries::Queries;

/// Reads a journal that this or another process writes, while it does. It takes no lease and cannot write.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use bellwether_journal::{Entry, Journal, Reader, RunId, Settings, SqliteJournal};
///
/// let directory = tempfile::tempdir()?;
/// let journal = SqliteJournal::open(directory.path(), Settings::default())?;
/// let lease = journal.lease(&RunId::from("r1")).await?;
/// journal.append(&lease, vec![Entry { kind: "run_started".to_owned(), body: "hello".into() }]).await?;
///
/// let reader = Reader::open(directory.path())?;
/// let mut seen = 0;
/// for recorded in reader.read(&RunId::from("r1"), seen, 100).await? {
///     println!("{} {}", recorded.seq, recorded.entry.kind);
///     seen = recorded.seq;
/// }
/// assert_eq!(seen, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Reader {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    place: Place,
    clock: Arc<dyn WallClock>,
}

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A run, as a list shows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RunInfo {
    /// Its name.
    pub run: RunId,
    /// How many entries it has.
    pub entries: u64,
    /// When its first entry was appended; `None` if it has none.
    pub first: Option<Timestamp>,
    /// When its last entry was appended; `None` if it has none.
    pub last: Option<Timestamp>,
    /// How many bytes its entries and their texts take. A text that runs share counts for each.
    pub bytes: u64,
    /// The process that writes it, if one does and is alive.
    pub holder: Option<Holder>,
}

/// What is needed to stand where a run ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Restored {
    /// Where to begin; `None` for the beginning.
    pub snapshot: Option<Snapshot>,
    /// The entries after it.
    pub entries: Vec<Recorded>,
}

impl Reader {
    /// Opens the journal in a directory.
    ///
    /// # Errors
    ///
    /// Why the journal cannot be read.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, Error> {
        Self::at(&Place::existing(directory.as_ref())?, Arc::new(SystemClock))
    }

    pub(crate) fn at(place: &Place, clock: Arc<dyn WallClock>) -> Result<Self, Error> {
        let mut connection = schema::open_reader(place)?;
        let (jobs, mut asked) = mpsc::channel::<Job>(64);
        let work = move || {
            while let Some(job) = asked.blocking_recv() {
                job(&mut connection);
            }
        };
        let builder = thread::Builder::new().name("journal-reader".to_owned());
        let thread = builder.spawn(work).map_err(|error| Error::io(place.directory(), error))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), place: place.clone(), clock })
    }

    /// The runs there are, the oldest first.
    ///
    /// # Errors
    ///
    /// [`JournalError::Store`] if the journal cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed.
    pub async fn runs(&self) -> Result<Vec<RunInfo>, JournalError> {
        let now = self.clock.now();
        self.ask(move |queries| queries.runs(now)).await
    }

    /// All entries of a run, in order, whole; none if the run is unknown.
    ///
    /// # Errors
    ///
    /// [`JournalError::Store`] if the journal cannot be read, is damaged, or did not keep the run's bodies.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed.
    pub async fn load(&self, run: &RunId) -> Result<Vec<Entry>, JournalError> {
        let run = run.clone();
        let recorded = self.ask(move |queries| queries.entries(&run, 0, usize::MAX, Gaps::Refuse)).await?;
        Ok(recorded.into_iter().map(|recorded| recorded.entry).collect())
    }

    /// At most `limit` entries of a run after number `after`, in order. Ask again with the last number to follow a run.
    ///
    /// Texts of a run that keeps no bodies appear as `{"$hash": "<hash>"}`.
    ///
    /// # Errors
    ///
    /// [`JournalError::Store`] if the journal cannot be read or is damaged.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed.
    pub async fn read(&self, run: &RunId, after: u64, limit: usize) -> Result<Vec<Recorded>, JournalError> {
        let run = run.clone();
        self.ask(move |queries| queries.entries(&run, after, limit, Gaps::Show)).await
    }

    /// The latest snapshot of a run; none if it is damaged or does not belong to the entries that are there.
    ///
    /// # Errors
    ///
    /// [`JournalError::Store`] if the journal cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed.
    pub async fn snapshot(&self, run: &RunId) -> Result<Option<Snapshot>, JournalError> {
        let run = run.clone();
        self.ask(move |queries| queries.snapshot_of(&run)).await
    }

    /// The latest snapshot of a run and the entries after it. A snapshot that was damaged is left out, and the run
    /// comes from its beginning.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed.
    pub async fn restore(&self, run: &RunId) -> Result<Restored, JournalError> {
        let run = run.clone();
        self.ask(move |queries| queries.restore(&run)).await
    }

    /// Looks at every page, entry and text; takes as long as reading all of the file.
    ///
    /// # Errors
    ///
    /// [`JournalError::Store`] names the first damage found.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed; the search goes on until its end.
    pub async fn verify(&self) -> Result<(), JournalError> {
        self.ask(|queries| queries.verify()).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Queries<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, JournalError> {
        let closed = || Error::Closed { reason: None };
        let (answer, answered) = oneshot::channel();
        let place = self.place.clone();
        let job = move |connection: &mut Connection| {
            // Whoever asked may be gone.
            let _ = answer.send(Queries::within(&place, connection, question));
        };
        let jobs = self.jobs.as_ref().ok_or_else(closed)?;
        jobs.send(Box::new(job)).await.map_err(|_| closed())?;
        Ok(answered.await.map_err(|_| closed())??)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic was reported by its thread; whoever waited for an answer got none.
            let _ = thread.join();
        }
    }
}
