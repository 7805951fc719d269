//! What calls did, noted in a journal beside the run.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bellwether_core::fact::HedgeEnd;
use bellwether_core::journal::{Entry, Journal, JournalError, Lease, Recorded, Snapshot};
use bellwether_core::test_util::{MemoryJournal, journal as conforms};
use bellwether_core::{Call, CallContext, Demand, Fact, Flow, Observer, RunId, Usage, Usd};
use bellwether_watch::{Notebook, Noting, notes};

const RUN: &str = "r1";

fn call() -> Arc<Call> {
    let context = CallContext { run: Some(RunId::from(RUN)), ..CallContext::new(Flow::new("pair", RUN, "coder")) };
    let demand = Demand { requests: 1, input_tokens: 400, output_tokens: 200 };
    Arc::new(Call { context, model: "small".into(), provider: "main".into(), demand })
}

fn entry(kind: &str) -> Entry {
    Entry { kind: kind.to_owned(), body: serde_json::Value::Null }
}

fn notebook() -> (Arc<MemoryJournal>, Arc<Notebook>, Arc<Noting>) {
    let (inner, notebook) = (Arc::new(MemoryJournal::default()), Arc::new(Notebook::default()));
    let noting = Noting::new(Arc::<MemoryJournal>::clone(&inner) as Arc<dyn Journal>, Arc::clone(&notebook));
    (inner, notebook, Arc::new(noting))
}

async fn kinds(journal: &dyn Journal) -> Vec<String> {
    journal.load(&RUN.into()).await.expect("it is there").into_iter().map(|entry| entry.kind).collect()
}

#[tokio::test]
async fn a_journal_that_is_noted_in_keeps_the_promises_of_a_journal() {
    conforms(&*notebook().2).await;
}

#[tokio::test]
async fn notes_stand_before_the_entry_that_follows_them_and_none_after_the_end() {
    let (_, notebook, journal) = notebook();
    let lease = journal.lease(&RUN.into()).await.unwrap();
    notebook.observe(&Fact::CallQueued { call: call() });
    journal.append(&lease, vec![entry("run_started")]).await.unwrap();
    notebook.observe(&Fact::CallQueued { call: call() });
    notebook.observe(&Fact::CallHedged { call: call(), end: HedgeEnd::Won });
    notebook.observe(&Fact::QuotaPaused { quota: "main".into(), wait: Duration::from_secs(2) });
    notebook.budget(Usd::from_nanos(5), Usd::from_nanos(7), None);
    journal.append(&lease, vec![entry("began")]).await.unwrap();
    let usage = Usage { input_tokens: Some(3), ..Usage::default() };
    let (took, first_token) = (Duration::from_millis(12), None);
    notebook.observe(&Fact::CallCompleted { call: call(), usage, took, first_token });
    journal.append(&lease, vec![entry("run_finished")]).await.unwrap();
    notebook.observe(&Fact::CallQueued { call: call() });
    journal.release(&lease).await.unwrap();
    assert_eq!(kinds(&*journal).await, ["run_started", "heard", "began", "heard", "run_finished"]);
    let first = journal.load(&RUN.into()).await.unwrap().swap_remove(1).body;
    let what: Vec<&str> = first["notes"].as_array().unwrap().iter().filter_map(|note| note["what"].as_str()).collect();
    assert_eq!(what, ["queued", "hedged", "paused", "budget"], "what was told before the run was there is nobody's");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_only_waits_is_noted_as_well() {
    let (_, notebook, journal) = notebook();
    let lease = journal.lease(&RUN.into()).await.unwrap();
    journal.append(&lease, vec![entry("run_started")]).await.unwrap();
    notebook.observe(&Fact::CallQueued { call: call() });
    let mut attending = tokio::task::JoinSet::new();
    let attended = Arc::clone(&journal);
    attending.spawn(async move { attended.attend().await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(kinds(&*journal).await, ["run_started", "heard"]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(kinds(&*journal).await.len(), 2, "nothing is written when there is nothing to say");
    journal.release(&lease).await.unwrap();
}

/// A journal that takes its time over notes.
#[derive(Debug)]
struct Slow(Arc<MemoryJournal>);

#[async_trait]
impl Journal for Slow {
    async fn lease(&self, run: &RunId) -> Result<Lease, JournalError> {
        self.0.lease(run).await
    }

    async fn take_over(&self, run: &RunId) -> Result<Lease, JournalError> {
        self.0.take_over(run).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), JournalError> {
        self.0.release(lease).await
    }

    async fn append(&self, lease: &Lease, entries: Vec<Entry>) -> Result<u64, JournalError> {
        if entries[0].kind == notes::KIND {
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        self.0.append(lease, entries).await
    }

    async fn load(&self, run: &RunId) -> Result<Vec<Entry>, JournalError> {
        self.0.load(run).await
    }

    async fn read(&self, run: &RunId, after: u64, limit: usize) -> Result<Vec<Recorded>, JournalError> {
        self.0.read(run, after, limit).await
    }

    async fn snapshot(&self, lease: &Lease, seq: u64, state: Vec<u8>) -> Result<(), JournalError> {
        self.0.snapshot(lease, seq, state).await
    }

    async fn last_snapshot(&self, run: &RunId) -> Result<Option<Snapshot>, JournalError> {
        self.0.last_snapshot(run).await
    }

    async fn runs(&self) -> Result<Vec<RunId>, JournalError> {
        self.0.runs().await
    }
}

/// Before, a run that ended while its notes were packed had them for its last entry, and was listed as interrupted.
#[tokio::test(start_paused = true)]
async fn the_end_of_a_run_waits_for_notes_that_are_being_written() {
    let (inner, notebook) = (Arc::new(MemoryJournal::default()), Arc::new(Notebook::default()));
    let journal = Arc::new(Noting::new(Arc::new(Slow(Arc::clone(&inner))), Arc::clone(&notebook)));
    let lease = journal.lease(&RUN.into()).await.unwrap();
    journal.append(&lease, vec![entry("run_started")]).await.unwrap();
    notebook.observe(&Fact::CallQueued { call: call() });
    let mut attending = tokio::task::JoinSet::new();
    let attended = Arc::clone(&journal);
    attending.spawn(async move { attended.attend().await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(kinds(&*inner).await, ["run_started"], "the notes are on their way");
    journal.append(&lease, vec![entry("run_finished")]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(kinds(&*inner).await, ["run_started", "heard", "run_finished"]);
}

#[tokio::test]
async fn notes_beyond_the_room_for_them_are_counted_and_the_run_hears_nothing_of_it() {
    let (_, notebook, journal) = notebook();
    let lease = journal.lease(&RUN.into()).await.unwrap();
    journal.append(&lease, vec![entry("run_started")]).await.unwrap();
    (0..5_000).for_each(|_| notebook.observe(&Fact::CallQueued { call: call() }));
    journal.append(&lease, vec![entry("began")]).await.unwrap();
    let body = journal.load(&RUN.into()).await.unwrap().swap_remove(1).body;
    assert_eq!((body["notes"].as_array().map(Vec::len), body["lost"].as_u64()), (Some(4_096), Some(904)));
}

#[tokio::test]
async fn a_writer_that_was_fenced_off_is_told_so_whatever_was_noted() {
    let (inner, notebook, journal) = notebook();
    let lease = journal.lease(&RUN.into()).await.unwrap();
    journal.append(&lease, vec![entry("run_started")]).await.unwrap();
    inner.take_over(&RUN.into()).await.unwrap();
    notebook.observe(&Fact::CallQueued { call: call() });
    let refused = journal.append(&lease, vec![entry("began")]).await;
    assert!(matches!(refused, Err(JournalError::Fenced { .. })), "{refused:?}");
}
