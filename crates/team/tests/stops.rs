//! What a stop leaves for a resume: what was paid for and not heard yet, what nobody came to read, what had no time.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bellwether_core::journal::{Entry, JournalError, Lease, Recorded, Snapshot};
use bellwether_core::test_util::MemoryJournal;
use bellwether_core::{
    CallContext, ChatProvider, ChatRequest, ChatResponse, ChatStream, ErrorKind, Journal, ProviderError, RunId,
    RunOutcome, TaskState,
};
use bellwether_provider::Scripted;
use bellwether_team::{ChangedTerms, Control, OnTaskFailure, Role, RunReport, Settings, Team, TeamBuilder, Tier};

const ACCEPT: &str = r#"{"decision": "accept", "score": 0.9}"#;

/// A model whose calls take a second each; four tasks, the last of which needs the first.
fn model(odd: fn(&ChatRequest, &CallContext) -> Option<String>) -> Arc<Scripted> {
    let answer = move |request: &ChatRequest, context: &CallContext| {
        let task = context.task.as_ref().map_or("run", |task| task.as_str());
        let usual = || match context.phase {
            "plan" => r#"{"tasks": [{"id": "a", "title": "A", "complexity": 3}, {"id": "b", "title": "B"},
                {"id": "c", "title": "C"}, {"id": "d", "title": "D", "depends_on": ["a"]}]}"#
                .to_owned(),
            "review" | "audit" => ACCEPT.to_owned(),
            phase => format!("{phase} of {task}"),
        };
        Ok(ChatResponse::text(odd(request, context).unwrap_or_else(usual)))
    };
    Arc::new(Scripted::answering(answer).with_delay(Duration::from_secs(1)))
}

fn builder(provider: Arc<dyn ChatProvider>, journal: &Arc<dyn Journal>, settings: Settings) -> TeamBuilder {
    let tier = Tier::new(provider, "model");
    let mut coder = Role::worker("coder", "You code.", tier.clone());
    coder.may_ask = true;
    let mut lead = Role::planner("lead", "You plan.", tier.clone());
    lead.instances = NonZeroUsize::MIN;
    Team::builder("team")
        .role(lead)
        .role(coder)
        .role(Role::reviewer("critic", "You review.", tier))
        .settings(settings)
        .journal(Arc::clone(journal))
}

fn team(provider: &Arc<Scripted>, journal: &Arc<dyn Journal>, settings: Settings) -> Team {
    let provider = Arc::<Scripted>::clone(provider) as Arc<dyn ChatProvider>;
    builder(provider, journal, settings).build().expect("the team makes sense")
}

fn memory() -> Arc<dyn Journal> {
    Arc::new(MemoryJournal::default())
}

fn run() -> RunId {
    RunId::from("r1")
}

async fn resume(team: &Team) -> RunReport {
    team.resume(run(), ChangedTerms::Refuse, &Control::default()).await.expect("it goes on")
}

fn calls(provider: &Scripted, phase: &str) -> usize {
    provider.calls().iter().filter(|call| call.context.phase == phase).count()
}

/// A journal that takes a while over the entry that the plan is in.
#[derive(Debug, Default)]
struct Slow {
    inner: MemoryJournal,
    was_slow: AtomicBool,
}

#[async_trait]
impl Journal for Slow {
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
        let produced = entries.iter().any(|entry| entry.kind == "produced");
        if produced && !self.was_slow.swap(true, Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_secs(60)).await;
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

/// Three answers came in while the disk was slow, and then the run's deadline. Two of them were thrown away.
#[tokio::test(start_paused = true)]
async fn what_came_in_before_a_stop_is_kept_though_nobody_had_time_to_hear_it() {
    let (provider, journal) = (model(|_, _| None), Arc::new(Slow::default()) as Arc<dyn Journal>);
    let deadline = Some(Duration::from_secs(30));
    let late = team(&provider, &journal, Settings { deadline, ..Settings::default() });
    let stopped = late.run_with("build it", run(), &Control::default()).await;
    assert_eq!((stopped.outcome, calls(&provider, "work")), (RunOutcome::DeadlineExceeded, 3));
    assert_eq!(stopped.count(TaskState::Unreviewed), 3, "{:?}", stopped.tasks);
    let resumed = resume(&team(&provider, &journal, Settings::default())).await;
    assert_eq!((resumed.outcome, calls(&provider, "work")), (RunOutcome::Succeeded, 4), "nothing is paid for twice");
}

/// A disk that is full keeps a journal waiting for as long as it takes. Whoever stopped the run at once waited as well.
#[tokio::test(start_paused = true)]
async fn a_journal_that_waits_for_its_disk_keeps_nobody_from_stopping_a_run() {
    let (provider, journal) = (model(|_, _| None), Arc::new(Slow::default()) as Arc<dyn Journal>);
    let team = team(&provider, &journal, Settings::default());
    let control = Control::default();
    let stop = async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        control.halt();
    };
    let (stopped, ()) = tokio::join!(team.run_with("build it", run(), &control), stop);
    assert!(stopped.wall < Duration::from_secs(32), "{:?}", stopped.wall);
    let error = stopped.error.expect("it could not be remembered");
    assert!(error.message.contains("longer than somebody waited"), "{}", error.message);
    let resumed = resume(&team).await;
    assert_eq!((resumed.outcome, resumed.possible_duplicates), (RunOutcome::Succeeded, 3), "as after a crash");
}

/// The lead is busy with one question when the run is stopped, and others wait for it. A question in its mailbox counted as not
/// answered, and its task went on without.
#[tokio::test(start_paused = true)]
async fn a_question_that_nobody_came_to_read_is_asked_again() {
    let provider = model(|request, context| {
        let asked = format!("{:?}", request.messages).contains("You asked");
        let asks = context.phase == "work" && !asked;
        asks.then(|| r#"{"ask": {"to": "lead", "question": "which port?"}}"#.to_owned())
    });
    let journal = memory();
    let team = team(&provider, &journal, Settings::default());
    let control = Control::default();
    let stop = async {
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        control.halt();
    };
    let (stopped, ()) = tokio::join!(team.run_with("build it", run(), &control), stop);
    assert_eq!((stopped.outcome, calls(&provider, "answer")), (RunOutcome::Cancelled, 1));
    assert_eq!(stopped.dead_letters, [], "what has no agent yet is not sent");
    let resumed = resume(&team).await;
    assert_eq!(resumed.outcome, RunOutcome::Succeeded);
    assert_eq!(calls(&provider, "answer"), 5, "four questions, one of them twice");
    let without = provider.calls().iter().any(|call| format!("{:?}", call.request.messages).contains("not answered"));
    assert!(!without, "nobody goes on without an answer");
}

/// Refuses what would not be answered before its deadline, as a full line does.
#[derive(Debug)]
struct Line(Arc<Scripted>, Duration);

#[async_trait]
impl ChatProvider for Line {
    fn name(&self) -> &str {
        "line"
    }

    async fn stream(&self, request: ChatRequest, context: CallContext) -> Result<ChatStream, ProviderError> {
        let left = context.deadline.map(|at| tokio::time::Instant::from_std(at) - tokio::time::Instant::now());
        if left.is_some_and(|left| left < self.1) {
            return Err(ProviderError::new(ErrorKind::DeadlineExceeded, "the line takes longer than that"));
        }
        self.0.stream(request, context).await
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        self.0.models().await
    }
}

/// Whatever was refused because of the run's deadline counted as failed, and no resume brought it back.
#[tokio::test(start_paused = true)]
async fn what_a_runs_deadline_leaves_no_time_for_has_not_failed() {
    for after in 1..8 {
        for on_task_failure in [OnTaskFailure::ContinueIndependent, OnTaskFailure::FailFast] {
            let (provider, journal) = (model(|_, _| None), memory());
            let line = Arc::new(Line(Arc::clone(&provider), Duration::from_secs(60)));
            let deadline = Some(Duration::from_millis(59_500 + 1_000 * after));
            let settings = Settings { deadline, on_task_failure, ..Settings::default() };
            let late = builder(line, &journal, settings).build().expect("the team makes sense");
            let stopped = late.run_with("build it", run(), &Control::default()).await;
            if stopped.outcome != RunOutcome::Succeeded {
                assert_eq!(stopped.outcome, RunOutcome::DeadlineExceeded, "{after}: {}", stopped.reason);
                assert!(stopped.resumable, "{after}");
            }
            let entries = journal.load(&run()).await.expect("it is remembered");
            let told = entries.iter().filter(|entry| entry.kind == "stopped").count();
            let ended = stopped.outcome == RunOutcome::Succeeded;
            assert_eq!(told, usize::from(!ended), "{after}: whoever looks on is told once");
            let resumed = resume(&team(&provider, &journal, Settings { deadline: None, ..settings })).await;
            assert_eq!(resumed.outcome, RunOutcome::Succeeded, "{after}: {}", resumed.reason);
            assert_eq!(calls(&provider, "work"), 4, "{after}: nothing is paid for twice");
        }
    }
}

/// A digest is made when somebody needs it, long after its task was done; the time of the task was over by then.
#[tokio::test(start_paused = true)]
async fn work_at_rest_is_summed_up_however_long_its_task_is_over() {
    let provider = model(|request, context| {
        let task = context.task.as_ref().map_or("", |task| task.as_str());
        let told = format!("{:?}", request.messages);
        match (context.phase, task) {
            ("plan", _) => Some(
                r#"{"tasks": [{"id": "a", "title": "A", "complexity": 3}, {"id": "b", "title": "B"},
                {"id": "c", "title": "C", "depends_on": ["b"]}, {"id": "d", "title": "D", "depends_on": ["a", "c"]}]}"#
                    .to_owned(),
            ),
            ("work", "t1") => Some("long ".repeat(4_000)),
            ("work", "t4") => Some(if told.contains("digest of t1") { "with it" } else { "without it" }.to_owned()),
            _ => None,
        }
    });
    let settings = Settings { task_deadline: Some(Duration::from_secs(3)), ..Settings::default() };
    let tier = Tier::new(Arc::<Scripted>::clone(&provider) as Arc<dyn ChatProvider>, "model");
    let mut coder = Role::worker("coder", "You code.", tier.clone());
    coder.history_tokens = 2_000;
    let team = Team::builder("team")
        .role(Role::planner("lead", "You plan.", tier.clone()))
        .role(coder)
        .role(Role::reviewer("critic", "You review.", tier))
        .settings(settings)
        .build()
        .expect("the team makes sense");
    let report = team.run("build it").await;
    assert_eq!((report.outcome, report.tasks[3].result.as_deref()), (RunOutcome::Succeeded, Some("with it")));
}

/// What was made one whole of the parts there were is made anew of more: that is another question, and went out under the key
/// of the first one. So did the digest of a draft that came after the one that was summed up.
#[tokio::test(start_paused = true)]
async fn what_is_made_anew_is_asked_for_under_a_new_key() {
    let poor = Arc::new(AtomicBool::new(true));
    let (is_poor, journal) = (Arc::clone(&poor), memory());
    let provider = Arc::new(Scripted::answering(move |request, context| {
        let poor = is_poor.load(Ordering::SeqCst);
        let task = context.task.as_ref().map_or("", |task| task.as_str());
        let text = match (context.phase, task, context.round) {
            ("plan", ..) => {
                r#"{"tasks": [{"id": "a", "title": "A", "complexity": 3}, {"id": "b", "title": "B", "depends_on": ["a"]}]}"#
            }
            ("work", "t2", _) | ("review", ..) if poor => {
                return Err(ProviderError::new(ErrorKind::BudgetExceeded, "the budget does not cover it"));
            }
            ("review", "t1", 0) => r#"{"decision": "revise", "score": 0.5, "issues": ["mend it"]}"#,
            ("review", ..) => ACCEPT,
            ("work", "t1", round) => return Ok(ChatResponse::text(format!("{round} ").repeat(9_000))),
            ("digest", ..) if format!("{:?}", request.messages).contains("1 1 1") => "digest of the second draft",
            _ => "done",
        };
        Ok(ChatResponse::text(text))
    }));
    let tier = Tier::new(Arc::<Scripted>::clone(&provider) as Arc<dyn ChatProvider>, "model");
    let coder = Role { history_tokens: 2_000, ..Role::worker("coder", "You code.", tier.clone()) };
    let team = Team::builder("team")
        .role(Role::planner("lead", "You plan.", tier.clone()))
        .role(coder)
        .role(Role::reviewer("critic", "You review.", tier.clone()))
        .role(Role::synthesizer("editor", "You join.", tier))
        .journal(Arc::clone(&journal))
        .build()
        .expect("the team makes sense");
    let short = team.run_with("build it", run(), &Control::default()).await;
    assert_eq!((short.outcome, short.result.is_some()), (RunOutcome::BudgetExhausted, true), "{}", short.reason);
    assert_eq!(calls(&provider, "digest"), 1);
    poor.store(false, Ordering::SeqCst);
    let rich = resume(&team).await;
    assert_eq!(rich.outcome, RunOutcome::Succeeded, "{}", rich.reason);
    let sent = provider.calls();
    let made = |phase: &str| {
        let of = sent.iter().filter(|call| call.context.phase == phase);
        let keys: std::collections::BTreeSet<_> = of.clone().map(|call| call.context.idempotency_key.clone()).collect();
        (of.count(), keys.len())
    };
    assert_eq!((made("combine"), made("digest")), ((2, 2), (2, 2)));
    let told =
        sent.iter().filter(|call| call.context.phase == "work").map(|call| format!("{:?}", call.request.messages));
    let told = told.filter(|told| told.contains("digest of the second draft")).count();
    assert_eq!(told, 1, "t2 builds on the draft that counts");
}

/// Whoever drops a run in the middle kept everybody from it, himself included, for as long as his process lived.
#[tokio::test(start_paused = true)]
async fn a_run_that_was_dropped_is_resumed_by_the_same_process() {
    for moment in (500..9_000).step_by(1_000) {
        let (provider, journal) = (model(|_, _| None), memory());
        let team = team(&provider, &journal, Settings::default());
        let control = Control::default();
        let dropped = tokio::time::timeout(Duration::from_millis(moment), team.run_with("build it", run(), &control));
        if dropped.await.is_ok() {
            continue;
        }
        let again = resume(&team).await;
        assert_eq!(again.outcome, RunOutcome::Succeeded, "dropped after {moment} ms");
        assert!(again.possible_duplicates <= 3, "dropped after {moment} ms");
    }
}

/// Two runs under one id: the entries of both were mixed, and neither could be read any more.
#[tokio::test(start_paused = true)]
async fn a_run_is_not_begun_twice_under_one_id() {
    let (provider, journal) = (model(|_, _| None), memory());
    let team = team(&provider, &journal, Settings::default());
    let first = team.run_with("build it", run(), &Control::default()).await;
    let sent = provider.calls().len();
    let second = team.run_with("build something else", run(), &Control::default()).await;
    let error = second.error.expect("it did not begin");
    assert!(error.message.contains("there is a run r1 already"), "{}", error.message);
    let fork = bellwether_team::fork(&*journal, &run(), 3, &run()).await.expect_err("nothing is mixed");
    assert!(format!("{fork:?}").contains("there is a run") || format!("{fork:?}").contains("Known"), "{fork:?}");
    let recalled = resume(&team).await;
    assert_eq!((recalled.outcome, recalled.calls), (RunOutcome::Succeeded, first.calls));
    assert_eq!((recalled.request.as_str(), provider.calls().len()), ("build it", sent));
}

/// One call is refused for good, another one goes on for a long time: Ctrl-C did not end it within the grace, for the run was
/// stopped already.
#[tokio::test(start_paused = true)]
async fn a_run_that_can_not_go_on_is_drained_like_any_other() {
    #[derive(Debug)]
    struct Odd(Arc<Scripted>);

    #[async_trait]
    impl ChatProvider for Odd {
        fn name(&self) -> &str {
            "odd"
        }

        async fn stream(&self, request: ChatRequest, context: CallContext) -> Result<ChatStream, ProviderError> {
            match context.task.as_ref().map(|task| task.as_str()) {
                Some("t1") => return Err(ProviderError::new(ErrorKind::Auth, "the key was refused")),
                Some(_) => tokio::time::sleep(Duration::from_secs(1_000)).await,
                None => {}
            }
            self.0.stream(request, context).await
        }

        async fn models(&self) -> Result<Vec<String>, ProviderError> {
            self.0.models().await
        }
    }

    let provider = Arc::new(Odd(model(|_, _| None)));
    let team = builder(provider, &memory(), Settings::default()).build().expect("the team makes sense");
    let control = Control::default();
    let stop = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        control.drain();
    };
    let (stopped, ()) = tokio::join!(team.run_with("build it", run(), &control), stop);
    assert_eq!(stopped.wall, Duration::from_secs(10) + Settings::default().grace);
    assert!(stopped.reason.contains("the key was refused"), "{}", stopped.reason);
}
