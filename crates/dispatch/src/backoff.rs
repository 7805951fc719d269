//! How often to try, and how long to wait in between.

use std::time::Duration;

use bellwether_core::Retry;

/// How often to try, and how long to wait in between.
///
/// A 429 is no failed attempt and is not counted here: the limiter decides how long everybody waits, and
/// [`max_throttled_wait`](Self::max_throttled_wait) how long one call takes part in that.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RetryPolicy {
    /// How often a call is tried in all, the first time included; 0 counts as 1.
    pub max_attempts: u32,
    /// The longest pause after the first failure; it doubles with each further one.
    pub base: Duration,
    /// Where the doubling ends.
    pub cap: Duration,
    /// How long one call waits after 429s in all. Also the longest pause a provider can ask a single call for:
    /// if it names a later moment, its error is returned instead.
    pub max_throttled_wait: Duration,
}

impl RetryPolicy {
    /// The longest pause after so many failures: `base * 2^(failures - 1)`, at most `cap`.
    #[must_use]
    pub fn ceiling(&self, failures: u32) -> Duration {
        let doublings = 2u32.saturating_pow(failures.saturating_sub(1));
        self.base.saturating_mul(doublings).min(self.cap)
    }

    /// The pause before the next try, or `None` if there should be none.
    ///
    /// Full jitter: uniform between zero and the ceiling, so that calls that failed together do not return together.
    /// A time the provider named is a floor, with the jitter on top.
    pub(crate) fn pause(&self, hint: Retry, failures: u32, rng: &mut fastrand::Rng) -> Option<Duration> {
        if failures >= self.max_attempts {
            return None;
        }
        match hint {
            Retry::After(floor) if floor > self.max_throttled_wait => None,
            Retry::After(floor) => Some(floor.saturating_add(self.jitter(failures, rng))),
            Retry::Backoff => Some(self.jitter(failures, rng)),
            Retry::Never => None,
            Retry::Now => Some(Duration::ZERO),
        }
    }

    /// A pause between zero and the ceiling after so many failures.
    pub(crate) fn jitter(&self, failures: u32, rng: &mut fastrand::Rng) -> Duration {
        let ceiling = u64::try_from(self.ceiling(failures).as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(rng.u64(0..=ceiling))
    }
}

impl Default for RetryPolicy {
    /// Four tries, pauses of up to 0.5, 1 and 2 seconds, and five minutes of 429s.
    fn default() -> Self {
        Self {
            max_attempts: 4,
            base: Duration::from_millis(500),
            cap: Duration::from_secs(30),
            max_throttled_wait: Duration::from_secs(5 * 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hint() -> impl Strategy<Value = Retry> {
        prop_oneof![
            any::<Duration>().prop_map(Retry::After),
            Just(Retry::Backoff),
            Just(Retry::Never),
            Just(Retry::Now),
        ]
    }

    #[test]
    fn the_ceiling_doubles_up_to_the_cap() {
        let policy = RetryPolicy::default();
        let ceilings: Vec<_> = [1, 2, 3, 6, 7, 8, u32::MAX].map(|n| policy.ceiling(n).as_millis()).to_vec();
        assert_eq!(ceilings, [500, 1_000, 2_000, 16_000, 30_000, 30_000, 30_000]);
    }

    proptest! {
        /// Whatever the policy and the hint: tries are bounded, jitter stays below its ceiling, a floor is kept.
        #[test]
        fn a_pause_keeps_its_bounds(
            (max_attempts, base, cap, max_throttled_wait) in any::<(u32, Duration, Duration, Duration)>(),
            hint in hint(),
            failures in 1u32..,
            seed in any::<u64>(),
        ) {
            let policy = RetryPolicy { max_attempts, base, cap, max_throttled_wait };
            let pause = policy.pause(hint, failures, &mut fastrand::Rng::with_seed(seed));
            if failures >= max_attempts || hint == Retry::Never {
                prop_assert_eq!(pause, None);
                return Ok(());
            }
            match hint {
                Retry::After(floor) if floor > max_throttled_wait => prop_assert_eq!(pause, None),
                Retry::After(floor) => {
                    let pause = pause.expect("a time the provider named is kept");
                    prop_assert!(pause >= floor && pause <= floor.saturating_add(policy.ceiling(failures)));
                }
                Retry::Now => prop_assert_eq!(pause, Some(Duration::ZERO)),
                _ => prop_assert!(pause.expect("there is another try") <= policy.ceiling(failures).min(cap)),
            }
        }
    }
}
