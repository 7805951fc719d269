//! When tasks begin, what becomes of the rest when one comes to nothing, and what is made of the parts.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bellwether_core::test_util::MemoryJournal;
use bellwether_core::{
    CallContext, ChatProvider, ChatRequest, ChatResponse, ChatStream, ErrorKind, Journal, Price, ProviderError,
    RunOutcome, TaskState, Usd,
};
use bellwether_provider::Scripted;
use bellwether_team::plan::{Plan, PlanRules};
use bellwether_team::review::Check;
use bellwether_team::{
    ChangedTerms, Control, OnTaskFailure, ResumeError, Role, Ruling, RunReport, Settings, Share, Team, Tier,
};

const ACCEPT: &str = r#"{"decision": "accept", "score": 0.9}"#;

/// A chain of two, one that would like the second, and two that need nobody.
const PLAN: &str = r#"{"combine": "in the order of the plan", "tasks": [
    {"id": "a", "title": "A"}, {"id": "b", "title": "B", "depends_on": ["a"]}, {"id": "c", "title": "C", "optional": ["a"]},
    {"id": "d", "title": "D"}, {"id": "e", "title": "E"}]}"#;

/// A model that fails the work of some tasks; each call takes a second.
fn model(failing: &'static [&'static str]) -> Arc<Scripted> {
    let answer = move |_: &ChatRequest, context: &CallContext| {
        let task = context.task.as_ref().map_or("", |task| task.as_str());
        match context.phase {
            "plan" => Ok(ChatResponse::text(PLAN)),
            "review" => Ok(ChatResponse::text(ACCEPT)),
            "combine" => Ok(ChatResponse::text("the whole")),
            _ if failing.contains(&task) => Err(ProviderError::new(ErrorKind::Upstream, "the provider fell over")),
            _ => Ok(ChatResponse::text(format!("work of {task}"))),
        }
    };
    Arc::new(Scripted::answering(answer).with_delay(Duration::from_secs(1)))
}

fn team(provider: &Arc<Scripted>, settings: Settings, journal: Option<Arc<dyn Journal>>) -> Team {
    let tier = Tier::new(Arc::<Scripted>::clone(provider) as Arc<dyn ChatProvider>, "model");
    let builder = Team::builder("team")
        .role(Role::planner("lead", "You plan.", tier.clone()))
        .role(Role::worker("coder", "You code.", tier.clone()))
        .role(Role::reviewer("critic", "You review.", tier.clone()))
        .role(Role::synthesizer("editor", "You join.", tier))
        .settings(settings);
    match journal {
        Some(journal) => builder.journal(journal),
        None => builder,
    }
    .build()
    .expect("the team makes sense")
}

fn dollar(n: u64) -> Usd {
    Usd::from_nanos(n * 1_000_000_000)
}

fn states(report: &RunReport) -> Vec<TaskState> {
    report.tasks.iter().map(|task| task.state).collect()
}

fn said(provider: &Scripted, phase: &str, task: &str) -> String {
    let calls = provider.calls();
    let call = calls.iter().find(|call| {
        call.context.phase == phase && call.context.task.as_ref().map_or("", |task| task.as_str()) == task
    });
    let call = call.expect("there was such a call");
    call.request.messages.iter().map(|message| format!("{:?}", message.content)).collect()
}

#[tokio::test(start_paused = true)]
async fn parts_become_one_whole_and_nobody_waits_for_what_it_does_not_need() {
    let provider = model(&[]);
    let report = team(&provider, Settings::default(), None).run("build it").await;
    assert_eq!((report.outcome, report.result.as_deref()), (RunOutcome::Succeeded, Some("the whole")));
    // Plan; a, d and e; their reviews; b and c; their reviews; the whole.
    assert_eq!(report.wall, Duration::from_secs(6));
    let whole = said(&provider, "combine", "");
    for part in ["in the order of the plan", "t3 (C): accepted", "work of t5"] {
        assert!(whole.contains(part), "{part}: {whole}");
    }
}

/// The same plan in strict phases takes no longer row by row, but reviews wait for the row's slowest worker.
#[tokio::test(start_paused = true)]
async fn strict_phases_do_all_work_before_any_review() {
    let provider = model(&[]);
    let settings =
        Settings { pipelined: false, max_parallel: NonZeroUsize::MIN.saturating_add(1), ..Settings::default() };
    let report = team(&provider, settings, None).run("build it").await;
    assert_eq!(report.outcome, RunOutcome::Succeeded);
    let phases: Vec<&str> = provider.calls().iter().map(|call| call.context.phase).collect();
    let want = [&["plan"][..], &["work"; 3], &["review"; 3], &["work"; 2], &["review"; 2], &["combine"]].concat();
    assert_eq!(phases, want);
}

#[tokio::test(start_paused = true)]
async fn what_only_would_have_liked_a_failed_task_goes_on_and_is_told_what_is_missing() {
    let provider = model(&["t1"]);
    let report = team(&provider, Settings::default(), None).run("build it").await;
    use TaskState::{Accepted, Failed, Skipped};
    assert_eq!(states(&report), [Failed, Skipped, Accepted, Accepted, Accepted]);
    assert_eq!((report.outcome, report.result.as_deref()), (RunOutcome::Partial, Some("the whole")));
    let told = said(&provider, "work", "t3");
    assert!(told.contains("Missing input: the work of t1 (A): the provider fell over"), "{told}");
    let whole = said(&provider, "combine", "");
    assert!(whole.contains("t1 (A): failed: the provider fell over"), "{whole}");
    assert!(whole.contains("t2 (B): skipped: it needs t1, which came to nothing"), "{whole}");
}

#[tokio::test(start_paused = true)]
async fn a_team_says_how_much_may_fail() {
    let with = |on_task_failure, max_parallel| Settings {
        on_task_failure,
        max_parallel: NonZeroUsize::new(max_parallel).expect("not zero"),
        ..Settings::default()
    };
    let quorum = |share| OnTaskFailure::Quorum(Share::new(share).expect("a share"));
    let provider = model(&["t1"]);
    let fast = team(&provider, with(OnTaskFailure::FailFast, 1), None).run("build it").await;
    assert_eq!((fast.outcome, fast.count(TaskState::Cancelled)), (RunOutcome::Failed, 3), "{}", fast.reason);
    assert_eq!(provider.calls().len(), 2, "nothing was begun after the failure");
    assert!(fast.reason.contains("2 tasks came to nothing, and 0 may"), "{}", fast.reason);

    let enough = team(&model(&["t1"]), with(quorum(0.6), 8), None).run("build it").await;
    assert_eq!((enough.outcome, enough.count(TaskState::Accepted)), (RunOutcome::SucceededWithDefects, 3));
    let lacking = team(&model(&["t1"]), with(quorum(0.8), 1), None).run("build it").await;
    assert_eq!(lacking.outcome, RunOutcome::Failed);
    assert!(Share::new(1.1).is_none() && Share::new(f64::NAN).is_none());
}

/// The run is parked, across the end of its process, until somebody decides.
#[tokio::test(start_paused = true)]
async fn a_plan_waits_for_approval_for_as_long_as_it_takes() {
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::default());
    let provider = model(&[]);
    let settings = Settings { approve_plan: true, ..Settings::default() };
    let team = |settings| team(&provider, settings, Some(Arc::clone(&journal)));
    let resume = |run: &'static str, settings| async move {
        team(settings).resume(run.into(), ChangedTerms::Refuse, &Control::default()).await.expect("it can be resumed")
    };
    for run in ["r1", "r2"] {
        let parked = team(settings).run_with("build it", run.into(), &Control::default()).await;
        assert_eq!((parked.outcome, parked.calls, parked.tasks.len()), (RunOutcome::Parked, 1, 5));
        assert_eq!(parked.plan.map(|plan| plan.tasks.len()), Some(5));
    }
    // A team that asks nobody cannot slip past: that the plan waits is remembered with it.
    assert_eq!(resume("r1", Settings::default()).await.outcome, RunOutcome::Parked);
    assert_eq!(provider.calls().len(), 2);

    team(settings).approve("r1".into(), Ruling::Approve).await.unwrap();
    let again = team(settings).approve("r1".into(), Ruling::Deny("too late".to_owned())).await;
    assert!(matches!(again, Err(ResumeError::NotParked)));
    assert_eq!(resume("r1", settings).await.outcome, RunOutcome::Succeeded);

    team(settings).approve("r2".into(), Ruling::Deny("too dear".to_owned())).await.unwrap();
    let denied = resume("r2", settings).await;
    assert_eq!((denied.outcome, denied.calls), (RunOutcome::Cancelled, 1));
    assert!(denied.reason.contains("too dear"));
    assert!(matches!(team(settings).approve("r3".into(), Ruling::Approve).await, Err(ResumeError::Unknown)));
}

/// A provider that says nothing to whoever works on the first task.
#[derive(Debug)]
struct Silent(Scripted);

#[async_trait]
impl ChatProvider for Silent {
    fn name(&self) -> &str {
        self.0.name()
    }

    async fn stream(&self, request: ChatRequest, context: CallContext) -> Result<ChatStream, ProviderError> {
        if context.phase == "work" && context.task.as_ref().is_some_and(|task| task.as_str() == "t1") {
            std::future::pending::<()>().await;
        }
        self.0.stream(request, context).await
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        self.0.models().await
    }
}

/// One task falls silent: its own deadline ends it, the rest goes on, and that nothing came in is said once.
#[tokio::test(start_paused = true)]
async fn a_task_has_a_deadline_of_its_own_and_a_stall_is_noted_and_stops_nothing() {
    let provider: Arc<dyn ChatProvider> = Arc::new(Silent(Scripted::answering(|_, context| {
        Ok(ChatResponse::text(match context.phase {
            "plan" => "1. one\n2. two",
            "review" => ACCEPT,
            _ => "work",
        }))
    })));
    let (task_deadline, stall_after) = (Some(Duration::from_secs(60)), Duration::from_secs(45));
    let tier = Tier::new(provider, "model");
    let builder = Team::builder("team").role(Role::planner("lead", "You plan.", tier.clone()));
    let builder = builder.role(Role::worker("coder", "You code.", tier.clone())).role(Role::reviewer(
        "critic",
        "You review.",
        tier,
    ));
    let team = builder.settings(Settings { task_deadline, stall_after, ..Settings::default() }).build().unwrap();
    let report = team.run("build it").await;
    assert_eq!(states(&report), [TaskState::Failed, TaskState::Accepted]);
    assert_eq!((report.wall, report.stalls), (Duration::from_secs(60), 1));
    let error = report.tasks[0].error.as_ref().expect("it failed");
    assert_eq!(error.provider, Some(ErrorKind::DeadlineExceeded));
    assert!(error.message.starts_with("the time of the task is over (task_deadline): "), "{}", error.message);
}

#[test]
fn an_estimate_says_what_half_and_what_most_runs_stay_below() {
    let price = Price { input_per_mtok: dollar(1), cached_per_mtok: dollar(1), output_per_mtok: dollar(10) };
    let team = |price: Option<Price>, parallel: usize| {
        let tier = Tier::new(model(&[]), "model").priced(price);
        let max_parallel = NonZeroUsize::new(parallel).expect("not zero");
        Team::builder("team")
            .role(Role::worker("coder", "You code.", tier.clone()))
            .role(Role::reviewer("critic", "You review.", tier))
            .settings(Settings { max_parallel, ..Settings::default() })
            .build()
            .expect("the team makes sense")
    };
    let plan = Plan::read(PLAN, "build it", &PlanRules::new(["coder"])).unwrap();
    let (wide, narrow) =
        (team(Some(price), 8).estimate(&plan, "build it"), team(Some(price), 1).estimate(&plan, "build it"));
    assert_eq!(wide, team(Some(price), 8).estimate(&plan, "build it"), "the same plan has the same estimate");
    assert!(wide.calls.p50 >= 10 && wide.calls.p90 <= 20, "five tasks and five reviews, some twice: {wide:?}");
    assert!(wide.tokens.p50 < wide.tokens.p90 && wide.time.p50 < wide.time.p90);
    assert!(wide.cost.unwrap().p50 > Usd::from_nanos(50_000_000) && wide.cost.unwrap().p90 < dollar(1), "{wide:?}");
    assert!(narrow.time.p50 > wide.time.p90 && narrow.cost.unwrap().p50 < wide.cost.unwrap().p90, "{narrow:?}");
    assert_eq!(team(None, 8).estimate(&plan, "build it").cost, None, "an unknown price is not zero");
}

/// The plan takes a second, the chain of two tasks and their reviews four, and the whole one more; what others do fits in beside.
#[tokio::test(start_paused = true)]
async fn a_run_says_what_the_least_time_was() {
    let second = Duration::from_secs(1);
    let wide = team(&model(&[]), Settings::default(), None).run("build it").await;
    assert_eq!((wide.wall, wide.least), (second * 6, second * 6), "as quick as can be");
    let places = NonZeroUsize::MIN.saturating_add(1);
    let narrow =
        team(&model(&[]), Settings { max_parallel: places, ..Settings::default() }, None).run("build it").await;
    assert_eq!(narrow.least, second * 7, "five tasks and their reviews, two at once");
    assert!(narrow.wall >= narrow.least && narrow.wall < second * 10, "{:?}", narrow.wall);
}

/// Tasks for a role with one agent had all places of the run, in which all but one of them waited for it; the others, for whom
/// there were agents, waited as well.
#[tokio::test(start_paused = true)]
async fn a_role_with_one_agent_keeps_no_place_from_others() {
    let tasks =
        |role: &str| (0..4).map(|n| format!(r#"{{"title": "{role} {n}", "role": "{role}"}}"#)).collect::<Vec<_>>();
    let plan = format!(r#"{{"tasks": [{}]}}"#, [tasks("narrow"), tasks("wide")].concat().join(", "));
    let provider = Arc::new(
        Scripted::answering(move |_, context| {
            Ok(ChatResponse::text(match context.phase {
                "plan" => plan.clone(),
                "review" => r#"{"decision": "accept", "score": 0.9}"#.to_owned(),
                _ => "work".to_owned(),
            }))
        })
        .with_delay(Duration::from_secs(1)),
    );
    let tier = Tier::new(Arc::<Scripted>::clone(&provider) as Arc<dyn ChatProvider>, "model");
    let narrow = Role { instances: NonZeroUsize::MIN, ..Role::worker("narrow", "You code.", tier.clone()) };
    let team = Team::builder("team")
        .role(Role::planner("lead", "You plan.", tier.clone()))
        .role(narrow)
        .role(Role::worker("wide", "You code.", tier.clone()))
        .role(Role::reviewer("critic", "You review.", tier))
        .settings(Settings {
            right_size: false,
            max_parallel: NonZeroUsize::MIN.saturating_add(3),
            ..Settings::default()
        })
        .build()
        .expect("the team makes sense");
    let report = team.run("build it").await;
    assert_eq!(report.outcome, RunOutcome::Succeeded);
    let calls = provider.calls();
    let first: Vec<&str> = calls[1..5].iter().map(|call| &*call.context.flow.role).collect();
    assert_eq!(first, ["narrow", "wide", "wide", "wide"], "each place has an agent at work in it");
    let second = calls.iter().filter(|call| call.context.agent > 1 && &*call.context.flow.role == "narrow").count();
    assert_eq!(second, 0, "it has one agent");
}

/// A check that never comes to an end.
#[derive(Debug)]
struct Endless;

#[async_trait]
impl Check for Endless {
    fn id(&self) -> &str {
        "endless"
    }

    async fn look(&self, _: &str) -> Result<(), String> {
        std::future::pending().await
    }
}

/// The time of a task ended its calls and not its checks: one that hung kept its run for ever.
#[tokio::test(start_paused = true)]
async fn the_time_of_a_task_is_also_that_of_its_checks() {
    let tier = Tier::new(model(&[]) as Arc<dyn ChatProvider>, "model");
    let team = Team::builder("team")
        .role(Role::worker("coder", "You code.", tier.clone()))
        .role(Role::reviewer("critic", "You review.", tier))
        .check(Arc::new(Endless))
        .settings(Settings { task_deadline: Some(Duration::from_secs(60)), ..Settings::default() })
        .build()
        .expect("the team makes sense");
    let report = team.run("build it").await;
    assert_eq!((report.wall, report.tasks[0].state), (Duration::from_secs(60), TaskState::Unreviewed));
    let error = report.tasks[0].error.as_ref().expect("there is a reason");
    assert!(error.message.contains("task_deadline") && error.kind == "deadline_exceeded", "{error:?}");
    assert!(report.tasks[0].result.is_some(), "the work is kept");
}
