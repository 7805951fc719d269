//! Server-sent events: ours beside a peer and beside the floor, one look at every byte, in one run.
//!
//! ```sh
//! cargo bench -p bellwether-benches --bench provider_sse
//! ```
//!
//! `1_mib` is one stream of a mebibyte in events of 4 KiB; `1000_events` are a thousand small ones, as a chat has
//! them. Both come in pieces of 4 KiB, as a socket gives them.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::hint::black_box;

use bellwether_provider::decode::AnswerDecoder;
use bellwether_provider::sse::SseDecoder;
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_util::stream::{self, StreamExt};
use sse_stream::SseStream;
use tokio::runtime::{Builder, Runtime};

const PIECE: usize = 4 << 10;

fn body(events: usize, content: usize) -> Bytes {
    let event = |n: usize| {
        format!(
            "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1795375055,\"model\":\"m\",\
             \"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{}\"}},\"finish_reason\":null}}]}}\n\n",
            char::from(b'a' + (n % 26) as u8).to_string().repeat(content)
        )
    };
    let end = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    (0..events).map(event).chain([end.to_owned()]).collect::<String>().into()
}

/// The least that any decoder has to do: look at every byte for the end of its line.
fn scan(body: &Bytes) -> usize {
    body.chunks(PIECE).map(|piece| piece.iter().filter(|byte| **byte == b'\n').count()).sum()
}

fn ours(body: &Bytes) -> usize {
    let (mut decoder, mut found, mut events) = (SseDecoder::new(1 << 20), VecDeque::new(), 0);
    for piece in body.chunks(PIECE) {
        decoder.feed(piece, &mut found).expect("no line is that long");
        events += found.drain(..).map(|event| black_box(event).data.len().min(1)).sum::<usize>();
    }
    events
}

fn peer(runtime: &Runtime, body: &Bytes) -> usize {
    let pieces = (0..body.len()).step_by(PIECE).map(|at| body.slice(at..body.len().min(at + PIECE)));
    let pieces = stream::iter(pieces.map(Ok::<_, Infallible>).collect::<Vec<_>>());
    runtime.block_on(
        SseStream::from_bytes_stream(pieces)
            .filter(|event| {
                let is_event = black_box(event).as_ref().is_ok_and(|event| event.data.is_some());
                async move { is_event }
            })
            .count(),
    )
}

/// All the way to the answer's events: JSON read, every field looked for.
fn answer(body: &Bytes) -> usize {
    let (mut answer, mut events) = (AnswerDecoder::new("bench"), 0);
    for piece in body.chunks(PIECE) {
        answer.feed(piece);
        events += std::iter::from_fn(|| answer.next_event())
            .map(|event| usize::from(black_box(event).is_ok()))
            .sum::<usize>();
    }
    events
}

fn decoders(c: &mut Criterion) {
    let runtime = Builder::new_current_thread().build().expect("a runtime can be made");
    for (name, body, events) in [("1_mib", body(255, 3_950), 257), ("1000_events", body(1_000, 8), 1_002)] {
        assert_eq!((ours(&body), peer(&runtime, &body)), (events, events), "{name}: both find every event");
        let mut group = c.benchmark_group(format!("sse/{name}"));
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function("byte_scan_floor", |b| b.iter(|| scan(black_box(&body))));
        group.bench_function("ours", |b| b.iter(|| ours(black_box(&body))));
        group.bench_function("sse_stream", |b| b.iter(|| peer(&runtime, black_box(&body))));
        group.bench_function("ours_to_answer", |b| b.iter(|| answer(black_box(&body))));
        group.finish();
    }
}

criterion_group!(benches, decoders);
criterion_main!(benches);
