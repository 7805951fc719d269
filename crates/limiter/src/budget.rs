//! How much may be spent on trying again.

use std::time::Duration;

use bellwether_core::Timestamp;

/// A budget for retries, counted in what they cost.
///
/// Successes pay in a tenth of their cost, and a little comes in with time, so that a quiet client can retry too. A
/// retry takes its cost; one after a timeout takes twice that, for its first try may still be running. So while a
/// provider fails, retries add a tenth to the load and not a multiple of it (Finagle's retry budget; the AWS SDKs'
/// token bucket).
///
/// ```
/// use std::time::Duration;
/// use bellwether_core::Timestamp;
/// use bellwether_limiter::{RetryBudget, Why};
///
/// let mut budget = RetryBudget::new(1_000, Duration::from_secs(10));
/// let now = Timestamp::ZERO;
/// assert!(!budget.retry(1_000, Why::Failed, now), "it begins empty");
/// budget.succeeded(10_000, now);
/// assert!(budget.retry(1_000, Why::Failed, now));
/// ```
///
/// Invariant: `0 <= level <= cap`, in thousandths.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    level: u128,
    cap: u128,
    /// What comes in per second whatever happens, in thousandths.
    floor: u128,
    at: Timestamp,
    /// What is left over of a thousandth, in billionths of it.
    rest: u128,
}

/// Why a call is tried again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// It failed.
    Failed,
    /// Nothing was heard of it.
    TimedOut,
}

impl RetryBudget {
    /// A budget into which `floor` comes in per second whatever happens: the cost of one usual call, for one retry a
    /// second. It holds what comes in during `memory` if as much succeeds as ten times the floor.
    #[must_use]
    pub fn new(floor: u64, memory: Duration) -> Self {
        let floor = u128::from(floor.max(1)) * THOUSAND;
        let cap = floor.saturating_mul(memory.as_millis().max(1_000)) / 1_000;
        Self { level: 0, cap, floor, at: Timestamp::ZERO, rest: 0 }
    }

    /// A call of this cost succeeded.
    pub fn succeeded(&mut self, cost: u64, now: Timestamp) {
        self.advance(now);
        self.level = self.level.saturating_add(u128::from(cost) * SHARE).min(self.cap);
    }

    /// Whether a call of this cost may be tried again now; takes what that costs if so, and nothing if not.
    pub fn retry(&mut self, cost: u64, why: Why, now: Timestamp) -> bool {
        self.advance(now);
        let factor = match why {
            Why::Failed => 1,
            Why::TimedOut => 2,
        };
        // A call that is larger than the whole budget may be retried when the budget is full.
        let price = (u128::from(cost) * THOUSAND * factor).min(self.cap);
        let enough = self.level >= price;
        if enough {
            self.level -= price;
        }
        enough
    }

    /// What is there, in units of cost.
    #[must_use]
    pub fn level(&self) -> u64 {
        u64::try_from(self.level / THOUSAND).unwrap_or(u64::MAX)
    }

    fn advance(&mut self, now: Timestamp) {
        let nanos = now.since(self.at).as_nanos();
        self.at = self.at.max(now);
        let came = self.floor.saturating_mul(nanos).saturating_add(self.rest);
        self.rest = came % SECOND;
        self.level = self.level.saturating_add(came / SECOND).min(self.cap);
    }
}

const THOUSAND: u128 = 1_000;
/// A tenth, in thousandths.
const SHARE: u128 = 100;
const SECOND: u128 = 1_000_000_000;
