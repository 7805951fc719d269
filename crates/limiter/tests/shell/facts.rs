//! What observers are told, and hints through permits.

use std::sync::Arc;
use std::time::Duration;

use bellwether_core::test_util::Recorder;
use bellwether_core::{Fact, Observer};
use bellwether_limiter::{Level, Limiter, Limits, Outcome, RateLimits, Settings, WaitReason};
use tokio::time::{Instant, sleep};

use crate::play::{ONE, requests};

#[tokio::test(start_paused = true)]
async fn what_was_found_out_is_told_once() {
    let recorder = Arc::new(Recorder::default());
    let observer: Arc<dyn Observer> = Arc::<Recorder>::clone(&recorder);
    let limits = Limits { requests: requests(10), ..Limits::default() };
    let limiter = Limiter::observed("key", Settings { limits, ..Settings::default() }, observer);
    let half = Level { limit: Some(300), remaining: Some(299), ..Level::default() };
    for _ in 0..3 {
        let mut permit = limiter.acquire(ONE, None).await.unwrap();
        permit.hint(&RateLimits { requests: half, ..RateLimits::default() });
        drop(permit);
    }
    let told = |fact: &Fact| matches!(fact, Fact::LimitChanged { quota, what: WaitReason::Requests, limit: 300 } if &**quota == "key");
    assert_eq!(recorder.count(told), 1);
    let permit = limiter.acquire(ONE, None).await.unwrap();
    let limits = RateLimits { retry_after: Some(Duration::from_secs(2)), ..RateLimits::default() };
    permit.settle(Outcome::Throttled { limits });
    assert_eq!(recorder.count(|fact| matches!(fact, Fact::QuotaPaused { wait, .. } if wait.as_secs() == 2)), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hint_at_the_first_byte_counts_before_the_answer_is_over() {
    let limiter = Limiter::new("key", Settings::default());
    let mut permit = limiter.acquire(ONE, None).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    // The provider lets in one a second, and nothing is left.
    let level = Level { limit: Some(60), remaining: Some(0), ..Level::default() };
    permit.hint(&RateLimits { requests: level, ..RateLimits::default() });
    let drift = limiter.snapshot().requests.and_then(|requests| requests.drift);
    assert!(drift.is_some_and(|drift| drift >= 0), "it says that less is left than was thought: {drift:?}");
    let start = Instant::now();
    let _second = limiter.acquire(ONE, None).await.unwrap();
    assert_eq!(start.elapsed().as_millis(), 1_000);
}
