//! A journal that writes down what is noted of its runs.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bellwether_core::RunId;
use bellwether_core::journal::{Entry, Journal, JournalError, Lease, Recorded, Snapshot};
use tokio::time::{MissedTickBehavior, interval};

use super::Notebook;

/// Another journal, which a [`Notebook`]'s notes are written into: before each entry of their run, and every fifth of
/// a second while [`attend`](Self::attend) runs.
///
/// Numbers of entries count the notes as well. Nothing is noted before a run's first entry and after its last.
///
/// ```
/// # use std::sync::Arc;
/// # use bellwether_core::{Call, CallContext, Demand, Fact, Observer, RunId, test_util::MemoryJournal};
/// # use bellwether_core::journal::{Entry, Journal};
/// # use bellwether_watch::{Notebook, Noting};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let notebook = Arc::new(Notebook::default());
/// let journal = Noting::new(Arc::new(MemoryJournal::default()), Arc::clone(&notebook));
/// let lease = journal.lease(&RunId::from("r1")).await?;
/// journal.append(&lease, vec![Entry { kind: "run_started".to_owned(), body: "Build it".into() }]).await?;
/// # let context = CallContext { run: Some("r1".into()), ..CallContext::default() };
/// # let demand = Demand { requests: 1, input_tokens: 400, output_tokens: 200 };
/// # let call = Arc::new(Call { context, model: "m".into(), provider: "p".into(), demand });
/// notebook.observe(&Fact::CallQueued { call });
/// journal.append(&lease, vec![Entry { kind: "produced".to_owned(), body: "work".into() }]).await?;
///
/// let kinds: Vec<String> = journal.load(&"r1".into()).await?.into_iter().map(|entry| entry.kind).collect();
/// assert_eq!(kinds, ["run_started", "heard", "produced"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Noting {
    inner: Arc<dyn Journal>,
    notebook: Arc<Notebook>,
}

impl Noting {
    /// Writes the notes of `notebook` into `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Journal>, notebook: Arc<Notebook>) -> Self {
        Self { inner, notebook }
    }

    /// Writes what is noted while a run has nothing to write itself, until it is dropped.
    ///
    /// # Cancel safety
    ///
    /// What was taken to be written may be lost; what is noted afterwards is written with the run's next entry.
    pub async fn attend(&self) {
        let mut ticks = interval(OFTEN);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            for (lease, writing) in self.notebook.waiting() {
                let _written = writing.lock().await;
                if let Some(entry) = self.notebook.take(&lease.run) {
                    // Whoever looks on misses something then; the run misses nothing.
                    let _ = self.inner.append(&lease, vec![entry]).await;
                }
            }
        }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Journal for Noting {
    async fn lease(&self, run: &RunId) -> Result<Lease, JournalError> {
        self.inner.lease(run).await
    }

    async fn take_over(&self, run: &RunId) -> Result<Lease, JournalError> {
        self.inner.take_over(run).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), JournalError> {
        self.notebook.close(&lease.run);
        self.inner.release(lease).await
    }

    async fn append(&self, lease: &Lease, mut entries: Vec<Entry>) -> Result<u64, JournalError> {
        let over = entries.iter().any(|entry| entry.kind == END);
        let writing = self.notebook.writing(&lease.run).filter(|_| over);
        // Notes that were taken to be written come before it, however long that takes.
        let _written = match &writing {
            Some(writing) => Some(writing.lock().await),
            None => None,
        };
        if let Some(notes) = self.notebook.take(&lease.run) {
            entries.insert(0, notes);
        }
        if over {
            // A run's last entry says how it ended; nothing may come after it.
            self.notebook.close(&lease.run);
        }
        let last = self.inner.append(lease, entries).await?;
        if !over {
            // Not before: the first entry of a run is its own, and says what it is.
            self.notebook.open(lease);
        }
        Ok(last)
    }

    async fn load(&self, run: &RunId) -> Result<Vec<Entry>, JournalError> {
        self.inner.load(run).await
    }

    async fn read(&self, run: &RunId, after: u64, limit: usize) -> Result<Vec<Recorded>, JournalError> {
        self.inner.read(run, after, limit).await
    }

    async fn snapshot(&self, lease: &Lease, seq: u64, state: Vec<u8>) -> Result<(), JournalError> {
        self.inner.snapshot(lease, seq, state).await
    }

    async fn last_snapshot(&self, run: &RunId) -> Result<Option<Snapshot>, JournalError> {
        self.inner.last_snapshot(run).await
    }

    async fn runs(&self) -> Result<Vec<RunId>, JournalError> {
        self.inner.runs().await
    }
}

const OFTEN: Duration = Duration::from_millis(200);
/// The kind of a run's last entry.
const END: &str = "run_finished";
