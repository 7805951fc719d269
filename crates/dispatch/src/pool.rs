//! A quota of so many calls at a time, with one pause for all.

mod pause;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant as StdInstant};

use async_trait::async_trait;
use bellwether_core::limiter::{Outlook, Refused, WaitReason};
use bellwether_core::{Demand, Outcome, Permit, RateLimiter, Settle, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use crate::clock;
use pause::Pause;

/// A quota of so many calls at a time, with one pause for all.
///
/// Places are given in the order of asking. When a provider asks to slow down, nobody gets one until the moment it
/// named; without a moment the pause is one second, doubling up to thirty while it happens again, and the next success
/// forgets that. It counts neither requests nor tokens, and never asks for fewer calls than it has places.
///
/// One pool stands for one key; all who share the key share the pool.
#[derive(Debug)]
pub struct PermitPool(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    places: Arc<Semaphore>,
    /// Whoever is next waits here alone for a place and for the end of the pause, with the one timer.
    gate: tokio::sync::Mutex<()>,
    pause: Mutex<Pause>,
    origin: Instant,
}

impl PermitPool {
    /// A pool for `places` calls at a time.
    #[must_use]
    pub fn new(places: NonZeroUsize) -> Self {
        Self(Arc::new(Pool {
            places: Arc::new(Semaphore::new(places.get().min(Semaphore::MAX_PERMITS))),
            gate: tokio::sync::Mutex::new(()),
            pause: Mutex::default(),
            origin: clock::now(),
        }))
    }

    /// How many places are free at the moment.
    #[must_use]
    pub fn free(&self) -> usize {
        self.0.places.available_permits()
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl RateLimiter for PermitPool {
    async fn acquire(&self, demand: Demand, deadline: Option<StdInstant>) -> Result<Permit, Refused> {
        let deadline = deadline.map(Instant::from_std);
        self.0.refuse_if_paused_beyond(deadline)?;
        let admitted = clock::within(deadline, self.0.admit(deadline)).await;
        let place = admitted.unwrap_or(Err(Refused { wait: None }))?;
        let sent = self.0.stamp(clock::now());
        Ok(Permit::new(demand, Box::new(Hold { pool: Arc::clone(&self.0), sent, _place: place })))
    }

    fn outlook(&self, _: Demand) -> Option<Outlook> {
        let now = self.0.stamp(clock::now());
        if let Some(ends) = self.0.pause().ends(now) {
            return Some(Outlook { reason: WaitReason::Pause, wait: Some(ends.since(now)) });
        }
        (self.free() == 0).then_some(Outlook { reason: WaitReason::Concurrency, wait: None })
    }
}

// === impl Pool ===

impl Pool {
    async fn admit(&self, deadline: Option<Instant>) -> Result<OwnedSemaphorePermit, Refused> {
        let _head = self.gate.lock().await;
        let place = Arc::clone(&self.places).acquire_owned().await.expect("the semaphore is never closed");
        // The pause may have been prolonged while this one slept.
        while let Some(ends) = self.refuse_if_paused_beyond(deadline)? {
            sleep_until(clock::after(self.origin, Duration::from_nanos(ends.as_nanos()))).await;
        }
        Ok(place)
    }

    /// When the pause ends, if there is one; refuses if that is not before the deadline.
    fn refuse_if_paused_beyond(&self, deadline: Option<Instant>) -> Result<Option<Timestamp>, Refused> {
        let now = self.stamp(clock::now());
        let ends = self.pause().ends(now);
        match (ends, deadline.map(|deadline| self.stamp(deadline))) {
            (Some(ends), Some(deadline)) if deadline <= ends => Err(Refused { wait: Some(ends.since(now)) }),
            _ => Ok(ends),
        }
    }

    fn pause(&self) -> MutexGuard<'_, Pause> {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stamp(&self, at: Instant) -> Timestamp {
        Timestamp::from(at.saturating_duration_since(self.origin))
    }
}

/// A place, and the memory of when it was given.
#[derive(Debug)]
struct Hold {
    pool: Arc<Pool>,
    sent: Timestamp,
    _place: OwnedSemaphorePermit,
}

impl Settle for Hold {
    fn settle(self: Box<Self>, outcome: Outcome) {
        match outcome {
            Outcome::Completed { .. } => self.pool.pause().succeeded(self.sent),
            Outcome::Throttled { limits } => {
                let now = self.pool.stamp(clock::now());
                self.pool.pause().throttled(self.sent, now, limits.retry_after);
            }
            _ => {}
        }
    }
}
