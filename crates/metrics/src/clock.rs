//! The wall clock, and its only home in this crate.

use std::time::SystemTime;

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "the crate's one home for the wall clock")]
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
