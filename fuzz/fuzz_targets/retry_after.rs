//! Any header and any refusal gives a wait that lies ahead, or none.
#![no_main]

use std::time::{Duration, SystemTime};

use bellwether_provider::decode::{HeaderMap, rate_limits, refusal};
use bellwether_provider::{ErrorKind, Retry};
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 12] = [
    "retry-after",
    "retry-after-ms",
    "x-ms-retry-after-ms",
    "x-ratelimit-reset-requests",
    "x-ratelimit-reset-tokens-minute",
    "x-ratelimit-remaining",
    "x-ratelimit-api_key-remaining-tokens",
    "anthropic-ratelimit-tokens-reset",
    "anthropic-ratelimit-unified-reset",
    "ratelimit",
    "ratelimit-policy",
    "ratelimit-reset",
];

// The first line is a header's name, by its number, and value; the rest is the body.
fuzz_target!(|data: &[u8]| {
    let [which, status, seconds, rest @ ..] = data else { return };
    let (value, body) = rest.split_at(rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()));
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(*seconds) << 24);
    let mut headers = HeaderMap::new();
    if let Ok(value) = value.try_into() {
        headers.insert(NAMES[usize::from(*which) % NAMES.len()], value);
    }
    assert!(rate_limits(&headers, now).retry_after.is_none_or(|wait| !wait.is_zero()));
    let error = refusal("api.example", 300 + u16::from(*status), &headers, body, now);
    assert!(!matches!(error.retry, Retry::After(wait) if wait.is_zero()));
    assert!(error.kind != ErrorKind::Auth || error.retry == Retry::Never, "a refused key is never tried again");
});
