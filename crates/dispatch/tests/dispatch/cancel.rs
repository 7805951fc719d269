//! Whoever goes away leaves nothing behind, wherever it was.

use std::future::{Future, pending, poll_fn};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Instant;

use async_trait::async_trait;
use bellwether_core::limiter::{Outlook, Refused};
use bellwether_core::test_util::Recorder;
use bellwether_core::{Observer, Outcome, Permit};
use bellwether_dispatch::{
    CallContext, ChatProvider, ChatRequest, ChatResponse, ChatStream, Demand, Dispatch, ErrorKind, PermitPool,
    ProviderError, RateLimiter, Retry, TaskQueue,
};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{sleep, timeout};

use crate::play::{Counted, Ends, Scene, Settled, Stage, assert_sentences, error, lock, ms, named, request, throttle};

async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx))).await
}

/// A call that meets everything: another one before it, a 429, failures with pauses, half an answer.
fn hardships() -> [Scene; 4] {
    [
        Scene::after(100, Ends::Answers(ms(50))),
        Scene::after(20, Ends::Fails(throttle(Some(ms(200))))),
        Scene::after(20, Ends::FailsAfterHead(error(ErrorKind::Upstream))),
        Scene::after(20, Ends::FailsAfterHead(error(ErrorKind::Connect))),
    ]
}

/// Polls a call so many times, drops it, and looks around. Whether it was answered before.
async fn dropped_after(polls: usize, whole: bool) -> bool {
    let stage = Stage::new(1, hardships());
    let mut busy = stage.dispatch.chat(request(), named("busy"));
    assert!(poll_once(&mut busy).await.is_pending());
    yield_now().await;
    assert!(poll_once(&mut busy).await.is_pending(), "the one place is taken");
    let mut call = Box::pin(async {
        let (request, context) = (request(), named("call"));
        let answer = match whole {
            true => stage.dispatch.chat(request, context).await,
            false => stage.dispatch.stream(request, context).await.expect("the third failure is the last").fold().await,
        };
        answer.expect("the third failure is the last");
    });
    let mut answered = false;
    for _ in 0..polls {
        answered = poll_once(&mut call).await.is_ready();
        if answered {
            break;
        }
        if timeout(ms(7), &mut busy).await.is_ok() {
            busy = Box::pin(pending());
        }
    }
    drop(call);
    drop(busy);
    stage.dispatch.chat(request(), named("after")).await.expect("the next call finds a free place");
    stage.assert_swept().await;
    answered
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_after_any_number_of_polls_leaves_nothing_behind() {
    for whole in [true, false] {
        let mut polls = 0;
        while !dropped_after(polls, whole).await {
            polls += 1;
            assert!(polls < 1_000, "some day the call is answered");
        }
        assert!(polls > 20, "there were many places to drop it");
    }
}

#[tokio::test(start_paused = true)]
async fn a_permit_on_its_way_to_somebody_who_left_is_unused() {
    let limiter = Settled::over(PermitPool::new(NonZeroUsize::MIN));
    let seen = Arc::<Settled>::clone(&limiter);
    let stage = Stage::with(1, 9, [], |builder| builder.limiter(limiter));
    let mut call = Box::pin(stage.dispatch.chat(request(), named("a")));
    assert!(poll_once(&mut call).await.is_pending());
    sleep(ms(1)).await;
    drop(call);
    assert_eq!(seen.outcomes(), [Outcome::Unused]);
    assert_eq!(*lock(&stage.queue.costs), [0], "and the charge is given back");
    assert_eq!(stage.told(), ["queued 0", "abandoned admitted=false"]);
    assert_eq!(stage.play.arrivals().len(), 0);
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_goes_away_frees_the_gate_at_once() {
    let stage = Stage::new(1, []);
    let mut busy = stage.dispatch.chat(request(), named("busy"));
    let mut head = stage.dispatch.chat(request(), named("head"));
    for _ in 0..2 {
        assert!(poll_once(&mut busy).await.is_pending() && poll_once(&mut head).await.is_pending());
        sleep(ms(1)).await;
    }
    assert_eq!(lock(&stage.queue.taken).len(), 2, "one is under way, one stands at the gate");
    drop(head);
    sleep(ms(1)).await;
    assert_eq!(lock(&stage.queue.taken).len(), 1);
    drop(busy);
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn never_more_in_flight_than_there_are_places() {
    let stage = Stage::with(8, 1_000, [], |builder| builder);
    let mut calls = JoinSet::new();
    for n in 0..200 {
        let dispatch = Arc::clone(&stage.dispatch);
        calls.spawn(async move { dispatch.chat(request(), named(n.to_string())).await });
    }
    while let Some(answer) = calls.join_next().await {
        answer.unwrap().unwrap();
    }
    assert_eq!(stage.play.most.load(Ordering::Relaxed), 8);
    assert_eq!(stage.play.elapsed(), 200 / 8 * 200, "and never fewer while somebody waits");
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn shutdown_cancels_those_who_wait_and_lets_the_others_end() {
    let fails = Scene::after(0, Ends::Fails(error(ErrorKind::Connect).with_retry(Retry::After(ms(9_000)))));
    let stage = Stage::new(1, [fails]);
    let paused = async { stage.dispatch.chat(request(), named("paused")).await.unwrap_err().kind };
    let sent = async { stage.dispatch.chat(request(), named("sent")).await.unwrap().text };
    let head = async { stage.dispatch.chat(request(), named("head")).await.unwrap_err().kind };
    let queued = async { stage.dispatch.chat(request(), named("queued")).await.unwrap_err().kind };
    let shutdown = async {
        sleep(ms(50)).await;
        stage.dispatch.shutdown().await;
        assert_eq!(stage.play.elapsed(), 50, "nobody is waited for");
        stage.dispatch.chat(request(), named("late")).await.unwrap_err().kind
    };
    let (paused, sent, head, queued, late) = tokio::join!(paused, sent, head, queued, shutdown);
    assert_eq!([paused, head, queued, late], [ErrorKind::Cancelled; 4]);
    assert_eq!(sent, "Hello there");
    stage.dispatch.shutdown().await;
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_dispatch_ends_its_pump() {
    let stage = Stage::new(1, []);
    let queue: Arc<dyn TaskQueue> = stage.queue;
    assert!(Arc::strong_count(&queue) > 1);
    drop(stage.dispatch);
    sleep(ms(1)).await;
    assert_eq!(Arc::strong_count(&queue), 1, "nobody holds the queue any more");
}

#[derive(Debug)]
struct Broken;

#[async_trait]
impl RateLimiter for Broken {
    async fn acquire(&self, _: Demand, _: Option<Instant>) -> Result<Permit, Refused> {
        panic!("as the test says")
    }

    fn outlook(&self, _: Demand) -> Option<Outlook> {
        None
    }
}

#[tokio::test(start_paused = true)]
async fn a_limiter_that_breaks_leaves_nobody_waiting() {
    let stage = Stage::with(1, 9, [], |builder| builder.limiter(Arc::new(Broken)));
    let (a, b) = tokio::join!(stage.dispatch.chat(request(), named("a")), stage.dispatch.chat(request(), named("b")));
    assert_eq!((a.unwrap_err().kind, b.unwrap_err().kind), (ErrorKind::Cancelled, ErrorKind::Cancelled));
    stage.assert_swept().await;
}

/// Takes its time without a clock, and fails every third time.
#[derive(Debug, Default)]
struct Yields(AtomicUsize);

#[async_trait]
impl ChatProvider for Yields {
    fn name(&self) -> &'static str {
        "yields"
    }

    async fn stream(&self, _: ChatRequest, _: CallContext) -> Result<ChatStream, ProviderError> {
        let turn = self.0.fetch_add(1, Ordering::Relaxed);
        for _ in 0..turn % 7 {
            yield_now().await;
        }
        match turn % 3 {
            0 => Err(error(ErrorKind::Connect).with_retry(Retry::Now)),
            _ => Ok(ChatStream::ready(ChatResponse::text("done"))),
        }
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        Ok(Vec::new())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_on_many_threads_that_come_and_go_leave_nothing_behind() {
    let (facts, queue) = (Arc::new(Recorder::default()), Counted::new(10_000));
    let pool = Arc::new(PermitPool::new(NonZeroUsize::new(3).expect("three is not zero")));
    let dispatch = Dispatch::builder(Arc::<Yields>::default())
        .queue(Arc::<Counted>::clone(&queue))
        .limiter(Arc::<PermitPool>::clone(&pool))
        .observer(Arc::<Recorder>::clone(&facts) as Arc<dyn Observer>)
        .build();
    let dispatch = Arc::new(dispatch);
    let mut callers = JoinSet::new();
    for n in 0..2_000 {
        let dispatch = Arc::clone(&dispatch);
        callers.spawn(async move {
            let mut call = dispatch.chat(request(), named(n.to_string()));
            for _ in 0..n % 23 {
                if poll_once(&mut call).await.is_ready() {
                    return;
                }
                yield_now().await;
            }
            if n % 2 == 0 {
                // Most of these find an answer; a third failure in a row is possible as well.
                drop(call.await);
            }
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
    dispatch.shutdown().await;
    assert_eq!((pool.free(), queue.len(), lock(&queue.taken).len()), (3, 0, 0));
    assert_sentences(&facts.facts());
}
