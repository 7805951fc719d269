//! Every form on record.

use proptest::prelude::*;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::json;

use std::time::UNIX_EPOCH;

use super::*;

/// A Sunday: `Sun, 22 Nov 2026 19:17:35 GMT`.
const NOW: Duration = Duration::from_secs(1_795_375_055);

fn read(headers: &[(&'static str, &'static str)]) -> RateLimits {
    let headers =
        headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect();
    from_headers(&headers, UNIX_EPOCH + NOW)
}

fn wait(name: &'static str, value: &'static str) -> Option<Duration> {
    read(&[(name, value)]).retry_after
}

#[test]
fn a_pause_is_read_in_every_form_in_which_it_is_sent() {
    let millis = |millis| Some(Duration::from_millis(millis));
    assert_eq!(wait("retry-after", "45"), millis(45_000));
    assert_eq!(wait("retry-after", "1.25"), millis(1_250));
    assert_eq!(wait("retry-after", "Sun, 22 Nov 2026 19:17:45 GMT"), millis(10_000));
    assert_eq!(wait("retry-after", "1795375058"), millis(3_000));
    assert_eq!(wait("retry-after-ms", "250.5"), Some(Duration::from_micros(250_500)));
    assert_eq!(wait("x-ms-retry-after-ms", "70"), millis(70));
    assert_eq!(read(&[("retry-after", "9"), ("retry-after-ms", "8")]).retry_after, millis(8));
}

#[test]
fn a_pause_that_makes_no_sense_is_no_pause() {
    for text in ["-1", "NaN", "inf", "0", "soon", "", "Sun, 22 Nov 2020 19:17:45 GMT", "1e300"] {
        assert_eq!(wait("retry-after", text), None, "{text}");
    }
}

#[test]
fn limits_are_read_in_the_dialects_of_three_families() {
    let openai = read(&[
        ("x-ratelimit-limit-tokens", "30000"),
        ("x-ratelimit-remaining-tokens", "0"),
        ("x-ratelimit-reset-tokens", "1m0.5s"),
        ("x-ratelimit-remaining-requests", "-1"),
        ("x-ratelimit-reset-requests", "12ms"),
    ]);
    let minute = Some(Duration::from_millis(60_500));
    assert_eq!(openai.tokens, Level { limit: Some(30_000), remaining: Some(0), reset: minute, window: None });
    assert_eq!(openai.requests.remaining, None);
    assert_eq!(openai.requests.reset, Some(Duration::from_millis(12)));
    assert_eq!(reset_of_the_exhausted(&openai), minute);
    let anthropic = read(&[
        ("anthropic-ratelimit-requests-remaining", "4"),
        ("anthropic-ratelimit-requests-reset", "2026-11-22T19:17:40Z"),
        ("anthropic-ratelimit-tokens-reset", "2026-11-22T21:17:36.5+02:00"),
    ]);
    assert_eq!(anthropic.requests.reset, Some(Duration::from_secs(5)));
    assert_eq!(anthropic.tokens.reset, Some(Duration::from_millis(1_500)));
    let bare = read(&[("x-ratelimit-limit", "10000"), ("x-ratelimit-reset", "1795375057")]);
    assert_eq!(bare.requests.limit, Some(10_000));
    assert_eq!(bare.requests.reset, Some(Duration::from_secs(2)));
    assert_eq!(bare.tokens, Level::default());
}

#[test]
fn a_body_says_how_long_in_a_field_or_in_a_sentence() {
    let millis = |millis| Some(Duration::from_millis(millis));
    assert_eq!(from_body(&json!({ "retry_after": 1.2 }), ""), millis(1_200));
    assert_eq!(from_body(&json!({ "details": [{}, { "retryDelay": "37s" }] }), ""), millis(37_000));
    for (sentence, expected) in [
        ("Limit 30000, Used 29000. Please try again in 59.977s. Visit us.", millis(59_977)),
        ("Please try again in 1m30s.", millis(90_000)),
        ("please try again in 250ms", millis(250)),
        ("Request quota exceeded. Retry after 1.2 seconds.", millis(1_200)),
        ("retry after 2 minutes", millis(120_000)),
        ("try again in a while", None),
    ] {
        assert_eq!(from_body(&Value::Null, sentence), expected, "{sentence}");
    }
}

#[test]
fn every_other_family_on_record_is_read_too() {
    let secs = |seconds| Some(Duration::from_secs(seconds));
    let anthropic = read(&[
        ("anthropic-ratelimit-input-tokens-limit", "50000"),
        ("anthropic-ratelimit-input-tokens-remaining", "49000"),
        ("anthropic-ratelimit-output-tokens-remaining", "0"),
        ("anthropic-ratelimit-output-tokens-reset", "2026-11-22T19:17:40Z"),
    ]);
    assert_eq!((anthropic.input_tokens.limit, anthropic.input_tokens.remaining), (Some(50_000), Some(49_000)));
    assert_eq!((anthropic.output_tokens.remaining, reset_of_the_exhausted(&anthropic)), (Some(0), secs(5)));
    let plan =
        [("anthropic-ratelimit-unified-status", "rejected"), ("anthropic-ratelimit-unified-reset", "1795375064")];
    assert_eq!((read(&plan).retry_after, read(&plan[1..]).retry_after), (secs(9), None));
    let cerebras = read(&[
        ("x-ratelimit-limit-requests-day", "14400"),
        ("x-ratelimit-remaining-tokens-minute", "29000"),
        ("x-ratelimit-reset-tokens-minute", "3.382"),
    ]);
    assert_eq!((cerebras.requests.limit, cerebras.requests.window), (Some(14_400), secs(86_400)));
    assert_eq!((cerebras.tokens.remaining, cerebras.tokens.window), (Some(29_000), secs(60)));
    assert_eq!(cerebras.tokens.reset, Some(Duration::from_millis(3_382)));
    let groq = read(&[
        ("x-groq-region", "us"),
        ("x-ratelimit-limit-requests", "14400"),
        ("x-ratelimit-limit-tokens", "18000"),
    ]);
    assert_eq!((groq.requests.window, groq.tokens.window), (secs(86_400), None));
    let openrouter =
        read(&[("x-ratelimit-limit", "20"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795375057000")]);
    assert_eq!((openrouter.requests.remaining, openrouter.requests.reset), (Some(0), secs(2)));
    let azure = read(&[
        ("x-ratelimit-remaining-requests", "-1"),
        ("x-ratelimit-remaining-tokens", "8"),
        ("x-ratelimit-reset-tokens", "7"),
    ]);
    assert_eq!((azure.requests.remaining, azure.tokens.remaining, azure.tokens.reset), (None, Some(8), secs(7)));
    for (headers, window) in [
        (&[("ratelimit", "limit=20, remaining=3, reset=7"), ("ratelimit-policy", "20;w=60")][..], secs(60)),
        (&[("ratelimit", "\"default\";r=3;t=7"), ("ratelimit-policy", "\"default\";q=20;w=60")], secs(60)),
        (&[("ratelimit-limit", "20"), ("ratelimit-remaining", "3"), ("ratelimit-reset", "7")], None),
    ] {
        let level = Level { limit: Some(20), remaining: Some(3), reset: secs(7), window };
        assert_eq!(read(headers).requests, level, "{headers:?}");
    }
    let litellm = read(&[
        ("x-ratelimit-api_key-remaining-tokens", "900"),
        ("x-ratelimit-api_key-limit-tokens", "1000"),
        ("x-ratelimit-team-remaining-tokens", "40"),
        ("llm_provider-x-ratelimit-remaining-requests", "7"),
    ]);
    assert_eq!((litellm.tokens.remaining, litellm.tokens.limit, litellm.requests.remaining), (Some(40), None, Some(7)));
    let project = read(&[("x-ratelimit-limit-project-tokens", "5"), ("x-ratelimit-limit-requests_usage_based", "6")]);
    assert_eq!((project.tokens.limit, project.requests.limit), (Some(5), Some(6)));
}

#[test]
fn a_sentence_names_a_wait_in_any_unit_and_a_wait_of_nothing_hides_no_other() {
    for (sentence, seconds) in [
        ("try again in 24 hours.", 86_400.0),
        ("Please retry after 1 hour and 5 minutes", 3_900.0),
        ("try again in 2 days", 172_800.0),
        ("try again in 1 minute 30 seconds.", 90.0),
        ("try again in 1.5 minutes", 90.0),
        ("try again in 20 secs", 20.0),
        ("try again in 250 ms", 0.25),
        ("try again in 20s. 3 requests are left", 20.0),
        ("try again in 1m30s", 90.0),
        ("retry in 7", 7.0),
    ] {
        assert_eq!(from_body(&json!({}), sentence), Some(Duration::from_secs_f64(seconds)), "{sentence}");
    }
    for silent in ["try again in a few minutes", "try again in 0 seconds", "try again in nan hours", "retry in 1e999 s"]
    {
        assert_eq!(from_body(&json!({}), silent), None, "{silent}");
    }
    let nothing = json!({ "retry_after_ms": 0, "details": [{ "retryDelay": "0s" }] });
    assert_eq!(from_body(&nothing, "try again in 20s"), Some(Duration::from_secs(20)));
    let google = json!({ "retry_after_ms": 0, "details": [{ "retryDelay": "9s" }] });
    assert_eq!(from_body(&google, ""), Some(Duration::from_secs(9)));
}

#[test]
fn a_sentence_teaches_the_limit_and_which_one_it_is() {
    let sentence = "Rate limit reached for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Used 29000, \
        Requested 1500. Please try again in 1s.";
    let learnt_level = learnt(RateLimits::default(), sentence).tokens;
    let minute = Some(Duration::from_secs(60));
    assert_eq!(learnt_level, Level { limit: Some(30_000), remaining: Some(1_000), reset: None, window: minute });
    let daily = learnt(RateLimits::default(), "on requests per day (RPD): Limit 200, Used 200, Requested 1.").requests;
    assert_eq!((daily.limit, daily.remaining, daily.window), (Some(200), Some(0), Some(Duration::from_secs(86_400))));
    let told = RateLimits { tokens: Level { limit: Some(5), ..Level::default() }, ..RateLimits::default() };
    assert_eq!(learnt(told, sentence).tokens.limit, Some(5), "a header goes before a sentence");
    assert_eq!(learnt(told, "slow down"), told);
}

proptest! {
    #[test]
    fn no_header_makes_it_panic(text in "\\PC{0,24}|[-+0-9.eE:TZ]{0,30}|[0-9.]{1,12}(s|ms|m|h|d)[0-9.]{0,9}s?") {
        if let Ok(value) = HeaderValue::from_str(&text) {
            let names = ["retry-after", "retry-after-ms", "x-ratelimit-reset-tokens", "x-ratelimit-limit"];
            let headers = names.into_iter().map(|name| (HeaderName::from_static(name), value.clone())).collect();
            from_headers(&headers, UNIX_EPOCH + NOW);
        }
        rfc3339(&text);
        from_body(&json!({ "retry_after": text }), &format!("try again in {text}"));
    }
}
