//! What a failure is, decided once, where its bytes are read.

mod envelope;

use bellwether_core::permit::RateLimits;
use bellwether_core::{ErrorKind, ProviderError, Retry};

use crate::asked::{Asked, clip};
use crate::limits;

pub(crate) use envelope::Envelope;

/// What is known of an answer from its head.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) request_id: Option<String>,
    pub(crate) limits: RateLimits,
    /// What `x-should-retry` says.
    pub(crate) should_retry: Option<bool>,
    /// Where a redirect points: a host, never a whole address.
    pub(crate) redirect: Option<String>,
}

/// A refusal: the head says failure, and the body may say why.
pub(crate) fn refused(asked: &Asked, head: &Head, body: &[u8]) -> ProviderError {
    let envelope = Envelope::of_failure(body);
    let kind = kind_of(Some(head.status), &envelope);
    let mut error = worded(asked, head, Some(head.status), kind, &envelope);
    error.details.body = asked.excerpt(body);
    error.details.may_have_executed = matches!(head.status, 408 | 500 | 502 | 504 | 520..=527);
    error
}

/// An error where an answer should be: in a body with a good status, or in the middle of a stream.
pub(crate) fn in_band(asked: &Asked, head: &Head, envelope: &Envelope, body: &[u8]) -> ProviderError {
    let kind = kind_of(envelope.status, envelope);
    let status = envelope.status.or(Some(head.status));
    let mut error = worded(asked, head, status, kind, envelope);
    error.details.body = asked.excerpt(body);
    error.details.may_have_executed =
        matches!(kind, ErrorKind::Upstream | ErrorKind::ContentFiltered | ErrorKind::Overloaded);
    error
}

fn worded(asked: &Asked, head: &Head, status: Option<u16>, kind: ErrorKind, envelope: &Envelope) -> ProviderError {
    let mut limits = head.limits;
    if kind == ErrorKind::RateLimited {
        limits = limits::learnt(limits, &envelope.message);
        limits.retry_after = limits.retry_after.or(envelope.wait).or_else(|| limits::reset_of_the_exhausted(&limits));
    } else {
        limits.retry_after = limits.retry_after.or(envelope.wait);
    }
    let mut message = asked.says(verb(kind, status));
    if let Some(host) = &head.redirect {
        message.push_str(&format!(", pointing to {host}"));
    }
    if let Some(status) = status.filter(|status| *status != 200) {
        message.push_str(&format!(" ({status})"));
    }
    if is_redirect(status) {
        message.push_str("; none is ever followed: check the base url");
    }
    if !envelope.message.is_empty() {
        message.push_str(": ");
        message.push_str(clip(asked.scrub.apply(envelope.message.trim()).trim_end_matches('.'), 300));
    }
    let retry = match (kind.retry(), head.should_retry, limits.retry_after) {
        (Retry::Never, _, _) | (_, Some(false), _) => Retry::Never,
        (_, _, Some(wait)) => Retry::After(wait),
        (usual, ..) => usual,
    };
    // No other server error is final, but one that does not know the method will not learn it.
    let retry = if status == Some(501) { Retry::Never } else { retry };
    let mut error = ProviderError::new(kind, message).with_retry(retry);
    let scrubbed = |text: &String| clip(&asked.scrub.apply(text), 120).to_owned();
    error.details.status = status;
    error.details.code = envelope.code.as_ref().or(envelope.kind.as_ref()).map(scrubbed);
    error.details.request_id = head.request_id.as_ref().or(envelope.request_id.as_ref()).map(scrubbed);
    error.details.limits = limits;
    error
}

fn verb(kind: ErrorKind, status: Option<u16>) -> &'static str {
    match kind {
        ErrorKind::Auth => "refused the key",
        ErrorKind::ContentFiltered => "rejected the content",
        ErrorKind::ContextLength => "says that the conversation is too long",
        ErrorKind::InvalidRequest => "rejected the request",
        ErrorKind::NotFound if is_redirect(status) => "sent a redirect",
        ErrorKind::NotFound => "does not have the endpoint or the model",
        ErrorKind::Overloaded => "is overloaded",
        ErrorKind::PermissionDenied => "does not let the key do this",
        ErrorKind::QuotaExhausted => "says that the account has nothing left",
        ErrorKind::RateLimited => "asked us to slow down",
        _ => "failed",
    }
}

fn is_redirect(status: Option<u16>) -> bool {
    status.is_some_and(|status| (300..400).contains(&status))
}

/// What a failure with this status and these words is. A status of `None` is one that came in a stream.
fn kind_of(status: Option<u16>, envelope: &Envelope) -> ErrorKind {
    let named = || [&envelope.code, &envelope.kind].into_iter().flatten().find_map(|code| by_code(code));
    let from_code = match named() {
        // A server's own trouble with its upstream's key is not trouble with ours.
        Some(kind) if status.is_some_and(|status| status >= 500) => matches!(
            kind,
            ErrorKind::ContentFiltered
                | ErrorKind::ContextLength
                | ErrorKind::Overloaded
                | ErrorKind::QuotaExhausted
                | ErrorKind::RateLimited
        )
        .then_some(kind),
        named => named,
    };
    out_of_money(status, &envelope.message)
        .or(from_code)
        .or_else(|| too_long(status, &envelope.message))
        .or_else(|| status.filter(|status| *status >= 300).map(by_status))
        .or_else(|| [&envelope.code, &envelope.kind].into_iter().flatten().find_map(|code| by_weak_code(code)))
        .unwrap_or(ErrorKind::Upstream)
}

/// Codes that say more than the status does.
fn by_code(code: &str) -> Option<ErrorKind> {
    Some(match code.to_ascii_lowercase().as_str() {
        "account_deactivated"
        | "authentication_error"
        | "api_key_invalid"
        | "expired_api_key"
        | "invalid_api_key"
        | "invalid_authentication"
        | "unauthenticated" => ErrorKind::Auth,
        "content_filter"
        | "content_policy_violation"
        | "data_inspection_failed"
        | "moderation_blocked"
        | "responsibleaipolicyviolation"
        | "sensitive_words_detected" => ErrorKind::ContentFiltered,
        "context_length_exceeded" | "context_window_exceeded" | "max_tokens_exceeded" | "request_too_large" => {
            ErrorKind::ContextLength
        }
        "model_not_found" | "not_found_error" => ErrorKind::NotFound,
        "engine_overloaded" | "overloaded" | "overloaded_error" | "server_overloaded" => ErrorKind::Overloaded,
        "access_denied" | "permission_denied" | "permission_error" => ErrorKind::PermissionDenied,
        "billing_error"
        | "billing_hard_limit_reached"
        | "billing_not_active"
        | "budget_exceeded"
        | "credit_balance_exhausted"
        | "credit_balance_too_low"
        | "insufficient_balance"
        | "insufficient_credits"
        | "insufficient_quota"
        | "insufficient_user_quota"
        | "payment_required"
        | "spend_limit_exceeded"
        | "usage_limit_exceeded"
        | "usage_limit_reached" => ErrorKind::QuotaExhausted,
        "limit_burst_rate"
        | "rate_limit"
        | "rate_limit_error"
        | "rate_limit_exceeded"
        | "rate_limited"
        | "resource_exhausted"
        | "throttling"
        | "too_many_requests" => ErrorKind::RateLimited,
        _ => return None,
    })
}

/// Codes that say less than a status does; they count where there is none.
fn by_weak_code(code: &str) -> Option<ErrorKind> {
    Some(match code.to_ascii_lowercase().as_str() {
        "invalid_argument" | "invalid_request" | "invalid_request_error" => ErrorKind::InvalidRequest,
        "not_found" => ErrorKind::NotFound,
        "service_unavailable" | "unavailable" => ErrorKind::Overloaded,
        "requests" | "tokens" => ErrorKind::RateLimited,
        _ => return None,
    })
}

// Two things are said in words only by some relays. Each phrase is on record; nothing else is read out of a message.

/// Sent with 400, 402, 403 and 429 alike, even under the code of a plain rate limit.
fn out_of_money(status: Option<u16>, message: &str) -> Option<ErrorKind> {
    let phrases = ["credit balance", "extra usage is required", "insufficient balance", "insufficient credit"];
    let refused = status.is_none_or(|status| matches!(status, 400 | 402 | 403 | 429));
    (refused && says(message, &phrases)).then_some(ErrorKind::QuotaExhausted)
}

fn too_long(status: Option<u16>, message: &str) -> Option<ErrorKind> {
    let phrases = ["context length", "context window", "maximum context", "prompt is too long"];
    let rejected = status.is_none_or(|status| matches!(status, 400 | 413 | 422));
    (rejected && says(message, &phrases) && !says(message, &["rate limit"])).then_some(ErrorKind::ContextLength)
}

fn says(message: &str, phrases: &[&str]) -> bool {
    let lower = message.to_ascii_lowercase();
    phrases.iter().any(|phrase| lower.contains(phrase))
}

fn by_status(status: u16) -> ErrorKind {
    match status {
        300..=399 | 404 => ErrorKind::NotFound,
        401 => ErrorKind::Auth,
        402 => ErrorKind::QuotaExhausted,
        403 => ErrorKind::PermissionDenied,
        408 | 409 | 425 => ErrorKind::Upstream,
        413 => ErrorKind::ContextLength,
        429 => ErrorKind::RateLimited,
        400..=499 => ErrorKind::InvalidRequest,
        503 | 529 => ErrorKind::Overloaded,
        _ => ErrorKind::Upstream,
    }
}

#[cfg(test)]
mod tests;
