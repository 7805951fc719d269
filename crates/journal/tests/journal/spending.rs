//! Accounts that processes share: nobody takes room that another one has.

use std::sync::Arc;
use std::time::Duration;

use bellwether_journal::SqliteJournal;
use bellwether_journal::spend::{Spending, Today};
use rusqlite::Connection;

use crate::support::{Hands, open, plain, quick_directory, timed};

const CAP: u64 = 10;

fn calls(calls: u64) -> Spending {
    Spending { nanos: calls * 7, tokens: calls * 3, calls, time: Duration::from_millis(calls) }
}

/// Whether another call fits below the cap.
fn fits(today: &Today) -> bool {
    today.spent.calls + today.reserved.calls < CAP
}

async fn take(journal: &SqliteJournal, id: &str) -> Result<(), Today> {
    journal.reserve("acme", id, calls(1), fits).await.expect("the journal is there")
}

/// Two journals on one directory, as two processes have them, race for the last places.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_takers_in_two_journals_never_take_more_than_there_is() {
    let directory = quick_directory();
    let journals = [Arc::new(open(directory.path())), Arc::new(open(directory.path()))];
    let mut takers = tokio::task::JoinSet::new();
    for n in 0..64 {
        let journal = Arc::clone(&journals[n % 2]);
        takers.spawn(async move { take(&journal, &format!("call {n}")).await.is_ok().then_some(n) });
    }
    let taken: Vec<usize> = takers.join_all().await.into_iter().flatten().collect();
    assert_eq!(taken.len(), 10);
    // What did not take all it might is there again; a settlement of what was never reserved is no matter.
    journals[taken[0] % 2].settle("acme", &format!("call {}", taken[0]), Spending::default());
    journals[0].settle("acme", "nobody", calls(1_000));
    assert_eq!(take(&journals[taken[0] % 2], "another").await, Ok(()));
    let full = take(&journals[0], "one more").await.unwrap_err();
    assert_eq!((full.spent, full.reserved), (Spending::default(), calls(10)));
}

#[tokio::test]
async fn what_a_dead_process_had_reserved_stays_spent_and_a_new_day_is_empty() {
    let directory = quick_directory();
    let clock = Arc::new(Hands::default());
    let journal = SqliteJournal::open(directory.path(), timed(&clock)).unwrap();
    for n in 0..10 {
        take(&journal, &format!("call {n}")).await.unwrap();
    }
    journal.settle("acme", "call 0", calls(1));
    drop(journal);
    let journal = SqliteJournal::open(directory.path(), timed(&clock)).unwrap();
    let full = take(&journal, "late").await.unwrap_err();
    assert_eq!((full.spent, full.reserved), (calls(10), Spending::default()));
    assert_eq!(journal.reserve("other", "late", calls(1), fits).await.unwrap(), Ok(()), "each account has its own");
    clock.forward(24 * 60 * 60 * 1_000);
    assert_eq!(take(&journal, "early").await, Ok(()));
}

#[tokio::test]
async fn a_journal_of_the_first_format_gets_what_it_lacks() {
    let directory = quick_directory();
    drop(open(directory.path()));
    let database = Connection::open(directory.path().join("journal.db")).unwrap();
    database.execute_batch("DROP TABLE spend").unwrap();
    database.pragma_update(None, "user_version", 1).unwrap();
    drop(database);
    assert!(bellwether_journal::Reader::open(directory.path()).unwrap().runs().await.unwrap().is_empty());
    let journal = SqliteJournal::open(directory.path(), plain()).unwrap();
    assert_eq!(take(&journal, "call").await, Ok(()));
}
