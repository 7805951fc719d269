//! Server-sent events out of bytes, however the bytes are cut.
//!
//! The decoder does no I/O, reads no clock and is bounded: a line or an event that is too long is refused, so a
//! hostile server cannot make it hold more than the cap.
//!
//! ```
//! use std::collections::VecDeque;
//!
//! use bellwether_provider::sse::SseDecoder;
//!
//! let (mut decoder, mut events) = (SseDecoder::new(1 << 20), VecDeque::new());
//! decoder.feed(b"data: bell", &mut events)?;
//! decoder.feed(b"wether\r\n\r\ndata: [DONE]", &mut events)?;
//! decoder.finish(&mut events)?;
//! let data: Vec<_> = events.iter().map(|event| event.data.as_str()).collect();
//! assert_eq!(data, ["bellwether", "[DONE]"]);
//! # Ok::<(), bellwether_provider::sse::TooLong>(())
//! ```

use std::collections::VecDeque;

/// One event: its name, if it has one, and its data lines joined by line feeds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SseEvent {
    /// What the `event` field says; empty if there was none.
    pub name: String,
    /// The data. Never blank: an event without data is no event.
    pub data: String,
}

/// A line or an event is longer than the decoder allows.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a line or an event is longer than allowed")]
pub struct TooLong;

/// Decodes a byte stream piece by piece. The result does not depend on where the pieces end.
///
/// It accepts LF, CRLF and CR as line ends, one byte order mark at the beginning, `data:` with or without a space, and
/// a last event without its blank line. Comments, `id`, `retry` and unknown fields are passed over. `[DONE]` is an
/// event as soon as its line is complete. Bytes that are no UTF-8 become replacement characters.
///
/// Invariant: `line` holds no line end, and at most `cap` bytes; so does the event's data.
#[derive(Clone, Debug)]
pub struct SseDecoder {
    line: Vec<u8>,
    cap: usize,
    /// The last byte was a carriage return, so a line feed that follows belongs to it.
    after_cr: bool,
    /// The first line is still open, so a byte order mark may lead it.
    at_start: bool,
    event: SseEvent,
    has_data: bool,
}

impl SseDecoder {
    /// A decoder that refuses lines and events of more than `cap` bytes.
    #[must_use]
    pub fn new(cap: usize) -> Self {
        Self { line: Vec::new(), cap, after_cr: false, at_start: true, event: SseEvent::default(), has_data: false }
    }

    /// Takes the next bytes and adds the events they complete to `out`.
    ///
    /// # Errors
    ///
    /// [`TooLong`]; the decoder is of no use after it.
    pub fn feed(&mut self, mut bytes: &[u8], out: &mut VecDeque<SseEvent>) -> Result<(), TooLong> {
        while let Some(first) = bytes.first() {
            if std::mem::take(&mut self.after_cr) && *first == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let end = line_end(bytes);
            let piece = &bytes[..end.unwrap_or(bytes.len())];
            if self.line.len() + piece.len() > self.cap {
                return Err(TooLong);
            }
            let Some(end) = end else {
                self.line.extend_from_slice(piece);
                break;
            };
            self.after_cr = bytes[end] == b'\r';
            if self.line.is_empty() {
                self.end_line(piece, out)?;
            } else {
                self.line.extend_from_slice(piece);
                self.end_open_line(out)?;
            }
            bytes = &bytes[end + 1..];
        }
        Ok(())
    }

    /// Adds the event that the end of the stream cut off, if it has data: some servers leave out the last blank line.
    ///
    /// # Errors
    ///
    /// [`TooLong`], if the last line makes the event too long.
    pub fn finish(&mut self, out: &mut VecDeque<SseEvent>) -> Result<(), TooLong> {
        self.end_open_line(out)?;
        self.dispatch(out);
        Ok(())
    }

    /// Ends the line that came in pieces. Its buffer is kept, so that a stream of short pieces allocates once.
    fn end_open_line(&mut self, out: &mut VecDeque<SseEvent>) -> Result<(), TooLong> {
        let mut line = std::mem::take(&mut self.line);
        let ended = self.end_line(&line, out);
        line.clear();
        self.line = line;
        ended
    }

    fn end_line(&mut self, line: &[u8], out: &mut VecDeque<SseEvent>) -> Result<(), TooLong> {
        let mut rest = line;
        if std::mem::take(&mut self.at_start) {
            rest = rest.strip_prefix(b"\xef\xbb\xbf").unwrap_or(rest);
        }
        if rest.is_empty() {
            self.dispatch(out);
            return Ok(());
        }
        self.field(&String::from_utf8_lossy(rest), out)
    }

    fn field(&mut self, line: &str, out: &mut VecDeque<SseEvent>) -> Result<(), TooLong> {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => {
                if self.event.data.len() + value.len() > self.cap {
                    return Err(TooLong);
                }
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.has_data = true;
                self.event.data.push_str(value);
                // The end must not wait for a blank line that a sloppy server never sends.
                if value.trim_end() == DONE {
                    self.dispatch(out);
                }
            }
            "event" => value.clone_into(&mut self.event.name),
            // A comment has an empty name; `id` and `retry` are of no use to a call that is never resumed.
            _ => {}
        }
        Ok(())
    }

    fn dispatch(&mut self, out: &mut VecDeque<SseEvent>) {
        let event = std::mem::take(&mut self.event);
        if std::mem::take(&mut self.has_data) && !event.data.trim().is_empty() {
            out.push_back(event);
        }
    }
}

/// Where the first line end is.
fn line_end(bytes: &[u8]) -> Option<usize> {
    memchr::memchr2(b'\n', b'\r', bytes)
}

/// The data that ends a stream.
pub(crate) const DONE: &str = "[DONE]";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(pieces: &[&[u8]]) -> Vec<SseEvent> {
        let mut decoder = SseDecoder::new(1 << 20);
        let mut out = VecDeque::new();
        for piece in pieces {
            decoder.feed(piece, &mut out).expect("no test line is that long");
        }
        decoder.finish(&mut out).expect("no test line is that long");
        out.into()
    }

    fn data(text: &str) -> Vec<String> {
        decode(&[text.as_bytes()]).into_iter().map(|event| event.data).collect()
    }

    #[test]
    fn every_line_end_and_spacing_gives_the_same_events() {
        for text in [
            "data: a\n\ndata:b\n\n",
            "data: a\r\n\r\ndata: b\r\n\r\n",
            "data:a\r\rdata: b\r\r",
            "\u{feff}data: a\n\n: comment\n\nid: 7\nretry: 1\ndata: b",
            "data: a\n\ndata:\n\ndata: b\n",
        ] {
            assert_eq!(data(text), ["a", "b"], "{text:?}");
        }
        assert_eq!(data("data: a\ndata:  b\n\n"), ["a\n b"]);
    }

    #[test]
    fn the_name_of_an_event_belongs_to_it_alone() {
        let events = decode(&[b"event: error\ndata: x\n\ndata: y\n\n"]);
        let names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
        assert_eq!(names, ["error", ""]);
    }

    #[test]
    fn the_end_mark_does_not_wait_for_a_blank_line() {
        let mut out = VecDeque::new();
        SseDecoder::new(64).feed(b"data: x\n\ndata: [DONE]\n", &mut out).unwrap();
        assert_eq!(out.len(), 2);
    }

    #[test]
    fn a_line_longer_than_the_cap_is_refused() {
        let mut decoder = SseDecoder::new(8);
        let mut out = VecDeque::new();
        assert_eq!(decoder.feed(b"data: ab\n", &mut out), Ok(()));
        assert_eq!(decoder.feed(b"data: a", &mut out), Ok(()));
        assert_eq!(decoder.feed(b"bc", &mut out), Err(TooLong));
    }

    #[test]
    fn an_event_longer_than_the_cap_is_refused_although_its_lines_are_short() {
        let mut decoder = SseDecoder::new(16);
        let mut out = VecDeque::new();
        assert_eq!(decoder.feed(b"data: 0123456789\n", &mut out), Ok(()));
        assert_eq!(decoder.feed(b"data: 0123456789\n", &mut out), Err(TooLong));
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_the_bytes_are_cut(
            text in "(\u{feff}?)((data: ?|event: |: |id:)?(\\PC{0,3}|\\[DONE\\])(\n|\r|\r\n|\n\n|\r\n\r\n)){0,12}",
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let bytes = text.as_bytes();
            let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            ends.extend([0, bytes.len()]);
            ends.sort_unstable();
            let pieces: Vec<_> = ends.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            let each: Vec<_> = bytes.chunks(1).collect();
            prop_assert_eq!(decode(&pieces), decode(&[bytes]));
            prop_assert_eq!(decode(&each), decode(&[bytes]));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            decode(&[&bytes]);
        }
    }
}
