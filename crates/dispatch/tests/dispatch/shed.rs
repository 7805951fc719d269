//! Whoever has to make room in the fair queue hears of it at once, with the reason and when to come back.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bellwether_core::Observer;
use bellwether_core::test_util::Recorder;
use bellwether_dispatch::{CallContext, ChatProvider, Dispatch, ErrorKind, Fact, Flow, PermitPool, Retry};
use bellwether_queue::{AtTheDoor, Overflow, Settings, TicketQueue};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::play::{Play, assert_sentences, ms, named, request};

#[tokio::test(start_paused = true)]
async fn a_call_that_has_to_make_room_is_refused_at_once() {
    let (play, facts) = (Play::of([]), Arc::new(Recorder::default()));
    let settings = Settings { capacity: 8, overflow: Overflow::Shed, ..Settings::default() };
    let dispatch = Dispatch::builder(Arc::<Play>::clone(&play))
        .queue_with(move |observer| Arc::new(TicketQueue::new(&settings, AtTheDoor::Refuse, observer)))
        .limiter(Arc::new(PermitPool::new(NonZeroUsize::MIN)))
        .observer(Arc::<Recorder>::clone(&facts) as Arc<dyn Observer>)
        .build();
    let dispatch = Arc::new(dispatch);
    let of_flow = |flow: &str, n: usize| {
        let context = CallContext { flow: Flow::new(flow, "run", "role"), ..named(format!("{flow}-{n}")) };
        let dispatch = Arc::clone(&dispatch);
        async move {
            let began = Instant::now();
            (dispatch.chat(request(), context).await, began.elapsed())
        }
    };
    let mut greedy = JoinSet::new();
    for n in 0..10 {
        greedy.spawn(of_flow("greedy", n));
        sleep(ms(1)).await;
    }
    sleep(ms(450)).await;
    let mut light = JoinSet::new();
    for n in 0..4 {
        light.spawn(of_flow("light", n));
        sleep(ms(1)).await;
    }
    let light = light.join_all().await;
    assert!(light.iter().all(|(answer, _)| answer.is_ok()), "the light flow is let in");
    let shed: Vec<_> =
        greedy.join_all().await.into_iter().filter_map(|(answer, took)| Some((answer.err()?, took))).collect();
    assert!(!shed.is_empty(), "and the greedy one makes room");
    for (error, took) in &shed {
        assert_eq!(error.kind, ErrorKind::QueueFull, "{error}");
        assert!(*took < ms(500), "it hears of it when it happens, after {took:?}");
        assert!(
            matches!(error.retry, Retry::After(wait) if wait > ms(500)),
            "and when to come back: {:?}",
            error.retry
        );
    }
    assert_eq!(facts.count(|fact| matches!(fact, Fact::TicketShed { expired: false, .. })), shed.len());
    assert_sentences(&facts.facts());
    dispatch.shutdown().await;
}
