//! So much in so long, in whole numbers.

use std::num::NonZeroU64;
use std::time::Duration;

/// So much in so long.
///
/// Both numbers are whole, so that a third of a token a second is kept as it is and not as a rounded fraction.
///
/// ```
/// use std::time::Duration;
/// use bellwether_limiter::Rate;
///
/// assert_eq!(Rate::per_minute(600).in_time(Duration::from_secs(5)), 50);
/// assert_eq!(Rate::new(14_400, Duration::from_secs(86_400)).in_time(Duration::from_secs(7)), 1);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    amount: NonZeroU64,
    nanos: NonZeroU64,
}

impl Rate {
    /// `amount` in every `time`. Nothing at all is not meant: 0 counts as 1, and no time as a nanosecond.
    #[must_use]
    pub fn new(amount: u64, time: Duration) -> Self {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).min(LONGEST);
        Self { amount: at_least_one(amount), nanos: at_least_one(nanos) }
    }

    /// `amount` a second; 0 counts as 1.
    #[must_use]
    pub fn per_second(amount: u64) -> Self {
        Self::new(amount, Duration::from_secs(1))
    }

    /// `amount` a minute; 0 counts as 1.
    #[must_use]
    pub fn per_minute(amount: u64) -> Self {
        Self::new(amount, Duration::from_secs(60))
    }

    /// What comes in during `time`, rounded down.
    #[must_use]
    pub fn in_time(self, time: Duration) -> u64 {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let amount = u128::from(self.amount.get()) * u128::from(nanos) / u128::from(self.nanos.get());
        u64::try_from(amount).unwrap_or(u64::MAX)
    }

    /// The rate per second, for people and for estimates.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "estimates and reports; buckets reckon with the whole numbers")]
    pub fn as_per_second(self) -> f64 {
        self.amount.get() as f64 * 1e9 / self.nanos.get() as f64
    }

    /// The rate that is nearest to so much a second, from one in a day upwards.
    pub(crate) fn estimated(per_second: f64) -> Self {
        let amount = (per_second.max(1.0 / 86_400.0) * 1e6).round().min(1e18);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 1e18")]
        Self { amount: at_least_one(amount as u64), nanos: at_least_one(ESTIMATED) }
    }

    /// Twice as much in the same time.
    pub(crate) fn twice(self) -> Self {
        Self { amount: at_least_one(self.amount.get().saturating_mul(2)), ..self }
    }

    pub(crate) const fn amount(self) -> u64 {
        self.amount.get()
    }

    pub(crate) const fn nanos(self) -> u64 {
        self.nanos.get()
    }
}

fn at_least_one(number: u64) -> NonZeroU64 {
    NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN)
}

/// A window of eleven days, so that products with it stay far inside of 127 bits.
const LONGEST: u64 = 1_000_000_000_000_000;
/// Estimates count what comes in during a million seconds: 1 a minute is kept to a hundredth of a percent.
const ESTIMATED: u64 = LONGEST;
