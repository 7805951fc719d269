//! The journal beside raw SQLite, in one run: durable events a second, how long an acknowledgement takes, bytes a step,
//! and how long a run takes to load.
//!
//! ```sh
//! cargo bench -p bellwether-benches --bench journal_durable
//! ```
//!
//! `--test` runs a tiny version of everything. The floor is one thread that writes the same records with plain SQL, in
//! commits as large as there are producers: it has nobody to hand an answer to, no lease, no check, no text apart.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bellwether_journal::{Entry, Journal, Lease, Reader, RunId, Settings, SqliteJournal};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn now() -> Instant {
    Instant::now()
}

fn main() {
    let tiny = std::env::args().any(|arg| arg == "--test");
    let runtime = Runtime::new().expect("a runtime can be made");
    let mut report = vec!["| what | events/s | p50 ms | p99 ms |".to_owned(), "|---|---|---|---|".to_owned()];
    for producers in [1, 16, 128] {
        let each = if tiny { 3 } else { 8_000 / producers.max(4) };
        report.push(raw(producers, each).row(&format!("raw SQLite, {producers} a commit")));
        report.push(
            runtime
                .block_on(durable(producers, each, Kind::Small))
                .row(&format!("journal, {producers} producers, 200 B")),
        );
        report.push(
            runtime
                .block_on(durable(producers, each, Kind::Body))
                .row(&format!("journal, {producers} producers, 2 KiB body")),
        );
    }
    report.push(String::new());
    report.push(runtime.block_on(step_size(if tiny { 10 } else { 1_000 })));
    report.push(runtime.block_on(steps(if tiny { 10 } else { 1_000 })));
    report.push(runtime.block_on(many(if tiny { 1_000 } else { 1_000_000 })));
    show(&report.join("\n"));
}

#[expect(clippy::print_stdout, reason = "a benchmark reports to the terminal")]
fn show(report: &str) {
    println!("{report}");
}

#[derive(Clone, Copy)]
enum Kind {
    Body,
    Small,
}

/// One step of a run: what is meant to be sent, what came of it, and where the task stands then.
fn step(n: u64) -> [Entry; 3] {
    let request = format!("{n:064x}");
    let intent =
        json!({ "task": "t3.2", "round": 1, "attempt": 0, "request": request, "reserved_nanos": 2_345_678 + n });
    let state = json!({ "task": "t3.2", "round": 1, "state": "produced" });
    [
        Entry { kind: "call_intended".to_owned(), body: intent },
        entry(Kind::Body, n),
        Entry { kind: "task_state".to_owned(), body: state },
    ]
}

fn entry(kind: Kind, n: u64) -> Entry {
    let mut body = json!({
        "task": "t3.2", "round": 1, "attempt": 0, "model": "deepseek-chat", "cost_nanos": 1_234_567 + n,
        "usage": { "input": 812, "output": 455, "cached": 0 }, "finish": "stop",
    });
    if matches!(kind, Kind::Body) {
        body["text"] = text(n, 2_048).into();
    }
    Entry { kind: "call_done".to_owned(), body }
}

/// Words in an order of their own: compresses about as prose does.
fn text(seed: u64, length: usize) -> String {
    let words = [
        "the", "sheep", "that", "leads", "flock", "answers", "with", "a", "bell", "around", "its", "neck", "fn", "let",
    ];
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = format!("{seed} ");
    while text.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push_str(words[usize::try_from(state % words.len() as u64).expect("below the number of words")]);
        text.push(' ');
    }
    text.truncate(length);
    text
}

struct Timing {
    each: Vec<Duration>,
    whole: Duration,
    events: usize,
}

impl Timing {
    fn row(mut self, name: &str) -> String {
        self.each.sort();
        let at = |share: usize| self.each[(self.each.len() - 1) * share / 100].as_secs_f64() * 1e3;
        let rate = self.events as f64 / self.whole.as_secs_f64();
        format!("| {name} | {rate:.0} | {:.2} | {:.2} |", at(50), at(99))
    }
}

fn directory() -> TempDir {
    // The temporary directory may forget on power loss; the build directory lies on a disk.
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory can be made")
}

fn open(directory: &Path) -> SqliteJournal {
    SqliteJournal::open(directory, Settings::default()).expect("a journal can be opened in a fresh directory")
}

/// Plain SQL on one thread, in commits of `together`; the time is that of a commit.
fn raw(together: usize, commits: usize) -> Timing {
    let directory = directory();
    let mut connection = Connection::open(directory.path().join("raw.db")).expect("a database can be made");
    let tables = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=1000;
        CREATE TABLE event (run INTEGER, seq INTEGER, body TEXT, PRIMARY KEY (run, seq)) STRICT, WITHOUT ROWID;";
    for statement in tables.split_terminator(';') {
        connection.execute_batch(statement).expect("the statements are right");
    }
    let (began, mut each, mut seq) = (now(), Vec::new(), 0);
    for _ in 0..commits {
        let began = now();
        let transaction =
            Transaction::new(&mut connection, TransactionBehavior::Immediate).expect("nobody else writes");
        for _ in 0..together {
            seq += 1;
            let body = entry(Kind::Small, seq).body.to_string();
            let mut insert =
                transaction.prepare_cached("INSERT INTO event VALUES (1, ?1, ?2)").expect("the table is there");
            insert.execute((i64::try_from(seq).expect("few"), body)).expect("the disk has room");
        }
        transaction.commit().expect("the disk has room");
        each.push(began.elapsed());
    }
    Timing { each, whole: began.elapsed(), events: together * commits }
}

/// Producers that each wait for the acknowledgement of one event before they bring the next.
async fn durable(producers: usize, each: usize, kind: Kind) -> Timing {
    let directory = directory();
    let journal = Arc::new(open(directory.path()));
    let mut leases = Vec::new();
    for producer in 0..producers {
        // Four producers to a run, as calls of one run finish side by side.
        if producer % 4 == 0 {
            leases.push(journal.lease(&RunId::from(format!("r{producer}"))).await.expect("nobody holds it"));
        }
    }
    let began = now();
    let mut working = JoinSet::new();
    for producer in 0..producers {
        let (journal, lease): (_, Lease) = (Arc::clone(&journal), leases[producer / 4].clone());
        working.spawn(async move {
            let mut times = Vec::with_capacity(each);
            for n in 0..each {
                let entry = entry(kind, (producer * each + n) as u64);
                let began = now();
                journal.append(&lease, vec![entry]).await.expect("the disk has room");
                times.push(began.elapsed());
            }
            times
        });
    }
    let each: Vec<Duration> = working.join_all().await.into_iter().flatten().collect();
    Timing { events: each.len(), each, whole: began.elapsed() }
}

/// What a step of a run takes on the disk beside its bodies: intent, answer and verdict.
async fn step_size(steps: u64) -> String {
    let directory = directory();
    let database = directory.path().join("journal.db");
    drop(open(directory.path()));
    let empty = fs::metadata(&database).expect("it is there").len();
    let journal = open(directory.path());
    let lease = journal.lease(&RunId::from("r1")).await.expect("nobody holds it");
    for n in 0..steps {
        for entry in step(n) {
            journal.append(&lease, vec![entry]).await.expect("the disk has room");
        }
    }
    drop(journal);
    let file = fs::metadata(&database).expect("it is there").len() - empty;
    let tool = Connection::open(&database).expect("it is there");
    let bodies: i64 = tool
        .query_row("SELECT coalesce(sum(length(data)), 0) FROM body", [], |row| row.get(0))
        .expect("the table is there");
    let bodies = u64::try_from(bodies).expect("a sum of lengths");
    format!(
        "size: {} B a step of three events beside its body ({} B stored of 2,048)",
        (file - bodies) / steps,
        bodies / steps
    )
}

/// Loads a run of so many steps, three events and one body each.
async fn steps(steps: u64) -> String {
    let directory = directory();
    let journal = open(directory.path());
    let run = RunId::from("r1");
    let lease = journal.lease(&run).await.expect("nobody holds it");
    let entries = (0..steps).flat_map(step).collect();
    journal.append(&lease, entries).await.expect("the disk has room");
    drop(journal);
    let began = now();
    let journal = open(directory.path());
    journal.lease(&run).await.expect("nobody holds it");
    let loaded = journal.load(&run).await.expect("nothing is damaged").len();
    format!(
        "load: {steps} steps ({loaded} events), opening and lease included: {:.1} ms",
        began.elapsed().as_secs_f64() * 1e3
    )
}

/// Loads a long run, with and without a snapshot.
async fn many(events: u64) -> String {
    let directory = directory();
    let journal = open(directory.path());
    let run = RunId::from("r1");
    let lease = journal.lease(&run).await.expect("nobody holds it");
    let began = now();
    for start in (0..events).step_by(1_000) {
        let entries = (start..start + 1_000).map(|n| entry(Kind::Small, n)).collect();
        journal.append(&lease, entries).await.expect("the disk has room");
    }
    let written = began.elapsed();
    journal.snapshot(&lease, events - events / 100, vec![7; 1 << 20]).await.expect("the disk has room");
    drop(journal);
    let reader = Reader::open(directory.path()).expect("it is there");
    let began = now();
    let listed = reader.runs().await.expect("nothing is damaged")[0].entries;
    let list = began.elapsed();
    let began = now();
    let restored = reader.restore(&run).await.expect("nothing is damaged");
    let fast = began.elapsed();
    let began = now();
    let loaded = reader.load(&run).await.expect("nothing is damaged").len();
    let slow = began.elapsed();
    assert_eq!((loaded as u64, listed), (events, events));
    format!(
        "load: {events} events, from a snapshot and {} entries: {:.0} ms; all entries: {:.0} ms; list: {:.2} ms; \
         written 1,000 at a time in {:.1} s",
        restored.entries.len(),
        fast.as_secs_f64() * 1e3,
        slow.as_secs_f64() * 1e3,
        list.as_secs_f64() * 1e3,
        written.as_secs_f64(),
    )
}
