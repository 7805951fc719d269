//! The one place that reads the clock and arms timers.

use std::pin::Pin;
use std::time::Duration;

use bellwether_core::Timestamp;
use tokio::time::{Instant, Sleep, sleep_until};

/// Counts from the moment it was made, by a clock that tests can pause.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> Timestamp {
        self.stamp(Instant::now())
    }

    pub(crate) fn stamp(self, at: Instant) -> Timestamp {
        Timestamp::from(at.saturating_duration_since(self.0))
    }

    /// Sleeps until then; a moment too far away for the clock is a day away, after which one looks again.
    pub(crate) fn sleep_until(self, at: Timestamp) -> Pin<Box<Sleep>> {
        let since = Duration::from_nanos(at.as_nanos());
        Box::pin(sleep_until(self.0.checked_add(since).unwrap_or_else(|| Instant::now() + DAY)))
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
