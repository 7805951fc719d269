//! How long a team needs to go on with a long run: from opening the journal until the first call is sent, with a
//! snapshot as old as they get, and without one.
//!
//! ```sh
//! cargo bench -p bellwether-benches --bench team_resume
//! ```
//!
//! `--test` runs a tiny version. The entries are those of a run in which every task is sent back twice; with many of
//! them, each answer is of no use twice before it is of use. Beside the snapshot, another run writes.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bellwether_journal::{Entry, Journal, RunId, Settings as JournalSettings, SqliteJournal};
use bellwether_provider::{CallContext, ChatProvider, ChatRequest, ChatStream, ProviderError};
use bellwether_team::message::{Job, Spent};
use bellwether_team::verdict::{Decision, Issue, Verdict};
use bellwether_team::{ChangedTerms, Control, Plan, Role, Settings, Team, Tier};
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn now() -> Instant {
    Instant::now()
}

fn main() {
    let tiny = std::env::args().any(|arg| arg == "--test");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime can be made");
    // Two steps a round, three rounds a task.
    let thousand = Shape { tasks: 167, wasted: 0, text: 2_048 };
    // 37 entries a task.
    let million = Shape { tasks: 28_000, wasted: 2, text: 100 };
    for mut shape in [thousand, million] {
        if tiny {
            shape.tasks = 70;
        }
        show(&runtime.block_on(measure(shape)));
    }
}

#[expect(clippy::print_stdout, reason = "a benchmark reports to the terminal")]
fn show(line: &str) {
    println!("{line}");
}

/// What a run looks like.
#[derive(Clone, Copy)]
struct Shape {
    tasks: usize,
    /// How many answers to each job are of no use.
    wasted: usize,
    /// How long each answer is, in bytes.
    text: usize,
}

fn run() -> RunId {
    RunId::from("long")
}

/// Lets the process that asks it go on until its run is stopped.
#[derive(Debug, Default)]
struct Silent {
    asked: Mutex<Option<Instant>>,
}

#[async_trait]
impl ChatProvider for Silent {
    fn name(&self) -> &'static str {
        "silent"
    }

    async fn stream(&self, _: ChatRequest, _: CallContext) -> Result<ChatStream, ProviderError> {
        self.asked.lock().expect("nobody panics with it").get_or_insert_with(now);
        std::future::pending().await
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        Ok(Vec::new())
    }
}

fn team(provider: &Arc<Silent>, journal: &Arc<SqliteJournal>) -> Team {
    let tier = Tier::new(Arc::<Silent>::clone(provider) as Arc<dyn ChatProvider>, "model");
    Team::builder("bench")
        .role(Role::planner("lead", "You plan.", tier.clone()))
        .role(Role::worker("coder", "You code.", tier.clone()))
        .role(Role::reviewer("critic", "You review.", tier))
        .settings(Settings { max_parallel: NonZeroUsize::new(8).expect("not zero"), ..Settings::default() })
        .journal(Arc::<SqliteJournal>::clone(journal) as Arc<dyn Journal>)
        .build()
        .expect("the team makes sense")
}

fn directory() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory can be made")
}

fn open(directory: &Path) -> Arc<SqliteJournal> {
    let journal = SqliteJournal::open(directory, JournalSettings::default());
    Arc::new(journal.expect("a journal can be opened"))
}

/// Writes a run with a snapshot behind which a quarter more was written, and goes on with it in both ways.
async fn measure(shape: Shape) -> String {
    let directory = directory();
    let (first, rest) = (shape.tasks * 4 / 5, shape.tasks - 1);
    let journal = open(directory.path());
    let stopped = Control::default();
    stopped.drain();
    let request = "a long run";
    team(&Arc::default(), &journal).run_with(request, run(), &stopped).await;
    let mut opening = vec![entry("resumed", Value::Null), entry("planned", plan(shape.tasks))];
    opening.extend((0..first).flat_map(|task| events(shape, task)));
    write(&journal, opening).await;
    let (making, size, slowest) = snapshot(&journal).await;
    let mut last = vec![entry("resumed", Value::Null)];
    last.extend((first..rest).flat_map(|task| events(shape, task)));
    write(&journal, last).await;
    let entries = journal.reader().runs().await.expect("nothing is damaged")[0].entries;
    drop(journal);

    let without = self::directory();
    for file in ["journal.db", "ballast"] {
        fs::copy(directory.path().join(file), without.path().join(file)).expect("the disk has room");
    }
    let tool = Connection::open(without.path().join("journal.db")).expect("it is there");
    tool.execute("DELETE FROM snapshot", []).expect("the table is there");
    drop(tool);
    let (fast, slow) = (resume(directory.path()).await, resume(without.path()).await);
    format!(
        "{entries} entries, {} tasks: resumed {:.3} s with a snapshot, {:.3} s without; the snapshot: {:.1} MB, made in \
         {making:.2} s, while another run's entries took {:.1} ms at most",
        shape.tasks,
        fast.as_secs_f64(),
        slow.as_secs_f64(),
        size as f64 / 1e6,
        slowest.as_secs_f64() * 1e3,
    )
}

/// From opening the journal until the first call is sent.
async fn resume(directory: &Path) -> Duration {
    let began = now();
    let journal = open(directory);
    let (provider, control) = (Arc::<Silent>::default(), Control::default());
    let team = team(&provider, &journal);
    let asked = || *provider.asked.lock().expect("nobody panics with it");
    let stop = async {
        while asked().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        control.halt();
    };
    let (resumed, ()) = tokio::join!(team.resume(run(), ChangedTerms::Refuse, &control), stop);
    resumed.expect("the run is understood");
    asked().map_or(Duration::MAX, |asked| asked.duration_since(began))
}

/// Goes on with the run until it has left a snapshot: how long that took, how large it is, and how long the slowest
/// entry of another run took meanwhile.
async fn snapshot(journal: &Arc<SqliteJournal>) -> (f64, usize, Duration) {
    let (provider, control) = (Arc::<Silent>::default(), Control::default());
    let team = team(&provider, journal);
    let other = journal.lease(&RunId::from("other")).await.expect("nobody holds it");
    let watch = async {
        while provider.asked.lock().expect("nobody panics with it").is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (began, mut slowest) = (now(), Duration::ZERO);
        loop {
            let sent = now();
            journal.append(&other, vec![entry("noted", Value::Null)]).await.expect("the disk has room");
            slowest = slowest.max(sent.elapsed());
            if let Some(kept) = journal.last_snapshot(&run()).await.expect("nothing is damaged") {
                control.halt();
                return (began.elapsed().as_secs_f64(), kept.state.len(), slowest);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let (resumed, seen) = tokio::join!(team.resume(run(), ChangedTerms::Refuse, &control), watch);
    resumed.expect("the run is understood");
    journal.release(&other).await.expect("the lease is ours");
    seen
}

async fn write(journal: &SqliteJournal, mut entries: Vec<Entry>) {
    let lease = journal.lease(&run()).await.expect("nobody holds it");
    while !entries.is_empty() {
        let rest = entries.split_off(entries.len().min(2_000));
        journal.append(&lease, std::mem::replace(&mut entries, rest)).await.expect("the disk has room");
    }
    journal.release(&lease).await.expect("the lease is ours");
}

fn entry(kind: &str, event: Value) -> Entry {
    Entry { kind: kind.to_owned(), body: json!({ "at": 1_000_000_000, "event": event }) }
}

fn id(task: usize) -> String {
    format!("t{}", task + 1)
}

fn plan(tasks: usize) -> Value {
    let task = |n: usize| {
        json!({
            "id": id(n), "title": format!("task {n}"), "objective": format!("do the part with the number {n}"),
            "acceptance": ["it works"], "role": "coder", "depends_on": [], "complexity": 2,
        })
    };
    let tasks: Vec<Value> = (0..tasks).map(task).collect();
    let plan = json!({ "summary": "many parts", "tasks": tasks, "degraded": false });
    let plan: Plan = serde_json::from_value(plan).expect("these are a plan's fields");
    json!({ "plan": plan, "spent": spent(), "approval": false })
}

fn spent() -> Spent {
    Spent { calls: 1, busy: Duration::from_secs(3), ..Spent::ZERO }
}

/// What happens to a task: it is sent back twice and accepted then.
fn events(shape: Shape, task: usize) -> Vec<Entry> {
    let (name, mut events) = (id(task), Vec::new());
    for round in 0..3u32 {
        let task = name.as_str();
        let text = format!("{task} {round} ").repeat(shape.text).chars().take(shape.text).collect::<String>();
        let done = json!({ "task": task, "text": text, "spent": spent() });
        begun(shape, &Job::Work { task: task.into(), round }, entry("produced", done), &mut events);
        let score = 0.5 + 0.2 * f64::from(round);
        let verdict = match round {
            2 => Verdict::new(Decision::Accept, score),
            _ => Verdict {
                issues: vec![Issue::new("major", "the end", "say why")],
                ..Verdict::new(Decision::Revise, score)
            },
        };
        let judged = json!({ "task": task, "verdict": verdict, "spent": spent() });
        begun(shape, &Job::Review { task: task.into(), round }, entry("judged", judged), &mut events);
    }
    events
}

fn begun(shape: Shape, job: &Job, done: Entry, events: &mut Vec<Entry>) {
    let began = || entry("began", json!({ "job": job, "tier": 0 }));
    for _ in 0..shape.wasted {
        let attempt = json!({ "answer": "I would rather not.", "problems": ["it is no answer"] });
        events.push(began());
        events.push(entry("unusable", json!({ "job": job, "attempt": attempt, "spent": spent() })));
    }
    events.push(began());
    events.push(done);
}
