//! What does not fit into a conversation is summed up, cut, or taken to a larger model; nothing is lost in silence.

use std::sync::Arc;
use std::time::Duration;

use bellwether_core::{
    CallContext, ChatProvider, ChatRequest, ChatResponse, ErrorKind, FinishReason, Message, ProviderError, RunOutcome,
    TaskId,
};
use bellwether_provider::Scripted;
use bellwether_team::{Role, RoleKind, RunReport, Settings, Team, Tier};

type Answer = Result<ChatResponse, ProviderError>;

const CHAIN: &str = r#"{"tasks": [{"id": "a", "title": "A"}, {"id": "b", "title": "B", "depends_on": ["a"]},
    {"id": "c", "title": "C", "depends_on": ["a"]}]}"#;

fn say(text: impl Into<String>) -> Answer {
    Ok(ChatResponse::text(text))
}

fn all_words(request: &ChatRequest) -> String {
    format!("{:?}", request.messages)
}

/// A planner and a worker with a window of 2,000 tokens.
async fn run(
    answer: impl Fn(&ChatRequest, &CallContext) -> Answer + Send + Sync + 'static,
) -> (RunReport, Vec<String>) {
    let provider = Arc::new(Scripted::answering(answer).with_delay(Duration::from_secs(1)));
    let tier = |model: &str, context| Tier {
        context: Some(context),
        ..Tier::new(Arc::<Scripted>::clone(&provider) as Arc<dyn ChatProvider>, model)
    };
    let ladder = vec![tier("small", 2_000), tier("large", 200_000)];
    let team = Team::builder("team")
        .role(Role::planner("lead", "You plan.", tier("small", 20_000)))
        .role(Role::new(RoleKind::Worker, "coder", "You code.", ladder))
        .settings(Settings::default())
        .build()
        .expect("the team makes sense");
    let report = team.run("build it").await;
    let mut asked = Vec::new();
    for call in provider.calls() {
        let task = call.context.task.as_ref().map_or("", |task| task.as_str());
        asked.push(format!("{} {task} {}", call.context.phase, call.request.model));
    }
    (report, asked)
}

#[tokio::test(start_paused = true)]
async fn work_that_is_too_long_is_summed_up_once_for_all_who_need_it() {
    let (report, asked) =
        run(|request, context| match (context.phase, context.task.as_ref().map(|task| task.as_str())) {
            ("plan", _) => say(CHAIN),
            ("digest", Some("t1")) => say("in short: forty-two"),
            ("work", Some("t1")) => say("long ".repeat(10_000)),
            _ => {
                let words = all_words(request);
                assert!(words.contains("its author's summary") && words.contains("in short: forty-two"), "{words}");
                assert!(!words.contains("long long"), "the whole does not fit");
                say("work")
            }
        })
        .await;
    assert_eq!(report.outcome, RunOutcome::Succeeded);
    assert_eq!(asked.iter().filter(|asked| asked.starts_with("digest")).count(), 1, "{asked:?}");
    assert_eq!(report.calls, 5);
    assert_eq!(report.tasks[0].result.as_ref().map(String::len), Some(50_000), "the report has the whole");
}

#[tokio::test(start_paused = true)]
async fn without_a_summary_there_is_an_excerpt_that_says_so() {
    let (report, _) = run(|request, context| match (context.phase, context.task.as_ref().map(|task| task.as_str())) {
        ("plan", _) => say(CHAIN),
        ("digest", _) => Err(ProviderError::new(ErrorKind::Upstream, "down")),
        ("work", Some("t1")) => say(format!("begin {} end", "x".repeat(50_000))),
        _ => {
            let words = all_words(request);
            assert!(words.contains("an excerpt") && words.contains("characters left out"), "{words}");
            assert!(words.contains("begin") && words.contains(" end"), "{words}");
            say("work")
        }
    })
    .await;
    assert_eq!(report.outcome, RunOutcome::Succeeded);
    assert!(report.tasks[0].success, "that nobody could sum it up takes nothing from the work");
}

#[tokio::test(start_paused = true)]
async fn a_conversation_that_a_model_does_not_take_is_cut_and_then_taken_to_a_larger_one() {
    let too_long = || Err(ProviderError::new(ErrorKind::ContextLength, "maximum context length is 100 tokens"));
    let (report, asked) = run(move |request, context| match (context.phase, &*request.model) {
        ("plan", _) => say("1. only one"),
        ("work", "small") => too_long(),
        _ => say("work"),
    })
    .await;
    assert_eq!(report.outcome, RunOutcome::Succeeded);
    let work: Vec<&str> = asked.iter().map(String::as_str).filter(|asked| asked.starts_with("work")).collect();
    assert_eq!(work, ["work t1 small", "work t1 small", "work t1 small", "work t1 large"]);

    let (report, asked) =
        run(move |_, context| if context.phase == "plan" { say("1. only one") } else { too_long() }).await;
    assert_eq!(report.outcome, RunOutcome::Failed);
    assert_eq!(asked.len(), 1 + 4, "it ends when there is nothing left to try");
    assert_eq!(report.tasks[0].error.as_ref().map(|error| &*error.kind), Some("context_length"));
}

/// A model with room for 4,000 tokens that may say as many showed its worker everything it had said too much of: the next
/// conversation was too long, and the whole began anew, time after time.
#[tokio::test(start_paused = true)]
async fn an_answer_that_was_cut_off_does_not_fill_the_next_conversation() {
    let (report, asked) = run(|request, context| {
        let words = all_words(request);
        match context.phase {
            "plan" => say("1. all of it"),
            _ if words.len() > 8_000 => Err(ProviderError::new(ErrorKind::ContextLength, "too long")),
            _ if words.contains("cut off") => say("in short"),
            _ => Ok(ChatResponse { finish: FinishReason::Length, ..ChatResponse::text("and so on ".repeat(1_500)) }),
        }
    })
    .await;
    assert_eq!(
        (report.outcome, &asked[1..]),
        (RunOutcome::Succeeded, &["work t1 small", "work t1 small"].map(str::to_owned)[..])
    );
}

/// A local model takes far less than its file says. What was too long was cut to halves of what the file says, and so not
/// cut at all: the same went out again, and the task failed.
#[tokio::test(start_paused = true)]
async fn what_was_too_long_becomes_shorter_whatever_window_we_were_told() {
    let provider = Arc::new(Scripted::answering(|request, context| {
        let length: usize = request.messages.iter().map(Message::chars).sum();
        match (context.phase, context.task.as_ref().map(|task| task.as_str())) {
            ("plan", _) => say(CHAIN),
            (_, Some("t1" | "t2")) if length > 8_000 => Err(ProviderError::new(ErrorKind::ContextLength, "too long")),
            ("review", _) => say(r#"{"decision": "accept", "score": 0.9}"#),
            ("work", Some("t1")) => say("x".repeat(10_000)),
            _ => say("work"),
        }
    }));
    let told = Tier { context: Some(200_000), ..Tier::new(Arc::<Scripted>::clone(&provider) as _, "model") };
    let team = Team::builder("team")
        .role(Role::planner("lead", "You plan.", told.clone()))
        .role(Role::worker("coder", "You code.", told.clone()))
        .role(Role::reviewer("critic", "You review.", told))
        .build()
        .expect("the team makes sense");
    let report = team.run("build it").await;
    assert_eq!(report.outcome, RunOutcome::Succeeded, "{}", report.reason);
    let asked = |phase: &str, id: &str| {
        let of = |task: Option<&TaskId>| task.is_some_and(|task| task.as_str() == id);
        let calls = provider.calls();
        calls.iter().filter(|call| call.context.phase == phase && of(call.context.task.as_ref())).count()
    };
    assert_eq!((asked("review", "t1"), asked("work", "t2")), (2, 2), "too long once, then half as long");
}

/// A judge whose window is known was sent all of a long work first, and the call was lost.
#[tokio::test(start_paused = true)]
async fn a_judge_is_sent_no_more_than_its_window_is_known_to_hold() {
    let long = |chars: usize| "x".repeat(chars);
    for (context, chars, whole) in [(2_000, 10_000, false), (2_000, 5_000, true), (200_000, 200_000, true)] {
        let provider = Arc::new(Scripted::answering(move |request, asked| {
            let length: usize = request.messages.iter().map(Message::chars).sum();
            match asked.phase {
                "review" if length > (context - 200) * 4 => {
                    Err(ProviderError::new(ErrorKind::ContextLength, "too long"))
                }
                "review" => say(r#"{"decision": "accept", "score": 0.9}"#),
                _ => say(long(chars)),
            }
        }));
        let tier = Tier::new(Arc::<Scripted>::clone(&provider) as _, "model");
        let mut critic = Role::reviewer("critic", "You review.", Tier { context: Some(context), ..tier.clone() });
        critic.max_output_tokens = Some(200);
        let team = Team::builder("team").role(Role::worker("coder", "You code.", tier)).role(critic);
        let report = team.build().expect("the team makes sense").run("build it").await;
        let asked: Vec<usize> =
            provider.calls().iter().map(|call| all_words(&call.request).matches('x').count()).collect();
        assert_eq!((report.outcome, asked.len()), (RunOutcome::Succeeded, 2), "{chars}: no call is lost");
        assert_eq!(asked[1] >= chars, whole, "{chars}");
        assert!(whole || asked[1] > 5_000, "it sees what fits: {}", asked[1]);
    }
}
