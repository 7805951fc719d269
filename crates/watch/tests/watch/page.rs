//! The page over a real socket, on a journal that is written meanwhile.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bellwether_core::journal::{Entry, Journal, Lease};
use bellwether_journal::{Reader, Settings, SqliteJournal};
use bellwether_watch::Page;
use bellwether_watch::feed::Feed;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const RUN: &str = "r1";

async fn journal(folder: &Path) -> (SqliteJournal, Lease) {
    let journal = SqliteJournal::open(folder, Settings { ballast: 0, ..Settings::default() }).expect("it can be made");
    let lease = journal.lease(&RUN.into()).await.expect("nobody else writes it");
    let opening = json!({ "team": "pair", "request": "Build it", "terms": {} });
    say(&journal, &lease, "run_started", opening).await;
    (journal, lease)
}

async fn say(journal: &SqliteJournal, lease: &Lease, kind: &str, body: Value) {
    journal.append(lease, vec![Entry { kind: kind.to_owned(), body }]).await.expect("there is room");
}

async fn serve(folder: &Path) -> (SocketAddr, JoinSet<()>) {
    let page = Page::new(Reader::open(folder).expect("the journal is there"));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port is there");
    let addr = listener.local_addr().expect("it listens");
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(listener, page.routes()).await.expect("it serves") });
    (addr, serving)
}

async fn ask(addr: SocketAddr, path: &str, more: &str) -> BufReader<TcpStream> {
    let mut socket = TcpStream::connect(addr).await.expect("the server listens");
    let host = if more.contains("host:") { String::new() } else { format!("host: {addr}\r\n") };
    let request = format!("GET {path} HTTP/1.1\r\n{host}connection: close\r\n{more}\r\n");
    socket.write_all(request.as_bytes()).await.expect("it reads");
    BufReader::new(socket)
}

async fn get(addr: SocketAddr, path: &str, more: &str) -> String {
    let mut answer = String::new();
    ask(addr, path, more).await.read_to_string(&mut answer).await.expect("it answers");
    answer
}

/// The ids of the next events of a stream.
async fn ids(stream: &mut BufReader<TcpStream>, count: usize) -> Vec<u64> {
    let mut ids = Vec::new();
    while ids.len() < count {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).await.expect("it is text") > 0, "the stream ended after {ids:?}");
        ids.extend(line.strip_prefix("id: ").and_then(|id| id.trim().parse::<u64>().ok()));
    }
    ids
}

#[tokio::test]
async fn whoever_reconnects_goes_on_after_the_last_entry_it_saw() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, lease) = journal(folder.path()).await;
    let (addr, _serving) = serve(folder.path()).await;
    let path = format!("/api/runs/{RUN}/events");
    let mut stream = ask(addr, &path, "").await;
    assert_eq!(ids(&mut stream, 1).await, [1]);
    for n in 2..=5 {
        say(&journal, &lease, "something", json!({ "event": n })).await;
    }
    assert_eq!(ids(&mut stream, 4).await, [2, 3, 4, 5], "one by one, as the journal numbers them");
    drop(stream);
    for n in 6..=7 {
        say(&journal, &lease, "something", json!({ "event": n })).await;
    }
    let mut stream = ask(addr, &path, "last-event-id: 5\r\n").await;
    assert_eq!(ids(&mut stream, 2).await, [6, 7]);
    say(&journal, &lease, "run_finished", json!({ "outcome": "succeeded" })).await;
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("id: 8") && rest.contains("event: over"), "it ends with the run: {rest}");
}

#[tokio::test]
async fn whoever_is_too_far_behind_gets_the_whole_story_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, lease) = journal(folder.path()).await;
    let feed = Feed::new(Arc::new(Reader::open(folder.path()).unwrap()), RUN.into());
    assert_eq!(feed.after(None).await.unwrap().seq, 1);
    let entries = (0..2_000).map(|n| Entry { kind: "something".to_owned(), body: json!({ "event": n }) });
    journal.append(&lease, entries.collect()).await.unwrap();
    let news = feed.after(Some(1)).await.unwrap();
    let told: Value = serde_json::from_str(&news.json).unwrap();
    assert_eq!((news.seq, told["whole"].as_bool()), (2_001, Some(true)));
    assert_eq!(told["put"]["log"].as_array().map(Vec::len), Some(2_001), "nothing is lost");
    let foreign = feed.after(Some(9_999)).await.unwrap();
    assert_eq!(foreign.seq, 2_001, "a number that is none of ours is a new reader's");
    let near = feed.after(Some(1_990)).await.unwrap();
    assert_eq!(near.seq, 1_991, "who is not far behind gets what it misses");
}

#[tokio::test]
async fn runs_are_listed_and_unknown_ones_and_strange_hosts_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (_journal, _lease) = journal(folder.path()).await;
    let (addr, _serving) = serve(folder.path()).await;
    let list = get(addr, "/api/runs", "").await;
    assert!(list.contains("\"request\":\"Build it\"") && list.contains("\"live\":true"), "{list}");
    assert!(get(addr, "/api/runs/other", "").await.starts_with("HTTP/1.1 404"));
    assert!(get(addr, "/api/runs", "host: evil.example\r\n").await.starts_with("HTTP/1.1 403"));
    assert!(get(addr, "/api/runs", "host: localhost:9000\r\n").await.starts_with("HTTP/1.1 200"));
    assert!(get(addr, "/api/runs", "host: [::1]:9000\r\n").await.starts_with("HTTP/1.1 200"));
    for path in ["/", "/page.js", "/draw.js", "/page.css", "/icon.svg"] {
        let answer = get(addr, path, "").await;
        assert!(answer.contains("content-security-policy: default-src 'none';"), "{path}: {answer}");
        assert!(!answer.contains("innerHTML") && !answer.contains("eval("), "{path}: texts are set as texts");
        let outside = answer.replace("http://www.w3.org/", "");
        assert!(!outside.contains("http://") && !outside.contains("https://"), "{path} needs nobody else");
    }
}
