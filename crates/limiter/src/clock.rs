//! The clock. Everything else takes the time as a value.

use std::time::Duration;

use bellwether_core::Timestamp;
use tokio::time::Instant;

/// The runtime's clock, so that tests can pause it, counted from when this was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    #[inline]
    pub(crate) fn now(self) -> Timestamp {
        self.stamp(Instant::now())
    }

    #[inline]
    pub(crate) fn stamp(self, at: Instant) -> Timestamp {
        Timestamp::from(at.saturating_duration_since(self.0))
    }

    /// The moment of a timestamp; a century ahead if it is further away than the clock can count.
    pub(crate) fn instant(self, at: Timestamp) -> Instant {
        let after = |nanos| self.0.checked_add(Duration::from_nanos(nanos));
        after(at.as_nanos()).or_else(|| after(CENTURY)).unwrap_or(self.0)
    }
}

const CENTURY: u64 = 100 * 365 * 24 * 60 * 60 * 1_000_000_000;
