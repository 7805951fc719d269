//! Runs that are remembered: cut off anywhere, they go on where they were.

use std::collections::{BTreeMap, HashSet};
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bellwether_core::journal::{Entry, JournalError, Lease, Recorded, Snapshot};
use bellwether_core::test_util::MemoryJournal;
use bellwether_core::{
    CallContext, ChatProvider, ChatResponse, ErrorKind, Journal, ProviderError, RunId, RunOutcome, TaskId, TaskState,
};
use bellwether_provider::Scripted;
use bellwether_team::message::Spent;
use bellwether_team::{
    Booked, ChangedTerms, Control, Doubt, ResumeError, ReviewRules, Role, RunReport, Settings, Team, Tier,
};

const PLAN: &str = r#"{"tasks": [{"id": "a", "title": "A"}, {"id": "b", "title": "B"},
                       {"id": "c", "title": "C", "depends_on": ["a"]}, {"id": "d", "title": "D"}]}"#;

/// A model that always says the same at the same step: one plan that makes no sense, one work that is sent back, one
/// answer that is empty.
fn answer(context: &CallContext) -> Result<ChatResponse, ProviderError> {
    let key = context.idempotency_key.as_deref().expect("a team's calls have keys");
    let task = context.task.as_ref().map_or("", |task| task.as_str());
    Ok(ChatResponse::text(match (context.phase, task, context.round) {
        ("plan", ..) if key.ends_with("-0") => "I would rather not.".to_owned(),
        ("plan", ..) => PLAN.to_owned(),
        ("review", "t2", 0) => r#"{"decision": "revise", "score": 0.4, "issues": ["add a test"]}"#.to_owned(),
        ("review", ..) => r#"{"decision": "accept", "score": 0.9}"#.to_owned(),
        (_, "t4", _) if key.ends_with("-0") => String::new(),
        (_, task, round) => format!("work of {task} in round {round}"),
    }))
}

fn team(provider: &Arc<Scripted>, journal: Option<Arc<dyn Journal>>, prompt: &str) -> Team {
    let tier = Tier::new(Arc::<Scripted>::clone(provider) as Arc<dyn ChatProvider>, "model");
    let builder = Team::builder("team")
        .role(Role::planner("lead", "You plan.", tier.clone()))
        .role(Role::worker("coder", prompt, tier.clone()))
        .role(Role::reviewer("critic", "You review.", tier))
        .settings(Settings { max_parallel: NonZeroUsize::MIN.saturating_add(1), ..Settings::default() });
    match journal {
        Some(journal) => builder.journal(journal),
        None => builder,
    }
    .build()
    .expect("the team makes sense")
}

fn model() -> Arc<Scripted> {
    Arc::new(Scripted::answering(|_, context| answer(context)).with_delay(Duration::from_secs(1)))
}

fn run() -> RunId {
    RunId::from("r1")
}

async fn remembered(journal: &dyn Journal) -> Vec<Entry> {
    journal.load(&run()).await.expect("memory does not fail")
}

/// A journal that holds the first entries of a run whose process is gone.
async fn cut_off(entries: &[Entry]) -> Arc<dyn Journal> {
    let journal = MemoryJournal::default();
    let lease = journal.lease(&run()).await.expect("the run is free");
    journal.append(&lease, entries.to_vec()).await.expect("memory does not fail");
    journal.release(&lease).await.expect("memory does not fail");
    Arc::new(journal)
}

fn end(report: &RunReport) -> Vec<(TaskState, Option<String>, Option<f64>)> {
    report.tasks.iter().map(|task| (task.state, task.result.clone(), task.score)).collect()
}

fn keys(provider: &Scripted) -> Vec<String> {
    let key = |call: &bellwether_provider::ScriptedCall| call.context.idempotency_key.as_deref().map(str::to_owned);
    provider.calls().iter().filter_map(key).collect()
}

/// The keys of the calls whose answers an entry holds, as far as entries name them.
fn calls_begun(entries: &[Entry]) -> usize {
    entries.iter().filter(|entry| entry.kind == "began").count()
}

/// The process ends after each entry in turn: the resumed run comes to the same end, repeats only what was under way,
/// and under the same keys.
#[tokio::test(start_paused = true)]
async fn cut_off_after_any_entry_a_run_comes_to_the_same_end() {
    let (provider, journal) = (model(), Arc::new(MemoryJournal::default()));
    let whole = team(&provider, Some(Arc::<MemoryJournal>::clone(&journal) as Arc<dyn Journal>), "You code.")
        .run_with("build it", run(), &Control::default())
        .await;
    assert_eq!(whole.outcome, RunOutcome::Succeeded);
    let all = remembered(&*journal).await;
    let uncut: HashSet<String> = keys(&provider).into_iter().collect();
    assert_eq!(uncut.len(), provider.calls().len(), "every call has a key of its own");
    assert_eq!(calls_begun(&all), uncut.len(), "and its beginning is remembered");

    for cut in 1..=all.len() {
        let provider = model();
        let journal = cut_off(&all[..cut]).await;
        let team = team(&provider, Some(Arc::clone(&journal)), "You code.");
        let resumed = team.resume(run(), ChangedTerms::Refuse, &Control::default()).await.unwrap();
        assert_eq!(end(&resumed), end(&whole), "cut after {cut}");
        assert_eq!(resumed.outcome, RunOutcome::Succeeded);
        let begun = calls_begun(&all[..cut]);
        let again = keys(&provider);
        assert!(again.iter().all(|key| uncut.contains(key)), "cut after {cut}: no new key");
        let repeated = begun + again.len() - uncut.len();
        assert_eq!(repeated, resumed.possible_duplicates as usize, "cut after {cut}");
        assert!(repeated <= 2, "at most what was under way at once is repeated");
        assert_eq!(resumed.calls, whole.calls + resumed.possible_duplicates);
    }
}

/// The same team, which leaves a snapshot every few entries.
fn careful(provider: &Arc<Scripted>, journal: Arc<dyn Journal>, threshold: f64) -> Team {
    let tier = Tier::new(Arc::<Scripted>::clone(provider) as Arc<dyn ChatProvider>, "model");
    let review = ReviewRules { threshold, ..ReviewRules::default() };
    let few = NonZeroU64::MIN.saturating_add(2);
    let parallel = NonZeroUsize::MIN.saturating_add(1);
    Team::builder("team")
        .role(Role::planner("lead", "You plan.", tier.clone()))
        .role(Role::worker("coder", "You code.", tier.clone()))
        .role(Role::reviewer("critic", "You review.", tier))
        .settings(Settings { max_parallel: parallel, snapshot_every: few, review, ..Settings::default() })
        .journal(journal)
        .build()
        .expect("the team makes sense")
}

/// With snapshots, which may be whole, damaged or of another version, a resume comes to the same end.
#[tokio::test(start_paused = true)]
async fn a_run_is_resumed_from_a_snapshot_to_the_same_end_and_without_one_if_it_is_of_no_use() {
    let (provider, journal) = (model(), Arc::new(MemoryJournal::default()));
    let team = careful(&provider, Arc::<MemoryJournal>::clone(&journal), 0.8);
    let whole = team.run_with("build it", run(), &Control::default()).await;
    let all = remembered(&*journal).await;
    let last = journal.last_snapshot(&run()).await.unwrap().expect("it left some");
    assert!(last.seq > 20 && last.seq <= all.len() as u64, "{}", last.seq);

    for cut in last.seq..=all.len() as u64 {
        let cut = usize::try_from(cut).unwrap();
        let damaged = [&last.state[..last.state.len() / 2], b"bellwether state 0\n{}", b""].map(<[u8]>::to_vec);
        for state in std::iter::once(last.state.clone()).chain(damaged) {
            let (provider, journal) = (model(), cut_off(&all[..cut]).await);
            let lease = journal.lease(&run()).await.unwrap();
            journal.snapshot(&lease, last.seq, state).await.unwrap();
            journal.release(&lease).await.unwrap();
            let team = careful(&provider, Arc::clone(&journal), 0.8);
            let resumed = team.resume(run(), ChangedTerms::Refuse, &Control::default()).await.unwrap();
            assert_eq!((resumed.outcome, end(&resumed)), (RunOutcome::Succeeded, end(&whole)), "cut after {cut}");
            assert_eq!(resumed.calls, whole.calls + resumed.possible_duplicates, "cut after {cut}");
        }
    }
}

/// What each role took, and of which calls nobody knows the end: their tasks, their roles, and what was asked.
type Books = (BTreeMap<String, Spent>, Vec<(Option<TaskId>, String, Doubt)>);

fn books(booked: Vec<Booked>) -> Books {
    let (mut known, mut doubtful) = (BTreeMap::<_, Spent>::new(), Vec::new());
    for Booked { context, spent, in_doubt } in booked {
        let role = context.flow.role.to_string();
        *known.entry(role.clone()).or_default() += spent;
        doubtful.extend(in_doubt.map(|doubt| (context.task, role, doubt)));
    }
    (known, doubtful)
}

/// Budgets begin where the run was, whether its accounts come out of a snapshot or not.
#[tokio::test(start_paused = true)]
async fn what_a_run_took_is_the_same_with_a_snapshot_and_without() {
    let (provider, journal) = (model(), Arc::new(MemoryJournal::default()));
    let whole = careful(&provider, Arc::<MemoryJournal>::clone(&journal), 0.8);
    let report = whole.run_with("build it", run(), &Control::default()).await;
    let all = remembered(&*journal).await;
    let last = journal.last_snapshot(&run()).await.unwrap().expect("it left some");
    let (known, doubtful) = books(whole.accounts(&run()).await.unwrap());
    assert_eq!(known.values().map(|spent| spent.calls).sum::<u32>(), report.calls);
    assert!(doubtful.is_empty());

    let mut most = 0;
    for cut in usize::try_from(last.seq).unwrap()..=all.len() {
        let (plain, kept) = (cut_off(&all[..cut]).await, cut_off(&all[..cut]).await);
        let lease = kept.lease(&run()).await.unwrap();
        kept.snapshot(&lease, last.seq, last.state.clone()).await.unwrap();
        kept.release(&lease).await.unwrap();
        let with_snapshot = books(careful(&provider, kept, 0.8).accounts(&run()).await.unwrap());
        let without = books(careful(&provider, plain, 0.8).accounts(&run()).await.unwrap());
        assert_eq!(with_snapshot, without, "cut after {cut}");
        assert!(without.1.iter().all(|(_, _, doubt)| doubt.messages > 0 && doubt.bytes > 0), "{:?}", without.1);
        most = most.max(without.1.len());
    }
    assert!(most > 0, "some calls were under way");
}

/// What a snapshot holds is used: it says something that the entries do not.
#[tokio::test(start_paused = true)]
async fn a_resume_begins_with_the_snapshot() {
    let (provider, journal) = (model(), Arc::new(MemoryJournal::default()));
    let team = careful(&provider, Arc::<MemoryJournal>::clone(&journal), 0.8);
    team.run_with("build it", run(), &Control::default()).await;
    let last = journal.last_snapshot(&run()).await.unwrap().expect("it left some");
    let other = String::from_utf8(last.state).unwrap().replace("work of t1 in round 0", "another work");
    let lease = journal.lease(&run()).await.unwrap();
    journal.snapshot(&lease, last.seq, other.into_bytes()).await.unwrap();
    journal.release(&lease).await.unwrap();
    let recalled = team.recall(run()).await.unwrap();
    assert_eq!(recalled.tasks[0].result.as_deref(), Some("another work"));
}

/// A run that was stopped under one measure and resumed under another one is afterwards folded under each in its time.
#[tokio::test(start_paused = true)]
async fn what_was_decided_under_another_threshold_stays_decided() {
    let half = |context: &CallContext| match (context.phase, context.round) {
        ("review", 0) => Ok(ChatResponse::text(r#"{"decision": "accept", "score": 0.5}"#)),
        _ => answer(context),
    };
    let provider = Arc::new(Scripted::answering(move |_, context| half(context)).with_delay(Duration::from_secs(1)));
    let journal = Arc::new(MemoryJournal::default());
    let shared = || Arc::<MemoryJournal>::clone(&journal) as Arc<dyn Journal>;
    let control = Control::default();
    let stop = async {
        tokio::time::sleep(Duration::from_millis(5_500)).await;
        control.drain();
    };
    let strict = careful(&provider, shared(), 0.8);
    let (stopped, ()) = tokio::join!(strict.run_with("build it", run(), &control), stop);
    assert_eq!(stopped.outcome, RunOutcome::Cancelled);
    let lenient = careful(&provider, shared(), 0.3);
    let resumed = lenient.resume(run(), ChangedTerms::Adopt, &Control::default()).await.unwrap();
    let revisions = |report: &RunReport| report.tasks.iter().map(|task| task.revisions).collect::<Vec<_>>();
    let back = revisions(&resumed);
    assert!(back.contains(&0) && back.contains(&1), "sent back under the old measure, not under the new one: {back:?}");
    let without_snapshot = careful(&provider, cut_off(&remembered(&*journal).await).await, 0.3);
    for team in [lenient, without_snapshot] {
        let again = team.recall(run()).await.unwrap();
        assert_eq!((end(&again), revisions(&again)), (end(&resumed), back.clone()), "the fold is the run");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stopped_run_goes_on_and_a_finished_one_is_only_reported() {
    let (provider, journal) = (model(), Arc::new(MemoryJournal::default()));
    let team = team(&provider, Some(Arc::<MemoryJournal>::clone(&journal) as Arc<dyn Journal>), "You code.");
    let control = Control::default();
    let stopper = control.clone();
    let stop = async {
        tokio::time::sleep(Duration::from_millis(3_500)).await;
        stopper.drain();
    };
    let (stopped, ()) = tokio::join!(team.run_with("build it", run(), &control), stop);
    assert_eq!(stopped.outcome, RunOutcome::Cancelled);
    let resumed = team.resume(run(), ChangedTerms::Refuse, &Control::default()).await.unwrap();
    assert_eq!(resumed.outcome, RunOutcome::Succeeded);
    assert_eq!(resumed.possible_duplicates, 0, "a drained run has nothing under way");
    let calls = provider.calls().len();
    let recalled = team.recall(run()).await.unwrap();
    assert_eq!(
        (recalled.outcome, end(&recalled), recalled.calls),
        (RunOutcome::Succeeded, end(&resumed), resumed.calls)
    );
    let again = team.resume(run(), ChangedTerms::Refuse, &Control::default()).await.unwrap();
    assert_eq!((again.outcome, provider.calls().len()), (RunOutcome::Succeeded, calls));
    assert_eq!(end(&again), end(&resumed));
}

#[tokio::test(start_paused = true)]
async fn a_changed_team_is_named_and_refused_unless_it_is_adopted() {
    let (provider, journal) = (model(), Arc::new(MemoryJournal::default()));
    let shared = || Some(Arc::<MemoryJournal>::clone(&journal) as Arc<dyn Journal>);
    let control = Control::default();
    control.drain();
    team(&provider, shared(), "You code.").run_with("build it", run(), &control).await;
    let changed = team(&provider, shared(), "You write poems.");
    let refused = changed.resume(run(), ChangedTerms::Refuse, &Control::default()).await.unwrap_err();
    assert!(matches!(&refused, ResumeError::Changed { parts } if parts[..] == ["role coder: prompt"]), "{refused}");
    let adopted = changed.resume(run(), ChangedTerms::Adopt, &Control::default()).await.unwrap();
    assert_eq!(adopted.outcome, RunOutcome::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_cannot_be_resumed_is_told_why() {
    let (provider, journal) = (model(), Arc::new(MemoryJournal::default()));
    let remembers = team(&provider, Some(Arc::<MemoryJournal>::clone(&journal) as Arc<dyn Journal>), "You code.");
    let resume =
        |team: Team, run: RunId| async move { team.resume(run, ChangedTerms::Refuse, &Control::default()).await };
    assert!(matches!(resume(remembers.clone(), "nobody".into()).await, Err(ResumeError::Unknown)));
    assert!(matches!(resume(team(&provider, None, "You code."), run()).await, Err(ResumeError::NoJournal)));
    assert_eq!(journal.runs().await.unwrap().len(), 0, "asking for an unknown run does not make it known");

    remembers.run_with("build it", run(), &Control::default()).await;
    journal.lease(&run()).await.unwrap();
    assert!(matches!(resume(remembers.clone(), run()).await, Err(ResumeError::Held { .. })));

    let foreign = cut_off(&[Entry { kind: "poem".to_owned(), body: serde_json::json!({}) }]).await;
    let unreadable = resume(team(&provider, Some(foreign), "You code."), run()).await.unwrap_err();
    assert!(unreadable.to_string().contains("not the beginning of a run"), "{unreadable}");
}

/// A journal whose store fails, or that somebody else takes over, after some appends.
#[derive(Debug)]
struct Failing {
    inner: MemoryJournal,
    left: AtomicUsize,
    fenced: bool,
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
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
            return Err(match self.fenced {
                true => JournalError::Fenced { run: lease.run.clone() },
                false => JournalError::Store("the disk is full".into()),
            });
        }
        self.inner.append(lease, entries).await
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

/// Whenever memory fails, no further call is paid for, what came in is still reported, and the reason is given.
#[tokio::test(start_paused = true)]
async fn a_run_that_can_no_longer_be_remembered_pays_for_nothing_more() {
    for fenced in [false, true] {
        for left in 0..24 {
            let provider = model();
            let journal = Arc::new(Failing { inner: MemoryJournal::default(), left: left.into(), fenced });
            let team = team(&provider, Some(Arc::<Failing>::clone(&journal) as Arc<dyn Journal>), "You code.");
            let report = team.run_with("build it", run(), &Control::default()).await;
            let entries = remembered(&*journal).await;
            let (sent, begun) = (provider.calls().len(), calls_begun(&entries));
            // A run that was taken over drops even what it has begun and not sent yet.
            assert!(sent == begun || fenced && sent < begun, "only what is remembered is sent ({left})");
            let Some(error) = &report.error else {
                assert_eq!(report.outcome, RunOutcome::Succeeded, "{left} appends were enough");
                continue;
            };
            assert_eq!((&*error.kind, report.resumable), ("journal", left > 0), "{left}");
            assert!(report.tasks.iter().all(|task| task.state.is_final()));
            if !fenced {
                assert!(error.message.contains("the disk is full"), "{}", error.message);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_refused_can_be_mended_and_the_run_goes_on() {
    let journal = Arc::new(MemoryJournal::default());
    let shared = || Some(Arc::<MemoryJournal>::clone(&journal) as Arc<dyn Journal>);
    let refusing = Arc::new(Scripted::answering(|_, context| match context.phase {
        "work" => Err(ProviderError::new(ErrorKind::Auth, "the key was refused")),
        _ => answer(context),
    }));
    let failed = team(&refusing, shared(), "You code.").run_with("build it", run(), &Control::default()).await;
    assert_eq!((failed.outcome, failed.count(TaskState::Accepted)), (RunOutcome::Failed, 0));
    let provider = model();
    let mended = team(&provider, shared(), "You code.");
    let report = mended.resume(run(), ChangedTerms::Refuse, &Control::default()).await.unwrap();
    assert_eq!(report.outcome, RunOutcome::Succeeded);
    assert_eq!(report.count(TaskState::Accepted), 4);
    assert!(provider.calls().iter().all(|call| call.context.phase != "plan"), "the plan is not paid for again");
}
