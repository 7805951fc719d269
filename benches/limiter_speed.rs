//! What a call costs at the limiter, beside governor, in one run (L1 to L4).
//!
//! ```sh
//! cargo bench -p bellwether-benches --bench limiter_speed
//! ```
//!
//! Governor keeps one limit and takes nothing back, so two of them, for requests and tokens, are the fair comparison;
//! even they are not taken together or not at all.

use std::future::Future;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bellwether_limiter::{
    Concurrency, Demand, Hold, Limit, Limiter, Limits, Outcome, Quota, Rate, RateLimits, Refused, Settings, Timestamp,
    Usage,
};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use governor::clock::{Clock, MonotonicClock};
use governor::{DefaultDirectRateLimiter, RateLimiter};
use tokio::sync::Semaphore;
use tokio::time::Instant;

const DEMAND: Demand = Demand { requests: 1, input_tokens: 900, output_tokens: 100 };

/// Limits that are never reached, so that what is measured is letting through.
fn settings(places: u32) -> Settings {
    let plenty = Limit::told(Rate::per_second(1_000_000_000_000));
    let concurrency = NonZeroU32::new(places).map_or(Concurrency::Unlimited, Concurrency::Told);
    let limits = Limits { requests: plenty, tokens: plenty, concurrency, ..Limits::NONE };
    Settings { limits, ..Settings::default() }
}

fn done() -> Outcome {
    let usage = Usage { input_tokens: Some(890), output_tokens: Some(60), ..Usage::default() };
    Outcome::Completed { usage, limits: RateLimits::default() }
}

fn quota() -> governor::Quota {
    governor::Quota::per_second(NonZeroU32::MAX)
}

fn use_ours(limiter: &Limiter) {
    if let Ok(hold) = limiter.try_hold(black_box(DEMAND)) {
        hold.settle(done());
    }
}

fn use_two<C: Clock>(requests: &Governed<C>, tokens: &Governed<C>) {
    let _ = black_box(requests.check());
    let _ = black_box(tokens.check_n(black_box(NonZeroU32::new(1_000).expect("not zero"))));
}

type Governed<C> = RateLimiter<
    governor::state::NotKeyed,
    governor::state::InMemoryState,
    C,
    governor::middleware::NoOpMiddleware<<C as Clock>::Instant>,
>;

/// L1.
fn one_thread(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime can be made");
    let limiter = Limiter::new("key", settings(1_000));
    let mut group = c.benchmark_group("acquire_and_settle");
    group.bench_function("clock_read_floor", |b| b.iter(Instant::now));
    group.bench_function("quota_without_clock_and_lock", |b| {
        let (mut quota, mut now) = (Quota::new(settings(1_000), Timestamp::ZERO), 0u64);
        b.iter(|| {
            now += 100;
            if let Ok(sent) = quota.reserve(black_box(&DEMAND), Timestamp::from_nanos(now)) {
                quota.settle_quietly(sent, &done());
            }
        });
    });
    group.bench_function("hold", |b| b.iter(|| use_ours(&limiter)));
    group.bench_function("permit", |b| {
        b.iter(|| runtime.block_on(async { limiter.acquire(DEMAND, None).await.map(|permit| permit.settle(done())) }));
    });
    group.bench_function("block_on_floor", |b| b.iter(|| runtime.block_on(async { black_box(DEMAND) })));
    let governors = [(); 2].map(|()| DefaultDirectRateLimiter::direct(quota()));
    group.bench_function("two_governors_quanta", |b| b.iter(|| use_two(&governors[0], &governors[1])));
    let governors = [(); 2].map(|()| RateLimiter::direct_with_clock(quota(), MonotonicClock));
    group.bench_function("two_governors_monotonic", |b| b.iter(|| use_two(&governors[0], &governors[1])));
    group.finish();
}

/// L2: nanoseconds per pair while `threads` do the same.
fn threads(threads: u32, iterations: u64, work: &(impl Fn() + Sync)) -> Duration {
    let barrier = std::sync::Barrier::new(threads as usize);
    let times: Vec<Duration> = std::thread::scope(|scope| {
        let run = || {
            barrier.wait();
            let start = Instant::now();
            (0..iterations).for_each(|_| work());
            start.elapsed()
        };
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        handles.into_iter().map(|handle| handle.join().expect("no thread panics")).collect()
    });
    times.into_iter().max().unwrap_or_default() / threads
}

fn many_threads(c: &mut Criterion) {
    let limiter = Limiter::new("key", settings(1_000));
    let governors = [(); 2].map(|()| DefaultDirectRateLimiter::direct(quota()));
    let mut group = c.benchmark_group("contended_per_pair");
    for number in [2, 4] {
        group.bench_with_input(BenchmarkId::new("hold", number), &number, |b, number| {
            b.iter_custom(|iterations| threads(*number, iterations, &|| use_ours(&limiter)));
        });
        group.bench_with_input(BenchmarkId::new("two_governors_quanta", number), &number, |b, number| {
            b.iter_custom(|iterations| threads(*number, iterations, &|| use_two(&governors[0], &governors[1])));
        });
    }
    group.finish();
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

type Waiting<'a> = Pin<Box<dyn Future<Output = Result<Hold<'a>, Refused>> + 'a>>;

/// L3: a place goes from one to the next of many who wait; each is woken once, and nobody else is polled.
fn hand_off(c: &mut Criterion) {
    let mut group = c.benchmark_group("hand_off");
    let waiting = if std::env::args().any(|arg| arg == "--test") { 100 } else { 100_000 };
    group.bench_function(BenchmarkId::new("hold", waiting), |b| {
        let limiter = Limiter::new("key", settings(1));
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        let mut held = limiter.try_hold(DEMAND).ok();
        let mut line: std::collections::VecDeque<Waiting<'_>> = std::collections::VecDeque::new();
        for _ in 0..waiting {
            let mut waiter: Waiting<'_> = Box::pin(limiter.hold(DEMAND, None));
            assert!(waiter.as_mut().poll(&mut cx).is_pending());
            line.push_back(waiter);
        }
        let mut grants = 0;
        let before = woken.0.load(Ordering::Relaxed);
        b.iter(|| {
            drop(held.take());
            let mut first = line.pop_front().expect("there are many");
            match first.as_mut().poll(&mut cx) {
                Poll::Ready(Ok(hold)) => held = Some(hold),
                _ => unreachable!("it was given the place"),
            }
            grants += 1;
            let mut last: Waiting<'_> = Box::pin(limiter.hold(DEMAND, None));
            assert!(last.as_mut().poll(&mut cx).is_pending());
            line.push_back(last);
        });
        assert_eq!(woken.0.load(Ordering::Relaxed) - before, grants, "one wake for one grant");
    });
    group.bench_function(BenchmarkId::new("tokio_semaphore", waiting), |b| {
        let semaphore = Semaphore::new(1);
        let mut cx = Context::from_waker(Waker::noop());
        let mut held = semaphore.try_acquire().ok();
        let mut line = std::collections::VecDeque::new();
        for _ in 0..waiting {
            let mut waiter = Box::pin(semaphore.acquire());
            assert!(waiter.as_mut().poll(&mut cx).is_pending());
            line.push_back(waiter);
        }
        b.iter(|| {
            drop(held.take());
            let mut first = line.pop_front().expect("there are many");
            match first.as_mut().poll(&mut cx) {
                Poll::Ready(permit) => held = permit.ok(),
                Poll::Pending => unreachable!("it was given the place"),
            }
            let mut last = Box::pin(semaphore.acquire());
            assert!(last.as_mut().poll(&mut cx).is_pending());
            line.push_back(last);
        });
    });
    group.finish();
}

/// L4: how late a grant is, and that none is early.
#[expect(clippy::print_stdout, reason = "criterion has no place for percentiles of single measurements")]
fn lateness(_: &mut Criterion) {
    let grants = if std::env::args().any(|arg| arg == "--test") { 5 } else { 500 };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime can be made");
    let limits = Limits { requests: Limit::Told { rate: Rate::per_second(100), burst: Some(1) }, ..Limits::NONE };
    let limiter = Limiter::new("key", Settings { limits, ..Settings::default() });
    let mut late: Vec<Duration> = runtime.block_on(async {
        let mut late = Vec::new();
        for _ in 0..grants {
            let wait = bellwether_limiter::RateLimiter::outlook(&limiter, DEMAND).and_then(|outlook| outlook.wait);
            let due = Instant::now() + wait.unwrap_or_default();
            drop(limiter.hold(DEMAND, None).await);
            if wait.is_some() {
                let now = Instant::now();
                assert!(now + Duration::from_micros(50) >= due, "never early");
                late.push(now.saturating_duration_since(due));
            }
        }
        late
    });
    late.sort_unstable();
    let at = |share: usize| late[(late.len() - 1) * share / 100];
    println!("grant lateness: p50 {:?}, p99 {:?}, of {} grants", at(50), at(99), late.len());
}

criterion_group!(benches, one_thread, many_threads, hand_off, lateness);
criterion_main!(benches);
