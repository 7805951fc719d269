//! Finding a limit that nobody told, by accounting between two refusals.
//!
//! A server that counts with a bucket refuses when its bucket is empty. What it let through between two refusals, over
//! the time between them, is therefore its rate: exactly, unless its bucket was full in between; and a lower bound
//! always. So the learner never guesses while it can count. It holds a little below what it counted, then ramps up
//! ever faster until it is refused again, and counts anew.

mod catch_up;
mod interval;
mod phase;
mod react;
mod recent;
mod told;
mod words;

use std::time::Duration;

use bellwether_core::Timestamp;

use self::catch_up::CatchUp;
use self::phase::{Phase, probe, ramp};
use self::recent::Recent;
use crate::snapshot::Stage;

pub use self::words::{Flight, LearnPolicy, Reaction};

/// Finds one hidden limit.
///
/// Pure: it is told what was sent and what was refused, and says how fast to send. Estimates are floating-point
/// numbers; the bucket that keeps to them is exact.
#[derive(Clone, Debug)]
pub struct Learner {
    policy: LearnPolicy,
    /// What the provider or the user says the limit is, per second.
    ceiling: Option<f64>,
    phase: Phase,
    /// The rate the phase starts from, per second.
    base: f64,
    /// The rate last counted, and how many seconds of counting it rests on.
    counted: Option<Counted>,
    /// Whether `base` is a guess that was not counted.
    guess: bool,
    hold: f64,
    /// The highest limit of late; forgotten slowly.
    best: f64,
    best_at: Timestamp,
    /// Refusals in a row with nothing let through in between.
    streak: u32,
    /// The rate that the first of these put in doubt.
    doubted: Option<f64>,
    /// What everything sent so far took, refused or not.
    sent: u64,
    /// How many requests that were.
    count: u64,
    /// What they took beyond that before the first refusal.
    more: u64,
    /// Up to which of them answers came.
    heard: u64,
    /// When the first of them was sent.
    started: Timestamp,
    catch_up: CatchUp,
    /// The pause that the last refusal called for, in seconds.
    needed: f64,
    /// What the refusal before this interval left behind.
    since: Option<Since>,
    last: Option<Last>,
    /// How long to stay away after a refusal, in times that its cost takes to come in.
    pause_costs: f64,
    /// What a provider that counts refusals counted since.
    owed: u64,
    /// Calls sent until then belong to the refusal that was already heard.
    reacted_at: Option<Timestamp>,
    recent: Recent,
    ticked: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Counted {
    rate: f64,
    weight: f64,
}

#[derive(Clone, Copy, Debug)]
struct Since {
    at: Timestamp,
    /// How many requests were sent until then, and what they took.
    number: u64,
    cost: u64,
    /// What the refused request wanted.
    last: u64,
    /// How many requests sent since were refused; what came back of what was sent since, and what that took beyond it.
    refused: u64,
    returned: u64,
    more: u64,
}

/// The refusal that was last heard: its request, and how many sent after it were refused with it.
#[derive(Clone, Copy, Debug)]
struct Last {
    number: u64,
    refused: u64,
}

// === impl Learner ===

impl Learner {
    /// A learner that knows nothing.
    #[must_use]
    pub fn new(policy: LearnPolicy, now: Timestamp) -> Self {
        Self {
            policy,
            ceiling: None,
            phase: Phase::Startup { answers: 0.0 },
            base: policy.initial,
            counted: None,
            guess: true,
            hold: FIRST_HOLD,
            best: 0.0,
            best_at: now,
            streak: 0,
            doubted: None,
            sent: 0,
            count: 0,
            more: 0,
            heard: 0,
            started: now,
            catch_up: CatchUp::default(),
            needed: 0.0,
            since: None,
            last: None,
            pause_costs: PAUSE_COSTS,
            owed: 0,
            reacted_at: None,
            recent: Recent::default(),
            ticked: now,
        }
    }

    /// Goes on to `now`; `idle` of the time since the last call the budget was full, so that nobody wanted more.
    /// Says how fast to send, per second; `None` if as fast as it was told.
    pub fn tick(&mut self, now: Timestamp, idle: Duration) -> Option<f64> {
        let passed = now.since(self.ticked).as_secs_f64();
        self.ticked = self.ticked.max(now);
        let busy = (passed - idle.as_secs_f64()).max(0.0);
        let busy = if busy >= BUSY_SHARE * passed { busy } else { 0.0 };
        self.catch_up.pass(self.base, busy);
        if self.phase == Phase::Told {
            return None;
        }
        let leak = IDLE_COSTS * idle.as_secs_f64() * self.rate() / self.mean();
        match &mut self.phase {
            Phase::Startup { answers } => *answers = (*answers - leak).max(0.0),
            Phase::Hold { until } if *until <= now => {
                self.phase = Phase::Ramp { over: now.since(*until).as_secs_f64().min(busy) };
            }
            Phase::Probe { step, over } => {
                *over += busy;
                if *over >= LONGEST_PROBE {
                    self.base *= probe(*step, LONGEST_PROBE);
                    self.guess = true;
                    self.phase = Phase::Ramp { over: 0.0 };
                }
            }
            Phase::Ramp { over } => {
                *over += busy;
                if *over >= LONGEST_RAMP {
                    self.base *= self.policy.utilisation + ramp(LONGEST_RAMP);
                    self.guess = true;
                    *over = 0.0;
                }
            }
            Phase::Hold { .. } | Phase::Told => {}
        }
        if let Some(ceiling) = self.ceiling.filter(|ceiling| self.phase != Phase::Told && self.rate() >= *ceiling) {
            self.believe(ceiling);
        }
        (self.phase != Phase::Told).then(|| self.rate())
    }

    /// Nobody sends for that long after a refusal; what it holds for begins after that.
    pub fn paused(&mut self, pause: Duration) {
        if let Phase::Hold { until } = &mut self.phase {
            *until = *until + pause;
            self.catch_up_after(pause);
        }
    }

    /// What comes in during a pause that is longer than it need be is to be used.
    pub(crate) fn catch_up_after(&mut self, pause: Duration) {
        // Up to a tenth more is drawn by lot.
        self.catch_up.begin(self.base, pause.as_secs_f64() - 1.1 * self.needed);
    }

    /// Whether there is still something of a pause to be used.
    pub(crate) fn is_catching_up(&self) -> bool {
        self.catch_up.is_on()
    }

    /// When it was last told the time.
    #[must_use]
    pub const fn ticked(&self) -> Timestamp {
        self.ticked
    }

    /// A clock that jumped, or a long silence: what was counted is no longer an interval.
    pub fn interrupt(&mut self, now: Timestamp) {
        (self.since, self.last) = (None, None);
        self.ticked = now;
        if matches!(self.phase, Phase::Hold { .. } | Phase::Probe { .. } | Phase::Ramp { .. }) {
            self.hold_for(self.hold, now);
        }
    }

    /// A request was sent. Gives back what its [`Flight`] has to remember as `before`.
    #[inline]
    pub fn sent(&mut self, cost: u64, now: Timestamp) -> u64 {
        let before = self.sent;
        self.sent = before.saturating_add(cost);
        self.count += 1;
        if before == 0 {
            self.started = now;
        }
        // What was sent of late is asked for only where a limit is looked for.
        if self.phase != Phase::Told {
            self.recent.add(cost, now);
        }
        before
    }

    /// `flight` did not take that much of its cost after all.
    #[inline]
    pub fn returned(&mut self, flight: &Flight, cost: u64) {
        if let Some(since) = self.since.as_mut().filter(|since| flight.sent > since.at) {
            since.returned = since.returned.saturating_add(cost);
        }
    }

    /// `flight` took so much more than its cost.
    #[inline]
    pub fn took_more(&mut self, flight: &Flight, cost: u64) {
        match &mut self.since {
            Some(since) if flight.sent > since.at => since.more = since.more.saturating_add(cost),
            Some(_) => {}
            None => self.more = self.more.saturating_add(cost),
        }
    }

    /// `flight` took nothing, and counts for nothing.
    pub fn void(&mut self, flight: &Flight) {
        self.returned(flight, flight.cost);
        if let Some(since) = self.since.as_mut().filter(|since| flight.sent > since.at) {
            since.refused = since.refused.saturating_add(1);
        }
    }

    /// A request was let in, so the provider gives something.
    #[inline]
    pub fn admitted(&mut self, flight: &Flight) {
        if self.reacted_at.is_none_or(|reacted| flight.sent > reacted) {
            if self.streak >= SURE_BLACKOUT {
                // What is counted from here on was not let in while it was down.
                self.anchor(flight);
            }
            self.streak = 0;
        }
        if flight.number >= self.heard {
            if let Phase::Startup { answers } = &mut self.phase {
                *answers += (flight.number + 1 - self.heard) as f64;
            }
            self.heard = flight.number + 1;
        }
    }

    /// What a request takes on the average.
    fn mean(&self) -> f64 {
        self.sent.max(1) as f64 / self.count.max(1) as f64
    }

    /// `flight` was refused for want of this budget.
    pub fn refused(&mut self, flight: &Flight, now: Timestamp) -> Reaction {
        let news = self.reacted_at.is_none_or(|reacted| flight.sent > reacted);
        let mut blackout = None;
        if news {
            self.catch_up.refused();
            let nothing = self.last.is_some_and(|last| flight.number <= last.number + last.refused + 1);
            self.streak = if nothing { self.streak.saturating_add(1) } else { 0 };
            // A first request after a pause that is refused too says that the pause was too short.
            self.pause_costs = if nothing { self.pause_costs + 1.0 } else { self.pause_costs * PAUSE_DECAY };
            self.pause_costs = self.pause_costs.clamp(PAUSE_COSTS, MOST_PAUSE_COSTS);
            if self.streak >= SURE_BLACKOUT {
                // It is down, and that says nothing of the limit: what the refusal before took for one is.
                self.base = self.doubted.take().map_or(self.base, |base| base.max(self.base));
                self.hold_for(FIRST_HOLD, now);
                let wait = FIRST_BLACKOUT * f64::from(self.streak.min(20)).exp2();
                blackout = Some(seconds(wait.min(LONGEST_BLACKOUT)).min(self.policy.longest_pause));
            } else {
                let base = self.base;
                self.adapt(flight, now);
                self.doubted = nothing.then_some(base);
            }
            self.reacted_at = Some(now);
            self.last = Some(Last { number: flight.number, refused: 0 });
            self.owed = 0;
        } else if let Some(last) = &mut self.last {
            last.refused += u64::from(flight.number > last.number);
        }
        if self.policy.refusals_count {
            self.owed = self.owed.saturating_add(flight.cost);
        } else {
            self.void(flight);
        }
        let missing = self.pause_costs * flight.cost.max(1) as f64 + self.owed as f64;
        self.needed = missing / self.base.max(LEAST);
        let pause = seconds(self.needed);
        blackout.map_or(Reaction::Pause(pause), |wait| Reaction::Blackout(wait.max(pause)))
    }

    /// How fast to send now, per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        let rate = match self.phase {
            Phase::Startup { answers } => {
                self.base.max(STARTS_PER_SECOND * self.mean()) * (1.0 + answers / ANSWERS_TO_DOUBLE)
            }
            Phase::Hold { .. } if self.catch_up.is_on() => self.base * (1.0 + self.policy.utilisation),
            Phase::Hold { .. } => self.base * self.policy.utilisation,
            Phase::Probe { step, over } => self.base * probe(step, over),
            Phase::Ramp { over } => self.base * (self.policy.utilisation + ramp(over)),
            Phase::Told => self.base,
        };
        rate.max(LEAST).min(self.ceiling.unwrap_or(f64::INFINITY))
    }

    /// Whether the limit is one that was counted or told, and not a guess.
    #[must_use]
    pub const fn is_sure(&self) -> bool {
        !self.guess
    }

    /// The limit as far as it is known, per second.
    #[must_use]
    pub fn limit(&self) -> Option<f64> {
        match self.phase {
            Phase::Told => Some(self.base),
            _ => self.counted.filter(|_| !self.guess).map(|_| self.base),
        }
    }

    /// How the limit is known.
    #[must_use]
    pub const fn stage(&self) -> Stage {
        match self.phase {
            Phase::Startup { .. } => Stage::Startup,
            Phase::Hold { .. } => Stage::Hold,
            Phase::Probe { .. } | Phase::Ramp { .. } => Stage::Ramp,
            Phase::Told => Stage::Told,
        }
    }

    /// What everything sent so far took, refused or not.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.sent
    }

    /// How far a refusal of `flight` now would contradict what is known: the share of the limit that was used since
    /// the last refusal.
    #[must_use]
    pub fn suspicion(&self, flight: &Flight) -> f64 {
        match self.interval(flight) {
            Some(interval) if interval.seconds > 0.0 => interval.cost / interval.seconds / self.base.max(LEAST),
            _ => self.rate() / self.base.max(LEAST),
        }
    }

    fn hold_for(&mut self, hold: f64, now: Timestamp) {
        self.phase = Phase::Hold { until: now + seconds(hold) };
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

/// What a startup lets through a second, whatever it costs. A first small team run waits for nothing visible, and a
/// provider with a small bucket refuses the few that are on the way.
const STARTS_PER_SECOND: f64 = 50.0;
/// How many answers double it. They are signs that there is more; time alone is none.
const ANSWERS_TO_DOUBLE: f64 = 50.0;
/// How many answers a request that nobody wanted to send outweighs: what was not asked for says nothing.
const IDLE_COSTS: f64 = 0.5;
const FIRST_HOLD: f64 = 1.0;
const LONGEST_RAMP: f64 = 8.0;
const LONGEST_PROBE: f64 = 4.0;
const BUSY_SHARE: f64 = 0.8;
const PAUSE_COSTS: f64 = 1.2;
const FIRST_BLACKOUT: f64 = 0.125;
const PAUSE_DECAY: f64 = 0.9;
const MOST_PAUSE_COSTS: f64 = 4.0;
const SURE_BLACKOUT: u32 = 2;
const LONGEST_BLACKOUT: f64 = 15.0;
/// One a minute.
const LEAST: f64 = 1.0 / 60.0;
