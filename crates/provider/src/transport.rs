//! Connections: how they are made, and how they fail.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bellwether_core::error::Phase;
use bellwether_core::{ErrorKind, ProviderError};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Url, redirect, retry};
use rustls::crypto::{CryptoProvider, ring};
use rustls::{ClientConfig, RootCertStore};

use crate::asked::{Asked, clip};
use crate::classify::Head;
use crate::config::{ConfigError, ProviderConfig, ProxyChoice};
use crate::endpoint::{self, Endpoint};
use crate::limits;
use crate::root::RootCertificate;
use crate::scrub::Scrub;
use crate::trust::Trust;

/// A connection pool for one endpoint.
pub(crate) fn client(config: &ProviderConfig, endpoint: &Endpoint) -> Result<Client, ConfigError> {
    let mut builder = Client::builder()
        .tls_backend_preconfigured(tls(&config.root_certificates, endpoint.is_https())?)
        .default_headers(headers(config)?)
        .user_agent(AGENT)
        .connect_timeout(config.timeouts.connect)
        .pool_max_idle_per_host(config.pool_size)
        // A connection that died without a word is noticed before the next call is sent over it for nothing.
        .http2_keep_alive_interval(KEEP_ALIVE)
        .http2_keep_alive_timeout(KEEP_ALIVE)
        // A redirect would carry the conversation, and perhaps the key, to another host.
        .redirect(redirect::Policy::none())
        .referer(false)
        // There is one retry layer, and it is not this one.
        .retry(retry::never());
    if config.proxy == ProxyChoice::None || endpoint.is_loopback() {
        builder = builder.no_proxy();
    }
    builder.build().map_err(unbuilt)
}

/// Connections with the same encryption and trust for what is no model, such as a collector of traces.
///
/// `roots` are trusted beside the system's own, which are read once a server shows a certificate. A request may take as
/// long as `patience`. No proxy is asked, no redirect is followed, and nothing is sent a second time.
///
/// # Errors
///
/// [`ConfigError::Client`] if one of `roots` is no certificate.
pub fn connections(roots: &[RootCertificate], patience: Duration) -> Result<Client, ConfigError> {
    Client::builder()
        .tls_backend_preconfigured(tls(roots, true)?)
        .user_agent(AGENT)
        .timeout(patience)
        .no_proxy()
        .redirect(redirect::Policy::none())
        .referer(false)
        .retry(retry::never())
        .build()
        .map_err(unbuilt)
}

/// The secrets that a provider may echo.
pub(crate) fn scrub(config: &ProviderConfig) -> Scrub {
    // Short values, such as a version, are no secrets, and hiding them would make holes into every message.
    let headers = config.headers.values().map(|value| value.trim()).filter(|value| value.len() >= 12);
    let query = endpoint::secrets(&config.base_url);
    let key = config.key.iter().map(|key| key.expose());
    Scrub::new(key.chain(headers).chain(query.iter().map(String::as_str)))
}

fn unbuilt(error: reqwest::Error) -> ConfigError {
    ConfigError::Client { why: "could not be built", source: error.into() }
}

fn tls(roots: &[RootCertificate], encrypted: bool) -> Result<ClientConfig, ConfigError> {
    let failed = |source: rustls::Error| ConfigError::Client { why: "has no usable encryption", source: source.into() };
    // The provider is passed in, not installed for the process: that choice is the application's.
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    // A plain endpoint must work on machines without any root certificate.
    let builder = if encrypted {
        let trust = Trust::new(roots.iter().map(RootCertificate::der), provider).map_err(failed)?;
        builder.dangerous().with_custom_certificate_verifier(Arc::new(trust))
    } else {
        builder.with_root_certificates(RootCertStore::empty())
    };
    let mut tls = builder.with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(tls)
}

/// The headers of every request.
pub(crate) fn headers(config: &ProviderConfig) -> Result<HeaderMap, ConfigError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &config.headers {
        let bad = |why| ConfigError::BadHeader { name: name.escape_debug().to_string(), why };
        let parsed = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| bad("is not a header's name"))?;
        if OURS.contains(&parsed.as_str()) || (parsed == AUTHORIZATION && config.key.is_some()) {
            return Err(bad("is set by the client itself; leave it out"));
        }
        headers.insert(
            parsed,
            sensitive(value).ok_or_else(|| bad("has a value with a line break or a control character"))?,
        );
    }
    if let Some(organisation) = &config.organisation {
        let bad = || ConfigError::BadHeader { name: "OpenAI-Organization".to_owned(), why: "needs a plain identifier" };
        headers.insert("openai-organization", sensitive(organisation).ok_or_else(bad)?);
    }
    if let Some(key) = &config.key {
        let bearer = sensitive(&format!("Bearer {}", key.expose())).expect("a key is made of visible ASCII");
        headers.insert(AUTHORIZATION, bearer);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    Ok(headers)
}

fn sensitive(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value.trim()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What the head of an answer says.
pub(crate) fn head(status: u16, headers: &HeaderMap, scrub: &Scrub, now: SystemTime) -> Head {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let id = ["x-request-id", "request-id"].into_iter().find_map(text);
    let redirected = (300..400).contains(&status);
    Head {
        status,
        request_id: id.map(|id| clip(&scrub.apply(id), 120).to_owned()),
        limits: limits::from_headers(headers, now),
        should_retry: text("x-should-retry").and_then(|answer| answer.trim().to_ascii_lowercase().parse().ok()),
        redirect: redirected.then(|| text("location")).flatten().map(|to| scrub.apply(&target(to))),
    }
}

/// The provider's date and time.
pub(crate) fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}

/// Where a redirect points, without the path and the query, which may hold anything.
fn target(location: &str) -> String {
    match Url::parse(location) {
        Ok(url) => clip(url.host_str().unwrap_or_else(|| url.scheme()), 120).to_owned(),
        Err(_) => "another path of its own".to_owned(),
    }
}

/// A request that got no answer.
pub(crate) fn unsent(asked: &Asked, endpoint: &Endpoint, connect: Duration, error: reqwest::Error) -> ProviderError {
    let error = error.without_url();
    let address = endpoint.address();
    let failure = if error.is_connect() && error.is_timeout() {
        let kind = ErrorKind::Timeout(Phase::Connect);
        ProviderError::new(kind, format!("could not connect to {address} within {connect:?}"))
    } else if error.is_connect() {
        let why = if speaks_no_tls(&error) {
            "no TLS is spoken there; if that is meant, the base url begins with http://".to_owned()
        } else {
            why(asked, &error)
        };
        ProviderError::new(ErrorKind::Connect, format!("could not connect to {address}: {why}"))
    } else if error.is_builder() {
        ProviderError::new(ErrorKind::InvalidRequest, format!("could not write the request: {}", why(asked, &error)))
    } else {
        let message = format!("{address} broke the connection before it answered: {}", why(asked, &error));
        let mut failure = ProviderError::new(ErrorKind::Connect, message);
        failure.details.may_have_executed = !was_refused(&error);
        failure
    };
    failure.caused_by(error)
}

/// An answer whose connection broke.
pub(crate) fn broken(asked: &Asked, error: reqwest::Error) -> ProviderError {
    let error = error.without_url();
    let message = format!("{}: {}", asked.says("broke the connection in the middle of its answer"), why(asked, &error));
    let mut failure = ProviderError::new(ErrorKind::Truncated, message);
    failure.details.may_have_executed = true;
    failure.caused_by(error)
}

/// Whether an HTTP/2 server said that it did not look at the request at all.
fn was_refused(error: &reqwest::Error) -> bool {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return error.reason() == Some(h2::Reason::REFUSED_STREAM);
        }
        cause = error.source();
    }
    false
}

/// Whether what came was no TLS at all, as from a server that was asked by `https` and listens for `http`.
fn speaks_no_tls(error: &reqwest::Error) -> bool {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(error) = cause {
        if let Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)) = error.downcast_ref() {
            return true;
        }
        // The source of an I/O error is the one of what is in it, so that this would be passed over.
        let inside = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause = inside.map(|inside| inside as &dyn Error).or_else(|| error.source());
    }
    false
}

/// The innermost cause, which is the one that says something.
fn why(asked: &Asked, error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    clip(&asked.scrub.apply(&cause.to_string()), 200).to_owned()
}

const AGENT: &str = concat!("bellwether/", env!("CARGO_PKG_VERSION"));
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Headers that the client sets itself.
const OURS: [&str; 7] =
    ["accept", "connection", "content-length", "content-type", "host", "openai-organization", "transfer-encoding"];
