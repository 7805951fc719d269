//! The wall clock: when things were remembered, and until when a lease lasts.

use std::fmt;
use std::time::SystemTime;

use bellwether_core::Timestamp;

/// Tells the wall time.
pub trait WallClock: fmt::Debug + Send + Sync {
    /// The time since the Unix epoch.
    fn now(&self) -> Timestamp;
}

const _: fn(&dyn WallClock) = |_| {};

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl WallClock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the crate's one home for the wall clock")]
    fn now(&self) -> Timestamp {
        // A machine whose clock stands before 1970 is taken to live in 1970.
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().into()
    }
}

/// Whole milliseconds, as the tables keep them.
pub(crate) fn to_millis(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanos() / 1_000_000).expect("2^64 nanoseconds are fewer than 2^63 milliseconds")
}

/// The reverse of [`to_millis`]; what lies before the epoch becomes the epoch.
pub(crate) fn from_millis(millis: i64) -> Timestamp {
    Timestamp::from_millis(u64::try_from(millis).unwrap_or_default())
}
