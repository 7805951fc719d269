//! A provider that plays a script, watchful doubles around the other seams, and the grammar of a call's facts.

use std::collections::{HashSet, VecDeque};
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant as StdInstant};

use async_trait::async_trait;
use bellwether_core::chat::Started;
use bellwether_core::limiter::{Outlook, Refused};
use bellwether_core::test_util::Recorder;
use bellwether_core::{Fact, FinishReason, Observer, Outcome, Permit, RateLimiter, Settle, TaskId, TaskQueue, Usage};
use bellwether_dispatch::{
    CallContext, ChatEvent, ChatProvider, ChatRequest, ChatStream, Demand, Dispatch, DispatchBuilder, ErrorKind,
    Message, PermitPool, ProviderError, Retry,
};
use futures_core::Stream;
use tokio::time::{Instant, Sleep, sleep};

pub(crate) use crate::counted::Counted;

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn error(kind: ErrorKind) -> ProviderError {
    ProviderError::new(kind, "as the script says")
}

pub(crate) fn throttle(after: Option<Duration>) -> ProviderError {
    error(ErrorKind::RateLimited).with_retry(after.map_or(Retry::Backoff, Retry::After))
}

pub(crate) fn request() -> ChatRequest {
    ChatRequest::new("m", vec![Message::user("Say something.")])
}

pub(crate) fn named(name: impl Into<Arc<str>>) -> CallContext {
    CallContext { task: Some(TaskId::from(name.into())), ..CallContext::default() }
}

/// A call that must be over after so many milliseconds from now.
pub(crate) fn until(name: &str, millis: u64) -> CallContext {
    CallContext { deadline: Some((Instant::now() + ms(millis)).into_std()), ..named(name) }
}

pub(crate) const USAGE: Usage =
    Usage { input_tokens: Some(11), output_tokens: Some(7), cached_tokens: None, reasoning_tokens: None, cost: None };

/// How the provider treats one call.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    /// How long until it says anything.
    pub(crate) head: Duration,
    pub(crate) ends: Ends,
}

#[derive(Clone, Debug)]
pub(crate) enum Ends {
    /// Says something, and so much later the rest.
    Answers(Duration),
    /// Says something, then goes on for ever.
    Babbles,
    /// Fails before it says anything.
    Fails(ProviderError),
    /// Sends its head only, then fails.
    FailsAfterHead(ProviderError),
    /// Says something, then fails.
    FailsAfterText(ProviderError),
    /// Says all there is to say, and fails a minute later.
    Lingers(ProviderError),
    /// Says something, then the line goes dead.
    Stops,
}

impl Scene {
    pub(crate) fn after(millis: u64, ends: Ends) -> Self {
        Self { head: ms(millis), ends }
    }

    fn events(self) -> VecDeque<(Duration, Result<ChatEvent, ProviderError>)> {
        let now = Duration::ZERO;
        let text = |text: &str| Ok(ChatEvent::Text(text.to_owned()));
        let mut events = VecDeque::from([(now, Ok(ChatEvent::Started(Started::default())))]);
        if !matches!(self.ends, Ends::FailsAfterHead(_)) {
            events.push_back((now, text("Hello")));
        }
        match self.ends {
            Ends::Answers(later) => events.extend([
                (later, text(" there")),
                (now, Ok(ChatEvent::Finished(FinishReason::Stop))),
                (now, Ok(ChatEvent::Usage(USAGE))),
            ]),
            Ends::Babbles => events.extend((0..1_000).map(|_| (ms(1_000), text("bla ")))),
            Ends::Fails(error) | Ends::FailsAfterHead(error) | Ends::FailsAfterText(error) => {
                events.push_back((ms(100), Err(error)));
            }
            Ends::Lingers(error) => {
                events.extend([(now, text(" there")), (now, Ok(ChatEvent::Finished(FinishReason::Stop)))]);
                events.push_back((ms(60_000), Err(error)));
            }
            Ends::Stops => {}
        }
        events
    }
}

/// Plays its scenes in order, then answers plainly after 100 ms and another 100 ms.
#[derive(Debug)]
pub(crate) struct Play {
    scenes: Mutex<VecDeque<Scene>>,
    pub(crate) log: Mutex<Vec<(Duration, CallContext)>>,
    in_flight: Arc<AtomicUsize>,
    pub(crate) most: AtomicUsize,
    origin: Instant,
}

impl Play {
    pub(crate) fn of(scenes: impl IntoIterator<Item = Scene>) -> Arc<Self> {
        Arc::new(Self {
            scenes: Mutex::new(scenes.into_iter().collect()),
            log: Mutex::default(),
            in_flight: Arc::default(),
            most: AtomicUsize::new(0),
            origin: Instant::now(),
        })
    }

    /// When each call arrived, in milliseconds.
    pub(crate) fn arrivals(&self) -> Vec<u128> {
        lock(&self.log).iter().map(|(at, _)| at.as_millis()).collect()
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(crate) fn elapsed(&self) -> u128 {
        self.origin.elapsed().as_millis()
    }

    fn enter(&self, context: CallContext) -> (Scene, InFlight) {
        lock(&self.log).push((self.origin.elapsed(), context));
        let now = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        let scene = lock(&self.scenes).pop_front().unwrap_or(Scene::after(100, Ends::Answers(ms(100))));
        (scene, InFlight(Arc::clone(&self.in_flight)))
    }
}

#[async_trait]
impl ChatProvider for Play {
    fn name(&self) -> &'static str {
        "play"
    }

    async fn stream(&self, _: ChatRequest, context: CallContext) -> Result<ChatStream, ProviderError> {
        let (scene, guest) = self.enter(context);
        sleep(scene.head).await;
        if let Ends::Fails(error) = scene.ends {
            return Err(error);
        }
        Ok(ChatStream::new(Playing { rest: scene.events(), pause: None, _guest: guest }))
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        Ok(vec!["m".to_owned()])
    }
}

#[derive(Debug)]
struct InFlight(Arc<AtomicUsize>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Playing {
    rest: VecDeque<(Duration, Result<ChatEvent, ProviderError>)>,
    pause: Option<Pin<Box<Sleep>>>,
    _guest: InFlight,
}

impl Stream for Playing {
    type Item = Result<ChatEvent, ProviderError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(&(later, _)) = self.rest.front() else {
            return Poll::Ready(None);
        };
        if !later.is_zero() {
            ready!(self.pause.get_or_insert_with(|| Box::pin(sleep(later))).as_mut().poll(cx));
            self.pause = None;
        }
        Poll::Ready(self.rest.pop_front().map(|(_, event)| event))
    }
}

/// A limiter that remembers how its permits were settled.
#[derive(Debug)]
pub(crate) struct Settled {
    inner: Box<dyn RateLimiter>,
    outcomes: Arc<Mutex<Vec<Outcome>>>,
}

#[derive(Debug)]
struct Note(Option<Permit>, Arc<Mutex<Vec<Outcome>>>);

impl Settled {
    pub(crate) fn over(inner: impl RateLimiter + 'static) -> Arc<Self> {
        Arc::new(Self { inner: Box::new(inner), outcomes: Arc::default() })
    }

    pub(crate) fn outcomes(&self) -> Vec<Outcome> {
        lock(&self.outcomes).clone()
    }
}

impl Settle for Note {
    fn settle(mut self: Box<Self>, outcome: Outcome) {
        lock(&self.1).push(outcome);
        self.0.take().expect("a permit is settled once").settle(outcome);
    }
}

#[async_trait]
impl RateLimiter for Settled {
    async fn acquire(&self, demand: Demand, deadline: Option<StdInstant>) -> Result<Permit, Refused> {
        let inner = self.inner.acquire(demand, deadline).await?;
        Ok(Permit::new(demand, Box::new(Note(Some(inner), Arc::clone(&self.outcomes)))))
    }

    fn outlook(&self, demand: Demand) -> Option<Outlook> {
        self.inner.outlook(demand)
    }
}

/// A dispatch and everything that watches it.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) play: Arc<Play>,
    pub(crate) dispatch: Arc<Dispatch>,
    pub(crate) facts: Arc<Recorder>,
    pub(crate) pool: Arc<PermitPool>,
    pub(crate) queue: Arc<Counted>,
    places: usize,
}

impl Stage {
    pub(crate) fn new(places: usize, scenes: impl IntoIterator<Item = Scene>) -> Self {
        Self::with(places, 100, scenes, |builder| builder)
    }

    pub(crate) fn with(
        places: usize,
        capacity: usize,
        scenes: impl IntoIterator<Item = Scene>,
        more: impl FnOnce(DispatchBuilder) -> DispatchBuilder,
    ) -> Self {
        let play = Play::of(scenes);
        let facts = Arc::new(Recorder::default());
        let pool = Arc::new(PermitPool::new(NonZeroUsize::new(places).expect("a stage has places")));
        let queue = Counted::new(capacity);
        let builder = Dispatch::builder(Arc::<Play>::clone(&play))
            .queue(Arc::<Counted>::clone(&queue))
            .limiter(Arc::<PermitPool>::clone(&pool))
            .observer(Arc::<Recorder>::clone(&facts) as Arc<dyn Observer>)
            .seed(7);
        Self { play, dispatch: Arc::new(more(builder).build()), facts, pool, queue, places }
    }

    /// The facts so far, in short.
    pub(crate) fn told(&self) -> Vec<String> {
        self.facts.facts().iter().map(short).collect()
    }

    /// Nothing is left behind: no ticket, no charge, no place, no call; and all facts are whole sentences.
    pub(crate) async fn assert_swept(&self) {
        sleep(ms(1)).await;
        assert!(self.queue.is_empty(), "no ticket waits");
        assert!(lock(&self.queue.taken).is_empty(), "every ticket that was taken is settled");
        assert_eq!(self.pool.free(), self.places, "every place is free");
        assert_eq!(self.play.in_flight(), 0, "no call is under way");
        assert_sentences(&self.facts.facts());
    }
}

/// Every call's facts are a sentence of the grammar; calls are told apart by their tasks.
pub(crate) fn assert_sentences(facts: &[Fact]) {
    let calls: HashSet<_> = facts.iter().filter_map(call).map(|call| call.context.task.clone()).collect();
    for task in calls {
        let of_call: Vec<_> =
            facts.iter().filter(|fact| call(fact).is_some_and(|call| call.context.task == task)).collect();
        assert_sentence(&of_call);
    }
}

/// The call that a fact is about, if it is about one and not about the key.
pub(crate) fn call(fact: &Fact) -> Option<&bellwether_core::Call> {
    Some(match fact {
        Fact::CallAbandoned { call, .. }
        | Fact::CallAdmitted { call, .. }
        | Fact::CallCompleted { call, .. }
        | Fact::CallFailed { call, .. }
        | Fact::CallHedged { call, .. }
        | Fact::CallQueued { call }
        | Fact::CallRefused { call, .. }
        | Fact::CallRetried { call, .. }
        | Fact::CallThrottled { call, .. }
        | Fact::CallWaiting { call, .. }
        | Fact::RetryDenied { call } => call,
        Fact::KeyChanged { .. } | Fact::TicketShed { .. } => return None,
        fact => panic!("a dispatch tells of calls and keys only, not {fact:?}"),
    })
}

fn short(fact: &Fact) -> String {
    match fact {
        Fact::CallAbandoned { admitted, .. } => format!("abandoned admitted={admitted}"),
        Fact::CallAdmitted { call, waited, .. } => format!("admitted {} after {waited:?}", call.context.attempt),
        Fact::CallCompleted { took, first_token, .. } => format!("completed in {took:?}, first {first_token:?}"),
        Fact::CallFailed { kind, took, .. } => format!("failed {} in {took:?}", kind.as_str()),
        Fact::CallHedged { end, .. } => format!("hedged {}", end.as_str()),
        Fact::CallQueued { call } => format!("queued {}", call.context.attempt),
        Fact::CallRefused { kind, .. } => format!("refused {}", kind.as_str()),
        Fact::CallRetried { call, kind, .. } => format!("retried {} {}", call.context.attempt, kind.as_str()),
        Fact::CallThrottled { retry_after, .. } => format!("throttled {retry_after:?}"),
        Fact::CallWaiting { reason, wait, .. } => format!("waits for {}, {wait:?}", reason.as_str()),
        Fact::KeyChanged { state, wait, .. } => format!("key {} for {wait:?}", state.as_str()),
        Fact::RetryDenied { .. } => "denied".to_owned(),
        Fact::TicketShed { expired, .. } => format!("shed expired={expired}"),
        fact => format!("{fact:?}"),
    }
}

/// Every stay in the queue has one end, and nothing follows the last.
fn assert_sentence(facts: &[&Fact]) {
    let words: Vec<_> = facts.iter().map(|fact| short(fact)).collect();
    let mut state = "start";
    for fact in facts {
        state = match (state, fact) {
            ("start" | "between", Fact::CallQueued { .. }) => "queued",
            ("queued", Fact::CallWaiting { .. }) => "waiting",
            ("queued" | "waiting", Fact::CallAdmitted { .. }) => "sent",
            ("queued" | "waiting", Fact::CallRefused { .. } | Fact::CallAbandoned { admitted: false, .. }) => "over",
            ("sent", Fact::CallCompleted { .. } | Fact::CallAbandoned { admitted: true, .. }) => "over",
            ("sent", Fact::CallHedged { .. }) => "sent",
            ("sent", Fact::CallFailed { .. }) => "failed",
            ("failed", Fact::RetryDenied { .. }) => "failed",
            ("sent", Fact::CallThrottled { .. }) | ("failed", Fact::CallRetried { .. }) => "between",
            (state, _) => panic!("{fact:?} does not follow {state} in {words:#?}"),
        };
    }
    assert!(matches!(state, "over" | "failed"), "a call ends, but this one is {state}: {words:#?}");
}
