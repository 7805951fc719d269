//! A full disk: nothing acknowledged is lost, what is paid is kept, and writing goes on once there is room.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bellwether_journal::{Entry, Error, Health, Journal, JournalError, Settings, SqliteJournal};
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::support::{Hands, plain, quick_directory, run, said, timed};

/// Does not compress.
fn large(n: u64) -> Entry {
    let mut rng = fastrand::Rng::with_seed(n);
    let text: String = (0..8_000).map(|_| rng.alphanumeric()).collect();
    Entry { kind: "call_done".to_owned(), body: json!({ "n": n, "text": text }) }
}

fn eager() -> Settings {
    Settings { retry: Duration::from_millis(2), ..plain() }
}

/// Fills the disk below a journal, and frees it again.
trait Disk: Sync {
    fn fill(&self, journal: &SqliteJournal);
    fn free(&self, journal: &SqliteJournal);
}

/// A small filesystem of its own.
struct Tmpfs(TempDir);

impl Tmpfs {
    /// `None` where mounting is not allowed.
    fn mount() -> Option<Self> {
        let directory = quick_directory();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"]).arg(directory.path());
        let mounted = mount.status().is_ok_and(|status| status.success());
        mounted.then_some(Self(directory))
    }

    fn filler(&self) -> std::path::PathBuf {
        self.0.path().join("filler")
    }
}

impl Disk for Tmpfs {
    fn fill(&self, _: &SqliteJournal) {
        let mut filler = File::create(self.filler()).expect("a name takes no room");
        while filler.write_all(&[0; 4096]).is_ok() {}
    }

    fn free(&self, _: &SqliteJournal) {
        fs::remove_file(self.filler()).expect("it was made");
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "what was mounted can be unmounted");
    }
}

/// The journal's own bound.
struct Bound;

impl Disk for Bound {
    fn fill(&self, journal: &SqliteJournal) {
        journal.set_max_bytes(Some(400 << 10));
    }

    fn free(&self, journal: &SqliteJournal) {
        journal.set_max_bytes(None);
    }
}

/// Sixteen producers write until the disk is full; then there is room again. Returns how many were acknowledged while
/// it was full already.
async fn story(directory: &Path, disk: &impl Disk, settings: Settings) -> u64 {
    let journal = Arc::new(SqliteJournal::open(directory, settings.clone()).expect("there is room at first"));
    let mut health = journal.health();
    let lease = journal.lease(&run()).await.expect("nobody holds it");
    let mut last = 0;
    for n in 1..=20 {
        last = journal.append(&lease, vec![large(n)]).await.expect("there is room at first");
    }
    disk.fill(&journal);
    let mut producers = JoinSet::new();
    for producer in 0..16 {
        let (journal, lease) = (Arc::clone(&journal), lease.clone());
        producers.spawn(async move {
            let entries = (0..40).map(|n| large(1_000 + producer * 100 + n));
            let mut acknowledged = Vec::new();
            for entry in entries {
                acknowledged
                    .push((journal.append(&lease, vec![entry.clone()]).await.expect("it waits for room"), entry));
            }
            acknowledged
        });
    }
    health.wait_for(|health| *health != Health::Writing).await.expect("the journal is open");
    let Health::Waiting { reason } = health.borrow().clone() else { panic!("it waits") };
    assert!(reason.contains("full") || reason.contains("I/O"), "{reason}");
    // The reserve is used up with this; then all sixteen wait, and what was acknowledged can be read.
    let full = until_all_wait(&journal).await;
    assert!(full >= last);
    disk.free(&journal);
    let mut acknowledged: Vec<_> = producers.join_all().await.into_iter().flatten().collect();
    assert_eq!(*journal.health().borrow(), Health::Writing);
    acknowledged.sort_by_key(|(seq, _)| *seq);
    drop(journal);

    let journal = SqliteJournal::open(directory, settings).expect("there is room");
    journal.reader().verify().await.expect("nothing is damaged");
    let kept = journal.read(&run(), 20, usize::MAX).await.expect("nothing is damaged");
    assert_eq!(kept.len(), 640);
    assert!(kept.into_iter().map(|recorded| (recorded.seq, recorded.entry)).eq(acknowledged), "each once, as told");
    full - last
}

/// Reads until nothing was added between two failed commits; how many entries there are then.
async fn until_all_wait(journal: &SqliteJournal) -> u64 {
    let (mut health, mut before) = (journal.health(), None);
    loop {
        health.borrow_and_update();
        let entries = journal.reader().runs().await.expect("reading needs no room")[0].entries;
        if before == Some(entries) && *health.borrow() != Health::Writing {
            return entries;
        }
        before = Some(entries);
        // Each failed try is told.
        health.changed().await.expect("the journal is open");
    }
}

#[tokio::test]
async fn a_bound_on_the_journals_size_behaves_like_a_full_disk() {
    let directory = quick_directory();
    story(directory.path(), &Bound, eager()).await;
}

#[tokio::test]
async fn what_is_paid_fits_into_the_reserve_of_a_full_disk_and_the_rest_waits_for_room() {
    let Some(disk) = Tmpfs::mount() else {
        // Not everybody may mount: then the journal's own bound stands for the disk, as in the test before.
        writeln!(io::stderr(), "cannot mount a small disk here; the journal's own bound was tried instead").unwrap();
        story(quick_directory().path(), &Bound, eager()).await;
        return;
    };
    let directory = disk.0.path().join("journal");
    let settings = Settings { ballast: 1 << 20, ..eager() };
    let fitted = story(&directory, &disk, settings).await;
    assert!(fitted >= 16, "what sixteen calls in flight bring fits into the reserve, not just {fitted}");
    assert!(directory.join("ballast").is_file(), "with room there is a reserve again");
}

#[tokio::test]
async fn an_operator_who_gives_up_is_told_what_the_journal_waited_for() {
    let directory = quick_directory();
    let settings = Settings { max_bytes: Some(200 << 10), retry: Duration::MAX, ..plain() };
    let journal = Arc::new(SqliteJournal::open(directory.path(), settings).unwrap());
    let mut health = journal.health();
    let lease = journal.lease(&run()).await.unwrap();
    let writer = Arc::clone(&journal);
    let mut writing = JoinSet::new();
    writing.spawn(async move {
        let mut last = 0;
        loop {
            match writer.append(&lease, vec![large(last)]).await {
                Ok(seq) => last = seq,
                Err(error) => return (last, error),
            }
        }
    });
    health.wait_for(|health| *health != Health::Writing).await.unwrap();
    journal.close();
    let (last, error) = writing.join_next().await.unwrap().unwrap();
    let sentence = said(&error);
    assert!(sentence.contains("the journal was closed first, while it waited:"), "{sentence}");
    assert!(sentence.ends_with("database or disk is full"), "{sentence}");
    let JournalError::Store(source) = error else { panic!("{error:?}") };
    assert!(matches!(source.downcast_ref(), Some(Error::Closed { reason: Some(_) })));
    assert_eq!(journal.load(&run()).await.unwrap().len() as u64, last, "what was acknowledged is there");
}

#[tokio::test]
async fn entries_that_wait_take_no_more_memory_than_was_allowed() {
    let directory = quick_directory();
    let settings = Settings { max_bytes: Some(200 << 10), pending_kib: 64, ..eager() };
    let journal = Arc::new(SqliteJournal::open(directory.path(), settings).unwrap());
    let lease = journal.lease(&run()).await.unwrap();
    let mut writing = JoinSet::new();
    for n in 0..100 {
        let (journal, lease) = (Arc::clone(&journal), lease.clone());
        writing.spawn(async move { journal.append(&lease, vec![large(n)]).await });
    }
    // An append that is larger than all the room goes through alone instead of waiting for ever.
    let huge = (0..40).map(|n| large(1_000 + n)).collect();
    let mut health = journal.health();
    health.wait_for(|health| *health != Health::Writing).await.unwrap();
    journal.set_max_bytes(None);
    journal.append(&lease, huge).await.unwrap();
    while let Some(written) = writing.join_next().await {
        written.unwrap().unwrap();
    }
    assert_eq!(journal.load(&run()).await.unwrap().len(), 140);
}

/// A lease was prolonged in a commit that found no room, and counted as prolonged: it ended too early, and another process
/// could have taken the run over.
#[tokio::test]
async fn a_lease_that_could_not_be_prolonged_on_a_full_disk_is_with_the_next_commit() {
    let (directory, clock) = (quick_directory(), Arc::new(Hands::default()));
    clock.forward(1_000);
    let settings = Settings { retry: Duration::from_millis(2), ..timed(&clock) };
    let journal = Arc::new(SqliteJournal::open(directory.path(), settings).unwrap());
    let mut health = journal.health();
    let lease = journal.lease(&run()).await.unwrap();
    journal.append(&lease, vec![large(0)]).await.unwrap();
    journal.set_max_bytes(Some(1));
    clock.forward(20_000);
    let mut writing = JoinSet::new();
    let writer = Arc::clone(&journal);
    writing.spawn(async move { writer.append(&lease, (1..40).map(large).collect()).await });
    health.wait_for(|health| *health != Health::Writing).await.unwrap();
    journal.set_max_bytes(None);
    writing.join_next().await.unwrap().unwrap().unwrap();
    let holder = journal.reader().runs().await.unwrap().remove(0).holder.expect("it is held");
    assert_eq!(holder.until.as_nanos(), 81_000_000_000, "a minute from the commit that was made");
}
