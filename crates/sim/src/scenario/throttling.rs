//! When requests are told to slow down, and in which words.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;

use super::{duration, field};

/// One limit, from a moment on.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Limit {
    /// How requests and tokens are counted.
    pub algorithm: Algorithm,
    /// From when it is in force, counted from the start of the server.
    #[serde(deserialize_with = "duration::deserialize")]
    pub at: Duration,
    /// The depth of the request bucket; without it, as many as come in during one `window`. No use in a fixed window.
    pub burst: Option<NonZeroU32>,
    /// The depth of the token bucket; without it, as many as come in during one `window`. No use in a fixed window.
    pub burst_tokens: Option<NonZeroU32>,
    /// How many requests may be under way at once.
    pub concurrency: Option<NonZeroU32>,
    /// Requests per minute.
    pub rpm: Option<NonZeroU32>,
    /// Tokens per minute, input and output together.
    pub tpm: Option<NonZeroU32>,
    /// The stretch of time in which the rate is counted: a fixed window's length, or the depth of a bucket in time.
    #[serde(deserialize_with = "field::window")]
    pub window: Duration,
}

/// How requests and tokens are counted.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// A fresh allowance at the start of every window.
    FixedWindow,
    /// A bucket that fills continuously.
    #[default]
    TokenBucket,
}

/// A stretch in which every request is answered with 429.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "field::BurstEntry")]
pub enum Burst {
    /// The `count` requests that follow request number `after`; `after = 0` begins with the very first one.
    Requests {
        /// The number of the last request before the burst.
        after: u64,
        /// How many requests are refused.
        count: u64,
        /// What `Retry-After` says; none leaves it out.
        retry_after: Option<Duration>,
    },
    /// All requests from `at`, counted from the start of the server, for as long as `lasting`.
    Time {
        /// When it begins.
        at: Duration,
        /// How long it lasts (`for` in a file).
        lasting: Duration,
        /// What `Retry-After` says; none leaves it out.
        retry_after: Option<Duration>,
    },
}

/// How a refused request is told.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Rejections {
    /// Whether a refused request counts against the requests per minute all the same.
    pub charged: bool,
    /// What `error.code` says.
    pub code: String,
    /// Whether every answer tells the state of the limits in `x-ratelimit-*` headers.
    pub headers: bool,
    /// In which form the time to wait is told.
    pub retry_after: RetryAfter,
    /// The HTTP status.
    #[serde(deserialize_with = "field::status")]
    pub status: u16,
}

/// The form in which a refusal says how long to wait.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum RetryAfter {
    /// `Retry-After` in seconds, rounded up, and `retry-after-ms`.
    Milliseconds,
    /// Not at all.
    None,
    /// `Retry-After` in seconds, rounded up.
    #[default]
    Seconds,
}

impl Limit {
    /// What does not go together in it.
    pub(super) fn mistake(&self) -> Option<&'static str> {
        if self.algorithm == Algorithm::FixedWindow && (self.burst.is_some() || self.burst_tokens.is_some()) {
            Some("a fixed window has no burst, only a token bucket has one")
        } else if self.burst.is_some() && self.rpm.is_none() {
            Some("`burst` without `rpm` limits nothing")
        } else if self.burst_tokens.is_some() && self.tpm.is_none() {
            Some("`burst_tokens` without `tpm` limits nothing")
        } else {
            None
        }
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::TokenBucket,
            at: Duration::ZERO,
            burst: None,
            burst_tokens: None,
            concurrency: None,
            rpm: None,
            tpm: None,
            window: Duration::from_secs(60),
        }
    }
}

impl Default for Rejections {
    fn default() -> Self {
        Self {
            charged: false,
            code: "rate_limit_exceeded".to_owned(),
            headers: true,
            retry_after: RetryAfter::Seconds,
            status: 429,
        }
    }
}
