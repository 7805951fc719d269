//! What a client sees of the limits.

use std::num::NonZeroU32;
use std::time::Duration;

use bellwether_sim::{Algorithm, Burst, Fail, Fault, Faults, Limit, Rejections, RetryAfter, Scenario};
use serde_json::{Value, json};

use crate::client::{chat, instant, open, start, until};

#[tokio::test]
async fn the_request_after_the_last_allowed_one_is_told_how_long_to_wait() {
    let limits = vec![Limit { rpm: NonZeroU32::new(2), ..Limit::default() }];
    let simulator = start(Scenario { limits, ..instant() }).await;
    let first = chat(&simulator, json!({})).await;
    assert_eq!(first.header("x-ratelimit-limit-requests"), Some("2"));
    assert_eq!(first.header("x-ratelimit-remaining-requests"), Some("1"));
    assert_eq!(first.header("x-ratelimit-reset-requests"), Some("30s"));
    assert_eq!(first.header("x-ratelimit-limit-tokens"), None);
    assert_eq!(chat(&simulator, json!({})).await.status, 200);
    let refused = chat(&simulator, json!({})).await;
    assert_eq!(refused.status, 429);
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((20..=30).contains(&seconds), "one request comes back every 30 s, less what has passed: {seconds}");
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), Some("0"));
    let error = &refused.json()["error"];
    assert_eq!((&error["code"], &error["type"]), (&json!("rate_limit_exceeded"), &json!("requests")));
    assert!(error["message"].as_str().unwrap().contains("Limit 2, Used 2, Requested 1. Please try again in "));
    assert_eq!(simulator.stats().throttled, 1);
}

#[tokio::test]
async fn a_fixed_window_opens_again_at_its_end() {
    let limit = Limit { algorithm: Algorithm::FixedWindow, rpm: NonZeroU32::new(1), ..Limit::default() };
    let rejections = Rejections { retry_after: RetryAfter::Milliseconds, ..Rejections::default() };
    let simulator = start(Scenario { limits: vec![limit], rejections, ..instant() }).await;
    assert_eq!(chat(&simulator, json!({})).await.status, 200);
    let refused = chat(&simulator, json!({})).await;
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    let millis: u64 = refused.header("retry-after-ms").unwrap().parse().unwrap();
    assert!((40..=60).contains(&seconds) && millis.div_ceil(1_000) == seconds, "{seconds} s, {millis} ms");
}

#[tokio::test]
async fn tokens_are_charged_by_the_cap_and_corrected_by_the_answer() {
    let limits = vec![Limit { tpm: NonZeroU32::new(6_000), ..Limit::default() }];
    let simulator = start(Scenario { limits, ..instant() }).await;
    let first = chat(&simulator, json!({ "max_tokens": 5_000 })).await;
    assert_eq!(first.header("x-ratelimit-remaining-tokens"), Some("995"));
    assert_eq!(chat(&simulator, json!({ "max_tokens": 5_000 })).await.status, 200);
    let refused = chat(&simulator, json!({ "max_tokens": 7_000 })).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, None));
    assert_eq!(refused.header("x-should-retry"), Some("false"));
    assert_eq!(refused.json()["error"]["type"], "tokens");
}

#[tokio::test]
async fn one_more_than_the_slots_is_refused_until_a_client_leaves() {
    let limits = vec![Limit { concurrency: NonZeroU32::new(1), ..Limit::default() }];
    let fail = vec![Fail { request: 1, with: Fault::Stall }];
    let faults = Faults { fail, stall_limit: Duration::from_secs(3_600), ..Faults::default() };
    let simulator = start(Scenario { faults, limits, ..instant() }).await;
    let silent = open(&simulator, json!({ "stream": true })).await;
    until(&simulator, |stats| stats.in_flight == 1).await;
    let refused = chat(&simulator, json!({})).await;
    assert_eq!((refused.status, &refused.json()["error"]["type"]), (429, &json!("concurrency")));
    drop(silent);
    until(&simulator, |stats| stats.in_flight == 0).await;
    assert_eq!(chat(&simulator, json!({})).await.status, 200);
    assert_eq!((simulator.stats().cancelled, simulator.stats().peak_in_flight), (1, 1));
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_frees_its_slot() {
    let mut scenario = instant();
    scenario.latency.first_token = Duration::from_secs(3_600);
    let simulator = start(scenario).await;
    for rest in [json!({}), json!({ "stream": true })] {
        let waiting = open(&simulator, rest).await;
        until(&simulator, |stats| stats.in_flight == 1).await;
        drop(waiting);
        until(&simulator, |stats| stats.in_flight == 0).await;
    }
    assert_eq!(simulator.stats().cancelled, 2);
}

#[tokio::test]
async fn a_burst_refuses_the_requests_after_a_number_and_no_others() {
    let bursts = vec![Burst::Requests { after: 1, count: 3, retry_after: Some(Duration::from_secs(2)) }];
    let simulator = start(Scenario { bursts, ..instant() }).await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        let received = chat(&simulator, json!({})).await;
        let told = if received.status == 429 { Some("2") } else { None };
        assert_eq!(received.header("retry-after"), told);
        statuses.push(received.status);
    }
    assert_eq!(statuses, [200, 429, 429, 429, 200, 200]);
}

#[tokio::test]
async fn refusals_can_be_silent_about_everything() {
    let bursts = vec![Burst::Requests { after: 0, count: 1, retry_after: Some(Duration::from_secs(2)) }];
    let limits = vec![Limit { rpm: NonZeroU32::new(60), ..Limit::default() }];
    let rejections = Rejections {
        charged: false,
        code: "insufficient_quota".to_owned(),
        headers: false,
        retry_after: RetryAfter::None,
        status: 503,
    };
    let simulator = start(Scenario { bursts, limits, rejections, ..instant() }).await;
    let refused = chat(&simulator, json!({})).await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.json()["error"]["code"], "insufficient_quota");
    assert_eq!(refused.json()["error"]["param"], Value::Null);
    assert!(!refused.headers.keys().any(|name| name.starts_with("x-ratelimit") || name.starts_with("retry")));
}
