//! Ends that come at a bad moment: after the whole answer, together with a permit, between two steps of a shutdown.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bellwether_core::permit::RateLimits;
use bellwether_core::queue::{QueueFull, Ticket, TicketId};
use bellwether_core::{Outcome, TaskQueue};
use bellwether_dispatch::{
    CallContext, ChatEvent, ChatProvider, ChatRequest, ChatResponse, ChatStream, Dispatch, ErrorKind, Fifo, PermitPool,
    ProviderError,
};
use bellwether_queue::{AtTheDoor, Settings, TicketQueue};
use tokio::time::{sleep, timeout};

use crate::play::{Ends, Play, Scene, Settled, Stage, error, lock, ms, named, request, until};

/// Reads up to the end of the answer, and on after a pause.
async fn read_slowly(stage: &Stage, context: CallContext, pause: Duration) -> Vec<Result<ChatEvent, ErrorKind>> {
    let mut stream = stage.dispatch.stream(request(), context).await.expect("its beginning comes");
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        if matches!(event, Ok(ChatEvent::Finished(_))) {
            sleep(pause).await;
        }
        events.push(event.map_err(|error| error.kind));
    }
    events
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_read_to_its_end_is_neither_late_nor_asked_for_again() {
    for may_restart in [false, true] {
        let stage = Stage::new(1, [Scene::after(0, Ends::Answers(ms(100)))]);
        let context = CallContext { may_restart, timeout: Some(ms(500)), ..named("a") };
        let events = read_slowly(&stage, context, ms(1_000)).await;
        assert_eq!(events.len(), 5, "{events:?}");
        assert!(matches!(events.last(), Some(Ok(ChatEvent::Usage(_)))), "what came in time is handed on: {events:?}");
        assert_eq!(stage.play.arrivals(), [0], "it was sent once");
        assert!(stage.told().last().unwrap().starts_with("completed"), "{:?}", stage.told());
        stage.assert_swept().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_line_that_breaks_after_the_whole_answer_breaks_nothing() {
    let lingers = || Scene::after(0, Ends::Lingers(error(ErrorKind::Truncated)));
    for whole in [false, true] {
        for context in [|| named("a"), || CallContext { may_restart: true, ..named("a") }, || until("a", 500)] {
            let (stage, context) = (Stage::new(1, [lingers()]), context());
            let text = match whole {
                true => stage.dispatch.chat(request(), context).await.unwrap().text,
                false => stage.dispatch.stream(request(), context).await.unwrap().fold().await.unwrap().text,
            };
            assert_eq!((text.as_str(), stage.play.arrivals().len()), ("Hello there", 1));
            assert!(stage.told().last().unwrap().starts_with("completed"), "{:?}", stage.told());
            stage.assert_swept().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_comes_when_the_key_is_parked_is_unused() {
    let limiter = Settled::over(PermitPool::new(NonZeroUsize::MIN));
    let seen = Arc::<Settled>::clone(&limiter);
    let broke = Scene::after(100, Ends::Fails(error(ErrorKind::QuotaExhausted)));
    let stage = Stage::with(1, 9, [broke], |builder| builder.limiter(limiter));
    let (a, b) = tokio::join!(stage.dispatch.chat(request(), named("a")), stage.dispatch.chat(request(), named("b")));
    assert_eq!([a.unwrap_err().kind, b.unwrap_err().kind], [ErrorKind::QuotaExhausted; 2]);
    sleep(ms(1)).await;
    assert_eq!(stage.play.arrivals(), [0]);
    let outcomes = seen.outcomes();
    assert!(
        matches!(outcomes[..], [Outcome::Failed { .. }] | [Outcome::Failed { .. }, Outcome::Unused]),
        "{outcomes:?}"
    );
}

/// Answers with the head it was given.
#[derive(Debug)]
struct Heads(RateLimits);

#[async_trait]
impl ChatProvider for Heads {
    fn name(&self) -> &'static str {
        "heads"
    }

    async fn stream(&self, _: ChatRequest, _: CallContext) -> Result<ChatStream, ProviderError> {
        let mut response = ChatResponse::text("done");
        response.head.limits = self.0;
        Ok(ChatStream::ready(response))
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        Ok(Vec::new())
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_the_head_of_an_answer_names_does_not_begin_again_at_its_end() {
    let mut limits = RateLimits { retry_after: Some(ms(9_000)), ..RateLimits::default() };
    limits.requests.remaining = Some(7);
    let limiter = Settled::over(PermitPool::new(NonZeroUsize::MIN));
    let dispatch = Dispatch::builder(Arc::new(Heads(limits))).limiter(Arc::<Settled>::clone(&limiter)).build();
    dispatch.chat(request(), named("a")).await.unwrap();
    let outcomes = limiter.outcomes();
    let [Outcome::Completed { limits: told, .. }] = outcomes[..] else { panic!("{outcomes:?}") };
    assert_eq!((told.requests, told.retry_after), (limits.requests, None));
}

/// What happens between two steps of somebody else.
type Meanwhile = Box<dyn FnOnce() + Send>;

/// A waiting room that lets something happen as soon as it is closed, as another thread might.
struct Door(Fifo, Mutex<Option<Meanwhile>>);

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Door")
    }
}

#[async_trait]
impl TaskQueue for Door {
    async fn push(&self, ticket: Ticket) -> Result<(), QueueFull> {
        self.0.push(ticket).await
    }

    async fn next(&self) -> Option<Ticket> {
        self.0.next().await
    }

    fn settle(&self, id: TicketId, cost: u64) {
        self.0.settle(id, cost);
    }

    fn cancel(&self, id: TicketId) -> bool {
        self.0.cancel(id)
    }

    fn close(&self) {
        self.0.close();
        if let Some(meanwhile) = lock(&self.1).take() {
            meanwhile();
        }
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_while_it_is_shut_down_is_told_so() {
    let door = Arc::new(Door(Fifo::new(9), Mutex::default()));
    let dispatch = Arc::new(Dispatch::builder(Play::of([])).queue(Arc::<Door>::clone(&door)).build());
    let (caller, said) = (Arc::clone(&dispatch), Arc::<Mutex<Option<ErrorKind>>>::default());
    let hears = Arc::clone(&said);
    *lock(&door.1) = Some(Box::new(move || {
        let mut call = Box::pin(caller.chat(request(), named("a")));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        if let std::task::Poll::Ready(Err(error)) = call.as_mut().poll(&mut context) {
            *lock(&hears) = Some(error.kind);
        }
    }));
    dispatch.shutdown().await;
    assert_eq!(*lock(&said), Some(ErrorKind::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_nobody_who_does_not_come_to_look() {
    let queue = TicketQueue::new(&Settings::default(), AtTheDoor::Refuse, Arc::new(()));
    queue.set_cap(&["default"], 0);
    let dispatch = Dispatch::builder(Play::of([])).queue(Arc::new(queue)).build();
    let mut call = Box::pin(dispatch.chat(request(), named("a")));
    assert!(timeout(ms(10), &mut call).await.is_err(), "its flow is held back");
    timeout(ms(10), dispatch.shutdown()).await.expect("nobody is waited for");
    assert_eq!(call.await.unwrap_err().kind, ErrorKind::Cancelled);
}
