//! An answer's bytes as events, in whichever form the provider chose. No I/O and no clock.

use std::collections::VecDeque;

use bellwether_core::chat::ChatEvent;
use bellwether_core::{ErrorKind, ProviderError, Retry};

use crate::asked::Asked;
use crate::classify::{self, Head};
use crate::dialect::{Dialect, Fault, Step};
use crate::patience::Stage;
use crate::sse::{SseDecoder, SseEvent};

/// An answer whose head was good, as far as it came.
///
/// Invariant: after `failed` is set or `over` is true, no bytes are taken any more.
#[derive(Debug)]
pub(crate) struct Reading {
    asked: Asked,
    head: Head,
    form: Form,
    /// A whole answer so far, or the beginning of a stream, for whoever has to find out what went wrong.
    kept: Vec<u8>,
    received: usize,
    /// How much of the answer was handed on or waits for it.
    said: usize,
    decoder: SseDecoder,
    found: VecDeque<SseEvent>,
    dialect: Dialect,
    ready: VecDeque<ChatEvent>,
    failed: Option<ProviderError>,
    /// An event came, whatever was in it.
    heard: bool,
    /// A part of the answer was handed on.
    emitted: bool,
    over: bool,
    /// The end mark was seen, and the end of the body may follow.
    rest: bool,
}

/// What the body turned out to be. Its first character says so; its content type does not always.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    Events,
    Json,
    Page,
    Unknown,
}

impl Reading {
    pub(crate) fn new(asked: Asked, head: Head, dialect: Dialect) -> Self {
        Self {
            asked,
            head,
            form: Form::Unknown,
            kept: Vec::new(),
            received: 0,
            said: 0,
            decoder: SseDecoder::new(LINE),
            found: VecDeque::new(),
            dialect,
            ready: VecDeque::new(),
            failed: None,
            heard: false,
            emitted: false,
            over: false,
            rest: false,
        }
    }

    /// The next event that is ready, or the error that ends the answer.
    pub(crate) fn next(&mut self) -> Option<Result<ChatEvent, ProviderError>> {
        if let Some(event) = self.ready.pop_front() {
            self.emitted |= is_output(&event);
            return Some(Ok(event));
        }
        let mut error = self.failed.take()?;
        self.over = true;
        error.details.emitted_output = self.emitted;
        error.details.may_have_executed |= self.emitted;
        Some(Err(error))
    }

    /// Takes the next bytes of the body.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        if self.is_over() {
            return;
        }
        self.received += bytes.len();
        let (most, name) = if self.form == Form::Events { (STREAM, "128 MiB") } else { (WHOLE, "16 MiB") };
        if self.received > most {
            return self.too_much(name);
        }
        if self.form == Form::Unknown {
            // What leads an answer says nothing, and keeping it would mean to look at it again and again.
            let Some(start) = bytes.iter().position(|byte| !is_blank(*byte)) else { return };
            self.form = form(bytes[start]);
            return self.take(&bytes[start..]);
        }
        self.take(bytes);
    }

    fn take(&mut self, bytes: &[u8]) {
        let room = if self.form == Form::Events { HEAD.saturating_sub(self.kept.len()) } else { bytes.len() };
        self.kept.extend_from_slice(&bytes[..room.min(bytes.len())]);
        match self.form {
            Form::Events => self.events(bytes),
            Form::Page if self.kept.len() >= HEAD => self.end(),
            Form::Json | Form::Page | Form::Unknown => {}
        }
    }

    /// The body is over.
    pub(crate) fn end(&mut self) {
        if self.is_over() {
            return;
        }
        match self.form {
            Form::Events => {
                if self.decoder.finish(&mut self.found).is_err() {
                    return self.too_long();
                }
                if self.understand().is_some() {
                    self.end_of_events();
                }
            }
            Form::Json => {
                let body = std::mem::take(&mut self.kept);
                let read = self.dialect.whole(&body, &mut self.ready);
                match read {
                    Ok(()) => self.end_of_events(),
                    Err(fault) => self.fault(fault, &body),
                }
            }
            Form::Page => {
                let message = self.asked.says("sent a page of text where an answer should be");
                let error = ProviderError::new(ErrorKind::Upstream, message).with_retry(Retry::Never);
                self.stop(error);
            }
            Form::Unknown => self.end_of_events(),
        }
    }

    /// Nothing more will come, for a reason outside of the bytes. An answer that was complete by then is complete.
    pub(crate) fn stop(&mut self, error: ProviderError) {
        let kept = std::mem::take(&mut self.kept);
        self.stop_at(error, &kept);
    }

    /// What the answer waits for.
    pub(crate) fn stage(&self) -> Stage {
        if self.dialect.has_finished() {
            Stage::Ending
        } else if self.emitted || self.form == Form::Json {
            Stage::Flowing
        } else {
            Stage::Beginning
        }
    }

    /// Whether no further bytes are wanted.
    pub(crate) const fn is_over(&self) -> bool {
        self.over || self.failed.is_some()
    }

    /// Whether the end of the body may follow, which nobody has read yet. Asked once.
    pub(crate) fn take_rest(&mut self) -> bool {
        std::mem::take(&mut self.rest)
    }

    fn events(&mut self, bytes: &[u8]) {
        // What came before a line that is too long still counts: it may have ended the answer.
        let fed = self.decoder.feed(bytes, &mut self.found);
        match self.understand() {
            Some(Step::Done) => {
                self.rest = true;
                self.end_of_events();
            }
            Some(Step::More) if fed.is_err() => self.too_long(),
            Some(Step::More) | None => {}
        }
    }

    /// Turns the events found so far into the answer's. `None` if one of them cannot be.
    fn understand(&mut self) -> Option<Step> {
        while let Some(event) = self.found.pop_front() {
            self.heard = true;
            let ready = self.ready.len();
            let step = self.dialect.event(&event, &mut self.ready);
            self.said += self.ready.iter().skip(ready).map(length).sum::<usize>();
            match step {
                Ok(Step::More) if self.said > WHOLE => {
                    self.too_much("16 MiB");
                    return None;
                }
                Ok(Step::More) => {}
                Ok(Step::Done) => return Some(Step::Done),
                Err(fault) => {
                    self.fault(fault, event.data.as_bytes());
                    return None;
                }
            }
        }
        Some(Step::More)
    }

    /// Nothing more will come: the answer is complete, or it broke off.
    fn end_of_events(&mut self) {
        if self.dialect.end(&mut self.ready) {
            self.over = true;
        } else if self.form == Form::Events && !self.heard {
            self.form = Form::Page;
            self.end();
        } else {
            self.stop(self.truncated());
        }
    }

    /// Ends the answer at a piece that cannot be read on.
    fn fault(&mut self, fault: Fault, piece: &[u8]) {
        match fault {
            Fault::CutOff => self.stop_at(self.truncated(), piece),
            Fault::Envelope(envelope) => {
                self.failed = Some(classify::in_band(&self.asked, &self.head, &envelope, piece));
            }
            Fault::Garbage(what) => self.stop_at(ProviderError::new(ErrorKind::Decode, self.asked.says(what)), piece),
        }
    }

    fn truncated(&self) -> ProviderError {
        let message = self.asked.says("ended its answer before the model was done");
        ProviderError::new(ErrorKind::Truncated, message)
    }

    fn too_much(&mut self, most: &str) {
        let message = self.asked.says(&format!("sent an answer larger than {most}"));
        self.stop(ProviderError::new(ErrorKind::Decode, message).with_retry(Retry::Never));
    }

    fn too_long(&mut self) {
        let message = self.asked.says("sent a line or an event longer than 1 MiB");
        self.stop(ProviderError::new(ErrorKind::Decode, message).with_retry(Retry::Never));
    }

    /// Ends the answer with an error, unless the model was done before that.
    fn stop_at(&mut self, mut error: ProviderError, piece: &[u8]) {
        if self.dialect.end(&mut self.ready) {
            self.over = true;
            return;
        }
        error.details.status = Some(self.head.status);
        error.details.request_id.clone_from(&self.head.request_id);
        error.details.limits = self.head.limits;
        error.details.body = self.asked.excerpt(piece);
        error.details.may_have_executed = true;
        self.failed = Some(error);
    }
}

fn form(first: u8) -> Form {
    match first {
        b'{' | b'[' => Form::Json,
        b'<' => Form::Page,
        _ => Form::Events,
    }
}

/// White space, or a part of a byte order mark.
const fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, 0xef | 0xbb | 0xbf)
}

const fn is_output(event: &ChatEvent) -> bool {
    matches!(event, ChatEvent::Reasoning(_) | ChatEvent::Refusal(_) | ChatEvent::Text(_) | ChatEvent::ToolCall { .. })
}

/// How much an event makes its holder keep.
fn length(event: &ChatEvent) -> usize {
    match event {
        ChatEvent::Reasoning(piece) | ChatEvent::Refusal(piece) | ChatEvent::Text(piece) => piece.len(),
        ChatEvent::ToolCall { id, name, arguments, .. } => {
            arguments.len() + id.as_ref().map_or(0, String::len) + name.as_ref().map_or(0, String::len)
        }
        _ => 0,
    }
}

/// The most bytes of an answer that is kept: of one that comes whole, and of what a stream says.
pub(crate) const WHOLE: usize = 16 << 20;

/// The most bytes of a stream. Each of its tokens is wrapped in a few hundred bytes, which nobody keeps.
const STREAM: usize = 128 << 20;

/// The most bytes of one line of a stream, and of one event.
const LINE: usize = 1 << 20;

/// How much of a stream's beginning is kept.
const HEAD: usize = 4 << 10;
