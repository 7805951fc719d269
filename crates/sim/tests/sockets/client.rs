//! A client that sees every byte: no reuse, no retries, no forgiveness.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use bellwether_sim::{Latency, Scenario, Simulator, Stats};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What came back on one connection, to its end.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) body: String,
    /// Whether the body ended where its framing said.
    pub(crate) complete: bool,
    pub(crate) headers: HashMap<String, String>,
    /// Whether the connection ended with a reset.
    pub(crate) reset: bool,
    pub(crate) status: u16,
}

impl Received {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("the body is JSON")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The `data:` lines of a stream.
    pub(crate) fn events(&self) -> Vec<&str> {
        self.body.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect()
    }
}

/// A scenario that answers at once.
pub(crate) fn instant() -> Scenario {
    let latency = Latency { first_token: Duration::ZERO, jitter: 0.0, per_token: Duration::ZERO };
    Scenario { latency, ..Scenario::default() }
}

pub(crate) async fn start(scenario: Scenario) -> Simulator {
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    Simulator::start(scenario, anywhere).await.expect("a free port on loopback")
}

/// A chat request with `rest` merged in.
pub(crate) fn question(rest: Value) -> Value {
    let mut request =
        json!({ "model": "sim-small", "messages": [{ "role": "user", "content": "Build a small thing" }] });
    let Value::Object(rest) = rest else { panic!("the rest is an object") };
    request.as_object_mut().expect("an object").extend(rest);
    request
}

pub(crate) async fn chat(simulator: &Simulator, rest: Value) -> Received {
    post(simulator, &question(rest).to_string(), "").await
}

pub(crate) async fn post(simulator: &Simulator, body: &str, headers: &str) -> Received {
    exchange(simulator, &format_post(body, headers)).await
}

pub(crate) async fn get(simulator: &Simulator, path: &str) -> Received {
    exchange(simulator, &format!("GET {path} HTTP/1.1\r\nhost: sim\r\nconnection: close\r\n\r\n")).await
}

/// Sends a chat request and leaves its answer unread.
pub(crate) async fn open(simulator: &Simulator, rest: Value) -> TcpStream {
    let mut stream = TcpStream::connect(simulator.addr()).await.expect("the server listens");
    let request = format_post(&question(rest).to_string(), "");
    stream.write_all(request.as_bytes()).await.expect("the server reads");
    stream
}

/// Waits until the statistics are as wanted; fails instead of waiting for ever.
pub(crate) async fn until(simulator: &Simulator, wanted: impl Fn(&Stats) -> bool + Send + Sync) {
    let look = async {
        while !wanted(&simulator.stats()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), look).await.expect("the statistics become as wanted");
}

pub(crate) fn format_post(body: &str, headers: &str) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: sim\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}

pub(crate) async fn exchange(simulator: &Simulator, request: &str) -> Received {
    let mut stream = TcpStream::connect(simulator.addr()).await.expect("the server listens");
    // A server that refuses early may close before everything is written.
    let _written = stream.write_all(request.as_bytes()).await;
    read(stream).await
}

pub(crate) async fn read(mut stream: TcpStream) -> Received {
    let mut bytes = Vec::new();
    let ended = stream.read_to_end(&mut bytes).await;
    let reset = ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset);
    let text = String::from_utf8(bytes).expect("everything is UTF-8");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let headers: HashMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let (body, complete) = if headers.contains_key("transfer-encoding") {
        unchunk(body)
    } else {
        let promised = headers.get("content-length").map_or(Some(0), |length| length.parse().ok());
        (body.to_owned(), promised == Some(body.len()))
    };
    Received { body, complete, headers, reset, status: status.expect("a status") }
}

fn unchunk(mut rest: &str) -> (String, bool) {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a chunk's size");
        if size == 0 {
            return (body, true);
        }
        let Some(chunk) = after.get(..size) else { break };
        body.push_str(chunk);
        rest = after.get(size + 2..).unwrap_or("");
    }
    (body, false)
}
