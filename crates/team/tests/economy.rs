//! Near its cap a run does with less, step by step, and keeps what it has.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bellwether_budget::{Budgeted, Caps, Ledger, Scope};
use bellwether_core::test_util::MemoryJournal;
use bellwether_core::{ChatProvider, ChatResponse, Journal, RunId, RunOutcome, TaskState, Usage};
use bellwether_provider::Scripted;
use bellwether_router::{Audit, FirstTier, Lesson, Route, Router, TaskProfile};
use bellwether_team::{ChangedTerms, Control, Economy, Role, RoleKind, RunReport, Settings, Team, TeamBuilder, Tier};

/// Begins every task on the last tier of its role.
#[derive(Debug)]
struct LastTier;

impl Router for LastTier {
    fn route(&self, profile: &TaskProfile) -> Route {
        let tier = profile.tiers.len() - 1;
        Route { tier, name: Arc::clone(&profile.tiers[tier].name), ..FirstTier.route(profile) }
    }

    fn learn(&self, _: &Lesson) {}

    fn audited(&self, _: &Audit) {}
}

/// Six tasks; each answer takes a tenth of what it may.
fn model() -> Arc<Scripted> {
    Arc::new(Scripted::answering(|request, context| {
        let text = match context.phase {
            "plan" => (1..=6).map(|n| format!("{n}. Part {n} of it\n")).collect(),
            "review" => r#"{"decision": "accept", "score": 0.9}"#.to_owned(),
            _ => "the work".to_owned(),
        };
        let output = u64::from(request.max_output_tokens.expect("calls are capped")) / 10;
        let usage = Usage { input_tokens: Some(100), output_tokens: Some(output), ..Usage::default() };
        Ok(ChatResponse { usage, ..ChatResponse::text(text) })
    }))
}

fn team(model: &Arc<Scripted>, caps: &[(Scope, Caps)], may_skip_review: bool) -> Team {
    builder(model, caps, may_skip_review).build().expect("the team makes sense")
}

fn builder(model: &Arc<Scripted>, caps: &[(Scope, Caps)], may_skip_review: bool) -> TeamBuilder {
    let provider: Arc<dyn ChatProvider> =
        Arc::new(Budgeted::new(Arc::<Scripted>::clone(model) as _, Ledger::new(caps.to_vec())));
    let tier = |name: &str| Tier::new(Arc::clone(&provider), name);
    let capped = |role: Role| Role { max_output_tokens: Some(4_000), ..role };
    Team::builder("team")
        .role(Role { max_output_tokens: Some(400), ..Role::planner("lead", "You plan.", tier("small")) })
        .role(capped(Role::new(RoleKind::Worker, "coder", "You code.", vec![tier("small"), tier("large")])))
        .role(capped(Role::reviewer("critic", "You review.", tier("small"))))
        .router(Arc::new(LastTier))
        .settings(Settings {
            right_size: false,
            max_parallel: NonZeroUsize::MIN,
            may_skip_review,
            ..Settings::default()
        })
}

fn tokens(cap: u64) -> Vec<(Scope, Caps)> {
    vec![(Scope::Everything, Caps { tokens: Some(cap), ..Caps::default() })]
}

/// Enough for some of the tasks.
const SHORT: u64 = 2_600;

fn all_kept(report: &RunReport) -> bool {
    let begun = |state| !matches!(state, TaskState::Cancelled | TaskState::Failed);
    report.tasks.iter().all(|task| task.state.is_final() && task.result.is_some() == begun(task.state))
}

#[tokio::test(start_paused = true)]
async fn a_run_steps_down_before_it_ends_and_keeps_what_it_has() {
    use Economy::{CheaperTier, NoReview, SmallerOutput};
    let mut seen = Vec::new();
    for cap in (2_000..24_000).step_by(250) {
        let model = model();
        let report = team(&model, &tokens(cap), true).run("build it").await;
        assert!(report.usage.tokens() <= cap, "{cap}: {:?}", report.usage);
        assert_eq!(report.calls as usize, model.calls().len(), "{cap}: what was refused was not sent");
        assert!(report.economies.is_sorted(), "{:?}", report.economies);
        assert!(all_kept(&report), "{cap}: {report:?}");
        let whole = report.tasks.len() == 6 && report.count(TaskState::Accepted) == 6;
        assert_eq!(report.outcome == RunOutcome::Succeeded, whole, "{cap}: {:?}", report.outcome);
        assert!(whole || matches!(report.outcome, RunOutcome::BudgetExhausted), "{cap}: {:?}", report.outcome);
        if !seen.contains(&(report.economies.clone(), whole)) {
            seen.push((report.economies, whole));
        }
    }
    // From the smallest budget to the largest, every way of ending is there.
    for wanted in
        [(vec![CheaperTier, SmallerOutput, NoReview], false), (vec![CheaperTier, SmallerOutput], true), (vec![], true)]
    {
        assert!(seen.contains(&wanted), "{wanted:?} in {seen:?}");
    }
}

/// What stepping down gave up is made up for by whoever resumes the run with more.
#[tokio::test(start_paused = true)]
async fn with_a_larger_budget_what_went_unreviewed_is_reviewed() {
    let (model, journal) = (model(), Arc::new(MemoryJournal::default()));
    let remembering = |cap| {
        let journal = Arc::<MemoryJournal>::clone(&journal) as Arc<dyn Journal>;
        builder(&model, &tokens(cap), true).journal(journal).build().expect("the team makes sense")
    };
    let run = RunId::from("r1");
    let short = remembering(SHORT).run_with("build it", run.clone(), &Control::default()).await;
    assert_eq!(short.outcome, RunOutcome::BudgetExhausted);
    assert!(short.count(TaskState::Unreviewed) > 0 && short.count(TaskState::Accepted) > 0, "{short:?}");
    let before = model.calls().len();
    let rest = remembering(100_000).resume(run, ChangedTerms::Refuse, &Control::default()).await.unwrap();
    assert_eq!((rest.outcome, rest.count(TaskState::Accepted)), (RunOutcome::Succeeded, 6));
    assert_eq!(rest.economies, short.economies, "the report still says what was done without");
    let accepted: Vec<_> = short.tasks.iter().filter(|task| task.success).map(|task| task.task_id.clone()).collect();
    let again = model.calls()[before..].iter().filter_map(|call| call.context.task.clone()).collect::<Vec<_>>();
    assert!(accepted.iter().all(|task| !again.contains(task)), "no accepted task is worked on again");
}

#[tokio::test(start_paused = true)]
async fn a_review_that_must_not_be_skipped_ends_the_run_instead() {
    let report = team(&model(), &tokens(SHORT), false).run("build it").await;
    assert_eq!(report.outcome, RunOutcome::BudgetExhausted);
    assert!(!report.economies.contains(&Economy::NoReview));
}

/// The budget of a task or of a role is the matter of that one: the others go on.
#[tokio::test(start_paused = true)]
async fn a_task_or_a_role_that_has_spent_its_share_does_not_stop_the_others() {
    let calls = |n| Caps { calls: Some(n), ..Caps::default() };
    for (scope, caps, kind, accepted) in [
        (Scope::EachTask, calls(1), "task_budget_exceeded", 0),
        (Scope::Role("coder".into()), calls(2), "role_budget_exceeded", 2),
    ] {
        let report = team(&model(), &[(scope, caps)], true).run("build it").await;
        assert_eq!(report.outcome, RunOutcome::BudgetExhausted, "{kind}");
        assert_eq!(report.count(TaskState::Accepted), accepted, "{kind}");
        assert_eq!(report.economies, [], "{kind}");
        let kinds = report.tasks.iter().filter_map(|task| task.error.as_ref()).map(|error| error.kind.as_str());
        assert!(kinds.clone().count() > 0 && kinds.clone().all(|each| each == kind), "{report:?}");
    }
}

/// Three parts that nobody reviews, one after the other, and somebody who makes one whole of them; the first part is long.
fn joining(model: &Arc<Scripted>, caps: &[(Scope, Caps)], journal: &Arc<MemoryJournal>) -> Team {
    let provider: Arc<dyn ChatProvider> =
        Arc::new(Budgeted::new(Arc::<Scripted>::clone(model) as _, Ledger::new(caps.to_vec())));
    let tier = Tier::new(provider, "model");
    Team::builder("team")
        .role(Role::planner("lead", "You plan.", tier.clone()))
        .role(Role { may_ask: true, ..Role::worker("coder", "You code.", tier.clone()) })
        .role(Role { history_tokens: 2_000, ..Role::synthesizer("editor", "You join.", tier) })
        .settings(Settings { right_size: false, max_parallel: NonZeroUsize::MIN, ..Settings::default() })
        .journal(Arc::<MemoryJournal>::clone(journal) as Arc<dyn Journal>)
        .build()
        .expect("the team makes sense")
}

fn parts() -> Arc<Scripted> {
    Arc::new(Scripted::answering(|request, context| {
        let words = format!("{:?}", request.messages);
        Ok(ChatResponse::text(match (context.phase, context.task.as_ref().map(|task| task.as_str())) {
            ("plan", _) => "1. The first part\n2. The second part\n3. The third part".to_owned(),
            ("combine", _) => {
                format!("of {} parts", (1..=3).filter(|n| words.contains(&format!("work of t{n}"))).count())
            }
            ("digest", _) => "work of t1 in short".to_owned(),
            (_, Some("t1")) => format!("work of t1 {}", "and so on ".repeat(2_000)),
            (_, task) => format!("work of {}", task.unwrap_or_default()),
        }))
    }))
}

/// So many calls, of which one is held back for the whole.
fn held_back(calls: u64) -> Vec<(Scope, Caps)> {
    let all = Caps { calls: Some(calls), ..Caps::default() };
    vec![(Scope::Everything, all), (Scope::AllBut("combine".into()), all.holding_back(0.08))]
}

/// What was paid for is of little use in pieces: near the cap there is something left to make one whole of it. A resume
/// with more makes it anew, of more parts.
#[tokio::test(start_paused = true)]
async fn what_a_budget_allowed_for_is_still_made_one_whole() {
    let (model, journal, run) = (parts(), Arc::new(MemoryJournal::default()), RunId::from("r1"));
    let short = joining(&model, &held_back(4), &journal).run_with("build it", run.clone(), &Control::default()).await;
    assert_eq!((short.outcome, short.count(TaskState::Accepted)), (RunOutcome::BudgetExhausted, 2), "{}", short.reason);
    assert_eq!((short.result.as_deref(), short.calls, model.calls().len()), (Some("of 2 parts"), 4, 4));
    let rest = joining(&model, &held_back(20), &journal).resume(run, ChangedTerms::Refuse, &Control::default()).await;
    let rest = rest.expect("it is known");
    assert_eq!((rest.outcome, rest.result.as_deref()), (RunOutcome::Succeeded, Some("of 3 parts")));

    // Whoever holds nothing back is left with the pieces.
    let all = [(Scope::Everything, Caps { calls: Some(4), ..Caps::default() })];
    let pieces = joining(&parts(), &all, &Arc::default()).run("build it").await;
    assert_eq!((pieces.outcome, pieces.count(TaskState::Accepted)), (RunOutcome::BudgetExhausted, 3));
    assert_eq!(pieces.result, None);
}

/// The synthesizer is asked something by a task. What is held back for the whole is not there for its answer, neither at
/// once nor after a resume, in which what it answered with before counts as everybody's.
#[tokio::test(start_paused = true)]
async fn a_synthesizer_does_not_answer_questions_with_what_is_held_back_for_the_whole() {
    let model = Arc::new(Scripted::answering(|request, context| {
        let told = format!("{:?}", request.messages);
        Ok(ChatResponse::text(match (context.phase, context.task.as_ref().map(|task| task.as_str())) {
            ("plan", _) => "1. The first part\n2. The second part".to_owned(),
            ("combine", _) => "the whole".to_owned(),
            ("work", Some("t2")) if !told.contains("You asked") => {
                r#"{"ask": {"to": "editor", "question": "how long?"}}"#.to_owned()
            }
            (phase, _) => format!("{phase} done"),
        }))
    }));
    let (journal, run) = (Arc::new(MemoryJournal::default()), RunId::from("r1"));
    // A plan, a piece of work, a question: the fourth call is held back, and would have been the answer.
    let team = joining(&model, &held_back(4), &journal);
    let report = team.run_with("build it", run.clone(), &Control::default()).await;
    let phases: Vec<&str> = model.calls().iter().map(|call| call.context.phase).collect();
    assert_eq!(phases, ["plan", "work", "work", "combine"], "{}", report.reason);
    assert_eq!(report.result.as_deref(), Some("the whole"));

    let (journal, model) = (Arc::new(MemoryJournal::default()), Arc::clone(&model));
    let team = joining(&model, &held_back(20), &journal);
    team.run_with("build it", run.clone(), &Control::default()).await;
    let booked = team.accounts(&run).await.expect("it is known");
    let whole = booked.iter().filter(|booked| booked.context.phase == "combine");
    assert_eq!(whole.map(|booked| booked.spent.calls).sum::<u32>(), 1, "the answer is not the whole: {booked:?}");
}

/// A digest and the whole have ended like other calls: a resume does not book their worst case as well.
#[tokio::test(start_paused = true)]
async fn what_a_digest_and_the_whole_took_is_no_matter_of_doubt() {
    let (model, journal, run) = (parts(), Arc::new(MemoryJournal::default()), RunId::from("r1"));
    let team = joining(&model, &[], &journal);
    let report = team.run_with("build it", run.clone(), &Control::default()).await;
    let phases: Vec<&str> = model.calls().iter().map(|call| call.context.phase).collect();
    assert_eq!(phases, ["plan", "work", "work", "work", "digest", "combine"]);
    let booked = team.accounts(&run).await.expect("it is known");
    assert!(booked.iter().all(|booked| booked.in_doubt.is_none()), "{booked:?}");
    assert_eq!(booked.iter().map(|booked| booked.spent.calls).sum::<u32>(), report.calls);
}
