//! The one place that reads the clock and arms timers.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

/// Now, by a clock that tests can pause.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// `later` after `from`; a moment too far away for the clock is a day away, after which one may look again.
pub(crate) fn after(from: Instant, later: Duration) -> Instant {
    from.checked_add(later).unwrap_or(from + DAY)
}

/// What `future` says, or `None` if it says nothing until then.
pub(crate) async fn within<F: Future>(until: Option<Instant>, future: F) -> Option<F::Output> {
    match until {
        Some(until) => timeout_at(until, future).await.ok(),
        None => Some(future.await),
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
