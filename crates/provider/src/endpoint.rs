//! Where requests go: a base URL that was checked once.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;

use crate::config::ConfigError;

/// A checked base URL.
///
/// Invariants: http or https, has a host, no credentials, no fragment; http only on this machine or by permission.
#[derive(Clone)]
pub(crate) struct Endpoint(Url);

/// A base URL as it may be shown: without user, password and query, which may hold a key.
pub(crate) fn shown(base_url: &str) -> String {
    let Ok(mut url) = Url::parse(base_url.trim()) else { return "(not a URL)".to_owned() };
    // A URL that cannot have them has none.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

/// The values in a base URL's query that are keys by their names: some gateways want theirs there.
pub(crate) fn secrets(base_url: &str) -> Vec<String> {
    let Ok(url) = Url::parse(base_url.trim()) else { return Vec::new() };
    let secret = |name: &str| ["key", "secret", "sig", "token"].iter().any(|word| name.to_lowercase().contains(word));
    url.query_pairs().filter(|(name, _)| secret(name)).map(|(_, value)| value.into_owned()).collect()
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&shown(self.0.as_str())).finish()
    }
}

impl Endpoint {
    /// Checks a base URL. A path that is empty becomes `/v1`; a pasted `/chat/completions` is cut off.
    pub(crate) fn parse(base_url: &str, allow_insecure: bool) -> Result<Self, ConfigError> {
        // The URL itself is never part of a message: what cannot be parsed may hold a password.
        let bad = |why: &str| ConfigError::BadBaseUrl { why: why.to_owned() };
        let mut url = Url::parse(base_url.trim()).map_err(|error| bad(&format!("not a URL ({error})")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad("neither https nor http"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("has a user or password in it; put the key into its environment variable"));
        }
        if url.fragment().is_some() {
            return Err(bad("has a fragment"));
        }
        let path = url.path().trim_end_matches('/');
        let path = path.strip_suffix("/chat/completions").unwrap_or(path);
        let path = if path.is_empty() { "/v1" } else { path }.to_owned();
        url.set_path(&path);
        let endpoint = Self(url);
        if endpoint.0.scheme() == "http" && !endpoint.is_loopback() && !allow_insecure {
            return Err(bad("unencrypted, so that anybody on the way can read the key; use https or allow_insecure"));
        }
        Ok(endpoint)
    }

    /// The URL of one operation, such as `chat/completions`. A query in the base, such as Azure's, is kept.
    pub(crate) fn join(&self, operation: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}/{operation}", self.0.path()));
        url
    }

    /// Host and port, as messages name them; the port only if it is not the usual one.
    pub(crate) fn host(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// Host and port, always both.
    pub(crate) fn address(&self) -> String {
        let port = self.0.port_or_known_default().unwrap_or_default();
        format!("{}:{port}", self.0.host_str().unwrap_or_default())
    }

    /// Whether connections are encrypted.
    pub(crate) fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    pub(crate) fn is_same_origin(&self, other: &Self) -> bool {
        self.0.origin() == other.0.origin()
    }

    /// Whether it is on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host == "localhost" || host.ends_with(".localhost") || address.is_ok_and(|address| address.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(base: &str) -> String {
        Endpoint::parse(base, false).unwrap().join("chat/completions").to_string()
    }

    #[test]
    fn a_base_joins_right_however_it_is_written() {
        for base in [
            "https://api.holysheep.ai/v1",
            "https://api.holysheep.ai/v1/",
            " https://api.holysheep.ai ",
            "https://api.holysheep.ai/v1/chat/completions",
        ] {
            assert_eq!(chat(base), "https://api.holysheep.ai/v1/chat/completions", "{base}");
        }
        assert_eq!(chat("https://openrouter.ai/api/v1"), "https://openrouter.ai/api/v1/chat/completions");
        assert_eq!(chat("https://a.example/d/x/?v=1"), "https://a.example/d/x/chat/completions?v=1");
    }

    #[test]
    fn a_base_that_would_leak_a_secret_is_refused_without_showing_it() {
        for base in ["https://u:hunter2@a.example/v1", "http://hunter2.example/v1", "hunter2", "ftp://hunter2/"] {
            let error = Endpoint::parse(base, false).unwrap_err().to_string();
            assert!(error.starts_with("base_url: ") && !error.contains("hunter2"), "{error}");
        }
        assert!(Endpoint::parse("http://a.example/v1", true).is_ok());
    }

    #[test]
    fn what_is_shown_of_a_base_holds_no_key() {
        assert_eq!(shown("https://u:hunter2@a.example/v1?key=hunter2#hunter2"), "https://a.example/v1");
        assert_eq!(shown("hunter2"), "(not a URL)");
        assert_eq!(secrets("https://a.example/v1?api-version=1&API-Key=hunter%2F2"), ["hunter/2"]);
    }

    #[test]
    fn this_machine_may_be_asked_unencrypted() {
        for base in ["http://localhost:1/v1", "http://127.0.0.2/v1", "http://[::1]:8000/v1"] {
            assert!(Endpoint::parse(base, false).unwrap().is_loopback(), "{base}");
        }
        assert!(!Endpoint::parse("https://localhost.example/", false).unwrap().is_loopback());
    }

    #[test]
    fn an_address_always_has_its_port() {
        assert_eq!(Endpoint::parse("https://a.example", false).unwrap().address(), "a.example:443");
        assert_eq!(Endpoint::parse("https://a.example:8443", false).unwrap().host(), "a.example:8443");
    }
}
