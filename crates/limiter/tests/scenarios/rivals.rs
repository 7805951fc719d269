//! Clients: ours, and small models of what others do.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bellwether_limiter::{
    Breaker, BreakerPolicy, Demand, Outcome, Pass, Quota, RateLimits, Reservation, RetryBudget, Settings, Timestamp,
    Usage, Verdict, Why,
};

use super::world::{Client, Heard, Next};

/// Our quota, with somebody always waiting at it.
pub(crate) struct Ours {
    quota: Quota,
    calls: BTreeMap<u64, (Reservation, u64)>,
    next: u64,
    /// What it takes calls for: one part of so many of what they cost.
    part: u64,
}

impl Ours {
    pub(crate) fn new(settings: Settings) -> Self {
        Self::that_reckons(1, settings)
    }

    /// One that takes calls for a part of what they cost, until they are answered.
    pub(crate) fn that_reckons(part: u64, settings: Settings) -> Self {
        Self { quota: Quota::new(settings, Timestamp::ZERO), calls: BTreeMap::new(), next: 0, part }
    }
}

impl Client for Ours {
    fn next(&mut self, cost: u64, now: Timestamp) -> Next {
        let demand = Demand { requests: 1, input_tokens: cost / self.part, output_tokens: 0 };
        match self.quota.reserve(&demand, now) {
            Ok(reservation) => {
                self.next += 1;
                self.calls.insert(self.next, (reservation, cost));
                Next::Send(self.next)
            }
            Err(denied) => denied.until.map_or(Next::Wait, Next::At),
        }
    }

    fn heard(&mut self, call: u64, heard: Heard, now: Timestamp) {
        if let Heard::Head(limits) = heard {
            return self.quota.hint(&self.calls[&call].0, &limits, now);
        }
        let (reservation, cost) = self.calls.remove(&call).expect("a call ends once");
        let usage = Usage { input_tokens: Some(cost), output_tokens: Some(0), ..Usage::default() };
        let limits = RateLimits::default();
        let outcome = match heard {
            Heard::Refused(limits) => Outcome::Throttled { limits },
            Heard::Failed => Outcome::Failed { may_have_executed: false, limits },
            _ => Outcome::Completed { usage, limits },
        };
        self.quota.settle(reservation, &outcome, now);
    }
}

/// Ours with a breaker in front of it and a budget for retries.
pub(crate) struct Guarded {
    ours: Ours,
    breaker: Breaker,
    passes: BTreeMap<u64, Pass>,
    budget: RetryBudget,
    /// Failed ones that may be sent again.
    again: u64,
    pub(crate) retries: u64,
}

impl Guarded {
    pub(crate) fn new(settings: Settings) -> Self {
        let breaker = Breaker::new(BreakerPolicy::default(), settings.seed);
        let budget = RetryBudget::new(1, Duration::from_secs(10));
        Self { ours: Ours::new(settings), breaker, passes: BTreeMap::new(), budget, again: 0, retries: 0 }
    }
}

impl Client for Guarded {
    fn next(&mut self, cost: u64, now: Timestamp) -> Next {
        let pass = match self.breaker.admit(now) {
            Ok(pass) => pass,
            Err(until) => return Next::At(until),
        };
        let next = self.ours.next(cost, now);
        match next {
            Next::Send(call) => {
                self.passes.insert(call, pass);
                // Retries come first.
                self.retries += self.again.min(1);
                self.again = self.again.saturating_sub(1);
            }
            // It was not sent after all.
            Next::At(_) | Next::Wait => self.breaker.judge(pass, Verdict::Unknown, now),
        }
        next
    }

    fn heard(&mut self, call: u64, heard: Heard, now: Timestamp) {
        match heard {
            Heard::Done => self.budget.succeeded(1, now),
            Heard::Failed => self.again += u64::from(self.budget.retry(1, Why::Failed, now)),
            Heard::Head(_) | Heard::Refused(_) => {}
        }
        if let Some(pass) = self.passes.remove(&call) {
            let verdict = if matches!(heard, Heard::Failed) { Verdict::Fault } else { Verdict::Fine };
            self.breaker.judge(pass, verdict, now);
        }
        self.ours.heard(call, heard, now);
    }
}

/// Workers that back off on their own: full jitter up to a cap, base half a second (the AWS architecture blog, 2015).
pub(crate) struct Backoff {
    ready: VecDeque<(Timestamp, u32)>,
    calls: BTreeMap<u64, u32>,
    next: u64,
    rng: fastrand::Rng,
}

impl Backoff {
    pub(crate) fn new(workers: usize, seed: u64) -> Self {
        Self {
            ready: (0..workers).map(|_| (Timestamp::ZERO, 0)).collect(),
            calls: BTreeMap::new(),
            next: 0,
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    fn back(&mut self, at: Timestamp, failures: u32) {
        let place = self.ready.partition_point(|(other, _)| *other <= at);
        self.ready.insert(place, (at, failures));
    }
}

impl Client for Backoff {
    fn next(&mut self, _: u64, now: Timestamp) -> Next {
        match self.ready.front() {
            Some((at, _)) if *at > now => Next::At(*at),
            None => Next::Wait,
            Some(_) => {
                let (_, failures) = self.ready.pop_front().expect("it was there a moment ago");
                self.next += 1;
                self.calls.insert(self.next, failures);
                Next::Send(self.next)
            }
        }
    }

    fn heard(&mut self, call: u64, heard: Heard, now: Timestamp) {
        match heard {
            Heard::Head(_) => {}
            Heard::Done => {
                self.calls.remove(&call);
                self.back(now, 0);
            }
            Heard::Failed | Heard::Refused(_) => {
                let failures = self.calls.remove(&call).expect("a call ends once") + 1;
                let cap = (0.5 * 2f64.powi(failures.min(10) as i32)).min(30.0);
                let mut wait = cap * self.rng.f64();
                if let Heard::Refused(RateLimits { retry_after: Some(named), .. }) = heard {
                    wait = named.as_secs_f64() * (1.0 + 0.1 * self.rng.f64());
                }
                self.back(now + Duration::from_secs_f64(wait), failures);
            }
        }
    }
}

/// Netflix concurrency-limits' AIMD: one more per answer while at least half is used, nine tenths after a drop.
pub(crate) struct NetflixAimd {
    limit: f64,
    in_flight: u64,
    next: u64,
}

impl Default for NetflixAimd {
    fn default() -> Self {
        Self { limit: 20.0, in_flight: 0, next: 0 }
    }
}

impl Client for NetflixAimd {
    fn next(&mut self, _: u64, _: Timestamp) -> Next {
        if self.in_flight as f64 + 1.0 > self.limit {
            return Next::Wait;
        }
        self.in_flight += 1;
        self.next += 1;
        Next::Send(self.next)
    }

    fn heard(&mut self, _: u64, heard: Heard, _: Timestamp) {
        match heard {
            Heard::Head(_) => return,
            Heard::Done if self.in_flight as f64 * 2.0 >= self.limit => self.limit = (self.limit + 1.0).min(200.0),
            Heard::Done => {}
            Heard::Failed | Heard::Refused(_) => self.limit = (self.limit * 0.9).max(1.0),
        }
        self.in_flight -= 1;
    }
}

/// A pacer whose rate follows CUBIC (RFC 9438), with one pause for all after a refusal and one decrease per flight.
pub(crate) struct PacedCubic {
    rate: f64,
    most: f64,
    epoch: Option<Timestamp>,
    reacted: Option<Timestamp>,
    ready: Timestamp,
    sent: BTreeMap<u64, Timestamp>,
    next: u64,
    tokens: f64,
}

impl PacedCubic {
    /// `tokens` is what one request costs on the average.
    pub(crate) fn new(tokens: f64) -> Self {
        Self {
            rate: 4.0 * tokens,
            most: 0.0,
            epoch: None,
            reacted: None,
            ready: Timestamp::ZERO,
            sent: BTreeMap::new(),
            next: 0,
            tokens,
        }
    }

    fn rate(&self, now: Timestamp) -> f64 {
        let Some(epoch) = self.epoch else {
            return self.rate * now.since(Timestamp::ZERO).as_secs_f64().exp2();
        };
        let most = self.most / self.tokens;
        let k = (most * 0.3 / 0.4).cbrt();
        let t = now.since(epoch).as_secs_f64();
        ((0.4 * (t - k).powi(3) + most) * self.tokens).max(0.1 * self.tokens)
    }
}

impl Client for PacedCubic {
    fn next(&mut self, cost: u64, now: Timestamp) -> Next {
        if self.ready > now {
            return Next::At(self.ready);
        }
        self.ready = now + Duration::from_secs_f64(cost as f64 / self.rate(now));
        self.next += 1;
        self.sent.insert(self.next, now);
        Next::Send(self.next)
    }

    fn heard(&mut self, call: u64, heard: Heard, now: Timestamp) {
        let Heard::Refused(limits) = heard else {
            if !matches!(heard, Heard::Head(_)) {
                self.sent.remove(&call);
            }
            return;
        };
        let sent = self.sent.remove(&call).expect("a call ends once");
        if self.reacted.is_none_or(|reacted| sent > reacted) {
            self.most = self.rate(now);
            (self.epoch, self.reacted) = (Some(now), Some(now));
        }
        let pause = limits.retry_after;
        let pause = pause.unwrap_or_else(|| Duration::from_secs_f64(1.2 * self.tokens / self.rate(now)));
        self.ready = self.ready.max(now + pause);
    }
}
