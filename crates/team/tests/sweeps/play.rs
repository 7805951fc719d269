//! The run with everything in it: who says what, how it goes on, and how it goes when nothing happens to it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bellwether_core::journal::{Entry, JournalError, Lease, Recorded, Snapshot};
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

pub(crate) fn model() -> Arc<Scripted> {
    Arc::new(Scripted::answering(answer).with_delay(Duration::from_secs(1)))
}

/// The same, whose call number `n` fails, counted from 0.
pub(crate) fn failing_at(n: usize, kind: ErrorKind) -> Arc<Scripted> {
    let calls = AtomicUsize::new(0);
    let failing = move |request: &ChatRequest, context: &CallContext| {
        if calls.fetch_add(1, Ordering::SeqCst) == n {
            return Err(ProviderError::new(kind, "it failed"));
        }
        answer(request, context)
    };
    Arc::new(Scripted::answering(failing).with_delay(Duration::from_secs(1)))
}

pub(crate) fn team(provider: &Arc<Scripted>, journal: &Arc<dyn Journal>, settings: Settings) -> Team {
    team_on(Arc::<Scripted>::clone(provider) as Arc<dyn ChatProvider>, journal, settings)
}

pub(crate) fn team_on(provider: Arc<dyn ChatProvider>, journal: &Arc<dyn Journal>, settings: Settings) -> Team {
    let tier = |model: &str| Tier::new(Arc::clone(&provider), model);
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

pub(crate) fn parallel(most: usize) -> Settings {
    let max_parallel = NonZeroUsize::new(most).expect("it is above 0");
    Settings { max_parallel, ..Settings::default() }
}

pub(crate) fn run() -> RunId {
    RunId::from("r1")
}

/// Agrees to the plan, and sends back what was never good enough.
pub(crate) async fn decide(team: &Team, report: &RunReport) {
    match report.tasks.iter().find(|task| task.state == TaskState::Blocked) {
        // A dry account parks a run, too.
        None if report.error.is_some() => {}
        None => team.approve(run(), Ruling::Approve).await.expect("the plan waits"),
        Some(task) => {
            let ruling = TaskRuling::Again { note: "mend it".to_owned() };
            team.rule(run(), task.task_id.clone(), ruling).await.expect("the task waits");
        }
    }
}

/// Says yes to everything somebody is asked for, and goes on until nothing is left to do.
pub(crate) async fn to_the_end(team: &Team, mut report: RunReport) -> RunReport {
    for _ in 0..9 {
        if !report.resumable {
            return report;
        }
        if report.outcome == RunOutcome::Parked {
            decide(team, &report).await;
        }
        report = team.resume(run(), ChangedTerms::Refuse, &Control::default()).await.expect("it goes on");
    }
    report
}

/// A journal that holds the first entries of a run whose process is gone.
pub(crate) async fn cut_off(entries: &[Entry]) -> Arc<dyn Journal> {
    let journal = MemoryJournal::default();
    let lease = journal.lease(&run()).await.expect("the run is free");
    journal.append(&lease, entries.to_vec()).await.expect("memory does not fail");
    journal.release(&lease).await.expect("memory does not fail");
    Arc::new(journal)
}

pub(crate) type End = Vec<(TaskState, Option<String>, Option<f64>, u32)>;

pub(crate) fn end(report: &RunReport) -> (RunOutcome, Option<String>, End) {
    let short = |text: &Option<String>| text.as_ref().map(|text| text.chars().take(40).collect());
    let task = |task: &TaskResult| (task.state, short(&task.result), task.score, task.revisions);
    (report.outcome, report.result.clone(), report.tasks.iter().map(task).collect())
}

/// What was asked, by key: the same key never stands for two different questions.
pub(crate) fn asked(provider: &Scripted) -> Vec<(String, String)> {
    let call = |call: &bellwether_provider::ScriptedCall| {
        let key = call.context.idempotency_key.as_deref().expect("a team's calls have keys").to_owned();
        (key, format!("{} {:?}", call.request.model, call.request.messages))
    };
    provider.calls().iter().map(call).collect()
}

/// The run as it goes when nothing happens to it: its end, its questions, its entries.
pub(crate) struct Whole {
    most: usize,
    pub(crate) end: (RunOutcome, Option<String>, End),
    pub(crate) asked: HashMap<String, String>,
    pub(crate) calls: u32,
    pub(crate) entries: Vec<Entry>,
}

pub(crate) async fn whole(settings: Settings) -> Whole {
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
    pub(crate) fn holds(&self, provider: &Scripted, what: &str) -> BTreeSet<String> {
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

/// A journal whose disk fails for good after some appends.
#[derive(Debug)]
pub(crate) struct Failing {
    pub(crate) inner: Arc<dyn Journal>,
    pub(crate) left: AtomicUsize,
}

#[async_trait]
impl Journal for Failing {
    async fn lease(&self, run: &RunId) -> Result<Lease, JournalError> {
        self.inner.lease(run).await
    }

    async fn take_over(&self, run: &RunId) -> Result<Lease, JournalError> {
        self.inner.take_over(run).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), JournalError> {
        self.inner.release(lease).await
    }

    async fn append(&self, lease: &Lease, entries: Vec<Entry>) -> Result<u64, JournalError> {
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
            Ok(_) => self.inner.append(lease, entries).await,
            Err(_) => Err(JournalError::Store("the disk is gone".into())),
        }
    }

    async fn load(&self, run: &RunId) -> Result<Vec<Entry>, JournalError> {
        self.inner.load(run).await
    }

    async fn read(&self, run: &RunId, after: u64, limit: usize) -> Result<Vec<Recorded>, JournalError> {
        self.inner.read(run, after, limit).await
    }

    async fn snapshot(&self, lease: &Lease, seq: u64, state: Vec<u8>) -> Result<(), JournalError> {
        self.inner.snapshot(lease, seq, state).await
    }

    async fn last_snapshot(&self, run: &RunId) -> Result<Option<Snapshot>, JournalError> {
        self.inner.last_snapshot(run).await
    }

    async fn runs(&self) -> Result<Vec<RunId>, JournalError> {
        self.inner.runs().await
    }
}
