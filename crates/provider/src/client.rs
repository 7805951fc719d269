//! The client: one call is one HTTP request.

use async_trait::async_trait;
use bellwether_core::{CallContext, ChatProvider, ChatRequest, ChatStream, ErrorKind, ProviderError};

use crate::config::{ConfigError, ProviderConfig};

/// Asks an OpenAI-compatible endpoint over HTTP.
#[derive(Debug)]
pub struct OpenAiCompatible {
    config: ProviderConfig,
}

impl OpenAiCompatible {
    /// A client for the endpoint that `config` describes. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the setting that cannot work and what to do about it.
    pub fn new(config: ProviderConfig) -> Result<Self, ConfigError> {
        Ok(Self { config })
    }
}

#[async_trait]
impl ChatProvider for OpenAiCompatible {
    fn name(&self) -> &str {
        &self.config.name
    }

    async fn stream(&self, _: ChatRequest, _: CallContext) -> Result<ChatStream, ProviderError> {
        Err(ProviderError::new(ErrorKind::Connect, "nothing is sent yet"))
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        Err(ProviderError::new(ErrorKind::Connect, "nothing is sent yet"))
    }
}
