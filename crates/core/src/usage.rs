//! What a call will take from the quota, what it took, and what that cost.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

/// What a call will take from the quota, known or estimated before it is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Demand {
    /// Requests; 1 for a plain call.
    pub requests: u32,
    /// Input tokens, estimated.
    pub input_tokens: u64,
    /// Output tokens: the cap of the request, or a forecast.
    pub output_tokens: u64,
}

impl Demand {
    /// Input and output tokens together.
    #[must_use]
    pub const fn tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

/// What a call took. A figure that the provider did not send is absent, which is not zero.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Usage {
    /// Input tokens, cached ones included.
    pub input_tokens: Option<u64>,
    /// Output tokens, reasoning included.
    pub output_tokens: Option<u64>,
    /// The part of the input that was read from the provider's cache.
    pub cached_tokens: Option<u64>,
    /// The part of the output that was spent on reasoning.
    pub reasoning_tokens: Option<u64>,
    /// What the provider says it cost, or what the price table makes of the tokens.
    pub cost: Option<Usd>,
}

impl Usage {
    /// Whether the provider sent no figure at all.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        *self == Self::default()
    }

    /// Input and output tokens together, as far as known.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.input_tokens.unwrap_or(0).saturating_add(self.output_tokens.unwrap_or(0))
    }
}

impl Add for Usage {
    type Output = Self;

    /// Adds figure by figure; a sum is absent only if both sides are.
    fn add(self, other: Self) -> Self {
        let sum = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (None, None) => None,
            (a, b) => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))),
        };
        Self {
            input_tokens: sum(self.input_tokens, other.input_tokens),
            output_tokens: sum(self.output_tokens, other.output_tokens),
            cached_tokens: sum(self.cached_tokens, other.cached_tokens),
            reasoning_tokens: sum(self.reasoning_tokens, other.reasoning_tokens),
            cost: sum(self.cost.map(Usd::as_nanos), other.cost.map(Usd::as_nanos)).map(Usd::from_nanos),
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Usage {
    fn sum<I: Iterator<Item = Self>>(usages: I) -> Self {
        usages.fold(Self::default(), Add::add)
    }
}

/// An amount of money in whole billionths of a US dollar, so that a token's price is exact.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Usd(u64);

impl Usd {
    /// So many billionths of a dollar.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// `dollars`, rounded to a billionth; `None` if negative, not a number, or above 18 billion dollars.
    #[must_use]
    pub fn from_dollars(dollars: f64) -> Option<Self> {
        let nanos = (dollars * 1e9).round();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked first")]
        (0.0..1.8e19).contains(&nanos).then_some(Self(nanos as u64))
    }

    /// Billionths of a dollar.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Dollars, for people and for JSON.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "shown, never reckoned with")]
    pub fn as_dollars(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${:.4}", self.as_dollars())
    }
}

/// What a model's tokens cost, each per million tokens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Price {
    /// Input tokens that were not cached.
    pub input_per_mtok: Usd,
    /// Input tokens read from the cache.
    pub cached_per_mtok: Usd,
    /// Output tokens.
    pub output_per_mtok: Usd,
}

impl Price {
    /// What `usage` costs, rounded up to a billionth; `None` if it does not say both input and output.
    #[must_use]
    pub fn of(&self, usage: &Usage) -> Option<Usd> {
        let (input, output) = (usage.input_tokens?, usage.output_tokens?);
        let cached = usage.cached_tokens.unwrap_or(0).min(input);
        let part = |tokens: u64, price: Usd| u128::from(tokens) * u128::from(price.as_nanos());
        let total = part(input - cached, self.input_per_mtok)
            + part(cached, self.cached_per_mtok)
            + part(output, self.output_per_mtok);
        u64::try_from(total.div_ceil(1_000_000)).ok().map(Usd::from_nanos)
    }
}
