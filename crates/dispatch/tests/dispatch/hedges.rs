//! A call that takes unusually long is sent once more beside itself, if that is wanted and costs nobody anything else.

use std::future::pending;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use bellwether_core::limiter::{Outlook, Refused};
use bellwether_core::{Demand, Outcome, Permit, RateLimiter, TaskQueue};
use bellwether_dispatch::{ChatProvider, DispatchBuilder, ErrorKind, Fact, HedgePolicy, PermitPool, Retry};
use tokio::time::{sleep, timeout};

use crate::guarded::Fuse;
use crate::play::{Ends, Scene, Settled, Stage, error, ms, named, request};

/// As many second tries as there are calls.
const ALWAYS: HedgePolicy = HedgePolicy { percent: 100, slower_than: 95 };
/// So many calls of 100 ms each are known before the story begins.
const KNOWN: usize = 20;

/// A stage on which so many calls were answered as usual, and then come `scenes`.
async fn after(known: usize, scenes: &[Scene], more: impl FnOnce(DispatchBuilder) -> DispatchBuilder) -> Stage {
    let usual = vec![Scene::after(100, Ends::Answers(ms(100))); known];
    let stage = Stage::with(4, 100, usual.into_iter().chain(scenes.iter().cloned()), more);
    for n in 0..known {
        stage.dispatch.chat(request(), named(format!("usual-{n}"))).await.expect("it is answered");
    }
    stage
}

async fn hedged(scenes: &[Scene]) -> Stage {
    after(KNOWN, scenes, |builder| builder.hedge(ALWAYS)).await
}

impl Stage {
    /// When each call of the story arrived, and how long it is under way, both from its beginning.
    fn since(&self, known: usize) -> (Vec<u128>, u128) {
        let began = 200 * known as u128;
        let arrivals = self.play.arrivals().split_off(known);
        (arrivals.iter().map(|at| at - began).collect(), self.play.elapsed() - began)
    }

    /// What was told since then, without the usual.
    fn told_since(&self, known: usize) -> Vec<String> {
        self.told().split_off(3 * known)
    }
}

fn slow() -> Scene {
    Scene::after(60_000, Ends::Answers(ms(100)))
}

#[tokio::test(start_paused = true)]
async fn the_answer_that_begins_first_counts_and_the_other_call_is_cancelled() {
    let limiter = Settled::over(PermitPool::new(NonZeroUsize::new(4).unwrap()));
    let seen = Arc::<Settled>::clone(&limiter);
    let stage = after(KNOWN, &[slow()], |builder| builder.hedge(ALWAYS).limiter(limiter)).await;
    stage.dispatch.chat(request(), named("a")).await.unwrap();
    assert_eq!(stage.since(KNOWN), (vec![0, 100], 300), "it is sent again once it takes longer than the others");
    let story = ["queued 0", "admitted 0 after 0ns", "hedged won", "completed in 300ms, first Some(200ms)"];
    assert_eq!(stage.told_since(KNOWN), story);
    let outcomes = seen.outcomes();
    assert_eq!(outcomes[KNOWN], Outcome::Abandoned, "what the loser reserved counts as used");
    assert!(matches!(outcomes[KNOWN + 1], Outcome::Completed { .. }));
    assert_eq!(stage.queue.costs.lock().unwrap().len(), KNOWN + 2, "and its flow is charged for both");
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_first_try_that_answers_after_all_wins() {
    let stage = hedged(&[Scene::after(150, Ends::Answers(ms(100)))]).await;
    stage.dispatch.chat(request(), named("a")).await.unwrap();
    assert_eq!(stage.since(KNOWN), (vec![0, 100], 250));
    assert_eq!(stage.told_since(KNOWN)[2..], ["hedged lost", "completed in 250ms, first Some(150ms)"]);
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_is_sent_twice_unless_it_is_wanted_and_enough_is_known() {
    for (known, wanted) in [(KNOWN, false), (KNOWN - 1, true)] {
        let stage = after(known, &[slow()], |builder| if wanted { builder.hedge(ALWAYS) } else { builder }).await;
        stage.dispatch.chat(request(), named("a")).await.unwrap();
        assert_eq!(stage.since(known), (vec![0], 60_100));
    }
}

#[tokio::test(start_paused = true)]
async fn second_tries_keep_to_their_share_of_the_tokens() {
    let stage = after(60, &[slow(), Scene::after(100, Ends::Answers(ms(100))), slow()], |builder| {
        builder.hedge(HedgePolicy::default())
    })
    .await;
    stage.dispatch.chat(request(), named("a")).await.unwrap();
    stage.dispatch.chat(request(), named("b")).await.unwrap();
    let (arrivals, took) = stage.since(60);
    assert_eq!(arrivals, [0, 100, 300], "two percent of sixty calls are one, and not two");
    assert_eq!(took, 300 + 60_100);
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_second_try_takes_nobodys_place() {
    let full = Scene::after(1_000, Ends::Answers(ms(0)));
    let stage = hedged(&[slow(), full.clone(), full.clone(), full.clone(), full]).await;
    let others = async {
        tokio::join!(
            stage.dispatch.chat(request(), named("b")),
            stage.dispatch.chat(request(), named("c")),
            stage.dispatch.chat(request(), named("d")),
            stage.dispatch.chat(request(), named("e")),
        )
    };
    let (slow, _) = tokio::join!(stage.dispatch.chat(request(), named("a")), others);
    slow.unwrap();
    let (arrivals, _) = stage.since(KNOWN);
    assert_eq!(arrivals[..5], [0, 0, 0, 0, 1_000], "four places, and somebody waits");
    assert!((1_001..=3_200).contains(&arrivals[5]), "it is looked again until there is room: {arrivals:?}");
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_second_try_is_paid_for_like_a_retry() {
    let stage = after(KNOWN, &[slow()], |builder| builder.hedge(ALWAYS).guard(Fuse::with_budget(0))).await;
    stage.dispatch.chat(request(), named("a")).await.unwrap();
    assert_eq!(stage.since(KNOWN), (vec![0], 60_100), "the budget has nothing for it");
    stage.assert_swept().await;
}

/// A limiter that has room and yet lets one call in its order wait for ever.
#[derive(Debug)]
struct Balks {
    pool: PermitPool,
    asked: AtomicUsize,
    at: usize,
}

#[async_trait]
impl RateLimiter for Balks {
    async fn acquire(&self, demand: Demand, deadline: Option<Instant>) -> Result<Permit, Refused> {
        if self.asked.fetch_add(1, Ordering::Relaxed) == self.at {
            pending::<()>().await;
        }
        self.pool.acquire(demand, deadline).await
    }

    fn outlook(&self, demand: Demand) -> Option<Outlook> {
        self.pool.outlook(demand)
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_try_does_not_look_how_a_failing_key_is() {
    let fails = || Scene::after(10, Ends::Fails(error(ErrorKind::Upstream).with_retry(Retry::Never)));
    let stage =
        after(KNOWN, &[slow(), fails(), fails()], |builder| builder.hedge(ALWAYS).guard(Fuse::with_budget(9))).await;
    let others = async {
        sleep(ms(1)).await;
        stage.dispatch.chat(request(), named("b")).await.unwrap_err();
        stage.dispatch.chat(request(), named("c")).await.unwrap_err();
    };
    let (slow, ()) = tokio::join!(stage.dispatch.chat(request(), named("a")), others);
    slow.unwrap();
    let (arrivals, took) = stage.since(KNOWN);
    assert_eq!((arrivals, took), (vec![0, 1, 11], 60_100), "the key opened at 21 ms, and nobody knows better since");
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_second_try_that_gets_no_turn_is_not_paid_for() {
    let pool = PermitPool::new(NonZeroUsize::new(4).unwrap());
    let limiter = Arc::new(Balks { pool, asked: AtomicUsize::new(0), at: KNOWN + 1 });
    let stage =
        after(KNOWN, &[slow()], |builder| builder.hedge(ALWAYS).guard(Fuse::with_budget(1)).limiter(limiter)).await;
    stage.dispatch.chat(request(), named("a")).await.unwrap();
    let (arrivals, took) = stage.since(KNOWN);
    assert_eq!((arrivals, took), (vec![0, 210], 410), "the one retry that the budget has is there at the next look");
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_second_try_that_fails_leaves_the_first_alone() {
    let fails = Scene::after(10, Ends::Fails(error(ErrorKind::Overloaded)));
    let stage = hedged(&[Scene::after(900, Ends::Answers(ms(100))), fails]).await;
    stage.dispatch.chat(request(), named("a")).await.unwrap();
    assert_eq!(stage.since(KNOWN), (vec![0, 100], 1_000));
    assert_eq!(stage.told_since(KNOWN)[2..], ["hedged failed", "completed in 1s, first Some(900ms)"]);
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_first_try_that_fails_is_no_failure_if_the_second_answers() {
    let fails = Scene::after(150, Ends::Fails(error(ErrorKind::Upstream)));
    let stage = hedged(std::slice::from_ref(&fails)).await;
    stage.dispatch.chat(request(), named("a")).await.unwrap();
    assert_eq!(stage.since(KNOWN), (vec![0, 100], 300));
    assert_eq!(stage.told_since(KNOWN)[2..], ["hedged won", "completed in 300ms, first Some(200ms)"]);

    let stage = hedged(&[fails.clone(), fails]).await;
    stage.dispatch.chat(request(), named("a")).await.unwrap();
    let told = stage.told_since(KNOWN);
    assert_eq!(told[2..5], ["hedged failed", "failed upstream in 250ms", "retried 0 upstream"], "two are one attempt");
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_takes_both_along() {
    let stage = hedged(&[slow(), slow()]).await;
    let left = timeout(ms(1_000), stage.dispatch.chat(request(), named("a"))).await;
    assert!(left.is_err() && stage.play.in_flight() == 0);
    assert_eq!(stage.told_since(KNOWN)[2..], ["hedged lost", "abandoned admitted=true"]);
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_sent_twice_before_its_first_piece_and_never_after_it() {
    let stage = hedged(&[slow()]).await;
    let mut stream = stage.dispatch.stream(request(), named("a")).await.unwrap();
    assert_eq!(stage.since(KNOWN), (vec![0, 100], 200));
    while stream.next().await.is_some() {}
    let began = Scene::after(0, Ends::Answers(ms(60_000)));
    let stage = hedged(&[began]).await;
    let mut stream = stage.dispatch.stream(request(), named("b")).await.unwrap();
    while let Some(event) = stream.next().await {
        event.unwrap();
    }
    assert_eq!(stage.since(KNOWN), (vec![0], 60_000));
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_asked_for_whole_is_slow_as_a_whole() {
    let stage =
        after(KNOWN, &[Scene::after(0, Ends::Answers(ms(60_000)))], |builder| builder.hedge(ALWAYS).unary()).await;
    stage.dispatch.chat(request(), named("a")).await.unwrap();
    assert_eq!(stage.since(KNOWN), (vec![0, 200], 400));
    assert_eq!(stage.facts.count(|fact| matches!(fact, Fact::CallHedged { .. })), 1);
    assert!(stage.queue.is_empty());
    stage.assert_swept().await;
}
