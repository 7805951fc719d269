//! What docs/JOURNAL.md says can be asked, asked as written.

use std::process::Command;

use bellwether_journal::spend::Spending;
use bellwether_journal::{Journal, SqliteJournal};
use rusqlite::{Connection, OpenFlags};

use crate::support::{entry, plain, quick_directory, run};

const PAGE: &str = include_str!("../../../../docs/JOURNAL.md");

fn queries() -> Vec<&'static str> {
    let blocks = PAGE.split("```sql\n").skip(1);
    blocks.map(|block| block.split("```").next().expect("a split has a first part")).collect()
}

#[tokio::test]
async fn every_documented_query_answers_while_the_journal_is_written() {
    let directory = quick_directory();
    let journal = SqliteJournal::open(directory.path(), plain()).unwrap();
    let lease = journal.lease(&run()).await.unwrap();
    let database = directory.path().join("journal.db");
    let tool = Connection::open_with_flags(&database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    assert_eq!(queries().len(), 7);
    for round in 1..=5u32 {
        journal.append(&lease, vec![entry(round.into()), entry(u64::from(round) + 100)]).await.unwrap();
        journal.snapshot(&lease, round.into(), vec![0; 10]).await.unwrap();
        let spending = Spending { calls: 1, ..Spending::default() };
        journal.reserve("acme", &round.to_string(), spending, |_| true).await.unwrap().unwrap();
        for query in queries() {
            let rows = tool.prepare(query).unwrap().query_map([], |row| row.get_ref(0).map(drop)).unwrap().count();
            assert!(rows > 0, "{query}");
        }
        let count = "SELECT entries FROM runs WHERE run = 'r1' AND pid = ?1";
        let seen: i64 = tool.query_row(count, [std::process::id()], |row| row.get(0)).unwrap();
        assert_eq!(seen, i64::from(2 * round), "what was acknowledged is seen at once");
        let tokens: i64 = tool.query_row(queries()[3], [], |row| row.get(1)).unwrap();
        assert_eq!(tokens, i64::from(14 * round));
    }
}

/// Whether the machine has the tool. It has to where `CI` is set; elsewhere what needs it is left out, and says so.
#[expect(clippy::print_stderr, reason = "a test that is left out says so")]
fn sqlite_tool_is_here() -> bool {
    let missing = Command::new("sqlite3").arg("-version").output().is_err();
    assert!(!missing || std::env::var_os("CI").is_none(), "no sqlite3 on this machine: install the package sqlite3");
    if missing {
        eprintln!("SKIPPED: there is no sqlite3 on this machine; install the package sqlite3 to try its tool");
    }
    !missing
}

/// Debian's tool is older than the library here; it must read the file all the same.
#[tokio::test]
async fn the_sqlite_tool_of_the_machine_reads_the_file_while_it_is_written() {
    if !sqlite_tool_is_here() {
        return;
    }
    let directory = quick_directory();
    let journal = SqliteJournal::open(directory.path(), plain()).unwrap();
    let lease = journal.lease(&run()).await.unwrap();
    for round in 1..=10u64 {
        journal.append(&lease, vec![entry(round)]).await.unwrap();
        let mut tool = Command::new("sqlite3");
        tool.arg("-readonly").arg(directory.path().join("journal.db")).arg("SELECT max(seq) FROM event");
        let said = tool.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), round.to_string(), "{said:?}");
    }
}

#[test]
fn the_documented_format_is_the_one_that_is_written() {
    let directory = quick_directory();
    drop(SqliteJournal::open(directory.path(), plain()).unwrap());
    let database = Connection::open(directory.path().join("journal.db")).unwrap();
    let pragma = |name| database.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
    let said = format!("`PRAGMA application_id` is `0x{:X}`", pragma("application_id"));
    assert!(PAGE.contains(&said), "{said}");
    assert!(PAGE.contains(&format!("is the format, now {}", pragma("user_version"))));
    let mode: String = database.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
    let lax = "SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND NOT strict \
               AND name NOT LIKE 'sqlite_%'";
    assert_eq!(database.query_row(lax, [], |row| row.get::<_, i64>(0)).unwrap(), 0, "all tables are strict");
}
