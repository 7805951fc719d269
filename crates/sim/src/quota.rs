//! Who may come in: requests, tokens and concurrency, all of them or none, on a schedule.
//!
//! Pure: every call takes `now`, and nothing here reads a clock. Counting is exact, in whole numbers.
//!
//! ```
//! use std::num::NonZeroU32;
//! use bellwether_core::time::Timestamp;
//! use bellwether_sim::Limit;
//! use bellwether_sim::quota::{Demand, Quota};
//!
//! let burst = NonZeroU32::new(1);
//! let mut quota = Quota::new(&[Limit { rpm: NonZeroU32::new(60), burst, ..Limit::default() }]);
//! let demand = Demand { input_tokens: 10, max_output_tokens: Some(100) };
//! assert!(quota.admit(demand, Timestamp::ZERO).is_ok());
//! let refusal = quota.admit(demand, Timestamp::ZERO).unwrap_err();
//! assert_eq!(refusal.ready_at, Some(Timestamp::from_millis(1_000)));
//! ```

mod gauge;

use std::time::Duration;

use bellwether_core::time::Timestamp;

use self::gauge::Gauge;
use crate::scenario::Limit;

/// The limits now in force and how much of them is left.
#[derive(Clone, Debug)]
pub struct Quota {
    charges_refusals: bool,
    in_flight: u32,
    meters: Vec<Meter>,
    /// What comes into force later, the next one last.
    schedule: Vec<Stage>,
}

/// What one request asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Demand {
    /// The estimated input.
    pub input_tokens: u64,
    /// The cap on the output, if the request has one. Without it [`ASSUMED_OUTPUT`] is charged, or less if that much can
    /// never be had.
    pub max_output_tokens: Option<u64>,
}

/// A request that was let in. It holds its concurrency slot until it is [settled](Quota::settle).
#[derive(Debug, Eq, PartialEq)]
#[must_use = "a ticket that is never settled keeps its slot for ever"]
pub struct Ticket {
    admitted_at: Timestamp,
    charged_tokens: u64,
}

/// A request that was not let in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// What there was not enough of.
    pub dimension: Dimension,
    /// The limit: per minute, or at once.
    pub limit: u64,
    /// When it would be let in if nobody else came and the limits stayed; none if that cannot be said.
    pub ready_at: Option<Timestamp>,
    /// How much was left.
    pub remaining: u64,
    /// How much was asked for.
    pub requested: u64,
    /// Whether no waiting helps, because the request is larger than the limit allows at all.
    pub too_large: bool,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dimension {
    /// Requests under way at once.
    Concurrency,
    /// Requests per time.
    Requests,
    /// Tokens per time.
    Tokens,
}

/// How one dimension stands: what the `x-ratelimit-*` headers tell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Standing {
    /// The limit per minute.
    pub limit: u64,
    /// What is left now.
    pub remaining: u64,
    /// How long until all of it is there again, if nobody else comes.
    pub reset: Duration,
}

/// The limits that come into force at one moment.
#[derive(Clone, Debug)]
struct Stage {
    at: Timestamp,
    limits: Vec<Limit>,
}

/// One limit and what is left of it.
#[derive(Clone, Debug)]
struct Meter {
    concurrency: Option<u32>,
    requests: Option<Gauge>,
    tokens: Option<Gauge>,
}

/// What is charged for the output of a request that does not cap it; corrected when the answer is complete.
pub const ASSUMED_OUTPUT: u64 = 1_024;

// === impl Quota ===

impl Quota {
    /// Starts with everything full. Limits with the same `at` are in force together; those with a later `at` replace them.
    ///
    /// What was used up stays used up across a change: a bucket keeps its level (up to its new depth) and a window its count.
    #[must_use]
    pub fn new(limits: &[Limit]) -> Self {
        let mut schedule: Vec<Stage> = Vec::new();
        for limit in limits {
            let at = Timestamp::from(limit.at);
            match schedule.iter_mut().find(|stage| stage.at == at) {
                Some(stage) => stage.limits.push(*limit),
                None => schedule.push(Stage { at, limits: vec![*limit] }),
            }
        }
        schedule.sort_by_key(|stage| std::cmp::Reverse(stage.at));
        let mut quota = Self { charges_refusals: false, in_flight: 0, meters: Vec::new(), schedule };
        quota.advance(Timestamp::ZERO);
        quota
    }

    /// The same, but a request that is refused counts as one all the same. Who only asks again and again is in debt by
    /// one burst at most.
    #[must_use]
    pub const fn charging_refusals(mut self) -> Self {
        self.charges_refusals = true;
        self
    }

    /// Takes what `demand` asks from every limit, or from none.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] that says what there was not enough of, and when there will be.
    pub fn admit(&mut self, demand: Demand, now: Timestamp) -> Result<Ticket, Refusal> {
        self.advance(now);
        let charged_tokens = self.charge(demand);
        if let Some(mut refusal) = self.refusal(charged_tokens, now) {
            if self.charges_refusals {
                self.meters.iter_mut().filter_map(|meter| meter.requests.as_mut()).for_each(Gauge::charge_refusal);
                // It comes later now.
                refusal = self.refusal(charged_tokens, now).unwrap_or(refusal);
            }
            return Err(refusal);
        }
        for meter in &mut self.meters {
            meter.take(charged_tokens);
        }
        self.in_flight += 1;
        Ok(Ticket { admitted_at: now, charged_tokens })
    }

    /// Gives a slot back and corrects the token count by what was really used.
    pub fn settle(&mut self, ticket: Ticket, used_tokens: u64, now: Timestamp) {
        self.advance(now);
        self.in_flight -= 1;
        for gauge in self.meters.iter_mut().filter_map(|meter| meter.tokens.as_mut()) {
            gauge.correct(ticket.charged_tokens, used_tokens, ticket.admitted_at);
        }
    }

    /// How a dimension stands: of several limits the one with the least left. None if nothing limits it per time.
    pub fn standing(&mut self, dimension: Dimension, now: Timestamp) -> Option<Standing> {
        self.advance(now);
        let gauges = self.meters.iter().filter_map(|meter| match dimension {
            Dimension::Concurrency => None,
            Dimension::Requests => meter.requests.as_ref(),
            Dimension::Tokens => meter.tokens.as_ref(),
        });
        let least = gauges.min_by_key(|gauge| gauge.remaining())?;
        Some(Standing { limit: least.per_minute(), remaining: least.remaining(), reset: least.full_at(now).since(now) })
    }

    /// How many requests hold a slot.
    #[must_use]
    pub const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Why a request for so many tokens is not let in, if it is not.
    fn refusal(&self, tokens: u64, now: Timestamp) -> Option<Refusal> {
        let refusals = self.meters.iter().filter_map(|meter| meter.refusal(tokens, self.in_flight, now));
        refusals.max_by_key(|refusal| (refusal.too_large, refusal.ready_at))
    }

    /// Brings the schedule and every gauge up to `now`.
    fn advance(&mut self, now: Timestamp) {
        while self.schedule.last().is_some_and(|stage| stage.at <= now) {
            let Some(stage) = self.schedule.pop() else { break };
            self.roll(stage.at);
            let mut old = std::mem::take(&mut self.meters).into_iter();
            self.meters = stage.limits.iter().map(|limit| Meter::new(limit, old.next(), stage.at)).collect();
        }
        self.roll(now);
    }

    fn roll(&mut self, now: Timestamp) {
        for meter in &mut self.meters {
            for gauge in [meter.requests.as_mut(), meter.tokens.as_mut()].into_iter().flatten() {
                gauge.roll(now);
            }
        }
    }

    fn charge(&self, demand: Demand) -> u64 {
        let capacities = self.meters.iter().filter_map(|meter| meter.tokens.as_ref()).map(Gauge::capacity);
        let most = capacities.min().unwrap_or(u64::MAX);
        let assumed = ASSUMED_OUTPUT.min(most.saturating_sub(demand.input_tokens));
        demand.input_tokens.saturating_add(demand.max_output_tokens.unwrap_or(assumed))
    }
}

// === impl Meter ===

impl Meter {
    /// `old` is the limit that stood in the same place before; what it counted is carried over.
    fn new(limit: &Limit, old: Option<Self>, now: Timestamp) -> Self {
        let (requests, tokens) = old.map_or((None, None), |old| (old.requests, old.tokens));
        Self {
            concurrency: limit.concurrency.map(Into::into),
            requests: limit.rpm.map(|rpm| Gauge::new(limit, rpm, limit.burst, requests, now)),
            tokens: limit.tpm.map(|tpm| Gauge::new(limit, tpm, limit.burst_tokens, tokens, now)),
        }
    }

    fn refusal(&self, tokens: u64, in_flight: u32, now: Timestamp) -> Option<Refusal> {
        let by_rate = [(Dimension::Requests, &self.requests, 1), (Dimension::Tokens, &self.tokens, tokens)];
        let by_rate = by_rate.into_iter().filter_map(|(dimension, gauge, requested)| {
            let gauge = gauge.as_ref().filter(|gauge| !gauge.has(requested))?;
            let ready_at = gauge.ready_at(requested, now);
            let too_large = ready_at.is_none();
            let (limit, remaining) = (gauge.per_minute(), gauge.remaining());
            Some(Refusal { dimension, limit, ready_at, remaining, requested, too_large })
        });
        let slots = self.concurrency.filter(|slots| in_flight >= *slots).map(|slots| Refusal {
            dimension: Dimension::Concurrency,
            limit: u64::from(slots),
            ready_at: None,
            remaining: 0,
            requested: 1,
            too_large: false,
        });
        by_rate.max_by_key(|refusal| (refusal.too_large, refusal.ready_at)).or(slots)
    }

    fn take(&mut self, tokens: u64) {
        if let Some(requests) = &mut self.requests {
            requests.take(1);
        }
        if let Some(gauge) = &mut self.tokens {
            gauge.take(tokens);
        }
    }
}
