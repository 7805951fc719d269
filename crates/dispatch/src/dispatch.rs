//! The parts, put together: a provider with a waiting room, a quota and the one retry layer around it.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bellwether_core::queue::TicketId;
use bellwether_core::{
    CallContext, ChatProvider, ChatRequest, ChatResponse, ChatStream, Observer, ProviderError, RateLimiter, TaskQueue,
};
use tokio::task::JoinSet;

use crate::backoff::RetryPolicy;
use crate::course::{Course, Patience};
use crate::estimate::Estimator;
use crate::fifo::Fifo;
use crate::guard::Guard;
use crate::hedge::{HedgePolicy, Hedges};
use crate::key::Key;
use crate::line::{Bell, Line};
use crate::pool::PermitPool;
use crate::pump::pump;

/// A provider with a waiting room, a quota and the one retry layer around it.
///
/// One dispatch stands for one key. Its limiter may be shared with others that use the same key; its queue may not,
/// for it names the tickets.
///
/// # What the caller can rely on
///
/// - Only one ticket at a time, the head of the line, waits for room in the quota.
/// - A 429 is no failed attempt. The limiter keeps everybody away, and the call queues again; only the deadline and
///   [`RetryPolicy::max_throttled_wait`] end that.
/// - A key that is refused, or whose account has nothing left, is parked: whoever waits and whoever comes gets a
///   [`Parked`](crate::Parked) refusal at once instead of paying for the same answer. When the time is up one call
///   finds out; [`reopen`](Self::reopen) is for people who have mended it.
/// - With a [`Guard`], a key that keeps failing is not asked for a while: calls wait in the line, unless they would
///   come too late. A retry that the guard's budget denies waits for it, at most as long as the longest pause of the
///   [`RetryPolicy`].
/// - Other failures are tried again as their hint and the [`RetryPolicy`] allow. A retry queues again like a new call;
///   if the queue has no room for it, it ends with `QueueFull`, caused by the failure.
/// - After the first piece of a stream was handed on nothing is tried again, unless the context says `may_restart`: then
///   the reader gets [`ChatEvent::Restarted`](bellwether_core::ChatEvent::Restarted), forgets what came before, and the
///   answer begins anew. What a provider says before the first piece, such as `Started`, is handed on together with it.
/// - What cannot happen before the deadline is refused at once; a call that runs into it is cancelled, and its place is
///   free again even if it is a stream that nobody reads at the moment. The context's `timeout` cancels a single attempt,
///   which may be tried again.
/// - With a [`HedgePolicy`], a call that takes unusually long to begin its answer is sent once more beside itself, if
///   nobody else needs the room; the first answer counts. That is one attempt of the call, and paid for out of the
///   guard's budget for retries.
/// - All attempts carry the idempotency key of the call's context, and `attempt` counts them; answers and failures say
///   in `retries` how often the call was sent before.
/// - Every stay in the queue ends in exactly one of `CallCompleted`, `CallFailed`, `CallThrottled`, `CallRefused` and
///   `CallAbandoned`; after `CallThrottled` and `CallRetried` another `CallQueued` follows.
///
/// Dropping a `Dispatch` ends its one task.
#[derive(Debug)]
pub struct Dispatch {
    desk: Arc<Desk>,
    pump: tokio::sync::Mutex<JoinSet<()>>,
}

/// What the calls of a dispatch share. A stream that may begin anew holds on to it.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) provider: Arc<dyn ChatProvider>,
    pub(crate) name: Arc<str>,
    pub(crate) queue: Arc<dyn TaskQueue>,
    pub(crate) limiter: Arc<dyn RateLimiter>,
    pub(crate) estimator: Option<Arc<dyn Estimator>>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) policy: RetryPolicy,
    pub(crate) way: Way,
    pub(crate) hedges: Option<Mutex<Hedges>>,
    pub(crate) line: Arc<Line>,
    pub(crate) key: Arc<Key>,
    rng: Mutex<fastrand::Rng>,
    tickets: AtomicU64,
}

/// Makes a queue that tells its facts to an observer.
type MakeQueue = Box<dyn FnOnce(Arc<dyn Observer>) -> Arc<dyn TaskQueue> + Send>;

/// How the provider is asked for a whole answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    Streaming,
    Unary,
}

/// Puts a [`Dispatch`] together.
#[must_use]
pub struct DispatchBuilder {
    provider: Arc<dyn ChatProvider>,
    queue: MakeQueue,
    guard: Option<Arc<dyn Guard>>,
    limiter: Option<Arc<dyn RateLimiter>>,
    estimator: Option<Arc<dyn Estimator>>,
    observer: Arc<dyn Observer>,
    policy: RetryPolicy,
    way: Way,
    hedge: Option<HedgePolicy>,
    rng: fastrand::Rng,
}

// === impl Dispatch ===

impl Dispatch {
    /// Begins a dispatch around `provider`, which must not retry by itself.
    pub fn builder(provider: Arc<dyn ChatProvider>) -> DispatchBuilder {
        DispatchBuilder {
            provider,
            queue: Box::new(|_| Arc::new(Fifo::new(CAPACITY))),
            guard: None,
            limiter: None,
            estimator: None,
            observer: Arc::new(()),
            policy: RetryPolicy::default(),
            way: Way::Streaming,
            hedge: None,
            rng: fastrand::Rng::new(),
        }
    }

    /// Ends it: nobody is admitted any more. Whoever waits, in the line or between two tries, gets
    /// [`ErrorKind::Cancelled`](bellwether_core::ErrorKind::Cancelled); calls in flight go on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the dispatch closed; calling it again waits for the rest.
    pub async fn shutdown(&self) {
        // Whoever finds the queue closed looks at the line to see why. Those who wait may not come to look for long.
        for ticket in self.desk.line.close() {
            self.desk.queue.cancel(ticket);
        }
        self.desk.queue.close();
        let mut pump = self.pump.lock().await;
        while pump.join_next().await.is_some() {}
    }

    /// Lets a parked key be asked again at once, for somebody has mended what was wrong: added credit, or renewed the
    /// key.
    pub fn reopen(&self) {
        self.desk.key.reopen();
    }

    /// Asks for a stream, with less patience if there is another key to go to.
    pub(crate) async fn stream_with(
        &self,
        request: ChatRequest,
        context: CallContext,
        patience: Patience,
    ) -> Result<ChatStream, ProviderError> {
        let mut course = Course::new(Arc::clone(&self.desk), request, context, patience);
        let opened = course.opened().await?;
        Ok(course.into_stream(opened))
    }

    /// Asks for a whole answer, with less patience if there is another key to go to.
    pub(crate) async fn chat_with(
        &self,
        request: ChatRequest,
        context: CallContext,
        patience: Patience,
    ) -> Result<ChatResponse, ProviderError> {
        let mut course = Course::new(Arc::clone(&self.desk), request, context, patience);
        loop {
            let turn = course.turn().await?;
            // In a box, so that calls that wait in their thousands do not hold room for what comes after.
            match Box::pin(course.whole(turn)).await {
                Ok(response) => return Ok(response),
                Err(error) => Box::pin(course.again(error)).await?,
            }
        }
    }

    /// The name of its provider.
    pub(crate) fn key_name(&self) -> &Arc<str> {
        &self.desk.name
    }
}

// === impl Desk ===

impl Desk {
    pub(crate) fn next_id(&self) -> TicketId {
        TicketId(self.tickets.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        draw(&mut self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ChatProvider for Dispatch {
    fn name(&self) -> &str {
        &self.desk.name
    }

    async fn stream(&self, request: ChatRequest, context: CallContext) -> Result<ChatStream, ProviderError> {
        self.stream_with(request, context, Patience::Full).await
    }

    async fn chat(&self, request: ChatRequest, context: CallContext) -> Result<ChatResponse, ProviderError> {
        self.chat_with(request, context, Patience::Full).await
    }

    /// Asks the provider at once: a list of models is no part of the quota.
    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        self.desk.provider.models().await
    }
}

// === impl DispatchBuilder ===

impl DispatchBuilder {
    /// Waits in `queue`; in a [`Fifo`] for 10,000 tickets by default.
    pub fn queue(self, queue: Arc<dyn TaskQueue>) -> Self {
        self.queue_with(|_| queue)
    }

    /// Waits in the queue that `make` makes, which tells its facts to the observer it is given.
    ///
    /// They are passed on to the [`observer`](Self::observer). A caller whose ticket is shed
    /// ([`Fact::TicketShed`](bellwether_core::Fact::TicketShed)) hears of it in this way at once; from a queue that
    /// tells nobody it would only hear when its deadline comes.
    pub fn queue_with(mut self, make: impl FnOnce(Arc<dyn Observer>) -> Arc<dyn TaskQueue> + Send + 'static) -> Self {
        self.queue = Box::new(make);
        self
    }

    /// Asks `guard` whether the key is asked, and whether a call is tried again; always, by default.
    pub fn guard(mut self, guard: Arc<dyn Guard>) -> Self {
        self.guard = Some(guard);
        self
    }

    /// Asks `limiter` for room; a [`PermitPool`] with 8 places by default.
    pub fn limiter(mut self, limiter: Arc<dyn RateLimiter>) -> Self {
        self.limiter = Some(limiter);
        self
    }

    /// Asks `estimator` what a call will take; by default, and at least, it is what [`demand`](crate::demand) reckons.
    pub fn estimator(mut self, estimator: Arc<dyn Estimator>) -> Self {
        self.estimator = Some(estimator);
        self
    }

    /// Tells `observer` what happens; nobody by default.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// Tries again by `policy`.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Draws the jitter from this seed, so that a run can be repeated; from a random one by default.
    pub fn seed(mut self, seed: u64) -> Self {
        self.rng = fastrand::Rng::with_seed(seed);
        self
    }

    /// Asks for whole answers by [`ChatProvider::chat`].
    ///
    /// By default a whole answer is streamed underneath, so that the time of the first token is known and a provider
    /// that falls silent is noticed.
    pub fn unary(mut self) -> Self {
        self.way = Way::Unary;
        self
    }

    /// Sends a call a second time if it takes unusually long to begin its answer; never by default.
    ///
    /// A provider may bill both tries: this buys a shorter tail for money. [`Fact::CallHedged`](bellwether_core::Fact)
    /// tells what came of each.
    pub fn hedge(mut self, policy: HedgePolicy) -> Self {
        self.hedge = Some(policy);
        self
    }

    /// Starts it.
    ///
    /// # Panics
    ///
    /// If called outside a tokio runtime.
    #[must_use]
    pub fn build(self) -> Dispatch {
        let limiter = self.limiter.unwrap_or_else(|| Arc::new(PermitPool::new(PLACES)));
        let line = Arc::new(Line::new());
        let queue = (self.queue)(Arc::new(Bell { line: Arc::clone(&line), observer: Arc::clone(&self.observer) }));
        let name: Arc<str> = self.provider.name().into();
        let key = Arc::new(Key::new(Arc::clone(&name), self.guard, Arc::clone(&line), Arc::clone(&self.observer)));
        let mut tasks = JoinSet::new();
        tasks.spawn(pump(Arc::clone(&line), Arc::clone(&queue), Arc::clone(&key), Arc::clone(&limiter)));
        let desk = Desk {
            name,
            provider: self.provider,
            queue,
            limiter,
            estimator: self.estimator,
            observer: self.observer,
            policy: self.policy,
            way: self.way,
            hedges: self.hedge.map(|policy| Mutex::new(Hedges::new(policy))),
            line,
            key,
            rng: Mutex::new(self.rng),
            tickets: AtomicU64::new(0),
        };
        Dispatch { desk: Arc::new(desk), pump: tokio::sync::Mutex::new(tasks) }
    }
}

impl fmt::Debug for DispatchBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DispatchBuilder").field("provider", &self.provider).finish_non_exhaustive()
    }
}

const CAPACITY: usize = 10_000;
const PLACES: NonZeroUsize = NonZeroUsize::new(8).expect("eight is not zero");
