//! The plain answer: one choice in the words of the protocol, with nothing in it that has to be made out.

use std::borrow::Cow;

use bellwether_core::Usage;
use serde::Deserialize;

/// What a plain answer says.
#[derive(Debug)]
pub(super) struct Plain {
    pub(super) id: Option<String>,
    pub(super) model: Option<String>,
    pub(super) latency_ms: Option<f64>,
    pub(super) reasoning: Option<String>,
    pub(super) text: Option<String>,
    pub(super) refusal: Option<String>,
    /// In the provider's word.
    pub(super) reason: String,
    pub(super) usage: Usage,
}

/// Reads an answer if it is a plain one. Nearly all are, and a tree of values takes six times as long.
///
/// Whatever the tree's reader would look at is either understood here as it would be there, or makes the answer one for the
/// tree. What neither knows is skipped.
pub(super) fn read(body: &[u8]) -> Option<Plain> {
    // Looked through as a whole, it need not be looked through string by string.
    let body = str::from_utf8(body).ok()?;
    let Answer { id, object, model, choices: (choice,), latency_ms, usage, .. } = serde_json::from_str(body).ok()?;
    let Choice { index, message, finish_reason, .. } = choice;
    let ended = !ODD_REASONS.iter().any(|odd| finish_reason.eq_ignore_ascii_case(odd));
    let absurd = usage.as_ref().is_some_and(|used: &Used| !used.is_sane());
    if object == "response" || index != 0 || !ended || absurd {
        return None;
    }
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    Some(Plain {
        id: some(id),
        model: some(model),
        latency_ms,
        reasoning: some(message.reasoning_content).or_else(|| some(message.reasoning)),
        text: some(message.content),
        refusal: some(message.refusal),
        reason: finish_reason.into_owned(),
        usage: usage.map(Used::plain).unwrap_or_default(),
    })
}

/// Reasons that are none, that are errors, or that need a call beside them.
const ODD_REASONS: [&str; 7] =
    ["", "error", "function_call", "insufficient_system_resource", "null", "tool_calls", "tool_use"];

/// A field that has no place in a plain answer, unless it is null.
#[derive(Debug, Deserialize)]
enum Odd {}

#[derive(Deserialize)]
#[expect(dead_code, reason = "of an odd field nothing but its absence is known")]
struct Answer<'a> {
    id: Option<String>,
    #[serde(borrow, default)]
    object: Cow<'a, str>,
    model: Option<String>,
    #[serde(borrow)]
    choices: (Choice<'a>,),
    latency_ms: Option<f64>,
    usage: Option<Used>,
    error: Option<Odd>,
    r#type: Option<Odd>,
    x_groq: Option<Odd>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "of an odd field nothing but its absence is known")]
struct Choice<'a> {
    #[serde(default)]
    index: u64,
    message: Said,
    #[serde(borrow)]
    finish_reason: Cow<'a, str>,
    delta: Option<Odd>,
    error: Option<Odd>,
    text: Option<Odd>,
    usage: Option<Odd>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "of an odd field nothing but its absence is known")]
struct Said {
    content: Option<String>,
    reasoning: Option<String>,
    reasoning_content: Option<String>,
    refusal: Option<String>,
    function_call: Option<Odd>,
    // Some servers send an empty list where others send nothing.
    reasoning_details: Option<Vec<Odd>>,
    tool_calls: Option<Vec<Odd>>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "of an odd field nothing but its absence is known")]
struct Used {
    prompt_tokens: u64,
    completion_tokens: u64,
    prompt_tokens_details: Option<Cached>,
    completion_tokens_details: Option<Reasoned>,
    cache_read_input_tokens: Option<Odd>,
    cached_tokens: Option<Odd>,
    cost: Option<Odd>,
    cost_usd: Option<Odd>,
    input_tokens_details: Option<Odd>,
    output_tokens_details: Option<Odd>,
    prompt_cache_hit_tokens: Option<Odd>,
    reasoning_tokens: Option<Odd>,
}

#[derive(Deserialize)]
struct Cached {
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Reasoned {
    reasoning_tokens: Option<u64>,
}

impl Used {
    fn is_sane(&self) -> bool {
        let cached = self.prompt_tokens_details.as_ref().and_then(|details| details.cached_tokens);
        let reasoned = self.completion_tokens_details.as_ref().and_then(|details| details.reasoning_tokens);
        let counts = [Some(self.prompt_tokens), Some(self.completion_tokens), cached, reasoned];
        counts.into_iter().flatten().all(super::usage::is_sane)
    }

    fn plain(self) -> Usage {
        Usage {
            input_tokens: Some(self.prompt_tokens),
            output_tokens: Some(self.completion_tokens),
            cached_tokens: self.prompt_tokens_details.and_then(|details| details.cached_tokens),
            reasoning_tokens: self.completion_tokens_details.and_then(|details| details.reasoning_tokens),
            cost: None,
        }
    }
}
