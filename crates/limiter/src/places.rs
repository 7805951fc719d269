//! How many calls may be under way at once.

use std::num::NonZeroU32;
use std::time::Duration;

use bellwether_core::Timestamp;

/// How many calls may be under way at once: what was told, or what is found by additive increase and multiplicative
/// decrease (Chiu and Jain, 1989).
///
/// Only an explicit word makes it smaller: an overload, a refusal for the number of calls. How long an answer takes
/// says nothing, for it grows with the length of the answer. It grows only while at least half of it is used: doubled
/// each second until the first such word, by one a second after it. A tenth goes of what was used, but no more than
/// three quarters of the places at once: what a single call meets hardly comes of too many calls.
///
/// Invariant: `1 <= limit <= most`.
#[derive(Clone, Debug)]
pub struct Places {
    /// The limit, in parts of a place: a tenth less than three is not one less.
    parts: u64,
    most: u32,
    taken: u32,
    /// The most that were taken in this window.
    peak: u32,
    window: Timestamp,
    /// Whether there was no overload yet.
    unhurt: bool,
    reacted_at: Option<Timestamp>,
}

impl Places {
    /// So many places.
    #[must_use]
    pub const fn told(places: NonZeroU32, now: Timestamp) -> Self {
        Self::between(places.get(), places.get(), now)
    }

    /// Begins with 8 and goes up to 1024.
    #[must_use]
    pub const fn hidden(now: Timestamp) -> Self {
        Self::between(FIRST, MOST, now)
    }

    /// As many as anybody wants.
    #[must_use]
    pub const fn unlimited(now: Timestamp) -> Self {
        Self::between(u32::MAX, u32::MAX, now)
    }

    const fn between(limit: u32, most: u32, now: Timestamp) -> Self {
        Self { parts: limit as u64 * PARTS, most, taken: 0, peak: 0, window: now, unhurt: true, reacted_at: None }
    }

    /// The same calls under another rule.
    #[must_use]
    pub(crate) const fn carried_to(self, mut next: Self) -> Self {
        next.taken = self.taken;
        next
    }

    /// Goes on to `now`, and grows if it is time. Whether it did.
    #[inline]
    pub fn tick(&mut self, now: Timestamp) -> bool {
        let limit = self.limit();
        if limit == self.most || now.since(self.window) < WINDOW {
            return false;
        }
        let used = self.peak >= limit.div_ceil(2);
        self.window = now;
        self.peak = self.taken;
        if used {
            let more = if self.unhurt { limit } else { 1 };
            self.parts = u64::from(limit.saturating_add(more).min(self.most)) * PARTS;
        }
        used
    }

    /// Takes one.
    pub fn take(&mut self) {
        self.taken = self.taken.saturating_add(1);
        self.peak = self.peak.max(self.taken);
    }

    /// Gives one back.
    pub fn give(&mut self) {
        self.taken = self.taken.saturating_sub(1);
    }

    /// A call that was sent at `sent` met an overload. Calls under way together react once, and
    /// never twice within a second. Whether it did.
    pub fn overloaded(&mut self, sent: Timestamp, now: Timestamp) -> bool {
        // A provider that refuses at once would otherwise be heard many times in the time of one answer.
        if self.reacted_at.is_some_and(|reacted| sent <= reacted || now.since(reacted) < WINDOW) {
            return false;
        }
        // The call itself, and those that failed together with it, have just given their places back.
        let used = self.peak.max(self.taken.saturating_add(1)).max(self.limit() / 4).min(self.limit());
        self.parts = (self.parts.min(u64::from(used) * PARTS) * 9 / 10).max(PARTS);
        (self.unhurt, self.reacted_at, self.window, self.peak) = (false, Some(now), now, self.taken);
        true
    }

    /// Whether one is free.
    #[inline]
    #[must_use]
    pub const fn has_room(&self) -> bool {
        self.taken < self.limit()
    }

    /// When there is one more, if those that are taken stay taken; `None` if there never will be.
    pub(crate) fn grows_at(&self) -> Option<Timestamp> {
        (self.limit() < self.most && !self.has_room()).then(|| self.window + WINDOW)
    }

    /// How many there are.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "it began as that many whole places, and grows to no more")]
    pub const fn limit(&self) -> u32 {
        ((self.parts + PARTS / 2) / PARTS) as u32
    }

    /// How many are taken.
    #[must_use]
    pub const fn taken(&self) -> u32 {
        self.taken
    }
}

const PARTS: u64 = 10_000;
const FIRST: u32 = 8;
const MOST: u32 = 1024;
const WINDOW: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::{NonZeroU32, Places, Timestamp};

    fn places(n: u32) -> Places {
        Places::told(NonZeroU32::new(n).unwrap(), Timestamp::ZERO)
    }

    #[test]
    fn one_overload_of_few_calls_takes_no_third_of_the_places_and_many_take_all_but_one() {
        let mut places = places(5);
        (0..3).for_each(|_| places.take());
        places.give();
        let mut limits = Vec::new();
        for second in (2..30).step_by(2) {
            let now = Timestamp::from_millis(second * 1_000);
            assert!(places.overloaded(now, now));
            limits.push(places.limit());
        }
        assert_eq!(limits[..3], [3, 2, 2], "2.7, then 2.4 and 2.2");
        assert!(limits.is_sorted_by(|a, b| a >= b) && limits.last() == Some(&1), "{limits:?}");
    }

    #[test]
    fn an_overload_of_a_single_call_leaves_a_quarter_of_many_places() {
        let mut places = places(64);
        let limits = [2, 4, 6].map(|second| {
            let now = Timestamp::from_millis(second * 1_000);
            assert!(places.overloaded(now, now));
            places.limit()
        });
        assert_eq!(limits, [14, 3, 1], "14.4 of 16, then 2.7 of 3, and then nothing is left to doubt");
    }

    #[test]
    fn calls_under_way_together_react_once() {
        let mut places = places(100);
        (0..100).for_each(|_| places.take());
        let now = Timestamp::from_millis(5_000);
        assert!(places.overloaded(Timestamp::ZERO, now));
        assert!(!places.overloaded(Timestamp::ZERO, now), "the same flight");
        assert_eq!(places.limit(), 90);
    }
}
