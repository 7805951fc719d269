//! Every shape of error on record, and what it is.

use std::time::Duration;

use bellwether_core::permit::Level;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::scrub::Scrub;

fn asked() -> Asked {
    Asked { host: "api.example".into(), model: Some("m".into()), scrub: Scrub::default() }
}

fn refusal(status: u16, body: &str) -> ProviderError {
    refused(&asked(), &Head { status, ..Head::default() }, body.as_bytes())
}

fn secs(seconds: f64) -> Retry {
    Retry::After(Duration::from_secs_f64(seconds))
}

#[test]
fn the_status_decides_when_the_body_says_nothing() {
    for (status, kind, retry) in [
        (302, ErrorKind::NotFound, Retry::Never),
        (400, ErrorKind::InvalidRequest, Retry::Never),
        (401, ErrorKind::Auth, Retry::Never),
        (402, ErrorKind::QuotaExhausted, Retry::Never),
        (403, ErrorKind::PermissionDenied, Retry::Never),
        (404, ErrorKind::NotFound, Retry::Never),
        (408, ErrorKind::Upstream, Retry::Backoff),
        (409, ErrorKind::Upstream, Retry::Backoff),
        (413, ErrorKind::ContextLength, Retry::Never),
        (425, ErrorKind::Upstream, Retry::Backoff),
        (429, ErrorKind::RateLimited, Retry::Backoff),
        (500, ErrorKind::Upstream, Retry::Backoff),
        (501, ErrorKind::Upstream, Retry::Never),
        (503, ErrorKind::Overloaded, Retry::Backoff),
        (529, ErrorKind::Overloaded, Retry::Backoff),
    ] {
        for body in ["", "<html>", "no json", "[]", "null", r#"{"error":null}"#] {
            let error = refusal(status, body);
            assert_eq!((error.kind, error.retry), (kind, retry), "{status} {body}");
            assert_eq!(error.details.status, Some(status));
        }
    }
}

fn check(cases: &[(u16, Value, ErrorKind, Retry)]) {
    for (status, body, kind, retry) in cases {
        let error = refusal(*status, &body.to_string());
        assert_eq!((error.kind, error.retry), (*kind, *retry), "{status} {body}");
    }
}

#[test]
fn every_shape_of_error_on_record_is_understood() {
    let cases = [
        (
            429,
            json!({ "error": { "code": "insufficient_quota", "message": "no" } }),
            ErrorKind::QuotaExhausted,
            Retry::Never,
        ),
        (
            429,
            json!({ "error": { "code": "rate_limit_exceeded", "retry_after": 1.2 } }),
            ErrorKind::RateLimited,
            secs(1.2),
        ),
        (
            429,
            json!({ "error": { "type": "tokens", "message": "try again in 1s" } }),
            ErrorKind::RateLimited,
            secs(1.0),
        ),
        (429, json!({ "error": { "code": 429 } }), ErrorKind::RateLimited, Retry::Backoff),
        (429, json!({ "error": "slow" }), ErrorKind::RateLimited, Retry::Backoff),
        (429, json!({ "error": "slow", "retry_after": 2 }), ErrorKind::RateLimited, secs(2.0)),
        (
            429,
            json!({ "type": "error", "error": { "type": "rate_limit_error", "message": "Extra usage is required" } }),
            ErrorKind::QuotaExhausted,
            Retry::Never,
        ),
        (400, json!({ "error": { "code": "context_length_exceeded" } }), ErrorKind::ContextLength, Retry::Never),
        (400, json!({ "message": "maximum context length is 8192" }), ErrorKind::ContextLength, Retry::Never),
        (
            400,
            json!([{ "error": { "status": "RESOURCE_EXHAUSTED", "details": [{ "retryDelay": "37s" }] } }]),
            ErrorKind::RateLimited,
            secs(37.0),
        ),
        (
            401,
            json!({ "error": { "type": "invalid_request_error", "code": "invalid_api_key" } }),
            ErrorKind::Auth,
            Retry::Never,
        ),
    ];
    check(&cases);
}

#[test]
fn a_strong_code_goes_before_the_status_and_a_weak_one_after_it() {
    let cases = [
        (403, json!({ "error": { "code": "insufficient_user_quota" } }), ErrorKind::QuotaExhausted, Retry::Never),
        (422, json!({ "detail": [{ "msg": "field required" }] }), ErrorKind::InvalidRequest, Retry::Never),
        (
            504,
            json!({ "error": { "type": "invalid_request_error", "message": "timed out" } }),
            ErrorKind::Upstream,
            Retry::Backoff,
        ),
        (500, json!({ "error": { "type": "authentication_error" } }), ErrorKind::Upstream, Retry::Backoff),
        (
            529,
            json!({ "type": "error", "error": { "type": "overloaded_error" } }),
            ErrorKind::Overloaded,
            Retry::Backoff,
        ),
    ];
    check(&cases);
    let wrapped = refusal(429, "data: {\"error\":{\"code\":\"insufficient_quota\"}}\n\n");
    assert_eq!(wrapped.kind, ErrorKind::QuotaExhausted);
}

#[test]
fn an_error_where_an_answer_should_be_is_found_and_classified() {
    let head = Head { status: 200, ..Head::default() };
    for (value, kind) in [
        (json!({ "error": { "code": 503, "message": "busy" } }), ErrorKind::Overloaded),
        (json!({ "error": { "code": "429" } }), ErrorKind::RateLimited),
        (json!({ "error": "operation was aborted" }), ErrorKind::Upstream),
        (json!({ "error": { "type": "invalid_request_error" }, "choices": [] }), ErrorKind::InvalidRequest),
        (json!({ "choices": [{ "error": { "code": 502 } }] }), ErrorKind::Upstream),
        (json!({ "message": "no such key", "status_code": 401 }), ErrorKind::Auth),
        (json!({ "type": "error", "error": { "type": "overloaded_error" } }), ErrorKind::Overloaded),
    ] {
        let envelope = Envelope::in_band(&value).unwrap_or_else(|| panic!("{value}"));
        assert_eq!(in_band(&asked(), &head, &envelope, b"").kind, kind, "{value}");
    }
    for value in [
        json!({ "error": null, "choices": [{}] }),
        json!({ "error": "", "choices": [] }),
        json!({ "error": 0, "choices": [{}] }),
        json!({ "message": { "content": "bell" } }),
        json!({}),
        json!(1),
    ] {
        assert_eq!(Envelope::in_band(&value), None, "{value}");
    }
}

#[test]
fn a_message_names_the_host_the_model_and_the_providers_words() {
    let error = refusal(404, r#"{"error":{"message":"The model `m` does not exist."}}"#);
    assert_eq!(
        error.to_string(),
        "api.example does not have the endpoint or the model for model m (404): The model `m` does not exist"
    );
}

#[test]
fn a_server_that_says_not_to_retry_is_believed() {
    let head = Head { status: 500, should_retry: Some(false), ..Head::default() };
    assert_eq!(refused(&asked(), &head, b"").retry, Retry::Never);
}

#[test]
fn a_limit_used_up_that_is_full_again_at_once_names_no_wait() {
    let requests = Level { remaining: Some(0), reset: Some(Duration::ZERO), ..Level::default() };
    let head = Head { status: 429, limits: RateLimits { requests, ..RateLimits::default() }, ..Head::default() };
    let error = refused(&asked(), &head, b"");
    assert_eq!((error.retry, error.details.limits.retry_after), (Retry::Backoff, None));
}

fn json_value() -> impl Strategy<Value = Value> {
    let names = "error|message|code|type|status|choices|detail|retry_after|details|errors|retryDelay|delta";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "[0-9]{1,4}(s|ms)?".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(names, inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_body_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200), status in 0u16..1_000) {
        refused(&asked(), &Head { status, ..Head::default() }, &body);
    }

    #[test]
    fn no_json_makes_it_panic(value in json_value(), status in 0u16..1_000) {
        refusal(status, &value.to_string());
        if let Some(envelope) = Envelope::in_band(&value) {
            in_band(&asked(), &Head::default(), &envelope, b"");
        }
    }
}
