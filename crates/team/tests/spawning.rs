//! Tasks that ask for further tasks: caps, joins, who is called off, and what a crash leaves, on a paused clock.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bellwether_core::journal::Entry;
use bellwether_core::test_util::{MemoryJournal, Recorder};
use bellwether_core::{
    CallContext, ChatProvider, ChatRequest, ChatResponse, ChatStream, ErrorKind, Fact, Journal, ProviderError,
    RunOutcome, TaskState,
};
use bellwether_provider::Scripted;
use bellwether_team::explain::Explanation;
use bellwether_team::plan::{Plan, PlanRules};
use bellwether_team::{
    ChangedTerms, Control, Join, OnTaskFailure, Role, RunReport, Settings, SpawnRules, Team, TeamBuilder, Tier,
};

const ACCEPT: &str = r#"{"decision": "accept", "score": 0.9}"#;
const PLAN: &str =
    r#"{"tasks": [{"id": "a", "title": "A", "complexity": 3}, {"id": "b", "title": "B", "depends_on": ["a"]}]}"#;

fn asking(join: &str) -> String {
    format!(
        r#"{{"spawn": [{{"id": "x", "title": "X"}}, {{"title": "Y"}}, {{"title": "Z", "depends_on": ["x"]}}], "join": "{join}"}}"#
    )
}

/// A model that asks for three tasks when it first works on `t1`; each call takes a second.
fn model(join: &'static str, failing: &'static [&'static str]) -> Arc<Scripted> {
    let answer = move |request: &ChatRequest, context: &CallContext| {
        let task = context.task.as_ref().map_or("", |task| task.as_str());
        let asked = format!("{:?}", request.messages);
        Ok(ChatResponse::text(match (context.phase, task) {
            ("plan", _) => PLAN.to_owned(),
            ("review", _) => ACCEPT.to_owned(),
            ("work", task) if failing.contains(&task) => {
                return Err(ProviderError::new(ErrorKind::Upstream, "the provider fell over"));
            }
            ("work", "t1") if !asked.contains("work of t1.") => asking(join),
            (_, task) => format!("work of {task}"),
        }))
    };
    Arc::new(Scripted::answering(answer).with_delay(Duration::from_secs(1)))
}

/// Thinks for half a minute about `t1.2`.
#[derive(Debug)]
struct Paced(Arc<Scripted>);

#[async_trait]
impl ChatProvider for Paced {
    fn name(&self) -> &str {
        "paced"
    }

    async fn stream(&self, request: ChatRequest, context: CallContext) -> Result<ChatStream, ProviderError> {
        if context.task.as_ref().is_some_and(|task| task.as_str() == "t1.2") {
            tokio::time::sleep(Duration::from_secs(29)).await;
        }
        self.0.stream(request, context).await
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        self.0.models().await
    }
}

fn builder(provider: &Arc<Scripted>, settings: Settings) -> TeamBuilder {
    let tier = Tier::new(Arc::new(Paced(Arc::clone(provider))), "model");
    let mut coder = Role::worker("coder", "You code.", tier.clone());
    coder.may_spawn = true;
    Team::builder("team")
        .role(Role::planner("lead", "You plan.", tier.clone()))
        .role(coder)
        .role(Role::reviewer("critic", "You review.", tier))
        .settings(settings)
}

async fn run(provider: &Arc<Scripted>, settings: Settings) -> RunReport {
    builder(provider, settings).build().expect("the team makes sense").run("build it").await
}

fn states(report: &RunReport) -> Vec<(&str, TaskState)> {
    report.tasks.iter().map(|task| (task.task_id.as_str(), task.state)).collect()
}

fn works(provider: &Scripted, task: &str) -> Vec<String> {
    let calls = provider.calls();
    let works = calls.iter().filter(|call| {
        call.context.phase == "work" && call.context.task.as_ref().is_some_and(|own| own.as_str() == task)
    });
    works.map(|call| format!("{:?}", call.request.messages)).collect()
}

use TaskState::{Accepted, Cancelled, Failed, Skipped};

#[tokio::test(start_paused = true)]
async fn a_task_goes_on_once_all_that_it_asked_for_is_there() {
    let (provider, heard) = (model("all", &[]), Arc::new(Recorder::default()));
    let team = builder(&provider, Settings::default()).observer(Arc::<Recorder>::clone(&heard)).build();
    let report = team.expect("the team makes sense").run("build it").await;
    assert_eq!(report.outcome, RunOutcome::Succeeded);
    let all = [("t1", Accepted), ("t2", Accepted), ("t1.1", Accepted), ("t1.2", Accepted), ("t1.3", Accepted)];
    assert_eq!(states(&report), all);
    assert_eq!(report.tasks[2].spawned_by.as_ref().map(|id| id.as_str()), Some("t1"));
    let t1 = works(&provider, "t1");
    assert_eq!(t1.len(), 2);
    assert!(t1[0].contains("spawn") && t1[0].contains("at most 12 tasks"), "{}", t1[0]);
    assert!(["t1.1", "t1.2", "t1.3"].iter().all(|id| t1[1].contains(&format!("work of {id}"))), "{}", t1[1]);
    assert!(!t1[1].contains("spawn"), "it is asked once: {}", t1[1]);
    assert!(!works(&provider, "t1.1")[0].contains("spawn"), "what was spawned may not by default");
    let calls = provider.calls();
    let keys: std::collections::BTreeSet<_> = calls.iter().map(|call| call.context.idempotency_key.clone()).collect();
    assert_eq!(keys.len(), calls.len(), "no two calls have one key");
    let spawned = heard.facts().iter().any(|fact| matches!(fact, Fact::TasksSpawned { tasks, .. } if tasks.len() == 3));
    assert!(spawned, "whoever watches is told");
}

/// The first of any wins: who waits never begins, who is at work is stopped, and both are accounted for.
#[tokio::test(start_paused = true)]
async fn the_losers_of_a_join_are_called_off_and_settled() {
    let provider = model("any", &[]);
    let report = run(&provider, Settings::default()).await;
    let all = [("t1", Accepted), ("t2", Accepted), ("t1.1", Accepted), ("t1.2", Cancelled), ("t1.3", Cancelled)];
    assert_eq!((report.outcome, states(&report)), (RunOutcome::Succeeded, all.to_vec()));
    // Plan, ask, x, its review, t1, its review, t2, its review: nobody waited for the half minute of y.
    assert_eq!(report.wall, Duration::from_secs(8));
    assert_eq!((report.tasks[3].calls, report.tasks[4].calls), (1, 0));
    assert_eq!(report.unpriced_calls as usize, report.calls as usize, "a call that was cut off counts");
}

#[tokio::test(start_paused = true)]
async fn a_join_that_cannot_be_met_fails_its_task_and_nobody_else_answers_for_it() {
    let report = run(&model("all", &["t1.1"]), Settings::default()).await;
    let all = [("t1", Failed), ("t2", Skipped), ("t1.1", Failed), ("t1.2", Cancelled), ("t1.3", Cancelled)];
    assert_eq!((report.outcome, &states(&report)[..1]), (RunOutcome::Failed, &all[..1]));
    assert_eq!(states(&report)[2], all[2]);
    let error = report.tasks[0].error.as_ref().expect("there is a reason");
    assert_eq!(error.kind, "join_unmet");
    assert!(error.message.contains("0 of the 3 tasks it asked for came to work; it needs all"), "{}", error.message);
    assert!(report.wall < Duration::from_secs(10), "what cannot help any more is not waited for: {:?}", report.wall);

    let strict = Settings { on_task_failure: OnTaskFailure::FailFast, ..Settings::default() };
    for join in ["any", "quorum(2)"] {
        let report = run(&model(join, &["t1.2"]), strict).await;
        assert_eq!(report.outcome, RunOutcome::Succeeded, "{join}: {}", report.reason);
    }
    let report = run(&model("quorum(2)", &["t1.1"]), strict).await;
    assert!(report.reason.contains("2 tasks came to nothing, and 0 may"), "{}", report.reason);
}

/// What a worker asks for cannot grow beyond the caps, and what it cannot have it is told.
#[tokio::test(start_paused = true)]
async fn caps_hold_against_a_worker_that_always_asks() {
    let greedy = |_: &ChatRequest, context: &CallContext| {
        let many: Vec<String> =
            (0..3).map(|n| format!("\"part {n} of {}\"", context.task.as_ref().map_or("", |t| t.as_str()))).collect();
        Ok(ChatResponse::text(match context.phase {
            "plan" => PLAN.to_owned(),
            "review" => ACCEPT.to_owned(),
            _ => format!("{{\"spawn\": [{}], \"key\": \"sk-1\", \"budget\": 1000000}}", many.join(", ")),
        }))
    };
    for (max_tasks, max_depth, most) in [(7, 3, 6), (100, 1, 6), (2, 1, 0), (0, 9, 0)] {
        let spawn = SpawnRules { max_tasks, max_depth, join: Join::Any };
        let provider = Arc::new(Scripted::answering(greedy));
        let report = run(&provider, Settings { spawn, ..Settings::default() }).await;
        let spawned = report.tasks.iter().filter(|task| task.spawned_by.is_some()).count();
        assert!(spawned <= most, "{max_tasks} at depth {max_depth}: {spawned}");
        assert_eq!(report.outcome, RunOutcome::Failed, "such an answer is no work");
        assert!(report.calls < 40, "{} calls", report.calls);
    }
}

/// Cut off after each of its entries, the run comes to the same end.
#[tokio::test(start_paused = true)]
async fn a_crash_at_any_moment_changes_nothing() {
    let journal = Arc::new(MemoryJournal::default());
    let kept = || Arc::<MemoryJournal>::clone(&journal) as Arc<dyn Journal>;
    let team =
        |provider| builder(&provider, Settings::default()).journal(kept()).build().expect("the team makes sense");
    let whole = team(model("quorum(2)", &[])).run_with("build it", "whole".into(), &Control::default()).await;
    assert_eq!(whole.outcome, RunOutcome::Succeeded);
    let entries = kept().load(&"whole".into()).await.expect("it is remembered");
    assert!(entries.iter().any(|entry| entry.kind == "joined"), "{entries:?}");
    for at in 1..entries.len() as u64 {
        let into = format!("cut-{at}").into();
        bellwether_team::fork(&*kept(), &"whole".into(), at, &into).await.expect("it can be cut");
        let provider = model("quorum(2)", &[]);
        let report = team(provider).resume(into, ChangedTerms::Refuse, &Control::default()).await.expect("it goes on");
        assert_eq!((report.outcome, report.tasks.len()), (RunOutcome::Succeeded, 5), "cut after {at}");
        assert_eq!(states(&report)[..3], states(&whole)[..3], "cut after {at}");
    }
    let told = |task: &'static str| {
        let entries: Vec<Entry> = entries.clone();
        Explanation::of(entries, task).expect("it is understood").expect("there is such a task").to_string()
    };
    let parent = told("t1");
    assert!(parent.contains("asked for 3 further tasks and needs quorum(2): t1.1, t1.2, t1.3"), "{parent}");
    assert!(parent.contains("called off: t1.2"), "{parent}");
    assert!(parent.contains("It waited 0.0s for an agent."), "who needs nothing waits for no task: {parent}");
    assert!(told("t2").contains("s for t1, then 0.0s for an agent."), "{}", told("t2"));
    assert!(told("t1.2").contains("work was called off") || told("t1.2").contains("working was called off"));
}

/// Whoever agrees to a plan knows what it may come to if its tasks ask for more.
#[test]
fn an_estimate_says_how_many_tasks_may_be_added_and_what_they_take() {
    let plan = Plan::read(PLAN, "build it", &PlanRules::new(["coder"])).expect("it is a plan");
    let estimate = |may_spawn, max_tasks| {
        let tier = Tier::new(model("all", &[]), "model");
        let spawn = SpawnRules { max_tasks, ..SpawnRules::default() };
        let team = Team::builder("team")
            .role(Role { may_spawn, ..Role::worker("coder", "You code.", tier) })
            .settings(Settings { spawn, ..Settings::default() })
            .build()
            .expect("the team makes sense");
        team.estimate(&plan, "build it")
    };
    assert_eq!((estimate(false, 12).spawning, estimate(true, 0).spawning), (None, None));
    let plain = estimate(true, 12);
    let most = plain.spawning.expect("its tasks may ask");
    // Two tasks, twelve further ones, and the answer that asks for them.
    assert_eq!((plain.calls.p90, most.tasks, most.calls, most.cost), (2, 12, 15, None));
    assert!(most.tokens > plain.tokens.p90 && most.time > plain.time.p90, "{most:?}");
}

/// Stopped at each half of a second, in either way, and resumed: the join is decided once, and nothing is paid for twice that
/// was not cut off.
#[tokio::test(start_paused = true)]
async fn a_stop_at_any_moment_changes_nothing() {
    for join in ["any", "all", "quorum(2)"] {
        for (half, halts) in (0..24).flat_map(|half| [(half, false), (half, true)]) {
            let what = format!("{join}, {half} halves, {halts}");
            let (provider, journal) = (model(join, &[]), Arc::new(MemoryJournal::default()) as Arc<dyn Journal>);
            let team =
                builder(&provider, Settings::default()).journal(Arc::clone(&journal)).build().expect("it makes sense");
            let control = Control::default();
            let stop = async {
                tokio::time::sleep(Duration::from_millis(500 * half)).await;
                if halts { control.halt() } else { control.drain() }
            };
            let (stopped, ()) = tokio::join!(team.run_with("build it", "r1".into(), &control), stop);
            let cut = if halts { 3 } else { 1 };
            let resumed =
                team.resume("r1".into(), ChangedTerms::Refuse, &Control::default()).await.expect("it goes on");
            assert_eq!(resumed.outcome, RunOutcome::Succeeded, "{what}: {} {}", stopped.reason, resumed.reason);
            let keys: Vec<_> = provider.calls().into_iter().filter_map(|call| call.context.idempotency_key).collect();
            let all: std::collections::BTreeSet<_> = keys.iter().collect();
            assert!(keys.len() - all.len() <= cut, "{what}: {keys:?}");
            let entries = journal.load(&"r1".into()).await.expect("it is remembered");
            let joined = entries.iter().filter(|entry| entry.kind == "joined").count();
            assert_eq!(joined, 1, "{what}");
        }
    }
}
