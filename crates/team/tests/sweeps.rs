//! A run with everything in it, ended at every moment in every way: it goes on to the same end, and pays for nothing twice but
//! for what was under way.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bellwether_core::journal::Entry;
use bellwether_core::test_util::MemoryJournal;
use bellwether_core::{
    CallContext, ChatProvider, ChatRequest, ChatResponse, ErrorKind, Journal, ProviderError, RunId, RunOutcome,
    TaskState,
};
use bellwether_provider::Scripted;
use bellwether_router::{Audit, FirstTier, Lesson, Route, Router, TaskProfile};
use bellwether_team::review::Check;
use bellwether_team::{
    ChangedTerms, Control, OnExhausted, ReviewRules, Role, RoleKind, Ruling, RunReport, Settings, TaskResult,
    TaskRuling, Team, Tier,
};

const PLAN: &str = r#"{"tasks": [{"id": "a", "title": "A", "complexity": 3}, {"id": "b", "title": "B", "depends_on": ["a"]},
    {"id": "c", "title": "C"}, {"id": "d", "title": "D", "optional": ["c"]}, {"id": "e", "title": "E"}]}"#;
const ACCEPT: &str = r#"{"decision": "accept", "score": 0.9}"#;
const REVISE: &str = r#"{"decision": "revise", "score": 0.4, "issues": ["add a test"]}"#;

/// What is said depends on what is asked and on nothing else:
/// - the plan, the whole, digests and audits are of no use at first;
/// - t1 asks the planner, then for two further tasks, and is too long for t2;
/// - t3 goes back, up a tier, back again, and to a person;
/// - t4 is too long for its model, then empty, then found wanting by a check;
/// - t5 asks somebody who is not there, and its first judge comes to no verdict.
fn answer(request: &ChatRequest, context: &CallContext) -> Result<ChatResponse, ProviderError> {
    let key = context.idempotency_key.as_deref().expect("a team's calls have keys");
    let task = context.task.as_ref().map_or("", |task| task.as_str());
    let told = format!("{:?}", request.messages);
    let first = key.ends_with("-0");
    Ok(ChatResponse::text(match (context.phase, task) {
        ("plan", _) if first => "I would rather not.".to_owned(),
        ("plan", _) => PLAN.to_owned(),
        ("answer", _) => "port 7411".to_owned(),
        ("combine" | "digest" | "audit", _) if first => String::new(),
        ("combine", _) => "the whole".to_owned(),
        ("digest", task) => format!("digest of {task}"),
        ("review", "t3") if context.round < 4 => REVISE.to_owned(),
        ("review", "t5") if &*request.model == "small" => "no verdict at all".to_owned(),
        ("review" | "audit", _) => ACCEPT.to_owned(),
        ("work", "t1") if !told.contains("You asked") => ask("lead"),
        ("work", "t1") if !told.contains("work of t1.") => {
            r#"{"spawn": [{"id": "x", "title": "X"}, {"title": "Y", "depends_on": ["x"]}], "join": "all"}"#.to_owned()
        }
        ("work", "t1") => "t1".repeat(3_000),
        ("work", "t4") if first && context.round == 0 => {
            return Err(ProviderError::new(ErrorKind::ContextLength, "too long"));
        }
        ("work", "t4") if key.ends_with("-3") => String::new(),
        ("work", "t5") if !told.contains("You asked") => ask("boss"),
        (_, task) => format!("work of {task} in round {}", context.round),
    }))
}

fn ask(whom: &str) -> String {
    format!(r#"{{"ask": {{"to": "{whom}", "question": "which port?"}}}}"#)
}

/// Draws every task for an audit.
#[derive(Debug)]
struct Auditor;

impl Router for Auditor {
    fn route(&self, profile: &TaskProfile) -> Route {
        Route { audit: true, ..FirstTier.route(profile) }
    }

    fn learn(&self, _: &Lesson) {}

    fn audited(&self, _: &Audit) {}
}

/// Finds the first draft of t4 wanting.
#[derive(Debug)]
struct Strict;

#[async_trait]
impl Check for Strict {
    fn id(&self) -> &str {
        "strict"
    }

    async fn look(&self, work: &str) -> Result<(), String> {
        if work == "work of t4 in round 0" { Err("it does not compile".to_owned()) } else { Ok(()) }
    }
}

fn model() -> Arc<Scripted> {
    Arc::new(Scripted::answering(answer).with_delay(Duration::from_secs(1)))
}

fn team(provider: &Arc<Scripted>, journal: &Arc<dyn Journal>, settings: Settings) -> Team {
    let tier = |model: &str| Tier::new(Arc::<Scripted>::clone(provider) as Arc<dyn ChatProvider>, model);
    let mut coder = Role::new(RoleKind::Worker, "coder", "You code.", vec![tier("cheap"), tier("dear")]);
    (coder.may_ask, coder.may_spawn, coder.history_tokens) = (true, true, 2_000);
    let review = ReviewRules { on_exhausted: OnExhausted::Human, ..ReviewRules::default() };
    Team::builder("team")
        .role(Role::planner("lead", "You plan.", tier("planner")))
        .role(coder)
        .role(Role::new(RoleKind::Reviewer, "critic", "You review.", vec![tier("small"), tier("best")]))
        .role(Role::synthesizer("editor", "You join.", tier("joiner")))
        .check(Arc::new(Strict))
        .router(Arc::new(Auditor))
        .settings(Settings { review, approve_plan: true, right_size: false, ..settings })
        .journal(Arc::clone(journal))
        .build()
        .expect("the team makes sense")
}

fn parallel(most: usize) -> Settings {
    let max_parallel = NonZeroUsize::new(most).expect("it is above 0");
    Settings { max_parallel, ..Settings::default() }
}

fn run() -> RunId {
    RunId::from("r1")
}

/// Says yes to everything somebody is asked for, and goes on until nothing is left to do.
async fn to_the_end(team: &Team, mut report: RunReport) -> RunReport {
    for _ in 0..9 {
        if !report.resumable {
            return report;
        }
        if report.outcome == RunOutcome::Parked {
            let blocked = report.tasks.iter().find(|task| task.state == TaskState::Blocked);
            match blocked {
                None => team.approve(run(), Ruling::Approve).await.expect("the plan waits"),
                Some(task) => {
                    let ruling = TaskRuling::Again { note: "mend it".to_owned() };
                    team.rule(run(), task.task_id.clone(), ruling).await.expect("the task waits");
                }
            }
        }
        report = team.resume(run(), ChangedTerms::Refuse, &Control::default()).await.expect("it goes on");
    }
    report
}

/// A journal that holds the first entries of a run whose process is gone.
async fn cut_off(entries: &[Entry]) -> Arc<dyn Journal> {
    let journal = MemoryJournal::default();
    let lease = journal.lease(&run()).await.expect("the run is free");
    journal.append(&lease, entries.to_vec()).await.expect("memory does not fail");
    journal.release(&lease).await.expect("memory does not fail");
    Arc::new(journal)
}

type End = Vec<(TaskState, Option<String>, Option<f64>, u32)>;

fn end(report: &RunReport) -> (RunOutcome, Option<String>, End) {
    let short = |text: &Option<String>| text.as_ref().map(|text| text.chars().take(40).collect());
    let task = |task: &TaskResult| (task.state, short(&task.result), task.score, task.revisions);
    (report.outcome, report.result.clone(), report.tasks.iter().map(task).collect())
}

/// What was asked, by key: the same key never stands for two different questions.
fn asked(provider: &Scripted) -> Vec<(String, String)> {
    let call = |call: &bellwether_provider::ScriptedCall| {
        let key = call.context.idempotency_key.as_deref().expect("a team's calls have keys").to_owned();
        (key, format!("{} {:?}", call.request.model, call.request.messages))
    };
    provider.calls().iter().map(call).collect()
}

/// The run as it goes when nothing happens to it: its end, its questions, its entries.
struct Whole {
    most: usize,
    end: (RunOutcome, Option<String>, End),
    asked: HashMap<String, String>,
    calls: u32,
    entries: Vec<Entry>,
}

async fn whole(settings: Settings) -> Whole {
    let (provider, journal) = (model(), Arc::new(MemoryJournal::default()) as Arc<dyn Journal>);
    let team = team(&provider, &journal, settings);
    let begun = team.run_with("build it", run(), &Control::default()).await;
    let report = to_the_end(&team, begun).await;
    assert_eq!((report.outcome, report.possible_duplicates), (RunOutcome::Succeeded, 0), "{}", report.reason);
    let calls = asked(&provider);
    let asked: HashMap<_, _> = calls.iter().cloned().collect();
    let mut twice = BTreeMap::<_, u32>::new();
    calls.iter().for_each(|(key, _)| *twice.entry(key).or_default() += 1);
    twice.retain(|_, times| *times > 1);
    assert_eq!(twice, BTreeMap::new(), "every call has a key of its own");
    assert_eq!(report.calls as usize, asked.len());
    let phases: BTreeSet<&str> = asked.keys().filter_map(|key| key.split('-').nth(2)).collect();
    assert_eq!(phases.len(), 7, "everything is in it: {phases:?}");
    let entries = journal.load(&run()).await.expect("memory does not fail");
    Whole { most: settings.max_parallel.get(), end: end(&report), asked, calls: report.calls, entries }
}

impl Whole {
    /// What another process asked belongs to the run, and was not asked by it twice.
    fn holds(&self, provider: &Scripted, what: &str) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        for (key, question) in asked(provider) {
            let known = self.asked.get(&key);
            // Side by side, what a task is told of others depends on how far they are.
            assert!(
                known.is_some() && (self.most > 1 || known == Some(&question)),
                "{what}: {key}: {question} {known:?}"
            );
            assert!(keys.insert(key.clone()), "{what}: {key} twice");
        }
        keys
    }
}

#[tokio::test(start_paused = true)]
async fn killed_after_any_entry() {
    for most in [1, 3] {
        let whole = whole(parallel(most)).await;
        // An append is there as a whole or not at all.
        let torn = |cut: &usize| whole.entries.get(*cut).is_some_and(|next| next.kind == "undelivered");
        for cut in (1..=whole.entries.len()).filter(|cut| !torn(cut)) {
            let (provider, journal) = (model(), cut_off(&whole.entries[..cut]).await);
            let team = team(&provider, &journal, parallel(most));
            let what = format!("{most} at once, cut after {cut}");
            let begun = team.resume(run(), ChangedTerms::Refuse, &Control::default()).await.expect("it goes on");
            let report = to_the_end(&team, begun).await;
            assert_eq!(end(&report), whole.end, "{what}");
            let again = whole.holds(&provider, &what);
            let paid = |entry: &&Entry| entry.kind == "began" && entry.body["event"]["job"].get("check").is_none();
            let begun = whole.entries[..cut].iter().filter(paid).count();
            let repeated = begun + again.len() - whole.asked.len();
            assert_eq!(repeated, report.possible_duplicates as usize, "{what}");
            assert!(repeated <= most, "{what}: at most what was under way is repeated");
            assert_eq!(report.calls, whole.calls + report.possible_duplicates, "{what}");
            let booked = team.accounts(&run()).await.expect("it is known");
            let known: u32 =
                booked.iter().map(|booked| booked.spent.calls + u32::from(booked.in_doubt.is_some())).sum();
            assert_eq!(known, report.calls, "{what}: budgets know of every call");
        }
    }
}

/// What stops a run in the middle.
#[derive(Clone, Copy, Debug)]
enum Blow {
    Deadline,
    Drain,
    Halt,
}

#[tokio::test(start_paused = true)]
async fn stopped_at_any_moment() {
    let whole = whole(parallel(3)).await;
    for blow in [Blow::Drain, Blow::Halt, Blow::Deadline] {
        for half in 0..60 {
            // Between the answers, and at the very moment of one.
            let moment = Duration::from_millis(500 * half);
            let what = format!("{blow:?} after {moment:?}");
            let (provider, journal) = (model(), Arc::new(MemoryJournal::default()) as Arc<dyn Journal>);
            let deadline = matches!(blow, Blow::Deadline).then_some(moment);
            let stopping = team(&provider, &journal, Settings { deadline, ..parallel(3) });
            let begun = stopping.run_with("build it", run(), &Control::default()).await;
            if begun.outcome == RunOutcome::Parked {
                stopping.approve(run(), Ruling::Approve).await.expect("the plan waits");
            }
            let (control, steady) = (Control::default(), team(&provider, &journal, parallel(3)));
            let stop = async {
                tokio::time::sleep(moment).await;
                match blow {
                    Blow::Deadline => {}
                    Blow::Drain => control.drain(),
                    Blow::Halt => control.halt(),
                }
            };
            let resumed = stopping.resume(run(), ChangedTerms::Refuse, &control);
            let (stopped, ()) = tokio::join!(resumed, stop);
            let stopped = stopped.expect("it goes on");
            let before: BTreeSet<String> = asked(&provider).into_iter().map(|(key, _)| key).collect();
            let report = to_the_end(&steady, stopped).await;
            assert_eq!(end(&report), whole.end, "{what}");
            let keys: Vec<String> = asked(&provider).into_iter().map(|(key, _)| key).collect();
            let all: BTreeSet<String> = keys.iter().cloned().collect();
            let wanted: BTreeSet<String> = whole.asked.keys().cloned().collect();
            assert_eq!(all, wanted, "{what}: {before:?}");
            let repeated = keys.len() - all.len();
            let most = if matches!(blow, Blow::Drain) { 0 } else { 3 };
            assert!(repeated <= most, "{what}: {repeated} are paid for twice");
        }
    }
}
