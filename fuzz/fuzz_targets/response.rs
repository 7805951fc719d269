//! Any body is an answer or a failure, never both and never neither, wherever it is cut.
#![no_main]

use bellwether_provider::decode::AnswerDecoder;
use bellwether_provider::{ChatEvent, ErrorKind, Fold};
use libfuzzer_sys::fuzz_target;

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<ChatEvent>, Option<(ErrorKind, String)>) {
    let mut answer = AnswerDecoder::new("api.example");
    let (mut events, mut failed) = (Vec::new(), None);
    let mut take = |answer: &mut AnswerDecoder| {
        while let Some(event) = answer.next_event() {
            assert!(failed.is_none(), "nothing follows an error");
            match event {
                Ok(event) => events.push(event),
                Err(error) => failed = Some((error.kind, error.message)),
            }
        }
    };
    for piece in pieces {
        answer.feed(piece);
        take(&mut answer);
    }
    answer.finish();
    take(&mut answer);
    assert!(answer.is_over());
    (events, failed)
}

// The first byte says how long the pieces are.
fuzz_target!(|data: &[u8]| {
    let Some((size, body)) = data.split_first() else { return };
    let whole = read([body]);
    assert_eq!(read(body.chunks(usize::from(*size).max(1))), whole);
    let mut fold = Fold::default();
    whole.0.into_iter().for_each(|event| fold.add(event));
    assert!(whole.1.is_some() || fold.finish().is_ok(), "an answer finishes or fails");
});
