//! The endpoints that are known by name.

use std::fmt;
use std::str::FromStr;

use crate::config::ConfigError;

/// An endpoint that is known by name. Any other one is reached with [`ProviderConfig::new`](crate::ProviderConfig::new).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Preset {
    /// HolySheep AI, the default.
    #[default]
    HolySheep,
    /// A local Ollama.
    Ollama,
    /// OpenAI.
    OpenAi,
    /// OpenRouter.
    OpenRouter,
    /// A local vLLM.
    Vllm,
}

impl Preset {
    /// Every preset, the default first.
    pub const ALL: [Self; 5] = [Self::HolySheep, Self::Ollama, Self::OpenAi, Self::OpenRouter, Self::Vllm];

    /// The name, as files and the command line write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HolySheep => "holysheep",
            Self::Ollama => "ollama",
            Self::OpenAi => "openai",
            Self::OpenRouter => "openrouter",
            Self::Vllm => "vllm",
        }
    }

    /// Where its API begins.
    #[must_use]
    pub const fn base_url(self) -> &'static str {
        match self {
            Self::HolySheep => "https://api.holysheep.ai/v1",
            Self::Ollama => "http://127.0.0.1:11434/v1",
            Self::OpenAi => "https://api.openai.com/v1",
            Self::OpenRouter => "https://openrouter.ai/api/v1",
            Self::Vllm => "http://127.0.0.1:8000/v1",
        }
    }

    /// The environment variable that holds its key, if it has keys.
    #[must_use]
    pub const fn key_env(self) -> Option<&'static str> {
        match self {
            Self::HolySheep => Some("HOLYSHEEP_API_KEY"),
            Self::Ollama => None,
            Self::OpenAi => Some("OPENAI_API_KEY"),
            Self::OpenRouter => Some("OPENROUTER_API_KEY"),
            Self::Vllm => Some("VLLM_API_KEY"),
        }
    }

    /// Whether it answers nobody without a key.
    #[must_use]
    pub const fn key_required(self) -> bool {
        match self {
            Self::HolySheep | Self::OpenAi | Self::OpenRouter => true,
            Self::Ollama | Self::Vllm => false,
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Preset {
    type Err = ConfigError;

    fn from_str(name: &str) -> Result<Self, ConfigError> {
        Self::ALL
            .into_iter()
            .find(|preset| preset.as_str() == name)
            .ok_or_else(|| ConfigError::UnknownPreset { given: name.to_owned() })
    }
}
