//! The client's reading without its connection, for whoever has an HTTP client of their own.
//!
//! Nothing here does I/O or reads a clock, and everything is bounded.

use std::time::SystemTime;

use bellwether_core::chat::{ChatEvent, Started};
use bellwether_core::permit::RateLimits;
use bellwether_core::{ErrorKind, ProviderError};
pub use reqwest::header::HeaderMap;

use crate::asked::Asked;
use crate::classify::{self, Head};
use crate::dialect::Dialect;
use crate::limits;
use crate::reading::Reading;
use crate::scrub::Scrub;
use crate::transport;

/// Reads the body of a chat's answer piece by piece, whether it is a stream or a whole, in every dialect.
///
/// The events do not depend on where the pieces end. After an error nothing follows.
///
/// ```
/// use bellwether_provider::decode::AnswerDecoder;
/// use bellwether_provider::{ChatEvent, FinishReason};
///
/// let mut answer = AnswerDecoder::new("api.example");
/// answer.feed(b"data: {\"choices\":[{\"delta\":{\"content\":\"be");
/// answer.feed(b"ll\"}}]}\n\ndata: [DONE]\n\n");
/// answer.finish();
/// let events: Vec<_> = std::iter::from_fn(|| answer.next_event()).collect::<Result<_, _>>()?;
/// assert_eq!(events[1..], [ChatEvent::Text("bell".to_owned()), ChatEvent::Finished(FinishReason::Stop)]);
/// # Ok::<(), bellwether_provider::ProviderError>(())
/// ```
#[derive(Debug)]
pub struct AnswerDecoder(Reading);

impl AnswerDecoder {
    /// Begins an answer of `host`, as messages name it.
    #[must_use]
    pub fn new(host: &str) -> Self {
        let head = Head { status: 200, ..Head::default() };
        Self(Reading::new(asked(host), head, Dialect::new(Started::default(), None, 0)))
    }

    /// Takes the next bytes of the body.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.0.feed(bytes);
    }

    /// Says that the body is over.
    pub fn finish(&mut self) {
        self.0.end();
    }

    /// Says that the connection broke. An answer that was complete by then is complete.
    pub fn broke(&mut self) {
        self.0.stop(ProviderError::new(ErrorKind::Truncated, "the connection broke in the middle of the answer"));
    }

    /// The next event that is ready, or the error that ends the answer.
    ///
    /// # Errors
    ///
    /// A classified failure; see [`ErrorKind`].
    pub fn next_event(&mut self) -> Option<Result<ChatEvent, ProviderError>> {
        self.0.next()
    }

    /// Whether no further bytes are wanted: the answer is complete, or it failed.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.0.is_over()
    }
}

/// What the headers of an answer say about limits, in every family on record. `now` gives dates their distance.
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use bellwether_provider::decode::{HeaderMap, rate_limits};
///
/// let mut headers = HeaderMap::new();
/// headers.insert("retry-after", "1.5".parse()?);
/// headers.insert("x-ratelimit-remaining-tokens", "900".parse()?);
/// let limits = rate_limits(&headers, SystemTime::UNIX_EPOCH);
/// assert_eq!((limits.retry_after, limits.tokens.remaining), (Some(Duration::from_millis(1_500)), Some(900)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn rate_limits(headers: &HeaderMap, now: SystemTime) -> RateLimits {
    limits::from_headers(headers, now)
}

/// What a refusal is: an answer of `host` whose status is no success.
#[must_use]
pub fn refusal(host: &str, status: u16, headers: &HeaderMap, body: &[u8], now: SystemTime) -> ProviderError {
    let scrub = Scrub::default();
    classify::refused(&asked(host), &transport::head(status, headers, &scrub, now), body)
}

fn asked(host: &str) -> Asked {
    Asked { host: host.into(), model: None, scrub: Scrub::default() }
}
