//! What has happened so far, in numbers.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::scenario::Fault;

/// What a simulated provider has seen and done since its start; also what `GET /stats` answers.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Stats {
    /// Answers by HTTP status. A request whose client left before the answer is in none of them.
    pub answered: BTreeMap<u16, u64>,
    /// Requests whose client left before the answer was complete; one that left in the middle of a stream was answered, too.
    pub cancelled: u64,
    /// Requests under way now.
    pub in_flight: u32,
    /// Faults that were injected, by their name in the scenario.
    pub injected: BTreeMap<&'static str, u64>,
    /// Input tokens of the requests that were let in.
    pub input_tokens: u64,
    /// Output tokens that were produced.
    pub output_tokens: u64,
    /// The most requests that were under way at once.
    pub peak_in_flight: u32,
    /// By model, for the first 64 names; the rest counts as `(other)`.
    pub per_model: BTreeMap<String, Share>,
    /// By what was asked for: `plan`, `work`, `review`.
    pub per_role: BTreeMap<&'static str, Share>,
    /// Chat requests that arrived, including the refused and the malformed.
    pub requests: u64,
    /// Requests that were told to slow down, by a limit or by a burst.
    pub throttled: u64,
    /// Since the start, in milliseconds.
    pub uptime_ms: u64,
}

/// One model's or one role's part of the numbers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Share {
    /// Input tokens.
    pub input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// Requests that were let in.
    pub requests: u64,
}

impl Stats {
    pub(crate) fn arrived(&mut self) {
        self.requests += 1;
    }

    pub(crate) fn answered(&mut self, status: u16) {
        *self.answered.entry(status).or_default() += 1;
    }

    pub(crate) fn injected(&mut self, fault: Fault) {
        *self.injected.entry(fault.name()).or_default() += 1;
    }

    pub(crate) fn let_in(&mut self, model: &str, role: &'static str, input_tokens: u64) {
        self.in_flight += 1;
        self.peak_in_flight = self.peak_in_flight.max(self.in_flight);
        self.input_tokens += input_tokens;
        for share in self.shares(model, role) {
            share.requests += 1;
            share.input_tokens += input_tokens;
        }
    }

    pub(crate) fn left(&mut self, model: &str, role: &'static str, output_tokens: u64) {
        self.in_flight -= 1;
        self.output_tokens += output_tokens;
        for share in self.shares(model, role) {
            share.output_tokens += output_tokens;
        }
    }

    /// Model names come from clients, so that their number must have an end.
    fn shares(&mut self, model: &str, role: &'static str) -> [&mut Share; 2] {
        let known = self.per_model.contains_key(model) || self.per_model.len() < MOST_MODELS;
        let name = if known { model } else { OTHER };
        [self.per_model.entry(name.to_owned()).or_default(), self.per_role.entry(role).or_default()]
    }
}

const MOST_MODELS: usize = 64;
const OTHER: &str = "(other)";
