//! A guarded key that keeps failing is left alone: calls wait, or are told at once that they would come too late.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bellwether_dispatch::{
    ChatProvider, Dispatch, ErrorKind, Guard, PermitPool, Retry, RetryPolicy, Routes, Standing, Timestamp, Trial,
    Verdict,
};
use bellwether_queue::{AtTheDoor, Settings, TicketQueue};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::play::{Ends, Play, Scene, Stage, USAGE, error, lock, ms, named, request, until};

/// Opens for ten seconds after two faults in a row, then lets one call through at a time.
#[derive(Debug, Default)]
pub(crate) struct Fuse {
    state: Arc<Mutex<State>>,
    /// How many retries it allows.
    budget: AtomicU32,
    /// What the calls cost that were answered.
    paid: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    faults: u32,
    open: Option<Timestamp>,
    out: bool,
}

#[derive(Debug)]
struct Sent(Arc<Mutex<State>>);

const OPEN: Duration = Duration::from_secs(10);

impl Fuse {
    pub(crate) fn with_budget(budget: u32) -> Arc<Self> {
        Arc::new(Self { budget: AtomicU32::new(budget), ..Self::default() })
    }
}

impl Guard for Fuse {
    fn admit(&self, now: Timestamp) -> Result<Box<dyn Trial>, Timestamp> {
        let mut state = lock(&self.state);
        match state.open {
            Some(until) if now < until => return Err(until),
            Some(_) if state.out => return Err(now + ms(500)),
            open => state.out = open.is_some(),
        }
        Ok(Box::new(Sent(Arc::clone(&self.state))))
    }

    fn standing(&self) -> Standing {
        let state = lock(&self.state);
        match state.open {
            None => Standing::Closed,
            Some(_) if state.out => Standing::HalfOpen,
            Some(until) => Standing::Open { until },
        }
    }

    fn succeeded(&self, cost: u64, _: Timestamp) {
        self.paid.fetch_add(cost, Ordering::Relaxed);
    }

    fn may_retry(&self, _: u64, _: bool, _: Timestamp) -> bool {
        self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

impl Trial for Sent {
    fn judge(self: Box<Self>, verdict: Verdict, now: Timestamp) {
        let mut state = lock(&self.0);
        state.out = false;
        match verdict {
            Verdict::Fault => {
                state.faults += 1;
                if state.faults >= 2 {
                    state.open = Some(now + OPEN);
                }
            }
            Verdict::Fine => *state = State::default(),
            Verdict::Unknown => {}
        }
    }
}

fn fails() -> Scene {
    Scene::after(100, Ends::Fails(error(ErrorKind::Upstream).with_retry(Retry::Now)))
}

fn states(stage: &Stage) -> Vec<String> {
    stage.told().into_iter().filter(|fact| fact.starts_with("key")).collect()
}

#[tokio::test(start_paused = true)]
async fn calls_wait_while_the_key_is_left_alone_and_one_finds_out() {
    let fuse = Fuse::with_budget(9);
    let stage = Stage::with(4, 100, [fails(), fails(), fails()], |builder| builder.guard(fuse));
    stage.dispatch.chat(request(), named("a")).await.unwrap();
    assert_eq!(stage.play.arrivals(), [0, 100, 10_200, 20_300], "the third try was alone, and so was the fourth");
    let told = [
        "key open for Some(10s)",
        "key half_open for None",
        "key open for Some(10s)",
        "key half_open for None",
        "key closed for None",
    ];
    assert_eq!(states(&stage), told);
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_only_looks_how_the_key_is_loses_no_attempt() {
    let fuse = Fuse::with_budget(9);
    let policy = RetryPolicy { max_attempts: 3, ..RetryPolicy::default() };
    let stage = Stage::with(1, 100, vec![fails(); 12], |builder| builder.guard(fuse).retry(policy));
    stage.dispatch.chat(request(), named("a")).await.unwrap();
    assert_eq!(stage.play.arrivals().len(), 13, "ten looks in vain are ten pauses and not ten attempts");
    let stage = Stage::with(1, 100, vec![fails(); 99], |builder| builder.guard(Fuse::with_budget(9)).retry(policy));
    let error = stage.dispatch.chat(request(), named("b")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Upstream, "but its patience has an end");
    assert!((290_000..=310_000).contains(&stage.play.elapsed()), "{}", stage.play.elapsed());
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_would_come_too_late_is_told_at_once() {
    let stage = Stage::with(4, 100, [fails(), fails()], |builder| builder.guard(Fuse::with_budget(9)));
    let error = stage.dispatch.chat(request(), until("a", 5_000)).await.unwrap_err();
    assert_eq!((error.kind, stage.play.elapsed()), (ErrorKind::DeadlineExceeded, 200));
    let error = stage.dispatch.chat(request(), until("b", 5_000)).await.unwrap_err();
    assert_eq!((error.kind, stage.play.elapsed()), (ErrorKind::DeadlineExceeded, 200));
    assert!(matches!(error.retry, Retry::After(wait) if wait == OPEN), "it says how long it would have been");
    stage.dispatch.chat(request(), until("c", 11_000)).await.unwrap();
    assert_eq!(states(&stage).last().map(String::as_str), Some("key closed for None"));
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_would_come_too_late_is_told_at_once_also_behind_somebody_who_can_wait() {
    let stage = Stage::with(4, 100, [fails(), fails()], |builder| builder.guard(Fuse::with_budget(9)));
    let patient = stage.dispatch.chat(request(), named("patient"));
    let hasty = async {
        sleep(ms(500)).await;
        let error = stage.dispatch.chat(request(), until("hasty", 5_000)).await.unwrap_err();
        assert_eq!((error.kind, stage.play.elapsed()), (ErrorKind::DeadlineExceeded, 500));
    };
    let (patient, ()) = tokio::join!(patient, hasty);
    patient.unwrap();
    assert_eq!(stage.play.arrivals(), [0, 100, 10_200]);
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn the_guard_hears_what_each_answer_cost_and_nothing_of_failures() {
    let fuse = Fuse::with_budget(9);
    let guard = Arc::<Fuse>::clone(&fuse);
    let stage = Stage::with(1, 100, [fails()], |builder| builder.guard(guard));
    stage.dispatch.chat(request(), named("a")).await.unwrap();
    stage.dispatch.stream(request(), named("b")).await.unwrap().fold().await.unwrap();
    assert_eq!(fuse.paid.load(Ordering::Relaxed), 2 * USAGE.tokens());
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_is_denied_waits_and_gives_up_in_the_end() {
    let stage = Stage::with(1, 100, [fails()], |builder| builder.guard(Fuse::with_budget(0)));
    let error = stage.dispatch.chat(request(), named("a")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Upstream);
    assert!((5_000..=30_100).contains(&stage.play.elapsed()), "{}", stage.play.elapsed());
    assert_eq!(stage.told()[2..], ["failed upstream in 100ms", "denied"]);
    let stage = Stage::with(1, 100, [fails()], |builder| builder.guard(Fuse::with_budget(0)));
    let error = stage.dispatch.chat(request(), until("b", 2_000)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Upstream, "it does not wait past its deadline");
    assert!(stage.play.elapsed() < 2_000);
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_half_open_keeps_nobody_waiting() {
    let stage = Stage::with(2, 100, [fails(), fails(), Scene::after(0, Ends::Babbles)], |builder| {
        builder.guard(Fuse::with_budget(1)).retry(RetryPolicy { max_attempts: 2, ..RetryPolicy::default() })
    });
    stage.dispatch.chat(request(), named("a")).await.unwrap_err();
    let gone = tokio::time::timeout(ms(10_050), stage.dispatch.chat(request(), named("b"))).await;
    assert!(gone.is_err(), "it was sent at 10 s, and left at once");
    stage.dispatch.chat(request(), named("c")).await.unwrap();
    assert_eq!(states(&stage).last().map(String::as_str), Some("key closed for None"));
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_stands_at_the_door_of_a_key_that_is_left_alone_moves_on_too() {
    let fails = || Scene::after(100, Ends::Fails(error(ErrorKind::Upstream).with_retry(Retry::Never)));
    let (main, backup) = (Play::of([fails(), fails()]), Play::of([]));
    let settings = Settings { capacity: 1, ..Settings::default() };
    let dispatch = Dispatch::builder(main)
        .queue_with(move |observer| Arc::new(TicketQueue::new(&settings, AtTheDoor::Wait, observer)))
        .limiter(Arc::new(PermitPool::new(NonZeroUsize::new(2).expect("two is not zero"))))
        .guard(Fuse::with_budget(0))
        .build();
    let dispatch = Arc::new(dispatch);
    let keys = [Arc::clone(&dispatch), Arc::new(Dispatch::builder(Arc::<Play>::clone(&backup)).build())];
    let routes = Routes::new("both", Arc::new(())).route("m", keys.map(|key| (key, "m")));
    // Two are sent; when they fail, two more are on their way, one stands at the gate, and one fills the queue.
    let mut patient = JoinSet::new();
    for n in 0..6 {
        let dispatch = Arc::clone(&dispatch);
        patient.spawn(async move { dispatch.chat(request(), named(n.to_string())).await.is_ok() });
        sleep(ms(1)).await;
    }
    routes.chat(request(), named("brief")).await.expect("there is another key");
    assert_eq!((backup.arrivals(), backup.elapsed()), (vec![101], 301), "it moves on when the others fail");
    assert_eq!(patient.join_all().await.into_iter().filter(|answered| *answered).count(), 4);
}
