//! Places in the order of asking, and one pause for all.

use std::num::NonZeroUsize;
use std::time::Duration;

use bellwether_core::limiter::{Outlook, Refused, WaitReason};
use bellwether_core::permit::RateLimits;
use bellwether_core::{Outcome, Permit, Usage};
use bellwether_dispatch::{ChatProvider, Demand, PermitPool, RateLimiter};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};

use crate::play::{Stage, ms, named, request};

const DEMAND: Demand = Demand { requests: 1, input_tokens: 1, output_tokens: 1 };

fn pool(places: usize) -> PermitPool {
    PermitPool::new(NonZeroUsize::new(places).expect("a pool has places"))
}

async fn admitted(pool: &PermitPool) -> Permit {
    pool.acquire(DEMAND, None).await.expect("nobody is refused without a deadline")
}

fn throttled(retry_after: Option<Duration>) -> Outcome {
    Outcome::Throttled { limits: RateLimits { retry_after, ..RateLimits::default() } }
}

#[tokio::test(start_paused = true)]
async fn places_are_given_in_the_order_of_asking() {
    let pool = pool(1);
    let held = admitted(&pool).await;
    let order = std::sync::Mutex::new(Vec::new());
    let guest = async |name: u32| {
        sleep(ms(u64::from(name))).await;
        let _place = admitted(&pool).await;
        order.lock().expect("nobody panics").push(name);
        sleep(ms(10)).await;
    };
    let host = async {
        sleep(ms(20)).await;
        drop(held);
    };
    tokio::join!(guest(3), guest(1), guest(2), host);
    assert_eq!(*order.lock().unwrap(), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn everybody_waits_for_the_end_of_the_pause_even_if_it_is_prolonged() {
    let pool = pool(3);
    let (a, b) = (admitted(&pool).await, admitted(&pool).await);
    let start = Instant::now();
    a.settle(throttled(Some(ms(1_000))));
    let waits = async {
        drop(admitted(&pool).await);
        start.elapsed()
    };
    let prolongs = async {
        sleep(ms(500)).await;
        b.settle(throttled(Some(ms(3_000))));
    };
    let (first, second, ()) = tokio::join!(waits, async { (admitted(&pool).await, start.elapsed()).1 }, prolongs);
    assert_eq!([first, second], [ms(3_500), ms(3_500)]);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_before_the_end_of_the_pause_is_refused_at_once() {
    let pool = pool(1);
    admitted(&pool).await.settle(throttled(Some(ms(2_000))));
    let start = Instant::now();
    let deadline = Some((start + ms(2_000)).into_std());
    let refused = pool.acquire(DEMAND, deadline).await.unwrap_err();
    assert_eq!((refused, start.elapsed()), (Refused { wait: Some(ms(2_000)) }, Duration::ZERO));
    let deadline = Some((start + ms(2_001)).into_std());
    pool.acquire(DEMAND, deadline).await.expect("a moment later there is time");
    assert_eq!(start.elapsed(), ms(2_000));
}

#[tokio::test(start_paused = true)]
async fn a_pause_refuses_even_those_behind_others() {
    let pool = pool(1);
    let held = admitted(&pool).await;
    let start = Instant::now();
    let head = async { drop(admitted(&pool).await) };
    let throttle = async {
        sleep(ms(10)).await;
        held.settle(throttled(Some(ms(5_000))));
        let deadline = Some((start + ms(1_000)).into_std());
        pool.acquire(DEMAND, deadline).await.unwrap_err();
        assert_eq!(start.elapsed(), ms(10), "the head is still waiting");
    };
    tokio::join!(head, throttle);
    assert_eq!(start.elapsed(), ms(5_010));
}

#[tokio::test(start_paused = true)]
async fn without_a_free_place_it_is_refused_at_the_deadline() {
    let pool = pool(1);
    let _held = admitted(&pool).await;
    let start = Instant::now();
    let refused = pool.acquire(DEMAND, Some((start + ms(300)).into_std())).await.unwrap_err();
    assert_eq!((refused, start.elapsed()), (Refused { wait: None }, ms(300)));
}

#[tokio::test(start_paused = true)]
async fn it_says_what_one_would_wait_for() {
    let pool = pool(1);
    assert_eq!(pool.outlook(DEMAND), None);
    let held = admitted(&pool).await;
    assert_eq!(pool.outlook(DEMAND), Some(Outlook { reason: WaitReason::Concurrency, wait: None }));
    held.settle(throttled(None));
    assert_eq!(pool.outlook(DEMAND), Some(Outlook { reason: WaitReason::Pause, wait: Some(ms(1_000)) }));
    sleep(ms(1_000)).await;
    assert_eq!(pool.outlook(DEMAND), None);
}

#[tokio::test(start_paused = true)]
async fn the_next_success_forgets_the_throttles() {
    let pool = pool(1);
    let start = Instant::now();
    for seconds in [1, 3, 7] {
        admitted(&pool).await.settle(throttled(None));
        drop(admitted(&pool).await);
        assert_eq!(start.elapsed(), Duration::from_secs(seconds));
    }
    let done = Outcome::Completed { usage: Usage::default(), limits: RateLimits::default() };
    admitted(&pool).await.settle(done);
    admitted(&pool).await.settle(throttled(None));
    drop(admitted(&pool).await);
    assert_eq!(start.elapsed(), Duration::from_secs(8));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_goes_away_holds_up_nobody() {
    let pool = pool(1);
    let held = admitted(&pool).await;
    let head = async {
        timeout(ms(10), pool.acquire(DEMAND, None)).await.expect_err("there is no place");
    };
    let next = async {
        yield_now().await;
        drop(admitted(&pool).await);
    };
    let host = async {
        sleep(ms(20)).await;
        drop(held);
    };
    tokio::join!(head, next, host);
    assert_eq!(pool.free(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_list_of_models_is_no_part_of_the_quota() {
    let stage = Stage::new(1, []);
    let stream = stage.dispatch.stream(request(), named("a")).await.unwrap();
    assert_eq!(stage.pool.free(), 0);
    assert_eq!(stage.dispatch.models().await.unwrap(), ["m"]);
    drop(stream);
    stage.assert_swept().await;
}
