//! The one place that reads the wall clock, for dates in headers.

use std::time::SystemTime;

/// The date and time now.
#[expect(clippy::disallowed_methods, reason = "HTTP dates name wall time; it enters here and is passed on")]
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}
