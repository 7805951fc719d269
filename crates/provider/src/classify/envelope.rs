//! An error's body, in every shape on record.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::Value;

use crate::limits;
use crate::sse::SseDecoder;

/// An error as a provider words it, whichever shape it came in.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Envelope {
    pub(crate) message: String,
    pub(crate) code: Option<String>,
    pub(crate) kind: Option<String>,
    /// The HTTP status that the body names.
    pub(crate) status: Option<u16>,
    pub(crate) request_id: Option<String>,
    pub(crate) wait: Option<Duration>,
}

impl Envelope {
    /// The error in a body that is known to be one.
    pub(crate) fn of_failure(body: &[u8]) -> Self {
        let Some(value) = json_in(body) else { return Self::default() };
        Self::in_band(&value).unwrap_or_else(|| Self::read(first(&value)))
    }

    /// The error in a body or event that may as well be an answer.
    pub(crate) fn in_band(value: &Value) -> Option<Self> {
        let value = first(value);
        if let Some(error) = value.get("error").filter(|error| is_something(error)) {
            return Some(Self::within(value, error));
        }
        if value.get("type").and_then(Value::as_str) == Some("error") {
            return Some(Self::read(value));
        }
        let choices = value.get("choices").and_then(Value::as_array);
        if let Some(error) =
            choices.into_iter().flatten().find_map(|choice| choice.get("error").filter(|e| is_something(e)))
        {
            return Some(Self::within(value, error));
        }
        let speaks = |name: &str| value.get(name).is_some_and(is_something);
        let answers = ["choices", "usage", "data", "object"].into_iter().any(speaks);
        let complains = value.get("message").is_some_and(Value::is_string) || speaks("detail") || speaks("errors");
        (!answers && complains).then(|| Self::read(value))
    }

    /// An error that is nothing but a sentence.
    pub(crate) fn in_words(message: &str) -> Self {
        Self { message: message.to_owned(), wait: limits::from_body(&Value::Null, message), ..Self::default() }
    }

    /// `error`, with what only the value around it says.
    fn within(around: &Value, error: &Value) -> Self {
        let inner = Self::read(error);
        Self {
            code: inner.code.or_else(|| text(around.get("code"))),
            kind: inner.kind.or_else(|| text(around.get("type")).filter(|kind| kind != "error")),
            status: inner.status.or_else(|| status_in(around)),
            request_id: inner.request_id.or_else(|| text(around.get("request_id"))),
            wait: inner.wait.or_else(|| limits::from_body(around, "")),
            message: inner.message,
        }
    }

    fn read(error: &Value) -> Self {
        if let Value::String(message) = error {
            return Self {
                message: message.clone(),
                wait: limits::from_body(&Value::Null, message),
                ..Self::default()
            };
        }
        let message = ["message", "detail", "msg", "errors", "error"]
            .into_iter()
            .find_map(|name| error.get(name).filter(|value| is_something(value)))
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            .unwrap_or_default();
        Self {
            wait: limits::from_body(error, &message),
            code: text(error.get("code")),
            kind: text(error.get("type")).or_else(|| text(error.get("status"))),
            status: status_in(error),
            request_id: text(error.get("request_id")),
            message,
        }
    }
}

/// The JSON of an error's body, also when it is wrapped in an event.
fn json_in(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body).ok().or_else(|| {
        let (mut decoder, mut events) = (SseDecoder::new(body.len()), VecDeque::new());
        decoder.feed(body, &mut events).ok()?;
        decoder.finish(&mut events).ok()?;
        events.iter().find_map(|event| serde_json::from_str(&event.data).ok())
    })
}

/// Google wraps errors in an array.
fn first(value: &Value) -> &Value {
    value.as_array().and_then(|values| values.first()).unwrap_or(value)
}

fn is_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        // As an exit code: zero is no error.
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn status_in(error: &Value) -> Option<u16> {
    ["status_code", "status", "code"].into_iter().find_map(|name| {
        let status = match error.get(name)? {
            Value::Number(number) => u16::try_from(number.as_u64()?).ok()?,
            Value::String(text) => text.parse().ok()?,
            _ => return None,
        };
        (400..600).contains(&status).then_some(status)
    })
}
