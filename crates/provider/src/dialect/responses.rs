//! The other family of events: some relays answer a chat in the words of the Responses API.

use std::collections::VecDeque;

use bellwether_core::chat::{ChatEvent, FinishReason};
use serde_json::{Value, json};

use super::{Dialect, Fault, text};
use crate::classify::Envelope;

/// What of an answer came in pieces already, so that what its end repeats is not taken twice.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    deltas: bool,
    parts: bool,
}

/// What an event of this family is called: in its own words, or by the name of the event around it.
pub(super) fn kind<'a>(name: &'a str, value: &'a Value) -> Option<&'a str> {
    let whole = (text(value.get("object")) == Some("response")).then_some("response");
    let own = text(value.get("type")).unwrap_or(name);
    whole.or_else(|| own.starts_with("response.").then_some(own))
}

impl Dialect {
    /// Takes an event of this family, or a whole answer.
    pub(super) fn response(&mut self, kind: &str, value: &Value, out: &mut VecDeque<ChatEvent>) -> Result<(), Fault> {
        let response = value.get("response").unwrap_or(value);
        if kind == "response.failed" {
            let envelope = Envelope::in_band(response).unwrap_or_default();
            return Err(Fault::Envelope(Box::new(envelope)));
        }
        self.valid = true;
        self.start(response, true, out);
        let before = out.len();
        let delta = text(value.get("delta")).map(str::to_owned);
        match kind.strip_prefix("response.").unwrap_or_default() {
            "output_text.delta" => {
                self.told.deltas = true;
                out.extend(delta.map(ChatEvent::Text));
            }
            "refusal.delta" => out.extend(delta.map(ChatEvent::Refusal)),
            "reasoning_summary_text.delta" | "reasoning_text.delta" => out.extend(delta.map(ChatEvent::Reasoning)),
            "content_part.done" if !self.told.deltas => {
                self.told.parts = true;
                self.content(value.get("part"), out);
            }
            "output_item.added" => self.item(value.get("output_index"), value.get("item"), out)?,
            "function_call_arguments.delta" => {
                let piece = json!({ "index": value.get("output_index"), "function": { "arguments": delta } });
                self.calls.add(&piece, 0, out)?;
            }
            "" | "completed" | "incomplete" => self.complete(response, out)?,
            _ => {}
        }
        self.spoke |= out.len() > before || !self.calls.is_empty();
        Ok(())
    }

    fn item(
        &mut self,
        index: Option<&Value>,
        item: Option<&Value>,
        out: &mut VecDeque<ChatEvent>,
    ) -> Result<(), Fault> {
        let Some(item) = item.filter(|item| text(item.get("type")) == Some("function_call")) else { return Ok(()) };
        let id = item.get("call_id").or_else(|| item.get("id"));
        let function = json!({ "name": item.get("name"), "arguments": item.get("arguments") });
        self.calls.add(&json!({ "index": index, "id": id, "function": function }), 0, out)
    }

    fn complete(&mut self, response: &Value, out: &mut VecDeque<ChatEvent>) -> Result<(), Fault> {
        let output = response.get("output").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let untold = !self.told.deltas && !self.told.parts;
        let no_calls = self.calls.is_empty();
        for (at, item) in output.iter().enumerate() {
            if untold && text(item.get("type")) == Some("message") {
                self.content(item.get("content"), out);
            }
            if no_calls {
                self.item(Some(&Value::from(at)), Some(item), out)?;
            }
        }
        let incomplete = response.get("incomplete_details").and_then(|details| text(details.get("reason")));
        let reason = match incomplete {
            None => FinishReason::Stop,
            Some("content_filter") => FinishReason::ContentFilter,
            Some("max_output_tokens") => FinishReason::Length,
            Some(other) => FinishReason::Other(other.to_owned()),
        };
        self.reason = Some(reason.clone());
        self.finish(reason, out);
        self.account(response.get("usage"), out);
        Ok(())
    }
}
