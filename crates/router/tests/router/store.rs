//! The file that keeps what was learnt: torn lines, several writers, files of others.

use std::io::Write;
use std::path::Path;

use bellwether_router::history::MAX_ENTRIES;
use bellwether_router::outcome::{Entry, Outcome};
use bellwether_router::{Adaptive, Ending, Router, Settings, StoreError};

use crate::play::lesson;

fn open(path: &Path) -> Adaptive {
    Adaptive::open(Settings::default(), 1, path).expect("the file can be read")
}

fn ids(router: &Adaptive) -> Vec<String> {
    router.history().entries().iter().map(|entry| entry.id().to_owned()).collect()
}

fn learn(router: &Adaptive, tasks: std::ops::Range<usize>) {
    tasks.for_each(|n| router.learn(&lesson(&format!("t{n}"), n % 3, Ending::Accepted)));
    assert!(router.trouble().is_none());
}

#[test]
fn what_was_learnt_is_there_again_and_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/router.log");
    let first = open(&path);
    assert!(!path.exists(), "nothing is written before there is something to keep");
    learn(&first, 0..5);
    let second = open(&path);
    assert_eq!(second.history().stats(), first.history().stats());
    learn(&second, 0..5);
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 6, "a first line and five lessons");
    let frozen = Adaptive::open(Settings { frozen: true, ..Settings::default() }, 1, &path).unwrap();
    frozen.learn(&lesson("new", 0, Ending::Missed));
    assert_eq!((ids(&frozen).len(), open(&path).history().entries().len()), (5, 5));
}

/// A crash may cut a line short anywhere: what was whole is kept, and what comes next is not lost.
#[test]
fn a_line_that_was_cut_short_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("router.log");
    learn(&open(&path), 0..3);
    let whole = std::fs::read(&path).unwrap();
    let second_line = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for cut in (second_line..whole.len()).step_by(11).chain([whole.len() - 1]) {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let lines = whole[..cut].iter().filter(|byte| **byte == b'\n').count() - 1;
        let router = open(&path);
        assert_eq!(ids(&router).len(), lines, "cut at {cut}");
        learn(&router, 7..8);
        assert_eq!(ids(&open(&path)), ids(&router), "cut at {cut}");
        let only_its_end = usize::from(whole[cut] == b'\n');
        assert_eq!(ids(&router).len(), lines + 1 + only_its_end, "cut at {cut}");
        let is_torn = whole[cut - 1] != b'\n' && whole[cut] != b'\n';
        assert_eq!(router.passed_over(), u64::from(is_torn), "cut at {cut}: it is said");
    }
}

/// A disk that is full may cut the very first line short, and then every run was refused: the file was somebody else's.
#[test]
fn a_first_line_that_was_cut_short_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("router.log");
    learn(&open(&path), 0..1);
    let whole = std::fs::read(&path).unwrap();
    let line = whole.iter().position(|byte| *byte == b'\n').unwrap();
    for cut in 0..=line {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let router = open(&path);
        assert_eq!(ids(&router).len(), 0, "cut at {cut}");
        learn(&router, 1..3);
        assert_eq!(ids(&open(&path)), ["run/t1/0", "run/t2/0"], "cut at {cut}");
    }
}

#[test]
fn two_writers_at_once_lose_nothing_and_come_to_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("router.log");
    let writers = [open(&path), open(&path)];
    // The second one has not read yet what the first one wrote.
    writers.iter().for_each(|writer| learn(writer, 0..1));
    std::thread::scope(|scope| {
        for (n, writer) in writers.iter().enumerate() {
            // The tasks in the middle are learnt by both.
            scope.spawn(move || learn(writer, n * 100..n * 100 + 150));
        }
    });
    // Each reads what the other wrote last before it writes again.
    writers.iter().enumerate().for_each(|(n, writer)| learn(writer, 1_000 + n..1_001 + n));
    let (all, last) = (open(&path), &writers[1]);
    assert_eq!(ids(&all).len(), 252);
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 253, "what both learnt is there once");
    assert_eq!(all.history().stats(), last.history().stats());
}

#[test]
fn a_long_file_is_written_anew_and_everybody_notices() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("router.log");
    learn(&open(&path), 0..1);
    let pattern = Outcome::of(&lesson("t", 0, Ending::Accepted), 1);
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    let mut text = String::new();
    for n in 0..MAX_ENTRIES + MAX_ENTRIES / 4 - 2 {
        let entry = Entry::Outcome(Outcome { id: format!("old/t{n}/0"), ..pattern.clone() });
        text.push_str(&serde_json::to_string(&entry).unwrap());
        text.push('\n');
    }
    file.write_all(text.as_bytes()).unwrap();
    let (writer, other) = (open(&path), open(&path));
    learn(&writer, 1..2);
    assert_eq!(ids(&writer).len(), MAX_ENTRIES, "the latest are kept");
    assert_eq!(ids(&writer).last().unwrap(), "run/t1/0");
    learn(&other, 2..3);
    assert_eq!(ids(&other).len(), MAX_ENTRIES + 1, "and read anew by whoever had read the old ones");
    assert_eq!(ids(&open(&path)), ids(&other));
}

#[test]
fn what_is_reset_is_forgotten_by_everybody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("router.log");
    let router = open(&path);
    learn(&router, 0..5);
    Adaptive::reset(&path).unwrap();
    assert_eq!(ids(&open(&path)).len(), 0);
    learn(&router, 5..6);
    assert_eq!(ids(&router), ["run/t5/0"]);
    // Nobody takes what comes after another reset for what was there before it, as long as it may be by then.
    Adaptive::reset(&path).unwrap();
    learn(&open(&path), 6..16);
    learn(&router, 16..17);
    assert_eq!(ids(&router), ids(&open(&path)));
}

/// Whoever deletes the file while a run is on means the same as a reset.
#[test]
fn a_file_that_was_deleted_and_begun_anew_is_read_from_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("router.log");
    let router = open(&path);
    learn(&router, 0..5);
    std::fs::remove_file(&path).unwrap();
    learn(&open(&path), 5..7);
    learn(&router, 7..8);
    assert_eq!(ids(&router), ["run/t5/0", "run/t6/0", "run/t7/0"]);
}

#[test]
fn a_file_of_something_else_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "dear diary").unwrap();
    let error = Adaptive::open(Settings::default(), 1, &path).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    std::fs::write(&path, format!("{{\"bellwether_router\":{}", "1".repeat(1_000))).unwrap();
    let error = Adaptive::open(Settings::default(), 1, &path).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    std::fs::write(&path, "{\"bellwether_rooster\":1").unwrap();
    let error = Adaptive::open(Settings::default(), 1, &path).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    let later = "{\"bellwether_router\":9,\"generation\":1}\n";
    std::fs::write(&path, later).unwrap();
    let error = Adaptive::open(Settings::default(), 1, &path).unwrap_err();
    assert!(matches!(error, StoreError::Schema { schema: 9, .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), later);
}

#[test]
fn a_file_that_fails_is_told_and_the_lesson_counts_in_this_process() {
    let folder = tempfile::tempdir().unwrap();
    let router = open(&folder.path().join("router.log"));
    // The folder becomes a file: nothing can be written below it.
    let path = folder.path().to_owned();
    drop(folder);
    std::fs::write(&path, "in the way").unwrap();
    router.learn(&lesson("t", 0, Ending::Accepted));
    let trouble = router.trouble().expect("it is told");
    assert!(trouble.to_string().contains("router.log cannot be used"), "{trouble}");
    assert_eq!(ids(&router).len(), 1);
    std::fs::remove_file(path).unwrap();
}
