//! What was taken for one call.

use bellwether_core::{Demand, Timestamp};

use crate::learn::Flight;

/// What was taken for one call. Give it back with [`Quota::settle`](super::Quota::settle).
#[derive(Debug, Eq, PartialEq)]
#[must_use = "a reservation that is never settled keeps its place for ever"]
pub struct Reservation {
    pub(super) demand: Demand,
    pub(super) sent: Timestamp,
    pub(super) number: u64,
    pub(super) before: [u64; 4],
}

impl Reservation {
    /// What was reserved.
    #[must_use]
    pub const fn demand(&self) -> Demand {
        self.demand
    }

    /// When.
    #[must_use]
    pub const fn sent(&self) -> Timestamp {
        self.sent
    }

    #[inline]
    pub(super) fn flight(&self, i: usize) -> Flight {
        Flight { sent: self.sent, number: self.number, before: self.before[i], cost: costs(&self.demand)[i] }
    }
}

/// What a demand takes of requests, tokens, input and output.
#[inline]
pub(crate) fn costs(demand: &Demand) -> [u64; 4] {
    [u64::from(demand.requests), demand.tokens(), demand.input_tokens, demand.output_tokens]
}
