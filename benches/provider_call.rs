//! What the provider adds to a call over bare reqwest, in CPU time, on loopback, in one run.
//!
//! ```sh
//! cargo bench -p bellwether-benches --bench provider_call
//! ```
//!
//! Client and server have a thread each, and only the client's time on the CPU is counted, so that neither the server
//! nor a busy machine is in the figure. Rounds alternate; each figure is the tenth percentile of many of them. Bare
//! reqwest sends the same body with the same headers, checks the status and parses the answer into plain JSON, which
//! is what a program without the provider would do at least. Linux only: elsewhere nothing is measured.

#![allow(clippy::print_stdout, reason = "a table is what this is for")]

use std::fs;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use bellwether_provider::{
    CallContext, ChatProvider, ChatRequest, Message, OpenAiCompatible, ProviderConfig, ProxyChoice,
};
use reqwest::Client;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

const QUESTION: &str = "Name the sheep that leads the flock.";
const GOAL: f64 = 1.15;

fn main() {
    let quick = std::env::args().any(|argument| argument == "--test");
    let (rounds, calls) = if quick { (3, 5) } else { (200, 100) };
    let address = serve();
    let runtime = runtime();
    let base = format!("http://{address}/v1");
    let bare = Client::builder().tls_backend_preconfigured(tls()).no_proxy().build().expect("a client can be built");
    let mut config = ProviderConfig::new("bench", &base);
    config.proxy = ProxyChoice::None;
    let provider = OpenAiCompatible::new(config).expect("the configuration makes sense");
    let url = format!("{base}/chat/completions");

    let mut figures = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..=rounds {
        let round_of = [
            nanos(&runtime, calls, || reqwest_alone(&bare, &url)),
            nanos(&runtime, calls, || whole(&provider)),
            nanos(&runtime, calls, || streamed(&provider)),
        ];
        // The first round makes the connections.
        if round > 0 {
            figures.iter_mut().zip(round_of).for_each(|(figures, nanos)| figures.extend(nanos));
        }
    }
    let [floor, whole, streamed] = figures.map(tenth);
    let (Some(floor), Some(whole), Some(streamed)) = (floor, whole, streamed) else {
        println!("no CPU time of a thread can be read here");
        return;
    };
    println!("CPU time per call on the client's thread, {rounds} rounds of {calls} calls, tenth percentile");
    println!("  bare reqwest          {:>7.1} us", floor / 1e3);
    println!("  provider, whole       {:>7.1} us   {:.2}x   (goal {GOAL}x)", whole / 1e3, whole / floor);
    println!("  provider, 20 events   {:>7.1} us   {:.2}x", streamed / 1e3, streamed / floor);
}

async fn reqwest_alone(client: &Client, url: &str) {
    let body = serde_json::json!({ "model": "m", "messages": [{ "role": "user", "content": QUESTION }] });
    let sent = client
        .post(url)
        .header("content-type", "application/json")
        .header("accept", "application/json")
        .body(body.to_string())
        .send()
        .await
        .and_then(reqwest::Response::error_for_status);
    let bytes = sent.expect("the server answers").bytes().await.expect("the answer is whole");
    let value: Value = serde_json::from_slice(&bytes).expect("the answer is json");
    black_box(value["choices"][0]["message"]["content"].as_str().map(str::to_owned));
}

fn request() -> ChatRequest {
    ChatRequest::new("m", vec![Message::user(QUESTION)])
}

async fn whole(provider: &OpenAiCompatible) {
    black_box(provider.chat(request(), CallContext::default()).await.expect("the server answers"));
}

async fn streamed(provider: &OpenAiCompatible) {
    let stream = provider.stream(request(), CallContext::default()).await.expect("the server answers");
    black_box(stream.fold().await.expect("the answer is whole"));
}

/// The CPU time of one call, over `calls` of them; `None` where it cannot be read.
fn nanos<F: Future<Output = ()>>(runtime: &Runtime, calls: u32, call: impl Fn() -> F) -> Option<f64> {
    let before = on_cpu()?;
    runtime.block_on(async {
        for _ in 0..calls {
            call().await;
        }
    });
    Some((on_cpu()? - before) as f64 / f64::from(calls))
}

/// How long this thread was on a CPU so far, in nanoseconds.
fn on_cpu() -> Option<u64> {
    fs::read_to_string("/proc/thread-self/schedstat").ok()?.split_whitespace().next()?.parse().ok()
}

fn tenth(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 10).copied()
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime can be made")
}

/// A server on a thread of its own that has every answer ready.
fn serve() -> SocketAddr {
    let (tell, told) = mpsc::channel();
    // It serves until the process ends.
    thread::spawn(move || {
        runtime().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on this machine is free");
            tell.send(listener.local_addr().expect("a bound address")).expect("somebody asked");
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                connections.spawn(answer(socket));
            }
        });
    });
    told.recv().expect("the server starts")
}

async fn answer(mut socket: TcpStream) -> Option<()> {
    socket.set_nodelay(true).ok()?;
    let whole = serde_json::json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_795_375_055, "model": "m",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": "It is the bellwether." }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 14, "completion_tokens": 6, "total_tokens": 20 },
    })
    .to_string();
    let chunk = "data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"baa \"}}]}\n\n";
    let stream = format!(
        "{}data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\ndata: [DONE]\n\n",
        chunk.repeat(18)
    );
    let respond = |kind: &str, body: &str| {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nx-request-id: 7\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let (whole, stream) = (respond("application/json", &whole), respond("text/event-stream", &stream));
    let mut seen = Vec::new();
    loop {
        seen.clear();
        // A request is over with the brace that ends its body, which comes in one piece or two.
        while !seen.ends_with(b"}") {
            if socket.read_buf(&mut seen).await.ok()? == 0 {
                return None;
            }
        }
        let wants_stream = seen.windows(13).any(|window| window == b"\"stream\":true");
        socket.write_all(if wants_stream { stream.as_bytes() } else { whole.as_bytes() }).await.ok()?;
    }
}

/// Encryption that is never used: the server speaks plain HTTP, but a client must be given some.
fn tls() -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider knows the default protocol versions")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}
