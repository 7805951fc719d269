//! Asks models over HTTP: HolySheep by default, any OpenAI-compatible endpoint by its URL.
//!
//! - [`Preset`]: the endpoints that are known by name.
//! - [`ProviderConfig`]: where to ask, with which key, how patiently, at what price.
//! - [`ApiKey`]: a key that never shows itself.
//! - [`OpenAiCompatible`]: the client. It speaks every dialect it is known to meet, classifies each failure once,
//!   and never retries.
//! - [`Catalogue`]: what is known of models, their prices and how doubtful those are; [`Cost`] never says zero for
//!   what nobody knows.
//! - [`doctor`]: says what is wrong with the settings, and how to mend it.
//! - Providers around other providers: [`Fallback`]; [`Recorded`] and [`Replayed`] with a [`Cassette`]; `Cached`
//!   (feature `cache`); `Validated`, with `format_of` and `ask` for typed answers (feature `schema`).
//! - [`connections`]: the same encryption and trust for what is no model, such as a collector of traces.
//! - [`decode`] and [`sse`]: the reading alone, without a connection, for another HTTP client.
//! - `Scripted` and `conformance` (feature `test-util`): a provider that plays a script, and the tests that every
//!   provider has to pass.
//!
//! The words of the seam are re-exported from `bellwether-core`, so that this crate can be used alone.
//!
//! ```
//! use bellwether_provider::{CallContext, ChatEvent, ChatProvider, ChatRequest, Message, OpenAiCompatible, ProviderConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use std::io::{Read, Write};
//! # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! # let base_url = format!("http://{}/v1", listener.local_addr()?);
//! # let server = std::thread::spawn(move || {
//! #     for socket in listener.incoming().take(2) {
//! #         let (mut socket, mut seen) = (socket.unwrap(), Vec::new());
//! #         while seen.last() != Some(&b'}') {
//! #             let mut more = [0; 4096];
//! #             let n = socket.read(&mut more).unwrap();
//! #             seen.extend_from_slice(&more[..n]);
//! #         }
//! #         let event = r#"{"choices":[{"delta":{"content":"The bellwether."},"finish_reason":"stop"}]}"#;
//! #         write!(socket, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\ndata: {event}\n\ndata: [DONE]\n\n").unwrap();
//! #     }
//! # });
//! // Or `ProviderConfig::from_env(Preset::HolySheep)?`, which takes the key from HOLYSHEEP_API_KEY.
//! let provider = OpenAiCompatible::new(ProviderConfig::new("mine", base_url))?;
//! let ask = |text: &str| ChatRequest::new("claude-sonnet-4-6", vec![Message::user(text)]);
//!
//! let answer = provider.chat(ask("What leads the flock?"), CallContext::default()).await?;
//! assert_eq!(answer.text, "The bellwether.");
//!
//! let mut stream = provider.stream(ask("What leads the flock?"), CallContext::default()).await?;
//! while let Some(event) = stream.next().await {
//!     if let ChatEvent::Text(piece) = event? {
//!         print!("{piece}");
//!     }
//! }
//! # server.join().unwrap();
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
mod trust;

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
pub use transport::connections;
