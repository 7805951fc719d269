//! The most a call can take.

use std::time::Duration;

use bellwether_core::chat::Part;
use bellwether_core::{ChatRequest, Price, Usd};

use crate::ledger::Amount;

/// What providers add to a message for its role and its borders, with room to spare.
const TOKENS_PER_MESSAGE: u64 = 16;

/// The most input tokens a request can have.
///
/// Byte-level tokenisers, which all providers use, make no token of less than one byte. That is several times what a
/// text usually takes, but only for the moment between reserving and settling.
#[must_use]
pub fn worst_input_tokens(request: &ChatRequest) -> u64 {
    let bytes = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
    let mut worst = 0u64;
    for message in &request.messages {
        worst = worst.saturating_add(TOKENS_PER_MESSAGE);
        for part in &message.content {
            worst = worst.saturating_add(match part {
                Part::Text(text) => bytes(text.len()),
                // A link to a picture may cost far more than its text: what cannot be counted is counted generously.
                other => bytes(format!("{other:?}").len()).saturating_add(4_096),
            });
        }
        for call in &message.tool_calls {
            let length = call.id.len() + call.name.len() + call.arguments.len();
            worst = worst.saturating_add(bytes(length)).saturating_add(TOKENS_PER_MESSAGE);
        }
        worst = worst.saturating_add(message.tool_call_id.as_ref().map_or(0, |id| bytes(id.len())));
    }
    for tool in &request.tools {
        let length = tool.name.len() + tool.description.len() + tool.parameters.to_string().len();
        worst = worst.saturating_add(bytes(length)).saturating_add(TOKENS_PER_MESSAGE);
    }
    for (name, value) in &request.extra {
        worst = worst.saturating_add(bytes(name.len() + value.to_string().len()));
    }
    worst.saturating_add(request.response_format.as_ref().map_or(0, |format| bytes(format!("{format:?}").len())))
}

/// The most output tokens a request can have, with this cap on an answer: whoever asks for several pays for several.
pub(crate) fn output_tokens(request: &ChatRequest, cap: u32) -> u64 {
    let asked = ["n", "best_of"].map(|name| request.extra.get(name).and_then(|value| value.as_u64()).unwrap_or(1));
    u64::from(cap).saturating_mul(asked.into_iter().fold(1, u64::max))
}

/// The most input tokens that so many messages of text can have, of so many bytes together.
pub(crate) const fn text(messages: u64, bytes: u64) -> u64 {
    bytes.saturating_add(messages.saturating_mul(TOKENS_PER_MESSAGE))
}

/// Of two prices the higher one for each kind of token.
pub(crate) fn dearer(one: Price, other: Price) -> Price {
    Price {
        input_per_mtok: one.input_per_mtok.max(other.input_per_mtok),
        cached_per_mtok: one.cached_per_mtok.max(other.cached_per_mtok),
        output_per_mtok: one.output_per_mtok.max(other.output_per_mtok),
    }
}

/// The most a call can take, with these caps on its input and output; `None` if that is more than can be counted.
pub(crate) fn of(input: u64, output_cap: u64, time: Duration, price: Option<&Price>) -> Option<Amount> {
    let usd = match price {
        None => Usd::default(),
        Some(price) => {
            let dearest = price.input_per_mtok.max(price.cached_per_mtok);
            let part = |tokens: u64, price: Usd| u128::from(tokens) * u128::from(price.as_nanos());
            let nanos = (part(input, dearest) + part(output_cap, price.output_per_mtok)).div_ceil(1_000_000);
            Usd::from_nanos(u64::try_from(nanos).ok()?)
        }
    };
    Some(Amount { usd, tokens: input.checked_add(output_cap)?, calls: 1, time })
}

#[cfg(test)]
mod tests {
    use bellwether_core::Message;
    use bellwether_core::chat::{ResponseFormat, Tool, ToolCall};

    use super::*;

    #[test]
    fn text_is_counted_as_the_request_that_it_was_sent_in() {
        let messages = vec![Message::system("You code."), Message::user("Baue es für mich."), Message::assistant("")];
        let request = ChatRequest::new("model", messages);
        assert_eq!(text(3, 9 + 18), worst_input_tokens(&request));
    }

    /// Each part of a request makes its worst case larger by at least its bytes.
    #[test]
    fn nothing_that_is_sent_is_left_out_of_the_worst_case() {
        let long = || "x".repeat(1_000);
        let plain = || ChatRequest::new("model", vec![Message::user("Ask.")]);
        let saying = |change: fn(&mut Message, String)| {
            let mut request = plain();
            change(&mut request.messages[0], long());
            request
        };
        let call = |id, name, arguments| ToolCall { id, name, arguments };
        let tool = |name, description, parameters| ChatRequest {
            tools: vec![Tool { name, description, parameters }],
            ..plain()
        };
        let none = String::new;
        let asking = |calls| {
            let mut request = plain();
            request.messages[0].tool_calls = calls;
            request
        };
        let mut extra = plain();
        extra.extra.insert("documents".to_owned(), long().into());
        let schema = ResponseFormat::JsonSchema { name: none(), schema: long().into() };
        let requests = [
            saying(|message, text| message.content.push(Part::Text(text))),
            saying(|message, text| message.content.push(Part::Reasoning(text))),
            saying(|message, text| message.tool_call_id = Some(text)),
            asking(vec![call(long(), none(), none())]),
            asking(vec![call(none(), long(), none())]),
            asking(vec![call(none(), none(), long())]),
            asking((0..63).map(|_| call(none(), none(), none())).collect()),
            tool(long(), none(), String::new().into()),
            tool(none(), long(), String::new().into()),
            tool(none(), none(), long().into()),
            ChatRequest { response_format: Some(schema), ..plain() },
            extra,
        ];
        for request in requests {
            assert!(worst_input_tokens(&request) >= worst_input_tokens(&plain()) + 1_000, "{request:?}");
        }
        let picture = saying(|message, _| message.content.push(Part::Opaque("https://sheep.example/1.png".into())));
        assert!(worst_input_tokens(&picture) >= worst_input_tokens(&plain()) + 4_096, "it may cost more than its name");
    }

    #[test]
    fn several_answers_may_cost_several_times_as_much() {
        let mut request = ChatRequest::default();
        let mut with = |name: &str, count: u64| {
            request.extra.insert(name.to_owned(), count.into());
            output_tokens(&request, 100)
        };
        assert_eq!([with("top_k", 7), with("n", 3), with("best_of", 5), with("n", 0)], [100, 300, 500, 500]);
        assert_eq!(with("n", u64::MAX), u64::MAX);
        request.extra = std::iter::once(("n".to_owned(), "?".into())).collect();
        assert_eq!(output_tokens(&request, 100), 100);
    }

    #[test]
    fn the_dearer_kind_of_input_counts_and_nothing_is_rounded_down() {
        let usd = Usd::from_nanos;
        let price = |input, cached, output| Price {
            input_per_mtok: usd(input),
            cached_per_mtok: usd(cached),
            output_per_mtok: usd(output),
        };
        let worst = |price: Price| of(3, 2, Duration::ZERO, Some(&price)).map(|amount| amount.usd.as_nanos());
        assert_eq!(worst(price(1_000_000, 0, 10_000_000)), Some(23));
        assert_eq!(worst(price(0, 1_000_000, 10_000_000)), Some(23), "some ask more for what they keep");
        assert_eq!(worst(price(1, 1, 1)), Some(1));
        assert_eq!(worst(price(u64::MAX, 0, 0)), Some(u64::MAX / 1_000_000 * 3 + 2));
        assert_eq!(of(u64::MAX, 1, Duration::ZERO, None), None);
        assert_eq!(of(u64::MAX, 0, Duration::ZERO, Some(&price(u64::MAX, 0, 0))), None);
    }
}
