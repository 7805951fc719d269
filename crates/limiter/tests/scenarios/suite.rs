//! The scenarios, the same for everybody.

use std::time::Duration;

use bellwether_limiter::{Concurrency, Limit, Limits, Rate, Settings};

use super::rivals::{Backoff, NetflixAimd, Ours, PacedCubic};
use super::world::{Client, Costs, Kind, Report, RetryAfter, World};

/// A provider, and what our client is told about it.
#[derive(Clone)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) world: World,
    pub(crate) limits: Limits,
    pub(crate) processes: u64,
}

/// The averages over some seeds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) goodput: f64,
    pub(crate) worst: f64,
    pub(crate) refused: f64,
    /// Refusals once the first seconds are over.
    pub(crate) late: u64,
    pub(crate) converged: Vec<Option<f64>>,
    pub(crate) jain: f64,
}

pub(crate) fn hidden() -> Limits {
    Limits { requests: Limit::Hidden, concurrency: Concurrency::Unlimited, ..Limits::NONE }
}

/// 10, then 4, then 20 requests a second.
pub(crate) fn steps() -> World {
    World { schedule: vec![(0.0, 10.0), (90.0, 4.0), (150.0, 20.0)], seconds: 300, ..World::default() }
}

/// 80, then 30, then 120 requests a second, as in the batches of `docs/BATCH.md`: who is refused hears the limit.
pub(crate) fn named() -> World {
    let schedule = vec![(0.0, 80.0), (20.0, 30.0), (40.0, 120.0)];
    World { schedule, seconds: 100, names: true, retry_after: RetryAfter::WholeSeconds, ..World::default() }
}

/// So many requests a second, except for ten seconds in which all are refused.
pub(crate) fn down(rate: f64, retry_after: RetryAfter) -> World {
    let schedule = vec![(0.0, rate), (20.0, 1e-6), (30.0, rate)];
    World { schedule, seconds: 60, retry_after, ..World::default() }
}

pub(crate) fn all() -> Vec<Scenario> {
    let of = |name, world, limits| Scenario { name, world, limits, processes: 1 };
    let told = Limits { requests: Limit::told(Rate::per_second(10)), ..hidden() };
    let tokens = Limits { requests: Limit::None, tokens: Limit::Hidden, ..hidden() };
    let squeeze = Duration::from_millis(20);
    let known = World { seconds: 300, squeeze, ..World::default() };
    let costs = World {
        schedule: vec![(0.0, 10_000.0), (90.0, 4_000.0), (150.0, 20_000.0)],
        costs: Costs::Lognormal(1_000.0),
        kind: Kind::Bucket(5.0),
        ..steps()
    };
    let minute = World { kind: Kind::Window(60.0), ..steps() };
    vec![
        of("told 10/s, jitter 20 ms", known.clone(), told),
        of("A1 hidden 10-4-20/s, bucket 1 s", steps(), hidden()),
        of("A1 hidden, bucket 10 s", World { kind: Kind::Bucket(10.0), ..steps() }, hidden()),
        of("A1 hidden, constant 10/s", World { seconds: 300, ..World::default() }, hidden()),
        of("A2 429s are charged", World { charges_refusals: true, ..steps() }, hidden()),
        of("Retry-After in whole seconds", World { retry_after: RetryAfter::WholeSeconds, ..steps() }, hidden()),
        of("A3 headers, 10-4-20/s", World { headers: true, ..steps() }, hidden()),
        of("A3 headers, steady 10/s, jitter", World { headers: true, ..known }, hidden()),
        of("refusals name it, 80-30-120/s", named(), hidden()),
        of("all are refused for 10 s, a second named", down(100.0, RetryAfter::ASecond), hidden()),
        of("tokens, lognormal, 10k-4k-20k/s", costs, tokens),
        of("window of 60 s", minute.clone(), hidden()),
        of("window of 60 s, Retry-After", World { retry_after: RetryAfter::Exact, ..minute }, hidden()),
        Scenario {
            name: "A4 four processes, 40/s",
            world: World { schedule: vec![(0.0, 40.0)], seconds: 300, ..World::default() },
            limits: hidden(),
            processes: 4,
        },
    ]
}

impl Scenario {
    /// Runs it for each seed, every time with the steps at other moments.
    pub(crate) fn run(&self, seeds: u64, client: impl Fn(&Self, u64) -> Box<dyn Client>) -> Row {
        let mut row = Row { worst: 1.0, ..Row::default() };
        for seed in 1..=seeds {
            let mut world = self.world.clone();
            world.seed = seed;
            for (i, stage) in world.schedule.iter_mut().enumerate().skip(1) {
                // The stages get longer too, so that the looks for a higher limit do not always fall the same.
                stage.0 += (1.9 + i as f64) * (seed - 1) as f64;
            }
            let mut clients: Vec<_> = (0..self.processes).map(|i| client(self, seed * 10 + i)).collect();
            let mut clients: Vec<_> = clients.iter_mut().map(|client| &mut **client as &mut dyn Client).collect();
            row.add(&world.run(&mut clients), seeds as f64);
        }
        row
    }

    pub(crate) fn ours(&self, seed: u64) -> Box<dyn Client> {
        Box::new(Ours::new(Settings { limits: self.limits, seed, ..Settings::default() }))
    }

    pub(crate) fn backoff(&self, seed: u64) -> Box<dyn Client> {
        Box::new(Backoff::new((300 / self.processes) as usize, seed))
    }

    pub(crate) fn netflix(&self, _: u64) -> Box<dyn Client> {
        Box::new(NetflixAimd::default())
    }

    pub(crate) fn cubic(&self, _: u64) -> Box<dyn Client> {
        let tokens = match self.world.costs {
            Costs::One => 1.0,
            Costs::Lognormal(median) => median * 1.377,
        };
        Box::new(PacedCubic::new(tokens))
    }
}

impl Row {
    fn add(&mut self, report: &Report, of: f64) {
        self.goodput += report.goodput / of;
        self.worst = self.worst.min(report.goodput);
        self.refused += report.refused / of;
        self.late += report.sent_at.iter().filter(|(at, let_in)| *at >= FIRST_SECONDS && !let_in).count() as u64;
        let sum: f64 = report.shares.iter().sum();
        let squares: f64 = report.shares.iter().map(|share| share * share).sum();
        self.jain += sum * sum / (report.shares.len() as f64 * squares.max(1e-9)) / of;
        if self.converged.is_empty() {
            self.converged = vec![Some(0.0); report.converged.len()];
        }
        for (mean, seconds) in self.converged.iter_mut().zip(&report.converged) {
            *mean = mean.zip(*seconds).map(|(mean, seconds)| mean + seconds / of);
        }
    }
}

const FIRST_SECONDS: f64 = 5.0;
