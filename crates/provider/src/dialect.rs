//! Chunks and whole answers, in every dialect, as one kind of event.

mod plain;
mod responses;
mod tools;
mod usage;

use std::collections::VecDeque;
use std::time::Duration;

use bellwether_core::chat::{ChatEvent, FinishReason, Started};
use bellwether_core::{Price, Usage};
use serde_json::Value;

use crate::classify::Envelope;
use crate::sse::{DONE, SseEvent};
use plain::Plain;
use responses::Told;
use tools::Calls;

/// Why an answer cannot be read on.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The answer ends in the middle of its JSON.
    CutOff,
    /// The provider sent an error instead.
    Envelope(Box<Envelope>),
    /// What came is not what the protocol says.
    Garbage(&'static str),
}

/// Whether the answer goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    Done,
    More,
}

/// Reads an answer piece by piece. Every field may be absent, null or empty.
///
/// Invariant: `Started` goes out before any other event.
#[derive(Debug)]
pub(crate) struct Dialect {
    head: Option<Started>,
    price: Option<Price>,
    calls: Calls,
    usage: Usage,
    told: Told,
    /// The reason the provider gave, and the one that went out.
    reason: Option<FinishReason>,
    said: Option<FinishReason>,
    /// At least one chunk was the model's.
    valid: bool,
    /// At least one of them said something.
    spoke: bool,
    done: bool,
}

impl Dialect {
    /// Begins an answer whose HTTP head is known. `turn` numbers the call within its conversation, so that tool calls
    /// that come without an id get one that no other turn has.
    pub(crate) fn new(head: Started, price: Option<Price>, turn: usize) -> Self {
        Self {
            head: Some(head),
            price,
            calls: Calls::new(turn),
            usage: Usage::default(),
            told: Told::default(),
            reason: None,
            said: None,
            valid: false,
            spoke: false,
            done: false,
        }
    }

    /// Takes the next event of a stream.
    pub(crate) fn event(&mut self, event: &SseEvent, out: &mut VecDeque<ChatEvent>) -> Result<Step, Fault> {
        if matches!(event.name.as_str(), "keepalive" | "ping") {
            return Ok(Step::More);
        }
        if let Some(values) = parse(&event.data) {
            return self.values(&event.name, values, out);
        }
        if event.name == "error" {
            return Err(Fault::Envelope(Box::new(Envelope::in_words(&event.data))));
        }
        // Some servers separate their events by single line ends.
        for line in event.data.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let values = parse(line).ok_or(Fault::Garbage("sent an event that is not json"))?;
            if self.values(&event.name, values, out)? == Step::Done {
                return Ok(Step::Done);
            }
        }
        Ok(Step::More)
    }

    /// Takes an answer that came in one piece.
    pub(crate) fn whole(&mut self, body: &[u8], out: &mut VecDeque<ChatEvent>) -> Result<(), Fault> {
        match plain::read(body) {
            Some(answer) => self.plain(answer, out),
            None => self.tree(body, out)?,
        }
        // What came whole is complete, also without a word about it.
        self.done = true;
        Ok(())
    }

    fn plain(&mut self, answer: Plain, out: &mut VecDeque<ChatEvent>) {
        let Plain { id, model, latency_ms, reasoning, text, refusal, reason, usage } = answer;
        self.valid = true;
        self.begin(id, model, latency_ms, out);
        out.extend(reasoning.map(ChatEvent::Reasoning));
        out.extend(text.map(ChatEvent::Text));
        out.extend(refusal.map(ChatEvent::Refusal));
        let reason = finish_reason(&reason);
        self.reason = Some(reason.clone());
        self.finish(reason, out);
        if usage.tokens() > 0 {
            self.count(usage, out);
        }
    }

    fn tree(&mut self, body: &[u8], out: &mut VecDeque<ChatEvent>) -> Result<(), Fault> {
        let value = serde_json::from_slice(body).map_err(|error| match error.is_eof() {
            true => Fault::CutOff,
            false => Fault::Garbage("sent an answer that is not json"),
        })?;
        self.value("", &value, out)?;
        if !self.valid {
            return Err(Fault::Garbage("sent an answer without a choice in it"));
        }
        Ok(())
    }

    /// The stream is over: says why the model stopped. `false` if it broke off.
    pub(crate) fn end(&mut self, out: &mut VecDeque<ChatEvent>) -> bool {
        // Without a reason, an answer that says nothing is one that got lost on its way.
        if self.reason.is_none() && !(self.done && self.valid && self.spoke) {
            return false;
        }
        let reason = self.reason.clone().unwrap_or(FinishReason::Stop);
        self.finish(reason, out);
        true
    }

    /// Whether the model has said why it stopped.
    pub(crate) const fn has_finished(&self) -> bool {
        self.reason.is_some()
    }

    fn values(&mut self, name: &str, values: Vec<Value>, out: &mut VecDeque<ChatEvent>) -> Result<Step, Fault> {
        for value in values {
            if value == DONE {
                self.done = true;
                return Ok(Step::Done);
            }
            self.value(name, &value, out)?;
        }
        Ok(Step::More)
    }

    fn value(&mut self, name: &str, value: &Value, out: &mut VecDeque<ChatEvent>) -> Result<(), Fault> {
        if let Some(envelope) = Envelope::in_band(value) {
            return Err(Fault::Envelope(Box::new(envelope)));
        }
        if name == "error" {
            return Err(Fault::Envelope(Box::new(Envelope::of_failure(value.to_string().as_bytes()))));
        }
        match value {
            Value::Array(values) => values.iter().try_for_each(|value| self.value(name, value, out)),
            Value::Null => Ok(()),
            Value::Object(_) => {
                if let Some(kind) = responses::kind(name, value) {
                    return self.response(kind, value, out);
                }
                self.chunk(value, out)
            }
            _ => Err(Fault::Garbage("sent an event that is not an object")),
        }
    }

    fn chunk(&mut self, chunk: &Value, out: &mut VecDeque<ChatEvent>) -> Result<(), Fault> {
        let choices = chunk.get("choices").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        self.start(chunk, !choices.is_empty(), out);
        // Nobody asks for more than one choice here; a second one would be mixed into the first.
        let ours = |(at, choice): &(usize, &Value)| match choice.get("index").and_then(Value::as_u64) {
            Some(index) => index == 0,
            None => *at == 0,
        };
        for (_, choice) in choices.iter().enumerate().filter(ours) {
            self.choice(choice, out)?;
        }
        let groq = chunk.get("x_groq").and_then(|groq| groq.get("usage"));
        let inline = choices.first().and_then(|choice| choice.get("usage"));
        for sent in [inline, groq, chunk.get("usage")] {
            self.account(sent, out);
        }
        Ok(())
    }

    /// Reports what was used so far. Snapshots replace each other and are never summed.
    fn account(&mut self, sent: Option<&Value>, out: &mut VecDeque<ChatEvent>) {
        if let Some(sent) = sent.and_then(usage::read) {
            self.count(sent, out);
        }
    }

    fn count(&mut self, sent: Usage, out: &mut VecDeque<ChatEvent>) {
        self.usage = usage::overlay(self.usage, sent);
        let cost = self.usage.cost.or_else(|| self.price?.of(&self.usage));
        out.push_back(ChatEvent::Usage(Usage { cost, ..self.usage }));
    }

    fn start(&mut self, chunk: &Value, has_choice: bool, out: &mut VecDeque<ChatEvent>) {
        if self.head.is_none() {
            return;
        }
        let named = |name| text(chunk.get(name)).map(str::to_owned);
        let (id, model) = (named("id"), named("model"));
        if !has_choice && id.is_none() && chunk.get("usage").is_none() {
            return;
        }
        if let Some(id) = &id {
            self.calls.belong_to(id);
        }
        self.begin(id, model, chunk.get("latency_ms").and_then(Value::as_f64), out);
    }

    /// Says once who answers, and as which answer.
    fn begin(&mut self, id: Option<String>, model: Option<String>, millis: Option<f64>, out: &mut VecDeque<ChatEvent>) {
        if let Some(head) = self.head.take() {
            let latency = millis.and_then(|millis| Duration::try_from_secs_f64(millis / 1_000.0).ok());
            out.push_back(ChatEvent::Started(Started { id, model, latency, ..head }));
        }
    }

    fn choice(&mut self, choice: &Value, out: &mut VecDeque<ChatEvent>) -> Result<(), Fault> {
        self.valid = true;
        let before = out.len();
        let said = ["delta", "message"].into_iter().find_map(|name| choice.get(name).filter(|said| said.is_object()));
        let said = said.unwrap_or(choice);
        self.reasoning(said, out);
        self.content(said.get("content").or_else(|| choice.get("text")), out);
        if let Some(refusal) = text(said.get("refusal")) {
            out.push_back(ChatEvent::Refusal(refusal.to_owned()));
        }
        let calls = said.get("tool_calls").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for (at, call) in calls.iter().enumerate() {
            self.calls.add(call, at, out)?;
        }
        if let Some(call) = said.get("function_call").filter(|call| call.is_object()) {
            self.calls.add_legacy(call, out)?;
        }
        self.spoke |= out.len() > before || !self.calls.is_empty();
        let Some(given) = text(choice.get("finish_reason")) else { return Ok(()) };
        let reason = finish_reason(given);
        match ODD.into_iter().find(|odd| given.eq_ignore_ascii_case(odd)) {
            Some("null") => Ok(()),
            Some("error") => Err(Fault::Envelope(Box::new(Envelope::in_words("the model stopped with an error")))),
            // DeepSeek's word for an answer that it could not go on with.
            Some("insufficient_system_resource") => {
                let code = Some("overloaded".to_owned());
                let envelope = Envelope::in_words("the model stopped for want of resources");
                Err(Fault::Envelope(Box::new(Envelope { code, ..envelope })))
            }
            _ if reason == FinishReason::ToolCalls && !self.spoke => {
                Err(Fault::Garbage("says that the model calls a tool, and sent no call"))
            }
            _ => {
                self.reason = Some(reason.clone());
                self.finish(reason, out);
                Ok(())
            }
        }
    }

    /// Both names of the reasoning may come at once and say the same.
    fn reasoning(&mut self, said: &Value, out: &mut VecDeque<ChatEvent>) {
        let plain = ["reasoning_content", "reasoning"].into_iter().find_map(|name| text(said.get(name)));
        let details = || {
            let details = said.get("reasoning_details")?.as_array()?;
            let pieces =
                details.iter().filter_map(|detail| text(detail.get("text")).or_else(|| text(detail.get("summary"))));
            Some(pieces.collect::<String>()).filter(|text| !text.is_empty())
        };
        out.extend(plain.map(str::to_owned).or_else(details).map(ChatEvent::Reasoning));
    }

    /// Content is a string, null, one part, or an array of parts.
    fn content(&mut self, content: Option<&Value>, out: &mut VecDeque<ChatEvent>) {
        match content {
            Some(Value::String(piece)) if !piece.is_empty() => out.push_back(ChatEvent::Text(piece.clone())),
            Some(Value::Array(parts)) => parts.iter().for_each(|part| self.content(Some(part), out)),
            Some(part @ Value::Object(_)) => {
                let thought = match part.get("thinking") {
                    Some(Value::Array(pieces)) => pieces.iter().filter_map(|piece| text(piece.get("text"))).collect(),
                    thought => text(thought).unwrap_or_default().to_owned(),
                };
                out.extend((!thought.is_empty()).then_some(ChatEvent::Reasoning(thought)));
                out.extend(text(part.get("refusal")).map(|piece| ChatEvent::Refusal(piece.to_owned())));
                self.content(part.get("text").filter(|text| text.is_string()), out);
            }
            _ => {}
        }
    }

    /// Says why the model stopped, again only if it became clearer.
    fn finish(&mut self, reason: FinishReason, out: &mut VecDeque<ChatEvent>) {
        self.calls.close(reason == FinishReason::Length, out);
        let reason = match reason {
            FinishReason::Stop if !self.calls.is_empty() => FinishReason::ToolCalls,
            reason => reason,
        };
        out.extend(self.head.take().map(ChatEvent::Started));
        if self.said.as_ref() != Some(&reason) {
            self.said = Some(reason.clone());
            out.push_back(ChatEvent::Finished(reason));
        }
    }
}

/// Reasons that are none, or errors.
const ODD: [&str; 3] = ["null", "error", "insufficient_system_resource"];

fn finish_reason(reason: &str) -> FinishReason {
    match reason.to_ascii_lowercase().as_str() {
        "content_filter" => FinishReason::ContentFilter,
        "length" | "max_tokens" | "model_length" => FinishReason::Length,
        "end_turn" | "eos" | "stop" | "stop_sequence" => FinishReason::Stop,
        "function_call" | "tool_calls" | "tool_use" => FinishReason::ToolCalls,
        _ => FinishReason::Other(reason.to_owned()),
    }
}

/// The JSON of a block of data; the end mark counts as a string.
fn parse(data: &str) -> Option<Vec<Value>> {
    match data.trim() {
        DONE => Some(vec![Value::from(DONE)]),
        data => Some(vec![serde_json::from_str(data).ok()?]),
    }
}

/// A string that says something.
fn text(value: Option<&Value>) -> Option<&str> {
    value?.as_str().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
