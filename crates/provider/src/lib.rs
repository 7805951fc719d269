//! Asks models over HTTP: HolySheep by default, any OpenAI-compatible endpoint by its URL.
//!
//! - [`Preset`]: the endpoints that are known by name.
//! - [`ProviderConfig`]: where to ask, with which key, how patiently, at what price.
//! - [`ApiKey`]: a key that never shows itself.
//! - [`OpenAiCompatible`]: the client. It speaks every dialect it is known to meet, classifies each failure once,
//!   and never retries.
//! - `Scripted` (feature `test-util`): a provider that plays a script.
//!
//! The words of the seam are re-exported from `bellwether-core`, so that this crate can be used alone.
//!
//! ```no_run
//! use bellwether_provider::{CallContext, ChatProvider, ChatRequest, Message, OpenAiCompatible, Preset, ProviderConfig};
//!
//! # async fn ask() -> Result<(), Box<dyn std::error::Error>> {
//! let provider = OpenAiCompatible::new(ProviderConfig::from_env(Preset::HolySheep)?)?;
//! let request = ChatRequest::new("claude-sonnet-4-6", vec![Message::user("What leads the flock?")]);
//! let answer = provider.chat(request, CallContext::default()).await?;
//! println!("{} ({} tokens)", answer.text, answer.usage.tokens());
//! # Ok(())
//! # }
//! ```

mod answer;
mod asked;
#[cfg(feature = "cache")]
mod cached;
mod canonical;
mod cassette;
mod catalogue;
mod classify;
mod client;
mod clock;
mod config;
#[cfg(feature = "test-util")]
pub mod conformance;
pub mod decode;
mod dialect;
mod doctor;
mod endpoint;
mod fallback;
mod key;
mod limits;
mod patience;
mod preset;
mod reading;
mod request;
mod root;
#[cfg(feature = "test-util")]
mod scripted;
mod scrub;
pub mod sse;
#[cfg(feature = "schema")]
mod structured;
mod transport;

pub use bellwether_core::chat::{
    ChatEvent, ChatRequest, ChatResponse, ChatStream, FinishReason, Fold, Message, MessageRole, Part, ResponseFormat,
    Started, Tool, ToolCall, ToolChoice,
};
pub use bellwether_core::error::{Details, ErrorKind, Phase, ProviderError, Retry};
pub use bellwether_core::permit::{Level, RateLimits};
pub use bellwether_core::{CallContext, ChatProvider, Class, Demand, Flow, Price, Usage, Usd};

#[cfg(feature = "cache")]
pub use cached::Cached;
pub use cassette::{Cassette, Recorded, Replayed};
pub use catalogue::{Catalogue, ChargeRule, Cost, ModelPrice, ModelProfile, ReasoningBack};
pub use client::OpenAiCompatible;
pub use config::{ConfigError, MaxTokensField, ProviderConfig, ProxyChoice, StreamUsage, Timeouts};
pub use doctor::{Check, Diagnosis, Finding, Health, doctor};
pub use fallback::Fallback;
pub use key::ApiKey;
pub use preset::Preset;
pub use root::RootCertificate;
#[cfg(feature = "schema")]
pub use schemars;
#[cfg(feature = "test-util")]
pub use scripted::{Reply, Scripted, ScriptedCall};
#[cfg(feature = "schema")]
pub use structured::{Validated, ask, check, format_of};
