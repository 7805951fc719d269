//! Laws that hold for every interleaving.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bellwether_journal::{Entry, Journal, JournalError, Lease, RunId, Settings, SqliteJournal};
use proptest::prelude::*;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Hands, entry, quick_directory, timed};

#[derive(Clone, Debug)]
enum Step {
    Advance { millis: u64 },
    Append { journal: usize, lease: usize, entries: u64 },
    Lease { journal: usize, run: usize },
    Release { journal: usize, lease: usize },
    Reopen { journal: usize },
    TakeOver { journal: usize, run: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let (journal, run, lease) = (0..2usize, 0..2usize, 0..64usize);
    prop_oneof![
        1 => (0u64..50_000).prop_map(|millis| Step::Advance { millis }),
        6 => (journal.clone(), lease.clone(), 0u64..4)
            .prop_map(|(journal, lease, entries)| Step::Append { journal, lease, entries }),
        3 => (journal.clone(), run.clone()).prop_map(|(journal, run)| Step::Lease { journal, run }),
        1 => (journal.clone(), lease).prop_map(|(journal, lease)| Step::Release { journal, lease }),
        1 => journal.clone().prop_map(|journal| Step::Reopen { journal }),
        1 => (journal, run).prop_map(|(journal, run)| Step::TakeOver { journal, run }),
    ]
}

/// What must be true, in the simplest words.
#[derive(Debug, Default)]
struct Model {
    now: u64,
    entries: BTreeMap<RunId, Vec<Entry>>,
    /// Of each held run: the good lease, the journal that took it, and its end.
    held: BTreeMap<RunId, (Lease, usize, u64)>,
}

struct World {
    directory: TempDir,
    clock: Arc<Hands>,
    journals: Vec<Option<SqliteJournal>>,
    leases: Vec<Lease>,
    model: Model,
}

impl World {
    fn new() -> Self {
        let (directory, clock) = (quick_directory(), Arc::new(Hands::default()));
        let mut world =
            Self { directory, clock, journals: vec![None, None], leases: Vec::new(), model: Model::default() };
        (0..2).for_each(|journal| world.open(journal));
        world
    }

    fn open(&mut self, journal: usize) {
        // Whoever held something through it gives it back first.
        self.journals[journal] = None;
        self.model.held.retain(|_, (_, holder, _)| *holder != journal);
        let settings = Settings { heartbeat: Duration::MAX, ..timed(&self.clock) };
        self.journals[journal] = Some(SqliteJournal::open(self.directory.path(), settings).expect("it can be opened"));
    }

    fn journal(&self, journal: usize) -> &SqliteJournal {
        self.journals[journal].as_ref().expect("open between steps")
    }

    fn took(&mut self, lease: Lease, journal: usize) {
        assert!(self.leases.iter().all(|old| old.epoch < lease.epoch), "the fencing token grows");
        self.leases.push(lease.clone());
        self.model.held.insert(lease.run.clone(), (lease, journal, self.model.now + 60_000));
    }

    async fn take(&mut self, step: Step, counter: &mut u64) {
        match step {
            Step::Advance { millis } => {
                self.model.now += millis;
                self.clock.forward(millis);
            }
            Step::Reopen { journal } => self.open(journal),
            Step::TakeOver { journal, run } => {
                let lease = self.journal(journal).take_over(&name(run)).await.expect("always possible");
                self.took(lease, journal);
            }
            Step::Lease { journal, run } => {
                let blocked = self.model.held.get(&name(run)).is_some_and(|(_, _, until)| *until > self.model.now);
                match self.journal(journal).lease(&name(run)).await {
                    Ok(lease) if !blocked => self.took(lease, journal),
                    Err(JournalError::Held { .. }) if blocked => {}
                    other => panic!("{other:?}, while blocked is {blocked}"),
                }
            }
            Step::Append { journal, lease, entries } => {
                let Some(lease) = self.leases.get(lease % self.leases.len().max(1)).cloned() else { return };
                let entries: Vec<Entry> = (*counter..*counter + entries).map(entry).collect();
                *counter += entries.len() as u64;
                let good = self
                    .model
                    .held
                    .get(&lease.run)
                    .is_some_and(|(held, holder, _)| *held == lease && *holder == journal);
                match self.journal(journal).append(&lease, entries.clone()).await {
                    Ok(last) if good => {
                        let kept = self.model.entries.entry(lease.run.clone()).or_default();
                        kept.extend(entries);
                        assert_eq!(last, kept.len() as u64);
                    }
                    Err(JournalError::Fenced { .. }) if !good => {}
                    other => panic!("{other:?}, while the lease is good: {good}"),
                }
            }
            Step::Release { journal, lease } => {
                let Some(lease) = self.leases.get(lease % self.leases.len().max(1)).cloned() else { return };
                let good = self
                    .model
                    .held
                    .get(&lease.run)
                    .is_some_and(|(held, holder, _)| *held == lease && *holder == journal);
                match self.journal(journal).release(&lease).await {
                    Ok(()) if good => drop(self.model.held.remove(&lease.run)),
                    Err(JournalError::Fenced { .. }) if !good => {}
                    other => panic!("{other:?}, while the lease is good: {good}"),
                }
            }
        }
    }

    async fn matches(&self, journal: usize) {
        for run in (0..2).map(name) {
            let kept = self.journal(journal).load(&run).await.expect("it can be loaded");
            assert_eq!(&kept, self.model.entries.get(&run).unwrap_or(&Vec::new()));
        }
        self.journal(journal).reader().verify().await.expect("nothing is damaged");
    }
}

fn name(run: usize) -> RunId {
    RunId::from(["first", "second"][run])
}

/// Any JSON, with texts around the length from which they are kept apart, and keys that look like ours.
fn json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![".{0,12}", (0usize..900, ".").prop_map(|(n, unit)| unit.repeat(n))];
    let key = prop_oneof![r"\$?\$?\$?(body|hash)", ".{0,6}"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has finite numbers only", |n| n.is_finite()).prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made");
    runtime.block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Whatever two processes do in whatever order, only the latest lease writes, and nothing acknowledged is lost.
    #[test]
    fn leases_fence_in_every_interleaving(steps in prop::collection::vec(step(), 1..40)) {
        block_on(async {
            let (mut world, mut counter) = (World::new(), 0);
            for step in steps {
                world.take(step, &mut counter).await;
            }
            world.matches(0).await;
            world.open(0);
            world.open(1);
            world.matches(1).await;
        });
    }

    /// An entry comes back as it was, to the last bit, whatever it holds.
    #[test]
    fn every_entry_comes_back_as_it_was(bodies in prop::collection::vec(json(), 1..24), kind in ".{0,12}") {
        let entries: Vec<Entry> = bodies.into_iter().map(|body| Entry { kind: kind.clone(), body }).collect();
        let directory = quick_directory();
        let kept = block_on(async {
            let journal = SqliteJournal::open(directory.path(), Settings { ballast: 0, ..Settings::default() });
            let journal = journal.expect("it can be opened");
            let lease = journal.lease(&name(0)).await.expect("nobody holds it");
            journal.append(&lease, entries.clone()).await.expect("it can be written");
            drop(journal);
            bellwether_journal::Reader::open(directory.path()).expect("it is there").load(&name(0)).await
        });
        prop_assert_eq!(kept.expect("it can be read"), entries);
    }
}
