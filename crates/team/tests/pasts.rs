//! A run's past is folded once, whatever is wanted of it, and stays right if the run goes on meanwhile.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bellwether_core::journal::{Entry, JournalError, Lease, Recorded, Snapshot};
use bellwether_core::test_util::MemoryJournal;
use bellwether_core::{ChatProvider, ChatResponse, ErrorKind, Journal, ProviderError, RunId, RunOutcome, TaskState};
use bellwether_provider::Scripted;
use bellwether_team::explain::Explanation;
use bellwether_team::{
    ChangedTerms, Control, OnExhausted, OnInvalidPlan, ResumeError, ReviewRules, Role, RunReport, Settings, TaskRuling,
    Team, Tier,
};

/// Counts the entries that are read.
#[derive(Debug, Default)]
struct Counting {
    inner: MemoryJournal,
    read: AtomicUsize,
}

#[async_trait]
impl Journal for Counting {
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
        self.inner.append(lease, entries).await
    }

    async fn load(&self, run: &RunId) -> Result<Vec<Entry>, JournalError> {
        self.inner.load(run).await
    }

    async fn read(&self, run: &RunId, after: u64, most: usize) -> Result<Vec<Recorded>, JournalError> {
        let page = self.inner.read(run, after, most).await?;
        self.read.fetch_add(page.len(), Ordering::Relaxed);
        Ok(page)
    }

    async fn runs(&self) -> Result<Vec<RunId>, JournalError> {
        self.inner.runs().await
    }

    async fn snapshot(&self, lease: &Lease, seq: u64, state: Vec<u8>) -> Result<(), JournalError> {
        self.inner.snapshot(lease, seq, state).await
    }

    async fn last_snapshot(&self, run: &RunId) -> Result<Option<Snapshot>, JournalError> {
        self.inner.last_snapshot(run).await
    }
}

fn model() -> Arc<Scripted> {
    Arc::new(Scripted::answering(|_, context| {
        Ok(ChatResponse::text(match context.phase {
            "plan" => (1..=6).map(|n| format!("{n}. Part {n} of it\n")).collect(),
            "review" => r#"{"decision": "accept", "score": 0.9}"#.to_owned(),
            _ => "the work".to_owned(),
        }))
    }))
}

fn team(model: &Arc<Scripted>, journal: &Arc<Counting>) -> Team {
    let tier = Tier::new(Arc::<Scripted>::clone(model) as Arc<dyn ChatProvider>, "model");
    Team::builder("team")
        .role(Role::planner("lead", "You plan.", tier.clone()))
        .role(Role::worker("coder", "You code.", tier.clone()))
        .role(Role::reviewer("critic", "You review.", tier))
        .settings(Settings { right_size: false, ..Settings::default() })
        .journal(Arc::<Counting>::clone(journal) as Arc<dyn Journal>)
        .build()
        .expect("the team makes sense")
}

/// A finished run, and the same run as it was after so many entries.
async fn cut_off(entries: usize) -> (Arc<Counting>, RunId) {
    let (run, whole) = (RunId::from("r1"), Arc::new(Counting::default()));
    team(&model(), &whole).run_with("build it", run.clone(), &Control::default()).await;
    let all = whole.load(&run).await.expect("memory does not fail");
    let journal = Arc::new(Counting::default());
    let lease = journal.lease(&run).await.expect("the run is free");
    journal.append(&lease, all[..entries].to_vec()).await.expect("memory does not fail");
    journal.release(&lease).await.expect("memory does not fail");
    (journal, run)
}

/// Whoever resumed a run had it folded three times: for what was spent, for the budgets, and to go on.
#[tokio::test(start_paused = true)]
async fn one_fold_serves_the_report_the_budgets_and_the_resume() {
    let (journal, run) = cut_off(20).await;
    let model = model();
    let team = team(&model, &journal);
    let past = team.past(&run).await.expect("it is known");
    let (report, booked) = (past.report(&team), past.accounts(&team));
    assert!(report.resumable);
    let resumed = team.resume_from(past, ChangedTerms::Refuse, &Control::default()).await.expect("it goes on");
    let read = journal.read.load(Ordering::Relaxed);
    assert!((20..=22).contains(&read), "the first entry is looked at by itself, twice; {read} were read");
    assert_eq!((resumed.outcome, resumed.resumable), (RunOutcome::Succeeded, false));
    assert_eq!(report.calls, booked.iter().map(|booked| booked.spent.calls).sum::<u32>());
}

/// Another process takes the run up and ends it, after its past was folded and before somebody goes on with it.
#[tokio::test(start_paused = true)]
async fn what_happened_since_a_past_was_folded_is_not_done_again() {
    let (journal, run) = cut_off(20).await;
    let (first, second) = (model(), model());
    let team_of_both = [team(&first, &journal), team(&second, &journal)];
    let [one, other] = &team_of_both;
    let past = other.past(&run).await.expect("it is known");
    let ended = one.resume(run.clone(), ChangedTerms::Refuse, &Control::default()).await.expect("it goes on");
    let again = other.resume_from(past, ChangedTerms::Refuse, &Control::default()).await.expect("it is over");
    assert_eq!((ended.outcome, again.outcome), (RunOutcome::Succeeded, RunOutcome::Succeeded));
    assert_eq!((again.calls, second.calls().len()), (ended.calls, 0), "nothing was left to do");
}

/// Whoever grants more rounds than a run had gets them, whether what used its rounds up counts as failed or is kept.
#[tokio::test(start_paused = true)]
async fn more_rounds_on_a_resume_are_rounds_for_what_used_its_own_up() {
    for on_exhausted in [OnExhausted::Fail, OnExhausted::AcceptBest] {
        let model = Arc::new(Scripted::answering(|_, context| {
            Ok(ChatResponse::text(match (context.phase, context.round) {
                ("review", 0) => r#"{"decision": "revise", "score": 0.5, "issues": ["more"]}"#.to_owned(),
                ("review", _) => r#"{"decision": "accept", "score": 0.9}"#.to_owned(),
                (_, round) => format!("draft {round}"),
            }))
        }));
        let (journal, run) = (Arc::new(Counting::default()), RunId::from("r1"));
        let rounds = |max_rounds| {
            let review = ReviewRules { max_rounds, max_escalations: 0, on_exhausted, ..ReviewRules::default() };
            let tier = Tier::new(Arc::<Scripted>::clone(&model) as Arc<dyn ChatProvider>, "model");
            Team::builder("team")
                .role(Role::worker("coder", "You code.", tier.clone()))
                .role(Role::reviewer("critic", "You review.", tier))
                .settings(Settings { review, ..Settings::default() })
                .journal(Arc::<Counting>::clone(&journal) as Arc<dyn Journal>)
                .build()
                .expect("the team makes sense")
        };
        let first = rounds(0).run_with("build it", run.clone(), &Control::default()).await;
        assert!(first.outcome != RunOutcome::Succeeded && !first.resumable, "{on_exhausted:?}");
        let same = rounds(0).resume(run.clone(), ChangedTerms::Refuse, &Control::default()).await.expect("it is over");
        assert_eq!((same.outcome, model.calls().len()), (first.outcome, 2), "{on_exhausted:?}");
        let more = rounds(2).resume(run, ChangedTerms::Adopt, &Control::default()).await.expect("it goes on");
        assert_eq!((more.outcome, more.tasks[0].revisions), (RunOutcome::Succeeded, 1), "{on_exhausted:?}");
    }
}

/// Whoever decided on a task had its run folded twice: to see what waits, and to decide.
#[tokio::test(start_paused = true)]
async fn one_fold_serves_what_waits_and_the_decision_which_is_made_once() {
    let verdict = r#"{"decision": "revise", "score": 0.5, "issues": ["more"]}"#;
    let model = Arc::new(Scripted::answering(move |_, context| {
        Ok(ChatResponse::text(if context.phase == "review" { verdict } else { "a draft" }))
    }));
    let (journal, run) = (Arc::new(Counting::default()), RunId::from("r1"));
    let tier = Tier::new(Arc::<Scripted>::clone(&model) as Arc<dyn ChatProvider>, "model");
    let on_exhausted = OnExhausted::Human;
    let review = ReviewRules { max_rounds: 0, max_escalations: 0, on_exhausted, ..ReviewRules::default() };
    let team = Team::builder("team")
        .role(Role::worker("coder", "You code.", tier.clone()))
        .role(Role::reviewer("critic", "You review.", tier))
        .settings(Settings { review, ..Settings::default() })
        .journal(Arc::<Counting>::clone(&journal) as Arc<dyn Journal>)
        .build()
        .expect("the team makes sense");
    team.run_with("build it", run.clone(), &Control::default()).await;
    let entries = journal.load(&run).await.expect("memory does not fail").len();
    let late = team.past(&run).await.expect("it is known");
    let before = journal.read.load(Ordering::Relaxed);
    let past = team.past(&run).await.expect("it is known");
    let waiting = past.report(&team).tasks[0].clone();
    assert_eq!(waiting.state, TaskState::Blocked);
    team.rule_from(past, waiting.task_id.clone(), TaskRuling::Accept).await.expect("it waits");
    let read = journal.read.load(Ordering::Relaxed) - before;
    assert!(read <= entries + 2, "{read} of {entries} entries were read");
    let second = team.rule_from(late, waiting.task_id, TaskRuling::Accept).await;
    assert!(matches!(second, Err(ResumeError::NotBlocked { .. })), "{second:?}");
}

/// A whole team, of which somebody may leave.
fn all_but(gone: &str, model: &Arc<Scripted>, journal: &Arc<Counting>) -> Team {
    let tier = Tier::new(Arc::<Scripted>::clone(model) as Arc<dyn ChatProvider>, "model");
    let mut coder = Role::worker(if gone == "coder" { "maker" } else { "coder" }, "You code.", tier.clone());
    coder.may_ask = true;
    let others = [
        Role::planner("lead", "You plan.", tier.clone()),
        Role::reviewer("critic", "You review.", tier.clone()),
        Role::synthesizer("editor", "You join.", tier),
    ];
    let staying = others.into_iter().filter(|role| &*role.name != gone);
    staying
        .fold(Team::builder("team").role(coder), |team, role| team.role(role))
        .settings(Settings { right_size: false, deadline: Some(Duration::from_secs(3_600)), ..Settings::default() })
        .journal(Arc::<Counting>::clone(journal) as Arc<dyn Journal>)
        .build()
        .expect("the team makes sense")
}

/// Somebody leaves the team before a run is taken up again. A run that waited for a role that was gone waited for ever.
#[tokio::test(start_paused = true)]
async fn whoever_leaves_a_team_is_not_waited_for() {
    let answering = || {
        Arc::new(Scripted::answering(|request, context| {
            let told = format!("{:?}", request.messages);
            Ok(ChatResponse::text(match (context.phase, context.task.as_ref().map(|task| task.as_str())) {
                ("plan", _) => "1. The first part\n2. The second part".to_owned(),
                ("review", _) => r#"{"decision": "accept", "score": 0.9}"#.to_owned(),
                ("work", Some("t2")) if !told.contains("You asked") => {
                    r#"{"ask": {"to": "editor", "question": "how long?"}}"#.to_owned()
                }
                (phase, _) => format!("{phase} done"),
            }))
        }))
    };
    let (run, whole) = (RunId::from("r1"), Arc::new(Counting::default()));
    let ended = all_but("nobody", &answering(), &whole).run_with("build it", run.clone(), &Control::default()).await;
    assert_eq!(ended.outcome, RunOutcome::Succeeded);
    let all = whole.load(&run).await.expect("memory does not fail");
    for (gone, cut) in
        ["coder", "lead", "critic", "editor"].into_iter().flat_map(|gone| (1..=all.len()).map(move |n| (gone, n)))
    {
        let journal = Arc::new(Counting::default());
        let lease = journal.lease(&run).await.expect("the run is free");
        journal.append(&lease, all[..cut].to_vec()).await.expect("memory does not fail");
        journal.release(&lease).await.expect("memory does not fail");
        let team = all_but(gone, &answering(), &journal);
        match team.resume(run.clone(), ChangedTerms::Adopt, &Control::default()).await {
            Ok(report) => {
                // What a critic was about to look at when it left stays unreviewed.
                let ended = matches!(report.outcome, RunOutcome::Succeeded | RunOutcome::SucceededWithDefects);
                assert!(ended, "{gone} after {cut}: {}", report.reason);
            }
            Err(error) => {
                assert!(
                    matches!(&error, ResumeError::NoRole { role, .. } if &**role == "coder"),
                    "{gone} after {cut}: {error}"
                );
            }
        }
    }
}

/// An outage took a task, and the judges of another one. Nothing but a new run brought them back.
#[tokio::test(start_paused = true)]
async fn what_an_outage_took_is_tried_again_if_somebody_wants_it() {
    let down = Arc::new(AtomicUsize::new(1));
    let outage = Arc::clone(&down);
    let model = Arc::new(Scripted::answering(move |_, context| {
        let down = outage.load(Ordering::Relaxed) == 1;
        match (context.phase, context.task.as_ref().map(|task| task.as_str())) {
            ("plan", _) => Ok(ChatResponse::text(
                r#"{"tasks": [{"id": "a", "title": "A", "complexity": 3}, {"id": "b", "title": "B", "depends_on": ["a"]},
                    {"id": "c", "title": "C"}]}"#,
            )),
            ("work", Some("t1")) | ("review", Some("t3")) if down => {
                Err(ProviderError::new(ErrorKind::Upstream, "the provider fell over"))
            }
            ("review", _) => Ok(ChatResponse::text(r#"{"decision": "accept", "score": 0.9}"#)),
            _ => Ok(ChatResponse::text("the work")),
        }
    }));
    let (journal, run) = (Arc::new(Counting::default()), RunId::from("r1"));
    let team = team(&model, &journal);
    let states = |report: &RunReport| report.tasks.iter().map(|task| task.state).collect::<Vec<_>>();
    let first = team.run_with("build it", run.clone(), &Control::default()).await;
    assert_eq!(states(&first), [TaskState::Failed, TaskState::Skipped, TaskState::Unreviewed]);
    assert_eq!((first.resumable, first.retriable), (false, true));
    let calls = model.calls().len();
    for (task, standing) in [
        ("t1", "Its state is failed: the provider fell over."),
        ("t2", "Its state is skipped: it needs t1, which came to nothing."),
        ("t3", "Its state is unreviewed: the provider fell over."),
    ] {
        let told =
            Explanation::of(journal.load(&run).await.expect("memory does not fail"), task).expect("it is understood");
        let told = told.expect("it is known").to_string();
        assert!(told.contains(standing), "{standing} {told}");
    }

    down.store(0, Ordering::Relaxed);
    let same = team.resume(run.clone(), ChangedTerms::Refuse, &Control::default()).await.expect("it is over");
    assert_eq!((states(&same), model.calls().len()), (states(&first), calls), "nobody asked for it");
    let other = all_but("critic", &model, &journal).retry(&run, ChangedTerms::Refuse).await;
    assert!(matches!(other, Err(ResumeError::Changed { .. })), "another team is told so, and nothing is remembered");
    assert!(team.retry(&run, ChangedTerms::Refuse).await.expect("it is known"));
    let again = team.resume(run.clone(), ChangedTerms::Refuse, &Control::default()).await.expect("it goes on");
    assert_eq!((again.outcome, again.retriable), (RunOutcome::Succeeded, false), "{}", again.reason);
    assert_eq!(model.calls().len(), calls + 5, "the work of two tasks, and three reviews");
    let keys: Vec<_> = model.calls().into_iter().filter_map(|call| call.context.idempotency_key).collect();
    assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len(), "each call has a key of its own");
    assert!(!team.retry(&run, ChangedTerms::Refuse).await.expect("it is known"), "nothing is left to be tried again");
    let told =
        Explanation::of(journal.load(&run).await.expect("memory does not fail"), "t1").expect("it is understood");
    assert!(told.expect("it is known").to_string().contains("somebody wants it tried again"));
}

/// A plan that nobody could read ended the run, and so it stayed.
#[tokio::test(start_paused = true)]
async fn a_plan_and_a_whole_that_came_to_nothing_are_tried_again_as_well() {
    let good = Arc::new(AtomicUsize::new(0));
    let getting_better = Arc::clone(&good);
    let model = Arc::new(Scripted::answering(move |_, context| {
        let good = getting_better.load(Ordering::Relaxed);
        Ok(ChatResponse::text(match context.phase {
            "plan" if good == 0 => "",
            "plan" => "1. The first part\n2. The second part",
            "combine" if good == 1 => "",
            "review" => r#"{"decision": "accept", "score": 0.9}"#,
            _ => "done",
        }))
    }));
    let (journal, run) = (Arc::new(Counting::default()), RunId::from("r1"));
    let tier = Tier::new(Arc::<Scripted>::clone(&model) as Arc<dyn ChatProvider>, "model");
    let team = Team::builder("team")
        .role(Role::planner("lead", "You plan.", tier.clone()))
        .role(Role::worker("coder", "You code.", tier.clone()))
        .role(Role::synthesizer("editor", "You join.", tier))
        .settings(Settings { on_invalid_plan: OnInvalidPlan::Fail, right_size: false, ..Settings::default() })
        .journal(Arc::<Counting>::clone(&journal) as Arc<dyn Journal>)
        .build()
        .expect("the team makes sense");
    let first = team.run_with("build it", run.clone(), &Control::default()).await;
    assert_eq!((first.outcome, first.retriable), (RunOutcome::Failed, true));
    let mut results = Vec::new();
    for better in [1, 2] {
        good.store(better, Ordering::Relaxed);
        assert!(team.retry(&run, ChangedTerms::Refuse).await.expect("it is known"));
        let again = team.resume(run.clone(), ChangedTerms::Refuse, &Control::default()).await.expect("it goes on");
        let told = again.reason.contains("nobody made one whole of them");
        assert_eq!(told, again.result.is_none(), "{}", again.reason);
        results.push((again.tasks.len(), again.result));
    }
    assert_eq!(results, [(2, None), (2, Some("done".to_owned()))]);
    let keys: Vec<_> = model.calls().into_iter().filter_map(|call| call.context.idempotency_key).collect();
    assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len(), "each call has a key of its own");
}
