//! What reports in a row say together.

use std::time::Duration;

use bellwether_core::Timestamp;
use bellwether_core::permit::Level;

#[derive(Clone, Debug, Default)]
pub(super) struct Reports {
    /// The level the last report proved, if it was above what we thought.
    higher: Option<i64>,
    /// When the limit will be full, as reported at a moment.
    full: Option<(Timestamp, Timestamp)>,
    /// Reports in a row that named the same end.
    same_end: u32,
}

impl Reports {
    /// What two reports in a row agree on, if both are above what we thought. One alone may be a mistake.
    pub(super) fn higher(&mut self, here: i64, modelled: i64, burst: u64) -> Option<u64> {
        let notable = modelled.saturating_add(i64::try_from(burst / 50).unwrap_or(i64::MAX)).saturating_add(1);
        if here <= notable {
            self.higher = None;
            return None;
        }
        let agreed = self.higher.replace(here)?.min(here);
        u64::try_from(agreed).ok()
    }

    /// The end of the window, if this is a limit that comes back all at once, and it is used up.
    ///
    /// A window ends at a moment that stays the same from report to report, while the moment at which a bucket is full
    /// moves on with every request.
    pub(super) fn closed_until(&mut self, level: &Level, remaining: u64, now: Timestamp) -> Option<Timestamp> {
        let end = now + level.reset.filter(|reset| *reset <= LONGEST_WINDOW)?;
        let Some((told_at, old)) = self.full else {
            self.full = Some((now, end));
            return None;
        };
        let passed = now.since(told_at);
        if passed >= APART {
            let moved = end.since(old).max(old.since(end));
            self.same_end = if moved * 5 < passed { self.same_end.saturating_add(1) } else { 0 };
            self.full = Some((now, end));
        }
        (self.same_end >= SURE && remaining == 0).then_some(end)
    }
}

const APART: Duration = Duration::from_secs(1);
const SURE: u32 = 3;
const LONGEST_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);
