//! Faults of the network and of servers that lie, one row each. Every call ends within a second of its deadline.

use std::time::Duration;

use bellwether_provider::{
    CallContext, ChatProvider, ErrorKind, OpenAiCompatible, Phase, ProviderConfig, ProviderError, Timeouts,
};
use tokio::time::{Instant, timeout};

use crate::server::{Act, Server, begun, head, json, piece, plain, question, read};

const FIRST: &str = r#"{"choices":[{"delta":{"content":"bell"}}]}"#;
const LIMIT: Duration = Duration::from_millis(300);

struct Fault {
    what: &'static str,
    acts: Vec<Act>,
    /// What becomes of a stream, and of a whole.
    kinds: [Option<ErrorKind>; 2],
}

fn fault(what: &'static str, acts: Vec<Act>, stream: ErrorKind, whole: ErrorKind) -> Fault {
    Fault { what, acts, kinds: [Some(stream), Some(whole)] }
}

fn impatient(server: &Server) -> OpenAiCompatible {
    let mut config = server.config();
    config.timeouts = Timeouts { connect: LIMIT, first_token: LIMIT, idle: LIMIT, total: LIMIT * 2 };
    OpenAiCompatible::new(config).expect("a fine configuration")
}

/// Asks in both ways and checks that each comes to its end in time.
async fn ask(client: &OpenAiCompatible, what: &str) -> [Option<ProviderError>; 2] {
    let most = LIMIT * 2 + Duration::from_secs(1);
    let began = Instant::now();
    let stream = timeout(most, read(client)).await.unwrap_or_else(|_| panic!("{what}: the stream hangs")).1;
    let whole = timeout(most, client.chat(question(), CallContext::default())).await;
    let whole = whole.unwrap_or_else(|_| panic!("{what}: the call hangs")).err();
    assert!(began.elapsed() < most * 2, "{what}");
    [stream, whole]
}

/// A piece of a body as it is sent.
fn chunk(bytes: &[u8]) -> Vec<u8> {
    if let Act::Send(bytes) = piece(bytes) { bytes } else { Vec::new() }
}

fn dripping() -> Vec<Fault> {
    let (first_token, idle, total) =
        (ErrorKind::Timeout(Phase::FirstToken), ErrorKind::Timeout(Phase::Idle), ErrorKind::Timeout(Phase::Total));
    let drip = |begun: Vec<Act>, bytes: &[u8]| begun.into_iter().chain([Act::Drip(bytes.to_vec())]).collect::<Vec<_>>();
    let hang = |begun: Vec<Act>| begun.into_iter().chain([Act::Hang]).collect::<Vec<_>>();
    let raw = |text: &str| vec![Act::Send(text.as_bytes().to_vec())];
    vec![
        fault("silence", vec![Act::Hang], first_token, total),
        fault("a header byte by byte without end", drip(raw("HTTP/1.1 200 OK\r\nx: "), b"y"), first_token, total),
        fault("half a status line", hang(raw("HTTP/1.1 2")), first_token, total),
        fault("headers and silence", hang(vec![head("")]), first_token, total),
        fault(
            "a whole answer byte by byte without end",
            drip(raw("HTTP/1.1 200 OK\r\ncontent-length: 900000\r\n\r\n{"), b" "),
            total,
            total,
        ),
        fault(
            "comments without end",
            drip(
                vec![head("")],
                &chunk(
                    b": working

",
                ),
            ),
            first_token,
            total,
        ),
        fault("one event and silence", hang(begun(&[FIRST])), idle, total),
        fault("half an event and silence", hang(vec![head(""), piece(b"data: {\"cho")]), first_token, total),
        fault(
            "text without end",
            drip(
                begun(&[FIRST]),
                &chunk(
                    format!(
                        "data: {FIRST}

"
                    )
                    .as_bytes(),
                ),
            ),
            total,
            total,
        ),
    ]
}

fn lying() -> Vec<Fault> {
    let raw = |text: &str| Act::Send(text.as_bytes().to_vec());
    let (connect, truncated) = (ErrorKind::Connect, ErrorKind::Truncated);
    let good = r#"{"choices":[{"message":{"content":"bell"},"finish_reason":"stop"}]}"#;
    vec![
        fault("closed before the answer", vec![Act::Close], connect, connect),
        fault("reset before the answer", vec![Act::Reset], connect, connect),
        fault("no HTTP at all", vec![raw("SSH-2.0-OpenSSH_9.9\r\n"), Act::Close], connect, connect),
        fault(
            "a length that is too large",
            vec![raw(&format!("HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{}", &good[..40])), Act::Close],
            truncated,
            truncated,
        ),
        fault(
            "a length that is too small",
            vec![raw(&format!("HTTP/1.1 200 OK\r\ncontent-length: 40\r\n\r\n{good}")), Act::Close],
            truncated,
            truncated,
        ),
        fault(
            "two lengths",
            vec![raw("HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\n{}  "), Act::Close],
            connect,
            connect,
        ),
        fault(
            "a length that is none",
            vec![raw("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}"), Act::Close],
            connect,
            connect,
        ),
        fault("a chunk that breaks off", vec![head(""), raw("ff\r\ndata: {"), Act::Close], truncated, truncated),
        fault("a chunk without a length", vec![head(""), raw("zz\r\ndata: {}\r\n"), Act::Close], truncated, truncated),
        fault(
            "a reset in the middle of an event",
            vec![head(""), piece(b"data: {\"cho"), Act::Reset],
            truncated,
            truncated,
        ),
        fault(
            "a reset between events",
            begun(&[FIRST]).into_iter().chain([Act::Reset]).collect(),
            truncated,
            truncated,
        ),
        fault(
            "headers of 1 MiB",
            vec![raw(&format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(1 << 20))), Act::Close],
            connect,
            connect,
        ),
        fault(
            "200 headers",
            vec![raw(&format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(200))), Act::Close],
            connect,
            connect,
        ),
        fault("204", plain("204 No Content", "", ""), truncated, truncated),
        fault("206 and half an answer", plain("206 Partial Content", "", &good[..40]), truncated, truncated),
    ]
}

fn refusing() -> Vec<Fault> {
    let redirect = |to: &str| plain("302 Found", &format!("location: {to}\r\n"), "");
    let status = |status: &'static str, kind| fault(status, plain(status, "", "<html>"), kind, kind);
    let not_found = ErrorKind::NotFound;
    let mut rows = vec![
        fault("a redirect to the same host", redirect("/elsewhere"), not_found, not_found),
        fault("a redirect to another host", redirect("https://elsewhere.example/x?key=1"), not_found, not_found),
        fault("a redirect into the cloud's own", redirect("http://169.254.169.254/latest"), not_found, not_found),
        fault("a redirect to a file", redirect("file:///etc/passwd"), not_found, not_found),
        fault("300 without a place", plain("300 Multiple Choices", "", ""), not_found, not_found),
        fault("an unknown status", plain("799 Odd", "", ""), ErrorKind::Upstream, ErrorKind::Upstream),
    ];
    rows.extend([
        status("400 Bad Request", ErrorKind::InvalidRequest),
        status("401 Unauthorized", ErrorKind::Auth),
        status("402 Payment Required", ErrorKind::QuotaExhausted),
        status("403 Forbidden", ErrorKind::PermissionDenied),
        status("404 Not Found", not_found),
        status("409 Conflict", ErrorKind::Upstream),
        status("413 Too Large", ErrorKind::ContextLength),
        status("422 Unprocessable", ErrorKind::InvalidRequest),
        status("429 Too Many Requests", ErrorKind::RateLimited),
        status("500 Oops", ErrorKind::Upstream),
        status("502 Bad Gateway", ErrorKind::Upstream),
        status("503 Service Unavailable", ErrorKind::Overloaded),
        status("529 Overloaded", ErrorKind::Overloaded),
    ]);
    rows
}

#[tokio::test]
async fn every_fault_ends_in_time_with_an_error_of_its_kind() {
    let rows: Vec<_> = dripping().into_iter().chain(lying()).chain(refusing()).collect();
    assert!(rows.len() >= 40, "{} rows", rows.len());
    for row in rows {
        let server = Server::playing(row.acts.clone()).await;
        let errors = ask(&impatient(&server), row.what).await;
        let kinds = errors.each_ref().map(|error| error.as_ref().map(|error| error.kind));
        assert_eq!(kinds, row.kinds, "{}: {:?}", row.what, errors.map(|error| error.map(|error| error.to_string())));
    }
}

#[tokio::test]
async fn headers_of_100_kib_are_no_reason_to_fail() {
    let long = format!("x-long: {}\r\n", "y".repeat(100 << 10));
    let body = r#"{"choices":[{"message":{"content":"bell"},"finish_reason":"stop"}]}"#;
    let server = Server::playing(plain("200 OK", &long, body)).await;
    assert!(ask(&impatient(&server), "long headers").await.iter().all(Option::is_none));
}

#[tokio::test]
async fn a_host_that_does_not_exist_is_a_failed_connection() {
    let mut config = ProviderConfig::new("nowhere", "https://nobody.invalid/v1");
    config.timeouts = Timeouts { connect: LIMIT * 2, total: LIMIT * 3, ..Timeouts::default() };
    let client = OpenAiCompatible::new(config).unwrap();
    let error = client.chat(question(), CallContext::default()).await.unwrap_err();
    // A resolver that does not answer at all is a matter of time.
    assert!(matches!(error.kind, ErrorKind::Connect | ErrorKind::Timeout(Phase::Connect)), "{error}");
    assert!(!error.details.may_have_executed && error.message.contains("nobody.invalid"), "{error}");
}

#[tokio::test]
async fn a_redirect_says_to_which_host_and_nothing_else() {
    let to = "location: https://elsewhere.example/path?secret=hunter2\r\n";
    let error = Server::playing(plain("307 Temporary Redirect", to, "")).await.chat().await.unwrap_err();
    assert!(error.message.contains("pointing to elsewhere.example"), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_was_closed_in_the_meantime_is_made_again() {
    let body = serde_json::json!({ "choices": [{ "message": { "content": "bell" }, "finish_reason": "stop" }] });
    let closing = json(&body).into_iter().chain([Act::Close]).collect::<Vec<_>>();
    let server = Server::playing(closing).await;
    let client = server.client();
    for _ in 0..5 {
        assert_eq!(client.chat(question(), CallContext::default()).await.unwrap().text, "bell");
        // The client hears of the end before it asks again.
        server.until_closed().await;
    }
    assert_eq!((server.seen().len(), server.connections()), (5, 5));
}
