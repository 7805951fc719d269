//! A key that must never be seen: every way of a call is walked with everything logged, and nothing shows it.
//!
//! Two walks: one in this process, with a logger that keeps every record of every crate below; and the tests of real
//! sockets once more as a process of their own, whose whole output is searched.

use std::error::Error;
use std::fmt::Write;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use bellwether_provider::{
    ApiKey, CallContext, Cassette, ChatProvider, ChatRequest, Message, OpenAiCompatible, ProviderConfig, ProviderError,
    ProxyChoice, Recorded, Timeouts, doctor,
};
use log::{LevelFilter, Log, Metadata, Record};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const CANARY: &str = "cr_canary+7Qx/tweet0123456789";
const ENCODED: &str = "cr_canary%2B7Qx%2Ftweet0123456789";
/// What the canary's middle becomes in base64, at each of the three alignments.
const BASE64: [&str; 3] =
    ["Y2FuYXJ5KzdReC90d2VldDAxMjM0", "X2NhbmFyeSs3UXgvdHdlZXQwMTIz", "cl9jYW5hcnkrN1F4L3R3ZWV0MDEy"];

/// Keeps every record.
struct Everything(Mutex<String>);

impl Log for Everything {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(all, "{} {} {}", record.level(), record.target(), record.args());
    }

    fn flush(&self) {}
}

static LOGGED: Everything = Everything(Mutex::new(String::new()));

fn search(place: &str, text: &str) {
    for form in [CANARY, ENCODED, "canary+7Qx", "tweet0123456789"].into_iter().chain(BASE64) {
        assert!(!text.contains(form), "{place} shows the key as {form}: {text:.2000}");
    }
}

/// Everything an error shows, its causes included.
fn shown(error: &ProviderError) -> String {
    let mut shown = format!("{error} {error:?} {error:#?}");
    let mut cause = error.source();
    while let Some(next) = cause {
        let _ = write!(shown, "{next} {next:?}");
        cause = next.source();
    }
    shown
}

/// Answers every request with `answer` and closes.
async fn echoing(listener: TcpListener, answer: String) {
    let serve = async |mut socket: TcpStream, answer: &str| {
        let mut seen = vec![0; 64 << 10];
        let _ = socket.read(&mut seen).await;
        let _ = socket.write_all(answer.as_bytes()).await;
        let _ = socket.shutdown().await;
        while matches!(socket.read(&mut seen).await, Ok(1..)) {}
    };
    while let Ok((socket, _)) = listener.accept().await {
        serve(socket, &answer).await;
    }
}

fn answers() -> Vec<String> {
    let base64 = "Y3JfY2FuYXJ5KzdReC90d2VldDAxMjM0NTY3ODk";
    let echo = format!("no such key {CANARY}, {ENCODED}, {base64}=");
    let with = |status: &str, kind: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: {kind}\r\nx-request-id: {CANARY}\r\nlocation: https://{CANARY}.example/\r\n\r\n{body}"
        )
    };
    let error =
        serde_json::json!({ "error": { "message": echo, "code": CANARY, "type": ENCODED, "request_id": CANARY } })
            .to_string();
    let mut all: Vec<_> = ["401 Unauthorized", "429 Too Many Requests", "500 Oops", "302 Found", "200 OK"]
        .into_iter()
        .map(|status| with(status, "application/json", &error))
        .collect();
    all.push(with("200 OK", "text/event-stream", &format!("data: {error}\n\n")));
    all.push(with("200 OK", "text/event-stream", &format!("data: {{oops {echo}\n\n")));
    all.push(with("200 OK", "text/event-stream", &format!("event: error\ndata: {echo}\n\n")));
    all.push(with("200 OK", "text/html", &format!("<html>{echo}</html>")));
    all.push(with("200 OK", "application/json", &format!("{{\"choices\":[{{\"message\":{{\"content\":\"{echo}")));
    all.push(with("200 OK", "text/plain", &echo.repeat(5_000)));
    all.push(format!("HTTP/1.1 200 OK\r\n{CANARY}\r\n\r\n"));
    all.push(format!("{CANARY}\r\n\r\n"));
    all
}

/// The error that ends a stream, or that takes its place.
async fn streamed(provider: &dyn ChatProvider, request: ChatRequest) -> ProviderError {
    match provider.stream(request, CallContext::default()).await {
        Ok(stream) => stream.fold().await.expect_err("no answer here is good"),
        Err(error) => error,
    }
}

#[test]
fn the_tests_of_real_sockets_put_out_no_key_though_everything_is_logged() {
    // The other test binaries lie beside this one; the one of the sockets holds its key in every request.
    let here = std::env::current_exe().unwrap();
    let beside = std::fs::read_dir(here.parent().unwrap()).unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    let named = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("http-") && path.extension().is_none_or(|extension| extension == "exe")
    };
    let newest = beside.filter(named).max_by_key(|path| path.metadata().and_then(|meta| meta.modified()).ok());
    // A single test target can be built alone; there is nothing to search then.
    let Some(sockets) = newest else { return };
    let output = Command::new(sockets)
        .args(["--nocapture", "--include-ignored"])
        .env("BELLWETHER_TEST_LOG", "1")
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("TRACE"), "{text:.4000}");
    for form in
        ["cr_super+secret", "super%2Bsecret", "c3VwZXIrc2VjcmV0", "X3N1cGVyK3NlY3JldC8w", "cl9zdXBlcitzZWNyZXQv"]
    {
        assert!(!text.contains(form), "the output shows the key as {form}");
    }
}

#[tokio::test]
async fn no_error_log_debug_text_or_cassette_shows_the_key() {
    log::set_logger(&LOGGED).unwrap();
    log::set_max_level(LevelFilter::Trace);
    for answer in answers() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut config = ProviderConfig::new("canary", format!("http://{address}/v1?code=1&api-key={CANARY}"));
        config.key = Some(ApiKey::new(CANARY).unwrap());
        config.headers = [("x-other-key".to_owned(), CANARY.to_owned())].into();
        config.proxy = ProxyChoice::None;
        config.timeouts = Timeouts { first_token: std::time::Duration::from_secs(5), ..Timeouts::default() };
        let mut server = JoinSet::new();
        server.spawn(echoing(listener, answer));
        search("a configuration", &format!("{config:?} {config:#?}"));
        let client = Arc::new(OpenAiCompatible::new(config.clone()).unwrap());
        search("a client", &format!("{client:?} {client:#?}"));
        let cassette = Arc::new(Cassette::new(&config.key));
        let recorded = Recorded::new(Arc::<OpenAiCompatible>::clone(&client), Arc::clone(&cassette));
        // The key in the question itself, as a careless user puts it there.
        let request = || ChatRequest::new("m", vec![Message::user(format!("my key is {CANARY}"))]);
        for error in [
            recorded.chat(request(), CallContext::default()).await.unwrap_err(),
            streamed(&recorded, request()).await,
            client.models().await.unwrap_err(),
        ] {
            search("an error", &shown(&error));
        }
        search("a diagnosis", &doctor(config, "m").await.to_string());
        let path = std::env::temp_dir().join(format!("bellwether-canary-{}.jsonl", std::process::id()));
        cassette.save(&path).unwrap();
        let written = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(written.contains("my key is [key]"), "{written}");
        search("a cassette", &written);
        search("a cassette in memory", &format!("{cassette:?}"));
    }
    let logged = LOGGED.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert!(logged.contains("TRACE") && logged.lines().count() > 100, "everything is logged");
    search("a log", &logged);
}
