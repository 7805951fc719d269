//! Which tier a task starts on, who decides it, and what is learnt of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bellwether_core::test_util::{MemoryJournal, Recorder};
use bellwether_core::{
    CallContext, ChatProvider, ChatResponse, ErrorKind, Fact, Journal, Observer, ProviderError, RunId, RunOutcome,
};
use bellwether_provider::Scripted;
use bellwether_router::{Audit, Ending, FirstTier, Lesson, Route, Router, TaskProfile};
use bellwether_team::{ChangedTerms, Control, Role, RoleKind, Settings, Team, Tier};

const ACCEPT: &str = r#"{"decision": "accept", "score": 0.9}"#;
const REVISE: &str = r#"{"decision": "revise", "score": 0.5, "issues": [{"severity": "major", "fix": "add a test"}]}"#;

type Answer = Result<ChatResponse, ProviderError>;

fn say(text: &str) -> Answer {
    Ok(ChatResponse::text(text))
}

/// Starts every task on its last tier, and remembers what it was asked and told.
#[derive(Debug, Default)]
struct LastTier {
    asked: Mutex<Vec<TaskProfile>>,
    heard: Mutex<Vec<Lesson>>,
}

impl LastTier {
    fn endings(&self) -> Vec<(String, u32, Ending, String)> {
        let heard = self.heard.lock().expect("no test panics while it holds this");
        let mut endings: Vec<_> = heard
            .iter()
            .map(|lesson| (lesson.task.to_string(), lesson.stint, lesson.ending, lesson.model.to_string()))
            .collect();
        endings.dedup();
        endings
    }

    fn asked(&self) -> usize {
        self.asked.lock().expect("no test panics while it holds this").len()
    }
}

impl Router for LastTier {
    fn route(&self, profile: &TaskProfile) -> Route {
        self.asked.lock().expect("no test panics while it holds this").push(profile.clone());
        let tier = profile.tiers.len() - 1;
        let name = Arc::clone(&profile.tiers[tier].name);
        Route { tier, name, why: "the last one".to_owned(), ..FirstTier.route(profile) }
    }

    fn learn(&self, lesson: &Lesson) {
        self.heard.lock().expect("no test panics while it holds this").push(lesson.clone());
    }

    fn audited(&self, _: &Audit) {}
}

struct Stage {
    provider: Arc<Scripted>,
    router: Arc<LastTier>,
    recorder: Arc<Recorder>,
    team: Team,
}

fn stage(journal: Option<Arc<dyn Journal>>, answer: impl Fn(&CallContext) -> Answer + Send + Sync + 'static) -> Stage {
    let provider = Arc::new(Scripted::answering(move |_, context| answer(context)).with_delay(Duration::from_secs(1)));
    let tier = |model: &str| Tier::new(Arc::<Scripted>::clone(&provider) as Arc<dyn ChatProvider>, model);
    let (router, recorder) = (Arc::new(LastTier::default()), Arc::new(Recorder::default()));
    let mut builder = Team::builder("team")
        .role(Role::planner("lead", "You plan.", tier("planning")))
        .role(Role::new(RoleKind::Worker, "coder", "You code.", vec![tier("small"), tier("large")]))
        .role(Role::reviewer("critic", "You review.", tier("judging")))
        .settings(Settings { max_attempts: 2, ..Settings::default() })
        .router(Arc::<LastTier>::clone(&router) as Arc<dyn Router>)
        .observer(Arc::<Recorder>::clone(&recorder) as Arc<dyn Observer>);
    if let Some(journal) = journal {
        builder = builder.journal(journal);
    }
    Stage { provider, router, recorder, team: builder.build().expect("the team makes sense") }
}

fn task(context: &CallContext) -> &str {
    context.task.as_ref().map_or("", |task| task.as_str())
}

#[tokio::test(start_paused = true)]
async fn a_task_starts_where_the_router_says_and_verdicts_teach_it() {
    let stage = stage(None, |context| match (context.phase, task(context), context.round) {
        ("plan", ..) => say("1. Write the parser code\n2. Prove it\n3. Translate it\n4. Break it\n5. Lose it"),
        ("work", "t4", _) => say(""),
        ("work", "t5", _) => Err(ProviderError::new(ErrorKind::Upstream, "the wire broke")),
        ("work", _, 0) => say("work"),
        ("work", ..) => say("better work"),
        (_, "t2", 0) | (_, "t3", _) => say(REVISE),
        _ => say(ACCEPT),
    });
    let report = stage.team.run("build it").await;
    assert!(report.tasks.iter().all(|task| &*task.model == "large"));
    let models: Vec<String> = stage.provider.calls().iter().map(|call| call.request.model.to_string()).collect();
    assert!(models.iter().all(|model| model != "small"), "{models:?}");
    let decided = stage.recorder.count(|fact| matches!(fact, Fact::RouteDecided { tier, .. } if &**tier == "large"));
    assert_eq!((stage.router.asked(), decided), (5, 5), "each task is routed once");
    let mut endings = stage.router.endings();
    endings.sort_by(|a, b| a.0.cmp(&b.0));
    let ending = |task: &str, ending| (task.to_owned(), 0, ending, "large".to_owned());
    assert_eq!(
        endings,
        [
            ending("t1", Ending::Accepted),
            ending("t2", Ending::Revised),
            ending("t3", Ending::Missed),
            ending("t4", Ending::Missed),
        ],
        "a broken wire says nothing about the model"
    );
    let asked = stage.router.asked.lock().unwrap();
    assert!(asked[0].features.code && asked[1].features.maths);
    assert_eq!(asked[0].means.tasks, 5);
}

/// Cut off after every entry, a resumed run asks the router only for tasks that were not routed yet, and every lesson
/// is told whether or not the process before had come to tell it.
#[tokio::test(start_paused = true)]
async fn a_resumed_run_keeps_its_routes_and_tells_its_lessons() {
    let answer = |context: &CallContext| match context.phase {
        "plan" => say("1. one\n2. two"),
        "review" => say(ACCEPT),
        _ => say("work"),
    };
    let journal = Arc::new(MemoryJournal::default());
    let whole = stage(Some(Arc::<MemoryJournal>::clone(&journal) as Arc<dyn Journal>), answer);
    let run = RunId::from("run");
    whole.team.run_with("build it", run.clone(), &Control::default()).await;
    let entries = journal.load(&run).await.unwrap();
    let mut all = whole.router.endings();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(all.len(), 2);
    for cut in 1..=entries.len() {
        let routed = entries[..cut].iter().filter(|entry| entry.kind == "routed").count();
        let memory = MemoryJournal::default();
        let lease = memory.lease(&run).await.unwrap();
        memory.append(&lease, entries[..cut].to_vec()).await.unwrap();
        memory.release(&lease).await.unwrap();
        let resumed = stage(Some(Arc::new(memory)), answer);
        let report = resumed.team.resume(run.clone(), ChangedTerms::Refuse, &Control::default()).await.unwrap();
        assert_eq!(report.outcome, RunOutcome::Succeeded);
        assert!(report.tasks.iter().all(|task| &*task.model == "large"), "cut after {cut}");
        assert_eq!(resumed.router.asked(), 2 - routed, "cut after {cut}");
        let mut endings = resumed.router.endings();
        endings.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(endings, all, "cut after {cut}");
    }
}
