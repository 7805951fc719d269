//! The only place that reads a clock or waits.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bellwether_core::time::Timestamp;
use tokio::time::Instant;

/// Time since the server's start, and the wall time that answers carry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    started_unix: Duration,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the clock's one home: wall time enters here, for `created` fields")]
    pub(crate) fn start() -> Self {
        let started_unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), started_unix }
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from(self.started.elapsed())
    }

    /// Seconds since 1970.
    pub(crate) fn unix_seconds(&self) -> u64 {
        (self.started_unix + self.started.elapsed()).as_secs()
    }

    pub(crate) async fn sleep_until(&self, moment: Timestamp) {
        tokio::time::sleep_until(self.started + moment.since(Timestamp::ZERO)).await;
    }
}
