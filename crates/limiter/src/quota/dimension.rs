//! One limit: its bucket, its learner, and what the provider reports of it.

use std::time::Duration;

use bellwether_core::Timestamp;
use bellwether_core::permit::Level;

use super::reports::Reports;
use crate::bucket::Bucket;
use crate::learn::{Flight, LearnPolicy, Learner, Reaction};
use crate::rate::Rate;
use crate::settings::Limit;
use crate::snapshot::Stage;

#[derive(Clone, Debug)]
pub(super) struct Dimension {
    pub(super) bucket: Bucket,
    pub(super) learner: Learner,
    limit: Limit,
    /// The limit the bucket fills at when it is known: what was told, or the lower one that the headers name.
    exact: Option<Rate>,
    /// When a refusal named it, if no answer that was let in names it as well: nobody will say that it has risen.
    named_by_refusal: Option<Timestamp>,
    /// The estimate the bucket fills at otherwise, per second.
    estimate: f64,
    /// A burst that reports proved.
    proved: u64,
    squeeze: Duration,
    reports: Reports,
    /// How much more we thought was there than the last report said.
    pub(super) drift: Option<i64>,
}

impl Dimension {
    /// `None` if there is no such limit.
    pub(super) fn new(limit: Limit, policy: LearnPolicy, squeeze: Duration, now: Timestamp) -> Option<Self> {
        let (exact, learner) = match limit {
            Limit::None => return None,
            Limit::Hidden => (None, Learner::new(policy, now)),
            Limit::Told { rate, .. } => (Some(rate), Learner::told(policy, rate.as_per_second(), now)),
        };
        let rate = exact.unwrap_or_else(|| Rate::estimated(policy.initial));
        let mut dimension = Self {
            bucket: Bucket::new(rate, 1, now),
            learner,
            limit,
            exact,
            named_by_refusal: None,
            estimate: policy.initial,
            proved: 0,
            squeeze,
            reports: Reports::default(),
            drift: None,
        };
        dimension.bucket = Bucket::new(rate, dimension.burst(rate), now);
        Some(dimension)
    }

    /// The same limit under another rule; what was taken stays taken as far as a window holds it, and nothing is given.
    pub(super) fn carried_to(mut self, limit: Limit, now: Timestamp) -> Option<Self> {
        match limit {
            Limit::None => return None,
            Limit::Hidden => {
                self.exact = None;
                self.learner.untell(now);
            }
            Limit::Told { rate, .. } => {
                self.exact = Some(rate);
                self.learner.tell(rate.as_per_second(), now);
            }
        }
        self.limit = limit;
        self.tick(now);
        let rate = self.exact.unwrap_or_else(|| self.bucket.rate());
        self.fill_at(rate, self.burst(rate), now);
        Some(self)
    }

    /// Fills at another rate from now on. No more is owed than a window of it holds: what was run up at a much higher one
    /// would keep everybody away for as long as it takes to work off at this.
    fn fill_at(&mut self, rate: Rate, burst: u64, now: Timestamp) {
        self.bucket.change(rate, burst, now);
        self.bucket.owe_at_most(self.window());
    }

    /// What one window of the provider holds: a minute, unless a longer one is known.
    pub(super) fn window(&self) -> u64 {
        let minute = self.bucket.rate().in_time(MINUTE).max(self.bucket.burst());
        self.exact.map_or(minute, |rate| minute.max(rate.amount()))
    }

    /// Goes on to `now`.
    #[inline]
    pub(super) fn tick(&mut self, now: Timestamp) {
        if self.is_settled() {
            self.bucket.fill(now);
            self.learner.pass(now);
        } else {
            self.tick_learning(now);
        }
    }

    /// Whether the limit is known, and nothing but the level changes with time.
    #[inline]
    fn is_settled(&self) -> bool {
        self.learner.stage() == Stage::Told
            && self.named_by_refusal.is_none()
            && self.exact.is_some_and(|exact| exact == self.bucket.rate())
    }

    fn tick_learning(&mut self, now: Timestamp) {
        self.doubt(now);
        // While nothing comes in, nobody's wishes say anything.
        let frozen = self.bucket.filled_at().min(now).since(self.learner.ticked());
        let idle = self.bucket.refill(now);
        match (self.learner.tick(now, idle.saturating_add(frozen)), self.exact) {
            (None, Some(exact)) => {
                // What came in during a pause is used at twice the pace, but never beyond a limit that we were told.
                let behind = self.named_by_refusal.is_some() && self.learner.is_catching_up();
                let rate = if behind { exact.twice() } else { exact };
                if self.bucket.rate() != rate {
                    self.fill_at(rate, self.burst(exact), now);
                    self.estimate = exact.as_per_second();
                }
            }
            (estimate, _) => {
                let estimate = estimate.unwrap_or_else(|| self.learner.rate());
                if (estimate / self.estimate - 1.0).abs() > NOTICED || self.bucket.rate().nanos() != ESTIMATE_NANOS {
                    let rate = Rate::estimated(estimate);
                    self.fill_at(rate, self.burst(rate), now);
                    self.estimate = estimate;
                }
            }
        }
    }

    /// A limit that only refusals name is believed for a while; then it is tried whether there is more by now.
    fn doubt(&mut self, now: Timestamp) {
        let (Some(named), Some(rate)) = (self.named_by_refusal, self.exact) else { return };
        let trust = CALLS_A_PROBE / rate.as_per_second() * self.learner.patience();
        if now.since(named).as_secs_f64() >= trust.clamp(LEAST_TRUST, MOST_TRUST) {
            (self.exact, self.named_by_refusal) = (None, None);
            self.learner.doubt();
        }
    }

    /// Hears what the head of an answer says. `one_way` is the longest that the way to the provider takes.
    pub(super) fn report(&mut self, level: &Level, flight: &Flight, one_way: Duration, now: Timestamp) {
        let limit = level.limit.filter(|limit| (1..=ABSURD).contains(limit));
        let named = limit.map(|limit| Rate::new(limit, level.window.unwrap_or(MINUTE)));
        if let Some(rate) = named.filter(|rate| rate.as_per_second() >= LEAST) {
            self.ceiling(rate, now);
            self.named_by_refusal = None;
        }
        let Some(remaining) = level.remaining.filter(|remaining| *remaining <= limit.unwrap_or(ABSURD)) else {
            return;
        };
        if remaining == 0 && limit.is_none() {
            return;
        }
        self.tick(now);
        let came = match self.exact {
            Some(rate) => rate.in_time(now.since(flight.sent + one_way)),
            None => 0,
        };
        let sent_after = self.learner.total().saturating_sub(flight.before.saturating_add(flight.cost));
        let less = |had: u64| i64::try_from(i128::from(had) - i128::from(sent_after)).unwrap_or(i64::MIN);
        let (burst, modelled) = (self.bucket.burst(), self.bucket.level(now));
        let most = less(remaining.saturating_add(came));
        self.drift = Some(modelled.saturating_sub(most));
        if most <= modelled {
            self.bucket.lower_to(most);
        }
        // What came while the bucket was full ran over; only what it surely holds proves anything.
        let least = less(remaining.saturating_add(came).min(burst.max(remaining)));
        if let Some(proved) = self.reports.higher(least, modelled, burst) {
            self.prove(proved, now);
        }
        if let Some(end) = self.reports.closed_until(level, remaining, now) {
            self.bucket.lower_to(0);
            self.bucket.freeze_until(end);
        }
    }

    /// What was reported last stood in a refusal.
    pub(super) fn reported_by_refusal(&mut self, level: &Level, now: Timestamp) {
        if level.limit.is_some() && self.exact.is_some() && matches!(self.limit, Limit::Hidden) {
            self.named_by_refusal = Some(now);
        }
    }

    /// `flight` was refused for want of this. The pause it leads to is frozen by [`close_until`](Self::close_until).
    pub(super) fn refused(&mut self, flight: &Flight, now: Timestamp) -> Reaction {
        self.learner.refused(flight, now)
    }

    /// Nothing comes in until then, and then there is room for one like `cost`.
    pub(super) fn close_until(&mut self, until: Timestamp, cost: u64, now: Timestamp) {
        self.tick(now);
        self.bucket.lower_to(i64::try_from(cost.min(self.bucket.burst())).unwrap_or(i64::MAX));
        self.bucket.freeze_until(until);
        if self.named_by_refusal.is_some() {
            self.learner.catch_up_after(until.since(now));
        } else {
            self.learner.paused(until.since(now));
        }
    }

    fn ceiling(&mut self, named: Rate, now: Timestamp) {
        let rate = match self.limit {
            Limit::Told { rate, .. } if rate.as_per_second() <= named.as_per_second() => rate,
            _ => named,
        };
        if self.exact != Some(rate) {
            self.exact = Some(rate);
            self.learner.tell(rate.as_per_second(), now);
            self.fill_at(rate, self.burst(rate), now);
        }
    }

    /// Two reports in a row say that there is more than we thought.
    fn prove(&mut self, level: u64, now: Timestamp) {
        if level > self.bucket.burst() {
            let rate = self.bucket.rate();
            self.proved = self.proved.max(level.min(rate.in_time(MOST_PROVED)));
            self.fill_at(rate, self.burst(rate), now);
        }
        // Calls that catch up on the way find no room beyond what was reported.
        let squeezed = self.bucket.rate().in_time(self.squeeze).saturating_add(u64::from(!self.squeeze.is_zero()));
        self.bucket.raise_to(level.saturating_sub(squeezed));
    }

    fn burst(&self, rate: Rate) -> u64 {
        let burst = match self.limit {
            Limit::Told { burst: Some(burst), .. } => burst,
            _ if self.exact.is_some() => rate.in_time(SECOND).max(self.proved),
            _ if self.learner.stage() == Stage::Startup => return rate.in_time(FIRST_BURST).max(HIDDEN_LEAST),
            _ => return rate.in_time(HIDDEN_BURST).max(HIDDEN_LEAST),
        };
        let squeezed = rate.in_time(self.squeeze).saturating_add(u64::from(!self.squeeze.is_zero()));
        burst.saturating_sub(squeezed).max(burst / 2).max(1)
    }
}

/// How many calls a probe for a risen limit may cost one refusal of: half of a hundredth at worst, with the time that
/// the probe itself takes.
const CALLS_A_PROBE: f64 = 600.0;
const LEAST_TRUST: f64 = 2.0;
const MOST_TRUST: f64 = 60.0;
/// Estimates that differ by less are the same.
const NOTICED: f64 = 0.002;
const ESTIMATE_NANOS: u64 = 1_000_000_000_000_000;
/// One a minute, as the learner has it; a bit less for the rounding.
const LEAST: f64 = 0.016;
/// Nobody has a limit like that.
const ABSURD: u64 = 1_000_000_000_000;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HIDDEN_BURST: Duration = Duration::from_millis(250);
/// While nothing is known, a few come at once and the others evenly, so that few are on the way when one is refused.
const FIRST_BURST: Duration = Duration::from_millis(80);
/// A few that come at once after a rest are let through at once.
const HIDDEN_LEAST: u64 = 4;
const MOST_PROVED: Duration = Duration::from_secs(10);
