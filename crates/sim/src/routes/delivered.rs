//! An answer on its way to the client, as a whole or in pieces.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bellwether_core::time::Timestamp;

use super::refusal::respond;
use crate::answers::{self, CHARS_PER_TOKEN};
use crate::app::{App, Visit};
use crate::fate::Pace;
use crate::reply::{self, Ending, Piece, Reply};
use crate::wire::{ChatRequest, Delivery, Envelope};

/// What is known when a request has been let in.
#[derive(Debug)]
pub(super) struct Delivered {
    pub(super) answer: String,
    pub(super) ending: Ending,
    pub(super) number: u64,
    pub(super) pace: Pace,
    pub(super) request: ChatRequest,
    pub(super) started: Timestamp,
    pub(super) visit: Visit,
}

impl Delivered {
    /// Returns with the head of the answer: at once for a stream, when everything is there for a whole.
    pub(super) async fn begin(self, app: &Arc<App>) -> Response {
        let Self { answer, ending, number, pace, request, started, mut visit } = self;
        let (text, finish_reason) = cut(answer, request.max_output_tokens);
        let envelope = Envelope {
            completion_tokens: answers::tokens(&text),
            created: app.clock.unix_seconds(),
            finish_reason,
            id: format!("chatcmpl-sim-{number}"),
            model: request.model,
            prompt_tokens: request.prompt.tokens(),
        };
        if let Delivery::Stream { with_usage } = request.delivery {
            let events = reply::events(&envelope, &text, with_usage, pace, started);
            let mut response = play(app, visit, events, ending, "text/event-stream; charset=utf-8");
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            return response;
        }
        let due = pace.reached(started, envelope.completion_tokens);
        app.clock.sleep_until(due).await;
        if let Ending::Complete = ending {
            visit.produced(envelope.completion_tokens);
            visit.finish();
            return respond(StatusCode::OK, envelope.whole(&text));
        }
        let halves = reply::halves(&envelope, &text, due);
        let promised = halves.iter().map(|piece| piece.bytes.len()).sum::<usize>();
        let mut response = play(app, visit, halves, ending, "application/json");
        response.headers_mut().insert(header::CONTENT_LENGTH, promised.into());
        response
    }
}

fn play(app: &Arc<App>, visit: Visit, pieces: VecDeque<Piece>, ending: Ending, kind: &'static str) -> Response {
    let mut response = Response::new(Reply::new(Arc::clone(app), visit, pieces, ending).into_body());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// The answer, cut off where the request wants it to end at the latest.
fn cut(mut text: String, max_tokens: Option<u64>) -> (String, &'static str) {
    let chars = max_tokens.and_then(|tokens| usize::try_from(tokens.checked_mul(CHARS_PER_TOKEN)?).ok());
    match chars.and_then(|chars| text.char_indices().nth(chars)) {
        Some((at, _)) => {
            text.truncate(at);
            (text, "length")
        }
        None => (text, "stop"),
    }
}
