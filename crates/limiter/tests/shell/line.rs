//! The order of grants, and what it costs to wait.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bellwether_core::test_util;
use bellwether_limiter::{
    Concurrency, Limit, Limiter, Limits, Outcome, Rate, RateLimiter, RateLimits, Settings, Usage, WaitReason,
};
use proptest::prelude::*;
use tokio::task::JoinSet;
use tokio::time::{Instant, advance, sleep, timeout};

use crate::play::{ONE, Woken, limiter, places, requests};

#[tokio::test(start_paused = true)]
async fn it_keeps_the_promises_of_the_seam() {
    let told = Limits { requests: Limit::told(Rate::per_second(10)), concurrency: places(2), ..Limits::NONE };
    for limits in [Limits::NONE, Limits::default(), told] {
        let limiter: Arc<dyn RateLimiter> = Arc::new(limiter(limits));
        let conformance = test_util::rate_limiter(&*limiter);
        let mut conformance = pin!(conformance);
        std::future::poll_fn(|cx| {
            let polled = conformance.as_mut().poll(cx);
            assert!(polled.is_ready(), "an idle limiter does not wait");
            polled
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn with_a_stride_several_are_let_in_at_once_and_nothing_is_lost() {
    let limits = Limits { requests: Limit::told(Rate::per_second(100)), ..Limits::NONE };
    let stride = Duration::from_millis(50);
    let limiter = Limiter::new("key", Settings { limits, stride, squeeze: Duration::ZERO, ..Settings::default() });
    let start = Instant::now();
    let mut moments = Vec::new();
    for _ in 0..300 {
        limiter.hold(ONE, None).await.expect("nobody has a deadline").settle(Outcome::Abandoned);
        moments.push(start.elapsed().as_millis());
    }
    // The burst at once, and then five for each twentieth of a second.
    let expected: Vec<u128> = (0..300).map(|n| if n < 100 { 0 } else { ((n - 100) / 5 + 1) * 50 }).collect();
    assert_eq!(moments, expected);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_longer_than_the_stride_is_no_longer_for_it() {
    let limits = Limits { requests: requests(8), ..Limits::NONE };
    let stride = Duration::from_millis(50);
    let limiter = Limiter::new("key", Settings { limits, stride, ..Settings::default() });
    let start = Instant::now();
    for _ in 0..8 {
        limiter.hold(ONE, None).await.expect("nobody has a deadline").settle(Outcome::Abandoned);
    }
    assert_eq!(start.elapsed(), 7 * Duration::from_millis(125));
}

#[tokio::test(start_paused = true)]
async fn everybody_is_served_in_the_order_of_coming_and_woken_once() {
    let limiter = limiter(Limits { requests: requests(10), ..Limits::NONE });
    let start = Instant::now();
    let served = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut waiters: Vec<_> =
        (0..20).map(|_| (Box::pin(limiter.hold(ONE, None)), Arc::new(Woken::default()), 0)).collect();
    for (waiter, woken, polls) in &mut waiters {
        *polls += 1;
        let polled = waiter.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(woken))));
        if let Poll::Ready(hold) = polled {
            hold.unwrap().settle(Outcome::Abandoned);
        }
    }
    for step in 1..20u64 {
        advance(Duration::from_millis(100)).await;
        let now = start.elapsed();
        for (which, (waiter, woken, polls)) in waiters.iter_mut().enumerate().skip(1) {
            while woken.times() >= *polls {
                *polls += 1;
                let waker = Waker::from(Arc::clone(woken));
                if let Poll::Ready(hold) = waiter.as_mut().poll(&mut Context::from_waker(&waker)) {
                    hold.unwrap().settle(Outcome::Abandoned);
                    served.lock().unwrap().push((which as u64, now));
                }
            }
        }
        assert_eq!(served.lock().unwrap().len() as u64, step, "one each tenth of a second");
    }
    let served = served.lock().unwrap();
    assert!(served.iter().enumerate().all(|(i, (which, _))| i as u64 + 1 == *which), "in the order of coming");
    for (_, woken, _) in &waiters[1..] {
        assert_eq!(woken.times(), 1, "one wake for one grant");
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_are_not_polled_while_nothing_happens() {
    let limiter = limiter(Limits { concurrency: places(1), ..Limits::NONE });
    let _held = limiter.try_hold(ONE).unwrap();
    let mut waiters: Vec<_> = (0..10_000).map(|_| Box::pin(limiter.hold(ONE, None))).collect();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    for waiter in &mut waiters {
        assert!(waiter.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    sleep(Duration::from_secs(3_600)).await;
    assert_eq!(woken.times(), 0);
    assert_eq!(limiter.snapshot().waiting, 10_000);
}

#[tokio::test(start_paused = true)]
async fn two_who_wait_in_one_task_are_both_served() {
    let limiter = limiter(Limits { requests: requests(10), concurrency: places(3), ..Limits::NONE });
    let start = Instant::now();
    let (a, b, c) = tokio::join!(limiter.acquire(ONE, None), limiter.acquire(ONE, None), limiter.acquire(ONE, None));
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    assert_eq!(start.elapsed().as_millis(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_place_that_comes_back_goes_to_the_first_who_waits() {
    let limiter = limiter(Limits { concurrency: places(1), ..Limits::NONE });
    let held = limiter.acquire(ONE, None).await.unwrap();
    let (mut first, mut second) = (Box::pin(limiter.acquire(ONE, None)), Box::pin(limiter.acquire(ONE, None)));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(first.as_mut().poll(&mut cx).is_pending());
    assert!(second.as_mut().poll(&mut cx).is_pending());
    held.settle(Outcome::Unused);
    assert!(limiter.try_hold(ONE).is_err(), "nobody overtakes");
    assert!(second.as_mut().poll(&mut cx).is_pending());
    assert!(first.as_mut().poll(&mut cx).is_ready());
}

#[tokio::test(start_paused = true)]
async fn higher_limits_let_those_go_who_wait() {
    let limiter = limiter(Limits { requests: requests(1), ..Limits::NONE });
    let start = Instant::now();
    limiter.acquire(ONE, None).await.unwrap();
    let waiter = {
        let limiter = limiter.clone();
        async move { limiter.acquire(ONE, None).await.unwrap() }
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(waiter);
    sleep(Duration::from_millis(100)).await;
    assert_eq!(limiter.snapshot().head.map(|head| head.reason), Some(WaitReason::Requests));
    limiter.change_limits(Limits { requests: requests(20), ..Limits::NONE });
    tasks.join_next().await;
    let waited = start.elapsed().as_millis();
    assert!((100..=150).contains(&waited), "a tenth came in slowly, the rest twenty times as fast: {waited}");
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_says_why_somebody_waits() {
    let limiter = limiter(Limits { requests: requests(1), ..Limits::NONE });
    let _held = limiter.acquire(ONE, None).await.unwrap();
    let mut waiter = Box::pin(limiter.acquire(ONE, None));
    assert!(waiter.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let expected =
        "1 waiting, the first for requests, 1.0 s to go; 1 in flight; requests: 0 of 1 now, 60 a minute (told)";
    assert_eq!(limiter.snapshot().to_string(), expected);
}

#[test]
fn a_limiter_outlives_the_runtime_that_armed_its_timer() {
    let limiter = limiter(Limits { requests: requests(100), ..Limits::NONE });
    for _ in 0..3 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            for _ in 0..3 {
                // The clock of each runtime stands where it was made, so at most a few turns are needed.
                let _ = timeout(Duration::from_millis(50), limiter.acquire(ONE, None)).await;
            }
            let mut waiter: Pin<Box<dyn Future<Output = _>>> = Box::pin(limiter.acquire(ONE, None));
            let _ = waiter.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Tasks of a multi-threaded runtime that come, wait, give up and settle at random leave nothing behind.
    #[test]
    fn nothing_is_lost_between_threads(plan in prop::collection::vec((0..4u8, 0..3u8), 1..60)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
        let limits = Limits { concurrency: places(2), ..Limits::NONE };
        let limiter = Limiter::new("key", Settings { limits, ..Settings::default() });
        runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for (patience, end) in plan {
                let limiter = limiter.clone();
                tasks.spawn(async move {
                    let mut waiter = Box::pin(limiter.acquire(ONE, None));
                    let mut polls = 0;
                    let permit = std::future::poll_fn(|cx| {
                        polls += 1;
                        match waiter.as_mut().poll(cx) {
                            Poll::Ready(permit) => Poll::Ready(Some(permit.unwrap())),
                            Poll::Pending if polls > patience && patience < 2 => Poll::Ready(None),
                            Poll::Pending => Poll::Pending,
                        }
                    })
                    .await;
                    drop(waiter);
                    let Some(permit) = permit else { return };
                    tokio::task::yield_now().await;
                    match end {
                        0 => drop(permit),
                        1 => permit.settle(Outcome::Unused),
                        _ => permit.settle(Outcome::Failed { may_have_executed: true, limits: Default::default() }),
                    }
                });
            }
            while let Some(done) = tasks.join_next().await {
                done.unwrap();
            }
        });
        let snapshot = limiter.snapshot();
        prop_assert_eq!((snapshot.in_flight, snapshot.waiting), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_who_come_during_a_pause_send_nothing_before_its_end_and_one_first() {
    let limiter = limiter(Limits { requests: Limit::Hidden, ..Limits::NONE });
    let limits = RateLimits { retry_after: Some(Duration::from_secs(5)), ..RateLimits::default() };
    limiter.acquire(ONE, None).await.unwrap().settle(Outcome::Throttled { limits });
    let start = Instant::now();
    let sent = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    for _ in 0..10_000 {
        let (limiter, sent) = (limiter.clone(), Arc::clone(&sent));
        tasks.spawn(async move {
            let permit = limiter.acquire(ONE, None).await.unwrap();
            sent.lock().unwrap().push(start.elapsed());
            sleep(Duration::from_millis(50)).await;
            permit.settle(Outcome::Completed { usage: Usage::default(), limits: RateLimits::default() });
        });
    }
    sleep(Duration::from_secs(7)).await;
    tasks.shutdown().await;
    let sent = sent.lock().unwrap().clone();
    let first = *sent.first().expect("somebody goes when it is over");
    assert!(first >= Duration::from_secs(5), "A6: nobody before the provider said so: {first:?}");
    let soon = sent.iter().filter(|at| **at < first + Duration::from_millis(50)).count();
    assert_eq!(soon, 1, "A6: one finds out first: {sent:?}");
    let snapshot = limiter.snapshot();
    assert_eq!((snapshot.in_flight, snapshot.waiting), (0, 0), "whoever went away left nothing");
}

/// A limiter with one place: all that two overloads left of eight.
async fn one_place() -> Limiter {
    let limiter = limiter(Limits { concurrency: Concurrency::Hidden, ..Limits::NONE });
    for _ in 0..2 {
        let overloaded = Outcome::Overloaded { limits: RateLimits::default() };
        limiter.hold(ONE, None).await.expect("there is room").settle(overloaded);
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(limiter.snapshot().places, Some(1));
    limiter
}

/// Overloads had left one place, and a call that fell silent kept it until its own timeout; whoever waited behind it
/// waited as long, although the places had grown by then.
#[tokio::test(start_paused = true)]
async fn a_silent_call_in_the_last_place_keeps_the_others_out_for_a_second_and_no_longer() {
    let limiter = one_place().await;
    let mut silent = vec![limiter.hold(ONE, None).await.unwrap()];
    for _ in 0..5 {
        let began = Instant::now();
        let next = timeout(Duration::from_secs(60), limiter.hold(ONE, None)).await;
        silent.push(next.expect("nobody waits for a silent call").unwrap());
        assert_eq!(began.elapsed(), Duration::from_secs(1), "the places grow by one a second");
    }
    assert_eq!(limiter.snapshot().in_flight, 6);
}

/// The next place comes in a second, or when a call ends: a deadline before that is no reason to be refused at once.
#[tokio::test(start_paused = true)]
async fn whoever_has_less_than_a_second_may_still_get_the_place_of_a_call_that_ends() {
    let limiter = one_place().await;
    let first = limiter.hold(ONE, None).await.unwrap();
    let soon = Instant::now() + Duration::from_millis(500);
    let ends = async {
        sleep(Duration::from_millis(200)).await;
        first.settle(Outcome::Abandoned);
    };
    let (next, ()) = tokio::join!(limiter.hold(ONE, Some(soon.into_std())), ends);
    assert!(next.is_ok(), "{next:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_has_used_up_its_turn_at_the_runtime_is_woken_in_time_all_the_same() {
    // The runtime lets a task do 128 things at a stretch; what it does after that is answered with "come again".
    for things in 120..140 {
        let limiter = limiter(Limits { requests: requests(10), ..Limits::NONE });
        let held = limiter.acquire(ONE, None).await.expect("no deadline");
        let (give, mut take) = tokio::sync::mpsc::unbounded_channel();
        (0..things).for_each(|thing| give.send(thing).expect("somebody listens"));
        let mut busy = JoinSet::new();
        busy.spawn(async move {
            for _ in 0..things {
                take.recv().await.expect("there are as many");
            }
            limiter.acquire(ONE, None).await.map(drop)
        });
        let waited = timeout(Duration::from_secs(60), busy.join_all()).await;
        assert!(waited.expect("it is let in").iter().all(Result::is_ok));
        drop(held);
    }
}
