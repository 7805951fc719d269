//! The limits of one key as a value: what may be sent now, and what became of what was sent.

mod answers;
mod dimension;
mod reports;
mod reservation;
mod settle;

use std::time::Duration;

use bellwether_core::limiter::{Outlook, WaitReason};
use bellwether_core::permit::RateLimits;
use bellwether_core::{Demand, Timestamp};

use self::answers::Probe;
use self::dimension::Dimension;
pub use self::reservation::Reservation;
pub(crate) use self::reservation::costs;
use crate::learn::LearnPolicy;
use crate::places::Places;
use crate::settings::{Concurrency, Limit, Limits, Settings};
use crate::snapshot::{Budget, Snapshot};

/// The limits of one key: requests, tokens, calls under way, and the pause that all share.
///
/// Pure: every method takes `now`, and nothing here reads a clock, waits or draws a number that its seed did not decide.
///
/// ```
/// use bellwether_core::{Demand, Outcome, Timestamp};
/// use bellwether_limiter::{Limit, Limits, Quota, Rate, Settings};
///
/// let limits = Limits { requests: Limit::told(Rate::per_second(1)), ..Limits::NONE };
/// let mut quota = Quota::new(Settings { limits, ..Settings::default() }, Timestamp::ZERO);
/// let demand = Demand { requests: 1, input_tokens: 100, output_tokens: 500 };
/// let sent = quota.reserve(&demand, Timestamp::ZERO).expect("it is full at the start");
/// let denied = quota.reserve(&demand, Timestamp::ZERO).unwrap_err();
/// assert_eq!(denied.until, Some(Timestamp::from_millis(1_000)));
/// quota.settle(sent, &Outcome::Unused, Timestamp::ZERO);
/// assert!(quota.reserve(&demand, Timestamp::ZERO).is_ok());
/// ```
///
/// Invariant: a reservation is in every budget or in none, and every reservation is settled at most once, for it is
/// taken by value.
#[derive(Clone, Debug)]
pub struct Quota {
    settings: Settings,
    dimensions: [Option<Dimension>; 4],
    places: Places,
    closed_until: Timestamp,
    probe: Probe,
    /// Requests sent so far.
    number: u64,
    /// The newest request whose report was heard, counted from 1.
    reported: u64,
    /// The shortest time from sending to the head of an answer.
    round_trip: Duration,
    /// Refusals in a row that named no time while there was nothing to learn from them.
    streak: u32,
    now: Timestamp,
    rng: fastrand::Rng,
    news: Vec<News>,
    told: [u64; 5],
}

/// Why a demand is not met now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Denied {
    /// What it would wait for.
    pub reason: WaitReason,
    /// When it is met, if nothing else happens; `None` if something else has to happen first. Never now.
    pub until: Option<Timestamp>,
}

/// What a quota found out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum News {
    /// A limit is this: per minute, or at once for concurrency.
    Limit(WaitReason, u64),
    /// Everybody stays away that long.
    Paused(Duration),
}

// === impl Quota ===

impl Quota {
    /// A quota that was not used yet.
    #[must_use]
    pub fn new(settings: Settings, now: Timestamp) -> Self {
        let mut quota = Self {
            settings,
            dimensions: [None, None, None, None],
            places: places(settings.limits.concurrency, now),
            closed_until: Timestamp::ZERO,
            probe: Probe::None,
            number: 0,
            reported: 0,
            round_trip: FIRST_ROUND_TRIP,
            streak: 0,
            now,
            rng: fastrand::Rng::with_seed(settings.seed),
            news: Vec::new(),
            told: [0; 5],
        };
        quota.dimensions = std::array::from_fn(|i| quota.dimension(i, limits_of(&settings.limits)[i]));
        quota.told = quota.limits_now();
        quota
    }

    /// Takes `demand` from every budget, or from none.
    ///
    /// # Errors
    ///
    /// [`Denied`] if it has to wait; nothing was taken then.
    #[inline]
    pub fn reserve(&mut self, demand: &Demand, now: Timestamp) -> Result<Reservation, Denied> {
        let now = self.advance(now);
        let costs = costs(demand);
        if !self.has_room(&costs, now)
            && let Some(denied) = self.denied(demand, now)
        {
            return Err(denied);
        }
        let mut before = [0; 4];
        for (i, dimension) in self.dimensions.iter_mut().enumerate() {
            if let Some(dimension) = dimension {
                dimension.bucket.take(costs[i]);
                before[i] = dimension.learner.sent(costs[i], now);
            }
        }
        self.places.take();
        let number = self.number;
        self.number += 1;
        self.probe.sent(number, now);
        Ok(Reservation { demand: *demand, sent: now, number, before })
    }

    /// Hears what the provider says about its limits in the head of an answer.
    pub fn hint(&mut self, reservation: &Reservation, limits: &RateLimits, now: Timestamp) {
        let now = self.advance(now);
        self.round_trip = self.round_trip.min(now.since(reservation.sent));
        self.admitted(reservation);
        self.report(reservation, limits, now);
        if let Some(wait) = limits.retry_after {
            self.close(wait.min(self.settings.longest_pause), now);
        }
        self.tell_limits();
    }

    /// Puts other limits in force. What was taken stays taken, as far as a window of the new limit holds it; a higher
    /// limit gives nothing at once.
    pub fn change_limits(&mut self, limits: Limits, now: Timestamp) {
        let now = self.advance(now);
        self.settings.limits = limits;
        for (i, limit) in limits_of(&limits).into_iter().enumerate() {
            self.dimensions[i] = match self.dimensions[i].take() {
                Some(dimension) => dimension.carried_to(limit, now),
                None => self.dimension(i, limit),
            };
        }
        self.places = self.places.clone().carried_to(places(limits.concurrency, now));
        self.tell_limits();
    }

    /// Why `demand` would have to wait if it came now; `None` if it would not.
    #[must_use]
    pub fn outlook(&self, demand: &Demand, now: Timestamp) -> Option<Outlook> {
        let mut then = self.clone();
        let now = then.advance(now);
        then.denied(demand, now)
            .map(|denied| Outlook { reason: denied.reason, wait: denied.until.map(|until| until.since(now)) })
    }

    /// When `demand` is met at the soonest if those `ahead` of it come first, and why not before. `None` if that
    /// depends on other calls.
    pub(crate) fn ready_behind(
        &mut self,
        ahead: &[u64; 4],
        demand: &Demand,
        now: Timestamp,
    ) -> (WaitReason, Timestamp) {
        let now = self.advance(now);
        let mut latest = (WaitReason::Pause, self.closed_until.max(now));
        for (i, dimension) in self.dimensions.iter().enumerate() {
            let cost = costs(demand)[i];
            if let Some(dimension) = dimension.as_ref().filter(|_| cost > 0) {
                let at = dimension.bucket.ready_behind(ahead[i], cost, now);
                if at > latest.1 {
                    latest = (REASONS[i], at);
                }
            }
        }
        latest
    }

    /// When there is one place more although no call ends. One may well end before.
    pub(crate) fn places_grow_at(&self) -> Option<Timestamp> {
        self.places.grows_at()
    }

    /// Until when everybody stays away.
    #[must_use]
    pub const fn closed_until(&self) -> Timestamp {
        self.closed_until
    }

    /// How many calls are under way.
    #[must_use]
    pub const fn in_flight(&self) -> u32 {
        self.places.taken()
    }

    /// What was found out since the last call.
    pub fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// How things stand, for metrics and for people.
    #[must_use]
    pub fn snapshot(&self, now: Timestamp) -> Snapshot {
        let mut then = self.clone();
        let now = then.advance(now);
        let budget = |i: usize| {
            then.dimensions[i].as_ref().map(|dimension| Budget {
                level: dimension.bucket.level(now),
                burst: dimension.bucket.burst(),
                per_minute: dimension.bucket.rate().as_per_second() * 60.0,
                limit_per_minute: dimension.learner.limit().map(|limit| limit * 60.0),
                stage: dimension.learner.stage(),
                drift: dimension.drift,
            })
        };
        Snapshot {
            requests: budget(0),
            tokens: budget(1),
            input_tokens: budget(2),
            output_tokens: budget(3),
            in_flight: then.places.taken(),
            places: (then.places.limit() < u32::MAX).then(|| then.places.limit()),
            pause: (then.closed_until > now).then(|| then.closed_until.since(now)),
            waiting: 0,
            head: None,
        }
    }

    /// Time never goes back. After a jump what was counted is no longer an interval.
    #[inline]
    fn advance(&mut self, now: Timestamp) -> Timestamp {
        if now <= self.now {
            return self.now;
        }
        if now.since(self.now) > JUMP {
            self.dimensions.iter_mut().flatten().for_each(|dimension| dimension.learner.interrupt(now));
        }
        self.now = now;
        self.dimensions.iter_mut().flatten().for_each(|dimension| dimension.tick(now));
        self.places.tick(now);
        now
    }

    /// Whether nothing stands in the way: what [`denied`](Self::denied) says, without the reason.
    #[inline]
    fn has_room(&self, costs: &[u64; 4], now: Timestamp) -> bool {
        let there = |(dimension, cost): (&Option<Dimension>, &u64)| {
            dimension.as_ref().is_none_or(|dimension| *cost == 0 || dimension.bucket.has(*cost))
        };
        self.places.has_room()
            && self.closed_until.max(self.probe.until(now)) <= now
            && self.dimensions.iter().zip(costs).all(there)
    }

    #[inline(never)]
    fn denied(&self, demand: &Demand, now: Timestamp) -> Option<Denied> {
        if !self.places.has_room() {
            return Some(Denied { reason: WaitReason::Concurrency, until: None });
        }
        let mut latest =
            Denied { reason: WaitReason::Pause, until: Some(self.closed_until.max(self.probe.until(now))) };
        let costs = costs(demand);
        for (i, dimension) in self.dimensions.iter().enumerate() {
            if let Some(dimension) = dimension.as_ref().filter(|_| costs[i] > 0) {
                let at = Some(dimension.bucket.ready_at(costs[i], now));
                if at > latest.until {
                    latest = Denied { reason: REASONS[i], until: at };
                }
            }
        }
        (latest.until > Some(now)).then_some(latest)
    }

    fn dimension(&self, i: usize, limit: Limit) -> Option<Dimension> {
        let policy = LearnPolicy {
            initial: FIRST_GUESSES[i],
            utilisation: self.settings.utilisation,
            longest_hold: self.settings.longest_hold,
            longest_pause: self.settings.longest_pause,
            refusals_count: self.settings.refusals_count,
        };
        Dimension::new(limit, policy, self.settings.squeeze, self.now)
    }
}

const fn limits_of(limits: &Limits) -> [Limit; 4] {
    [limits.requests, limits.tokens, limits.input_tokens, limits.output_tokens]
}

const fn places(concurrency: Concurrency, now: Timestamp) -> Places {
    match concurrency {
        Concurrency::Hidden => Places::hidden(now),
        Concurrency::Told(places) => Places::told(places, now),
        Concurrency::Unlimited => Places::unlimited(now),
    }
}

const REASONS: [WaitReason; 4] = [WaitReason::Requests, WaitReason::Tokens, WaitReason::Tokens, WaitReason::Tokens];
/// What a hidden limit is taken for at first, per second: fifty small requests.
const FIRST_GUESSES: [f64; 4] = [50.0, 50_000.0, 40_000.0, 10_000.0];
/// A step of the clock, or a silence, after which nothing that was counted holds.
const JUMP: Duration = Duration::from_secs(30);
const FIRST_ROUND_TRIP: Duration = Duration::from_secs(1);
