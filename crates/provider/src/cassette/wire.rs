//! One recorded call as JSON.

use std::time::Duration;

use bellwether_core::chat::{ChatEvent, FinishReason, Started};
use bellwether_core::error::Phase;
use bellwether_core::{ErrorKind, ProviderError, Retry, Usage};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::scrub::Scrub;

/// A call: what was asked, what came, and how it failed, if it did.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Take {
    pub(super) request: Value,
    events: Vec<Event>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Event {
    Finished(FinishReason),
    Reasoning(String),
    Refusal(String),
    Started { id: Option<String>, model: Option<String>, request_id: Option<String> },
    Text(String),
    ToolCall { index: usize, id: Option<String>, name: Option<String>, arguments: String },
    Usage(Usage),
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
struct Failure {
    kind: String,
    /// `now`, `backoff`, `never`, or a number of milliseconds.
    retry: Value,
    message: String,
    status: Option<u16>,
    code: Option<String>,
    request_id: Option<String>,
    body: String,
    emitted_output: bool,
    may_have_executed: bool,
}

impl Take {
    pub(super) fn new(request: Value, events: &[ChatEvent], error: Option<&ProviderError>) -> Self {
        Self { request, events: events.iter().filter_map(Event::of).collect(), error: error.map(Failure::of) }
    }

    /// The same without secrets, in names, in values, and in what is named like one.
    pub(super) fn scrubbed(self, scrub: &Scrub) -> Self {
        let clean = serde_json::to_value(&self).map(|value| scrubbed(&value, scrub));
        // Scrubbing keeps the shape, so the way back is open.
        clean.and_then(serde_json::from_value).unwrap_or(Self { events: Vec::new(), error: None, request: Value::Null })
    }

    /// What came, and how it failed.
    pub(super) fn play(self) -> (Vec<ChatEvent>, Option<ProviderError>) {
        (self.events.into_iter().map(Event::play).collect(), self.error.map(Failure::play))
    }
}

/// `value` without secrets. What stands under a name such as `api_key` is one, whatever it is.
pub(super) fn scrubbed(value: &Value, scrub: &Scrub) -> Value {
    match value {
        Value::String(text) => scrub.apply(text).into(),
        Value::Array(values) => values.iter().map(|value| scrubbed(value, scrub)).collect(),
        Value::Object(fields) => {
            let secret = |name: &str| {
                let name = name.to_ascii_lowercase().replace('-', "_");
                ["api_key", "apikey", "authorization", "secret", "x_api_key"].contains(&name.as_str())
            };
            let field = |(name, value): (&String, &Value)| match value {
                Value::String(_) if secret(name) => (name.clone(), "[key]".into()),
                value => (scrub.apply(name), scrubbed(value, scrub)),
            };
            Value::Object(fields.iter().map(field).collect())
        }
        other => other.clone(),
    }
}

impl Event {
    fn of(event: &ChatEvent) -> Option<Self> {
        Some(match event.clone() {
            ChatEvent::Finished(reason) => Self::Finished(reason),
            ChatEvent::Reasoning(piece) => Self::Reasoning(piece),
            ChatEvent::Refusal(piece) => Self::Refusal(piece),
            ChatEvent::Started(Started { id, model, request_id, .. }) => Self::Started { id, model, request_id },
            ChatEvent::Text(piece) => Self::Text(piece),
            ChatEvent::ToolCall { index, id, name, arguments } => Self::ToolCall { index, id, name, arguments },
            ChatEvent::Usage(usage) => Self::Usage(usage),
            _ => return None,
        })
    }

    fn play(self) -> ChatEvent {
        match self {
            Self::Finished(reason) => ChatEvent::Finished(reason),
            Self::Reasoning(piece) => ChatEvent::Reasoning(piece),
            Self::Refusal(piece) => ChatEvent::Refusal(piece),
            Self::Started { id, model, request_id } => {
                ChatEvent::Started(Started { id, model, request_id, ..Started::default() })
            }
            Self::Text(piece) => ChatEvent::Text(piece),
            Self::ToolCall { index, id, name, arguments } => ChatEvent::ToolCall { index, id, name, arguments },
            Self::Usage(usage) => ChatEvent::Usage(usage),
        }
    }
}

impl Failure {
    fn of(error: &ProviderError) -> Self {
        let details = &error.details;
        Self {
            kind: error.kind.as_str().to_owned(),
            retry: match error.retry {
                // Half a millisecond is no reason to come back at once.
                Retry::After(wait) => u64::try_from(wait.as_millis().max(1)).unwrap_or(u64::MAX).into(),
                Retry::Backoff => "backoff".into(),
                Retry::Never => "never".into(),
                Retry::Now => "now".into(),
            },
            message: error.message.clone(),
            status: details.status,
            code: details.code.clone(),
            request_id: details.request_id.clone(),
            body: details.body.clone(),
            emitted_output: details.emitted_output,
            may_have_executed: details.may_have_executed,
        }
    }

    fn play(self) -> ProviderError {
        let kind = KINDS.into_iter().find(|kind| kind.as_str() == self.kind).unwrap_or(ErrorKind::Upstream);
        let retry = match &self.retry {
            Value::Number(millis) => Retry::After(Duration::from_millis(millis.as_u64().unwrap_or_default())),
            Value::String(word) if word == "backoff" => Retry::Backoff,
            Value::String(word) if word == "now" => Retry::Now,
            _ => Retry::Never,
        };
        let mut error = ProviderError::new(kind, self.message).with_retry(retry);
        error.details.status = self.status;
        error.details.code = self.code;
        error.details.request_id = self.request_id;
        error.details.body = self.body;
        error.details.emitted_output = self.emitted_output;
        error.details.may_have_executed = self.may_have_executed;
        error
    }
}

const KINDS: [ErrorKind; 21] = [
    ErrorKind::Auth,
    ErrorKind::BudgetExceeded,
    ErrorKind::Cancelled,
    ErrorKind::Connect,
    ErrorKind::ContentFiltered,
    ErrorKind::ContextLength,
    ErrorKind::DeadlineExceeded,
    ErrorKind::Decode,
    ErrorKind::InvalidRequest,
    ErrorKind::NotFound,
    ErrorKind::Overloaded,
    ErrorKind::PermissionDenied,
    ErrorKind::QueueFull,
    ErrorKind::QuotaExhausted,
    ErrorKind::RateLimited,
    ErrorKind::Timeout(Phase::Connect),
    ErrorKind::Timeout(Phase::FirstToken),
    ErrorKind::Timeout(Phase::Idle),
    ErrorKind::Timeout(Phase::Total),
    ErrorKind::Truncated,
    ErrorKind::Upstream,
];
