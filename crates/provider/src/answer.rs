//! An answer on its way: bytes in, events out, in whichever form the provider chose.

use std::collections::VecDeque;
use std::time::Duration;

use bellwether_core::chat::ChatEvent;
use bellwether_core::{ChatStream, ErrorKind, ProviderError, Retry};
use futures_util::stream;
use reqwest::Response;
use tokio::time::timeout;

use crate::asked::Asked;
use crate::classify::{self, Head};
use crate::dialect::{Dialect, Fault, Step};
use crate::patience::{Patience, Stage};
use crate::sse::{SseDecoder, SseEvent};
use crate::transport;

/// An answer whose head was good.
///
/// Invariant: after `failed` is set or `over` is true, the body is not read for content any more.
#[derive(Debug)]
pub(crate) struct Answer {
    response: Response,
    asked: Asked,
    head: Head,
    patience: Patience,
    form: Form,
    /// A whole answer so far, or the beginning of a stream, for whoever has to find out what went wrong.
    kept: Vec<u8>,
    received: usize,
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

impl Answer {
    pub(crate) fn new(response: Response, asked: Asked, head: Head, patience: Patience, dialect: Dialect) -> Self {
        Self {
            response,
            asked,
            head,
            patience,
            form: Form::Unknown,
            kept: Vec::new(),
            received: 0,
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

    /// The answer as a stream of events.
    pub(crate) fn into_stream(self) -> ChatStream {
        ChatStream::new(stream::unfold(self, |mut answer| async { Some((answer.next().await?, answer)) }))
    }

    async fn next(&mut self) -> Option<Result<ChatEvent, ProviderError>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.emitted |= is_output(&event);
                return Some(Ok(event));
            }
            if let Some(mut error) = self.failed.take() {
                self.over = true;
                error.details.emitted_output = self.emitted;
                error.details.may_have_executed |= self.emitted;
                return Some(Err(error));
            }
            if self.over {
                if std::mem::take(&mut self.rest) {
                    self.drain().await;
                }
                return None;
            }
            self.advance().await;
        }
    }

    /// Reads on until something is ready, or nothing more will come.
    async fn advance(&mut self) {
        let stage = if self.dialect.has_finished() {
            Stage::Ending
        } else if self.emitted || self.form == Form::Json {
            Stage::Flowing
        } else {
            Stage::Beginning
        };
        match self.patience.wait(stage, &self.asked, self.response.chunk()).await {
            Ok(Ok(Some(bytes))) => self.take(&bytes),
            Ok(Ok(None)) => self.end_of_body(),
            Ok(Err(error)) => self.stop(transport::broken(&self.asked, error)),
            Err(error) => self.stop(error),
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.received += bytes.len();
        if self.received > BODY {
            let message = self.asked.says("sent an answer larger than 32 MiB");
            return self.stop(ProviderError::new(ErrorKind::Decode, message).with_retry(Retry::Never));
        }
        let room = if self.form == Form::Events { HEAD.saturating_sub(self.kept.len()) } else { bytes.len() };
        self.kept.extend_from_slice(&bytes[..room.min(bytes.len())]);
        match self.form {
            Form::Events => self.events(bytes),
            Form::Json => {}
            Form::Page if self.kept.len() >= HEAD => self.end_of_body(),
            Form::Page => {}
            Form::Unknown => {
                self.form = form(&self.kept);
                if self.form == Form::Events {
                    let bytes = self.kept.clone();
                    self.events(&bytes);
                }
            }
        }
    }

    fn events(&mut self, bytes: &[u8]) {
        if self.decoder.feed(bytes, &mut self.found).is_err() {
            let message = self.asked.says("sent a line longer than 1 MiB");
            return self.stop(ProviderError::new(ErrorKind::Decode, message).with_retry(Retry::Never));
        }
        if self.understand() == Some(Step::Done) {
            self.rest = true;
            self.end_of_events();
        }
    }

    /// Turns the events found so far into the answer's. `None` if one of them cannot be.
    fn understand(&mut self) -> Option<Step> {
        while let Some(event) = self.found.pop_front() {
            self.heard = true;
            match self.dialect.event(&event, &mut self.ready) {
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

    fn end_of_body(&mut self) {
        match self.form {
            Form::Events => {
                self.decoder.finish(&mut self.found);
                if self.understand().is_some() {
                    self.end_of_events();
                }
            }
            Form::Json => {
                let body = std::mem::take(&mut self.kept);
                let start = body.iter().position(|byte| !is_blank(*byte)).unwrap_or(0);
                let read = self.dialect.whole(&body[start..], &mut self.ready);
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

    /// Nothing more will come: the answer is complete, or it broke off.
    fn end_of_events(&mut self) {
        if self.dialect.end(&mut self.ready) {
            self.over = true;
        } else if self.form == Form::Events && !self.heard {
            self.form = Form::Page;
            self.end_of_body();
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

    fn stop(&mut self, error: ProviderError) {
        let kept = std::mem::take(&mut self.kept);
        self.stop_at(error, &kept);
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

    /// The bytes after the end mark are usually on their way; a body that is read to its end gives the connection
    /// back to the pool. A provider that leaves the connection open is not waited for.
    async fn drain(&mut self) {
        let rest = async { while let Ok(Some(_)) = self.response.chunk().await {} };
        // Whether it ended in time only decides whether the connection can be used again.
        let _ = timeout(GRACE, rest).await;
    }
}

fn form(beginning: &[u8]) -> Form {
    match beginning.iter().find(|byte| !is_blank(**byte)) {
        None => Form::Unknown,
        Some(b'{' | b'[') => Form::Json,
        Some(b'<') => Form::Page,
        Some(_) => Form::Events,
    }
}

/// White space, or a part of a byte order mark.
const fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, 0xef | 0xbb | 0xbf)
}

const fn is_output(event: &ChatEvent) -> bool {
    matches!(event, ChatEvent::Reasoning(_) | ChatEvent::Refusal(_) | ChatEvent::Text(_) | ChatEvent::ToolCall { .. })
}

/// The most bytes of one answer.
pub(crate) const BODY: usize = 32 << 20;

/// The most bytes of one line of a stream.
const LINE: usize = 1 << 20;

/// How much of a stream's beginning is kept.
const HEAD: usize = 4 << 10;

const GRACE: Duration = Duration::from_millis(20);
