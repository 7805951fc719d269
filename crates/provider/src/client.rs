//! The client: one call is one HTTP request.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bellwether_core::chat::Started;
use bellwether_core::{
    CallContext, ChatProvider, ChatRequest, ChatResponse, ChatStream, ErrorKind, Price, ProviderError, Retry, Usage,
};
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, Url};
use serde_json::Value;

use crate::answer::Answer;
use crate::asked::Asked;
use crate::catalogue::Cost;
use crate::classify::{self, Envelope, Head};
use crate::clock;
use crate::config::{ConfigError, ProviderConfig};
use crate::dialect::Dialect;
use crate::endpoint::Endpoint;
use crate::patience::{Patience, Stage};
use crate::reading::{Reading, WHOLE};
use crate::request::{self, Mode, Wishes};
use crate::scrub::Scrub;
use crate::transport;

/// Asks an OpenAI-compatible endpoint over HTTP: HolySheep, OpenAI, OpenRouter, Ollama, vLLM and their like.
///
/// It bears every dialect it is known to meet, classifies each failure once, never follows a redirect and never
/// retries. Bodies, lines and waits are bounded. The key appears in one header and nowhere else.
///
/// ```no_run
/// use bellwether_provider::{CallContext, ChatEvent, ChatProvider, ChatRequest, Message};
/// use bellwether_provider::{OpenAiCompatible, Preset, ProviderConfig};
///
/// # async fn ask() -> Result<(), Box<dyn std::error::Error>> {
/// let provider = OpenAiCompatible::new(ProviderConfig::preset(Preset::Ollama))?;
/// let request = ChatRequest::new("llama3.2", vec![Message::user("Count the sheep.")]);
/// let mut answer = provider.stream(request, CallContext::default()).await?;
/// while let Some(event) = answer.next().await {
///     if let ChatEvent::Text(piece) = event? {
///         print!("{piece}");
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct OpenAiCompatible {
    config: ProviderConfig,
    endpoint: Endpoint,
    /// What every call needs of the endpoint, made once.
    chat: Url,
    host: Arc<str>,
    client: Client,
    scrub: Scrub,
}

impl fmt::Debug for OpenAiCompatible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiCompatible").field("config", &self.config).finish_non_exhaustive()
    }
}

impl OpenAiCompatible {
    /// A client for the endpoint that `config` describes. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the setting that cannot work and what to do about it.
    pub fn new(mut config: ProviderConfig) -> Result<Self, ConfigError> {
        let endpoint = reached(&config)?;
        if config.name.is_empty() {
            config.name = endpoint.host();
        }
        let client = transport::client(&config, &endpoint)?;
        let scrub = transport::scrub(&config);
        let (chat, host) = (endpoint.join("chat/completions"), endpoint.host().into());
        Ok(Self { config, endpoint, chat, host, client, scrub })
    }

    /// Whether `config` makes sense, for whoever asks nothing: connections and their encryption are not made for that.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), which looks at the root certificates too.
    pub fn check(config: &ProviderConfig) -> Result<(), ConfigError> {
        reached(config)?;
        transport::headers(config).map(drop)
    }

    /// Asks, and hands the answer on as soon as its head is there and good.
    async fn ask(&self, request: ChatRequest, context: CallContext, mode: Mode) -> Result<Box<Answer>, ProviderError> {
        let asked = self.asked(Some(&request.model));
        let patience = Patience::new(self.config.timeouts, matches!(mode, Mode::Stream(_)), Some(&context));
        patience.check(&asked)?;
        let profile = self.config.models.find(&request.model);
        let wishes = Wishes {
            max_tokens: profile.and_then(|profile| profile.max_tokens_field).unwrap_or(self.config.max_tokens),
            reasoning: profile.and_then(|profile| profile.reasoning).unwrap_or_default(),
        };
        let body = request::body(&request, mode, wishes);
        let mut post = self.client.post(self.chat.clone()).body(body);
        if let Some(key) = &context.idempotency_key {
            let key = HeaderValue::from_str(key).map_err(|_| {
                ProviderError::new(ErrorKind::InvalidRequest, "the idempotency key has a character no header can carry")
            })?;
            post = post.header(HeaderName::from_static("idempotency-key"), key);
        }
        let response = self.send(post, &asked, &patience).await?;
        let head = self.head(&response);
        let started = Started { request_id: head.request_id.clone(), limits: head.limits, ..Started::default() };
        let price = self.config.prices.get(&*request.model).copied();
        let price = price.or_else(|| profile?.price.map(Price::from));
        let dialect = Dialect::new(started, price, request.messages.len());
        let reading = Reading::new(asked.clone(), head, dialect);
        Ok(Box::new(Answer::new(response, asked, patience, reading)))
    }

    /// The models on offer, and the provider's date.
    pub(crate) async fn listed(&self) -> Result<(Vec<String>, Option<SystemTime>), ProviderError> {
        let asked = self.asked(None);
        // A list takes no thought: it begins as soon as a model would speak, or not at all.
        let patience = Patience::new(self.config.timeouts, true, None);
        let mut response = self.send(self.client.get(self.endpoint.join("models")), &asked, &patience).await?;
        let (head, date) = (self.head(&response), transport::date(response.headers()));
        let mut body = Vec::new();
        while let Some(bytes) = patience
            .wait(Stage::Flowing, &asked, response.chunk())
            .await?
            .map_err(|error| transport::broken(&asked, error))?
        {
            body.extend_from_slice(&bytes);
            if body.len() > WHOLE {
                let message = asked.says("sent a list of models larger than 16 MiB");
                return Err(ProviderError::new(ErrorKind::Decode, message).with_retry(Retry::Never));
            }
        }
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        if let Some(envelope) = Envelope::in_band(&value) {
            return Err(classify::in_band(&asked, &head, &envelope, &body));
        }
        let models = models(&value).ok_or_else(|| {
            let mut error = ProviderError::new(ErrorKind::Decode, asked.says("sent no list of models"));
            error.details.status = Some(head.status);
            error.details.body = asked.excerpt(&body);
            error
        });
        Ok((models?, date))
    }

    /// What a call to `model` cost, and who says so. See [`Catalogue::cost`](crate::Catalogue::cost).
    #[must_use]
    pub fn cost(&self, model: &str, usage: &Usage) -> Cost {
        match (usage.cost, self.config.prices.get(model)) {
            (Some(amount), Some(price)) if price.of(usage) == Some(amount) => Cost::Listed(amount),
            _ => self.config.models.cost(model, usage),
        }
    }

    /// Whether a key goes with each request.
    pub(crate) fn has_key(&self) -> bool {
        self.config.key.is_some() || self.config.headers.keys().any(|name| name.eq_ignore_ascii_case("authorization"))
    }

    /// Whether anybody knows what the model's tokens cost.
    pub(crate) fn has_price(&self, model: &str) -> bool {
        self.config.prices.contains_key(model) || self.config.models.price(model).is_some()
    }

    /// Where it asks: host and port.
    pub(crate) fn address(&self) -> String {
        self.endpoint.address()
    }

    /// Sends a request. What comes back is a success by its status.
    async fn send(
        &self,
        request: RequestBuilder,
        asked: &Asked,
        patience: &Patience,
    ) -> Result<Response, ProviderError> {
        let response = patience
            .wait(Stage::Beginning, asked, request.send())
            .await?
            .map_err(|error| transport::unsent(asked, &self.endpoint, self.config.timeouts.connect, error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let head = self.head(&response);
        Err(classify::refused(asked, &head, &excuse(response, asked, patience).await))
    }

    fn head(&self, response: &Response) -> Head {
        transport::head(response.status().as_u16(), response.headers(), &self.scrub, clock::wall())
    }

    fn asked(&self, model: Option<&Arc<str>>) -> Asked {
        Asked { host: Arc::clone(&self.host), model: model.cloned(), scrub: self.scrub.clone() }
    }
}

#[async_trait]
impl ChatProvider for OpenAiCompatible {
    fn name(&self) -> &str {
        &self.config.name
    }

    async fn stream(&self, request: ChatRequest, context: CallContext) -> Result<ChatStream, ProviderError> {
        Ok(self.ask(request, context, Mode::Stream(self.config.stream_usage)).await?.into_stream())
    }

    async fn chat(&self, request: ChatRequest, context: CallContext) -> Result<ChatResponse, ProviderError> {
        self.ask(request, context, Mode::Whole).await?.into_whole().await.map_err(|mut error| {
            // Whatever came of the answer, nobody has seen it.
            error.details.emitted_output = false;
            error
        })
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        Ok(self.listed().await?.0)
    }
}

/// The endpoint, if it may be asked and the patience with it is more than none.
fn reached(config: &ProviderConfig) -> Result<Endpoint, ConfigError> {
    let timeouts = config.timeouts;
    for (name, timeout) in [
        ("connect", timeouts.connect),
        ("first_token", timeouts.first_token),
        ("idle", timeouts.idle),
        ("total", timeouts.total),
    ] {
        if timeout.is_zero() {
            return Err(ConfigError::BadTimeout { name });
        }
    }
    Endpoint::parse(&config.base_url, config.allow_insecure)
}

/// The names in `{"data":[{"id":..}]}`, or in the same without the wrapping.
fn models(value: &Value) -> Option<Vec<String>> {
    let list = ["data", "models"].into_iter().find_map(|name| value.get(name)).unwrap_or(value).as_array()?;
    let name =
        |model: &Value| ["id", "name"].into_iter().find_map(|field| model.get(field)?.as_str().map(str::to_owned));
    Some(list.iter().filter_map(|model| name(model).or_else(|| model.as_str().map(str::to_owned))).collect())
}

/// The body of a refusal, as far as it comes. That it broke off changes nothing about the refusal.
async fn excuse(mut response: Response, asked: &Asked, patience: &Patience) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < EXCUSE {
        match patience.wait(Stage::Excuse, asked, response.chunk()).await {
            Ok(Ok(Some(bytes))) => body.extend_from_slice(&bytes[..bytes.len().min(EXCUSE - body.len())]),
            _ => break,
        }
    }
    body
}

/// The most bytes that are read of a refusal.
const EXCUSE: usize = 256 << 10;
