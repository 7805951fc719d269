//! Server-sent events out of bytes, however the bytes are cut.

use std::collections::VecDeque;

/// One event: its name, if it has one, and its data lines joined by line feeds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct SseEvent {
    pub(crate) name: String,
    pub(crate) data: String,
}

/// A line is longer than the decoder allows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct LineTooLong;

/// Decodes a byte stream piece by piece. The result does not depend on where the pieces end.
///
/// Invariant: `line` holds no line end, and at most `cap` bytes.
#[derive(Debug)]
pub(crate) struct SseDecoder {
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
    /// A decoder that refuses lines of more than `cap` bytes.
    pub(crate) fn new(cap: usize) -> Self {
        Self { line: Vec::new(), cap, after_cr: false, at_start: true, event: SseEvent::default(), has_data: false }
    }

    /// Takes the next bytes and adds the events they complete to `out`.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], out: &mut VecDeque<SseEvent>) -> Result<(), LineTooLong> {
        while let Some(first) = bytes.first() {
            if std::mem::take(&mut self.after_cr) && *first == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let piece = &bytes[..end.unwrap_or(bytes.len())];
            if self.line.len() + piece.len() > self.cap {
                return Err(LineTooLong);
            }
            self.line.extend_from_slice(piece);
            let Some(end) = end else { break };
            self.after_cr = bytes[end] == b'\r';
            self.end_line(out);
            bytes = &bytes[end + 1..];
        }
        Ok(())
    }

    /// The event that the end of the stream cut off, if it has data: some servers leave out the last blank line.
    pub(crate) fn finish(&mut self, out: &mut VecDeque<SseEvent>) {
        self.end_line(out);
        self.dispatch(out);
    }

    fn end_line(&mut self, out: &mut VecDeque<SseEvent>) {
        let line = std::mem::take(&mut self.line);
        let mut rest = line.as_slice();
        if std::mem::take(&mut self.at_start) {
            rest = rest.strip_prefix(b"\xef\xbb\xbf").unwrap_or(rest);
        }
        if rest.is_empty() {
            self.dispatch(out);
        } else {
            self.field(&String::from_utf8_lossy(rest), out);
        }
        // The buffer is kept, so that a stream of short lines allocates once.
        self.line = line;
        self.line.clear();
    }

    fn field(&mut self, line: &str, out: &mut VecDeque<SseEvent>) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => {
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
    }

    fn dispatch(&mut self, out: &mut VecDeque<SseEvent>) {
        let event = std::mem::take(&mut self.event);
        if std::mem::take(&mut self.has_data) && !event.data.trim().is_empty() {
            out.push_back(event);
        }
    }
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
        decoder.finish(&mut out);
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
        assert_eq!(decoder.feed(b"bc", &mut out), Err(LineTooLong));
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
