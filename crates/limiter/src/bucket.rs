//! One budget: it fills at a rate up to a burst, and may be overdrawn by one request that is larger than the burst.

use std::time::Duration;

use bellwether_core::Timestamp;

use crate::rate::Rate;

/// A budget that fills at a rate, up to a burst.
///
/// This is the token bucket, equal to the generic cell rate algorithm (ITU-T I.371), kept in whole numbers: the level
/// is counted in units times the rate's window, of which exactly `amount` come in per nanosecond. Nothing is rounded,
/// so no remainder has to be carried, and what is let through in the long run is the rate to the last unit.
///
/// A cost above the burst is let through when the bucket is full, and leaves a debt that is worked off before anybody
/// else is let through. So a large request never fails and never waits for ever.
///
/// ```
/// use bellwether_core::Timestamp;
/// use bellwether_limiter::{Bucket, Rate};
///
/// let mut bucket = Bucket::new(Rate::per_minute(60), 1, Timestamp::ZERO);
/// assert_eq!(bucket.ready_at(1, Timestamp::ZERO), Timestamp::ZERO);
/// bucket.take(1);
/// assert_eq!(bucket.ready_at(1, Timestamp::ZERO), Timestamp::from_millis(1_000));
/// ```
///
/// Invariants: `capacity` is `burst × rate.nanos()`; `level <= capacity`; `at` never moves back.
#[derive(Clone, Debug)]
pub struct Bucket {
    rate: Rate,
    burst: u64,
    capacity: i128,
    level: i128,
    at: Timestamp,
}

impl Bucket {
    /// A full bucket; a burst of 0 counts as 1.
    #[must_use]
    pub fn new(rate: Rate, burst: u64, now: Timestamp) -> Self {
        let burst = burst.max(1);
        Self { rate, burst, capacity: scaled(burst, rate), level: scaled(burst, rate), at: now }
    }

    /// Fills up to `now`. Says for how long the bucket was full meanwhile, so that nothing came in.
    ///
    /// A clock that went back fills nothing.
    pub fn refill(&mut self, now: Timestamp) -> Duration {
        let nanos = now.as_nanos().saturating_sub(self.at.as_nanos());
        let idle = self.fill(now) / i128::from(self.rate.amount());
        Duration::from_nanos(u64::try_from(idle).unwrap_or(u64::MAX).min(nanos))
    }

    /// Fills up to `now`, and says how much ran over. It costs less than [`refill`](Self::refill), which divides.
    #[inline]
    pub(crate) fn fill(&mut self, now: Timestamp) -> i128 {
        let nanos = now.as_nanos().saturating_sub(self.at.as_nanos());
        if nanos == 0 {
            return 0;
        }
        self.at = now;
        // Below 2^62 × 2^64, and the level is below 2^114.
        let filled = self.level + i128::from(nanos.min(LONGEST_FILL)) * i128::from(self.rate.amount());
        self.level = filled.min(self.capacity);
        (filled - self.capacity).max(0)
    }

    /// Whether `cost` is let through as it stands.
    #[inline]
    pub(crate) fn has(&self, cost: u64) -> bool {
        self.level >= scaled(cost.min(self.burst), self.rate)
    }

    /// Takes `cost`, whether or not it is there.
    #[inline]
    pub fn take(&mut self, cost: u64) {
        self.level = self.level.saturating_sub(scaled(cost, self.rate));
    }

    /// Gives `amount` back, up to the burst.
    #[inline]
    pub fn give(&mut self, amount: u64) {
        self.level = self.level.saturating_add(scaled(amount, self.rate)).min(self.capacity);
    }

    /// Leaves no more than `left` in it.
    pub fn lower_to(&mut self, left: i64) {
        self.level = self.level.min(i128::from(left).saturating_mul(i128::from(self.rate.nanos())));
    }

    /// Leaves no less than `left` in it, up to the burst.
    pub fn raise_to(&mut self, left: u64) {
        self.level = self.level.max(scaled(left, self.rate).min(self.capacity));
    }

    /// Leaves no more than so much debt.
    pub(crate) fn owe_at_most(&mut self, debt: u64) {
        self.level = self.level.max(-scaled(debt, self.rate));
    }

    /// Lets nothing come in until then.
    pub fn freeze_until(&mut self, until: Timestamp) {
        self.at = self.at.max(until);
    }

    /// Up to when it is filled; later than now while it is frozen.
    #[must_use]
    pub const fn filled_at(&self) -> Timestamp {
        self.at
    }

    /// Fills at another rate from `now` on, up to another burst. Never adds to what is there.
    pub fn change(&mut self, rate: Rate, burst: u64, now: Timestamp) {
        self.refill(now);
        if rate.nanos() != self.rate.nanos() {
            self.level = rescaled(self.level, self.rate.nanos(), rate.nanos());
        }
        self.rate = rate;
        self.burst = burst.max(1);
        self.capacity = scaled(self.burst, rate);
        self.level = self.level.min(self.capacity);
    }

    /// The first moment, not before `now`, at which `cost` is let through if nobody else takes anything.
    #[must_use]
    pub fn ready_at(&self, cost: u64, now: Timestamp) -> Timestamp {
        self.reaches_at(scaled(cost.min(self.burst), self.rate), now)
    }

    /// The same for somebody who stands behind others who want `ahead` together.
    #[must_use]
    pub fn ready_behind(&self, ahead: u64, cost: u64, now: Timestamp) -> Timestamp {
        let level = scaled(ahead, self.rate).saturating_add(scaled(cost.min(self.burst), self.rate));
        self.reaches_at(level, now)
    }

    /// What is there now, in whole units, rounded down; negative while there is a debt.
    #[must_use]
    pub fn level(&self, now: Timestamp) -> i64 {
        let mut filled = self.clone();
        filled.refill(now);
        let units = filled.level.div_euclid(i128::from(self.rate.nanos()));
        i64::try_from(units).unwrap_or(i64::MIN)
    }

    /// How fast it fills.
    #[must_use]
    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// How much it holds.
    #[must_use]
    pub const fn burst(&self) -> u64 {
        self.burst
    }

    fn reaches_at(&self, level: i128, now: Timestamp) -> Timestamp {
        let missing = level - self.level;
        if missing <= 0 {
            return now;
        }
        let nanos = missing.unsigned_abs().div_ceil(u128::from(self.rate.amount()));
        now.max(self.at + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }
}

/// A hundred and forty years.
const LONGEST_FILL: u64 = 1 << 62;

#[inline]
fn scaled(units: u64, rate: Rate) -> i128 {
    // Below 2^64 × 2^50.
    i128::from(units) * i128::from(rate.nanos())
}

/// The same level in another window's measure, rounded down.
fn rescaled(level: i128, from: u64, to: u64) -> i128 {
    let (from, to) = (i128::from(from), i128::from(to));
    let (whole, rest) = (level.div_euclid(from), level.rem_euclid(from));
    whole.saturating_mul(to).saturating_add(rest * to / from)
}
