//! Answers as typed values, checked on our side, because a provider's word for a schema is not enough.

use std::sync::Arc;

use async_trait::async_trait;
use bellwether_core::chat::{Fold, ResponseFormat};
use bellwether_core::{
    CallContext, ChatEvent, ChatProvider, ChatRequest, ChatResponse, ChatStream, ErrorKind, FinishReason, ProviderError,
};
use futures_util::stream;
use jsonschema::Validator;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The response format that asks for a `T`.
///
/// ```
/// use bellwether_provider::{ResponseFormat, format_of, schemars};
///
/// #[derive(schemars::JsonSchema)]
/// struct Verdict {
///     accept: bool,
/// }
///
/// let ResponseFormat::JsonSchema { name, schema } = format_of::<Verdict>() else { unreachable!() };
/// assert_eq!((name.as_str(), &schema["required"][0]), ("Verdict", &"accept".into()));
/// ```
#[must_use]
pub fn format_of<T: JsonSchema>() -> ResponseFormat {
    let schema = schemars::schema_for!(T).to_value();
    // Providers allow letters, digits, `_` and `-` in the name.
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    ResponseFormat::JsonSchema { name: T::schema_name().chars().map(plain).take(64).collect(), schema }
}

/// Asks for a `T` and gets one, or an error that says where the answer does not fit.
///
/// # Errors
///
/// The provider's; [`ErrorKind::Decode`], which may be retried, if the answer is no `T`.
///
/// # Cancel safety
///
/// Dropping the future cancels the call. The provider may bill what it produced until then.
pub async fn ask<T: DeserializeOwned + JsonSchema>(
    provider: &dyn ChatProvider,
    request: ChatRequest,
    context: CallContext,
) -> Result<(T, ChatResponse), ProviderError> {
    let format = format_of::<T>();
    let request = ChatRequest { response_format: Some(format.clone()), ..request };
    let answer = provider.chat(request, context).await?;
    let value = check(&format, &answer)?;
    let typed = serde_json::from_value(value).map_err(|error| unfit(&answer, &error.to_string()))?;
    Ok((typed, answer))
}

/// The value in an answer, if it fits the format that was asked for.
///
/// A fence of backticks around it, or words before and after it, do not matter.
///
/// # Errors
///
/// [`ErrorKind::Decode`], with the place that does not fit; [`ErrorKind::InvalidRequest`] if the schema is none.
pub fn check(format: &ResponseFormat, answer: &ChatResponse) -> Result<Value, ProviderError> {
    let validator = match format {
        ResponseFormat::JsonObject => None,
        ResponseFormat::JsonSchema { schema, .. } => Some(validator(schema)?),
    };
    let mut unfitting = None;
    for value in json_in(&answer.text) {
        let fit = match &validator {
            None if value.is_object() => Ok(()),
            None => Err("it is json, but not an object".to_owned()),
            Some(validator) => fits(validator, &value),
        };
        match fit {
            Ok(()) => return Ok(value),
            Err(why) => unfitting = unfitting.or(Some(why)),
        }
    }
    let why = unfitting.unwrap_or_else(|| match answer.finish {
        FinishReason::Length => "it was cut off by the cap on output tokens; raise it".to_owned(),
        _ if answer.refusal.is_some() => "the model refused".to_owned(),
        _ => "it is not json".to_owned(),
    });
    Err(unfit(answer, &why))
}

/// A provider whose answers are checked against the schema that was asked for.
///
/// A request without a format passes untouched, and so do calls of tools. Of a stream every piece is handed on as it
/// comes; if the whole does not fit, an error takes the place of its end.
#[derive(Debug)]
pub struct Validated {
    inner: Arc<dyn ChatProvider>,
}

impl Validated {
    /// Checks what `inner` answers.
    #[must_use]
    pub fn new(inner: Arc<dyn ChatProvider>) -> Self {
        Self { inner }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ChatProvider for Validated {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn stream(&self, request: ChatRequest, context: CallContext) -> Result<ChatStream, ProviderError> {
        let Some(format) = request.response_format.clone() else { return self.inner.stream(request, context).await };
        sound(&format)?;
        let stream = self.inner.stream(request, context).await?;
        let passing = Passing { stream, format, fold: Some(Fold::default()) };
        Ok(ChatStream::new(stream::unfold(passing, |mut passing| async { Some((passing.next().await?, passing)) })))
    }

    async fn chat(&self, request: ChatRequest, context: CallContext) -> Result<ChatResponse, ProviderError> {
        let format = request.response_format.clone();
        // A schema that is none is found before anything is paid for.
        format.as_ref().map_or(Ok(()), sound)?;
        let answer = self.inner.chat(request, context).await?;
        match &format {
            Some(format) if answer.tool_calls.is_empty() => check(format, &answer).map(|_| answer),
            _ => Ok(answer),
        }
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        self.inner.models().await
    }
}

struct Passing {
    stream: ChatStream,
    format: ResponseFormat,
    fold: Option<Fold>,
}

impl Passing {
    async fn next(&mut self) -> Option<Result<ChatEvent, ProviderError>> {
        let event = self.stream.next().await;
        match &event {
            Some(Ok(event)) => {
                if let Some(fold) = &mut self.fold {
                    fold.add(event.clone());
                }
                None
            }
            Some(Err(_)) => {
                self.fold = None;
                None
            }
            None => self.fold.take()?.finish().ok(),
        }
        .filter(|answer: &ChatResponse| answer.tool_calls.is_empty())
        .and_then(|answer| check(&self.format, &answer).err())
        .map(|mut error| {
            error.details.emitted_output = true;
            Err(error)
        })
        .or(event)
    }
}

fn sound(format: &ResponseFormat) -> Result<(), ProviderError> {
    match format {
        ResponseFormat::JsonObject => Ok(()),
        ResponseFormat::JsonSchema { schema, .. } => validator(schema).map(|_| ()),
    }
}

fn validator(schema: &Value) -> Result<Validator, ProviderError> {
    jsonschema::validator_for(schema).map_err(|error| {
        ProviderError::new(ErrorKind::InvalidRequest, format!("the response format is no json schema: {error}"))
    })
}

fn fits(validator: &Validator, value: &Value) -> Result<(), String> {
    validator.validate(value).map_err(|error| {
        let place = error.instance_path().to_string();
        let place = if place.is_empty() { "the whole" } else { &place };
        format!("at {place}: {error}")
    })
}

fn unfit(answer: &ChatResponse, why: &str) -> ProviderError {
    let why: String = why.chars().take(300).collect();
    let message = format!("the answer is not what was asked for: {why}");
    let mut error = ProviderError::new(ErrorKind::Decode, message);
    error.details.request_id.clone_from(&answer.head.request_id);
    error.details.body = answer.text.chars().take(1_000).collect();
    error.details.may_have_executed = true;
    error
}

/// What may be the JSON in a text: the whole, or what a fence holds, or else what stands between braces or brackets, the
/// outer of them if one stands in the other.
fn json_in(text: &str) -> Vec<Value> {
    let read = |text: &str| serde_json::from_str(text.trim()).ok();
    let fenced = || {
        let (_, tail) = text.split_once("```")?;
        let (inside, _) = tail.split_once("```")?;
        read(inside.trim_start_matches(|c: char| c.is_ascii_alphanumeric()))
    };
    if let Some(value) = read(text).or_else(fenced) {
        return vec![value];
    }
    let between = |(open, close)| {
        let (from, to) = (text.find(open)?, text.rfind(close)?);
        Some((from, to, read(text.get(from..=to)?)?))
    };
    match ([('{', '}'), ('[', ']')].map(between)).into() {
        (Some((from, to, object)), Some((first, last, array))) => {
            if first < from && to < last {
                vec![array]
            } else if from < first && last < to {
                vec![object]
            } else {
                vec![object, array]
            }
        }
        (object, array) => object.or(array).map(|(_, _, value)| value).into_iter().collect(),
    }
}
