//! What keeps a failing key from being asked too often: the limiter's breaker and retry budget, as dispatch asks them.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bellwether_core::Timestamp;
use bellwether_dispatch::{Guard, Standing, Trial, Verdict};
use bellwether_limiter::{Breaker, BreakerPolicy, Pass, RetryBudget, Why};

/// What comes into the retry budget each second whatever happens, in tokens: a call of a usual size.
const FLOOR: u64 = 4_096;
/// How much of that it holds. It begins full, so that a first failure can be mended.
const MEMORY: Duration = Duration::from_secs(10);

/// How long a key that keeps failing is left alone before one call looks whether it is well again. It does not double:
/// a look costs one call, and waiting longer costs everybody the time between the end of an outage and the next look.
const LOOK: Duration = Duration::from_secs(3);

/// A breaker and a retry budget for the key `name`.
pub(crate) fn guard(name: &str) -> Arc<dyn Guard> {
    // Processes that share a provider must not come back together.
    seeded(RandomState::new().hash_one(name))
}

/// The same, its jitter decided by a seed.
pub(crate) fn seeded(seed: u64) -> Arc<dyn Guard> {
    let policy = BreakerPolicy { first: LOOK, longest: LOOK, ..BreakerPolicy::default() };
    let breaker = Arc::new(Mutex::new(Breaker::new(policy, seed)));
    Arc::new(KeyGuard { breaker, budget: Mutex::new(RetryBudget::new(FLOOR, MEMORY)) })
}

#[derive(Debug)]
struct KeyGuard {
    breaker: Arc<Mutex<Breaker>>,
    budget: Mutex<RetryBudget>,
}

/// A call that the breaker let through. Dropped unjudged, it would keep a half-open breaker waiting; dispatch never
/// does that.
#[derive(Debug)]
struct Sent {
    breaker: Arc<Mutex<Breaker>>,
    pass: Pass,
}

impl Guard for KeyGuard {
    fn admit(&self, now: Timestamp) -> Result<Box<dyn Trial>, Timestamp> {
        let pass = lock(&self.breaker).admit(now)?;
        Ok(Box::new(Sent { breaker: Arc::clone(&self.breaker), pass }))
    }

    fn standing(&self) -> Standing {
        let breaker = lock(&self.breaker);
        match breaker.open_until() {
            Some(until) => Standing::Open { until },
            None if breaker.is_closed() => Standing::Closed,
            None => Standing::HalfOpen,
        }
    }

    fn succeeded(&self, cost: u64, now: Timestamp) {
        lock(&self.budget).succeeded(cost, now + MEMORY);
    }

    fn may_retry(&self, cost: u64, timed_out: bool, now: Timestamp) -> bool {
        let why = if timed_out { Why::TimedOut } else { Why::Failed };
        lock(&self.budget).retry(cost, why, now + MEMORY)
    }
}

impl Trial for Sent {
    fn judge(self: Box<Self>, verdict: Verdict, now: Timestamp) {
        let verdict = match verdict {
            Verdict::Fault => bellwether_limiter::Verdict::Fault,
            Verdict::Fine => bellwether_limiter::Verdict::Fine,
            Verdict::Unknown => bellwether_limiter::Verdict::Unknown,
        };
        lock(&self.breaker).judge(self.pass, verdict, now);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
