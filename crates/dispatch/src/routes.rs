//! Several keys as one provider: each model has its keys, in the order in which they are asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bellwether_core::{
    Call, CallContext, ChatProvider, ChatRequest, ChatResponse, ChatStream, ErrorKind, Fact, Observer, ProviderError,
};

use crate::course::Patience;
use crate::dispatch::Dispatch;
use crate::estimate;

/// Several keys as one provider: each model has its keys, in the order in which they are asked.
///
/// It stands above the queues, so that whoever waits on a key that is parked or keeps failing moves on at once. A call
/// goes on to the next key when
///
/// - the key is parked: refused, or its account is dry; or another call finds out at the moment whether it still is;
/// - the key is left alone by its [`Guard`](crate::Guard), or everybody stays away from it for more than ten seconds;
/// - its queue is full, or the call came to nothing there for a reason that may not hold elsewhere.
///
/// All of that while it waits as well as when it comes. It stays where it is for a request that is wrong in itself, past
/// its deadline, and after a part of an answer was handed on. With the last key it is as patient as a [`Dispatch`] alone;
/// if that one is parked, it goes back to the first that is not, and waits there. Each step is told as
/// [`Fact::CallRerouted`].
///
/// ```
/// # use bellwether_dispatch::{CallContext, ChatProvider, ChatRequest, ChatResponse, ChatStream, Dispatch, ErrorKind};
/// # use bellwether_dispatch::{ProviderError, Routes};
/// # use std::sync::Arc;
/// # #[derive(Debug)]
/// # struct Account(bool);
/// # #[async_trait::async_trait]
/// # impl ChatProvider for Account {
/// #     fn name(&self) -> &str { if self.0 { "full" } else { "dry" } }
/// #     async fn stream(&self, request: ChatRequest, _: CallContext) -> Result<ChatStream, ProviderError> {
/// #         match self.0 {
/// #             true => Ok(ChatStream::ready(ChatResponse::text(format!("I am {}", request.model)))),
/// #             false => Err(ProviderError::new(ErrorKind::QuotaExhausted, "no credit")),
/// #         }
/// #     }
/// #     async fn models(&self) -> Result<Vec<String>, ProviderError> { Ok(Vec::new()) }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), ProviderError> {
/// let main = Arc::new(Dispatch::builder(Arc::new(Account(false))).build());
/// let backup = Arc::new(Dispatch::builder(Arc::new(Account(true))).build());
/// let routes = Routes::new("team", Arc::new(())).route("molly", [(main, "molly"), (backup, "dolly")]);
/// let answer = routes.chat(ChatRequest::new("molly", Vec::new()), CallContext::default()).await?;
/// assert_eq!(answer.text, "I am dolly");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Routes {
    name: Arc<str>,
    observer: Arc<dyn Observer>,
    models: BTreeMap<Arc<str>, Vec<Stop>>,
}

/// A key, and the model that it is asked about.
#[derive(Debug)]
struct Stop {
    dispatch: Arc<Dispatch>,
    model: Arc<str>,
}

/// How a call is sent on its way to one key.
struct Step<'a> {
    stop: &'a Stop,
    request: ChatRequest,
    context: CallContext,
    patience: Patience,
}

impl Routes {
    /// Knows no model yet; tells `observer` when a call goes on to another key.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, observer: Arc<dyn Observer>) -> Self {
        Self { name: name.into(), observer, models: BTreeMap::new() }
    }

    /// Asks these keys about `model`, in this order, each by its own name for it.
    #[must_use]
    pub fn route<M: Into<Arc<str>>>(
        mut self,
        model: impl Into<Arc<str>>,
        keys: impl IntoIterator<Item = (Arc<Dispatch>, M)>,
    ) -> Self {
        let stops = keys.into_iter().map(|(dispatch, model)| Stop { dispatch, model: model.into() });
        self.models.insert(model.into(), stops.collect());
        self
    }

    /// Asks one key after another, until one answers or nobody else can mend what is wrong.
    async fn ask<T>(
        &self,
        request: &ChatRequest,
        context: &CallContext,
        ask: impl AsyncFn(Step<'_>) -> Result<T, ProviderError>,
    ) -> Result<T, ProviderError> {
        let stops = self.models.get(&request.model).map(Vec::as_slice).unwrap_or_default();
        let step = |stop, patience| {
            let Stop { model, .. }: &Stop = stop;
            Step {
                stop,
                request: ChatRequest { model: Arc::clone(model), ..request.clone() },
                context: context.clone(),
                patience,
            }
        };
        // The first key to which it pays to come back, for it is only a matter of time.
        let mut waiting = None;
        for (n, stop) in stops.iter().enumerate() {
            let next = stops.get(n + 1);
            let last = next.is_none() && waiting.is_none();
            let patience = if last { Patience::Full } else { Patience::Brief };
            let error = match ask(step(stop, patience)).await {
                Err(error) if !last && goes_on(&error) => error,
                answer => return answer,
            };
            if is_matter_of_time(error.kind) {
                waiting.get_or_insert(stop);
            }
            match (next, waiting) {
                (Some(next), _) => self.rerouted(stop, next, request, context, error.kind),
                (None, Some(back)) => {
                    self.rerouted(stop, back, request, context, error.kind);
                    return ask(step(back, Patience::Full)).await;
                }
                (None, None) => return Err(error),
            }
        }
        let known: Vec<&str> = self.models.keys().map(|model| &**model).collect();
        let what = format!("no key is known for the model {:?}: known are {}", request.model, known.join(", "));
        Err(ProviderError::new(ErrorKind::NotFound, what))
    }

    fn rerouted(&self, from: &Stop, to: &Stop, request: &ChatRequest, context: &CallContext, kind: ErrorKind) {
        let provider = Arc::clone(from.dispatch.key_name());
        let (model, demand) = (Arc::clone(&from.model), estimate::demand(request));
        let call = Call { context: context.clone(), model, provider, demand };
        let to = Arc::clone(to.dispatch.key_name());
        self.observer.observe(&Fact::CallRerouted { call: Arc::new(call), to, kind });
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ChatProvider for Routes {
    fn name(&self) -> &str {
        &self.name
    }

    async fn stream(&self, request: ChatRequest, context: CallContext) -> Result<ChatStream, ProviderError> {
        let ask =
            async |step: Step<'_>| step.stop.dispatch.stream_with(step.request, step.context, step.patience).await;
        self.ask(&request, &context, ask).await
    }

    async fn chat(&self, request: ChatRequest, context: CallContext) -> Result<ChatResponse, ProviderError> {
        let ask = async |step: Step<'_>| step.stop.dispatch.chat_with(step.request, step.context, step.patience).await;
        self.ask(&request, &context, ask).await
    }

    /// The models that have a key.
    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        Ok(self.models.keys().map(|model| model.to_string()).collect())
    }
}

/// Whether another key may do better.
fn goes_on(error: &ProviderError) -> bool {
    let elsewhere = !matches!(
        error.kind,
        ErrorKind::BudgetExceeded
            | ErrorKind::Cancelled
            | ErrorKind::ContentFiltered
            | ErrorKind::ContextLength
            | ErrorKind::DeadlineExceeded
            | ErrorKind::InvalidRequest
    );
    elsewhere && !error.details.emitted_output
}

/// Whether the key will do again without anybody mending anything.
const fn is_matter_of_time(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Overloaded | ErrorKind::QueueFull | ErrorKind::RateLimited)
}
