//! What the seed decides: the provider's limits and moods, the budget, the teams and what befalls them.

use std::num::NonZeroU32;
use std::time::Duration;

use bellwether_core::Class;
use bellwether_sim::Limit;
use fastrand::Rng;

/// One world.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) seed: u64,
    /// The provider's limits; the first from the start, a later one after a while.
    pub(crate) limits: Vec<Limit>,
    /// Whether we are told them. Then there is only one, and it is never to be exceeded.
    pub(crate) told: bool,
    /// Whether refusals and answers say how things stand.
    pub(crate) headers: bool,
    pub(crate) moods: Moods,
    pub(crate) budget: Budget,
    pub(crate) runs: Vec<Run>,
    /// Whether a breaker and a retry budget stand before the provider, as they do in a team file's parts.
    pub(crate) guarded: bool,
}

/// How the provider treats calls that it lets in: shares of all.
#[derive(Debug)]
pub(crate) struct Moods {
    pub(crate) overloaded: f64,
    pub(crate) upstream: f64,
    pub(crate) reset: f64,
    pub(crate) stall: f64,
    pub(crate) cut: f64,
    /// Answers that no agent can use.
    pub(crate) garbage: f64,
    /// The longest time until the first piece of an answer.
    pub(crate) latency: Duration,
    /// From when to when every call fails, and whether with a 429.
    pub(crate) outage: Option<(Duration, Duration, bool)>,
    /// From when to when the account has nothing left.
    pub(crate) dry: Option<(Duration, Duration)>,
}

/// The caps, for everything together.
#[derive(Debug)]
pub(crate) struct Budget {
    pub(crate) calls: Option<u64>,
    pub(crate) tokens: Option<u64>,
    pub(crate) money: bool,
}

/// One run of one team.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) begins: Duration,
    pub(crate) class: Class,
    pub(crate) weight: NonZeroU32,
    pub(crate) parallel: usize,
    pub(crate) planner: bool,
    pub(crate) reviewer: bool,
    pub(crate) rounds: u32,
    pub(crate) right_size: bool,
    pub(crate) attempts: u32,
    pub(crate) deadline: Option<Duration>,
    pub(crate) timeout: Duration,
    pub(crate) journal: bool,
    pub(crate) befalls: Option<(Duration, Misfortune)>,
}

/// What befalls a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Misfortune {
    /// Its process ends without a word.
    Crash,
    /// Somebody asks it to stop.
    Drain,
    /// Somebody stops it at once.
    Halt,
}

impl World {
    pub(crate) fn of(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let told = rng.bool();
        let mut limits = vec![limit(&mut rng)];
        if !told && rng.bool() {
            limits.push(Limit { at: Duration::from_secs(rng.u64(2..60)), ..limit(&mut rng) });
        }
        let runs = (0..rng.usize(1..=3)).map(|_| Run::of(&mut rng)).collect();
        let (headers, moods, budget) = (rng.bool(), Moods::of(&mut rng), Budget::of(&mut rng));
        Self { seed, limits, told, headers, moods, budget, runs, guarded: rng.u32(..4) > 0 }
    }
}

/// A bucket of requests, of tokens or of both; every call of a team fits into it when it is full.
fn limit(rng: &mut Rng) -> Limit {
    let some = |number: u32| NonZeroU32::new(number);
    let rpm = rng.u32(6..400);
    let tpm = rng.u32(10_000..300_000);
    Limit {
        rpm: some(rpm).filter(|_| rng.u32(..4) > 0),
        burst: some(rng.u32(1..=rpm.div_ceil(10))),
        tpm: some(tpm).filter(|_| rng.bool()),
        burst_tokens: some(rng.u32(8_000..20_000)),
        concurrency: some(rng.u32(1..=8)).filter(|_| rng.bool()),
        ..Limit::default()
    }
}

impl Moods {
    fn of(rng: &mut Rng) -> Self {
        // Most worlds have few sorts of trouble, some have all.
        let mut share = |most: f64| if rng.u32(..3) == 0 { rng.f64() * most } else { 0.0 };
        let (overloaded, upstream, reset) = (share(0.3), share(0.1), share(0.2));
        let (stall, cut, garbage) = (share(0.1), share(0.2), share(0.2));
        let latency = Duration::from_millis(rng.u64(1..4_000));
        let begins = Duration::from_millis(rng.u64(..20_000));
        let lasts = Duration::from_millis(rng.u64(100..90_000));
        let outage = (rng.u32(..4) == 0).then(|| (begins, begins + lasts, rng.bool()));
        let begins = Duration::from_millis(rng.u64(..20_000));
        let lasts = Duration::from_millis(rng.u64(100..150_000));
        let dry = (rng.u32(..8) == 0).then(|| (begins, begins + lasts));
        Self { overloaded, upstream, reset, stall, cut, garbage, latency, outage, dry }
    }
}

impl Budget {
    fn of(rng: &mut Rng) -> Self {
        let tight = rng.u32(..4) == 0;
        Self {
            calls: tight.then(|| rng.u64(5..60)),
            tokens: (tight && rng.bool()).then(|| rng.u64(10_000..200_000)),
            money: rng.bool(),
        }
    }
}

impl Run {
    fn of(rng: &mut Rng) -> Self {
        let classes = [Class::Interactive, Class::Standard, Class::Batch];
        let moment = |rng: &mut Rng, most: u64| Duration::from_millis(rng.u64(..most));
        let misfortunes = [Misfortune::Crash, Misfortune::Drain, Misfortune::Halt];
        let befalls = (rng.u32(..3) == 0).then(|| (moment(rng, 20_000), misfortunes[rng.usize(..3)]));
        Self {
            begins: moment(rng, 5_000),
            class: classes[rng.usize(..3)],
            weight: NonZeroU32::MIN.saturating_add(rng.u32(..4)),
            parallel: rng.usize(1..=6),
            planner: rng.u32(..5) > 0,
            reviewer: rng.u32(..4) > 0,
            rounds: rng.u32(..3),
            right_size: rng.u32(..4) == 0,
            attempts: rng.u32(1..=3),
            deadline: (rng.u32(..4) == 0).then(|| moment(rng, 120_000)),
            timeout: Duration::from_millis(rng.u64(2_000..60_000)),
            // What crashes without one is gone.
            journal: befalls.is_some() || rng.bool(),
            befalls,
        }
    }
}
