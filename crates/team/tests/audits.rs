//! A second judge looks at a share of what was accepted: beside everything else, within the budget, and once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bellwether_core::test_util::{MemoryJournal, Recorder};
use bellwether_core::{
    CallContext, ChatProvider, ChatRequest, ChatResponse, ErrorKind, Fact, Journal, ProviderError, RunOutcome,
};
use bellwether_provider::Scripted;
use bellwether_router::{Audit, FirstTier, Lesson, Route, Router, TaskProfile};
use bellwether_team::explain::Explanation;
use bellwether_team::{ChangedTerms, Control, Role, RoleKind, Team, Tier};

const PLAN: &str =
    r#"{"tasks": [{"id": "a", "title": "A", "complexity": 3}, {"id": "b", "title": "B", "depends_on": ["a"]}]}"#;

/// Draws every task for an audit, and remembers what they came to.
#[derive(Debug, Default)]
struct Auditor(Mutex<Vec<(String, String, bool)>>);

impl Router for Auditor {
    fn route(&self, profile: &TaskProfile) -> Route {
        Route { audit: true, ..FirstTier.route(profile) }
    }

    fn learn(&self, _: &Lesson) {}

    fn audited(&self, audit: &Audit) {
        let heard = (audit.task.to_string(), audit.judge.to_string(), audit.agreed);
        self.0.lock().expect("no test panics while it holds this").push(heard);
    }
}

/// A model whose best judge has its own view; each call takes a second.
fn model(second: fn() -> Result<ChatResponse, ProviderError>) -> Arc<Scripted> {
    let answer = move |_: &ChatRequest, context: &CallContext| match context.phase {
        "plan" => Ok(ChatResponse::text(PLAN)),
        "review" => Ok(ChatResponse::text(r#"{"decision": "accept", "score": 0.9}"#)),
        "audit" => second(),
        _ => Ok(ChatResponse::text("work")),
    };
    Arc::new(Scripted::answering(answer).with_delay(Duration::from_secs(1)))
}

fn team(provider: &Arc<Scripted>, auditor: &Arc<Auditor>, journal: &Arc<dyn Journal>, heard: &Arc<Recorder>) -> Team {
    let tier = |model: &str| Tier::new(Arc::<Scripted>::clone(provider) as Arc<dyn ChatProvider>, model);
    Team::builder("team")
        .role(Role::planner("lead", "You plan.", tier("planning")))
        .role(Role::worker("coder", "You code.", tier("author")))
        .role(Role::new(RoleKind::Reviewer, "critic", "You review.", vec![tier("small"), tier("best")]))
        .router(Arc::<Auditor>::clone(auditor) as Arc<dyn Router>)
        .observer(Arc::<Recorder>::clone(heard))
        .journal(Arc::clone(journal))
        .build()
        .expect("the team makes sense")
}

#[tokio::test(start_paused = true)]
async fn a_judge_who_errs_is_found_out_and_nobody_waits_for_that() {
    for (agreed, second) in [
        (true, (|| Ok(ChatResponse::text(r#"{"decision": "accept", "score": 0.9}"#))) as fn() -> _),
        (false, || Ok(ChatResponse::text(r#"{"decision": "reject", "score": 0.2}"#))),
    ] {
        let (provider, auditor, heard) = (model(second), Arc::<Auditor>::default(), Arc::<Recorder>::default());
        let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::default());
        let team = team(&provider, &auditor, &journal, &heard);
        let report = team.run_with("build it", "r".into(), &Control::default()).await;
        assert_eq!(report.outcome, RunOutcome::Succeeded, "an audit changes nothing about the task");
        // Plan, work, review, work, review; the first audit beside the second work, the second one at the end.
        assert_eq!(report.wall, Duration::from_secs(6));
        let judged = |task: &str| (task.to_owned(), "small".to_owned(), agreed);
        assert_eq!(*auditor.0.lock().expect("nobody panicked"), [judged("t1"), judged("t2")]);
        let calls = provider.calls();
        let audits: Vec<_> = calls.iter().filter(|call| call.context.phase == "audit").collect();
        assert!(audits.len() == 2 && audits.iter().all(|call| &*call.request.model == "best"));
        assert_eq!(heard.count(|fact| matches!(fact, Fact::TaskAudited { agreed: said, .. } if *said == agreed)), 2);
        let entries = journal.load(&"r".into()).await.expect("it is remembered");
        let told = Explanation::of(entries, "t1").expect("it is understood").expect("there is such a task").to_string();
        assert!(told.contains("audited: a second judge says"), "{told}");

        // Another process makes none of them again, and tells a router that may not have heard.
        let again = team.resume("r".into(), ChangedTerms::Refuse, &Control::default()).await.expect("it is known");
        assert_eq!((again.outcome, provider.calls().len()), (RunOutcome::Succeeded, calls.len()));
    }
}

/// An audit that the budget does not cover, or whose judge falls over, costs the run nothing else.
#[tokio::test(start_paused = true)]
async fn an_audit_that_fails_is_left_out() {
    for second in [
        (|| Err(ProviderError::new(ErrorKind::BudgetExceeded, "the budget does not cover the call"))) as fn() -> _,
        || Err(ProviderError::new(ErrorKind::Upstream, "down")),
        || Ok(ChatResponse::text("no verdict at all")),
    ] {
        let (provider, auditor, heard) = (model(second), Arc::<Auditor>::default(), Arc::<Recorder>::default());
        let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::default());
        let report = team(&provider, &auditor, &journal, &heard).run("build it").await;
        assert_eq!((report.outcome, report.economies.len()), (RunOutcome::Succeeded, 0), "{}", report.reason);
        assert!(auditor.0.lock().expect("nobody panicked").is_empty(), "no verdict is no word against anybody");
    }
}
