//! The first run of somebody who was told no limits: nothing slows it down visibly, and a limit there is is found.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bellwether_core::permit::Level;
use bellwether_limiter::{Demand, Limiter, Outcome, RateLimits, Settings, Usage};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const DEMAND: Demand = Demand { requests: 1, input_tokens: 500, output_tokens: 300 };

/// A provider that counts with a bucket: from that second on so many a second, and as many at once.
struct Server {
    stages: Vec<(f64, f64, f64)>,
    bucket: Mutex<(f64, f64)>,
    start: Instant,
    /// Whether its refusals say what the limit is.
    names: bool,
}

impl Server {
    fn new(stages: &[(f64, f64, f64)], names: bool) -> Arc<Self> {
        let full = stages.first().map_or(0.0, |stage| stage.2);
        Arc::new(Self { stages: stages.to_vec(), bucket: Mutex::new((full, 0.0)), start: Instant::now(), names })
    }

    fn refusal(&self) -> RateLimits {
        let now = self.start.elapsed().as_secs_f64();
        let rate = self.stages.iter().rev().find(|stage| stage.0 <= now).map(|stage| stage.1);
        let limit = rate.filter(|_| self.names).map(|rate| (rate * 60.0) as u64);
        RateLimits { requests: Level { limit, ..Level::default() }, ..RateLimits::default() }
    }

    fn lets_in(&self) -> bool {
        let now = self.start.elapsed().as_secs_f64();
        let Some((_, rate, burst)) = self.stages.iter().rev().find(|stage| stage.0 <= now) else { return true };
        let mut bucket = self.bucket.lock().expect("nobody panics");
        *bucket = ((bucket.0 + (now - bucket.1) * rate).min(*burst), now);
        let there = bucket.0 >= 1.0;
        bucket.0 -= f64::from(u8::from(there));
        there
    }
}

/// Lets `loops` tasks call one after another until `calls` are answered or the time is over; how many were answered
/// and refused.
async fn run(
    stages: &[(f64, f64, f64)],
    loops: usize,
    calls: usize,
    takes: Duration,
    until: Duration,
) -> (usize, usize) {
    run_with(Server::new(stages, false), loops, calls, takes, until).await
}

async fn run_with(server: Arc<Server>, loops: usize, calls: usize, takes: Duration, until: Duration) -> (usize, usize) {
    let limiter = Limiter::new("key", Settings::default());
    let (left, counts) = (Arc::new(Mutex::new(calls)), Arc::new(Mutex::new((0, 0))));
    let mut tasks = JoinSet::new();
    for _ in 0..loops {
        let (limiter, server, left, counts) =
            (limiter.clone(), Arc::clone(&server), Arc::clone(&left), Arc::clone(&counts));
        tasks.spawn(async move {
            loop {
                {
                    let mut left = left.lock().expect("nobody panics");
                    if *left == 0 || server.start.elapsed() >= until {
                        return;
                    }
                    *left -= 1;
                }
                let hold = limiter.hold(DEMAND, None).await.expect("there is no deadline");
                let limits = RateLimits::default();
                if server.lets_in() {
                    sleep(takes).await;
                    let usage = Usage { input_tokens: Some(500), output_tokens: Some(200), ..Usage::default() };
                    hold.settle(Outcome::Completed { usage, limits });
                    counts.lock().expect("nobody panics").0 += 1;
                } else {
                    sleep(Duration::from_millis(2)).await;
                    hold.settle(Outcome::Throttled { limits: server.refusal() });
                    counts.lock().expect("nobody panics").1 += 1;
                }
            }
        });
    }
    while tasks.join_next().await.is_some() {}
    *counts.lock().expect("nobody panics")
}

const LONG: Duration = Duration::from_secs(3_600);

#[tokio::test(start_paused = true)]
async fn a_first_small_run_on_a_healthy_provider_waits_for_nothing_visible() {
    for loops in [1, 4, 15] {
        let start = Instant::now();
        assert_eq!(run(&[], loops, 15, Duration::from_millis(5), LONG).await, (15, 0));
        assert!(start.elapsed() <= Duration::from_millis(250), "{loops} at once: {:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_larger_first_run_gets_faster_with_every_answer() {
    let start = Instant::now();
    assert_eq!(run(&[], 8, 200, Duration::from_millis(5), LONG).await, (200, 0));
    assert!(start.elapsed() <= Duration::from_millis(1_700), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn time_alone_makes_nothing_faster() {
    let limiter = Limiter::new("key", Settings::default());
    let rate = || limiter.snapshot().requests.expect("it is looked for").per_minute;
    let first = rate();
    for _ in 0..1_000 {
        sleep(Duration::from_secs(1)).await;
        let hold = limiter.hold(DEMAND, None).await.expect("there is no deadline");
        hold.settle(Outcome::Completed { usage: Usage::default(), limits: RateLimits::default() });
    }
    assert!(rate() <= 1.05 * first, "a call a second is no sign that there is more: {} after {first}", rate());
}

#[tokio::test(start_paused = true)]
async fn a_small_hidden_limit_is_found_with_few_refusals() {
    for takes in [5, 50, 1_000] {
        let until = Duration::from_secs(40);
        let (answered, refused) = run(&[(0.0, 3.0, 6.0)], 22, usize::MAX, Duration::from_millis(takes), until).await;
        assert!(answered >= 120, "{answered} of 126 answered");
        assert!(refused * 25 <= answered + refused, "at most 4 %: {refused} of {}", answered + refused);
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_hidden_limit_is_followed_with_few_refusals() {
    for takes in [20, 200] {
        let stages = [(0.0, 80.0, 80.0), (20.0, 30.0, 30.0), (40.0, 120.0, 120.0)];
        let (takes, until) = (Duration::from_millis(takes), Duration::from_secs(60));
        let (answered, refused) = run(&stages, 64, usize::MAX, takes, until).await;
        assert!(answered >= 4_000 && refused < 60, "{answered} answered, {refused} refused");
    }
}

/// A limit that is named by refusals only is not believed for ever: who keeps to it is never refused, and would never
/// hear that it has risen.
#[tokio::test(start_paused = true)]
async fn a_rise_is_found_although_only_refusals_name_the_limit() {
    let stages = [(0.0, 80.0, 80.0), (20.0, 30.0, 30.0), (40.0, 120.0, 120.0)];
    let server = Server::new(&stages, true);
    let (answered, refused) =
        run_with(server, 64, usize::MAX, Duration::from_millis(90), Duration::from_secs(60)).await;
    assert!(answered >= 4_300, "of 4,680 that were to be had: {answered}");
    assert!(refused < 60, "{refused}");
}
