//! The provider: counts as a real one does, and holds us to what it told us.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bellwether_core::chat::Started;
use bellwether_core::permit::{Level, RateLimits};
use bellwether_core::{
    CallContext, ChatEvent, ChatProvider, ChatRequest, ChatStream, ErrorKind, FinishReason, ProviderError, Retry,
    Timestamp, Usage,
};
use bellwether_dispatch::demand;
use bellwether_sim::quota::{Demand, Dimension, Quota, Refusal, Ticket};
use fastrand::Rng;
use futures_core::Stream;
use tokio::time::{Instant, Sleep, sleep};

use crate::world::World;

/// The provider.
#[derive(Debug)]
pub(crate) struct Provider {
    world: Arc<World>,
    began: Instant,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    quota: Quota,
    rng: Rng,
    books: Books,
    /// When somebody heard last that everybody is to stay away, and until when.
    closed: (Timestamp, Timestamp),
    /// When somebody heard first that the account is dry, since it was last asked after a parking.
    dry: Option<Timestamp>,
    broken: Vec<String>,
}

/// What the provider knows at the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books {
    pub(crate) arrived: u64,
    pub(crate) throttled: u64,
    /// Tokens of the answers that were given in full.
    pub(crate) tokens: u64,
    /// Texts that were delivered in full, by run, task and phase.
    pub(crate) texts: BTreeMap<(String, String, &'static str), Vec<String>>,
}

/// What the provider does with a call.
enum Scene {
    /// Refuses it, or fails, so much later.
    Fails(Duration, ProviderError),
    /// Says this, each piece so much after the one before; then goes on for ever, or ends.
    Says(VecDeque<(Duration, Result<ChatEvent, ProviderError>)>, Ends),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ends {
    Closes,
    Stalls,
}

impl Provider {
    pub(crate) fn new(world: Arc<World>) -> Self {
        let inner = Inner {
            quota: Quota::new(&world.limits),
            rng: Rng::with_seed(world.seed ^ 0x5eed),
            books: Books::default(),
            closed: (Timestamp::ZERO, Timestamp::ZERO),
            dry: None,
            broken: Vec::new(),
        };
        Self { world, began: Instant::now(), inner: Arc::new(Mutex::new(inner)) }
    }

    pub(crate) fn books(&self) -> Books {
        lock(&self.inner).books.clone()
    }

    pub(crate) fn in_flight(&self) -> u32 {
        lock(&self.inner).quota.in_flight()
    }

    /// Which of its words were broken, until now.
    pub(crate) fn broken(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.inner).broken)
    }

    fn now(&self) -> Timestamp {
        Timestamp::from(self.began.elapsed())
    }

    /// Lets a call in or not, and decides what becomes of it.
    fn decide(&self, request: &ChatRequest, context: &CallContext) -> (Scene, Option<Seat>) {
        let now = self.now();
        let mut inner = lock(&self.inner);
        let inner = &mut *inner;
        inner.books.arrived += 1;
        // What was on its way when the word came could not know.
        if inner.closed.0 < now && now < inner.closed.1 {
            inner.broken.push(format!("a call at {now:?}, asked to stay away until {:?}", inner.closed.1));
        }
        if let Some(heard) = inner.dry.filter(|heard| *heard < now) {
            if now < heard + PARKED {
                inner.broken.push(format!("a call at {now:?}, when the account was known to be dry since {heard:?}"));
            }
            inner.dry = None;
        }
        let demand = demand(request);
        let asked = Demand { input_tokens: demand.input_tokens, max_output_tokens: Some(demand.output_tokens) };
        let soon = Duration::from_millis(inner.rng.u64(1..50));
        if let Some(error) = self.out_of_order(now, inner) {
            return (Scene::Fails(soon, error), None);
        }
        let ticket = match inner.quota.admit(asked, now) {
            Ok(ticket) => ticket,
            Err(refusal) => {
                if self.world.told {
                    inner.broken.push(format!("a call above the limit that was told: {refusal:?}"));
                }
                let error = self.too_many(inner, &refusal, now);
                return (Scene::Fails(soon, error), None);
            }
        };
        let (scene, usage) = self.mood(inner, request, context, now);
        let seat = Seat {
            inner: Arc::clone(&self.inner),
            began: self.began,
            ticket: Some(ticket),
            charged: demand.tokens(),
            usage,
        };
        (scene, Some(seat))
    }

    /// What fails before the limits are looked at.
    fn out_of_order(&self, now: Timestamp, inner: &mut Inner) -> Option<ProviderError> {
        let moods = &self.world.moods;
        let within = |from: Duration, to: Duration| Timestamp::from(from) <= now && now < Timestamp::from(to);
        if moods.dry.is_some_and(|(from, to)| within(from, to)) {
            return Some(ProviderError::new(ErrorKind::QuotaExhausted, "no credit"));
        }
        let outage = moods.outage.filter(|(from, to, _)| within(*from, *to));
        if let Some((_, ends, true)) = outage {
            inner.books.throttled += 1;
            let wait = self.world.headers.then(|| Timestamp::from(ends).since(now));
            return Some(throttle(wait));
        }
        (outage.is_some() || inner.rng.f64() < moods.overloaded)
            .then(|| ProviderError::new(ErrorKind::Overloaded, "no capacity"))
    }

    fn too_many(&self, inner: &mut Inner, refusal: &Refusal, now: Timestamp) -> ProviderError {
        inner.books.throttled += 1;
        let wait = refusal.ready_at.map(|at| at.since(now)).filter(|_| self.world.headers);
        let mut error = throttle(wait);
        error.details.limits = RateLimits { retry_after: wait, ..self.standing(&mut inner.quota, now) };
        error
    }

    fn standing(&self, quota: &mut Quota, now: Timestamp) -> RateLimits {
        if !self.world.headers {
            return RateLimits::default();
        }
        let mut level = |dimension| {
            quota.standing(dimension, now).map_or_else(Level::default, |standing| Level {
                limit: Some(standing.limit),
                remaining: Some(standing.remaining),
                reset: Some(standing.reset),
                window: None,
            })
        };
        RateLimits { requests: level(Dimension::Requests), tokens: level(Dimension::Tokens), ..RateLimits::default() }
    }

    /// What becomes of a call that was let in, and what it takes if it is answered.
    fn mood(&self, inner: &mut Inner, request: &ChatRequest, context: &CallContext, now: Timestamp) -> (Scene, Usage) {
        let moods = &self.world.moods;
        let limits = self.standing(&mut inner.quota, now);
        let rng = &mut inner.rng;
        let latest = u64::try_from(moods.latency.as_millis()).unwrap_or(u64::MAX);
        let head = Duration::from_millis(rng.u64(..=latest));
        let later = Duration::from_millis(rng.u64(..=latest));
        let mut drawn = rng.f64();
        let mut falls = |share: f64| {
            drawn -= share;
            drawn < 0.0
        };
        let unexecuted = |kind| ProviderError::new(kind, "as the seed says");
        if falls(moods.upstream) {
            return (Scene::Fails(head, executed(unexecuted(ErrorKind::Upstream))), Usage::default());
        }
        let (reset, stall, cut) = (falls(moods.reset), falls(moods.stall), falls(moods.cut));
        let text = text(rng, context, moods.garbage);
        let (known, cap) = (demand(request), request.max_output_tokens.unwrap_or(0));
        let usage = Usage {
            input_tokens: Some(rng.u64(1..=known.input_tokens)),
            output_tokens: Some(rng.u64(1..=u64::from(cap.max(1)))),
            ..Usage::default()
        };
        let started = ChatEvent::Started(Started { limits, ..Started::default() });
        let mut says = VecDeque::from([(head, Ok(started)), (Duration::ZERO, Ok(ChatEvent::Text(text.clone())))]);
        if reset {
            if rng.bool() {
                says.pop_back();
            }
            says.push_back((later, Err(executed(unexecuted(ErrorKind::Connect)))));
        } else if !stall && !cut {
            says.push_back((later, Ok(ChatEvent::Finished(FinishReason::Stop))));
            says.push_back((Duration::ZERO, Ok(ChatEvent::Usage(usage))));
        }
        (Scene::Says(says, if stall { Ends::Stalls } else { Ends::Closes }), usage)
    }
}

/// What a model says: a plan, a verdict or work, and now and then nothing of use.
fn text(rng: &mut Rng, context: &CallContext, garbage: f64) -> String {
    if rng.f64() < garbage {
        return String::new();
    }
    match context.phase {
        "plan" => {
            let task = |n: usize, rng: &mut Rng| match n {
                1.. if rng.bool() => format!(r#"{{"id":"{n}","title":"part","depends_on":["{}"]}}"#, rng.usize(..n)),
                _ => format!(r#"{{"id":"{n}","title":"part"}}"#),
            };
            let tasks: Vec<String> = (0..rng.usize(1..=9)).map(|n| task(n, rng)).collect();
            format!(r#"{{"tasks":[{}]}}"#, tasks.join(","))
        }
        "review" if rng.bool() => r#"{"decision":"accept","score":0.9}"#.to_owned(),
        "review" => r#"{"decision":"revise","score":0.4,"issues":["say more"]}"#.to_owned(),
        _ => format!("work {:016x}", rng.u64(..)),
    }
}

/// How long nobody asks a dry account, at least.
const PARKED: Duration = Duration::from_secs(60);

fn throttle(wait: Option<Duration>) -> ProviderError {
    let error = ProviderError::new(ErrorKind::RateLimited, "too many requests");
    wait.map_or_else(|| error.clone(), |wait| error.clone().with_retry(Retry::After(wait)))
}

fn executed(mut error: ProviderError) -> ProviderError {
    error.details.may_have_executed = true;
    error
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl ChatProvider for Provider {
    fn name(&self) -> &str {
        "fake"
    }

    async fn stream(&self, request: ChatRequest, context: CallContext) -> Result<ChatStream, ProviderError> {
        let (scene, seat) = self.decide(&request, &context);
        match scene {
            Scene::Fails(later, error) => {
                // The seat is held until the failure is told, or until nobody listens any more.
                let _seat = seat;
                sleep(later).await;
                if error.kind == ErrorKind::QuotaExhausted {
                    let now = self.now();
                    lock(&self.inner).dry.get_or_insert(now);
                }
                if let Retry::After(wait) = error.retry {
                    let now = self.now();
                    let mut inner = lock(&self.inner);
                    inner.closed = (now, inner.closed.1.max(now + wait));
                }
                Err(error)
            }
            Scene::Says(says, ends) => {
                let task = context.task.as_ref().map_or("run", |task| task.as_str()).to_owned();
                let run = context.run.as_ref().map_or("", |run| run.as_str()).to_owned();
                let key = (run, task, context.phase);
                Ok(ChatStream::new(Speech { says, ends, sleep: None, said: String::new(), seat, key }))
            }
        }
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        Ok(Vec::new())
    }
}

/// A place among the calls under way. What was charged stays charged unless the answer is given in full.
#[derive(Debug)]
struct Seat {
    inner: Arc<Mutex<Inner>>,
    began: Instant,
    ticket: Option<Ticket>,
    charged: u64,
    usage: Usage,
}

impl Seat {
    fn leave(&mut self, took: u64) {
        if let Some(ticket) = self.ticket.take() {
            let now = Timestamp::from(self.began.elapsed());
            lock(&self.inner).quota.settle(ticket, took, now);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave(self.charged);
    }
}

/// An answer as it is said.
struct Speech {
    says: VecDeque<(Duration, Result<ChatEvent, ProviderError>)>,
    ends: Ends,
    sleep: Option<Pin<Box<Sleep>>>,
    said: String,
    seat: Option<Seat>,
    key: (String, String, &'static str),
}

impl Stream for Speech {
    type Item = Result<ChatEvent, ProviderError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some((later, _)) = this.says.front() else {
            if this.ends == Ends::Stalls {
                return Poll::Pending;
            }
            this.seat = None;
            return Poll::Ready(None);
        };
        let later = *later;
        ready!(this.sleep.get_or_insert_with(|| Box::pin(sleep(later))).as_mut().poll(cx));
        this.sleep = None;
        let (_, piece) = this.says.pop_front().expect("there is a next piece");
        match &piece {
            Ok(ChatEvent::Text(text)) => this.said.push_str(text),
            Ok(ChatEvent::Usage(usage)) => this.finish(usage.tokens()),
            _ => {}
        }
        Poll::Ready(Some(piece))
    }
}

impl Speech {
    /// The last piece was handed over.
    fn finish(&mut self, took: u64) {
        let Some(seat) = &mut self.seat else { return };
        seat.leave(took);
        let mut inner = lock(&seat.inner);
        inner.books.tokens += seat.usage.tokens();
        inner.books.texts.entry(self.key.clone()).or_default().push(std::mem::take(&mut self.said));
    }
}
