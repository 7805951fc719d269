//! Which failures are tried again, how often, and after which pauses.

use std::sync::Arc;
use std::time::Duration;

use bellwether_core::Outcome;
use bellwether_core::error::Phase;
use bellwether_core::test_util::Unlimited;
use bellwether_dispatch::{CallContext, ChatProvider, ErrorKind, Fact, ProviderError, Retry, RetryPolicy};

use crate::play::{Ends, Scene, Settled, Stage, USAGE, error, lock, ms, named, request};

fn fails(kind: ErrorKind) -> Scene {
    Scene::after(100, Ends::Fails(error(kind)))
}

fn delays(stage: &Stage) -> Vec<Duration> {
    let delay = |fact: &Fact| match fact {
        Fact::CallRetried { delay, .. } => Some(*delay),
        _ => None,
    };
    stage.facts.facts().iter().filter_map(delay).collect()
}

#[tokio::test(start_paused = true)]
async fn four_tries_and_no_more_with_growing_jittered_pauses() {
    let stage = Stage::new(1, vec![fails(ErrorKind::Overloaded); 9]);
    let error = stage.dispatch.chat(request(), named("a")).await.unwrap_err();
    assert_eq!((error.kind, stage.play.arrivals().len()), (ErrorKind::Overloaded, 4));
    let delays = delays(&stage);
    for (delay, ceiling) in delays.iter().zip([500, 1_000, 2_000]) {
        assert!(*delay <= ms(ceiling), "{delay:?} is above {ceiling} ms");
    }
    let paused: Duration = delays.iter().sum();
    let elapsed = Duration::from_millis(u64::try_from(stage.play.elapsed()).unwrap());
    assert!(elapsed.abs_diff(paused + ms(400)) <= ms(3), "it took what was announced");
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_draws_the_same_pauses() {
    let mut drawn = Vec::new();
    for seed in [1, 1, 2] {
        let stage = Stage::with(1, 9, vec![fails(ErrorKind::Connect); 9], |builder| builder.seed(seed));
        stage.dispatch.chat(request(), named("a")).await.unwrap_err();
        drawn.push(delays(&stage));
    }
    assert_eq!(drawn[0], drawn[1]);
    assert_ne!(drawn[0], drawn[2]);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_key_is_never_tried_again() {
    let never = [
        ErrorKind::Auth,
        ErrorKind::ContentFiltered,
        ErrorKind::ContextLength,
        ErrorKind::InvalidRequest,
        ErrorKind::NotFound,
        ErrorKind::PermissionDenied,
        ErrorKind::QuotaExhausted,
    ];
    for kind in never {
        let stage = Stage::new(1, vec![fails(kind); 9]);
        let error = stage.dispatch.chat(request(), named("a")).await.unwrap_err();
        assert_eq!((error.kind, stage.play.arrivals().len()), (kind, 1));
        stage.assert_swept().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_the_provider_named_is_a_floor() {
    let scene = Scene::after(0, Ends::Fails(error(ErrorKind::Overloaded).with_retry(Retry::After(ms(40_000)))));
    let stage = Stage::new(1, [scene]);
    stage.dispatch.chat(request(), named("a")).await.unwrap();
    let delay = delays(&stage)[0];
    assert!(delay >= ms(40_000) && delay <= ms(40_500), "{delay:?}");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_time_beyond_patience() {
    let scene = Scene::after(0, Ends::Fails(error(ErrorKind::Overloaded).with_retry(Retry::After(ms(300_001)))));
    let stage = Stage::new(1, [scene]);
    let error = stage.dispatch.chat(request(), named("a")).await.unwrap_err();
    assert_eq!((error.retry, stage.play.elapsed()), (Retry::After(ms(300_001)), 0));
}

#[tokio::test(start_paused = true)]
async fn at_once_is_at_once_and_still_counted() {
    let scene = Scene::after(10, Ends::Fails(error(ErrorKind::Connect).with_retry(Retry::Now)));
    let stage = Stage::new(1, vec![scene; 9]);
    stage.dispatch.chat(request(), named("a")).await.unwrap_err();
    assert_eq!(stage.play.arrivals(), [0, 10, 20, 30]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_cut_off_is_asked_for_again() {
    let idle = error(ErrorKind::Timeout(Phase::Idle));
    let scenes = [Scene::after(0, Ends::Stops), Scene::after(0, Ends::FailsAfterText(idle))];
    let stage = Stage::new(1, scenes);
    let answer = stage.dispatch.chat(request(), named("a")).await.unwrap();
    assert_eq!(answer.text, "Hello there", "and nothing of the halves is left in it");
    assert_eq!(stage.play.arrivals().len(), 3);
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_stays_cut_off_was_not_handed_on() {
    let stage = Stage::new(1, vec![Scene::after(0, Ends::Stops); 4]);
    let error = stage.dispatch.chat(request(), named("a")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Truncated);
    assert!(!error.details.emitted_output && error.details.may_have_executed);
}

#[tokio::test(start_paused = true)]
async fn all_attempts_carry_one_idempotency_key_and_are_counted() {
    let stage = Stage::new(1, vec![fails(ErrorKind::Connect); 2]);
    let context = CallContext { idempotency_key: Some("k".into()), ..CallContext::default() };
    stage.dispatch.chat(request(), context).await.unwrap();
    let log = lock(&stage.play.log);
    let sent: Vec<_> = log.iter().map(|(_, c)| (c.attempt, c.idempotency_key.as_deref())).collect();
    assert_eq!(sent, [(0, Some("k")), (1, Some("k")), (2, Some("k"))]);
}

#[tokio::test(start_paused = true)]
async fn permits_and_charges_are_settled_with_what_happened() {
    let mut ran = error(ErrorKind::Upstream);
    ran.details.may_have_executed = true;
    let throttled = error(ErrorKind::RateLimited).with_retry(Retry::After(ms(700)));
    let scenes =
        [ran, error(ErrorKind::Connect), throttled].map(|error: ProviderError| Scene::after(0, Ends::Fails(error)));
    let limiter = Settled::over(Unlimited);
    let seen = Arc::<Settled>::clone(&limiter);
    let stage = Stage::with(1, 100, scenes, |builder| builder.limiter(limiter));
    stage.dispatch.chat(request(), named("a")).await.unwrap();
    let [upstream, connect, throttled, completed] = seen.outcomes()[..] else { panic!("{:?}", seen.outcomes()) };
    assert!(matches!(upstream, Outcome::Failed { may_have_executed: true, .. }));
    assert!(matches!(connect, Outcome::Failed { may_have_executed: false, .. }));
    assert!(matches!(throttled, Outcome::Throttled { limits } if limits.retry_after == Some(ms(700))));
    assert!(matches!(completed, Outcome::Completed { usage: USAGE, .. }));
    let estimate = 4 + 4 + 1_024;
    assert_eq!(*lock(&stage.queue.costs), [estimate, 0, 0, USAGE.tokens()]);
}

#[tokio::test(start_paused = true)]
async fn a_policy_of_no_tries_tries_once() {
    let policy = RetryPolicy { max_attempts: 0, ..RetryPolicy::default() };
    let stage = Stage::with(1, 9, vec![fails(ErrorKind::Connect)], |builder| builder.retry(policy));
    stage.dispatch.chat(request(), named("a")).await.unwrap_err();
    assert_eq!(stage.play.arrivals().len(), 1);
}
