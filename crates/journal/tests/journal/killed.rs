//! Writers that die: real processes, killed with no warning.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use bellwether_journal::{Entry, Journal, JournalError, Reader, RunId, SqliteJournal};
use fastrand::Rng;

use crate::support::{entry, open, plain};

const DIRECTORY: &str = "BELLWETHER_TEST_JOURNAL";
const RUNS: usize = 4;

fn name(run: usize) -> RunId {
    RunId::from(format!("r{run}"))
}

/// Writes four runs for ever, and tells of each entry that was acknowledged.
#[test]
#[ignore = "run by the tests beside it, in a process of its own"]
fn a_writer() {
    let directory = env::var_os(DIRECTORY).expect("the test that runs this says where");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime can be made");
    let journal = Arc::new(SqliteJournal::open(directory, plain()).expect("it can be opened"));
    runtime.block_on(async {
        let mut writers = tokio::task::JoinSet::new();
        for run in 0..RUNS {
            writers.spawn(write(Arc::clone(&journal), run));
        }
        writers.join_next().await.expect("there are writers").expect("a writer does not panic");
    });
}

async fn write(journal: Arc<SqliteJournal>, run: usize) {
    let lease = journal.lease(&name(run)).await.expect("whoever wrote before is dead, and its run is free at once");
    let mut last = journal.append(&lease, Vec::new()).await.expect("the lease is new");
    loop {
        // One to three at a time, so that commits end at odd places.
        let next: Vec<Entry> = (last + 1..=last + 1 + last % 3).map(entry).collect();
        last = journal.append(&lease, next).await.expect("the disk has room");
        let mut out = std::io::stdout().lock();
        writeln!(out, "acknowledged {run} {last}").and_then(|()| out.flush()).expect("somebody listens");
    }
}

struct Writer {
    process: Child,
    told: BufReader<ChildStdout>,
}

impl Writer {
    fn start(directory: &Path) -> Self {
        let myself = env::current_exe().expect("a process knows its program");
        let mut process = Command::new(myself)
            .args(["--exact", "killed::a_writer", "--ignored", "--nocapture"])
            .env(DIRECTORY, directory)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process can be started");
        let told = BufReader::new(process.stdout.take().expect("it was asked for"));
        Self { process, told }
    }

    /// Listens until so many entries more were acknowledged.
    fn listen(&mut self, lines: usize, acknowledged: &mut [u64; RUNS]) {
        let mut heard = 0;
        while heard < lines {
            let mut line = String::new();
            assert!(self.told.read_line(&mut line).expect("it can be read") > 0, "the writer ended by itself");
            heard += usize::from(note(&line, acknowledged));
        }
    }

    /// Kills it, and hears what it said before.
    fn kill(mut self, acknowledged: &mut [u64; RUNS]) {
        self.process.kill().expect("it lives");
        let mut rest = String::new();
        self.told.read_to_string(&mut rest).expect("it can be read");
        for line in rest.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            note(line, acknowledged);
        }
        self.process.wait().expect("it is ours");
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // A test that failed leaves no writer behind; one that was killed already cannot be killed again.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn note(line: &str, acknowledged: &mut [u64; RUNS]) -> bool {
    let Some((_, told)) = line.split_once("acknowledged ") else { return false };
    let (run, last) = told.trim_end().split_once(' ').expect("two numbers");
    let run: usize = run.parse().expect("a number");
    acknowledged[run] = acknowledged[run].max(last.parse().expect("a number"));
    true
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_by_two_hundred_killed_writers() {
    // On a real disk: what matters is in the files, not in what the process had in mind.
    let directory = tempfile::tempdir().unwrap();
    let mut rng = Rng::with_seed(11);
    let mut acknowledged = [0; RUNS];
    let mut seen = [0; RUNS];
    for _ in 0..200 {
        let mut writer = Writer::start(directory.path());
        writer.listen(rng.usize(1..12), &mut acknowledged);
        writer.kill(&mut acknowledged);
        let reader = Reader::open(directory.path()).unwrap();
        for run in 0..RUNS {
            for recorded in reader.read(&name(run), seen[run], usize::MAX).await.unwrap() {
                seen[run] += 1;
                assert_eq!((recorded.seq, recorded.entry), (seen[run], entry(seen[run])));
            }
            assert!(seen[run] >= acknowledged[run], "run {run}: {} of {acknowledged:?}", seen[run]);
        }
        let listed = reader.runs().await.unwrap();
        assert!(listed.iter().all(|info| info.holder.is_none()), "the dead hold nothing");
    }
    assert!(acknowledged.iter().sum::<u64>() > 1_000, "{acknowledged:?}");
    Reader::open(directory.path()).unwrap().verify().await.unwrap();
}

#[tokio::test]
async fn a_run_is_listed_and_shown_by_another_process_while_it_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = [0; RUNS];
    let mut writer = Writer::start(directory.path());
    writer.listen(20, &mut acknowledged);
    let pid = writer.process.id();
    let reader = Reader::open(directory.path()).unwrap();
    let mut seen = 0;
    for _ in 0..50 {
        writer.listen(4, &mut acknowledged);
        let listed = reader.runs().await.unwrap();
        assert_eq!(listed.len(), RUNS);
        for info in listed {
            let run = (0..RUNS).find(|run| info.run == name(*run)).unwrap();
            assert!(info.entries >= acknowledged[run], "what was acknowledged is seen");
            assert_eq!(info.holder.as_ref().unwrap().pid, pid);
        }
        for recorded in reader.read(&name(0), seen, 1_000).await.unwrap() {
            seen += 1;
            assert_eq!((recorded.seq, recorded.entry), (seen, entry(seen)));
        }
        assert!(seen >= acknowledged[0]);
    }
    let second = open(directory.path());
    let held = second.lease(&name(0)).await.unwrap_err();
    assert!(matches!(&held, JournalError::Held { holder, .. } if holder.pid == pid), "{held:?}");
    writer.kill(&mut acknowledged);
    let lease = second.lease(&name(0)).await.expect("free at once: the writer is dead, whatever its lease says");
    let last = second.append(&lease, Vec::new()).await.unwrap();
    assert!(last >= acknowledged[0]);
}
