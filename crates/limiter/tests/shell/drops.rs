//! Whoever goes away, at whatever point, leaves nothing behind.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bellwether_limiter::{Limiter, Limits, Outcome};
use tokio::time::{advance, sleep};

use crate::play::{ONE, Woken, limiter, places, requests};

/// A whole use of the limiter, with an await between any two of its steps.
async fn use_it(limiter: &Limiter) {
    let permit = limiter.acquire(ONE, None).await.expect("no deadline");
    tokio::task::yield_now().await;
    let second = limiter.acquire(ONE, None).await.expect("no deadline");
    tokio::task::yield_now().await;
    permit.settle(Outcome::Failed { may_have_executed: true, limits: Default::default() });
    tokio::task::yield_now().await;
    drop(second);
}

/// Drops a use of the limiter after so many polls. Whether it came to its end before.
async fn dropped_after(polls: usize, limits: Limits) -> bool {
    let limiter = limiter(limits);
    let held = limiter.acquire(ONE, None).await.expect("there is room");
    let mut user = Box::pin(use_it(&limiter));
    let mut next = Box::pin(limiter.acquire(ONE, None));
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut held = Some(held);
    let (mut done, mut behind) = (false, Poll::Pending);
    for poll in 0..polls {
        done |= user.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        if done {
            break;
        }
        if poll == 0 {
            behind = next.as_mut().poll(&mut Context::from_waker(&waker)).map(|permit| permit.expect("no deadline"));
        }
        if poll == 2 {
            held.take();
        }
        advance(Duration::from_millis(30)).await;
    }
    drop(user);
    drop(held);
    // Whoever is next gets its turn without being asked to look by anybody else.
    let mut looks = 0;
    let permit = loop {
        if let Poll::Ready(permit) = std::mem::replace(&mut behind, Poll::Pending) {
            break permit;
        }
        if polls == 0 || woken.times() > looks {
            looks = woken.times();
            if let Poll::Ready(permit) = next.as_mut().poll(&mut Context::from_waker(&waker)) {
                break permit.expect("no deadline");
            }
        }
        assert!(tokio::time::timeout(Duration::from_secs(60), sleep(Duration::from_millis(10))).await.is_ok());
    };
    drop(permit);
    let snapshot = limiter.snapshot();
    assert_eq!((snapshot.in_flight, snapshot.waiting), (0, 0), "after {polls} polls");
    done
}

#[tokio::test(start_paused = true)]
async fn a_user_that_is_dropped_at_any_await_leaks_nothing_and_wakes_the_next() {
    let slow = Limits { requests: requests(10), ..Limits::NONE };
    let narrow = Limits { concurrency: places(3), ..Limits::NONE };
    let both = Limits { requests: requests(10), concurrency: places(3), ..Limits::NONE };
    for limits in [slow, narrow, both] {
        let mut ended = false;
        for polls in 0..60 {
            ended |= dropped_after(polls, limits).await;
        }
        assert!(ended, "the walk came to the end");
    }
}

#[tokio::test(start_paused = true)]
async fn the_timer_is_handed_on_when_its_owner_goes_away() {
    let limiter = limiter(Limits { requests: requests(1), ..Limits::NONE });
    limiter.acquire(ONE, None).await.unwrap();
    let mut first = Box::pin(limiter.acquire(ONE, None));
    assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let second = limiter.acquire(ONE, None);
    let leave = async {
        sleep(Duration::from_millis(300)).await;
        drop(first);
    };
    let start = tokio::time::Instant::now();
    let (second, ()) = tokio::join!(second, leave);
    assert!(second.is_ok());
    assert_eq!(start.elapsed().as_millis(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_nobody_fetches_goes_on_to_the_next() {
    let limiter = limiter(Limits { concurrency: places(1), ..Limits::NONE });
    let held = limiter.acquire(ONE, None).await.unwrap();
    let mut first = Box::pin(limiter.acquire(ONE, None));
    assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut second = Box::pin(limiter.acquire(ONE, None));
    assert!(second.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    held.settle(Outcome::Unused);
    assert_eq!(woken.times(), 0, "it is the other's turn");
    drop(first);
    assert_eq!(woken.times(), 1);
    assert!(second.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
}

#[test]
fn a_runtime_that_ends_takes_nobodys_alarm_along() {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("it starts");
    let (here, there) = (runtime(), runtime());
    let limiter = here.block_on(async { limiter(Limits { requests: requests(1), ..Limits::NONE }) });
    let held = here.block_on(async { limiter.try_hold(ONE).expect("there is room") });
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let (mut first, mut second) = (Box::pin(limiter.acquire(ONE, None)), Box::pin(limiter.acquire(ONE, None)));
    there.block_on(async { assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()) });
    here.block_on(async { assert!(second.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()) });
    there.block_on(async {
        advance(Duration::from_millis(1_100)).await;
        // On behalf of the second it arms the timer, in its own runtime.
        assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    });
    drop(there);
    here.block_on(async {
        let mut looks = 0;
        for _ in 0..10 {
            if woken.times() > looks {
                looks = woken.times();
                if second.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                    return;
                }
            }
            sleep(Duration::from_secs(1)).await;
        }
        panic!("nobody wakes it");
    });
    drop(held);
}
