//! How long everybody on a key stays away after a 429, as a value.

use std::time::Duration;

use bellwether_core::Timestamp;

/// The pause that all calls on one key share.
///
/// Invariant: `until` never moves back.
#[derive(Debug, Default)]
pub(super) struct Pause {
    until: Timestamp,
    /// When the last throttle was heard; calls sent until then tell nothing new.
    heard: Option<Timestamp>,
    /// Throttles in a row that named no time.
    streak: u32,
}

impl Pause {
    /// A call that was sent at `sent` was asked to slow down.
    ///
    /// Without a time to stay away it is one second, doubled each time in a row. Calls in flight together are
    /// throttled together; that is one event, and doubles once.
    pub(super) fn throttled(&mut self, sent: Timestamp, now: Timestamp, retry_after: Option<Duration>) {
        let news = self.is_news(sent);
        let wait = match retry_after.filter(|wait| !wait.is_zero()) {
            Some(wait) => wait.min(LONGEST_NAMED),
            None => {
                self.streak = if news { self.streak.saturating_add(1) } else { self.streak.max(1) };
                FIRST.saturating_mul(2u32.saturating_pow(self.streak - 1)).min(LONGEST_UNNAMED)
            }
        };
        if news {
            self.heard = Some(now);
        }
        self.until = self.until.max(now + wait);
    }

    /// A call that was sent at `sent` was answered. If it was sent after the last throttle, that one is forgotten.
    pub(super) fn succeeded(&mut self, sent: Timestamp) {
        if self.is_news(sent) {
            self.streak = 0;
        }
    }

    /// When the pause ends; `None` if there is none.
    pub(super) fn ends(&self, now: Timestamp) -> Option<Timestamp> {
        (self.until > now).then_some(self.until)
    }

    fn is_news(&self, sent: Timestamp) -> bool {
        self.heard.is_none_or(|heard| sent > heard)
    }
}

const FIRST: Duration = Duration::from_secs(1);
const LONGEST_UNNAMED: Duration = Duration::from_secs(30);
/// Nobody is kept away longer on one word; after it one call may ask again.
const LONGEST_NAMED: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn throttles_in_a_row_double_the_pause_until_a_success() {
        let mut pause = Pause::default();
        let mut now = at(10);
        let mut waits = Vec::new();
        for _ in 0..7 {
            pause.throttled(now, now + Duration::from_millis(1), None);
            let until = pause.ends(now).unwrap();
            waits.push(until.since(now + Duration::from_millis(1)).as_secs());
            now = until;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        pause.succeeded(now);
        pause.throttled(now, now, None);
        assert_eq!(pause.ends(now), Some(now + Duration::from_secs(1)));
    }

    #[test]
    fn calls_that_were_in_flight_together_double_once() {
        let mut pause = Pause::default();
        for _ in 0..8 {
            pause.throttled(at(0), at(1), None);
        }
        assert_eq!(pause.ends(at(1)), Some(at(2)));
        pause.succeeded(at(0));
        pause.throttled(at(2), at(2), None);
        assert_eq!(pause.ends(at(2)), Some(at(4)), "a success that was sent before the throttle forgets nothing");
    }

    #[test]
    fn a_time_that_was_named_is_kept_unless_it_is_absurd() {
        let mut pause = Pause::default();
        pause.throttled(at(0), at(0), Some(Duration::from_secs(7)));
        assert_eq!(pause.ends(at(0)), Some(at(7)));
        pause.throttled(at(7), at(7), Some(Duration::ZERO));
        assert_eq!(pause.ends(at(7)), Some(at(8)), "to come back at once is no answer to too many requests");
        pause.throttled(at(8), at(8), Some(Duration::MAX));
        assert_eq!(pause.ends(at(8)), Some(at(8 + 3_600)));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Succeeded { sent: u64 },
        Throttled { sent: u64, retry_after: Option<Duration> },
    }

    fn step() -> impl Strategy<Value = Step> {
        let retry_after = prop::option::of(any::<Duration>());
        prop_oneof![
            any::<u64>().prop_map(|sent| Step::Succeeded { sent }),
            (any::<u64>(), retry_after).prop_map(|(sent, retry_after)| Step::Throttled { sent, retry_after }),
        ]
    }

    proptest! {
        /// The end of the pause never moves back, a throttle always means one, and none is longer than an hour.
        #[test]
        fn the_end_of_the_pause_never_moves_back(steps in prop::collection::vec((any::<u32>(), step()), 0..40)) {
            let mut pause = Pause::default();
            let mut now = Timestamp::ZERO;
            for (later, step) in steps {
                now = now + Duration::from_micros(u64::from(later));
                let before = pause.until;
                match step {
                    Step::Succeeded { sent } => pause.succeeded(Timestamp::from_nanos(sent)),
                    Step::Throttled { sent, retry_after } => {
                        pause.throttled(Timestamp::from_nanos(sent), now, retry_after);
                        let ends = pause.ends(now);
                        prop_assert!(ends.is_some(), "everybody stays away");
                        if let Some(named) = retry_after.filter(|named| !named.is_zero()) {
                            prop_assert!(ends >= Some(now + named.min(LONGEST_NAMED)));
                        }
                    }
                }
                prop_assert!(pause.until >= before);
                prop_assert!(pause.until.since(now) <= LONGEST_NAMED);
            }
        }
    }
}
