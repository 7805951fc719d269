//! A provider and its clients in virtual time: seeded, without a clock, without a socket.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use bellwether_limiter::{Level, RateLimits, Timestamp};

/// What a provider is like.
#[derive(Clone, Debug)]
pub(crate) struct World {
    /// From that second on it lets in so many units a second.
    pub(crate) schedule: Vec<(f64, f64)>,
    pub(crate) kind: Kind,
    /// Whether refused requests are charged.
    pub(crate) charges_refusals: bool,
    pub(crate) retry_after: RetryAfter,
    pub(crate) headers: bool,
    /// Whether a refusal says what the limit is, as the sentences of OpenAI and others do.
    pub(crate) names: bool,
    pub(crate) costs: Costs,
    pub(crate) seconds: u64,
    /// How much longer than 40 ms the way to the provider may take.
    pub(crate) squeeze: Duration,
    /// Nobody is let in between these seconds, and every request fails.
    pub(crate) outage: Option<(f64, f64)>,
    pub(crate) seed: u64,
}

impl Default for World {
    fn default() -> Self {
        Self {
            schedule: vec![(0.0, 10.0)],
            kind: Kind::Bucket(1.0),
            charges_refusals: false,
            retry_after: RetryAfter::None,
            headers: false,
            names: false,
            costs: Costs::One,
            seconds: 120,
            squeeze: Duration::ZERO,
            outage: None,
            seed: 1,
        }
    }
}

/// How it counts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// A bucket as deep as what comes in during so many seconds.
    Bucket(f64),
    /// A window of so many seconds.
    Window(f64),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RetryAfter {
    /// One second, whatever it is.
    ASecond,
    Exact,
    None,
    WholeSeconds,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Costs {
    One,
    /// Tokens, lognormal around so many.
    Lognormal(f64),
}

/// What a client wants to do next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Next {
    /// Nothing before then.
    At(Timestamp),
    /// Send one, and call it this.
    Send(u64),
    /// Nothing until something is heard.
    Wait,
}

/// What a client hears.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Heard {
    /// It was answered.
    Done,
    /// It failed.
    Failed,
    /// The head of the answer came.
    Head(RateLimits),
    /// It was refused.
    Refused(RateLimits),
}

/// Wants to send as much as it may.
pub(crate) trait Client {
    fn next(&mut self, cost: u64, now: Timestamp) -> Next;
    fn heard(&mut self, call: u64, heard: Heard, now: Timestamp);
}

/// What came of it.
#[derive(Clone, Debug, Default)]
#[expect(dead_code, reason = "each user looks at a part of it")]
pub(crate) struct Report {
    /// What was let in, as a share of what could have been.
    pub(crate) goodput: f64,
    /// Refusals, as a share of the requests.
    pub(crate) refused: f64,
    pub(crate) sent: u64,
    pub(crate) refusals: u64,
    /// For each stage of the schedule: seconds until the limit was used, and no longer overrun.
    pub(crate) converged: Vec<Option<f64>>,
    /// What each client got.
    pub(crate) shares: Vec<f64>,
    /// When requests came in, and whether they were let in.
    pub(crate) sent_at: Vec<(f64, bool)>,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Event {
    Wake(usize),
    Arrive(usize, u64, u64),
    Hear(usize, u64, u8),
}

struct Server {
    level: f64,
    at: f64,
    rate: f64,
    window: u64,
}

/// A world while it runs.
struct Run<'a> {
    world: &'a World,
    rng: fastrand::Rng,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    heads: BTreeMap<(usize, u64), RateLimits>,
    server: Server,
    /// What each client's next request costs.
    wanted: Vec<u64>,
    /// When each client is woken next.
    woken: Vec<u64>,
    /// When requests came in, what they cost, and whether they were let in.
    log: Vec<(f64, f64, bool)>,
    got: Vec<f64>,
    number: u64,
}

impl<'a> Run<'a> {
    fn new(world: &'a World, clients: usize) -> Self {
        let mut rng = fastrand::Rng::with_seed(world.seed);
        let rate = world.schedule[0].1;
        let wanted = (0..clients).map(|_| world.cost(&mut rng)).collect();
        let mut run = Self {
            world,
            rng,
            events: BinaryHeap::new(),
            heads: BTreeMap::new(),
            server: Server { level: world.depth(rate), at: 0.0, rate, window: 0 },
            wanted,
            woken: vec![u64::MAX; clients],
            log: Vec::new(),
            got: vec![0.0; clients],
            number: 0,
        };
        (0..clients).for_each(|client| run.push(0, Event::Wake(client)));
        run
    }

    fn push(&mut self, at: u64, event: Event) {
        self.number += 1;
        self.events.push(Reverse((at, self.number, event)));
    }

    fn arrive(&mut self, at: u64, who: usize, call: u64, cost: u64) {
        let seconds = at as f64 / 1e9;
        let (answer, limits) = self.world.admit(&mut self.server, cost, seconds);
        self.heads.insert((who, call), limits.unwrap_or_default());
        self.log.push((seconds, cost as f64, answer == 0));
        if answer != 0 {
            return self.push(at + WAY, Event::Hear(who, call, answer));
        }
        self.got[who] += cost as f64;
        self.push(at + 600_000_000 + WAY, Event::Hear(who, call, 0));
        self.push(at + 2_000_000_000 + WAY, Event::Hear(who, call, 1));
    }

    fn heard(&mut self, who: usize, call: u64, what: u8) -> Heard {
        let limits = self.heads.remove(&(who, call)).unwrap_or_default();
        match what {
            0 => Heard::Head(limits),
            1 => Heard::Done,
            2 => Heard::Refused(limits),
            _ => Heard::Failed,
        }
    }

    /// Lets a client send as much as it wants to now.
    fn send(&mut self, who: usize, client: &mut dyn Client, now: Timestamp) {
        loop {
            match client.next(self.wanted[who], now) {
                Next::Send(call) => {
                    let way = WAY + self.rng.u64(0..=self.world.squeeze.as_nanos() as u64);
                    self.push(now.as_nanos() + way, Event::Arrive(who, call, self.wanted[who]));
                    self.wanted[who] = self.world.cost(&mut self.rng);
                }
                Next::At(then) => {
                    let then = then.as_nanos().max(now.as_nanos() + 1);
                    if then < self.woken[who] {
                        self.woken[who] = then;
                        self.push(then, Event::Wake(who));
                    }
                    return;
                }
                Next::Wait => return,
            }
        }
    }
}

impl World {
    /// Runs `clients` against it until its time is over.
    pub(crate) fn run(&self, clients: &mut [&mut dyn Client]) -> Report {
        let mut run = Run::new(self, clients.len());
        while let Some(Reverse((at, _, event))) = run.events.pop() {
            if at > self.seconds * 1_000_000_000 {
                break;
            }
            let now = Timestamp::from_nanos(at);
            let who = match event {
                Event::Wake(who) => {
                    run.woken[who] = u64::MAX;
                    who
                }
                Event::Arrive(who, call, cost) => {
                    run.arrive(at, who, call, cost);
                    continue;
                }
                Event::Hear(who, call, what) => {
                    clients[who].heard(call, run.heard(who, call, what), now);
                    who
                }
            };
            run.send(who, &mut *clients[who], now);
        }
        self.report(&run.log, &run.got)
    }

    /// 0 let in, 2 refused, 3 failed; and what the head says.
    fn admit(&self, server: &mut Server, cost: u64, now: f64) -> (u8, Option<RateLimits>) {
        if self.outage.is_some_and(|(from, to)| (from..to).contains(&now)) {
            return (3, None);
        }
        self.advance(server, now);
        let cost = cost as f64;
        // A request larger than the bucket is let in when the bucket is full.
        let let_in = server.level >= cost.min(self.depth(server.rate)) - 1e-9;
        if let_in || self.charges_refusals {
            server.level -= cost;
        }
        let until_room = match self.kind {
            Kind::Bucket(_) => (cost - server.level).max(0.0) / server.rate,
            Kind::Window(length) => (server.window + 1) as f64 * length - now,
        };
        let retry_after = match self.retry_after {
            _ if let_in => None,
            RetryAfter::Exact => Some(Duration::from_secs_f64(until_room)),
            RetryAfter::None => None,
            RetryAfter::ASecond => Some(Duration::from_secs(1)),
            RetryAfter::WholeSeconds => Some(Duration::from_secs_f64(until_room.ceil().max(1.0))),
        };
        let mut limits = RateLimits { retry_after, ..RateLimits::default() };
        let level = Level { limit: Some((server.rate * 60.0) as u64), ..Level::default() };
        let level = if self.headers {
            let reset = match self.kind {
                Kind::Bucket(_) => (self.depth(server.rate) - server.level) / server.rate,
                Kind::Window(_) => until_room,
            };
            let remaining = Some(server.level.max(0.0) as u64);
            Level { remaining, reset: Some(Duration::from_secs_f64(reset)), ..level }
        } else if self.names && !let_in {
            Level { remaining: Some(server.level.max(0.0) as u64), ..level }
        } else {
            Level::default()
        };
        match self.costs {
            Costs::One => limits.requests = level,
            Costs::Lognormal(_) => limits.tokens = level,
        }
        (if let_in { 0 } else { 2 }, Some(limits))
    }

    fn advance(&self, server: &mut Server, now: f64) {
        for (from, rate) in self.schedule.iter().copied().chain([(now, f64::NAN)]) {
            if from > now || from < server.at {
                continue;
            }
            match self.kind {
                Kind::Bucket(_) => {
                    server.level = (server.level + (from - server.at) * server.rate).min(self.depth(server.rate));
                }
                Kind::Window(length) => {
                    let window = (from / length) as u64;
                    if window != server.window {
                        (server.window, server.level) = (window, self.depth(server.rate));
                    }
                }
            }
            server.at = from;
            if !rate.is_nan() && rate != server.rate {
                if matches!(self.kind, Kind::Window(_)) {
                    server.level += self.depth(rate) - self.depth(server.rate);
                }
                server.rate = rate;
                server.level = server.level.min(self.depth(rate));
            }
        }
    }

    fn depth(&self, rate: f64) -> f64 {
        match self.kind {
            Kind::Bucket(seconds) | Kind::Window(seconds) => (rate * seconds).max(1.0),
        }
    }

    fn cost(&self, rng: &mut fastrand::Rng) -> u64 {
        match self.costs {
            Costs::One => 1,
            Costs::Lognormal(median) => {
                let normal = (-2.0 * rng.f64().max(1e-12).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos();
                (median * (0.8 * normal).exp()).max(1.0) as u64
            }
        }
    }

    /// What can be let in between two moments, without what was saved up.
    fn capacity(&self, from: f64, to: f64) -> f64 {
        let ends = self.schedule.iter().skip(1).map(|stage| stage.0).chain([f64::INFINITY]);
        let stages = self.schedule.iter().zip(ends);
        stages.map(|((begin, rate), end)| (to.min(end) - from.max(*begin)).max(0.0) * rate).sum()
    }

    fn report(&self, log: &[(f64, f64, bool)], got: &[f64]) -> Report {
        let end = self.seconds as f64;
        let oracle = match self.kind {
            Kind::Bucket(_) => self.depth(self.schedule[0].1) + self.capacity(0.0, end - 0.04),
            Kind::Window(_) => self.capacity(0.0, end),
        };
        let let_in: f64 = log.iter().filter(|entry| entry.2).map(|entry| entry.1).sum();
        let refusals = log.iter().filter(|entry| !entry.2).count();
        let converged = self.schedule.iter().map(|(from, rate)| self.converged(log, *from, *rate)).collect();
        Report {
            goodput: let_in / oracle,
            refused: refusals as f64 / log.len().max(1) as f64,
            sent: log.len() as u64,
            refusals: refusals as u64,
            converged,
            shares: got.to_vec(),
            sent_at: log.iter().map(|(at, _, let_in)| (*at, *let_in)).collect(),
        }
    }

    /// How long after `from` it takes until, for three seconds, at least nine tenths of the limit are used and at most
    /// one request in ten is refused.
    fn converged(&self, log: &[(f64, f64, bool)], from: f64, rate: f64) -> Option<f64> {
        let steps = 240;
        (0..steps).map(|step| f64::from(step) * 0.25).find(|after| {
            let start = from + after;
            let begin = log.partition_point(|entry| entry.0 < start);
            let end = log.partition_point(|entry| entry.0 < start + 3.0);
            let (mut used, mut sent, mut refused) = (0.0, 0.0, 0.0);
            for (_, cost, let_in) in &log[begin..end] {
                sent += 1.0;
                if *let_in {
                    used += cost;
                } else {
                    refused += 1.0;
                }
            }
            used >= 2.7 * rate && refused <= 0.1 * sent
        })
    }
}

const WAY: u64 = 40_000_000;
