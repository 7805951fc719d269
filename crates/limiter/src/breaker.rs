//! Whether to ask a provider at all while it keeps failing.

use std::collections::VecDeque;
use std::time::Duration;

use bellwether_core::Timestamp;

/// A circuit breaker (Nygard, "Release It!", 2007) for calls that take long.
///
/// It opens when at least half of the last calls met a fault of the server. A 429 is no fault: it says that the server
/// is well and we are too fast. After a while it lets one call through, then two, four, eight; when they succeed it
/// closes, and a fault opens it again for twice as long. Judge a call when the head of its answer comes, not at its
/// end: a window that is shorter than a call would be empty of successes.
///
/// ```
/// use bellwether_core::Timestamp;
/// use bellwether_limiter::{Breaker, BreakerPolicy, Verdict};
///
/// let mut breaker = Breaker::new(BreakerPolicy::default(), 1);
/// let now = Timestamp::from_millis(1_000);
/// for _ in 0..10 {
///     let pass = breaker.admit(now).expect("it is closed");
///     breaker.judge(pass, Verdict::Fault, now);
/// }
/// let until = breaker.admit(now).unwrap_err();
/// assert!(until > now);
/// assert!(breaker.admit(until).is_ok(), "one call finds out");
/// ```
#[derive(Clone, Debug)]
pub struct Breaker {
    policy: BreakerPolicy,
    state: State,
    /// Counts states, so that a call of an earlier one is not judged in a later one.
    epoch: u64,
    /// How often it opened in a row.
    opened: u32,
    rng: fastrand::Rng,
}

/// When a [`Breaker`] opens, and for how long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BreakerPolicy {
    /// How many calls it remembers.
    pub calls: usize,
    /// How long it remembers them; longer than a call takes until it is judged.
    pub window: Duration,
    /// How many it must have seen to judge.
    pub least: usize,
    /// The share of faults, in percent, at which it opens.
    pub percent: u8,
    /// How long it stays open the first time.
    pub first: Duration,
    /// How long it stays open at most, up to a tenth of jitter aside.
    pub longest: Duration,
    /// How many calls in a row have to succeed before it closes.
    pub trials: u32,
}

/// The right to send one call; what becomes of it is told with [`Breaker::judge`].
#[derive(Debug, Eq, PartialEq)]
#[must_use = "a pass that is never judged or returned keeps a half-open breaker waiting"]
pub struct Pass(u64);

/// How a call went, as a breaker sees it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The server failed: 5xx, no connection, no answer in time.
    Fault,
    /// The server is well: an answer, a 4xx, a 429.
    Fine,
    /// Nobody knows: the call was cancelled.
    Unknown,
}

#[derive(Clone, Debug)]
enum State {
    Closed { seen: VecDeque<(Timestamp, bool)>, faults: usize },
    HalfOpen { out: u32, allowed: u32, fine: u32 },
    Open { until: Timestamp },
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            calls: 100,
            window: Duration::from_secs(60),
            least: 10,
            percent: 50,
            first: Duration::from_secs(5),
            longest: Duration::from_secs(60),
            trials: 7,
        }
    }
}

// === impl Breaker ===

impl Breaker {
    /// A closed breaker; `seed` decides its jitter.
    #[must_use]
    pub fn new(policy: BreakerPolicy, seed: u64) -> Self {
        let state = State::Closed { seen: VecDeque::new(), faults: 0 };
        Self { policy, state, epoch: 0, opened: 0, rng: fastrand::Rng::with_seed(seed) }
    }

    /// Whether a call may be sent now.
    ///
    /// # Errors
    ///
    /// When to ask again; later than `now`.
    pub fn admit(&mut self, now: Timestamp) -> Result<Pass, Timestamp> {
        if matches!(self.state, State::Open { until } if until <= now) {
            self.enter(State::HalfOpen { out: 0, allowed: 1, fine: 0 });
        }
        match &mut self.state {
            State::Closed { .. } => {}
            State::HalfOpen { out, allowed, .. } if *out < *allowed => *out += 1,
            State::HalfOpen { .. } => return Err(now + TRIAL),
            State::Open { until } => return Err(*until),
        }
        Ok(Pass(self.epoch))
    }

    /// Hears how a call went. Calls that were sent before the state changed say nothing.
    pub fn judge(&mut self, pass: Pass, verdict: Verdict, now: Timestamp) {
        if pass.0 != self.epoch {
            return;
        }
        match &mut self.state {
            State::Closed { seen, faults } => {
                if verdict == Verdict::Unknown {
                    return;
                }
                seen.push_back((now, verdict == Verdict::Fault));
                *faults += usize::from(verdict == Verdict::Fault);
                let policy = self.policy;
                while seen.len() > policy.calls || seen.front().is_some_and(|(at, _)| now.since(*at) > policy.window) {
                    *faults -= seen.pop_front().map_or(0, |(_, fault)| usize::from(fault));
                }
                let enough = verdict == Verdict::Fault && seen.len() >= policy.least;
                if enough && *faults * 100 >= seen.len() * usize::from(policy.percent) {
                    self.open(now);
                }
            }
            State::HalfOpen { out, allowed, fine } => {
                *out = out.saturating_sub(1);
                match verdict {
                    Verdict::Fault => self.open(now),
                    Verdict::Fine => {
                        *fine += 1;
                        *allowed = allowed.saturating_mul(2);
                        if *fine >= self.policy.trials {
                            self.opened = 0;
                            self.enter(State::Closed { seen: VecDeque::new(), faults: 0 });
                        }
                    }
                    Verdict::Unknown => {}
                }
            }
            State::Open { .. } => {}
        }
    }

    /// Until when it is open, if it is.
    #[must_use]
    pub const fn open_until(&self) -> Option<Timestamp> {
        match self.state {
            State::Open { until } => Some(until),
            _ => None,
        }
    }

    /// Whether calls pass without being counted as trials.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    fn open(&mut self, now: Timestamp) {
        let wait = self.policy.first.saturating_mul(2u32.saturating_pow(self.opened)).min(self.policy.longest);
        self.opened = self.opened.saturating_add(1);
        let until = now + wait + wait.mul_f64(0.1 * self.rng.f64());
        self.enter(State::Open { until });
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.epoch += 1;
    }
}

/// When to ask again while the trials are under way.
const TRIAL: Duration = Duration::from_millis(100);
