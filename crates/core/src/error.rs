//! How a call fails, and when to try again.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::permit::RateLimits;

/// What went wrong with a call, classified once, where the bytes were read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct ProviderError {
    /// What kind of failure it is.
    pub kind: ErrorKind,
    /// When to try again.
    pub retry: Retry,
    /// What happened, for people: a lowercase fragment without any secret.
    pub message: String,
    /// What else is known.
    pub details: Box<Details>,
    /// The cause, if another error lies beneath.
    #[source]
    pub cause: Option<Arc<dyn Error + Send + Sync>>,
}

/// What else is known of a failure.
#[derive(Clone, Debug, Default)]
pub struct Details {
    /// The HTTP status.
    pub status: Option<u16>,
    /// The provider's own code, such as `insufficient_quota`.
    pub code: Option<String>,
    /// The provider's id of the request, for its support.
    pub request_id: Option<String>,
    /// The beginning of the body, scrubbed of the key.
    pub body: String,
    /// What the provider said about its limits.
    pub limits: RateLimits,
    /// Whether a part of the answer was handed on before the failure.
    pub emitted_output: bool,
    /// Whether the model may have run all the same, so that the call may be billed.
    pub may_have_executed: bool,
    /// How often the call was sent before this failure; filled in by a retry layer.
    pub retries: u32,
}

impl ProviderError {
    /// A failure of this kind, with the kind's usual retry hint.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, retry: kind.retry(), message: message.into(), details: Box::default(), cause: None }
    }

    /// The same with another retry hint.
    #[must_use]
    pub const fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// The same with the error that lies beneath.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Error + Send + Sync + 'static) -> Self {
        self.cause = Some(Arc::new(cause));
        self
    }

    /// An answer that ended before the model did.
    #[must_use]
    pub fn truncated(emitted_output: bool) -> Self {
        let mut error = Self::new(ErrorKind::Truncated, "the answer ended before the model was done");
        error.details.emitted_output = emitted_output;
        error.details.may_have_executed = true;
        error
    }
}

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The key is missing, wrong or expired.
    Auth,
    /// A budget of ours does not cover the call.
    BudgetExceeded,
    /// The caller went away.
    Cancelled,
    /// No connection could be made, or it broke before an answer began.
    Connect,
    /// The provider's filter rejected the request.
    ContentFiltered,
    /// The conversation does not fit the model's window.
    ContextLength,
    /// The deadline is past, or cannot be met.
    DeadlineExceeded,
    /// The answer is not what the protocol says.
    Decode,
    /// The request itself is wrong.
    InvalidRequest,
    /// The endpoint or the model does not exist.
    NotFound,
    /// The provider has no capacity at the moment.
    Overloaded,
    /// The key may not do this.
    PermissionDenied,
    /// Our own queue is full.
    QueueFull,
    /// The account has no money or no allowance left; waiting a little does not help.
    QuotaExhausted,
    /// Too many requests or tokens in too short a time.
    RateLimited,
    /// Nothing came for too long.
    Timeout(Phase),
    /// The answer ended before the model did.
    Truncated,
    /// The provider failed in another way.
    Upstream,
}

impl ErrorKind {
    /// The kind in snake case, as metrics and reports name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::BudgetExceeded => "budget_exceeded",
            Self::Cancelled => "cancelled",
            Self::Connect => "connect",
            Self::ContentFiltered => "content_filtered",
            Self::ContextLength => "context_length",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Decode => "decode",
            Self::InvalidRequest => "invalid_request",
            Self::NotFound => "not_found",
            Self::Overloaded => "overloaded",
            Self::PermissionDenied => "permission_denied",
            Self::QueueFull => "queue_full",
            Self::QuotaExhausted => "quota_exhausted",
            Self::RateLimited => "rate_limited",
            Self::Timeout(Phase::Connect) => "timeout_connect",
            Self::Timeout(Phase::FirstToken) => "timeout_first_token",
            Self::Timeout(Phase::Idle) => "timeout_idle",
            Self::Timeout(Phase::Total) => "timeout_total",
            Self::Truncated => "truncated",
            Self::Upstream => "upstream",
        }
    }

    /// Whether every further call on the same key and budget would fail in the same way.
    #[must_use]
    pub const fn is_hopeless(self) -> bool {
        matches!(self, Self::Auth | Self::BudgetExceeded | Self::PermissionDenied | Self::QuotaExhausted)
    }

    /// The retry hint this kind has when the provider gave none.
    #[must_use]
    pub const fn retry(self) -> Retry {
        match self {
            Self::Connect
            | Self::Decode
            | Self::Overloaded
            | Self::RateLimited
            | Self::Timeout(_)
            | Self::Truncated
            | Self::Upstream => Retry::Backoff,
            _ => Retry::Never,
        }
    }
}

/// Which of the four timeouts ran out.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Making the connection.
    Connect,
    /// Waiting for the first piece of the answer.
    FirstToken,
    /// Waiting for the next piece.
    Idle,
    /// The call as a whole.
    Total,
}

/// When to try again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Retry {
    /// Not before this much time has passed: the provider said so.
    After(Duration),
    /// After a growing, jittered pause.
    Backoff,
    /// The same call will fail again.
    Never,
    /// At once.
    Now,
}
