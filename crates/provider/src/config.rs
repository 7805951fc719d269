//! Where to ask, with which key, how patiently, at what price.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bellwether_core::Price;
use serde::{Deserialize, Serialize};

use crate::catalogue::Catalogue;
use crate::endpoint::{self, Endpoint};
use crate::key::ApiKey;
use crate::preset::Preset;
use crate::root::RootCertificate;

/// Everything [`OpenAiCompatible`](crate::OpenAiCompatible) has to know. Plain data with finite defaults.
///
/// ```
/// use bellwether_provider::{ApiKey, Preset, ProviderConfig};
///
/// let mut config = ProviderConfig::preset(Preset::HolySheep);
/// config.key = Some(ApiKey::new("cr_0123456789abcdef")?);
/// assert_eq!(config.base_url, "https://api.holysheep.ai/v1");
/// assert!(!format!("{config:?}").contains("0123456789abcdef"));
/// # Ok::<(), bellwether_provider::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct ProviderConfig {
    /// A short name for metrics and reports, such as `holysheep`.
    pub name: String,
    /// Where the API begins, such as `https://api.holysheep.ai/v1`. A base without a path gets `/v1`.
    pub base_url: String,
    /// The key, sent as a bearer token; no header is sent without one.
    pub key: Option<ApiKey>,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// The field that carries the cap on output tokens, for models whose profile does not say.
    pub max_tokens: MaxTokensField,
    /// Whether a stream is asked to say its usage.
    pub stream_usage: StreamUsage,
    /// Sent as `OpenAI-Organization`.
    pub organisation: Option<String>,
    /// Further headers for every request. Their values are treated as secrets.
    pub headers: BTreeMap<String, String>,
    /// What each model costs; used where the provider does not say a call's cost itself. Goes before `models`.
    pub prices: BTreeMap<String, Price>,
    /// What is known of each model: its window, its output cap, its price, its odd wishes.
    pub models: Catalogue,
    /// Certificates that are trusted beside the system's.
    pub root_certificates: Vec<RootCertificate>,
    /// How connections leave the machine. Loopback addresses are never proxied.
    pub proxy: ProxyChoice,
    /// How many idle connections are kept for the next calls.
    pub pool_size: usize,
    /// Lets the key travel unencrypted to hosts other than this one.
    pub allow_insecure: bool,
}

impl ProviderConfig {
    /// A provider at any base URL, without a key.
    #[must_use]
    pub fn new(name: impl Into<String>, base_url: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            base_url: base_url.into(),
            key: None,
            timeouts: Timeouts::default(),
            max_tokens: MaxTokensField::default(),
            stream_usage: StreamUsage::default(),
            organisation: None,
            headers: BTreeMap::new(),
            prices: BTreeMap::new(),
            models: Catalogue::default(),
            root_certificates: Vec::new(),
            proxy: ProxyChoice::default(),
            pool_size: 64,
            allow_insecure: false,
        }
    }

    /// A known endpoint, without a key, with the catalogue of its models.
    #[must_use]
    pub fn preset(preset: Preset) -> Self {
        Self { models: Catalogue::of(preset), ..Self::new(preset.as_str(), preset.base_url()) }
    }

    /// A known endpoint, with the key from its environment variable.
    ///
    /// # Errors
    ///
    /// [`ConfigError::MissingKey`] if the preset needs a key and the variable is not set, [`ConfigError::BadKey`] if
    /// what it holds cannot be a key.
    pub fn from_env(preset: Preset) -> Result<Self, ConfigError> {
        let key = match preset.key_env().map(ApiKey::from_env).transpose() {
            Err(ConfigError::MissingKey { .. }) if !preset.key_required() => None,
            key => key?,
        };
        Ok(Self { key, ..Self::preset(preset) })
    }

    /// The base URL as it may be shown: without user, password and query, which may hold a key.
    ///
    /// ```
    /// use bellwether_provider::ProviderConfig;
    ///
    /// let config = ProviderConfig::new("mine", "https://api.example/v1?api-key=0123456789");
    /// assert_eq!(config.shown_url(), "https://api.example/v1");
    /// ```
    #[must_use]
    pub fn shown_url(&self) -> String {
        endpoint::shown(&self.base_url)
    }

    /// Whether the endpoint is on this machine. A base URL that cannot be used is not.
    ///
    /// ```
    /// use bellwether_provider::{Preset, ProviderConfig};
    ///
    /// assert!(ProviderConfig::preset(Preset::Ollama).is_loopback());
    /// assert!(!ProviderConfig::preset(Preset::HolySheep).is_loopback());
    /// ```
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        Endpoint::parse(&self.base_url, self.allow_insecure).is_ok_and(|endpoint| endpoint.is_loopback())
    }

    /// Whether the base URL leads to the provider of `preset`: to its host, in its scheme and at its port. Another one has
    /// no business with its key.
    ///
    /// ```
    /// use bellwether_provider::{Preset, ProviderConfig};
    ///
    /// let mut config = ProviderConfig::preset(Preset::HolySheep);
    /// assert!(config.asks(Preset::HolySheep));
    /// config.base_url = "https://api.holysheep.ai.example.com/v1".to_owned();
    /// assert!(!config.asks(Preset::HolySheep));
    /// ```
    #[must_use]
    pub fn asks(&self, preset: Preset) -> bool {
        let own = Endpoint::parse(preset.base_url(), false);
        let asked = Endpoint::parse(&self.base_url, self.allow_insecure);
        asked.ok().zip(own.ok()).is_some_and(|(asked, own)| asked.is_same_origin(&own))
    }
}

impl Default for ProviderConfig {
    /// HolySheep, without a key.
    fn default() -> Self {
        Self::preset(Preset::default())
    }
}

impl fmt::Debug for ProviderConfig {
    /// Shows the headers' names, not their values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderConfig")
            .field("name", &self.name)
            .field("base_url", &self.shown_url())
            .field("key", &self.key)
            .field("timeouts", &self.timeouts)
            .field("max_tokens", &self.max_tokens)
            .field("stream_usage", &self.stream_usage)
            .field("organisation", &self.organisation)
            .field("headers", &self.headers.keys())
            .field("prices", &self.prices)
            .field("models", &self.models)
            .field("root_certificates", &self.root_certificates)
            .field("proxy", &self.proxy)
            .field("pool_size", &self.pool_size)
            .field("allow_insecure", &self.allow_insecure)
            .finish()
    }
}

/// How long to wait for what.
///
/// A stream obeys all four; an answer that comes whole obeys `connect` and `total`. A call's own deadline, if it is
/// earlier, goes before `total`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timeouts {
    /// Making the connection, encryption included.
    pub connect: Duration,
    /// From sending until the model's first word. Signs of life without content do not count.
    pub first_token: Duration,
    /// From one sign of life to the next, once the model has begun.
    pub idle: Duration,
    /// The whole call.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_token: Duration::from_secs(60),
            idle: Duration::from_secs(30),
            total: Duration::from_secs(300),
        }
    }
}

/// The field that carries the cap on output tokens. Exactly one is sent.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MaxTokensField {
    /// `max_completion_tokens`, which OpenAI's reasoning models demand.
    MaxCompletionTokens,
    /// `max_tokens`, which everybody else knows.
    #[default]
    MaxTokens,
}

/// Whether a stream is asked to say its usage.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum StreamUsage {
    /// With `stream_options.include_usage`.
    #[default]
    Ask,
    /// Not asked, for endpoints that reject the question.
    DoNotAsk,
}

/// How connections leave the machine.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ProxyChoice {
    /// By the proxy that `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` name, if they do.
    #[default]
    FromEnvironment,
    /// Directly.
    None,
}

/// A setting that cannot work. The message names the place and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The base URL cannot be used.
    #[error("base_url: {why}; write it like https://api.holysheep.ai/v1")]
    BadBaseUrl {
        /// What is wrong with it.
        why: String,
    },
    /// What should be a certificate cannot be read.
    #[error("root_certificates: not a certificate in PEM; give the authority's own, between its BEGIN and END lines")]
    BadCertificate,
    /// A header cannot be sent.
    #[error("headers: `{name}` {why}")]
    BadHeader {
        /// The header's name.
        name: String,
        /// What is wrong with it, and what to do.
        why: &'static str,
    },
    /// What should be a key cannot be one.
    #[error("{place}: the key {why}; copy it again from the provider's console")]
    BadKey {
        /// Where the key came from: an environment variable, or `key`.
        place: String,
        /// What is wrong with it. Never the key itself.
        why: &'static str,
    },
    /// A timeout is zero.
    #[error("timeouts.{name}: zero leaves no time at all; set at least a millisecond")]
    BadTimeout {
        /// Which timeout.
        name: &'static str,
    },
    /// A model's profile makes no sense.
    #[error("models.{model}: {why}")]
    BadProfile {
        /// The model.
        model: String,
        /// What is wrong, and what to write instead.
        why: String,
    },
    /// The HTTP client could not be built.
    #[error("http client: {why}; check the proxy variables and the system's root certificates")]
    Client {
        /// What is wrong.
        why: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The environment variable that holds the key is not set.
    #[error("{variable}: not set; put the provider's key into this environment variable")]
    MissingKey {
        /// The variable.
        variable: String,
    },
    /// No preset has this name.
    #[error("preset: `{given}` is not known; use holysheep, ollama, openai, openrouter or vllm, or give a base_url")]
    UnknownPreset {
        /// The name that was given.
        given: String,
    },
}
