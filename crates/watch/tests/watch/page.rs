//! The page over a real socket, on a journal that is written meanwhile.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

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

/// The numbers of a stream's events up to one, and of the entries that they tell of.
async fn told(stream: &mut BufReader<TcpStream>, until: u64) -> (Vec<u64>, BTreeSet<u64>) {
    let (mut ids, mut entries) = (Vec::new(), BTreeSet::new());
    loop {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).await.expect("it is text") > 0, "the stream ended after {ids:?}");
        ids.extend(line.strip_prefix("id: ").and_then(|id| id.trim().parse::<u64>().ok()));
        if let Some(json) = line.strip_prefix("data: ") {
            let news: Value = serde_json::from_str(json).expect("an event is one line of JSON");
            entries.extend(lines(&news));
            if ids.last() == Some(&until) {
                return (ids, entries);
            }
        }
    }
}

/// The numbers of the entries that news tell of.
fn lines(news: &Value) -> Vec<u64> {
    let log = news["put"]["log"].as_array().into_iter().flatten();
    log.filter_map(|item| item[1]["seq"].as_u64()).collect()
}

#[tokio::test]
async fn whoever_reconnects_goes_on_after_the_last_entry_it_saw() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, lease) = journal(folder.path()).await;
    let (addr, _serving) = serve(folder.path()).await;
    let path = format!("/api/runs/{RUN}/events");
    let mut stream = ask(addr, &path, "").await;
    assert_eq!(told(&mut stream, 1).await.0, [1]);
    for n in 2..=5 {
        say(&journal, &lease, "something", json!({ "event": n })).await;
    }
    let (ids, entries) = told(&mut stream, 5).await;
    assert!(ids.is_sorted() && entries.into_iter().eq(2..=5), "all of it, in order");
    drop(stream);
    for n in 6..=7 {
        say(&journal, &lease, "something", json!({ "event": n })).await;
    }
    let mut stream = ask(addr, &path, "last-event-id: 5\r\n").await;
    assert!(told(&mut stream, 7).await.1.into_iter().eq(6..=7));
    say(&journal, &lease, "run_finished", json!({ "outcome": "succeeded" })).await;
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("id: 8") && rest.contains("event: over"), "it ends with the run: {rest}");
    // Cut off before it could hear that this was all.
    let rest = get(addr, &path, "last-event-id: 8\r\n").await;
    assert!(rest.contains("id: 8") && rest.contains("event: over") && !rest.contains("whole"), "{rest}");
    // A page that was hidden meanwhile says it in the address, and in the header once its new connection breaks.
    let behind = format!("{path}?after=7");
    let rest = get(addr, &behind, "").await;
    assert!(rest.contains("id: 8") && !rest.contains("whole") && rest.contains("ended: succeeded"), "{rest}");
    let rest = get(addr, &behind, "last-event-id: 8\r\n").await;
    assert!(rest.contains("id: 8") && !rest.contains("ended: succeeded"), "{rest}");
    for nonsense in ["", "-1", "abc", "1,2", "99999999999999999999", "1000000"] {
        let rest = get(addr, &path, &format!("last-event-id: {nonsense}\r\n")).await;
        assert!(rest.contains("\"whole\":true") && rest.contains("event: over"), "{nonsense} is a new reader: {rest}");
    }
}

/// So many entries at once.
async fn many(journal: &SqliteJournal, lease: &Lease, count: u64) {
    let entries = (0..count).map(|n| Entry { kind: "something".to_owned(), body: json!({ "event": n }) });
    journal.append(lease, entries.collect()).await.expect("there is room");
}

#[tokio::test]
async fn what_came_meanwhile_is_one_event_whose_bytes_all_readers_share() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, lease) = journal(folder.path()).await;
    let feed = Feed::new(Arc::new(Reader::open(folder.path()).unwrap()), RUN.into());
    assert_eq!(feed.after(None).await.unwrap().seq, 1);
    many(&journal, &lease, 1_000).await;
    let [one, other] = [feed.after(Some(1)).await.unwrap(), feed.after(Some(1)).await.unwrap()];
    assert_eq!(one.event().as_ptr(), other.event().as_ptr(), "it is written once");
    assert!(one.event().starts_with(b"id: 1001\nretry: 300\nevent: news\ndata: {") && one.event().ends_with(b"}\n\n"));
    let told: Value = serde_json::from_slice(&one.json()).unwrap();
    assert!(told["whole"].is_null() && lines(&told).into_iter().eq(2..=1_001), "what is new, and all of it");
    let near = feed.after(Some(990)).await.unwrap();
    assert_eq!(near.event().as_ptr(), one.event().as_ptr(), "who has a part of it gets the rest with it");
}

/// A future that is dropped after so many polls.
async fn given_up<T>(future: impl Future<Output = T>, mut polls: u32) {
    let mut future = pin!(future);
    poll_fn(|cx| {
        polls -= 1;
        if future.as_mut().poll(cx).is_ready() || polls == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_gives_up_in_the_middle_takes_nothing_from_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, lease) = journal(folder.path()).await;
    let feed = Feed::new(Arc::new(Reader::open(folder.path()).unwrap()), RUN.into());
    let mut seen = feed.after(None).await.unwrap().seq;
    for polls in 1..=12 {
        many(&journal, &lease, 600).await;
        given_up(feed.after(Some(seen)), polls).await;
        let news = feed.after(Some(seen)).await.unwrap();
        let told: Value = serde_json::from_slice(&news.json()).unwrap();
        assert_eq!(news.seq, seen + 600, "given up after {polls} polls");
        assert!(told["whole"].is_null() && lines(&told).into_iter().eq(seen + 1..=news.seq));
        seen = news.seq;
        assert_eq!(feed.after(None).await.unwrap().seq, seen, "the whole is as new as the news");
    }
}

#[tokio::test]
async fn whoever_is_too_far_behind_gets_the_whole_story_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, lease) = journal(folder.path()).await;
    let feed = Feed::new(Arc::new(Reader::open(folder.path()).unwrap()), RUN.into());
    assert_eq!(feed.after(None).await.unwrap().seq, 1);
    many(&journal, &lease, 20_000).await;
    let news = feed.after(Some(1)).await.unwrap();
    assert!(news.json().len() > 1_048_576, "it is more than is kept");
    let told: Value = serde_json::from_slice(&news.json()).unwrap();
    assert_eq!((news.seq, told["whole"].as_bool()), (20_001, Some(true)));
    assert!(lines(&told).into_iter().eq(1..=20_001), "nothing is lost");
    let foreign = feed.after(Some(99_999)).await.unwrap();
    assert_eq!(foreign.seq, 20_001, "a number that is none of ours is a new reader's");
}

#[tokio::test]
async fn a_run_of_which_nothing_is_written_is_not_listed_until_something_is() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _lease) = journal(folder.path()).await;
    let lease = journal.lease(&"r2".into()).await.expect("nobody else writes it");
    let (addr, _serving) = serve(folder.path()).await;
    assert!(!get(addr, "/api/runs", "").await.contains("\"r2\""), "what is listed can be shown");
    assert!(get(addr, "/api/runs/r2", "").await.starts_with("HTTP/1.1 404"));
    say(&journal, &lease, "run_started", json!({ "team": "pair", "request": "Begin", "terms": {} })).await;
    assert!(get(addr, "/api/runs", "").await.contains("\"request\":\"Begin\""));
    assert!(get(addr, "/api/runs/r2", "").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn runs_are_listed_and_unknown_ones_and_strange_hosts_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (_journal, _lease) = journal(folder.path()).await;
    let (addr, _serving) = serve(folder.path()).await;
    let list = get(addr, "/api/runs", "").await;
    assert!(list.contains("\"request\":\"Build it\"") && list.contains("\"live\":true"), "{list}");
    let told: Value = serde_json::from_str(list.lines().last().expect("a body")).expect("JSON");
    assert!(told[0]["silent"].as_u64() < Some(60_000), "it is said since when nothing was written: {told}");
    for (path, says) in
        [("/api/runs/other", "no such run"), ("/api/runs/other/events", "no such run"), ("/other", "is at /")]
    {
        let answer = get(addr, path, "").await;
        assert!(answer.starts_with("HTTP/1.1 404") && answer.contains(says), "{path}: {answer}");
    }
    assert!(get(addr, "/api/runs", "host: evil.example\r\n").await.starts_with("HTTP/1.1 403"));
    assert!(get(addr, "/api/runs", "host: localhost:9000\r\n").await.starts_with("HTTP/1.1 200"));
    assert!(get(addr, "/api/runs", "host: [::1]:9000\r\n").await.starts_with("HTTP/1.1 200"));
    for path in
        ["/", "/page.js", "/draw.js", "/lanes.js", "/plan.js", "/rounds.js", "/routing.js", "/page.css", "/icon.svg"]
    {
        let answer = get(addr, path, "").await;
        assert!(answer.contains("content-security-policy: default-src 'none';"), "{path}: {answer}");
        assert!(!answer.contains("innerHTML") && !answer.contains("eval("), "{path}: texts are set as texts");
        let outside = answer.replace("http://www.w3.org/", "");
        assert!(!outside.contains("http://") && !outside.contains("https://"), "{path} needs nobody else");
    }
}
