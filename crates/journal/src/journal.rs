//! The journal that a process writes.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bellwether_core::RunId;
use bellwether_core::journal::{Entry, Journal, JournalError, Lease, Recorded, Snapshot};
use tokio::sync::watch;

use crate::ballast;
use crate::entry::{Blob, LARGEST, Packed};
use crate::error::Error;
use crate::place::Place;
use crate::presence::Presence;
use crate::reader::Reader;
use crate::schema;
use crate::settings::Settings;
use crate::writer::{self, Books, Claim, Writer};

/// The journal that a process writes: a directory with an SQLite database in it.
///
/// Several processes may write one journal at the same time; each run has one writer among them. A lease is kept alive
/// by a heartbeat while the process lives, and is free at once when the process dies.
///
/// Dropping the journal writes what was appended, gives its leases back and waits for its threads.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use bellwether_journal::{Entry, Journal, JournalError, RunId, Settings, SqliteJournal};
///
/// let directory = tempfile::tempdir()?;
/// let journal = SqliteJournal::open(directory.path(), Settings::default())?;
/// let run = RunId::from("r1");
/// let lease = journal.lease(&run).await?;
/// // Once this returns, the entry survives a crash of the machine.
/// journal.append(&lease, vec![Entry { kind: "run_started".to_owned(), body: "build it".into() }]).await?;
///
/// assert!(matches!(journal.lease(&run).await, Err(JournalError::Held { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SqliteJournal {
    // Dropped first, so that the writer is the last to close the file and can fold the log into it.
    reader: Reader,
    writer: Writer,
    settings: Settings,
}

/// How writing goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Health {
    /// What arrives is written.
    Writing,
    /// What arrives is kept in memory until the disk takes it: send no new calls, and let those in flight finish.
    Waiting {
        /// What is in the way.
        reason: String,
    },
}

impl SqliteJournal {
    /// Opens the journal in a directory, and makes both if they are not there, readable by their owner only.
    ///
    /// # Errors
    ///
    /// Why the journal cannot be used.
    pub fn open(directory: impl AsRef<Path>, settings: Settings) -> Result<Self, Error> {
        let place = Place::prepare(directory.as_ref())?;
        let alone = place.alone()?;
        let presence = Presence::announce(&place)?;
        let connection = schema::open_writer(&place)?;
        ballast::take(&place.ballast(), settings.ballast).map_err(|error| Error::io(&place.ballast(), error))?;
        drop(alone);
        let reader = Reader::at(&place, Arc::clone(&settings.clock))?;
        let books = Books::new(place.clone(), presence, &settings);
        let writer = Writer::start(place, connection, books, &settings)?;
        Ok(Self { reader, writer, settings })
    }

    /// Reads what is written here.
    #[must_use]
    pub const fn reader(&self) -> &Reader {
        &self.reader
    }

    /// How writing goes, now and from now on.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Health> {
        self.writer.health()
    }

    /// Bounds the database's size anew, or no longer; see [`Settings::max_bytes`]. Applies to the next commit.
    pub fn set_max_bytes(&self, bytes: Option<u64>) {
        self.writer.set_max_bytes(bytes);
    }

    /// Takes no more work. What waits for a full disk is tried once more and then refused with [`Error::Closed`].
    pub fn close(&self) {
        self.writer.stop();
    }

    pub(crate) const fn writer(&self) -> &Writer {
        &self.writer
    }

    async fn claim(&self, run: &RunId, how: Claim) -> Result<Lease, JournalError> {
        let run = run.clone();
        self.writer.ask(0, move |tx, books| writer::claim(tx, books, &run, how)).await
    }
}

#[async_trait]
impl Journal for SqliteJournal {
    async fn lease(&self, run: &RunId) -> Result<Lease, JournalError> {
        self.claim(run, Claim::IfFree).await
    }

    async fn take_over(&self, run: &RunId) -> Result<Lease, JournalError> {
        self.claim(run, Claim::TakeOver).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), JournalError> {
        let lease = lease.clone();
        self.writer.ask(0, move |tx, books| writer::release(tx, books, &lease)).await
    }

    async fn append(&self, lease: &Lease, entries: Vec<Entry>) -> Result<u64, JournalError> {
        let pack = |entry| Packed::new(entry, self.settings.bodies, &self.settings.secrets);
        let entries = entries.into_iter().map(pack).collect::<Result<Vec<_>, _>>()?;
        let size = entries.iter().map(Packed::size).sum();
        if size > LARGEST {
            return Err(Error::Large { size, limit: LARGEST }.into());
        }
        let lease = lease.clone();
        self.writer.ask(size, move |tx, books| writer::append(tx, books, &lease, &entries)).await
    }

    async fn load(&self, run: &RunId) -> Result<Vec<Entry>, JournalError> {
        self.reader.load(run).await
    }

    async fn read(&self, run: &RunId, after: u64, limit: usize) -> Result<Vec<Recorded>, JournalError> {
        self.reader.read(run, after, limit).await
    }

    async fn snapshot(&self, lease: &Lease, seq: u64, state: Vec<u8>) -> Result<(), JournalError> {
        let (hash, size, lease) = (blake3::hash(&state), state.len(), lease.clone());
        if size > LARGEST {
            return Err(Error::Large { size, limit: LARGEST }.into());
        }
        let state = Blob::pack(state);
        let bytes = state.bytes().len();
        self.writer.ask(bytes, move |tx, books| writer::snapshot(tx, books, &lease, seq, (&hash, size, &state))).await
    }

    async fn last_snapshot(&self, run: &RunId) -> Result<Option<Snapshot>, JournalError> {
        self.reader.snapshot(run).await
    }

    async fn runs(&self) -> Result<Vec<RunId>, JournalError> {
        Ok(self.reader.runs().await?.into_iter().map(|info| info.run).collect())
    }
}
