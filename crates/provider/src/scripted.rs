//! A provider that plays a script.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bellwether_core::{
    CallContext, ChatEvent, ChatProvider, ChatRequest, ChatResponse, ChatStream, ErrorKind, ProviderError,
};
use futures_util::Stream;

/// A [`ChatProvider`] that plays a script instead of asking a model, and remembers what it was asked.
///
/// ```
/// use bellwether_provider::{CallContext, ChatProvider, ChatRequest, ChatResponse, Message, Scripted};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let provider = Scripted::answering(|request, _| Ok(ChatResponse::text(format!("I am {}", request.model))));
/// let request = ChatRequest::new("dolly", vec![Message::user("Who are you?")]);
/// let answer = provider.chat(request, CallContext::default()).await.unwrap();
/// assert_eq!(answer.text, "I am dolly");
/// assert_eq!(provider.calls().len(), 1);
/// # }
/// ```
pub struct Scripted {
    name: String,
    models: Vec<String>,
    script: Script,
    delay: Duration,
    calls: Mutex<Vec<ScriptedCall>>,
    load: Arc<Load>,
}

/// One call that [`Scripted`] got.
#[derive(Clone, Debug)]
pub struct ScriptedCall {
    /// What was asked.
    pub request: ChatRequest,
    /// What travelled with it.
    pub context: CallContext,
}

/// One entry of a script: an answer, an error, or a stream piece by piece.
#[derive(Clone, Debug)]
pub struct Reply {
    what: What,
    delay: Option<Duration>,
}

#[derive(Clone, Debug)]
enum What {
    Events(Vec<Result<ChatEvent, ProviderError>>),
    Whole(Box<Result<ChatResponse, ProviderError>>),
}

type Closure = dyn Fn(&ChatRequest, &CallContext) -> Result<ChatResponse, ProviderError> + Send + Sync;

enum Script {
    Answering(Box<Closure>),
    Sequence(Mutex<VecDeque<Reply>>),
}

#[derive(Debug, Default)]
struct Load {
    now: AtomicUsize,
    peak: AtomicUsize,
}

// === impl Scripted ===

impl Scripted {
    /// Answers every call by a closure.
    #[must_use]
    pub fn answering(
        answer: impl Fn(&ChatRequest, &CallContext) -> Result<ChatResponse, ProviderError> + Send + Sync + 'static,
    ) -> Self {
        Self::of(Script::Answering(Box::new(answer)))
    }

    /// Plays `replies` in order, one for each call. A call after the last one fails and says so.
    #[must_use]
    pub fn sequence<R: Into<Reply>>(replies: impl IntoIterator<Item = R>) -> Self {
        Self::of(Script::Sequence(Mutex::new(replies.into_iter().map(Into::into).collect())))
    }

    fn of(script: Script) -> Self {
        Self {
            name: "scripted".to_owned(),
            models: vec!["scripted".to_owned()],
            script,
            delay: Duration::ZERO,
            calls: Mutex::default(),
            load: Arc::default(),
        }
    }

    /// The same under another name.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// The same with these models on offer.
    #[must_use]
    pub fn with_models<M: Into<String>>(self, models: impl IntoIterator<Item = M>) -> Self {
        Self { models: models.into_iter().map(Into::into).collect(), ..self }
    }

    /// The same, taking this long for each call. It waits on tokio's clock, so a paused clock skips the wait.
    #[must_use]
    pub fn with_delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// The calls so far, in the order in which they came.
    #[must_use]
    pub fn calls(&self) -> Vec<ScriptedCall> {
        lock(&self.calls).clone()
    }

    /// How many calls ran at once at most.
    #[must_use]
    pub fn peak_in_flight(&self) -> usize {
        self.load.peak.load(Ordering::SeqCst)
    }

    async fn reply(&self, request: ChatRequest, context: CallContext) -> (What, InFlight) {
        let in_flight = InFlight::enter(&self.load);
        let reply = match &self.script {
            Script::Answering(answer) => Reply::from(answer(&request, &context)),
            Script::Sequence(replies) => lock(replies).pop_front().unwrap_or_else(run_out),
        };
        lock(&self.calls).push(ScriptedCall { request, context });
        let delay = reply.delay.unwrap_or(self.delay);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        (reply.what, in_flight)
    }
}

#[async_trait]
impl ChatProvider for Scripted {
    fn name(&self) -> &str {
        &self.name
    }

    async fn stream(&self, request: ChatRequest, context: CallContext) -> Result<ChatStream, ProviderError> {
        let (what, in_flight) = self.reply(request, context).await;
        let events = match what {
            What::Events(events) => ChatStream::new(Pieces(events.into())),
            What::Whole(whole) => ChatStream::ready((*whole)?),
        };
        Ok(ChatStream::new(Counted { events, _in_flight: in_flight }))
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        Ok(self.models.clone())
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted").field("name", &self.name).finish_non_exhaustive()
    }
}

// === impl Reply ===

impl Reply {
    /// A stream, piece by piece; an error ends it.
    #[must_use]
    pub fn events(events: impl IntoIterator<Item = Result<ChatEvent, ProviderError>>) -> Self {
        Self { what: What::Events(events.into_iter().collect()), delay: None }
    }

    /// The same after this much time, whatever the script's own delay is.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self { delay: Some(delay), ..self }
    }
}

impl From<&str> for Reply {
    fn from(text: &str) -> Self {
        ChatResponse::text(text).into()
    }
}

impl From<ChatResponse> for Reply {
    fn from(response: ChatResponse) -> Self {
        Ok(response).into()
    }
}

impl From<ProviderError> for Reply {
    fn from(error: ProviderError) -> Self {
        Err(error).into()
    }
}

impl From<Result<ChatResponse, ProviderError>> for Reply {
    fn from(whole: Result<ChatResponse, ProviderError>) -> Self {
        Self { what: What::Whole(Box::new(whole)), delay: None }
    }
}

fn run_out() -> Reply {
    ProviderError::new(ErrorKind::InvalidRequest, "the script has no reply left for this call").into()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A call that runs, counted until it is dropped.
struct InFlight(Arc<Load>);

impl InFlight {
    fn enter(load: &Arc<Load>) -> Self {
        let now = load.now.fetch_add(1, Ordering::SeqCst) + 1;
        load.peak.fetch_max(now, Ordering::SeqCst);
        Self(Arc::clone(load))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Counted {
    events: ChatStream,
    _in_flight: InFlight,
}

impl Stream for Counted {
    type Item = Result<ChatEvent, ProviderError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.events).poll_next(cx)
    }
}

struct Pieces(VecDeque<Result<ChatEvent, ProviderError>>);

impl Stream for Pieces {
    type Item = Result<ChatEvent, ProviderError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.0.pop_front();
        if matches!(next, Some(Err(_))) {
            self.0.clear();
        }
        Poll::Ready(next)
    }
}
