//! Any chunking gives the same events, and no line is longer than the cap.
#![no_main]

use std::collections::VecDeque;

use bellwether_provider::sse::{SseDecoder, SseEvent, TooLong};
use libfuzzer_sys::fuzz_target;

const CAP: usize = 256;

fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (VecDeque<SseEvent>, Result<(), TooLong>) {
    let (mut decoder, mut out) = (SseDecoder::new(CAP), VecDeque::new());
    for piece in pieces {
        if let Err(error) = decoder.feed(piece, &mut out) {
            return (out, Err(error));
        }
    }
    let end = decoder.finish(&mut out);
    (out, end)
}

// The first byte says how long the pieces are.
fuzz_target!(|data: &[u8]| {
    let Some((size, body)) = data.split_first() else { return };
    let whole = decode([body]);
    assert_eq!(decode(body.chunks(usize::from(*size).max(1))), whole);
    assert_eq!(decode(body.chunks(1)), whole);
    // Every replaced byte may become three.
    assert!(whole.0.iter().all(|event| event.data.len() <= CAP * 3 + 1 && !event.data.trim().is_empty()));
});
