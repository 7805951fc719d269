//! What was used, under all the names it has.

use bellwether_core::{Usage, Usd};
use serde_json::Value;

/// The figures in a usage object; `None` if there are none, or only zeros: every call has at least one input token.
pub(super) fn read(usage: &Value) -> Option<Usage> {
    let at = |path: &[&str]| path.iter().try_fold(usage, |value, name| value.get(name));
    let of = |paths: &[&[&str]]| paths.iter().find_map(|path| count(at(path)?));
    let cached = of(&[
        &["prompt_tokens_details", "cached_tokens"],
        &["input_tokens_details", "cached_tokens"],
        &["prompt_cache_hit_tokens"],
        &["cache_read_input_tokens"],
        &["cached_tokens"],
    ]);
    let output_tokens = of(&[&["completion_tokens"], &["output_tokens"]]);
    let missing = || of(&[&["total_tokens"]])?.checked_sub(output_tokens?);
    let input_tokens =
        of(&[&["prompt_tokens"]]).or_else(|| whole_input(of(&[&["input_tokens"]])?, &of)).or_else(missing);
    let sent = Usage {
        input_tokens,
        output_tokens,
        cached_tokens: cached,
        reasoning_tokens: of(&[
            &["completion_tokens_details", "reasoning_tokens"],
            &["output_tokens_details", "reasoning_tokens"],
            &["reasoning_tokens"],
        ]),
        cost: ["cost_usd", "cost"].into_iter().find_map(|name| dollars(at(&[name])?)),
    };
    (sent.tokens() > 0 || sent.cost.is_some_and(|cost| cost > Usd::default())).then_some(sent)
}

/// Anthropic's names leave the cached tokens out of the input; ours has them in.
fn whole_input(input: u64, of: &dyn Fn(&[&[&str]]) -> Option<u64>) -> Option<u64> {
    let cache = ["cache_read_input_tokens", "cache_creation_input_tokens"].map(|name| of(&[&[name]]).unwrap_or(0));
    Some(cache.into_iter().fold(input, u64::saturating_add))
}

/// A later figure replaces an earlier one; what a later report leaves out stays.
pub(super) fn overlay(earlier: Usage, later: Usage) -> Usage {
    Usage {
        input_tokens: later.input_tokens.or(earlier.input_tokens),
        output_tokens: later.output_tokens.or(earlier.output_tokens),
        cached_tokens: later.cached_tokens.or(earlier.cached_tokens),
        reasoning_tokens: later.reasoning_tokens.or(earlier.reasoning_tokens),
        cost: later.cost.or(earlier.cost),
    }
}

fn count(value: &Value) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked first")]
    let rounded = || value.as_f64().filter(|count| (0.0..1e18).contains(count)).map(|count| count as u64);
    value.as_u64().or_else(rounded).or_else(|| value.as_str()?.parse().ok()).filter(|count| is_sane(*count))
}

/// Whether so many tokens can have been used. A limit that counted more would be in debt for ever.
pub(super) const fn is_sane(count: u64) -> bool {
    count <= 1_000_000_000_000
}

fn dollars(value: &Value) -> Option<Usd> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok()).and_then(Usd::from_dollars)
}
