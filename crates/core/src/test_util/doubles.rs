//! Doubles: the simplest thing that keeps a seam's promises.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use async_trait::async_trait;

use crate::call::RunId;
use crate::fact::Fact;
use crate::journal::{Entry, Journal, JournalError, Lease};
use crate::limiter::{Outlook, RateLimiter, Refused};
use crate::observer::Observer;
use crate::permit::{Outcome, Permit, Settle};
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

/// Remembers runs until it is dropped.
#[derive(Debug, Default)]
pub struct MemoryJournal(Mutex<BTreeMap<RunId, (u64, Vec<Entry>)>>);

#[async_trait]
impl Journal for MemoryJournal {
    async fn lease(&self, run: &RunId) -> Result<Lease, JournalError> {
        let mut runs = lock(&self.0);
        let (epoch, _) = runs.entry(run.clone()).or_default();
        *epoch += 1;
        Ok(Lease { run: run.clone(), epoch: *epoch })
    }

    async fn append(&self, lease: &Lease, entries: Vec<Entry>) -> Result<(), JournalError> {
        match lock(&self.0).get_mut(&lease.run) {
            Some((epoch, kept)) if *epoch == lease.epoch => {
                kept.extend(entries);
                Ok(())
            }
            _ => Err(JournalError::Fenced { run: lease.run.clone() }),
        }
    }

    async fn load(&self, run: &RunId) -> Result<Vec<Entry>, JournalError> {
        Ok(lock(&self.0).get(run).map(|(_, entries)| entries.clone()).unwrap_or_default())
    }

    async fn runs(&self) -> Result<Vec<RunId>, JournalError> {
        Ok(lock(&self.0).keys().cloned().collect())
    }
}
