//! Questions between agents: who may be asked, what becomes of the answer, and letters that reach nobody.

use std::sync::Arc;
use std::time::Duration;

use bellwether_core::test_util::{MemoryJournal, Recorder};
use bellwether_core::{
    CallContext, ChatProvider, ChatRequest, ChatResponse, ErrorKind, Fact, Journal, ProviderError, RunOutcome,
};
use bellwether_provider::Scripted;
use bellwether_team::explain::Explanation;
use bellwether_team::{ChangedTerms, Control, DeadLetter, Role, RunReport, Settings, Team, TeamBuilder, Tier};

/// `t2` needs `t1`, and `t3` nobody.
const PLAN: &str = r#"{"tasks": [{"id": "a", "title": "A", "complexity": 3}, {"id": "b", "title": "B", "depends_on": ["a"]},
    {"id": "c", "title": "C"}]}"#;

/// A model whose worker on `t1` asks somebody before its first work.
fn model(to: &'static str, answer: fn() -> Result<ChatResponse, ProviderError>) -> Arc<Scripted> {
    let answering = move |request: &ChatRequest, context: &CallContext| {
        let task = context.task.as_ref().map_or("", |task| task.as_str());
        let told = format!("{:?}", request.messages);
        match (context.phase, task) {
            ("plan", _) => Ok(ChatResponse::text(PLAN)),
            ("answer", _) => answer(),
            ("review", _) => Ok(ChatResponse::text(r#"{"decision": "accept", "score": 0.9}"#)),
            ("work", "t1") if !told.contains("You asked") => {
                Ok(ChatResponse::text(format!(r#"{{"ask": {{"to": "{to}", "question": "which port?"}}}}"#)))
            }
            _ => Ok(ChatResponse::text(format!("work of {task}"))),
        }
    };
    Arc::new(Scripted::answering(answering).with_delay(Duration::from_secs(1)))
}

fn builder(provider: &Arc<Scripted>, settings: Settings) -> TeamBuilder {
    let tier = Tier::new(Arc::<Scripted>::clone(provider) as Arc<dyn ChatProvider>, "model");
    let mut coder = Role::worker("coder", "You code.", tier.clone());
    coder.may_ask = true;
    Team::builder("team")
        .role(Role::planner("lead", "You plan.", tier.clone()))
        .role(coder)
        .role(Role::reviewer("critic", "You review.", tier))
        .settings(settings)
}

async fn run(provider: &Arc<Scripted>, settings: Settings) -> RunReport {
    builder(provider, settings).build().expect("the team makes sense").run("build it").await
}

fn port() -> Result<ChatResponse, ProviderError> {
    Ok(ChatResponse::text("port 7411"))
}

/// What the calls of a phase for a task were told.
fn told(provider: &Scripted, phase: &str, task: &str) -> Vec<String> {
    let calls = provider.calls();
    let calls = calls.iter().filter(|call| {
        call.context.phase == phase && call.context.task.as_ref().is_some_and(|own| own.as_str() == task)
    });
    calls.map(|call| format!("{:?}", call.request.messages)).collect()
}

#[tokio::test(start_paused = true)]
async fn an_answer_comes_back_to_who_asked() {
    for (to, who) in [("t3", "You are the author of the task t3"), ("lead", "You plan.")] {
        let (provider, heard) = (model(to, port), Arc::new(Recorder::default()));
        let team = builder(&provider, Settings::default()).observer(Arc::<Recorder>::clone(&heard)).build();
        let report = team.expect("the team makes sense").run("build it").await;
        assert_eq!((report.outcome, report.dead_letters.len()), (RunOutcome::Succeeded, 0));
        let asked = told(&provider, "answer", "t1");
        assert!(asked.len() == 1 && asked[0].contains(who) && asked[0].contains("which port?"), "{asked:?}");
        let works = told(&provider, "work", "t1");
        assert_eq!(works.len(), 2);
        assert!(works[0].contains("You have 2 of these left") && works[0].contains("t3"), "{}", works[0]);
        assert!(!works[0].contains("\\\"t2\\\""), "t2 waits for it and is not offered: {}", works[0]);
        assert!(works[1].contains("port 7411") && works[1].contains("You have 1 of these left"), "{}", works[1]);
        assert_eq!(report.tasks[0].calls, 4, "who asks pays: two answers of its own, the other's, a review");
        for what in ["question", "answer"] {
            assert_eq!(heard.count(|fact| matches!(fact, Fact::MessageSent { what: said, .. } if *said == what)), 1);
        }
        let calls = provider.calls();
        let keys: std::collections::BTreeSet<_> = calls.iter().map(|call| &call.context.idempotency_key).collect();
        assert_eq!(keys.len(), calls.len(), "no two calls have one key");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_cannot_be_asked_leaves_a_dead_letter_and_a_task_that_goes_on() {
    for (to, why) in [
        ("t2", "t2 waits for t1"),
        ("t1", "nobody can ask itself"),
        ("boss", "there is no such task, and no such role"),
    ] {
        let (provider, heard) = (model(to, port), Arc::new(Recorder::default()));
        let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::default());
        let team = builder(&provider, Settings::default()).observer(Arc::<Recorder>::clone(&heard));
        let team = team.journal(Arc::clone(&journal)).build().expect("the team makes sense");
        let report = team.run_with("build it", "r".into(), &Control::default()).await;
        assert_eq!(report.outcome, RunOutcome::Succeeded);
        let (from, what, task) = ("t1".to_owned(), "question".to_owned(), Some("t1".into()));
        let letter = DeadLetter { from, to: to.to_owned(), what, task, reason: why.to_owned() };
        assert_eq!(report.dead_letters, [letter]);
        assert!(told(&provider, "work", "t1")[1].contains(why));
        assert!(told(&provider, "answer", "t1").is_empty());
        assert_eq!(heard.count(|fact| matches!(fact, Fact::MessageDied { what: "question", .. })), 1);
        let entries = journal.load(&"r".into()).await.expect("it is remembered");
        let explained = Explanation::of(entries, "t1").expect("it is understood").expect("there is such a task");
        assert!(
            explained.to_string().contains(&format!("a message (question) to {to} reached nobody: {why}")),
            "{explained}"
        );
        let recalled = team.recall("r".into()).await.expect("it is remembered");
        assert_eq!(recalled.dead_letters, report.dead_letters, "a fold of the journal says the same");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_asks_for_ever() {
    let endless = |_: &ChatRequest, context: &CallContext| {
        Ok(ChatResponse::text(match context.phase {
            "plan" => PLAN.to_owned(),
            _ => r#"{"ask": {"to": "critic", "question": "is this right?"}}"#.to_owned(),
        }))
    };
    for max_questions in [0, 1, 3] {
        let provider = Arc::new(Scripted::answering(endless));
        let report = run(&provider, Settings { max_questions, ..Settings::default() }).await;
        assert_eq!(report.outcome, RunOutcome::Failed, "a question is no work");
        let answers = provider.calls().iter().filter(|call| call.context.phase == "answer").count();
        assert_eq!(answers, 2 * max_questions as usize, "t2 never begins; an answer that asks is an answer");
    }
}

/// Somebody who falls over instead of answering costs the answer, not the task.
#[tokio::test(start_paused = true)]
async fn who_gets_no_answer_goes_on_without() {
    let provider = model("t3", || Err(ProviderError::new(ErrorKind::Upstream, "the provider fell over")));
    let report = run(&provider, Settings::default()).await;
    assert_eq!(report.outcome, RunOutcome::Succeeded);
    assert!(told(&provider, "work", "t1")[1].contains("It was not answered: the provider fell over"));
}

/// Cut off after each of its entries, the run comes to the same end, and nobody is asked twice what was answered.
#[tokio::test(start_paused = true)]
async fn a_crash_between_question_and_answer_changes_nothing() {
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::default());
    let provider = model("t3", port);
    let team = builder(&provider, Settings::default()).journal(Arc::clone(&journal)).build().expect("it makes sense");
    team.run_with("build it", "whole".into(), &Control::default()).await;
    let entries = journal.load(&"whole".into()).await.expect("it is remembered");
    let answered = 1 + entries.iter().position(|entry| entry.kind == "answered").expect("it was answered");
    for at in 1..entries.len() {
        let into = format!("cut-{at}").into();
        bellwether_team::fork(&*journal, &"whole".into(), at as u64, &into).await.expect("it can be cut");
        let before = told(&provider, "answer", "t1").len();
        let report = team.resume(into, ChangedTerms::Refuse, &Control::default()).await.expect("it goes on");
        assert_eq!(report.outcome, RunOutcome::Succeeded, "cut after {at}");
        let asked = told(&provider, "answer", "t1").len() - before;
        assert_eq!(asked, usize::from(at < answered), "cut after {at}");
    }
}
