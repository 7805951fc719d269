//! One number that is used up and comes back: by drops, or all at once.

use std::num::NonZeroU32;
use std::time::Duration;

use bellwether_core::time::Timestamp;

use crate::scenario::{Algorithm, Limit};

/// How much of one dimension is left.
#[derive(Clone, Debug)]
pub(super) enum Gauge {
    Bucket(Bucket),
    Window(Window),
}

/// Fills continuously. The level counts in units × nanoseconds per minute, so that no refill is ever rounded.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    depth: u64,
    level: i128,
    per_minute: u64,
    updated: Timestamp,
}

/// A fresh allowance at every multiple of its length.
#[derive(Clone, Debug)]
pub(super) struct Window {
    allowance: u64,
    index: u64,
    length: u64,
    per_minute: u64,
    used: u64,
}

// === impl Gauge ===

impl Gauge {
    /// Full, unless an `old` one of the same kind says what has been used already.
    pub(super) fn new(
        limit: &Limit,
        rate: NonZeroU32,
        burst: Option<NonZeroU32>,
        old: Option<Self>,
        now: Timestamp,
    ) -> Self {
        let per_minute = u64::from(rate.get());
        let during_window = in_time(per_minute, limit.window);
        match (limit.algorithm, old) {
            (Algorithm::FixedWindow, old) => {
                let length = Timestamp::from(limit.window).as_nanos().max(1);
                let index = now.as_nanos() / length;
                let used = match old {
                    Some(Self::Window(old)) if old.length == length && old.index == index => old.used,
                    _ => 0,
                };
                Self::Window(Window { allowance: during_window, index, length, per_minute, used })
            }
            (Algorithm::TokenBucket, old) => {
                let depth = burst.map_or(during_window, |burst| u64::from(burst.get()));
                let level = match old {
                    Some(Self::Bucket(old)) => old.level.min(scaled(depth)),
                    _ => scaled(depth),
                };
                Self::Bucket(Bucket { depth, level, per_minute, updated: now })
            }
        }
    }

    /// Brings it up to `now`; a `now` from before changes nothing.
    pub(super) fn roll(&mut self, now: Timestamp) {
        match self {
            Self::Bucket(bucket) => {
                let elapsed = i128::try_from(now.since(bucket.updated).as_nanos()).expect("a u64 of nanoseconds fits");
                let gained = i128::from(bucket.per_minute) * elapsed;
                bucket.level = (bucket.level + gained).min(scaled(bucket.depth));
                bucket.updated = bucket.updated.max(now);
            }
            Self::Window(window) => {
                let index = now.as_nanos() / window.length;
                if index > window.index {
                    (window.index, window.used) = (index, 0);
                }
            }
        }
    }

    pub(super) fn take(&mut self, amount: u64) {
        match self {
            Self::Bucket(bucket) => bucket.level -= scaled(amount),
            Self::Window(window) => window.used = window.used.saturating_add(amount),
        }
    }

    /// Takes one although it is not there.
    pub(super) fn charge_refusal(&mut self) {
        match self {
            Self::Bucket(bucket) => bucket.level = (bucket.level - scaled(1)).max(-scaled(bucket.depth)),
            Self::Window(window) => window.used = window.used.saturating_add(1),
        }
    }

    /// Replaces what was charged by what was used. A window that has passed since is left alone: its count is gone anyway.
    pub(super) fn correct(&mut self, charged: u64, used: u64, charged_at: Timestamp) {
        match self {
            Self::Bucket(bucket) => {
                bucket.level = (bucket.level + scaled(charged) - scaled(used)).min(scaled(bucket.depth));
            }
            Self::Window(window) if charged_at.as_nanos() / window.length == window.index => {
                window.used = window.used.saturating_sub(charged).saturating_add(used);
            }
            Self::Window(_) => {}
        }
    }

    pub(super) const fn per_minute(&self) -> u64 {
        match self {
            Self::Bucket(bucket) => bucket.per_minute,
            Self::Window(window) => window.per_minute,
        }
    }

    /// The most that can be taken at once.
    pub(super) const fn capacity(&self) -> u64 {
        match self {
            Self::Bucket(bucket) => bucket.depth,
            Self::Window(window) => window.allowance,
        }
    }

    pub(super) fn has(&self, amount: u64) -> bool {
        match self {
            Self::Bucket(bucket) => bucket.level >= scaled(amount),
            Self::Window(window) => window.allowance.saturating_sub(window.used) >= amount,
        }
    }

    pub(super) fn remaining(&self) -> u64 {
        match self {
            Self::Bucket(bucket) => u64::try_from(bucket.level.div_euclid(MINUTE)).unwrap_or(0),
            Self::Window(window) => window.allowance.saturating_sub(window.used),
        }
    }

    /// When `amount` will be there, rounded up to the next nanosecond; none if it never will.
    pub(super) fn ready_at(&self, amount: u64, now: Timestamp) -> Option<Timestamp> {
        if amount > self.capacity() {
            return None;
        }
        match self {
            Self::Bucket(bucket) => Some(now + bucket.time_to(scaled(amount))),
            Self::Window(window) if window.allowance.saturating_sub(window.used) >= amount => Some(now),
            Self::Window(window) => Some(window.end()),
        }
    }

    /// When everything will be there again.
    pub(super) fn full_at(&self, now: Timestamp) -> Timestamp {
        match self {
            Self::Bucket(bucket) => now + bucket.time_to(scaled(bucket.depth)),
            Self::Window(window) if window.used == 0 => now,
            Self::Window(window) => window.end(),
        }
    }
}

// === impl Bucket ===

impl Bucket {
    fn time_to(&self, level: i128) -> Duration {
        let missing = u128::try_from(level - self.level).unwrap_or(0);
        let nanos = missing.div_ceil(u128::from(self.per_minute));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

// === impl Window ===

impl Window {
    fn end(&self) -> Timestamp {
        Timestamp::from_nanos(self.index.saturating_add(1).saturating_mul(self.length))
    }
}

fn scaled(amount: u64) -> i128 {
    i128::from(amount) * MINUTE
}

/// What comes in during `time`, at least one: a limit that lets nothing through at all is not meant.
fn in_time(per_minute: u64, time: Duration) -> u64 {
    let nanos = time.as_nanos().min(u128::from(u64::MAX));
    let during = u128::from(per_minute) * nanos / MINUTE.unsigned_abs();
    u64::try_from(during).unwrap_or(u64::MAX).max(1)
}

const MINUTE: i128 = 60_000_000_000;
