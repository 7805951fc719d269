//! The front desk: numbers every request, asks the limits and the fates, and keeps the statistics.

use std::time::Duration;

use bellwether_core::time::Timestamp;

use crate::fate::{self, Pace};
use crate::quota::{Demand, Dimension, Quota, Refusal, Standing, Ticket};
use crate::scenario::{Fault, Scenario};
use crate::stats::Stats;

/// Everything that changes from request to request.
#[derive(Debug)]
pub(crate) struct Desk {
    /// How many requests have been numbered.
    numbered: u64,
    quota: Quota,
    pub(crate) stats: Stats,
}

/// Who comes to the desk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    pub(crate) demand: Demand,
    pub(crate) model: &'a str,
    pub(crate) role: &'static str,
}

/// What the desk says, with the state of the limits afterwards.
#[derive(Debug)]
pub(crate) struct Reception {
    pub(crate) decision: Decision,
    pub(crate) number: u64,
    pub(crate) requests: Option<Standing>,
    pub(crate) tokens: Option<Standing>,
}

#[derive(Debug)]
pub(crate) enum Decision {
    /// Answered with an error on purpose.
    Fail(Fault),
    /// Answered; perhaps not to the end.
    Serve { fault: Option<Fault>, pace: Pace, ticket: Ticket },
    /// Told to slow down.
    Throttle(Throttle),
}

/// Why a request has to wait, and how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Throttle {
    pub(crate) reason: Reason,
    pub(crate) retry_after: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Reason {
    Burst,
    Limit(Refusal),
}

impl Desk {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let quota = Quota::new(&scenario.limits);
        let quota = if scenario.rejections.charged { quota.charging_refusals() } else { quota };
        Self { numbered: 0, quota, stats: Stats::default() }
    }

    pub(crate) fn receive(&mut self, scenario: &Scenario, arrival: Arrival<'_>, now: Timestamp) -> Reception {
        self.numbered += 1;
        let number = self.numbered;
        let decision = self.decide(scenario, arrival, number, now);
        match &decision {
            Decision::Fail(fault) => self.stats.injected(*fault),
            Decision::Serve { fault, .. } => {
                self.stats.let_in(arrival.model, arrival.role, arrival.demand.input_tokens);
                if let Some(fault) = fault {
                    self.stats.injected(*fault);
                }
            }
            Decision::Throttle(_) => self.stats.throttled += 1,
        }
        let requests = self.quota.standing(Dimension::Requests, now);
        let tokens = self.quota.standing(Dimension::Tokens, now);
        Reception { decision, number, requests, tokens }
    }

    /// Takes leave of a request that was served, to the end or not.
    pub(crate) fn leave(&mut self, arrival: Arrival<'_>, ticket: Ticket, output_tokens: u64, now: Timestamp) {
        self.quota.settle(ticket, arrival.demand.input_tokens + output_tokens, now);
        self.stats.left(arrival.model, arrival.role, output_tokens);
    }

    fn decide(&mut self, scenario: &Scenario, arrival: Arrival<'_>, number: u64, now: Timestamp) -> Decision {
        if let Some(refused) = fate::burst(&scenario.bursts, number, now) {
            return Decision::Throttle(Throttle { reason: Reason::Burst, retry_after: refused.retry_after });
        }
        let ticket = match self.quota.admit(arrival.demand, now) {
            Ok(ticket) => ticket,
            Err(refusal) => {
                let retry_after = refusal.ready_at.map(|at| at.since(now));
                return Decision::Throttle(Throttle { reason: Reason::Limit(refusal), retry_after });
            }
        };
        match fate::fault(&scenario.faults, scenario.seed, number) {
            Some(fault @ (Fault::Error500 | Fault::Error503)) => {
                // A failed request has been a request; its tokens were never used.
                self.quota.settle(ticket, 0, now);
                Decision::Fail(fault)
            }
            fault => Decision::Serve { fault, pace: fate::pace(&scenario.latency, scenario.seed, number), ticket },
        }
    }
}
