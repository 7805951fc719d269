//! A key that never shows itself.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use crate::config::ConfigError;
use crate::scrub::Scrub;

/// A provider's key. It is wiped from memory when dropped, and prints as nothing.
#[derive(Clone)]
pub struct ApiKey(SecretString);

impl ApiKey {
    /// Takes a key, without the white space around it.
    ///
    /// # Errors
    ///
    /// [`ConfigError::BadKey`] if it is empty or has characters that no header can carry.
    pub fn new(key: &str) -> Result<Self, ConfigError> {
        Self::from_place(key, "key")
    }

    /// Takes the key from an environment variable.
    ///
    /// # Errors
    ///
    /// [`ConfigError::MissingKey`] if the variable is not set, [`ConfigError::BadKey`] if it is empty or has
    /// characters that no header can carry. Both name the variable.
    pub fn from_env(variable: &str) -> Result<Self, ConfigError> {
        match std::env::var(variable) {
            Ok(key) => Self::from_place(&key, variable),
            Err(std::env::VarError::NotPresent) => Err(ConfigError::MissingKey { variable: variable.to_owned() }),
            Err(std::env::VarError::NotUnicode(_)) => Err(bad(variable, "is not text")),
        }
    }

    /// The text without the key, be it plain, escaped, URL-encoded or in base64.
    ///
    /// ```
    /// let key = bellwether_provider::ApiKey::new("cr_0123456789")?;
    /// assert_eq!(key.scrub("no such key: cr_0123456789"), "no such key: [key]");
    /// # Ok::<(), bellwether_provider::ConfigError>(())
    /// ```
    #[must_use]
    pub fn scrub(&self, text: &str) -> String {
        Scrub::new([self.expose()]).apply(text)
    }

    fn from_place(key: &str, place: &str) -> Result<Self, ConfigError> {
        let key = key.trim();
        if key.is_empty() {
            return Err(bad(place, "is empty"));
        }
        // Header values may carry more, but no provider's keys do, and a pasted space or dash is a common slip.
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(bad(place, "has a character that no key has, such as a space, a line break or a curly quote"));
        }
        Ok(Self(key.into()))
    }

    /// The key itself, for the one header that carries it.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(_)")
    }
}

fn bad(place: &str, why: &'static str) -> ConfigError {
    ConfigError::BadKey { place: place.to_owned(), why }
}
