//! How long to wait before the next try of one call.

use std::time::Duration;

/// Exponential backoff with full jitter: before the n-th retry anything from nothing to `base × 2^(n-1)`, at most
/// `cap`, each as likely (the AWS architecture blog, "Exponential backoff and jitter", 2015).
///
/// It is meant for failures of single calls. A 429 needs none: the pause that all calls share takes care of it.
///
/// ```
/// use std::time::Duration;
/// use bellwether_limiter::Backoff;
///
/// let backoff = Backoff::default();
/// let mut rng = fastrand::Rng::with_seed(7);
/// assert!(backoff.pause(1, &mut rng).unwrap() <= Duration::from_millis(500));
/// assert_eq!(backoff.pause(4, &mut rng), None, "four attempts are three retries");
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Backoff {
    /// The most to wait before the first retry.
    pub base: Duration,
    /// The most to wait at all.
    pub cap: Duration,
    /// How often a call is sent at most, the first time included.
    pub attempts: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_millis(500), cap: Duration::from_secs(30), attempts: 4 }
    }
}

impl Backoff {
    /// How long to wait before retry number `retry`, counted from 1; `None` if there is none.
    #[must_use]
    pub fn pause(&self, retry: u32, rng: &mut fastrand::Rng) -> Option<Duration> {
        let most = self.longest(retry)?;
        let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        Some(Duration::from_nanos(rng.u64(0..=nanos)))
    }

    /// The most that [`pause`](Self::pause) says.
    #[must_use]
    pub fn longest(&self, retry: u32) -> Option<Duration> {
        if retry == 0 || retry >= self.attempts {
            return None;
        }
        let factor = 2u32.saturating_pow(retry - 1);
        Some(self.base.saturating_mul(factor).min(self.cap))
    }
}
