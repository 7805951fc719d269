//! Another provider where one fails.

use std::sync::Arc;

use async_trait::async_trait;
use bellwether_core::chat::ChatEvent;
use bellwether_core::{CallContext, ChatProvider, ChatRequest, ChatResponse, ChatStream, ErrorKind, ProviderError};
use futures_util::stream::{self, StreamExt};

/// Asks one provider after another until one answers.
///
/// It goes on only where another provider may do better: not with a request that is wrong in itself, not past the
/// deadline, and never after a part of an answer was handed on, which would say things twice. Each provider is asked
/// once; whoever wants retries wraps each in a retry layer first.
///
/// ```
/// # #[cfg(feature = "test-util")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
///
/// use bellwether_provider::{CallContext, ChatProvider, ChatRequest, ChatResponse, ErrorKind, Fallback, ProviderError, Scripted};
///
/// let busy = Scripted::answering(|_, _| Err(ProviderError::new(ErrorKind::Overloaded, "is overloaded")));
/// let free = Scripted::answering(|request, _| Ok(ChatResponse::text(format!("I am {}", request.model))));
/// let both = Fallback::new(Arc::new(busy)).or_model(Arc::new(free), "dolly");
/// let answer = both.chat(ChatRequest::new("molly", Vec::new()), CallContext::default()).await?;
/// assert_eq!(answer.text, "I am dolly");
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "test-util"))]
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct Fallback {
    name: String,
    first: Arc<dyn ChatProvider>,
    others: Vec<Other>,
    on: fn(ErrorKind) -> bool,
}

/// A provider to ask next, and the model it is asked about, if it is another one.
#[derive(Debug)]
struct Other {
    provider: Arc<dyn ChatProvider>,
    model: Option<Arc<str>>,
}

impl Fallback {
    /// Asks `first` and, so far, nobody else.
    #[must_use]
    pub fn new(first: Arc<dyn ChatProvider>) -> Self {
        Self { name: first.name().to_owned(), first, others: Vec::new(), on: elsewhere_it_may_work }
    }

    /// And then `next`, about the same model.
    #[must_use]
    pub fn or(mut self, next: Arc<dyn ChatProvider>) -> Self {
        self.others.push(Other { provider: next, model: None });
        self
    }

    /// And then `next`, about its own `model`.
    #[must_use]
    pub fn or_model(mut self, next: Arc<dyn ChatProvider>, model: impl Into<Arc<str>>) -> Self {
        self.others.push(Other { provider: next, model: Some(model.into()) });
        self
    }

    /// Goes on after these kinds of failure, and after no other.
    #[must_use]
    pub fn on(self, kinds: fn(ErrorKind) -> bool) -> Self {
        Self { on: kinds, ..self }
    }

    /// The same under another name; it has the first provider's otherwise.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// Whom to ask for what, in order.
    fn turns(&self, request: &ChatRequest) -> impl Iterator<Item = (&Arc<dyn ChatProvider>, ChatRequest)> {
        let others = self.others.iter().map(|other| (&other.provider, other.model.as_ref()));
        std::iter::once((&self.first, None)).chain(others).map(|(provider, model)| {
            let model = model.unwrap_or(&request.model);
            (provider, ChatRequest { model: Arc::clone(model), ..request.clone() })
        })
    }

    fn goes_on(&self, error: &ProviderError) -> bool {
        !error.details.emitted_output && (self.on)(error.kind)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ChatProvider for Fallback {
    fn name(&self) -> &str {
        &self.name
    }

    async fn stream(&self, request: ChatRequest, context: CallContext) -> Result<ChatStream, ProviderError> {
        let mut failed = Failed::default();
        for (provider, request) in self.turns(&request) {
            let begun = match provider.stream(request, context.clone()).await {
                Ok(stream) => begun(stream).await,
                Err(error) => Err(error),
            };
            match begun {
                Ok(stream) => return Ok(stream),
                Err(error) if self.goes_on(&error) => failed.add(provider.name(), error),
                Err(error) => return Err(failed.and(error)),
            }
        }
        Err(failed.into_error())
    }

    async fn chat(&self, request: ChatRequest, context: CallContext) -> Result<ChatResponse, ProviderError> {
        let mut failed = Failed::default();
        for (provider, request) in self.turns(&request) {
            match provider.chat(request, context.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) if self.goes_on(&error) => failed.add(provider.name(), error),
                Err(error) => return Err(failed.and(error)),
            }
        }
        Err(failed.into_error())
    }

    /// The models of the first provider that lists any.
    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        let mut failed = Failed::default();
        for provider in std::iter::once(&self.first).chain(self.others.iter().map(|other| &other.provider)) {
            match provider.models().await {
                Ok(models) => return Ok(models),
                Err(error) if self.goes_on(&error) => failed.add(provider.name(), error),
                Err(error) => return Err(failed.and(error)),
            }
        }
        Err(failed.into_error())
    }
}

/// The failures so far. The last one is told; whether any of the calls may have been billed is not forgotten.
#[derive(Default)]
struct Failed {
    names: Vec<String>,
    last: Option<ProviderError>,
    billed: bool,
}

impl Failed {
    fn add(&mut self, name: &str, error: ProviderError) {
        self.billed |= error.details.may_have_executed;
        self.names.push(name.to_owned());
        self.last = Some(error);
    }

    /// `error`, which nobody else can mend, after the failures so far.
    fn and(self, mut error: ProviderError) -> ProviderError {
        error.details.may_have_executed |= self.billed;
        if !self.names.is_empty() {
            error.message.push_str(&format!(" (after {} failed)", self.names.join(", ")));
        }
        error
    }

    fn into_error(mut self) -> ProviderError {
        let last = self.last.take().expect("at least the first provider was asked");
        self.names.pop();
        self.and(last)
    }
}

/// The stream, read up to the first event that says something; an error before that is the call's.
async fn begun(mut stream: ChatStream) -> Result<ChatStream, ProviderError> {
    let mut head = Vec::new();
    while let Some(event) = stream.next().await {
        let event = event?;
        let waits = matches!(event, ChatEvent::Started(_) | ChatEvent::Usage(_));
        head.push(Ok(event));
        if !waits {
            return Ok(ChatStream::new(stream::iter(head).chain(stream)));
        }
    }
    Err(ProviderError::truncated(false))
}

/// Whether another provider may do better. One that has another window, filter or taste is another request's matter.
const fn elsewhere_it_may_work(kind: ErrorKind) -> bool {
    !matches!(
        kind,
        ErrorKind::Cancelled
            | ErrorKind::ContentFiltered
            | ErrorKind::ContextLength
            | ErrorKind::DeadlineExceeded
            | ErrorKind::InvalidRequest
            | ErrorKind::QueueFull
    )
}
