//! What the tests share.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bellwether_journal::clock::WallClock;
use bellwether_journal::{Entry, RunId, Settings, SqliteJournal, Timestamp};
use serde_json::json;
use tempfile::TempDir;

/// A wall clock that stands still until it is moved.
#[derive(Debug, Default)]
pub(crate) struct Hands(AtomicU64);

impl Hands {
    pub(crate) fn forward(&self, millis: u64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }

    pub(crate) fn back(&self, millis: u64) {
        self.0.fetch_sub(millis, Ordering::SeqCst);
    }
}

impl WallClock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// The defaults without a reserve on the disk.
pub(crate) fn plain() -> Settings {
    Settings { ballast: 0, ..Settings::default() }
}

/// The defaults without a reserve on the disk, by a clock in the test's hand.
pub(crate) fn timed(clock: &Arc<Hands>) -> Settings {
    Settings { clock: Arc::<Hands>::clone(clock), ..plain() }
}

pub(crate) fn open(directory: &Path) -> SqliteJournal {
    SqliteJournal::open(directory, plain()).expect("a journal can be opened in a fresh directory")
}

/// A directory that may forget on power loss, for tests that open many journals.
pub(crate) fn quick_directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory can be made")
}

pub(crate) fn run() -> RunId {
    RunId::from("r1")
}

/// An entry that can be told from all others, as large as one of a real run.
pub(crate) fn entry(n: u64) -> Entry {
    let text = format!("answer {n} ").repeat(80);
    Entry { kind: "call_done".to_owned(), body: json!({ "n": n, "text": text, "usage": { "input": n, "output": 7 } }) }
}

/// A small one.
pub(crate) fn small(n: u64) -> Entry {
    Entry { kind: "step".to_owned(), body: json!({ "n": n }) }
}

/// The way from an error to its cause, as one text.
pub(crate) fn said(error: &dyn std::error::Error) -> String {
    let source = error.source().map(|source| format!(": {}", said(source))).unwrap_or_default();
    format!("{error}{source}")
}
