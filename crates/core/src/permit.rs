//! A reservation that is settled exactly once, whatever happens to its holder.

use std::fmt;
use std::time::Duration;

use crate::usage::{Demand, Usage};

/// What a provider says about its limits, in headers or in an error's body. All of it is optional.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RateLimits {
    /// Requests in the current window.
    pub requests: Level,
    /// Tokens in the current window.
    pub tokens: Level,
    /// Input tokens in the current window, where they are limited by themselves.
    pub input_tokens: Level,
    /// Output tokens in the current window, where they are limited by themselves.
    pub output_tokens: Level,
    /// How long it asks us to stay away.
    pub retry_after: Option<Duration>,
}

/// The state of one limit.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Level {
    /// How much a window allows.
    pub limit: Option<u64>,
    /// How much of it is left.
    pub remaining: Option<u64>,
    /// How long until it is full again.
    pub reset: Option<Duration>,
    /// How long a window is, if the provider says so; most providers do not, and mean a minute.
    pub window: Option<Duration>,
}

/// What became of a reservation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// The holder went away; nobody knows what the call took, so the reservation stands.
    Abandoned,
    /// The call was answered.
    Completed {
        /// What it took.
        usage: Usage,
        /// What the provider said about its limits.
        limits: RateLimits,
    },
    /// The call failed.
    Failed {
        /// Whether the model may have run all the same.
        may_have_executed: bool,
        /// What the provider said about its limits.
        limits: RateLimits,
    },
    /// The provider has no capacity at the moment, or refused for the number of calls under way.
    Overloaded {
        /// What it said about its limits.
        limits: RateLimits,
    },
    /// The provider asked us to slow down.
    Throttled {
        /// What it said about its limits.
        limits: RateLimits,
    },
    /// The call was never sent; everything goes back.
    Unused,
}

/// Takes a reservation back. Implemented by whoever hands out [`Permit`]s.
pub trait Settle: fmt::Debug + Send {
    /// Called exactly once for each permit. Must not block.
    fn settle(self: Box<Self>, outcome: Outcome);

    /// Hears what the provider said about its limits before the call is over. Must not block.
    fn hint(&mut self, _limits: &RateLimits) {}
}

/// A reservation taken from every budget, or from none.
///
/// Invariant: its `Settle` is called exactly once, by [`Permit::settle`] or by drop.
#[derive(Debug)]
pub struct Permit {
    demand: Demand,
    settle: Option<Box<dyn Settle>>,
}

impl Permit {
    /// A permit over `demand` that `settle` takes back.
    #[must_use]
    pub fn new(demand: Demand, settle: Box<dyn Settle>) -> Self {
        Self { demand, settle: Some(settle) }
    }

    /// What was reserved.
    #[must_use]
    pub const fn demand(&self) -> Demand {
        self.demand
    }

    /// Says what the head of the answer tells about the limits, as soon as it is there.
    pub fn hint(&mut self, limits: &RateLimits) {
        if let Some(settle) = &mut self.settle {
            settle.hint(limits);
        }
    }

    /// Says what became of the call.
    pub fn settle(mut self, outcome: Outcome) {
        self.give_back(outcome);
    }

    fn give_back(&mut self, outcome: Outcome) {
        if let Some(settle) = self.settle.take() {
            settle.settle(outcome);
        }
    }
}

impl Drop for Permit {
    /// Settles as [`Outcome::Abandoned`].
    fn drop(&mut self) {
        self.give_back(Outcome::Abandoned);
    }
}
