//! Calls of tools, which come in pieces: under an index, under an id, under both or neither.

use std::collections::VecDeque;

use bellwether_core::chat::ChatEvent;
use serde_json::Value;

use super::{Fault, text};

/// The calls of one answer.
///
/// Invariant: calls are announced in order, each once and with its id, before their arguments.
#[derive(Debug)]
pub(super) struct Calls {
    calls: Vec<Call>,
    /// The bytes of all ids and names, which are kept before anybody hears of them.
    held: usize,
    /// The beginning of the ids that are made up here.
    prefix: String,
}

#[derive(Debug)]
struct Call {
    /// The provider's index, which is not ours: some reuse it.
    wire: u64,
    id: Option<String>,
    /// The id was made up here.
    made_up: bool,
    name: String,
    nesting: Nesting,
    /// Any arguments came.
    argued: bool,
    announced: bool,
}

/// How far into a JSON object a text goes that comes in pieces, without reading any of it twice.
#[derive(Debug, Default)]
struct Nesting {
    depth: usize,
    begun: bool,
    quoted: bool,
    escaped: bool,
}

impl Calls {
    /// The calls of a conversation's turn.
    pub(super) fn new(turn: usize) -> Self {
        Self { calls: Vec::new(), held: 0, prefix: format!("call_{turn}") }
    }

    /// Names made-up ids after the answer, which makes them unique beyond the conversation.
    pub(super) fn belong_to(&mut self, answer: &str) {
        self.prefix = format!("call_{answer}");
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Adds a piece that stood at `position` among the calls of its chunk.
    pub(super) fn add(&mut self, piece: &Value, position: usize, out: &mut VecDeque<ChatEvent>) -> Result<(), Fault> {
        let function = piece.get("function").filter(|function| function.is_object()).unwrap_or(piece);
        let arguments = function.get("arguments").or_else(|| function.get("parameters"));
        self.place(
            piece.get("index").and_then(Value::as_u64),
            position,
            text(piece.get("id")),
            function,
            arguments,
            out,
        )
    }

    /// Adds a piece in the form that came before there were tools.
    pub(super) fn add_legacy(&mut self, function: &Value, out: &mut VecDeque<ChatEvent>) -> Result<(), Fault> {
        self.place(None, 0, None, function, function.get("arguments"), out)
    }

    fn place(
        &mut self,
        wire: Option<u64>,
        position: usize,
        id: Option<&str>,
        function: &Value,
        arguments: Option<&Value>,
        out: &mut VecDeque<ChatEvent>,
    ) -> Result<(), Fault> {
        let name = text(function.get("name"));
        let arguments = match arguments {
            Some(Value::String(piece)) => piece.clone(),
            None | Some(Value::Null) => String::new(),
            Some(object) => object.to_string(),
        };
        let index = self.find(wire, position, id, name, &arguments);
        let call = &mut self.calls[index];
        let before = call.held();
        if call.id.is_none() {
            call.id = id.map(str::to_owned);
        }
        if !call.argued {
            call.add_name(name.unwrap_or_default());
        }
        self.held += call.held() - before;
        if self.calls.len() > MOST || self.held > HELD {
            return Err(Fault::Garbage("called more tools than anybody has"));
        }
        let call = &mut self.calls[index];
        if arguments.is_empty() {
            return Ok(());
        }
        call.argued = true;
        call.nesting.add(&arguments);
        self.announce(index, out);
        out.push_back(ChatEvent::ToolCall { index, id: None, name: None, arguments });
        Ok(())
    }

    /// Which call a piece belongs to; makes room for a new one.
    fn find(
        &mut self,
        wire: Option<u64>,
        position: usize,
        id: Option<&str>,
        name: Option<&str>,
        arguments: &str,
    ) -> usize {
        let known = id.and_then(|id| self.calls.iter().rposition(|call| call.id.as_deref() == Some(id)));
        let slot = wire.unwrap_or(position as u64);
        let same_slot = || match (wire, id, name) {
            // Without any mark it can only go on with the last one.
            (None, None, None) if position == 0 => self.calls.len().checked_sub(1),
            _ => self.calls.iter().rposition(|call| call.wire == slot),
        };
        match known.or_else(same_slot) {
            Some(index) if known.is_some() || !self.calls[index].is_followed_by(id, name, arguments) => index,
            _ => {
                self.calls.push(Call {
                    wire: slot,
                    id: None,
                    made_up: false,
                    name: String::new(),
                    nesting: Nesting::default(),
                    argued: false,
                    announced: false,
                });
                self.calls.len() - 1
            }
        }
    }

    /// The model is done: announces what is still unsaid, and gives calls without arguments empty ones, unless the
    /// answer was cut off.
    pub(super) fn close(&mut self, cut_off: bool, out: &mut VecDeque<ChatEvent>) {
        let Some(last) = self.calls.len().checked_sub(1) else { return };
        self.announce(last, out);
        for (index, call) in self.calls.iter_mut().enumerate() {
            if !cut_off && !std::mem::replace(&mut call.argued, true) {
                out.push_back(ChatEvent::ToolCall { index, id: None, name: None, arguments: "{}".to_owned() });
            }
        }
    }

    /// Announces all calls up to this one.
    fn announce(&mut self, last: usize, out: &mut VecDeque<ChatEvent>) {
        for (index, call) in self.calls.iter_mut().enumerate().take(last + 1) {
            if !std::mem::replace(&mut call.announced, true) {
                call.made_up = call.id.is_none();
                let id = call.id.get_or_insert_with(|| format!("{}_{index}", self.prefix)).clone();
                let name = Some(call.name.clone());
                out.push_back(ChatEvent::ToolCall { index, id: Some(id), name, arguments: String::new() });
            }
        }
    }
}

impl Call {
    fn held(&self) -> usize {
        self.id.as_ref().map_or(0, String::len) + self.name.len()
    }

    /// A name comes whole, again and again, growing, or in pieces.
    fn add_name(&mut self, piece: &str) {
        if self.announced || piece == self.name {
            return;
        }
        if piece.starts_with(&self.name) {
            piece.clone_into(&mut self.name);
        } else {
            self.name.push_str(piece);
        }
    }

    /// Whether a piece in the same slot begins another call. Some providers put every call into slot 0, others give
    /// each piece of one call a new id; a new id with another name, or after complete arguments, is a new call. So is,
    /// without ids, what has a name and says something after complete arguments.
    fn is_followed_by(&self, id: Option<&str>, name: Option<&str>, arguments: &str) -> bool {
        let Some(name) = name else { return false };
        let complete = self.nesting.is_closed();
        match (self.id.as_deref().filter(|_| !self.made_up), id) {
            (Some(ours), Some(id)) => id != ours && (name != self.name || complete),
            (None, None) => (name != self.name || !arguments.trim().is_empty()) && complete,
            (None, Some(_)) => self.made_up && complete,
            (Some(_), None) => false,
        }
    }
}

impl Nesting {
    fn add(&mut self, piece: &str) {
        for byte in piece.bytes() {
            match byte {
                _ if std::mem::take(&mut self.escaped) => {}
                b'\\' => self.escaped = self.quoted,
                b'"' => self.quoted = !self.quoted,
                b'{' | b'[' if !self.quoted => (self.depth, self.begun) = (self.depth + 1, true),
                b'}' | b']' if !self.quoted => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    /// Whether an object or an array is complete.
    const fn is_closed(&self) -> bool {
        self.begun && self.depth == 0 && !self.quoted
    }
}

/// The most calls of one answer. Each piece looks for its call among all of them.
const MOST: usize = 1_024;

/// The most bytes that the ids and names of all calls may have together.
const HELD: usize = 1 << 20;
