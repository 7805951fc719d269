//! What headers and error bodies say about limits, in all the ways in which providers say it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bellwether_core::permit::{Level, RateLimits};
use reqwest::header::HeaderMap;
use serde_json::Value;

/// What the headers of an answer say. `now` gives dates their distance.
pub(crate) fn from_headers(headers: &HeaderMap, now: SystemTime) -> RateLimits {
    RateLimits {
        requests: level(headers, "requests", now),
        tokens: level(headers, "tokens", now),
        retry_after: retry_after(headers, now),
    }
}

/// How long to stay away after a refusal that named no time: until every limit that is used up is full again.
pub(crate) fn reset_of_the_exhausted(limits: &RateLimits) -> Option<Duration> {
    let reset = |level: Level| level.reset.filter(|_| level.remaining == Some(0));
    reset(limits.requests).max(reset(limits.tokens))
}

/// How long an error's body asks us to stay away: `retry_after` beside the message, Google's `retryDelay`, or the
/// sentence in which OpenAI hides it.
pub(crate) fn from_body(error: &Value, message: &str) -> Option<Duration> {
    let field = ["retry_after", "retry_after_seconds"].into_iter().find_map(|name| match error.get(name)? {
        Value::Number(seconds) => in_seconds(seconds.as_f64()?),
        Value::String(text) => duration(text),
        _ => None,
    });
    let millis = || in_seconds(error.get("retry_after_ms")?.as_f64()? / 1_000.0);
    let google =
        || error.get("details")?.as_array()?.iter().find_map(|detail| duration(detail.get("retryDelay")?.as_str()?));
    field.or_else(millis).or_else(google).or_else(|| from_sentence(message))
}

fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let millis = |name| in_seconds(text(headers, name)?.parse::<f64>().ok()? / 1_000.0);
    let moment = || {
        let text = text(headers, "retry-after")?;
        reset(text, now).or_else(|| httpdate::parse_http_date(text).ok()?.duration_since(now).ok())
    };
    millis("retry-after-ms").or_else(|| millis("x-ms-retry-after-ms")).or_else(moment).filter(|wait| !wait.is_zero())
}

/// A limit in OpenAI's headers, in Anthropic's, or, for requests, in the ones without a unit.
fn level(headers: &HeaderMap, unit: &str, now: SystemTime) -> Level {
    let either = |what: &str| {
        text(headers, &format!("x-ratelimit-{what}-{unit}"))
            .or_else(|| text(headers, &format!("anthropic-ratelimit-{unit}-{what}")))
            .or_else(|| text(headers, &format!("x-ratelimit-{what}")).filter(|_| unit == "requests"))
    };
    Level {
        limit: either("limit").and_then(count),
        remaining: either("remaining").and_then(count),
        reset: either("reset").and_then(|text| reset(text, now).or_else(|| until(rfc3339(text)?, now))),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn count(text: &str) -> Option<u64> {
    let fraction = || in_seconds(text.parse().ok()?).map(|whole| whole.as_secs());
    text.parse().ok().or_else(fraction)
}

/// A span such as `6m0s` or `1.5`, or a moment in seconds or milliseconds since 1970.
fn reset(text: &str, now: SystemTime) -> Option<Duration> {
    match text.parse::<f64>() {
        Ok(millis) if millis > 1e12 => until(in_seconds(millis / 1_000.0)?, now),
        Ok(seconds) if seconds > 1e9 => until(in_seconds(seconds)?, now),
        Ok(seconds) => in_seconds(seconds),
        Err(_) => duration(text),
    }
}

fn until(since_1970: Duration, now: SystemTime) -> Option<Duration> {
    UNIX_EPOCH.checked_add(since_1970)?.duration_since(now).ok()
}

fn in_seconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

/// A span in Go's notation, such as `6m0s`, `1h2m3.5s` or `250ms`; seconds without a unit.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let seconds = match unit {
            "d" => 86_400.0,
            "h" => 3_600.0,
            "m" => 60.0,
            "s" | "" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total = total.checked_add(in_seconds(number.parse::<f64>().ok()? * seconds)?)?;
        rest = tail;
    }
    (!text.trim().is_empty()).then_some(total)
}

/// `... try again in 1m30.5s.` or `... retry after 1.2 seconds.`
fn from_sentence(message: &str) -> Option<Duration> {
    let lower = message.to_ascii_lowercase();
    let tail = ["try again in ", "retry after ", "retry in "]
        .into_iter()
        .find_map(|phrase| Some(&lower[lower.find(phrase)? + phrase.len()..]))?;
    let mut words = tail.split_whitespace();
    let span = words.next()?.trim_end_matches(['.', ',', ';', ')']);
    let scale = match words.next().map(|word| word.trim_end_matches(['.', ',', ';', ')'])) {
        Some("minutes" | "minute" | "min") => 60,
        Some("ms" | "milliseconds") => return in_seconds(span.parse::<f64>().ok()? / 1_000.0),
        _ => 1,
    };
    duration(span)?.checked_mul(scale).filter(|wait| !wait.is_zero())
}

/// Seconds since 1970 of a moment such as `2026-11-22T19:17:35Z` or `...35.25+02:00`; `None` before 1970.
fn rfc3339(text: &str) -> Option<Duration> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let mark = |(at, mark): (usize, u8)| text.as_bytes().get(at).is_some_and(|byte| byte.eq_ignore_ascii_case(&mark));
    if ![(4, b'-'), (7, b'-'), (10, b't'), (13, b':'), (16, b':')].into_iter().all(mark) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let seconds = number(11..13)? * 3_600 + number(14..16)? * 60 + number(17..19)?;
    let tail = text.get(19..)?;
    let zone = tail.find(['Z', 'z', '+', '-'])?;
    let fraction = if zone == 0 { 0.0 } else { format!("0{}", &tail[..zone]).parse::<f64>().ok()? };
    let offset = match tail[zone..].split_at(1) {
        ("Z" | "z", "") => 0,
        (sign, offset) => {
            let (hours, minutes) = offset.split_once(':')?;
            let minutes = i64::from(hours.parse::<u8>().ok()?) * 60 + i64::from(minutes.parse::<u8>().ok()?);
            if sign == "-" { -minutes } else { minutes }
        }
    };
    if !(1..=12).contains(&month) {
        return None;
    }
    // Years begin in March here, so that the leap day comes last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468;
    let whole = u64::try_from(days * 86_400 + seconds - offset * 60).ok()?;
    Duration::from_secs(whole).checked_add(in_seconds(fraction)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::header::{HeaderName, HeaderValue};
    use serde_json::json;

    use super::*;

    /// A Sunday: `Sun, 22 Nov 2026 19:17:35 GMT`.
    const NOW: Duration = Duration::from_secs(1_795_375_055);

    fn read(headers: &[(&'static str, &'static str)]) -> RateLimits {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
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
        assert_eq!(openai.tokens, Level { limit: Some(30_000), remaining: Some(0), reset: minute });
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
}
