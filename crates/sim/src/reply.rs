//! How a reply comes out: piece by piece on time, to the end or until something breaks.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use axum::body::Body;
use bellwether_core::time::Timestamp;
use bytes::Bytes;
use futures_util::stream;

use crate::app::{App, Visit};
use crate::connection::Line;
use crate::wire::Envelope;
use crate::{answers, fate::Pace};

/// A reply that is played to one client. Dropping it ends the visit.
#[derive(Debug)]
pub(crate) struct Reply {
    app: Arc<App>,
    ending: Ending,
    pieces: VecDeque<Piece>,
    visit: Option<Visit>,
}

/// Some bytes, the moment they are due, and the output tokens that are out with them.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) bytes: Bytes,
    pub(crate) due: Timestamp,
    pub(crate) tokens: u64,
}

/// What comes after the last piece.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The regular end.
    Complete,
    /// The connection breaks.
    Reset(Line),
    /// Silence until then; afterwards the connection breaks.
    Stall(Line, Timestamp),
}

impl Reply {
    /// Cuts the pieces to what is sent before the ending.
    pub(crate) fn new(app: Arc<App>, visit: Visit, mut pieces: VecDeque<Piece>, ending: Ending) -> Self {
        match ending {
            Ending::Complete => {}
            Ending::Reset(_) => pieces.truncate(pieces.len().div_ceil(2)),
            Ending::Stall(..) => pieces.truncate(1),
        }
        Self { app, ending, pieces, visit: Some(visit) }
    }

    pub(crate) fn into_body(self) -> Body {
        Body::from_stream(stream::unfold(self, Self::next))
    }

    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        if let Some(piece) = self.pieces.pop_front() {
            self.app.clock.sleep_until(piece.due).await;
            if let Some(visit) = &mut self.visit {
                visit.produced(piece.tokens);
            }
            // Before the last bytes leave: whoever reads the end finds the slot free.
            if self.pieces.is_empty() && matches!(self.ending, Ending::Complete) {
                self.finish();
            }
            return Some((Ok(piece.bytes), self));
        }
        let line = match std::mem::replace(&mut self.ending, Ending::Complete) {
            Ending::Complete => return None,
            Ending::Reset(line) => {
                // What has been written so far goes out while this task waits its turn.
                tokio::task::yield_now().await;
                line
            }
            Ending::Stall(line, until) => {
                self.app.clock.sleep_until(until).await;
                line
            }
        };
        self.finish();
        line.break_off();
        Some((Err(io::Error::new(io::ErrorKind::ConnectionReset, "broken off on purpose")), self))
    }

    fn finish(&mut self) {
        if let Some(visit) = self.visit.take() {
            visit.finish();
        }
    }
}

/// A whole answer in two halves, so that there is a middle to break in.
pub(crate) fn halves(envelope: &Envelope, text: &str, due: Timestamp) -> VecDeque<Piece> {
    let bytes = Bytes::from(envelope.whole(text));
    let middle = bytes.len() / 2;
    let tokens = envelope.completion_tokens;
    [bytes.slice(..middle), bytes.slice(middle..)].map(|bytes| Piece { bytes, due, tokens }).into()
}

/// A streamed answer, a few tokens per event.
pub(crate) fn events(
    envelope: &Envelope,
    text: &str,
    with_usage: bool,
    pace: Pace,
    started: Timestamp,
) -> VecDeque<Piece> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = 0;
    let due = pace.reached(started, 0);
    let mut pieces = VecDeque::from([Piece { bytes: envelope.opening(with_usage).into(), due, tokens }]);
    for piece in chars.chunks(CHARS_PER_EVENT) {
        let piece: String = piece.iter().collect();
        let due = pace.reached(started, tokens);
        tokens += answers::tokens(&piece);
        pieces.push_back(Piece { bytes: envelope.piece(&piece, with_usage).into(), due, tokens });
    }
    let due = pace.reached(started, tokens);
    pieces.push_back(Piece { bytes: envelope.closing(with_usage).into(), due, tokens });
    pieces
}

/// A multiple of the characters per token, so that the pieces' tokens add up to the whole's.
const CHARS_PER_EVENT: usize = 16;
