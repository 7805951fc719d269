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
    let value = json_in(&answer.text).ok_or_else(|| match answer.finish {
        FinishReason::Length => unfit(answer, "it was cut off by the cap on output tokens; raise it"),
        _ if answer.refusal.is_some() => unfit(answer, "the model refused"),
        _ => unfit(answer, "it is not json"),
    })?;
    match format {
        ResponseFormat::JsonObject if value.is_object() => {}
        ResponseFormat::JsonObject => return Err(unfit(answer, "it is json, but not an object")),
        ResponseFormat::JsonSchema { schema, .. } => {
            fits(&validator(schema)?, &value).map_err(|why| unfit(answer, &why))?
        }
    }
    Ok(value)
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

/// The JSON in a text: the whole, what a fence holds, or from the first brace to the last.
fn json_in(text: &str) -> Option<Value> {
    let read = |text: &str| serde_json::from_str(text.trim()).ok();
    let fenced = || {
        let (_, tail) = text.split_once("```")?;
        let (inside, _) = tail.split_once("```")?;
        read(inside.trim_start_matches(|c: char| c.is_ascii_alphanumeric()))
    };
    let between = |open, close| read(text.get(text.find(open)?..=text.rfind(close)?)?);
    read(text).or_else(fenced).or_else(|| between('{', '}')).or_else(|| between('[', ']'))
}
