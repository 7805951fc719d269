//! The answer as it arrives, and as a whole.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use serde::{Deserialize, Serialize};

use crate::error::ProviderError;
use crate::permit::RateLimits;
use crate::usage::Usage;

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "an answer starts once; a box would be in every reader's way")]
#[non_exhaustive]
pub enum ChatEvent {
    /// The model has said all it will say. Usage may still follow.
    Finished(FinishReason),
    /// A piece of the model's reasoning.
    Reasoning(String),
    /// A piece of a refusal.
    Refusal(String),
    /// What came before is void: the answer begins anew. Only a caller whose context says `may_restart` gets this.
    Restarted,
    /// The provider has begun to answer.
    Started(Started),
    /// A piece of the text.
    Text(String),
    /// A piece of a call that the model asks for.
    ToolCall {
        /// Which call of this answer, counted from 0.
        index: usize,
        /// Its id, in its first piece.
        id: Option<String>,
        /// The function's name, in its first piece.
        name: Option<String>,
        /// The next piece of its arguments.
        arguments: String,
    },
    /// What the call took so far; a later one replaces an earlier one.
    Usage(Usage),
}

/// What the head of an answer says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Started {
    /// The provider's id of the answer.
    pub id: Option<String>,
    /// The model that answers, by the provider's word.
    pub model: Option<String>,
    /// The provider's id of the request, for its support.
    pub request_id: Option<String>,
    /// What the provider says about its limits.
    pub limits: RateLimits,
    /// How long the provider says it took, if it says so in the head of its answer.
    pub latency: Option<std::time::Duration>,
    /// How often the call was sent before this answer came; filled in by a retry layer.
    pub retries: u32,
}

/// Why the model stopped.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The provider's filter withheld the rest.
    ContentFilter,
    /// The output cap was reached; the answer is cut off.
    Length,
    /// A reason of the provider's own.
    Other(String),
    /// It was done.
    Stop,
    /// It asks for tools to be called.
    ToolCalls,
}

/// A call that the model asks for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ToolCall {
    /// The id its result has to name.
    pub id: String,
    /// The function's name.
    pub name: String,
    /// Its arguments: JSON as the model wrote it, which may be broken.
    pub arguments: String,
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatResponse {
    /// What the head of the answer said.
    pub head: Started,
    /// The text.
    pub text: String,
    /// The model's reasoning, if the provider shows it.
    pub reasoning: String,
    /// Why the model refused, if it did.
    pub refusal: Option<String>,
    /// The calls it asks for.
    pub tool_calls: Vec<ToolCall>,
    /// Why it stopped.
    pub finish: FinishReason,
    /// What it took.
    pub usage: Usage,
}

impl ChatResponse {
    /// A plain text that ended by itself.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            head: Started::default(),
            text: text.into(),
            reasoning: String::new(),
            refusal: None,
            tool_calls: Vec::new(),
            finish: FinishReason::Stop,
            usage: Usage::default(),
        }
    }

    /// The events whose fold is this answer.
    fn into_events(self) -> VecDeque<ChatEvent> {
        let mut events = VecDeque::from([ChatEvent::Started(self.head)]);
        if !self.reasoning.is_empty() {
            events.push_back(ChatEvent::Reasoning(self.reasoning));
        }
        if !self.text.is_empty() {
            events.push_back(ChatEvent::Text(self.text));
        }
        events.extend(self.refusal.map(ChatEvent::Refusal));
        events.extend(self.tool_calls.into_iter().enumerate().map(|(index, call)| ChatEvent::ToolCall {
            index,
            id: Some(call.id),
            name: Some(call.name),
            arguments: call.arguments,
        }));
        events.push_back(ChatEvent::Finished(self.finish));
        if !self.usage.is_absent() {
            events.push_back(ChatEvent::Usage(self.usage));
        }
        events
    }
}

/// Puts an answer together from its events.
#[derive(Clone, Debug, Default)]
pub struct Fold {
    head: Started,
    text: String,
    reasoning: String,
    refusal: Option<String>,
    tool_calls: Vec<ToolCall>,
    finish: Option<FinishReason>,
    usage: Usage,
}

impl Fold {
    /// Adds the next event.
    pub fn add(&mut self, event: ChatEvent) {
        match event {
            ChatEvent::Finished(reason) => self.finish = Some(reason),
            ChatEvent::Reasoning(piece) => self.reasoning.push_str(&piece),
            ChatEvent::Refusal(piece) => self.refusal.get_or_insert_default().push_str(&piece),
            ChatEvent::Restarted => *self = Self::default(),
            ChatEvent::Started(head) => self.head = head,
            ChatEvent::Text(piece) => self.text.push_str(&piece),
            ChatEvent::ToolCall { index, id, name, arguments } => {
                // An index far ahead would make room for calls that never come.
                let index = index.min(self.tool_calls.len());
                if index == self.tool_calls.len() {
                    self.tool_calls.push(ToolCall::default());
                }
                let call = &mut self.tool_calls[index];
                call.id.push_str(&id.unwrap_or_default());
                call.name.push_str(&name.unwrap_or_default());
                call.arguments.push_str(&arguments);
            }
            ChatEvent::Usage(usage) => self.usage = usage,
        }
    }

    /// What was used so far, as far as the provider said.
    #[must_use]
    pub const fn usage(&self) -> Usage {
        self.usage
    }

    /// The whole answer.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Truncated`](crate::ErrorKind::Truncated) if the model never finished.
    pub fn finish(self) -> Result<ChatResponse, ProviderError> {
        let Some(finish) = self.finish else {
            let emitted = !self.text.is_empty() || !self.tool_calls.is_empty();
            return Err(ProviderError::truncated(emitted));
        };
        Ok(ChatResponse {
            head: self.head,
            text: self.text,
            reasoning: self.reasoning,
            refusal: self.refusal,
            tool_calls: self.tool_calls,
            finish,
            usage: self.usage,
        })
    }
}

/// An answer as it arrives. Dropping it cancels the call.
pub struct ChatStream(Pin<Box<dyn Stream<Item = Result<ChatEvent, ProviderError>> + Send>>);

impl ChatStream {
    /// Wraps a stream of events. After an error it must end.
    #[must_use]
    pub fn new(events: impl Stream<Item = Result<ChatEvent, ProviderError>> + Send + 'static) -> Self {
        Self(Box::pin(events))
    }

    /// An answer that is there already, for providers that cannot stream.
    #[must_use]
    pub fn ready(response: ChatResponse) -> Self {
        Self::new(Ready(response.into_events()))
    }

    /// The next event; `None` at the end.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: the next call continues where this one was dropped.
    pub async fn next(&mut self) -> Option<Result<ChatEvent, ProviderError>> {
        std::future::poll_fn(|cx| self.0.as_mut().poll_next(cx)).await
    }

    /// Waits for the end and puts the whole answer together.
    ///
    /// # Errors
    ///
    /// The stream's error, or [`ErrorKind::Truncated`](crate::ErrorKind::Truncated) if it ended before the model did.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the call; what arrived so far is lost and may be billed.
    pub async fn fold(mut self) -> Result<ChatResponse, ProviderError> {
        let mut fold = Fold::default();
        while let Some(event) = self.next().await {
            fold.add(event?);
        }
        fold.finish()
    }
}

impl Stream for ChatStream {
    type Item = Result<ChatEvent, ProviderError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for ChatStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChatStream")
    }
}

struct Ready(VecDeque<ChatEvent>);

impl Stream for Ready {
    type Item = Result<ChatEvent, ProviderError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}
