//! A provider around another one that sends nothing its ledger does not cover.

use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use async_trait::async_trait;
use bellwether_core::{
    CallContext, ChatEvent, ChatProvider, ChatRequest, ChatResponse, ChatStream, ErrorKind, Price, ProviderError, Usage,
};
use futures_core::Stream;
use tokio::sync::Notify;

use crate::ledger::{Account, Amount, Ledger, Reservation, Scope};
use crate::worst;

/// A [`ChatProvider`] around another one that reserves each call's worst case before it is sent and settles it after.
///
/// A call that a cap does not cover waits for those under way, which usually take less than their worst case; if it would
/// not fit even then, it fails with [`ErrorKind::BudgetExceeded`] and is not sent. So does a call whose worst
/// case nobody knows: one without a cap on its output, or, where money is capped, one to a model without a price. What
/// may have been executed without saying what it took is booked in full.
#[derive(Debug)]
pub struct Budgeted {
    inner: Arc<dyn ChatProvider>,
    ledger: Arc<Mutex<Ledger>>,
    settled: Arc<Notify>,
    prices: BTreeMap<String, Price>,
}

impl Budgeted {
    /// Keeps the calls to `inner` within `ledger`.
    #[must_use]
    pub fn new(inner: Arc<dyn ChatProvider>, ledger: Ledger) -> Self {
        Self { inner, ledger: Arc::new(Mutex::new(ledger)), settled: Arc::default(), prices: BTreeMap::new() }
    }

    /// The same with the price of a model.
    #[must_use]
    pub fn price(mut self, model: impl Into<String>, price: Price) -> Self {
        self.prices.insert(model.into(), price);
        self
    }

    /// Keeps the calls to `inner` within the same ledger, as another provider of the same team.
    #[must_use]
    pub fn sharing(&self, inner: Arc<dyn ChatProvider>) -> Self {
        let (ledger, settled) = (Arc::clone(&self.ledger), Arc::clone(&self.settled));
        Self { inner, ledger, settled, prices: BTreeMap::new() }
    }

    /// Books what was spent before, such as by the same run in another process.
    pub fn book(&self, context: &CallContext, took: Amount) {
        lock(&self.ledger).book(context, took);
    }

    /// The account of a scope that a call belongs to.
    #[must_use]
    pub fn account(&self, scope: &Scope, context: &CallContext) -> Account {
        lock(&self.ledger).account(scope, context)
    }

    /// Reserves a call's worst case. If only what others have reserved is in the way, waits until they have settled.
    async fn reserve(&self, request: &ChatRequest, context: &CallContext) -> Result<Held, ProviderError> {
        let worst = self.worst(request)?;
        loop {
            let mut settled = pin!(self.settled.notified());
            // Whoever settles from now on is heard.
            settled.as_mut().enable();
            let exceeded = match lock(&self.ledger).reserve(context, worst) {
                Ok(reservation) => return Ok(self.hold(request, worst, reservation)),
                Err(exceeded) => exceeded,
            };
            if !exceeded.may_fit_later() {
                return Err(refused(exceeded.to_string()));
            }
            settled.await;
        }
    }

    fn hold(&self, request: &ChatRequest, worst: Amount, reservation: Reservation) -> Held {
        let price = self.prices.get(&*request.model).copied();
        let (ledger, settled) = (Arc::clone(&self.ledger), Arc::clone(&self.settled));
        Held { ledger, settled, price, worst, reservation: Some(reservation) }
    }

    /// The most a call can take.
    fn worst(&self, request: &ChatRequest) -> Result<Amount, ProviderError> {
        let ledger = lock(&self.ledger);
        let price = self.prices.get(&*request.model);
        if price.is_none() && ledger.caps().iter().any(|(_, caps)| caps.usd.is_some()) {
            let model = &request.model;
            return Err(refused(format!("money is capped, and nobody says what model {model} costs: give it a price")));
        }
        let bounded = ledger.caps().iter().any(|(_, caps)| caps.usd.is_some() || caps.tokens.is_some());
        let cap = match request.max_output_tokens {
            None if bounded => {
                return Err(refused("a budget needs a cap on the output: set max_output_tokens".to_owned()));
            }
            cap => cap.unwrap_or_default(),
        };
        worst::of(request, u64::from(cap), price).ok_or_else(|| refused("it may take too much to count".to_owned()))
    }
}

fn refused(message: String) -> ProviderError {
    ProviderError::new(ErrorKind::BudgetExceeded, message)
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
            Ok(events) => Ok(ChatStream::new(Watched { events, held: Some(held), usage: Usage::default() })),
            Err(error) => {
                held.failed(&error);
                Err(error)
            }
        }
    }

    async fn chat(&self, request: ChatRequest, context: CallContext) -> Result<ChatResponse, ProviderError> {
        let held = self.reserve(&request, &context).await?;
        let answer = self.inner.chat(request, context).await;
        match &answer {
            Ok(response) => held.answered(response.usage),
            Err(error) => held.failed(error),
        }
        answer
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        self.inner.models().await
    }
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A reservation with its call. Dropped, it books the worst case: nobody knows what the call took.
struct Held {
    ledger: Arc<Mutex<Ledger>>,
    settled: Arc<Notify>,
    price: Option<Price>,
    worst: Amount,
    reservation: Option<Reservation>,
}

impl Held {
    /// Books what an answer says it took; the worst case of what it does not say.
    fn answered(mut self, usage: Usage) {
        let tokens = match (usage.input_tokens, usage.output_tokens) {
            (Some(input), Some(output)) => input.saturating_add(output),
            _ => self.worst.tokens,
        };
        let cost = usage.cost.or_else(|| self.price.and_then(|price| price.of(&usage)));
        self.settle(Amount { usd: cost.unwrap_or(self.worst.usd), tokens, calls: 1 });
    }

    /// Books nothing but the call, unless the model may have run.
    fn failed(mut self, error: &ProviderError) {
        let took = if error.details.may_have_executed { self.worst } else { Amount { calls: 1, ..Amount::default() } };
        self.settle(took);
    }

    fn settle(&mut self, took: Amount) {
        if let Some(reservation) = self.reservation.take() {
            lock(&self.ledger).settle(reservation, took);
            self.settled.notify_waiters();
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.settle(self.worst);
    }
}

/// A stream that settles at its end.
struct Watched {
    events: ChatStream,
    held: Option<Held>,
    usage: Usage,
}

impl Stream for Watched {
    type Item = Result<ChatEvent, ProviderError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = Pin::new(&mut self.events).poll_next(cx);
        match &polled {
            Poll::Ready(Some(Ok(ChatEvent::Usage(usage)))) => self.usage = *usage,
            Poll::Ready(Some(Err(error))) => {
                if let Some(held) = self.held.take() {
                    held.failed(error);
                }
            }
            Poll::Ready(None) => {
                if let Some(held) = self.held.take() {
                    held.answered(self.usage);
                }
            }
            _ => {}
        }
        polled
    }
}
