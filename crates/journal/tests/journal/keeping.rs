//! What is kept, for how long, for whose eyes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bellwether_journal::settings::Secret;
use bellwether_journal::{
    Bodies, Entry, Error, Journal, Reader, Recorded, Restored, Settings, Snapshot, SqliteJournal,
};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{entry, open, plain, quick_directory, run, said, small};

fn count(directory: &Path, table: &str) -> i64 {
    let connection = Connection::open(directory.join("journal.db")).expect("the database is there");
    connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("the table is there")
}

#[tokio::test]
async fn entries_come_back_whole_and_in_order_after_reopening() {
    let directory = quick_directory();
    let kept: Vec<Entry> = (0..200).map(entry).collect();
    for chunk in kept.chunks(50) {
        let journal = open(directory.path());
        let lease = journal.lease(&run()).await.unwrap();
        for pair in chunk.chunks(2) {
            journal.append(&lease, pair.to_vec()).await.unwrap();
        }
    }
    let reader = Reader::open(directory.path()).unwrap();
    assert_eq!(reader.load(&run()).await.unwrap(), kept);
    reader.verify().await.unwrap();
    let listed = reader.runs().await.unwrap().remove(0);
    assert_eq!((listed.run, listed.entries, listed.holder), (run(), 200, None));
    assert!(listed.first.unwrap() <= listed.last.unwrap());
    assert!(listed.bytes > 200 * 40 && listed.bytes < 200 * 400, "{} bytes for 200 entries", listed.bytes);
}

#[tokio::test]
async fn a_run_is_followed_by_the_number_of_its_last_entry() {
    let directory = quick_directory();
    let journal = open(directory.path());
    let reader = Reader::open(directory.path()).unwrap();
    let lease = journal.lease(&run()).await.unwrap();
    let mut seen: Vec<Recorded> = Vec::new();
    for n in 0..10 {
        journal.append(&lease, vec![entry(3 * n), entry(3 * n + 1), entry(3 * n + 2)]).await.unwrap();
        let last = seen.last().map_or(0, |recorded| recorded.seq);
        seen.extend(reader.read(&run(), last, 100).await.unwrap());
    }
    assert!(seen.iter().map(|recorded| &recorded.entry).eq(&(0..30).map(entry).collect::<Vec<_>>()));
    assert_eq!(reader.read(&run(), 30, 100).await.unwrap(), []);
    assert_eq!(reader.read(&run(), 31, 100).await.unwrap(), [], "what is not there yet is not there");
    assert_eq!(reader.read(&run(), 28, 1).await.unwrap(), seen[28..29]);
}

#[tokio::test]
async fn a_text_that_many_entries_hold_is_kept_once() {
    let directory = quick_directory();
    let journal = open(directory.path());
    let artifact = "fn main() { println!(\"the same program\"); }\n".repeat(2_000);
    let entry = |n: u64| Entry { kind: "round".to_owned(), body: json!({ "n": n, "artifact": artifact }) };
    for name in ["r1", "r2"] {
        let lease = journal.lease(&name.into()).await.unwrap();
        journal.append(&lease, (0..50).map(entry).collect()).await.unwrap();
    }
    assert_eq!(count(directory.path(), "body"), 1);
    let listed = journal.reader().runs().await.unwrap();
    assert!(listed[1].bytes < artifact.len() as u64, "100 times 88 KB take {} bytes", listed[1].bytes);
    assert_eq!(journal.load(&"r2".into()).await.unwrap(), (0..50).map(entry).collect::<Vec<_>>());
}

#[tokio::test]
async fn texts_go_with_the_last_run_that_needs_them_and_the_file_shrinks() {
    let directory = quick_directory();
    let journal = open(directory.path());
    for name in ["r1", "r2", "r3"] {
        let lease = journal.lease(&name.into()).await.unwrap();
        let shift = if name == "r3" { 1_200 } else { 0 };
        for start in (shift..shift + 1_200).step_by(100) {
            journal.append(&lease, (start..start + 100).map(entry).collect()).await.unwrap();
        }
        journal.snapshot(&lease, 10, vec![1; 100]).await.unwrap();
        journal.release(&lease).await.unwrap();
    }
    let size = || fs::metadata(directory.path().join("journal.db")).unwrap().len();
    assert_eq!(journal.collect().await.unwrap().texts, 0, "every text is needed");
    assert!(journal.remove(&"r1".into()).await.unwrap());
    assert!(!journal.remove(&"r1".into()).await.unwrap(), "only once");
    assert_eq!(journal.collect().await.unwrap().texts, 0, "r2 needs the texts of r1");
    assert!(journal.remove(&"r2".into()).await.unwrap());
    let freed = journal.collect().await.unwrap();
    assert_eq!(freed.texts, 1_200);
    assert!(freed.bytes > 1_200 * 20);
    assert_eq!(journal.load(&"r3".into()).await.unwrap().len(), 1_200);
    assert_eq!((count(directory.path(), "uses"), count(directory.path(), "snapshot")), (1_200, 1));
    journal.reader().verify().await.unwrap();
    assert!(journal.remove(&"r3".into()).await.unwrap());
    journal.collect().await.unwrap();
    drop(journal);
    assert!(size() < 100_000, "{} bytes for an empty journal", size());
}

#[tokio::test]
async fn a_removal_that_was_cut_short_hides_the_run_and_ends_with_the_next_collection() {
    let directory = quick_directory();
    let journal = open(directory.path());
    let lease = journal.lease(&run()).await.unwrap();
    journal.append(&lease, (0..10).map(entry).collect()).await.unwrap();
    drop(journal);
    let cut = Connection::open(directory.path().join("journal.db")).unwrap();
    cut.execute("UPDATE run SET name = NULL", []).unwrap();
    drop(cut);
    let journal = open(directory.path());
    assert_eq!(journal.runs().await.unwrap(), []);
    assert_eq!(journal.load(&run()).await.unwrap(), []);
    assert_eq!(journal.collect().await.unwrap().texts, 10);
    assert_eq!(count(directory.path(), "run") + count(directory.path(), "event"), 0);
}

#[tokio::test]
async fn a_run_is_restored_from_its_latest_snapshot_and_what_came_after() {
    let directory = quick_directory();
    let journal = open(directory.path());
    let lease = journal.lease(&run()).await.unwrap();
    assert_eq!(journal.reader().restore(&run()).await.unwrap(), Restored::default());
    journal.append(&lease, (1..=10).map(entry).collect()).await.unwrap();
    let whole = journal.reader().restore(&run()).await.unwrap();
    assert_eq!((whole.snapshot, whole.entries.len()), (None, 10));
    journal.snapshot(&lease, 4, b"four".to_vec()).await.unwrap();
    journal.snapshot(&lease, 8, b"eight".repeat(1_000)).await.unwrap();
    let Restored { snapshot, entries } = journal.reader().restore(&run()).await.unwrap();
    assert_eq!(snapshot, Some(Snapshot { seq: 8, state: b"eight".repeat(1_000) }));
    assert_eq!(entries.into_iter().map(|recorded| recorded.entry).collect::<Vec<_>>(), [entry(9), entry(10)]);
    let beyond = journal.snapshot(&lease, 11, Vec::new()).await.unwrap_err();
    assert!(said(&beyond).contains("run r1 has no entry 11 to take a snapshot at"));
    let damage = Connection::open(directory.path().join("journal.db")).unwrap();
    damage.execute("UPDATE snapshot SET data = zeroblob(length(data))", []).unwrap();
    let Restored { snapshot, entries } = journal.reader().restore(&run()).await.unwrap();
    assert_eq!((snapshot, entries.len()), (None, 10), "a damaged snapshot costs time and nothing else");
}

#[tokio::test]
async fn a_journal_without_bodies_keeps_hashes_and_says_that_the_run_cannot_be_loaded() {
    let directory = quick_directory();
    let journal = SqliteJournal::open(directory.path(), Settings { bodies: Bodies::Hashes, ..plain() }).unwrap();
    let lease = journal.lease(&run()).await.unwrap();
    let prompt = "the most private of prompts, which nobody may read who opens the file";
    let asked = Entry { kind: "call".to_owned(), body: json!({ "prompt": prompt, "model": "m" }) };
    journal.append(&lease, vec![small(1), asked]).await.unwrap();
    let shown = journal.read(&run(), 1, 1).await.unwrap().remove(0).entry.body;
    assert_eq!(shown["model"], "m");
    assert_eq!(shown["prompt"]["$hash"], blake3::hash(prompt.as_bytes()).to_hex().as_str());
    let refused = said(&journal.load(&run()).await.unwrap_err());
    assert!(
        refused.ends_with("the bodies of run r1 were not kept, so it can be looked at but not loaded"),
        "{refused}"
    );
    drop(journal);
    let bytes = fs::read(directory.path().join("journal.db")).unwrap();
    assert!(!bytes.windows(20).any(|window| window == &prompt.as_bytes()[..20]));
}

#[tokio::test]
async fn a_secret_reaches_no_file_in_no_text_of_an_entry() {
    let directory = quick_directory();
    let canary = "sk-canary-7f3a91";
    let settings = Settings { secrets: vec![Secret::new(canary), Secret::new("")], ..plain() };
    assert!(!format!("{settings:?}").contains(canary));
    let journal = SqliteJournal::open(directory.path(), settings).unwrap();
    let lease = journal.lease(&run()).await.unwrap();
    let long = format!("{canary} {} {canary}", "x".repeat(2_000));
    let body = json!({ "a": [canary, { "deep": long }], "error": format!("key {canary} is wrong") });
    journal.append(&lease, vec![Entry { kind: "failed".to_owned(), body }]).await.unwrap();
    let kept = journal.load(&run()).await.unwrap().remove(0);
    assert_eq!(kept.body["error"], "key [redacted] is wrong");
    assert!(!kept.body.to_string().contains(canary));
    for file in fs::read_dir(directory.path()).unwrap().map(Result::unwrap).filter(|file| file.path().is_file()) {
        let bytes = fs::read(file.path()).unwrap();
        assert!(!bytes.windows(canary.len()).any(|window| window == canary.as_bytes()), "{:?}", file.path());
    }
}

/// Somebody's key for a local endpoint was a word that entries use themselves: no run under it could be taken up again.
#[tokio::test]
async fn a_secret_that_is_a_word_of_ours_leaves_kinds_and_fields_as_they_are() {
    let directory = quick_directory();
    let secrets = ["produced", "max_rounds"].map(Secret::new).to_vec();
    let journal = SqliteJournal::open(directory.path(), Settings { secrets, ..plain() }).unwrap();
    let lease = journal.lease(&run()).await.unwrap();
    let body = json!({ "max_rounds": { "max_rounds": "max_rounds = 2" } });
    journal.append(&lease, vec![Entry { kind: "produced".to_owned(), body }]).await.unwrap();
    let kept = journal.load(&run()).await.unwrap().remove(0);
    assert_eq!(kept.kind, "produced");
    assert_eq!(kept.body, json!({ "max_rounds": { "max_rounds": "[redacted] = 2" } }));
}

#[tokio::test]
async fn every_file_is_readable_by_its_owner_only() {
    let parent = quick_directory();
    let directory = parent.path().join("a/b");
    let journal = SqliteJournal::open(&directory, Settings { ballast: 4096, ..plain() }).unwrap();
    let lease = journal.lease(&run()).await.unwrap();
    journal.append(&lease, vec![entry(1)]).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&directory), mode(&directory.join("holders"))), (0o700, 0o700));
    let mut names = Vec::new();
    for file in fs::read_dir(&directory).unwrap().chain(fs::read_dir(directory.join("holders")).unwrap()) {
        let file = file.unwrap();
        if file.path().is_file() {
            assert_eq!(mode(&file.path()), 0o600, "{:?}", file.path());
            names.push(file.file_name().into_string().unwrap());
        }
    }
    names.sort();
    assert_eq!(names.len(), 6);
    assert_eq!(names[1..], ["ballast", "journal.db", "journal.db-shm", "journal.db-wal", "journal.lock"]);
    drop(journal);
    fs::set_permissions(directory.join("journal.db"), fs::Permissions::from_mode(0o644)).unwrap();
    drop(open(&directory));
    assert_eq!(mode(&directory.join("journal.db")), 0o600, "a file that was opened to others is closed again");
}

#[test]
fn what_is_no_journal_of_ours_is_refused_in_one_sentence() {
    let directory = quick_directory();
    let refused = |change: &str| {
        let path = directory.path().join(change.replace(|c: char| !c.is_alphanumeric(), "_"));
        fs::create_dir(&path).unwrap();
        if !change.starts_with("CREATE") {
            drop(open(&path));
        }
        Connection::open(path.join("journal.db")).unwrap().execute_batch(change).unwrap();
        let writing = SqliteJournal::open(&path, plain()).unwrap_err().to_string();
        assert_eq!(Reader::open(&path).unwrap_err().to_string(), writing);
        writing.replace(path.to_str().unwrap(), "DIR")
    };
    let newer = "the journal in DIR has format 3, and this version of Bellwether knows formats up to 2";
    assert_eq!(refused("PRAGMA user_version = 3"), newer);
    assert_eq!(refused("PRAGMA user_version = 0"), "the journal in DIR is damaged: there is no format 0");
    assert_eq!(refused("PRAGMA application_id = 77"), "DIR/journal.db is not a journal of Bellwether");
    assert_eq!(refused("CREATE TABLE other (x)"), "DIR/journal.db is not a journal of Bellwether");
    let nowhere = Reader::open(directory.path().join("nowhere")).unwrap_err();
    assert!(matches!(&nowhere, Error::Missing { .. }), "{nowhere}");
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(SqliteJournal::open(&file, plain()).unwrap_err(), Error::Io { .. }));
}

#[tokio::test]
async fn an_entry_that_could_not_be_read_back_is_refused() {
    let directory = quick_directory();
    let journal = open(directory.path());
    let lease = journal.lease(&run()).await.unwrap();
    let nested = |levels| (0..levels).fold(json!("x".repeat(600)), |inner, _| json!([inner]));
    let entry = |body| vec![Entry { kind: "deep".to_owned(), body }];
    journal.append(&lease, entry(nested(120))).await.unwrap();
    let refused = said(&journal.append(&lease, entry(nested(121))).await.unwrap_err());
    assert!(refused.ends_with("an entry is nested more than 120 levels deep"), "{refused}");
    let items = vec![Value::from(1.0e-300); 10 << 20];
    let refused = said(&journal.append(&lease, entry(items.into())).await.unwrap_err());
    assert!(refused.ends_with("more than the 67108864 that a journal takes"), "{refused}");
    assert_eq!(journal.load(&run()).await.unwrap(), entry(nested(120)));
}

/// Compressed it took little, so it was kept; unpacked it was more than is ever read, and the run counted as damaged.
#[tokio::test]
async fn what_is_too_large_to_be_read_is_not_written_however_well_it_compresses() {
    let directory = quick_directory();
    let journal = open(directory.path());
    let lease = journal.lease(&run()).await.unwrap();
    let text = |bytes: usize| Entry { kind: "call_done".to_owned(), body: json!({ "text": "x".repeat(bytes) }) };
    journal.append(&lease, vec![text(64 << 20)]).await.unwrap();
    let refused = journal.append(&lease, vec![text((64 << 20) + 1)]).await.unwrap_err();
    assert!(said(&refused).contains("67108865 bytes"), "{}", said(&refused));
    assert_eq!(journal.load(&run()).await.unwrap(), [text(64 << 20)]);
}
