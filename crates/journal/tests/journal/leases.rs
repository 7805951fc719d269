//! One writer per run, and everybody else is told who it is.

use std::sync::Arc;

use bellwether_core::test_util::{self, MemoryJournal};
use bellwether_journal::{Journal, JournalError, Reader, Settings, SqliteJournal};

use crate::support::{Hands, open, quick_directory, run, said, small, timed};

#[tokio::test]
async fn both_journals_keep_the_promises_of_the_seam() {
    let directory = quick_directory();
    test_util::journal(&open(directory.path())).await;
    test_util::journal(&MemoryJournal::default()).await;
}

#[tokio::test]
async fn a_second_writer_is_told_who_holds_the_run_and_since_when() {
    let (directory, clock) = (quick_directory(), Arc::new(Hands::default()));
    clock.forward(1_000);
    let first = SqliteJournal::open(directory.path(), timed(&clock)).unwrap();
    let second = SqliteJournal::open(directory.path(), timed(&clock)).unwrap();
    first.lease(&run()).await.unwrap();
    clock.forward(59_999);
    let refused = second.lease(&run()).await.unwrap_err();
    assert_eq!(
        said(&refused),
        format!("run r1 is being written by process {} on {}", std::process::id(), holder_of(&refused).host)
    );
    let holder = holder_of(&refused);
    assert!(!holder.host.is_empty());
    assert_eq!((holder.since.as_nanos(), holder.until.as_nanos()), (1_000_000_000, 61_000_000_000));
    let listed = second.reader().runs().await.unwrap();
    assert_eq!(listed[0].holder, Some(holder));
}

fn holder_of(error: &JournalError) -> bellwether_journal::Holder {
    match error {
        JournalError::Held { holder, .. } => holder.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_writer_that_was_stopped_too_long_loses_its_run_and_cannot_write_when_it_wakes() {
    let (directory, clock) = (quick_directory(), Arc::new(Hands::default()));
    let never = Settings { heartbeat: std::time::Duration::MAX, ..timed(&clock) };
    let stopped = SqliteJournal::open(directory.path(), never).unwrap();
    let other = SqliteJournal::open(directory.path(), timed(&clock)).unwrap();
    let void = stopped.lease(&run()).await.unwrap();
    stopped.append(&void, vec![small(1)]).await.unwrap();
    clock.forward(60_000);
    stopped.append(&void, vec![small(2)]).await.expect("as long as nobody took it over, the lease is good");
    assert_eq!(other.reader().runs().await.unwrap()[0].holder, None, "nobody is shown to write");
    let lease = other.lease(&run()).await.unwrap();
    let fenced = stopped.append(&void, vec![small(3)]).await;
    assert!(matches!(fenced, Err(JournalError::Fenced { .. })));
    other.append(&lease, vec![small(4)]).await.unwrap();
    assert_eq!(stopped.load(&run()).await.unwrap(), [small(1), small(2), small(4)]);
}

#[tokio::test]
async fn a_living_writer_keeps_its_lease_by_its_heartbeat() {
    let (directory, clock) = (quick_directory(), Arc::new(Hands::default()));
    let writer = SqliteJournal::open(directory.path(), timed(&clock)).unwrap();
    let other = SqliteJournal::open(directory.path(), timed(&clock)).unwrap();
    let (idle, busy) = (run(), "busy".into());
    writer.lease(&idle).await.unwrap();
    let lease = writer.lease(&busy).await.unwrap();
    for n in 0..10 {
        clock.forward(15_000);
        // The heartbeat goes with the next commit; without one it comes by itself.
        writer.append(&lease, vec![small(n)]).await.unwrap();
    }
    assert!(matches!(other.lease(&idle).await, Err(JournalError::Held { .. })));
    clock.back(100_000);
    writer.append(&lease, vec![small(10)]).await.unwrap();
    clock.forward(59_000);
    assert!(matches!(other.lease(&idle).await, Err(JournalError::Held { .. })), "a clock set back is no dead writer");
    let ordered = writer.read(&busy, 0, 99).await.unwrap();
    assert!(ordered.is_sorted_by_key(|recorded| recorded.at), "nor does it turn time around");
}

#[tokio::test]
async fn what_a_closed_journal_held_is_free() {
    let directory = quick_directory();
    let first = open(directory.path());
    let old = first.lease(&run()).await.unwrap();
    first.append(&old, vec![small(1)]).await.unwrap();
    first.close();
    assert!(first.append(&old, vec![small(2)]).await.is_err(), "a closed journal takes nothing");
    drop(first);
    assert_eq!(std::fs::read_dir(directory.path().join("holders")).unwrap().count(), 0, "no sign of life is left");
    let second = open(directory.path());
    let lease = second.lease(&run()).await.unwrap();
    assert!(lease.epoch > old.epoch);
    assert!(matches!(second.append(&old, vec![small(3)]).await, Err(JournalError::Fenced { .. })));
    assert_eq!(Reader::open(directory.path()).unwrap().load(&run()).await.unwrap(), [small(1)]);
}

#[tokio::test]
async fn a_run_that_was_removed_and_begun_again_does_not_know_its_former_writer() {
    let directory = quick_directory();
    let journal = open(directory.path());
    let old = journal.lease(&run()).await.unwrap();
    journal.append(&old, vec![small(1)]).await.unwrap();
    assert!(matches!(journal.remove(&run()).await, Err(JournalError::Held { .. })), "not while it is written");
    journal.release(&old).await.unwrap();
    assert!(journal.remove(&run()).await.unwrap());
    let new = journal.lease(&run()).await.unwrap();
    assert!(new.epoch > old.epoch, "the fencing token never comes back");
    assert!(matches!(journal.append(&old, vec![small(2)]).await, Err(JournalError::Fenced { .. })));
    assert_eq!(journal.append(&new, vec![small(3)]).await.unwrap(), 1);
    assert_eq!(journal.load(&run()).await.unwrap(), [small(3)]);
}
