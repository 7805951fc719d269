//! Callers that come, look, leave and settle in any order, under limits that change: nobody sleeps for ever.

use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bellwether_limiter::{
    Concurrency, Demand, Limit, Limiter, Limits, Outcome, Permit, Rate, RateLimits, Refused, Settings, Usage,
};
use fastrand::Rng;
use tokio::task::yield_now;
use tokio::time::{Instant, advance};

use crate::play::Woken;

/// Somebody who waits.
struct Waits<'a> {
    future: Pin<Box<dyn Future<Output = Result<Permit, Refused>> + Send + 'a>>,
    woken: Arc<Woken>,
    /// How often it had been woken when it looked last.
    looked: usize,
    deadline: Option<Instant>,
}

struct Crowd<'a> {
    seed: u64,
    limiter: &'a Limiter,
    rng: Rng,
    waiting: Vec<Waits<'a>>,
    permits: Vec<Permit>,
}

impl Crowd<'_> {
    fn one_of(&mut self, len: usize) -> Option<usize> {
        (len > 0).then(|| self.rng.usize(..len))
    }

    async fn step(&mut self) {
        match self.rng.u8(..12) {
            0..3 => self.comes(),
            3 => drop(self.one_of(self.waiting.len()).map(|at| self.waiting.remove(at))),
            4..7 => {
                if let Some(at) = self.one_of(self.permits.len()) {
                    self.permits.remove(at).settle(outcome(&mut self.rng));
                }
            }
            7 if self.rng.u8(..5) == 0 => self.limiter.change_limits(limits(&mut self.rng)),
            // Some look although nobody woke them.
            8 => drop(self.one_of(self.waiting.len()).map(|at| self.looks(at))),
            9 | 10 => pass([1, 7, 100, 900, 3_000][self.rng.usize(..5)]).await,
            _ => self.settle_down(),
        }
    }

    fn comes(&mut self) {
        let output_tokens = [10, 100, 10_000, u64::from(u32::MAX)][self.rng.usize(..61) / 17];
        let demand = Demand { requests: 1, input_tokens: self.rng.u64(..300), output_tokens };
        let deadline = self.rng.bool().then(|| Instant::now() + Duration::from_millis(self.rng.u64(..5_000)));
        let future = Box::pin(self.limiter.acquire(demand, deadline.map(Instant::into_std)));
        self.waiting.push(Waits { future, woken: Arc::default(), looked: 0, deadline });
        self.looks(self.waiting.len() - 1);
    }

    fn looks(&mut self, at: usize) {
        let waits = &mut self.waiting[at];
        waits.looked = waits.woken.times();
        let waker = Waker::from(Arc::clone(&waits.woken));
        if let Poll::Ready(answer) = waits.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            self.waiting.remove(at);
            self.permits.extend(answer);
        }
    }

    /// Everybody who was woken comes; then nobody waits who should have been told that it is too late.
    fn settle_down(&mut self) {
        while let Some(at) = self.waiting.iter().position(|waits| waits.woken.times() > waits.looked) {
            self.looks(at);
        }
        let now = Instant::now();
        let late = |waits: &Waits<'_>| waits.deadline.is_some_and(|deadline| deadline + LATE < now);
        assert!(
            !self.waiting.iter().any(late),
            "seed {}: a deadline has passed: {}",
            self.seed,
            self.limiter.snapshot()
        );
    }

    /// All permits come back unused, and time goes by until nobody waits.
    async fn end(&mut self) {
        for round in 0..2_000 {
            self.settle_down();
            while let Some(permit) = self.permits.pop() {
                permit.settle(Outcome::Unused);
                self.settle_down();
            }
            if self.waiting.is_empty() {
                return;
            }
            pass([50, 500, 5_000, 60_000][round / 500]).await;
        }
        panic!("seed {}: {} sleep for ever: {}", self.seed, self.waiting.len(), self.limiter.snapshot());
    }
}

async fn pass(millis: u64) {
    advance(Duration::from_millis(millis)).await;
    yield_now().await;
}

fn limits(rng: &mut Rng) -> Limits {
    let limit = |rng: &mut Rng, scale: u64| match rng.u8(..4) {
        0 => Limit::None,
        1 => Limit::Hidden,
        2 => Limit::told(Rate::per_second(1 + rng.u64(..5) * scale)),
        _ => {
            let (rate, burst) = (Rate::per_minute(10 + rng.u64(..100) * scale), Some(rng.u64(..3) * scale));
            Limit::Told { rate, burst }
        }
    };
    let concurrency = match rng.u32(..5) {
        0 => Concurrency::Unlimited,
        1 => Concurrency::Hidden,
        places => Concurrency::Told(NonZeroU32::new(places - 1).expect("at least one")),
    };
    Limits { requests: limit(rng, 1), tokens: limit(rng, 100), concurrency, ..Limits::NONE }
}

fn outcome(rng: &mut Rng) -> Outcome {
    let retry_after = [None, None, Some(0), Some(2), Some(100)][rng.usize(..5)].map(Duration::from_secs);
    let limits = RateLimits { retry_after, ..RateLimits::default() };
    let usage = Usage { input_tokens: Some(rng.u64(..300)), output_tokens: Some(rng.u64(..300)), ..Usage::default() };
    match rng.u8(..8) {
        0 => Outcome::Abandoned,
        1 => Outcome::Unused,
        2 => Outcome::Throttled { limits },
        3 => Outcome::Overloaded { limits },
        4 => Outcome::Failed { may_have_executed: rng.bool(), limits },
        5 => Outcome::Completed { usage: Usage::default(), limits: RateLimits::default() },
        _ => Outcome::Completed { usage, limits: RateLimits::default() },
    }
}

/// How much later than its deadline somebody may hear of it: the timer counts in milliseconds, and a step is long.
const LATE: Duration = Duration::from_millis(2);

#[tokio::test(start_paused = true)]
async fn nobody_sleeps_for_ever_or_past_a_deadline() {
    for seed in 0..2_000 {
        let mut rng = Rng::with_seed(seed);
        let settings = Settings { limits: limits(&mut rng), refusals_count: rng.bool(), ..Settings::default() };
        let limiter = Limiter::new("key", settings);
        let mut crowd = Crowd { seed, limiter: &limiter, rng, waiting: Vec::new(), permits: Vec::new() };
        for _ in 0..60 {
            crowd.step().await;
        }
        crowd.end().await;
    }
}
