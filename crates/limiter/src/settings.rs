//! What a quota is told at the start, and may be told anew at any time.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::rate::Rate;

/// What is known about the limits of one key. What is not known is found.
///
/// ```
/// use bellwether_limiter::{Limit, Limits, Rate, Settings};
///
/// let told = Settings {
///     limits: Limits {
///         requests: Limit::told(Rate::per_minute(600)),
///         tokens: Limit::told(Rate::per_minute(200_000)),
///         ..Limits::default()
///     },
///     ..Settings::default()
/// };
/// assert_ne!(told, Settings::default(), "by default all limits are hidden");
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The limits.
    pub limits: Limits,
    /// What the provider counts in the end.
    pub charges: Charges,
    /// What of its cached input a call is charged.
    pub cached: Cached,
    /// Whether the provider counts requests that it refused.
    pub refusals_count: bool,
    /// How much the way to the provider may squeeze calls together. The burst of a told limit is kept smaller by what
    /// comes in during that time, so that calls that catch up with each other are not refused.
    pub squeeze: Duration,
    /// The share of a counted limit that is used between two looks for a higher one.
    pub utilisation: f64,
    /// How long it is used before the next look, once it was confirmed again and again. A refusal is the price of a
    /// look.
    pub longest_hold: Duration,
    /// Who would wait for less than this waits until its next multiple, so that several are let in at one wake-up.
    ///
    /// Nobody is let in earlier for it, and nothing is lost as long as it is shorter than what fills a burst. Zero, the
    /// default, is for callers who hurry.
    pub stride: Duration,
    /// The longest that everybody stays away on one word of the provider.
    pub longest_pause: Duration,
    /// Decides every draw.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            charges: Charges::Actual,
            cached: Cached::Counts,
            refusals_count: false,
            squeeze: Duration::from_millis(50),
            utilisation: 0.99,
            longest_hold: Duration::from_secs(22),
            stride: Duration::ZERO,
            longest_pause: Duration::from_secs(60 * 60),
            seed: 1,
        }
    }
}

/// The limits of one key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Requests.
    pub requests: Limit,
    /// Input and output tokens together.
    pub tokens: Limit,
    /// Input tokens, where they are limited by themselves.
    pub input_tokens: Limit,
    /// Output tokens, where they are limited by themselves.
    pub output_tokens: Limit,
    /// Calls under way at once.
    pub concurrency: Concurrency,
}

impl Limits {
    /// No limits at all; a start for those who know them all.
    pub const NONE: Self = Self {
        requests: Limit::None,
        tokens: Limit::None,
        input_tokens: Limit::None,
        output_tokens: Limit::None,
        concurrency: Concurrency::Unlimited,
    };
}

impl Default for Limits {
    /// Hidden requests, hidden tokens, hidden concurrency; input and output are not counted apart.
    fn default() -> Self {
        Self { requests: Limit::Hidden, tokens: Limit::Hidden, concurrency: Concurrency::Hidden, ..Self::NONE }
    }
}

/// One limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Limit {
    /// There may be one; find it.
    Hidden,
    /// There is none.
    None,
    /// It is this.
    Told {
        /// So much in so long.
        rate: Rate,
        /// How much may come at once; what comes in during a second by default.
        burst: Option<u64>,
    },
}

impl Limit {
    /// This rate, and a second of it at once.
    #[must_use]
    pub const fn told(rate: Rate) -> Self {
        Self::Told { rate, burst: None }
    }
}

/// How many calls may be under way at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Concurrency {
    /// There may be a limit; begin with 8 and go up while nobody complains.
    Hidden,
    /// That many; fewer for a while after an overload.
    Told(NonZeroU32),
    /// As many as anybody wants; fewer for a while after an overload.
    Unlimited,
}

/// What a provider counts once a call is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Charges {
    /// What the call took. What was reserved above that comes back.
    Actual,
    /// What was reserved when the call came in, as OpenAI does with `max_tokens`. Nothing comes back; what a call took
    /// above its reservation is taken.
    Reserved,
}

/// What of its cached input a call is charged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cached {
    /// All of it.
    Counts,
    /// Nothing, as Anthropic does.
    Free,
}
