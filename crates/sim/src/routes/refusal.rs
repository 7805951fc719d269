//! Everything that is not an answer, worded as OpenAI words it.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::desk::{Reason, Throttle};
use crate::quota::{Dimension, Refusal};
use crate::scenario::{Fault, Rejections, RetryAfter};
use crate::wire::{self, Malformed};

/// An error and its status.
#[derive(Debug)]
pub(super) struct Refused {
    code: Option<String>,
    hints: Vec<(HeaderName, HeaderValue)>,
    kind: &'static str,
    message: String,
    param: Option<String>,
    status: StatusCode,
}

/// A JSON answer.
pub(super) fn respond(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

// === impl Refused ===

impl Refused {
    fn new(status: StatusCode, kind: &'static str, code: &str, message: impl Into<String>) -> Self {
        Self { code: Some(code.to_owned()), hints: Vec::new(), kind, message: message.into(), param: None, status }
    }

    pub(super) fn context_exceeded(context: u32, asked: u64) -> Self {
        let message = format!(
            "This model's maximum context length is {context} tokens. However, you requested {asked} tokens. Please \
             reduce the length of the messages or completion."
        );
        let refused = Self::new(StatusCode::BAD_REQUEST, INVALID, "context_length_exceeded", message);
        Self { param: Some("messages".to_owned()), ..refused }
    }

    pub(super) fn fault(fault: Fault) -> Self {
        match fault {
            Fault::Error500 => {
                let message = "The server had an error while processing your request (simulated fault).";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "internal_error", message)
            }
            Fault::Error503 | Fault::Reset | Fault::Stall => {
                let message = "The engine is currently overloaded, please try again later (simulated fault).";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", "overloaded", message)
            }
        }
    }

    pub(super) fn malformed(malformed: Malformed) -> Self {
        let Malformed { message, param } = malformed;
        let refused = Self::new(StatusCode::BAD_REQUEST, INVALID, "invalid_request", message);
        Self { param, ..refused }
    }

    pub(super) fn missing_key() -> Self {
        let message = "You didn't provide an API key: send it as `Authorization: Bearer <key>`.";
        Self::new(StatusCode::UNAUTHORIZED, INVALID, "missing_api_key", message)
    }

    pub(super) fn throttle(style: &Rejections, model: &str, throttle: Throttle) -> Self {
        let retry_after = throttle.retry_after.filter(|_| style.retry_after != RetryAfter::None);
        let (kind, mut message, hopeless) = match throttle.reason {
            Reason::Burst => {
                ("requests", format!("Rate limit reached for {model}: slow down (simulated burst)."), false)
            }
            Reason::Limit(refusal) => (kind(refusal.dimension), limit_message(model, &refusal), refusal.too_large),
        };
        let mut hints = Vec::new();
        if let Some(wait) = retry_after {
            message.push_str(&format!(" Please try again in {}.", wire::go_duration(wait)));
            hints.push((header::RETRY_AFTER, rounded_up(wait, 1_000_000_000).into()));
            if style.retry_after == RetryAfter::Milliseconds {
                hints.push((HeaderName::from_static("retry-after-ms"), rounded_up(wait, 1_000_000).into()));
            }
        }
        if hopeless {
            hints.push((HeaderName::from_static("x-should-retry"), HeaderValue::from_static("false")));
        }
        let status = StatusCode::from_u16(style.status).unwrap_or(StatusCode::TOO_MANY_REQUESTS);
        Self { hints, ..Self::new(status, kind, &style.code, message) }
    }

    pub(super) fn unknown_model(model: &str) -> Self {
        let message = format!("The model `{model}` does not exist or you do not have access to it.");
        let refused = Self::new(StatusCode::NOT_FOUND, INVALID, "model_not_found", message);
        Self { param: Some("model".to_owned()), ..refused }
    }

    pub(super) fn unknown_route() -> Self {
        let message = "Unknown request URL. This simulated provider serves POST /v1/chat/completions, GET /v1/models and \
                       GET /stats.";
        Self::new(StatusCode::NOT_FOUND, INVALID, "unknown_url", message)
    }

    pub(super) fn unreadable_body(status: StatusCode) -> Self {
        let (code, message) = match status {
            StatusCode::PAYLOAD_TOO_LARGE => ("request_too_large", "The body is larger than 4 MiB."),
            _ => ("invalid_request", "The body could not be read."),
        };
        Self::new(status, INVALID, code, message)
    }

    pub(super) fn wrong_key() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, INVALID, "invalid_api_key", "Incorrect API key provided.")
    }

    pub(super) fn wrong_method() -> Self {
        let message = "This URL does not serve this method.";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, INVALID, "method_not_allowed", message)
    }

    pub(super) fn into_response(self) -> Response {
        let body = wire::error(&self.message, self.kind, self.param.as_deref(), self.code.as_deref());
        let mut response = respond(self.status, body);
        response.headers_mut().extend(self.hints);
        response
    }
}

const fn kind(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Concurrency => "concurrency",
        Dimension::Requests => "requests",
        Dimension::Tokens => "tokens",
    }
}

fn limit_message(model: &str, refusal: &Refusal) -> String {
    let Refusal { limit, remaining, requested, .. } = refusal;
    let what = match refusal.dimension {
        Dimension::Concurrency => {
            return format!("Rate limit reached for {model} on concurrent requests: Limit {limit}.");
        }
        Dimension::Requests => "requests per min (RPM)",
        Dimension::Tokens => "tokens per min (TPM)",
    };
    if refusal.too_large {
        return format!(
            "Request too large for {model} on {what}: Limit {limit}, Requested {requested}. The input or output tokens \
             must be reduced in order to run successfully."
        );
    }
    let used = limit.saturating_sub(*remaining);
    format!("Rate limit reached for {model} on {what}: Limit {limit}, Used {used}, Requested {requested}.")
}

fn rounded_up(duration: Duration, nanos_per_unit: u128) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(nanos_per_unit)).unwrap_or(u64::MAX)
}

const INVALID: &str = "invalid_request_error";
