//! Work that was never good enough waits for a person, and everything that does not need it goes on.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::test_util::MemoryJournal;
use bellwether_core::{
    CallContext, ChatProvider, ChatRequest, ChatResponse, Journal, ProviderError, RunOutcome, TaskState,
};
use bellwether_provider::Scripted;
use bellwether_team::{
    ChangedTerms, Control, OnExhausted, ResumeError, ReviewRules, Role, RunReport, Settings, TaskRuling, Team, Tier,
};

/// `t3` needs `t1`, and `t2` nobody.
const PLAN: &str = r#"{"tasks": [{"id": "a", "title": "A", "complexity": 3}, {"id": "b", "title": "B"},
    {"id": "c", "title": "C", "depends_on": ["a"]}]}"#;

/// A judge who is content with `t1` only if somebody told its author about the port.
fn answer(request: &ChatRequest, context: &CallContext) -> Result<ChatResponse, ProviderError> {
    let task = context.task.as_ref().map_or("", |task| task.as_str());
    let told = format!("{:?}", request.messages);
    Ok(ChatResponse::text(match (context.phase, task) {
        ("plan", _) => PLAN,
        ("review", "t1") if !told.contains("listens on 7411") => {
            r#"{"decision": "revise", "score": 0.5, "issues": ["it listens nowhere"]}"#
        }
        ("review", _) => r#"{"decision": "accept", "score": 0.9}"#,
        ("work", "t1") if told.contains("that counts first:\\nuse port 7411") => "it listens on 7411",
        _ => "work",
    }))
}

fn model() -> Arc<Scripted> {
    Arc::new(Scripted::answering(answer))
}

fn team(provider: &Arc<Scripted>, journal: &Arc<dyn Journal>) -> Team {
    let tier = Tier::new(Arc::<Scripted>::clone(provider) as Arc<dyn ChatProvider>, "model");
    let review = ReviewRules { max_rounds: 0, on_exhausted: OnExhausted::Human, ..ReviewRules::default() };
    Team::builder("team")
        .role(Role::planner("lead", "You plan.", tier.clone()))
        .role(Role::worker("coder", "You code.", tier.clone()))
        .role(Role::reviewer("critic", "You review.", tier))
        .settings(Settings { review, ..Settings::default() })
        .journal(Arc::clone(journal))
        .build()
        .expect("the team makes sense")
}

fn states(report: &RunReport) -> Vec<TaskState> {
    report.tasks.iter().map(|task| task.state).collect()
}

use TaskState::{Accepted, Blocked, Failed, Pending, Skipped};

#[tokio::test(start_paused = true)]
async fn the_run_waits_for_as_long_as_it_takes_and_goes_on_as_the_person_says() {
    let again = TaskRuling::Again { note: "use port 7411".to_owned() };
    let fail = TaskRuling::Fail { reason: "wrong track".to_owned() };
    for (ruling, after, outcome) in [
        (TaskRuling::Accept, [Accepted; 3], RunOutcome::Succeeded),
        (again, [Accepted; 3], RunOutcome::Succeeded),
        (fail, [Failed, Accepted, Skipped], RunOutcome::Partial),
    ] {
        let (provider, journal) = (model(), Arc::new(MemoryJournal::default()) as Arc<dyn Journal>);
        let team = team(&provider, &journal);
        let control = Control::default();
        let resume = || team.resume("r".into(), ChangedTerms::Refuse, &control);
        let parked = team.run_with("build it", "r".into(), &Control::default()).await;
        assert_eq!((parked.outcome, states(&parked)), (RunOutcome::Parked, vec![Blocked, Accepted, Pending]));
        assert!(parked.reason.contains("a person has to say what becomes of it: t1"), "{}", parked.reason);
        assert_eq!(parked.tasks[0].open_issues.len(), 1, "the person sees what is open");

        let calls = provider.calls().len();
        let later = resume().await.expect("it can be resumed");
        assert_eq!((later.outcome, provider.calls().len()), (RunOutcome::Parked, calls), "nothing is asked meanwhile");

        team.rule("r".into(), "t1".into(), ruling.clone()).await.expect("it waits for that");
        let twice = team.rule("r".into(), "t1".into(), TaskRuling::Accept).await;
        assert!(matches!(twice, Err(ResumeError::NotBlocked { .. })), "{twice:?}");
        let report = resume().await.expect("it can be resumed");
        assert_eq!((report.outcome, states(&report)), (outcome, after.to_vec()), "{ruling:?}");
        let recalled = team.recall("r".into()).await.expect("it is remembered");
        assert_eq!(states(&recalled), after, "a fold of the journal says the same");
    }
}

/// Others worked for longer than `task_deadline` while a task waited for a person: sent back, it had no time left.
#[tokio::test(start_paused = true)]
async fn what_a_person_sends_back_has_all_of_its_time_again() {
    let slow = Arc::new(Scripted::answering(answer).with_delay(Duration::from_secs(1)));
    let journal = Arc::new(MemoryJournal::default()) as Arc<dyn Journal>;
    let tier = Tier::new(slow as Arc<dyn ChatProvider>, "model");
    let review = ReviewRules { max_rounds: 0, on_exhausted: OnExhausted::Human, ..ReviewRules::default() };
    let task_deadline = Some(Duration::from_millis(2_500));
    let team = Team::builder("team")
        .role(Role::planner("lead", "You plan.", tier.clone()))
        .role(Role::worker("coder", "You code.", tier.clone()))
        .role(Role::reviewer("critic", "You review.", tier))
        .settings(Settings { review, task_deadline, max_parallel: NonZeroUsize::MIN, ..Settings::default() })
        .journal(journal)
        .build()
        .expect("the team makes sense");
    let parked = team.run_with("build it", "r".into(), &Control::default()).await;
    assert_eq!((parked.outcome, states(&parked)), (RunOutcome::Parked, vec![Blocked, Accepted, Pending]));
    let again = TaskRuling::Again { note: "use port 7411".to_owned() };
    team.rule("r".into(), "t1".into(), again).await.expect("it waits for that");
    let report = team.resume("r".into(), ChangedTerms::Refuse, &Control::default()).await.expect("it goes on");
    assert_eq!(
        (report.outcome, states(&report)),
        (RunOutcome::Succeeded, vec![Accepted; 3]),
        "{:?}",
        report.tasks[0].error
    );
}
