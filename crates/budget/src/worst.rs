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
            worst = worst.saturating_add(bytes(call.name.len() + call.arguments.len()));
        }
    }
    for tool in &request.tools {
        let length = tool.name.len() + tool.description.len() + tool.parameters.to_string().len();
        worst = worst.saturating_add(bytes(length)).saturating_add(TOKENS_PER_MESSAGE);
    }
    worst.saturating_add(request.response_format.as_ref().map_or(0, |format| bytes(format!("{format:?}").len())))
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

    use super::*;

    #[test]
    fn text_is_counted_as_the_request_that_it_was_sent_in() {
        let messages = vec![Message::system("You code."), Message::user("Baue es für mich."), Message::assistant("")];
        let request = ChatRequest::new("model", messages);
        assert_eq!(text(3, 9 + 18), worst_input_tokens(&request));
    }
}
