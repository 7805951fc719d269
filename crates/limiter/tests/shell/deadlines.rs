//! Deadlines: refused at once if they cannot be met, and never passed.

use std::time::Duration;

use bellwether_limiter::{Demand, Limits, Outcome, RateLimits, Refused};
use tokio::time::{Instant, sleep};

use crate::play::{ONE, limiter, places, requests};

fn after(millis: u64) -> Option<std::time::Instant> {
    Some((Instant::now() + Duration::from_millis(millis)).into_std())
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_cannot_be_met_is_refused_at_once_with_the_time_it_would_take() {
    let limiter = limiter(Limits { requests: requests(1), ..Limits::NONE });
    let start = Instant::now();
    limiter.acquire(ONE, after(10)).await.unwrap();
    let refused = limiter.acquire(ONE, after(999)).await.unwrap_err();
    assert_eq!(refused, Refused { wait: Some(Duration::from_secs(1)) });
    // Those ahead count, and large demands count for what they are.
    let three = Demand { requests: 3, ..ONE };
    let ahead = limiter.acquire(three, None);
    let behind = async {
        tokio::task::yield_now().await;
        limiter.acquire(ONE, after(3_500)).await
    };
    let (_, refused) = tokio::join!(async { tokio::time::timeout(Duration::from_millis(1), ahead).await }, behind);
    assert_eq!(refused.unwrap_err().wait.map(|wait| wait.as_secs()), Some(4));
    assert!(start.elapsed() < Duration::from_millis(5), "nobody waited to be refused");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_was_met_is_not_passed() {
    let limiter = limiter(Limits { requests: requests(1), ..Limits::NONE });
    let start = Instant::now();
    limiter.acquire(ONE, None).await.unwrap();
    limiter.acquire(ONE, after(1_001)).await.unwrap();
    assert_eq!(start.elapsed().as_millis(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_place_is_refused_at_the_deadline_wherever_it_stands() {
    let limiter = limiter(Limits { concurrency: places(1), ..Limits::NONE });
    let held = limiter.acquire(ONE, None).await.unwrap();
    let start = Instant::now();
    let timed = |deadline| {
        let (limiter, deadline) = (limiter.clone(), after(deadline));
        async move { (limiter.acquire(ONE, deadline).await.is_ok(), start.elapsed().as_millis()) }
    };
    let release = async {
        sleep(Duration::from_millis(500)).await;
        held.settle(Outcome::Unused);
    };
    let (a, b, c, ()) = tokio::join!(timed(300), timed(200), timed(900), release);
    assert_eq!((a, b, c), ((false, 300), (false, 200), (true, 500)));
    assert_eq!(limiter.snapshot().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn a_pause_beyond_the_deadline_refuses_everybody_who_cannot_make_it_at_once() {
    let limiter = limiter(Limits { concurrency: places(1), ..Limits::NONE });
    let held = limiter.acquire(ONE, None).await.unwrap();
    let start = Instant::now();
    let waits = limiter.acquire(ONE, after(5_000));
    let outlasts = limiter.acquire(ONE, after(60_000));
    let throttled = async {
        sleep(Duration::from_millis(100)).await;
        let limits = RateLimits { retry_after: Some(Duration::from_secs(10)), ..RateLimits::default() };
        held.settle(Outcome::Throttled { limits });
    };
    let refused = async {
        let refused = waits.await.unwrap_err();
        (start.elapsed().as_millis(), refused.wait.unwrap() >= Duration::from_secs(10))
    };
    let (refused, served, ()) = tokio::join!(refused, outlasts, throttled);
    assert_eq!(refused, (100, true));
    assert!(served.is_ok());
    assert!(start.elapsed() >= Duration::from_millis(10_100), "nobody goes before the provider said so");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_in_the_past_is_refused() {
    let limiter = limiter(Limits::NONE);
    let past = Some(Instant::now().into_std());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(limiter.acquire(ONE, past).await.unwrap_err(), Refused { wait: None });
}
