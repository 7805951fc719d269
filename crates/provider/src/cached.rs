//! The same question is paid for once.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bellwether_core::chat::{FinishReason, Fold, Started};
use bellwether_core::{CallContext, ChatProvider, ChatRequest, ChatResponse, ChatStream, ProviderError, Usage, Usd};
use futures_util::stream;
use moka::sync::Cache;

use crate::canonical;

/// Remembers whole answers and gives them again to exactly the same question.
///
/// Two requests are the same if their canonical JSON is, model, sampling and extra fields included, and if the same
/// tenant asks. Only answers that ended by themselves are kept, never failures, refusals by a filter or answers that
/// were cut off. An answer out of the cache takes no tokens and costs nothing, and its usage says so; of limits it says
/// nothing. Equal questions that are asked at the same time are all asked. A cached answer makes a sampled model repeat itself; that is why it
/// has to be asked for.
///
/// ```
/// # #[cfg(feature = "test-util")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use bellwether_provider::{Cached, CallContext, ChatProvider, ChatRequest, Message, Scripted};
///
/// let model = Arc::new(Scripted::sequence(["once"]));
/// let cached = Cached::new(model.clone(), 1 << 20, Duration::from_secs(600));
/// let request = ChatRequest::new("m", vec![Message::user("How often?")]);
/// for _ in 0..2 {
///     assert_eq!(cached.chat(request.clone(), CallContext::default()).await?.text, "once");
/// }
/// assert_eq!(model.calls().len(), 1);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "test-util"))]
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct Cached {
    inner: Arc<dyn ChatProvider>,
    answers: Cache<String, Arc<ChatResponse>>,
}

impl Cached {
    /// Keeps at most `max_bytes` of questions and answers, each for `time_to_live`.
    #[must_use]
    pub fn new(inner: Arc<dyn ChatProvider>, max_bytes: u64, time_to_live: Duration) -> Self {
        let answers = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|question: &String, answer: &Arc<ChatResponse>| {
                u32::try_from(question.len() + size(answer)).unwrap_or(u32::MAX)
            })
            .time_to_live(time_to_live)
            .build();
        Self { inner, answers }
    }

    fn kept(&self, question: &str) -> Option<ChatResponse> {
        let answer = self.answers.get(question)?;
        let usage = Usage {
            input_tokens: Some(0),
            output_tokens: Some(0),
            cached_tokens: None,
            reasoning_tokens: None,
            cost: Some(Usd::default()),
        };
        let answer = (*answer).clone();
        // What was left of a limit then is not what is left now, and nothing took any time.
        let Started { id, model, request_id, .. } = answer.head;
        let head = Started { id, model, request_id, ..Started::default() };
        Some(ChatResponse { head, usage, ..answer })
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ChatProvider for Cached {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn stream(&self, request: ChatRequest, context: CallContext) -> Result<ChatStream, ProviderError> {
        let question = question(&request, &context);
        if let Some(answer) = self.kept(&question) {
            return Ok(ChatStream::ready(answer));
        }
        let stream = self.inner.stream(request, context).await?;
        let passing = Passing { stream, fold: Some(Fold::default()), question, answers: self.answers.clone() };
        Ok(ChatStream::new(stream::unfold(passing, |mut passing| async { Some((passing.next().await?, passing)) })))
    }

    async fn chat(&self, request: ChatRequest, context: CallContext) -> Result<ChatResponse, ProviderError> {
        let question = question(&request, &context);
        if let Some(answer) = self.kept(&question) {
            return Ok(answer);
        }
        let answer = self.inner.chat(request, context).await?;
        keep(&self.answers, question, &answer);
        Ok(answer)
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        self.inner.models().await
    }
}

/// A stream that is put together on its way, to be kept when it is complete.
struct Passing {
    stream: ChatStream,
    fold: Option<Fold>,
    question: String,
    answers: Cache<String, Arc<ChatResponse>>,
}

impl Passing {
    async fn next(&mut self) -> Option<Result<bellwether_core::ChatEvent, ProviderError>> {
        let event = self.stream.next().await;
        match &event {
            Some(Ok(event)) => {
                if let Some(fold) = &mut self.fold {
                    fold.add(event.clone());
                }
            }
            Some(Err(_)) => self.fold = None,
            None => {
                if let Some(Ok(answer)) = self.fold.take().map(Fold::finish) {
                    keep(&self.answers, std::mem::take(&mut self.question), &answer);
                }
            }
        }
        event
    }
}

fn keep(answers: &Cache<String, Arc<ChatResponse>>, question: String, answer: &ChatResponse) {
    if matches!(answer.finish, FinishReason::Stop | FinishReason::ToolCalls) && answer.refusal.is_none() {
        answers.insert(question, Arc::new(answer.clone()));
    }
}

/// What has to be equal. Another tenant's answers are nobody's business.
fn question(request: &ChatRequest, context: &CallContext) -> String {
    format!("{}\n{}", context.flow.tenant, canonical::request(request))
}

fn size(answer: &ChatResponse) -> usize {
    let calls: usize = answer.tool_calls.iter().map(|call| call.name.len() + call.arguments.len() + 64).sum();
    size_of::<ChatResponse>() + answer.text.len() + answer.reasoning.len() + calls
}
