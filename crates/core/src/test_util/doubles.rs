//! Doubles: the simplest thing that keeps a seam's promises.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use async_trait::async_trait;

use crate::call::RunId;
use crate::fact::Fact;
use crate::journal::{Entry, Holder, Journal, JournalError, Lease, Recorded, Snapshot};
use crate::limiter::{Outlook, RateLimiter, Refused};
use crate::observer::Observer;
use crate::permit::{Outcome, Permit, Settle};
use crate::time::Timestamp;
use crate::usage::Demand;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Remembers the facts it heard.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Vec<Fact>>);

impl Recorder {
    /// What was heard so far, in order.
    #[must_use]
    pub fn facts(&self) -> Vec<Fact> {
        lock(&self.0).clone()
    }

    /// How many facts `wanted` picks.
    #[must_use]
    pub fn count(&self, wanted: impl Fn(&Fact) -> bool) -> usize {
        lock(&self.0).iter().filter(|fact| wanted(fact)).count()
    }
}

impl Observer for Recorder {
    fn observe(&self, fact: &Fact) {
        lock(&self.0).push(fact.clone());
    }
}

/// Admits everything at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unlimited;

#[derive(Debug)]
struct Forget;

impl Settle for Forget {
    fn settle(self: Box<Self>, _: Outcome) {}
}

#[async_trait]
impl RateLimiter for Unlimited {
    async fn acquire(&self, demand: Demand, _: Option<Instant>) -> Result<Permit, Refused> {
        Ok(Permit::new(demand, Box::new(Forget)))
    }

    fn outlook(&self, _: Demand) -> Option<Outlook> {
        None
    }
}

/// Remembers runs until it is dropped. Its leases end only when they are given back, and its clock counts entries.
#[derive(Debug, Default)]
pub struct MemoryJournal(Mutex<BTreeMap<RunId, Kept>>);

#[derive(Debug, Default)]
struct Kept {
    epoch: u64,
    held: bool,
    entries: Vec<Recorded>,
    snapshot: Option<Snapshot>,
}

impl MemoryJournal {
    fn writer<T>(&self, lease: &Lease, then: impl FnOnce(&mut Kept) -> T) -> Result<T, JournalError> {
        match lock(&self.0).get_mut(&lease.run) {
            Some(kept) if kept.held && kept.epoch == lease.epoch => Ok(then(kept)),
            _ => Err(JournalError::Fenced { run: lease.run.clone() }),
        }
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn lease(&self, run: &RunId) -> Result<Lease, JournalError> {
        if lock(&self.0).get(run).is_some_and(|kept| kept.held) {
            let (host, forever) = ("memory".to_owned(), Timestamp::from_nanos(u64::MAX));
            let holder = Holder { pid: std::process::id(), host, since: Timestamp::ZERO, until: forever };
            return Err(JournalError::Held { run: run.clone(), holder });
        }
        self.take_over(run).await
    }

    async fn take_over(&self, run: &RunId) -> Result<Lease, JournalError> {
        let mut runs = lock(&self.0);
        let kept = runs.entry(run.clone()).or_default();
        kept.epoch += 1;
        kept.held = true;
        Ok(Lease { run: run.clone(), epoch: kept.epoch })
    }

    async fn release(&self, lease: &Lease) -> Result<(), JournalError> {
        self.writer(lease, |kept| kept.held = false)
    }

    async fn append(&self, lease: &Lease, entries: Vec<Entry>) -> Result<u64, JournalError> {
        self.writer(lease, |kept| {
            for entry in entries {
                let seq = kept.entries.len() as u64 + 1;
                kept.entries.push(Recorded { seq, at: Timestamp::from_nanos(seq), entry });
            }
            kept.entries.len() as u64
        })
    }

    async fn load(&self, run: &RunId) -> Result<Vec<Entry>, JournalError> {
        let kept = self.read(run, 0, usize::MAX).await?;
        Ok(kept.into_iter().map(|recorded| recorded.entry).collect())
    }

    async fn read(&self, run: &RunId, after: u64, limit: usize) -> Result<Vec<Recorded>, JournalError> {
        let runs = lock(&self.0);
        let entries = runs.get(run).map(|kept| &kept.entries[..]).unwrap_or_default();
        Ok(entries.iter().filter(|recorded| recorded.seq > after).take(limit).cloned().collect())
    }

    async fn snapshot(&self, lease: &Lease, seq: u64, state: Vec<u8>) -> Result<(), JournalError> {
        self.writer(lease, |kept| {
            if seq == 0 || seq > kept.entries.len() as u64 {
                return Err(JournalError::Store(format!("there is no entry {seq}").into()));
            }
            kept.snapshot = Some(Snapshot { seq, state });
            Ok(())
        })?
    }

    async fn last_snapshot(&self, run: &RunId) -> Result<Option<Snapshot>, JournalError> {
        Ok(lock(&self.0).get(run).and_then(|kept| kept.snapshot.clone()))
    }

    async fn runs(&self) -> Result<Vec<RunId>, JournalError> {
        Ok(lock(&self.0).keys().cloned().collect())
    }
}
