//! What cannot happen before the deadline is refused at once; a call that runs into it is cancelled.

use std::sync::Arc;

use bellwether_core::error::Phase;
use bellwether_dispatch::{CallContext, ChatProvider, Class, ErrorKind, Flow, Retry};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::play::{Ends, Scene, Stage, error, ms, named, request, until};

#[tokio::test(start_paused = true)]
async fn a_call_is_cancelled_at_its_deadline() {
    let stage = Stage::new(1, [Scene::after(0, Ends::Babbles)]);
    let error = stage.dispatch.chat(request(), until("a", 2_500)).await.unwrap_err();
    assert_eq!((error.kind, stage.play.elapsed()), (ErrorKind::DeadlineExceeded, 2_500));
    assert!(error.details.may_have_executed && !error.details.emitted_output);
    assert_eq!(stage.told().last().map(String::as_str), Some("failed deadline_exceeded in 2.5s"));
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_deadline_in_the_past_is_refused_without_a_call() {
    // Not even a place in the line is asked for: this one has none.
    let stage = Stage::with(1, 0, [], |builder| builder);
    let context = until("b", 0);
    sleep(ms(10)).await;
    let error = stage.dispatch.chat(request(), context).await.unwrap_err();
    assert_eq!((error.kind, stage.play.arrivals().len()), (ErrorKind::DeadlineExceeded, 0));
    assert_eq!(stage.told(), ["queued 0", "refused deadline_exceeded"]);
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_cannot_end_before_the_deadline_does_not_begin() {
    let scene = Scene::after(100, Ends::Fails(error(ErrorKind::Overloaded).with_retry(Retry::After(ms(900)))));
    let stage = Stage::new(1, [scene]);
    let error = stage.dispatch.chat(request(), until("c", 1_000)).await.unwrap_err();
    assert_eq!((error.kind, stage.play.elapsed()), (ErrorKind::DeadlineExceeded, 100));
    assert!(error.cause.is_some(), "the failure is named as the cause");
    assert_eq!(stage.told().last().map(String::as_str), Some("failed overloaded in 100ms"));
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn each_attempt_has_its_own_time_and_waiting_does_not_count() {
    let babbles = || Scene::after(0, Ends::Babbles);
    let stage = Stage::new(1, [Scene::after(0, Ends::Answers(ms(5_000))), babbles()]);
    let busy = stage.dispatch.chat(request(), named("busy"));
    let context = CallContext { timeout: Some(ms(2_000)), ..named("a") };
    let (busy, answer) = tokio::join!(busy, stage.dispatch.chat(request(), context.clone()));
    busy.unwrap();
    assert_eq!(answer.unwrap().head.retries, 1, "the second attempt was in time");
    let failed = "failed timeout_total in 2s".to_owned();
    assert!(stage.told().contains(&failed), "{:?}", stage.told());

    let stage = Stage::new(1, [babbles(), babbles(), babbles(), babbles()]);
    let error = stage.dispatch.chat(request(), context.clone()).await.unwrap_err();
    assert_eq!((error.kind, error.details.retries), (ErrorKind::Timeout(Phase::Total), 3));
    stage.assert_swept().await;

    let stage = Stage::new(1, [babbles()]);
    let error = stage.dispatch.stream(request(), context).await.unwrap().fold().await.unwrap_err();
    assert_eq!((error.kind, stage.play.elapsed()), (ErrorKind::Timeout(Phase::Total), 2_000));
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_at_the_gate_leaves_it_at_the_deadline() {
    let stage = Stage::new(1, [Scene::after(0, Ends::Answers(ms(10_000)))]);
    let busy = stage.dispatch.chat(request(), named("busy"));
    let head = async {
        let error = stage.dispatch.chat(request(), until("d", 1_000)).await.unwrap_err();
        assert_eq!((error.kind, stage.play.elapsed()), (ErrorKind::DeadlineExceeded, 1_000));
    };
    let next = stage.dispatch.chat(request(), named("next"));
    let (busy, (), next) = tokio::join!(busy, head, next);
    busy.unwrap();
    next.unwrap();
    assert_eq!(stage.play.arrivals(), [0, 10_000]);
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn the_urgent_go_first_and_a_full_queue_refuses() {
    let stage = Stage::with(1, 2, [], |builder| builder);
    let call = |name: &'static str, class, later| {
        let stage = &stage;
        async move {
            sleep(ms(later)).await;
            let mut context = named(name);
            context.class = class;
            let answer = stage.dispatch.chat(request(), context).await;
            (stage.play.elapsed(), answer.err().map(|error| error.kind))
        }
    };
    // One is under way and one stands at the gate; two wait; the fifth finds no room.
    let (_, _, batch, urgent, fifth) = tokio::join!(
        call("1", Class::Standard, 0),
        call("2", Class::Standard, 1),
        call("batch", Class::Batch, 2),
        call("urgent", Class::Interactive, 3),
        call("fifth", Class::Interactive, 4),
    );
    assert_eq!((urgent, batch), ((600, None), (800, None)));
    assert_eq!(fifth, (4, Some(ErrorKind::QueueFull)));
    stage.assert_swept().await;
}

/// One place and 200 ms a call: of calls with four seconds each, those beyond the fortieth are told at once.
#[tokio::test(start_paused = true)]
async fn a_line_that_is_far_too_long_for_a_deadline_is_not_joined() {
    let stage = Arc::new(Stage::with(1, 1_000, [], |builder| builder));
    let mut calls = JoinSet::new();
    let mut send = |name: String, (flow, class): (&'static str, Class), within: Option<u64>| {
        let stage = Arc::clone(&stage);
        calls.spawn(async move {
            let began = stage.play.elapsed();
            let context = within.map_or_else(|| named(name.clone()), |within| until(&name, within));
            let context = CallContext { flow: Flow::new("team", flow, "role"), class, ..context };
            let answer = stage.dispatch.chat(request(), context).await;
            (name, answer, stage.play.elapsed() - began)
        });
    };
    let own = ("own", Class::Standard);
    (0..18).for_each(|n| send(format!("known-{n}"), own, None));
    sleep(ms(18 * 200 - 50)).await;
    (0..100).for_each(|n| send(format!("late-{n}"), own, Some(4_000)));
    sleep(ms(1)).await;
    // Another flow, or class, may be served first; how long this one's line is says nothing of it.
    send("other".to_owned(), ("other", Class::Standard), Some(3_000));
    send("urgent".to_owned(), ("own", Class::Interactive), Some(3_000));
    let told = calls.join_all().await;
    let late = || told.iter().filter(|(name, ..)| name.starts_with("late"));
    let at_once: Vec<_> = late().filter(|(.., took)| *took == 0).collect();
    assert_eq!(at_once.len(), 100 - 41, "as many as four seconds are worth, twice");
    for (_, answer, _) in &at_once {
        let error = answer.as_ref().unwrap_err();
        assert_eq!(error.kind, ErrorKind::DeadlineExceeded);
        assert!(matches!(error.retry, Retry::After(wait) if wait > ms(8_000)), "it says how long: {error:?}");
        assert!(error.message.contains("line in front"), "{error}");
    }
    assert_eq!(late().filter(|(_, answer, _)| answer.is_ok()).count(), 18, "whoever can be served is");
    let of = |wanted: &str| told.iter().find(|(name, ..)| name == wanted).expect("it was sent");
    assert_eq!(of("other").2, 3_000, "it has waited as long as it could");
    assert!(of("urgent").1.is_ok(), "it goes before all others");
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_line_that_was_slow_because_nobody_came_is_not_slow() {
    let stage = Arc::new(Stage::with(1, 1_000, [], |builder| builder));
    for n in 0..30 {
        stage.dispatch.chat(request(), named(format!("seldom-{n}"))).await.unwrap();
        sleep(ms(60_000)).await;
    }
    let mut calls = JoinSet::new();
    for n in 0..20 {
        let stage = Arc::clone(&stage);
        calls.spawn(async move { stage.dispatch.chat(request(), until(&format!("many-{n}"), 10_000)).await });
    }
    assert!(calls.join_all().await.iter().all(Result::is_ok));
    stage.assert_swept().await;
}
