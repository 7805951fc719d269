//! What headers and error bodies say about limits, in all the ways in which providers say it.

mod moment;
mod sentence;

use std::time::{Duration, SystemTime};

use bellwether_core::permit::{Level, RateLimits};
use reqwest::header::HeaderMap;
use serde_json::Value;

use moment::{duration, in_seconds, reset, rfc3339, until};
pub(crate) use sentence::learnt;

/// What the headers of an answer say. `now` gives dates their distance.
pub(crate) fn from_headers(headers: &HeaderMap, now: SystemTime) -> RateLimits {
    let sent = Sent { headers, now };
    // Most relays say nothing about limits, and then there is nothing to look for.
    if !headers.keys().any(|name| name.as_str().contains("ratelimit")) {
        let named = headers.keys().any(|name| name.as_str().trim_end_matches("-ms").ends_with("retry-after"));
        let retry_after = if named { sent.retry_after() } else { None };
        return RateLimits { retry_after, ..RateLimits::default() };
    }
    let mut limits = RateLimits {
        requests: sent.level("requests"),
        tokens: sent.level("tokens"),
        input_tokens: sent.level("input-tokens"),
        output_tokens: sent.level("output-tokens"),
        retry_after: sent.retry_after(),
    };
    // Groq counts requests by the day under the name that others use for the minute.
    if limits.requests.window.is_none() && headers.keys().any(|name| name.as_str().starts_with("x-groq-")) {
        limits.requests.window = Some(DAY);
    }
    limits
}

/// How long to stay away after a refusal that named no time: until every limit that is used up is full again. A limit
/// said to be used up and full again in the same moment names no time.
pub(crate) fn reset_of_the_exhausted(limits: &RateLimits) -> Option<Duration> {
    let reset = |level: Level| level.reset.filter(|_| level.remaining == Some(0)).filter(lasts);
    [limits.requests, limits.tokens, limits.input_tokens, limits.output_tokens].into_iter().filter_map(reset).max()
}

/// How long an error's body asks us to stay away: `retry_after` beside the message, Google's `retryDelay`, or the
/// sentence in which OpenAI hides it.
pub(crate) fn from_body(error: &Value, message: &str) -> Option<Duration> {
    let field = ["retry_after", "retry_after_seconds", "retryAfter"].into_iter().find_map(|name| {
        match error.get(name)? {
            Value::Number(seconds) => in_seconds(seconds.as_f64()?),
            Value::String(text) => duration(text),
            _ => None,
        }
        .filter(lasts)
    });
    let millis = || in_seconds(error.get("retry_after_ms")?.as_f64()? / 1_000.0);
    let google =
        || error.get("details")?.as_array()?.iter().find_map(|detail| duration(detail.get("retryDelay")?.as_str()?));
    let exact = || millis().filter(lasts).or_else(|| google().filter(lasts));
    field.or_else(exact).or_else(|| sentence::wait(message))
}

/// Whether a wait is one: to come back at once is what is asked of nobody.
fn lasts(wait: &Duration) -> bool {
    !wait.is_zero()
}

/// The headers of an answer, and when they came.
struct Sent<'a> {
    headers: &'a HeaderMap,
    now: SystemTime,
}

impl Sent<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().map(str::trim)
    }

    /// The wait that is asked for, by the most exact name under which it comes.
    fn retry_after(&self) -> Option<Duration> {
        let millis = |name| in_seconds(self.text(name)?.parse::<f64>().ok()? / 1_000.0);
        let moment = || {
            let text = self.text("retry-after")?;
            let date = || httpdate::parse_http_date(text).ok()?.duration_since(self.now).ok();
            reset(text, self.now).or_else(date).or_else(|| until(rfc3339(text)?, self.now))
        };
        // Anthropic's plans name the moment at which all of their limits are lifted.
        let plan = || {
            let rejected = self.text("anthropic-ratelimit-unified-status") == Some("rejected");
            reset(self.text("anthropic-ratelimit-unified-reset").filter(|_| rejected)?, self.now)
        };
        millis("retry-after-ms")
            .filter(lasts)
            .or_else(|| millis("x-ms-retry-after-ms").filter(lasts))
            .or_else(moment)
            .or_else(plan)
            .filter(lasts)
    }

    /// One limit, in the first family that has a word about it.
    fn level(&self, unit: &str) -> Level {
        // Every answer comes through here, and most providers limit few of the units.
        let said = self.headers.keys().any(|name| name.as_str().contains(unit));
        let named = FAMILIES.iter().filter(|_| said).map(|(form, window)| Level {
            window: window.map(Duration::from_secs),
            ..self.family(|what| form.replace("WHAT", what).replace("UNIT", unit))
        });
        named
            .into_iter()
            .find(Level::says_something)
            .or_else(|| Some(self.descriptors(unit)).filter(Level::says_something))
            .or_else(|| (unit == "requests").then(|| self.without_unit()))
            .unwrap_or_default()
    }

    /// The limit whose three headers are named by `name`.
    fn family(&self, name: impl Fn(&str) -> String) -> Level {
        Level {
            limit: self.text(&name("limit")).and_then(count),
            remaining: self.text(&name("remaining")).and_then(count),
            reset: self.text(&name("reset")).and_then(|text| self.moment(text)),
            window: None,
        }
    }

    /// `LiteLLM` names whom a limit is for between the two halves of a header's name; the tightest one counts.
    fn descriptors(&self, unit: &str) -> Level {
        let whom = |name: &'_ str| {
            let whom = name.strip_prefix("x-ratelimit-")?.strip_suffix(unit)?.strip_suffix("-remaining-")?;
            (!whom.is_empty()).then(|| whom.to_owned())
        };
        let levels = self.headers.keys().filter_map(|name| whom(name.as_str()));
        levels
            .map(|whom| self.family(|what| format!("x-ratelimit-{whom}-{what}-{unit}")))
            .filter(|level| level.remaining.is_some())
            .min_by_key(|level| level.remaining)
            .unwrap_or_default()
    }

    /// Families that know one limit only: HolySheep's, OpenRouter's, and the drafts of the IETF, old and new.
    fn without_unit(&self) -> Level {
        [
            self.family(|what| format!("x-ratelimit-{what}")),
            self.family(|what| format!("ratelimit-{what}")),
            self.structured(),
        ]
        .into_iter()
        .find(Level::says_something)
        .unwrap_or_default()
    }

    /// `RateLimit: limit=20, remaining=3, reset=7` or `"default";r=3;t=7`, with `RateLimit-Policy: 20;w=60`.
    fn structured(&self) -> Level {
        let now = self.text("ratelimit").unwrap_or_default();
        let policy = self.text("ratelimit-policy").unwrap_or_default();
        let of = |text: &str, names: &[&str]| {
            let fields = text.split([',', ';']).filter_map(|field| field.trim().split_once('='));
            fields.into_iter().find(|(name, _)| names.contains(name)).and_then(|(_, value)| count(value.trim()))
        };
        let bare = || policy.split([',', ';']).next().and_then(|first| count(first.trim()));
        Level {
            limit: of(now, &["limit"]).or_else(|| of(policy, &["q"])).or_else(bare),
            remaining: of(now, &["remaining", "r"]),
            reset: of(now, &["reset", "t"]).map(Duration::from_secs),
            window: of(policy, &["w"]).map(Duration::from_secs),
        }
    }

    /// A span, or the time until a moment.
    fn moment(&self, text: &str) -> Option<Duration> {
        reset(text, self.now).or_else(|| until(rfc3339(text)?, self.now))
    }
}

/// What a [`Level`] is asked here.
trait Say {
    fn says_something(&self) -> bool;
}

impl Say for Level {
    fn says_something(&self) -> bool {
        self.limit.is_some() || self.remaining.is_some() || self.reset.is_some()
    }
}

fn count(text: &str) -> Option<u64> {
    let fraction = || in_seconds(text.parse().ok()?).map(|whole| whole.as_secs());
    text.parse().ok().or_else(fraction)
}

/// How limits are named, and the window that the name gives away, in seconds.
const FAMILIES: [(&str, Option<u64>); 9] = [
    ("x-ratelimit-WHAT-UNIT", None),
    // Cerebras.
    ("x-ratelimit-WHAT-UNIT-minute", Some(60)),
    ("x-ratelimit-WHAT-UNIT-day", Some(86_400)),
    ("anthropic-ratelimit-UNIT-WHAT", None),
    ("anthropic-priority-UNIT-WHAT", None),
    // What a relay passes on from the provider behind it.
    ("llm_provider-x-ratelimit-WHAT-UNIT", None),
    ("llm_provider-anthropic-ratelimit-UNIT-WHAT", None),
    ("x-ratelimit-WHAT-UNIT_usage_based", None),
    ("x-ratelimit-WHAT-project-UNIT", None),
];

const DAY: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests;
