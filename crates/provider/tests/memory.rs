//! How much memory a hostile server can take: a gibibyte is offered, in every form, and the process hardly grows.
//!
//! One test in a process of its own, because memory is counted by process.
#![cfg(target_os = "linux")]
#![expect(clippy::print_stdout, reason = "the figures are worth reading")]

use std::fs;

use bellwether_provider::{
    CallContext, ChatProvider, ChatRequest, Message, OpenAiCompatible, ProviderConfig, ProxyChoice,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The most memory the process ever had since it was last asked, in KiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("this is linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("linux counts the peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Begins to count anew.
fn forget_peak() {
    fs::write("/proc/self/clear_refs", "5").expect("linux lets a process reset its own peak");
}

/// Sends a head, a beginning, and `block` until a gibibyte was sent or the client has enough.
async fn flood(mut socket: TcpStream, head: &str, beginning: &str, block: &[u8]) -> Option<usize> {
    socket.read_buf(&mut Vec::with_capacity(16 << 10)).await.ok()?;
    socket.write_all(format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n{beginning}").as_bytes()).await.ok()?;
    let mut sent = 0;
    while sent < GIB {
        socket.write_all(block).await.ok()?;
        sent += block.len();
    }
    Some(sent)
}

struct Offer {
    what: &'static str,
    head: &'static str,
    beginning: &'static str,
    block: Vec<u8>,
}

fn offers() -> Vec<Offer> {
    let offer = |what, head, beginning, block: &[u8]| Offer {
        what,
        head,
        beginning,
        block: block.repeat((256 << 10) / block.len() + 1),
    };
    let event =
        b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"baa baa baa baa baa baa baa baa baa\"}}]}\n\n";
    let called = |name: &str, rest: &str| {
        format!(
            "data: {{\"choices\":[{{\"delta\":{{\"tool_calls\":[{{{rest}\"function\":{{\"name\":\"{name}\"}}}}]}}}}]}}\n\n"
        )
    };
    // Each id is another call for as long as nobody knows what it is called with.
    let calls: String = (0..20_000).map(|id| called("baa", &format!("\"index\":{id},\"id\":\"{id}\","))).collect();
    let names = [called("baa", "\"index\":0,"), called("moo", "\"index\":0,")].concat();
    let (calls, names) = (calls.into_bytes(), names.into_bytes());
    vec![
        offer("a whole answer", "200 OK", "{\"choices\":[{\"message\":{\"content\":\"", b"a"),
        offer("a line", "200 OK\r\ncontent-type: text/event-stream", "data: ", b"a"),
        offer("data lines", "200 OK", "data: ", b"a\ndata: "),
        offer("comments", "200 OK", ": ", b": working hard\n\n"),
        offer("a stream of text", "200 OK", "", event),
        offer("a stream of calls", "200 OK", "", &calls),
        offer("a stream of names", "200 OK", "", &names),
        offer("a page", "200 OK\r\ncontent-type: text/html", "<html>", b"<p>"),
        offer("blank lines", "200 OK", "", b"\r\n"),
        offer("what says it is compressed", "200 OK\r\ncontent-encoding: gzip", "\x1f\u{8b}", b"\x00\x01"),
        offer("a refusal", "500 Oops", "{\"error\":\"", b"a"),
    ]
}

#[tokio::test]
async fn a_gibibyte_takes_no_more_than_32_mib() {
    for offer in offers() {
        for streams in [true, false] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut config = ProviderConfig::new("flood", format!("http://{}/v1", listener.local_addr().unwrap()));
            config.proxy = ProxyChoice::None;
            let client = OpenAiCompatible::new(config).unwrap();
            let request = ChatRequest::new("m", vec![Message::user("Flood me.")]);
            let (head, beginning, block) = (offer.head, offer.beginning, offer.block.clone());
            let mut server = JoinSet::new();
            server.spawn(async move {
                let (socket, _) = listener.accept().await.expect("the client comes");
                flood(socket, head, beginning, &block).await
            });
            forget_peak();
            let before = peak();
            let error = if streams {
                match client.stream(request, CallContext::default()).await {
                    Ok(mut stream) => loop {
                        if let Err(error) = stream.next().await.expect("a flood ends with an error") {
                            break error;
                        }
                    },
                    Err(error) => error,
                }
            } else {
                client.chat(request, CallContext::default()).await.expect_err("a flood ends with an error")
            };
            let grown = peak().saturating_sub(before);
            assert!(grown <= 32 << 10, "{}, stream {streams}: {grown} KiB more", offer.what);
            assert!(error.details.body.len() <= 4_096, "{}: {}", offer.what, error.details.body.len());
            println!("{:<28} stream {streams:<5} {grown:>6} KiB  {:?}", offer.what, error.kind);
        }
    }
}

const GIB: usize = 1 << 30;
