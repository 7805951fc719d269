//! Finding a limit that nobody told, by accounting between two refusals.
//!
//! A server that counts with a bucket refuses when its bucket is empty. What it let through between two refusals, over
//! the time between them, is therefore its rate: exactly, unless its bucket was full in between; and a lower bound
//! always. So the learner never guesses while it can count. It holds a little below what it counted, then ramps up
//! ever faster until it is refused again, and counts anew.

mod interval;
mod phase;
mod recent;
mod words;

use std::time::Duration;

use bellwether_core::Timestamp;

use self::interval::Interval;
use self::phase::{Phase, ramp};
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
    /// What everything sent so far took, refused or not.
    sent: u64,
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
    /// How many requests sent since were refused, and what came back of what was sent since.
    refused: u64,
    returned: u64,
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
            phase: Phase::Startup { over: 0.0 },
            base: policy.initial,
            counted: None,
            guess: true,
            hold: FIRST_HOLD,
            best: 0.0,
            best_at: now,
            streak: 0,
            sent: 0,
            since: None,
            last: None,
            pause_costs: PAUSE_COSTS,
            owed: 0,
            reacted_at: None,
            recent: Recent::default(),
            ticked: now,
        }
    }

    /// A learner that is told the limit, and doubts it only if the provider refuses well below it.
    #[must_use]
    pub fn told(policy: LearnPolicy, limit: f64, now: Timestamp) -> Self {
        let mut learner = Self::new(policy, now);
        learner.ceiling = Some(limit);
        learner.believe(limit);
        learner
    }

    /// Hears what the limit is.
    pub fn tell(&mut self, limit: f64, now: Timestamp) {
        let old = self.ceiling.replace(limit);
        let news = old.is_none_or(|old| (limit / old - 1.0).abs() > 1e-9);
        if news || self.base > limit {
            self.believe(limit);
            self.ticked = now;
        }
    }

    /// Forgets the ceiling, and looks for the limit from where it is.
    pub fn untell(&mut self, now: Timestamp) {
        if self.ceiling.take().is_some() && self.phase == Phase::Told {
            self.hold_for(FIRST_HOLD, now);
        }
    }

    fn believe(&mut self, limit: f64) {
        self.phase = Phase::Told;
        self.base = limit;
        self.guess = false;
        self.hold = FIRST_HOLD;
    }

    /// Goes on to `now`; `idle` of the time since the last call the budget was full, so that nobody wanted more.
    /// Says how fast to send, per second; `None` if as fast as it was told.
    pub fn tick(&mut self, now: Timestamp, idle: Duration) -> Option<f64> {
        if self.phase == Phase::Told {
            self.ticked = self.ticked.max(now);
            return None;
        }
        let passed = now.since(self.ticked).as_secs_f64();
        self.ticked = self.ticked.max(now);
        let busy = (passed - idle.as_secs_f64()).max(0.0);
        let busy = if busy >= BUSY_SHARE * passed { busy } else { 0.0 };
        match &mut self.phase {
            Phase::Startup { over } => *over += busy,
            Phase::Hold { until } if *until <= now => {
                self.phase = Phase::Ramp { over: now.since(*until).as_secs_f64().min(busy) };
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
        }
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
        if matches!(self.phase, Phase::Hold { .. } | Phase::Ramp { .. }) {
            self.hold_for(self.hold, now);
        }
    }

    /// A request was sent. Gives back what its [`Flight`] has to remember as `before`.
    pub fn sent(&mut self, cost: u64, now: Timestamp) -> u64 {
        let before = self.sent;
        self.sent = before.saturating_add(cost);
        self.recent.add(cost, now);
        before
    }

    /// `flight` did not take that much of its cost after all.
    pub fn returned(&mut self, flight: &Flight, cost: u64) {
        if let Some(since) = self.since.as_mut().filter(|since| flight.sent > since.at) {
            since.returned = since.returned.saturating_add(cost);
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
    pub fn admitted(&mut self, flight: &Flight) {
        if self.reacted_at.is_none_or(|reacted| flight.sent > reacted) {
            self.streak = 0;
        }
    }

    /// `flight` was refused for want of this budget.
    pub fn refused(&mut self, flight: &Flight, now: Timestamp) -> Reaction {
        let news = self.reacted_at.is_none_or(|reacted| flight.sent > reacted);
        let mut blackout = None;
        if news {
            let nothing = self.last.is_some_and(|last| flight.number <= last.number + last.refused + 1);
            self.streak = if nothing { self.streak.saturating_add(1) } else { 0 };
            // A first request after a pause that is refused too says that the pause was too short.
            self.pause_costs = if nothing { self.pause_costs + 1.0 } else { self.pause_costs * PAUSE_DECAY };
            self.pause_costs = self.pause_costs.clamp(PAUSE_COSTS, MOST_PAUSE_COSTS);
            if self.streak >= SURE_BLACKOUT {
                self.hold_for(FIRST_HOLD, now);
                let wait = FIRST_BLACKOUT * f64::from(self.streak.min(20)).exp2();
                blackout = Some(seconds(wait.min(LONGEST_BLACKOUT)).min(self.policy.longest_pause));
            } else {
                self.adapt(flight, now);
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
        let pause = seconds(missing / self.base.max(LEAST));
        blackout.map_or(Reaction::Pause(pause), |wait| Reaction::Blackout(wait.max(pause)))
    }

    /// How fast to send now, per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        let rate = match self.phase {
            Phase::Startup { over } => {
                let quick = over.min(QUICK_DOUBLINGS);
                self.base * (quick + (over - quick) / 2.0).min(MOST_DOUBLINGS).exp2()
            }
            Phase::Hold { .. } => self.base * self.policy.utilisation,
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
            Phase::Ramp { .. } => Stage::Ramp,
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

    /// What was let through between the refusal that counting began with and `flight`.
    fn interval(&self, flight: &Flight) -> Option<Interval> {
        let since = self.since?;
        let cost = flight.before.saturating_sub(since.cost).saturating_sub(since.returned);
        let count = flight.number.saturating_sub(since.number).saturating_sub(1).saturating_sub(since.refused);
        Some(Interval {
            cost: cost as f64,
            count,
            seconds: flight.sent.since(since.at).as_secs_f64(),
            first: since.last as f64,
            refused: since.refused as f64,
            last: flight.cost as f64,
        })
    }

    fn adapt(&mut self, flight: &Flight, now: Timestamp) {
        let rate = self.rate();
        let recent = self.recent.per_second(now);
        let Some(interval) = self.interval(flight) else {
            self.first_refusal(rate, recent, now);
            return self.anchor(flight);
        };
        if interval.count >= ENOUGH_REQUESTS && interval.seconds >= ENOUGH_SECONDS {
            self.count(&interval, rate, recent, now);
            return self.anchor(flight);
        }
        // Too little to count by; but it may be too little to be explained by what is believed.
        // A provider that counts refusals without saying so explains a part of it.
        let explained = interval.cost + interval.last * (1.0 + interval.refused);
        if self.phase != Phase::Told && self.base * interval.seconds > explained {
            let at_most = explained / interval.seconds.max(1e-3);
            self.base = at_most.clamp(LARGEST_DECREASE * self.base, SMALLEST_DECREASE * self.base);
            self.guess = true;
            self.hold = FIRST_HOLD;
        }
        if self.phase != Phase::Told {
            self.hold_for(self.hold, now);
        }
    }

    /// Counting begins anew with this refusal.
    fn anchor(&mut self, flight: &Flight) {
        self.since = Some(Since {
            at: flight.sent,
            number: flight.number,
            cost: flight.before.saturating_add(flight.cost),
            last: flight.cost,
            refused: 0,
            returned: 0,
        });
    }

    fn first_refusal(&mut self, rate: f64, recent: f64, now: Timestamp) {
        if self.phase == Phase::Told {
            return;
        }
        self.base = (DECREASE * rate).min(recent.max(DECREASE / 2.0 * rate));
        self.counted = None;
        self.guess = true;
        self.hold_for(GUESS_HOLD, now);
    }

    /// A whole interval between two refusals was counted.
    fn count(&mut self, interval: &Interval, rate: f64, recent: f64, now: Timestamp) {
        let told = self.phase == Phase::Told;
        let old = self.counted;
        let passed = interval.seconds;
        let sample = interval.cost / passed;
        let confirmed = old.is_some_and(|old| interval.confirms(old.rate));
        let counted = match old {
            Some(old) if confirmed => Counted {
                rate: (old.rate * old.weight + sample * passed) / (old.weight + passed),
                weight: (old.weight + passed).min(LONGEST_MEMORY),
            },
            _ => Counted { rate: sample, weight: passed.min(LONGEST_MEMORY) },
        };
        self.counted = Some(counted);
        if told && sample >= TOLD_IS_TRUE * self.base {
            return;
        }
        if !told && rate > 2.0 * self.base && recent > JUMPED * sample {
            self.base = DECREASE * recent;
            self.guess = true;
            return self.hold_for(GUESS_HOLD, now);
        }
        self.base = counted.rate;
        self.guess = false;
        self.best = self.base.max(self.best * (-now.since(self.best_at).as_secs_f64() / BEST_FORGOTTEN).exp());
        self.best_at = now;
        self.hold = if confirmed { 2.0 * self.hold } else { FIRST_HOLD };
        // The further it fell below what it was, the sooner it may be back.
        let longest = self.policy.longest_hold.as_secs_f64() * (self.base / self.best).powf(FALLEN);
        self.hold = self.hold.min(longest.max(FIRST_HOLD));
        self.hold_for(self.hold, now);
    }

    fn hold_for(&mut self, hold: f64, now: Timestamp) {
        self.phase = Phase::Hold { until: now + seconds(hold) };
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

/// How much sooner: at two fifths of what it was, after a quarter of the time.
const FALLEN: f64 = 1.5;
const BEST_FORGOTTEN: f64 = 120.0;
const FIRST_HOLD: f64 = 1.0;
const GUESS_HOLD: f64 = 0.5;
const DECREASE: f64 = 0.7;
const LONGEST_RAMP: f64 = 8.0;
/// How many doublings take a second each.
const QUICK_DOUBLINGS: f64 = 3.0;
const MOST_DOUBLINGS: f64 = 40.0;
const BUSY_SHARE: f64 = 0.8;
const TOLD_IS_TRUE: f64 = 0.9;
const JUMPED: f64 = 1.5;
const ENOUGH_REQUESTS: u64 = 8;
const ENOUGH_SECONDS: f64 = 1.5;
const LONGEST_MEMORY: f64 = 20.0;
const PAUSE_COSTS: f64 = 1.2;
const FIRST_BLACKOUT: f64 = 0.125;
const PAUSE_DECAY: f64 = 0.9;
const MOST_PAUSE_COSTS: f64 = 4.0;
const SURE_BLACKOUT: u32 = 2;
const LARGEST_DECREASE: f64 = 0.5;
const SMALLEST_DECREASE: f64 = 0.95;
const LONGEST_BLACKOUT: f64 = 15.0;
/// One a minute.
const LEAST: f64 = 1.0 / 60.0;
