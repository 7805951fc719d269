//! A 429 is no failed attempt: it pauses everybody on the key, and the call queues again.

use std::sync::Arc;
use std::time::Duration;

use bellwether_core::test_util::Unlimited;
use bellwether_dispatch::{ChatProvider, ErrorKind, Fact, Retry, RetryPolicy};
use tokio::time::sleep;

use crate::play::{Ends, Scene, Stage, error, ms, named, request, throttle, until};

/// One try only, so that a 429 that counted would end the call.
fn once() -> RetryPolicy {
    RetryPolicy { max_attempts: 1, ..RetryPolicy::default() }
}

fn throttled(after: Option<Duration>) -> Scene {
    Scene::after(100, Ends::Fails(throttle(after)))
}

#[tokio::test(start_paused = true)]
async fn a_429_pauses_everybody_on_the_key_and_uses_up_nobodys_attempt() {
    let stage = Stage::with(4, 100, [throttled(Some(ms(2_000)))], |builder| builder.retry(once()));
    let first = stage.dispatch.chat(request(), named("first"));
    let second = async {
        sleep(ms(500)).await;
        stage.dispatch.chat(request(), named("second")).await
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first.unwrap().text.as_str(), second.unwrap().text.as_str()), ("Hello there", "Hello there"));
    assert_eq!(stage.play.arrivals(), [0, 2_100, 2_100], "2 s after the 429 came, and not before");
    assert_eq!(stage.facts.count(|fact| matches!(fact, Fact::CallFailed { .. })), 0);
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_throttled_call_tells_its_story() {
    let stage = Stage::new(1, [throttled(Some(ms(2_000)))]);
    stage.dispatch.chat(request(), named("a")).await.unwrap();
    let story = [
        "queued 0",
        "admitted 0 after 0ns",
        "throttled Some(2s)",
        "queued 1",
        "waits for pause, Some(2s)",
        "admitted 1 after 2s",
        "completed in 200ms, first Some(100ms)",
    ];
    assert_eq!(stage.told(), story);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_429s_in_a_row_do_not_exhaust_a_call() {
    let scenes = vec![throttled(Some(ms(1_000))); 100];
    let stage = Stage::with(2, 100, scenes, |builder| builder.retry(once()));
    stage.dispatch.chat(request(), named("a")).await.unwrap();
    assert_eq!(stage.play.arrivals().len(), 101);
    assert_eq!(stage.play.elapsed(), 100 * 1_100 + 200);
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_named_time_the_pauses_double_up_to_half_a_minute() {
    let stage = Stage::new(2, vec![throttled(None); 7]);
    stage.dispatch.chat(request(), named("a")).await.unwrap();
    let arrivals = stage.play.arrivals();
    let gaps: Vec<_> = arrivals.windows(2).map(|pair| pair[1] - pair[0] - 100).collect();
    assert_eq!(gaps, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
}

#[tokio::test(start_paused = true)]
async fn a_call_gives_up_when_its_patience_with_429s_cannot_last() {
    let stage = Stage::new(1, vec![throttled(Some(ms(120_000))); 9]);
    let error = stage.dispatch.chat(request(), named("a")).await.unwrap_err();
    assert_eq!((error.kind, error.retry), (ErrorKind::RateLimited, Retry::After(ms(120_000))));
    assert_eq!(stage.play.arrivals(), [0, 120_100, 240_200], "a fourth would come after 360 s, which is beyond 5 min");
    assert_eq!(stage.play.elapsed(), 240_300, "and it is not waited for");
    assert_eq!(stage.told().last().map(String::as_str), Some("refused rate_limited"));
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn time_spent_in_the_call_itself_is_not_patience() {
    let slow = Scene::after(600_000, Ends::Fails(throttle(Some(ms(200_000)))));
    let stage = Stage::new(1, [slow]);
    stage.dispatch.chat(request(), named("a")).await.unwrap();
    assert_eq!(stage.play.arrivals(), [0, 800_000]);
}

#[tokio::test(start_paused = true)]
async fn nor_is_the_pause_after_another_failure() {
    let overloaded = error(ErrorKind::Overloaded).with_retry(Retry::After(ms(200_000)));
    let stage = Stage::new(1, [throttled(Some(ms(200_000))), Scene::after(0, Ends::Fails(overloaded))]);
    stage.dispatch.chat(request(), named("a")).await.unwrap();
    assert!(stage.play.elapsed() > 400_000);
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_ends_after_the_deadline_is_not_waited_for() {
    let stage = Stage::new(2, [throttled(Some(ms(5_000)))]);
    let error = stage.dispatch.chat(request(), until("a", 1_000)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::DeadlineExceeded);
    assert!(error.cause.is_some(), "the 429 is named as the cause");
    assert_eq!(stage.play.elapsed(), 100);
    let error = stage.dispatch.chat(request(), until("b", 1_000)).await.unwrap_err();
    assert_eq!((error.kind, stage.play.elapsed()), (ErrorKind::DeadlineExceeded, 100), "nor by those who come later");
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_limiter_that_does_not_pause_is_no_reason_to_ask_in_a_loop() {
    let scenes = vec![Scene::after(0, Ends::Fails(throttle(None))); 10_000];
    let stage = Stage::with(1, 100, scenes, |builder| builder.limiter(Arc::new(Unlimited)));
    let error = stage.dispatch.chat(request(), named("a")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::RateLimited);
    assert!(stage.play.arrivals().len() < 60, "but {} times in five minutes", stage.play.arrivals().len());
    assert!(stage.play.elapsed() <= 300_000);
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_429_that_will_never_pass_is_returned() {
    let never = throttle(None).with_retry(Retry::Never);
    let stage = Stage::new(1, [Scene::after(0, Ends::Fails(never))]);
    let error = stage.dispatch.chat(request(), named("a")).await.unwrap_err();
    assert_eq!((error.kind, stage.play.arrivals().len()), (ErrorKind::RateLimited, 1));
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn only_the_first_in_line_says_what_it_waits_for_and_it_says_it_once() {
    let stage = Stage::new(1, []);
    let [a, b, c] = ["a", "b", "c"].map(|name| stage.dispatch.chat(request(), named(name)));
    let (a, b, c) = tokio::join!(a, b, c);
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    let told = stage.told();
    let waits = told.iter().filter(|fact| fact.starts_with("waits"));
    assert_eq!(
        waits.collect::<Vec<_>>(),
        ["waits for concurrency, None"; 2],
        "not the one who found a place: {told:?}"
    );
    let at = |fact: &str| told.iter().position(|told| told.starts_with(fact)).expect("it was told");
    assert!(at("waits") < at("completed"), "at once, when it came to the gate: {told:?}");
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_gets_no_room_in_time_is_told_why_for_how_long_and_how_often_it_was_sent() {
    let stage = Stage::new(1, [throttled(Some(ms(3_600_000)))]);
    let error = stage.dispatch.chat(request(), until("a", 60_000)).await.unwrap_err();
    assert_eq!(
        (error.kind, error.details.retries),
        (ErrorKind::DeadlineExceeded, 0),
        "it was sent once, and not again"
    );
    let what = "no room in the quota before the deadline: the provider asked everybody to stay away, for 3600.0 s more";
    assert_eq!(error.message, what);
    stage.assert_swept().await;
}
