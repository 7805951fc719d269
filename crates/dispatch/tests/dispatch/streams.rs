//! A stream is tried again until its first piece was handed on, and holds its place until its end.

use bellwether_core::chat::Started;
use bellwether_core::{FinishReason, Outcome};
use bellwether_dispatch::{CallContext, ChatEvent, ChatProvider, ErrorKind, PermitPool};
use std::num::NonZeroUsize;
use std::sync::Arc;

use crate::play::{Ends, Scene, Settled, Stage, USAGE, error, ms, named, request, throttle, until};

#[tokio::test(start_paused = true)]
async fn a_stream_that_fails_before_its_first_piece_is_tried_again() {
    let scenes = [
        Scene::after(0, Ends::Fails(error(ErrorKind::Connect))),
        Scene::after(0, Ends::FailsAfterHead(error(ErrorKind::Upstream))),
    ];
    let stage = Stage::new(1, scenes);
    let mut stream = stage.dispatch.stream(request(), named("a")).await.unwrap();
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        events.push(event.unwrap());
    }
    let whole = [
        ChatEvent::Started(Started { retries: 2, ..Started::default() }),
        ChatEvent::Text("Hello".to_owned()),
        ChatEvent::Text(" there".to_owned()),
        ChatEvent::Finished(FinishReason::Stop),
        ChatEvent::Usage(USAGE),
    ];
    assert_eq!(events, whole, "what came before the failures is not handed on");
    assert_eq!(stage.play.arrivals().len(), 3);
    drop(stream);
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_fails_after_its_first_piece_is_not() {
    for kind in [ErrorKind::Upstream, ErrorKind::RateLimited] {
        let stage = Stage::new(1, [Scene::after(0, Ends::FailsAfterText(error(kind)))]);
        let mut stream = stage.dispatch.stream(request(), named("a")).await.unwrap();
        assert!(matches!(stream.next().await, Some(Ok(ChatEvent::Started(_)))));
        assert_eq!(stream.next().await.unwrap().unwrap(), ChatEvent::Text("Hello".to_owned()));
        let error = stream.next().await.unwrap().unwrap_err();
        assert_eq!((error.kind, error.details.emitted_output), (kind, true));
        assert!(stream.next().await.is_none(), "after an error it has ended");
        assert_eq!(stage.play.arrivals().len(), 1);
        stage.assert_swept().await;
    }
}

fn may_restart(name: &str) -> CallContext {
    CallContext { may_restart: true, ..named(name) }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_may_begin_anew_does_and_says_that_what_came_before_is_void() {
    let broken = [ErrorKind::Upstream, ErrorKind::RateLimited].map(|kind| {
        // Once broken off in the middle, once before the first piece of the second try.
        [Scene::after(0, Ends::FailsAfterText(error(kind))), Scene::after(0, Ends::Fails(error(ErrorKind::Connect)))]
    });
    for scenes in broken {
        let stage = Stage::new(1, scenes);
        let mut stream = stage.dispatch.stream(request(), may_restart("a")).await.unwrap();
        let mut events = Vec::new();
        while let Some(event) = stream.next().await {
            events.push(event.unwrap());
        }
        let whole = [
            ChatEvent::Started(Started::default()),
            ChatEvent::Text("Hello".to_owned()),
            ChatEvent::Restarted,
            ChatEvent::Started(Started { retries: 2, ..Started::default() }),
            ChatEvent::Text("Hello".to_owned()),
            ChatEvent::Text(" there".to_owned()),
            ChatEvent::Finished(FinishReason::Stop),
            ChatEvent::Usage(USAGE),
        ];
        assert_eq!(events, whole);
        assert_eq!(stage.told().last().map(String::as_str), Some("completed in 200ms, first Some(100ms)"));
        stage.assert_swept().await;
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_folds_a_stream_that_began_anew_gets_one_answer() {
    let stage = Stage::new(1, [Scene::after(0, Ends::FailsAfterText(error(ErrorKind::Truncated)))]);
    let answer = stage.dispatch.stream(request(), may_restart("a")).await.unwrap().fold().await.unwrap();
    assert_eq!((answer.text.as_str(), answer.head.retries), ("Hello there", 1));
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn beginning_anew_is_a_try_like_any_other() {
    let breaks = Scene::after(0, Ends::FailsAfterText(error(ErrorKind::Upstream)));
    let stage = Stage::new(1, vec![breaks; 9]);
    let mut stream = stage.dispatch.stream(request(), may_restart("a")).await.unwrap();
    let mut anew = 0;
    let failure = loop {
        match stream.next().await.expect("it does not just end") {
            Ok(event) => anew += u32::from(event == ChatEvent::Restarted),
            Err(error) => break error,
        }
    };
    assert_eq!((anew, failure.details.retries, failure.details.emitted_output), (3, 3, true));
    assert!(stream.next().await.is_none(), "after an error it has ended");
    for hopeless in [ErrorKind::ContentFiltered, ErrorKind::QuotaExhausted] {
        let stage = Stage::new(1, [Scene::after(0, Ends::FailsAfterText(error(hopeless)))]);
        let error = stage.dispatch.stream(request(), may_restart("b")).await.unwrap().fold().await.unwrap_err();
        assert_eq!((error.kind, stage.play.arrivals().len()), (hopeless, 1));
        stage.assert_swept().await;
    }
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_dropped_or_late_while_it_waits_to_begin_anew_leaves_nothing_behind() {
    let breaks = || Scene::after(0, Ends::FailsAfterText(throttle(Some(ms(5_000)))));
    let stage = Stage::new(1, [breaks()]);
    let mut stream = stage.dispatch.stream(request(), may_restart("a")).await.unwrap();
    let left = tokio::time::timeout(ms(1_000), async { while stream.next().await.is_some() {} }).await;
    assert!(left.is_err(), "it waits for the pause to end");
    drop(stream);
    assert_eq!(stage.told().last().map(String::as_str), Some("abandoned admitted=false"));
    stage.assert_swept().await;

    let stage = Stage::new(1, [breaks()]);
    let context = CallContext { may_restart: true, ..until("b", 2_000) };
    let error = stage.dispatch.stream(request(), context).await.unwrap().fold().await.unwrap_err();
    assert_eq!((error.kind, stage.play.elapsed()), (ErrorKind::DeadlineExceeded, 100), "it would come too late");
    assert!(error.details.emitted_output);
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_just_stops_is_truncated() {
    let stage = Stage::new(1, [Scene::after(0, Ends::Stops)]);
    let stream = stage.dispatch.stream(request(), named("a")).await.unwrap();
    let error = stream.fold().await.unwrap_err();
    assert_eq!((error.kind, error.details.emitted_output), (ErrorKind::Truncated, true));
    assert_eq!(stage.told().last().map(String::as_str), Some("failed truncated in 0ns"));
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_holds_its_place_until_its_end() {
    let stage = Stage::new(1, []);
    let mut stream = stage.dispatch.stream(request(), named("a")).await.unwrap();
    assert_eq!(stage.pool.free(), 0);
    while stream.next().await.is_some() {}
    assert_eq!(stage.pool.free(), 1, "the end is enough; it need not be dropped");
    let story = ["queued 0", "admitted 0 after 0ns", "completed in 200ms, first Some(100ms)"];
    assert_eq!(stage.told(), story);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stream_is_abandoned_and_gives_its_place_back() {
    let limiter = Settled::over(PermitPool::new(NonZeroUsize::MIN));
    let seen = Arc::<Settled>::clone(&limiter);
    let stage = Stage::with(1, 9, [Scene::after(0, Ends::Babbles)], |builder| builder.limiter(limiter));
    let mut stream = stage.dispatch.stream(request(), named("a")).await.unwrap();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    assert_eq!((seen.outcomes(), stage.play.in_flight()), (vec![Outcome::Abandoned], 0), "at once");
    assert_eq!(stage.told().last().map(String::as_str), Some("abandoned admitted=true"));
    stage.dispatch.chat(request(), named("b")).await.expect("the one place is free again");
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_has_read_the_whole_answer_has_abandoned_nothing() {
    let stage = Stage::new(1, []);
    let mut stream = stage.dispatch.stream(request(), named("a")).await.unwrap();
    while !matches!(stream.next().await, Some(Ok(ChatEvent::Finished(_)))) {}
    drop(stream);
    assert_eq!(stage.told().last().map(String::as_str), Some("completed in 200ms, first Some(100ms)"));
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_at_its_deadline() {
    let stage = Stage::new(1, [Scene::after(0, Ends::Babbles)]);
    let mut stream = stage.dispatch.stream(request(), until("a", 3_500)).await.unwrap();
    let mut pieces = 0;
    let error = loop {
        match stream.next().await.expect("it does not just end") {
            Ok(_) => pieces += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind, pieces, stage.play.elapsed()), (ErrorKind::DeadlineExceeded, 5, 3_500));
    assert!(error.details.may_have_executed && error.details.emitted_output);
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_reads_any_more_gives_its_place_back_at_its_deadline() {
    let limiter = Settled::over(PermitPool::new(NonZeroUsize::MIN));
    let seen = Arc::<Settled>::clone(&limiter);
    let stage = Stage::with(1, 9, [Scene::after(0, Ends::Babbles)], |builder| builder.limiter(limiter));
    let mut stalled = stage.dispatch.stream(request(), until("a", 3_500)).await.unwrap();
    stage.dispatch.chat(request(), named("b")).await.expect("the one place is free again");
    assert_eq!((stage.play.arrivals(), stage.play.in_flight()), (vec![0, 3_500], 0), "and its connection is closed");
    assert!(matches!(
        seen.outcomes()[..],
        [Outcome::Failed { may_have_executed: true, .. }, Outcome::Completed { .. }]
    ));
    assert!(matches!(stalled.next().await, Some(Ok(ChatEvent::Started(_)))), "what it was handed is still there");
    assert_eq!(stalled.next().await.unwrap().unwrap(), ChatEvent::Text("Hello".to_owned()));
    let error = stalled.next().await.unwrap().unwrap_err();
    assert_eq!((error.kind, error.details.emitted_output), (ErrorKind::DeadlineExceeded, true));
    assert!(stalled.next().await.is_none(), "after an error it has ended");
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_with_a_deadline_gives_its_place_back_at_once_too() {
    let stage = Stage::new(1, [Scene::after(0, Ends::Babbles)]);
    let stream = stage.dispatch.stream(request(), until("a", 3_500)).await.unwrap();
    assert_eq!((stage.pool.free(), stage.play.in_flight()), (0, 1));
    drop(stream);
    assert_eq!((stage.pool.free(), stage.play.in_flight()), (1, 0), "not only when the task that watches it has gone");
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_reads_any_more_may_begin_anew_when_somebody_does() {
    let stage = Stage::new(1, [Scene::after(0, Ends::Babbles)]);
    let context = CallContext { timeout: Some(ms(2_000)), ..may_restart("a") };
    let stalled = stage.dispatch.stream(request(), context).await.unwrap();
    stage.dispatch.chat(request(), named("b")).await.expect("the one place is free again");
    let answer = stalled.fold().await.unwrap();
    assert_eq!((answer.text.as_str(), answer.head.retries), ("Hello there", 1));
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_whole_answer_that_nobody_reads_any_more_is_no_failure_at_its_deadline() {
    let limiter = Settled::over(PermitPool::new(NonZeroUsize::MIN));
    let seen = Arc::<Settled>::clone(&limiter);
    let lingers = Scene::after(0, Ends::Lingers(error(ErrorKind::Truncated)));
    let stage = Stage::with(1, 9, [lingers], |builder| builder.limiter(limiter));
    let mut stalled = stage.dispatch.stream(request(), until("a", 3_500)).await.unwrap();
    while !matches!(stalled.next().await, Some(Ok(ChatEvent::Finished(_)))) {}
    stage.dispatch.chat(request(), named("b")).await.expect("the one place is free again");
    assert_eq!(stage.play.arrivals(), [0, 3_500]);
    assert!(matches!(seen.outcomes()[..], [Outcome::Completed { .. }, Outcome::Completed { .. }]));
    let before = stage.play.elapsed();
    assert!(stalled.next().await.is_none(), "it is over");
    assert_eq!(stage.play.elapsed(), before, "and nobody waits for its connection");
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_may_outlive_its_dispatch() {
    let stage = Stage::new(1, []);
    let stream = stage.dispatch.stream(request(), named("a")).await.unwrap();
    drop(stage.dispatch);
    assert_eq!(stream.fold().await.unwrap().text, "Hello there");
    tokio::time::sleep(ms(1)).await;
    assert_eq!(stage.pool.free(), 1);
}
