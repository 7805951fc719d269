//! What error messages say in words, because some providers say it nowhere else.

use std::time::Duration;

use bellwether_core::permit::{Level, RateLimits};

use super::lasts;
use super::moment::{duration, in_seconds};

/// `... try again in 1m30.5s.`, `... retry after 1.2 seconds.` or `... retry in 1 hour and 5 minutes.`
pub(super) fn wait(message: &str) -> Option<Duration> {
    let lower = message.to_ascii_lowercase();
    let tail = ["try again in ", "retry after ", "retry in "]
        .into_iter()
        .find_map(|phrase| Some(&lower[lower.find(phrase)? + phrase.len()..]))?;
    let mut words = tail.split_whitespace().map(bare).filter(|word| *word != "and");
    let first = words.next()?;
    let (mut number, mut total) = (first, Duration::ZERO);
    while let Some(unit) = words.next().and_then(seconds_in) {
        let Ok(amount) = number.parse::<f64>() else { break };
        total = total.checked_add(in_seconds(amount * unit)?)?;
        number = words.next().unwrap_or_default();
    }
    Some(total).filter(lasts).or_else(|| duration(first).filter(lasts))
}

/// How many seconds a unit has that stands as a word of its own.
fn seconds_in(unit: &str) -> Option<f64> {
    Some(match unit {
        "d" | "day" | "days" => 86_400.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "ms" | "millisecond" | "milliseconds" => 1e-3,
        _ => return None,
    })
}

/// `limits`, and what `... on tokens per min (TPM): Limit 30000, Used 29000, Requested 1500.` adds to it.
pub(crate) fn learnt(limits: RateLimits, message: &str) -> RateLimits {
    let lower = message.to_ascii_lowercase();
    let after = |word: &str| {
        let (_, tail) = lower.split_once(word)?;
        bare(tail.split_whitespace().next()?).parse::<u64>().ok()
    };
    let Some(limit) = after(": limit ") else { return limits };
    let window = [("per min", 60), ("per day", 86_400), ("per hour", 3_600), ("per second", 1)];
    let told = Level {
        limit: Some(limit),
        remaining: after(" used ").map(|used| limit.saturating_sub(used)),
        reset: None,
        window: window.iter().find(|(words, _)| lower.contains(words)).map(|(_, long)| Duration::from_secs(*long)),
    };
    // A header is more exact than a sentence.
    let filled = |level: Level| Level {
        limit: level.limit.or(told.limit),
        remaining: level.remaining.or(told.remaining),
        window: level.window.or(told.window),
        ..level
    };
    if lower.contains("on tokens per") {
        RateLimits { tokens: filled(limits.tokens), ..limits }
    } else if lower.contains("on requests per") {
        RateLimits { requests: filled(limits.requests), ..limits }
    } else {
        limits
    }
}

fn bare(word: &str) -> &str {
    word.trim_end_matches(['.', ',', ';', ')'])
}
