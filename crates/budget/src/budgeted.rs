//! A provider around another one that sends nothing its ledger does not cover.

use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bellwether_core::{
    CallContext, ChatEvent, ChatProvider, ChatRequest, ChatResponse, ChatStream, ErrorKind, Price, ProviderError,
    Usage, Usd,
};
use futures_core::Stream;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::ledger::{Account, Amount, Caps, Ledger, Reservation, Scope};
use crate::till::{Refusal, Till};
use crate::worst;

/// A [`ChatProvider`] around another one that reserves each call's worst case before it is sent and settles it after.
///
/// A call that a cap does not cover waits for those under way, which usually take less than their worst case; if it would
/// not fit even then, it fails with [`ErrorKind::BudgetExceeded`] and is not sent. So does a call whose worst
/// case nobody knows: one without a cap on its output, or, where money is capped, one to a model without a price, or,
/// where time is capped, one without a timeout. What may have been executed without saying what it took is booked in
/// full. The error's code says whose cap it was: `everything`, `run`, `task`, `role`, `tenant`, or what the till says.
#[derive(Debug)]
pub struct Budgeted {
    inner: Arc<dyn ChatProvider>,
    books: Books,
    prices: BTreeMap<String, Price>,
}

/// What all providers of a team share.
#[derive(Clone, Debug)]
struct Books {
    ledger: Arc<Mutex<Ledger>>,
    settled: Arc<Notify>,
    till: Option<Arc<dyn Till>>,
    numbers: Arc<AtomicU64>,
    /// The dearest price of each model, whoever of them serves it.
    dearest: Arc<Mutex<BTreeMap<String, Price>>>,
}

impl Budgeted {
    /// Keeps the calls to `inner` within `ledger`.
    #[must_use]
    pub fn new(inner: Arc<dyn ChatProvider>, ledger: Ledger) -> Self {
        let ledger = Arc::new(Mutex::new(ledger));
        let books =
            Books { ledger, settled: Arc::default(), till: None, numbers: Arc::default(), dearest: Arc::default() };
        Self { inner, books, prices: BTreeMap::new() }
    }

    /// The same with a cap that other processes share.
    #[must_use]
    pub fn till(mut self, till: Arc<dyn Till>) -> Self {
        self.books.till = Some(till);
        self
    }

    /// The same with the price of a model.
    #[must_use]
    pub fn price(mut self, model: impl Into<String>, price: Price) -> Self {
        let model = model.into();
        lock(&self.books.dearest)
            .entry(model.clone())
            .and_modify(|known| *known = worst::dearer(*known, price))
            .or_insert(price);
        self.prices.insert(model, price);
        self
    }

    /// Keeps the calls to `inner` within the same ledger, as another provider of the same team.
    #[must_use]
    pub fn sharing(&self, inner: Arc<dyn ChatProvider>) -> Self {
        Self { inner, books: self.books.clone(), prices: BTreeMap::new() }
    }

    /// Books what was spent before, such as by the same run in another process.
    pub fn book(&self, context: &CallContext, took: Amount) {
        lock(&self.books.ledger).book(context, took);
    }

    /// Keeps to the caps of a scope no longer; whoever waits for room under them is let in.
    pub fn lift(&self, scope: &Scope) {
        lock(&self.books.ledger).lift(scope);
        self.books.settled.notify_waiters();
    }

    /// The most that a call of plain text can take with any provider of the team, as far as that is known: what is to be
    /// booked if nobody knows what it took. `text` is how many messages it was sent, and their bytes together.
    #[must_use]
    pub fn worst_of(&self, model: &str, text: (u64, u64), max_output_tokens: Option<u32>, time: Duration) -> Amount {
        let (messages, bytes) = text;
        let cap = u64::from(max_output_tokens.unwrap_or_default());
        let price = lock(&self.books.dearest).get(model).copied();
        worst::of(worst::text(messages, bytes), cap, time, price.as_ref()).unwrap_or(Amount {
            usd: Usd::from_nanos(u64::MAX),
            tokens: u64::MAX,
            calls: 1,
            time,
        })
    }

    /// The account of a scope that a call belongs to.
    #[must_use]
    pub fn account(&self, scope: &Scope, context: &CallContext) -> Account {
        lock(&self.books.ledger).account(scope, context)
    }

    /// Reserves a call's worst case. If only what others have reserved is in the way, waits until they have settled.
    async fn reserve(&self, request: &ChatRequest, context: &CallContext) -> Result<Held, ProviderError> {
        let worst = self.worst(request, context)?;
        let mut held = self.reserve_here(request, context, worst).await?;
        if let Some(till) = &self.books.till {
            let number = self.books.numbers.fetch_add(1, Ordering::Relaxed);
            // Known before it is asked for: whoever goes away meanwhile leaves nothing behind.
            held.till = Some((Arc::clone(till), number));
            if let Err(Refusal { scope, message }) = till.reserve(number, context, worst).await {
                return Err(refused(scope, message));
            }
        }
        held.sent();
        Ok(held)
    }

    /// Reserves in this process.
    async fn reserve_here(
        &self,
        request: &ChatRequest,
        context: &CallContext,
        worst: Amount,
    ) -> Result<Held, ProviderError> {
        loop {
            let mut settled = pin!(self.books.settled.notified());
            // Whoever settles from now on is heard.
            settled.as_mut().enable();
            let exceeded = match lock(&self.books.ledger).reserve(context, worst) {
                Ok(reservation) => return Ok(self.hold(request, worst, reservation)),
                Err(exceeded) => exceeded,
            };
            if !exceeded.may_fit_later() {
                return Err(refused(exceeded.scope.as_str(), exceeded.to_string()));
            }
            settled.await;
        }
    }

    fn hold(&self, request: &ChatRequest, worst: Amount, reservation: Reservation) -> Held {
        let price = self.prices.get(&*request.model).copied();
        let books = self.books.clone();
        Held { books, price, worst, till: None, reservation: Some(reservation), began: None }
    }

    /// The most a call can take.
    fn worst(&self, request: &ChatRequest, context: &CallContext) -> Result<Amount, ProviderError> {
        let ledger = lock(&self.books.ledger);
        let shared = self.books.till.as_ref().map(|till| till.caps()).unwrap_or_default();
        let any = |of: fn(&Caps) -> bool| of(&shared) || ledger.caps().iter().any(|(_, caps)| of(caps));
        let unknown = |what: String| refused("unknown", what);
        let price = self.prices.get(&*request.model);
        if price.is_none() && any(|caps| caps.usd.is_some()) {
            let model = &request.model;
            return Err(unknown(format!("money is capped, and nobody says what model {model} costs: give it a price")));
        }
        if context.timeout.is_none() && any(|caps| caps.time.is_some()) {
            return Err(unknown("time is capped, and the call has no timeout: give it one".to_owned()));
        }
        let cap = match request.max_output_tokens {
            None if any(|caps| caps.usd.is_some() || caps.tokens.is_some()) => {
                return Err(unknown("a budget needs a cap on the output: set max_output_tokens".to_owned()));
            }
            cap => worst::output_tokens(request, cap.unwrap_or_default()),
        };
        worst::of(worst::worst_input_tokens(request), cap, context.timeout.unwrap_or_default(), price)
            .ok_or_else(|| unknown("it may take too much to count".to_owned()))
    }
}

fn refused(scope: &str, message: String) -> ProviderError {
    let mut error = ProviderError::new(ErrorKind::BudgetExceeded, message);
    error.details.code = Some(scope.to_owned());
    error
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ChatProvider for Budgeted {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn stream(&self, request: ChatRequest, context: CallContext) -> Result<ChatStream, ProviderError> {
        let held = self.reserve(&request, &context).await?;
        match self.inner.stream(request, context).await {
            Ok(events) => Ok(ChatStream::new(Watched::new(events, held))),
            Err(error) => {
                held.failed(&error);
                Err(error)
            }
        }
    }

    async fn chat(&self, request: ChatRequest, context: CallContext) -> Result<ChatResponse, ProviderError> {
        let held = self.reserve(&request, &context).await?;
        match self.inner.chat(request, context).await {
            Ok(mut response) => {
                response.usage = held.believed(response.usage);
                held.answered(response.usage);
                Ok(response)
            }
            Err(error) => {
                held.failed(&error);
                Err(error)
            }
        }
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        self.inner.models().await
    }
}

fn lock<T>(books: &Mutex<T>) -> MutexGuard<'_, T> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A reservation with its call. Dropped after the call was sent, it books the worst case: nobody knows what it took.
struct Held {
    books: Books,
    price: Option<Price>,
    worst: Amount,
    till: Option<(Arc<dyn Till>, u64)>,
    reservation: Option<Reservation>,
    /// When it was sent, if it was.
    began: Option<Instant>,
}

impl Held {
    fn sent(&mut self) {
        self.began = Some(Instant::now());
    }

    /// The time since it was sent; no longer than it was allowed to take.
    fn took(&self) -> Duration {
        let most = if self.worst.time.is_zero() { Duration::MAX } else { self.worst.time };
        self.began.map_or(Duration::ZERO, |began| began.elapsed().min(most))
    }

    /// What is believed of what an answer says it took. A cost of zero is what those say who know no price: of a model
    /// that has one, the tokens say what it cost.
    fn believed(&self, usage: Usage) -> Usage {
        let stated = usage.cost.filter(|cost| *cost > Usd::default());
        let cost = stated.or_else(|| self.price.map_or(usage.cost, |price| price.of(&usage)));
        Usage { cost, ..usage }
    }

    /// Books what an answer says it took; the worst case of what it does not say.
    fn answered(mut self, usage: Usage) {
        let tokens = match (usage.input_tokens, usage.output_tokens) {
            (Some(input), Some(output)) => input.saturating_add(output),
            _ => self.worst.tokens,
        };
        self.settle(Amount { usd: usage.cost.unwrap_or(self.worst.usd), tokens, calls: 1, time: self.took() });
    }

    /// Books nothing but the call, unless the model may have run.
    fn failed(mut self, error: &ProviderError) {
        let time = self.took();
        let took = if error.details.may_have_executed { self.worst } else { Amount { calls: 1, ..Amount::default() } };
        self.settle(Amount { time, ..took });
    }

    fn settle(&mut self, took: Amount) {
        if let Some(reservation) = self.reservation.take() {
            lock(&self.books.ledger).settle(reservation, took);
            self.books.settled.notify_waiters();
        }
        if let Some((till, number)) = self.till.take() {
            till.settle(number, took);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let time = self.took();
        self.settle(if self.began.is_some() { Amount { time, ..self.worst } } else { Amount::default() });
    }
}

/// A stream that settles at its end, or when nobody reads on.
struct Watched {
    events: ChatStream,
    held: Option<Held>,
    usage: Usage,
    /// A part of the answer came.
    began: bool,
    /// The model has said all it will say.
    finished: bool,
}

impl Watched {
    fn new(events: ChatStream, held: Held) -> Self {
        Self { events, held: Some(held), usage: Usage::default(), began: false, finished: false }
    }

    fn hear(&mut self, event: &mut ChatEvent) {
        match event {
            ChatEvent::Finished(_) => self.finished = true,
            ChatEvent::Started(_) => {}
            ChatEvent::Usage(usage) => {
                if let Some(held) = &self.held {
                    *usage = held.believed(*usage);
                }
                self.usage = *usage;
                self.began = true;
            }
            _ => self.began = true,
        }
    }

    /// Books what it took. What was said before the model was done is a figure on the way, whoever ends it there.
    fn settle(&mut self, error: Option<&ProviderError>) {
        let Some(held) = self.held.take() else { return };
        match error {
            _ if self.finished => held.answered(self.usage),
            Some(error) if !self.began => held.failed(error),
            // As if it had been dropped: nobody knows what it took.
            _ => drop(held),
        }
    }
}

impl Stream for Watched {
    type Item = Result<ChatEvent, ProviderError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut polled = Pin::new(&mut self.events).poll_next(cx);
        match &mut polled {
            Poll::Ready(Some(Ok(event))) => self.hear(event),
            Poll::Ready(Some(Err(error))) => self.settle(Some(error)),
            Poll::Ready(None) => self.settle(None),
            Poll::Pending => {}
        }
        polled
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.settle(None);
    }
}
