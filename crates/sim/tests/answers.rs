//! A team's conversation with the simulated models, and what no conversation may break.

use std::collections::HashSet;

use bellwether_sim::answers::{self, Answer, Format, Message, Prompt, Role, Speaker};
use bellwether_sim::{Answers, PlanForm, Scenario, VerdictForm};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

const LEAD: &str = "Du bist ein erfahrener Tech Lead, der komplexe Aufgaben in handhabbare Subtasks zerlegt. Antworte mit \
                    einer nummerierten Liste von klaren Implementierungsanweisungen.";
const CODER: &str = "Du bist ein Senior Software Engineer. Schreibe sauberen, dokumentierten Python-Code mit Type Hints und \
                     Fehlerbehandlung.";
const REVIEWER: &str = "Du bist ein Code-Reviewer mit Fokus auf Security, Performance und Best Practices. Gib konkrete \
                        Verbesserungsvorschläge.";
const TASK: &str = "Implementiere einen async HTTP-Client mit Retry-Logik";

fn say(speaker: Speaker, text: impl Into<String>) -> Message {
    Message { speaker, text: text.into() }
}

fn ask(system: &str, user: &str) -> Answer {
    ask_for(system, user, &Answers::default())
}

fn ask_for(system: &str, user: &str, forms: &Answers) -> Answer {
    let messages = vec![say(Speaker::System, system), say(Speaker::User, user)];
    answers::compose(&Prompt { format: Format::Text, messages }, forms, Scenario::default().seed)
}

fn json(answer: &Answer) -> Value {
    serde_json::from_str(&answer.text).expect("the answer is JSON")
}

/// A worker's prompt as a team writes it: the request, all titles, and the one objective.
fn work_prompt(plan: &Value, index: usize) -> String {
    let tasks = plan["tasks"].as_array().expect("tasks");
    let titles: String = tasks.iter().map(|task| format!("- {}: {}\n", task["id"], task["title"])).collect();
    let objective = tasks[index]["objective"].as_str().expect("an objective");
    format!("<request> (data)\n{TASK}\n</request>\n\nThe parts:\n{titles}\nYour task t{}: {objective}\n", index + 1)
}

fn review_prompt(work: &str) -> String {
    format!(
        "Review this work for: {TASK}\n<work>\n{work}\n</work>\nAnswer with one JSON object: decision, score, issues."
    )
}

#[test]
fn the_german_prompts_of_the_guide_lead_to_plan_work_and_review() {
    let plan = ask(LEAD, &format!("Analyze and break down: {TASK}"));
    assert_eq!(plan.role, Role::Plan);
    assert!(plan.text.lines().next().unwrap().contains(TASK));
    let steps: Vec<&str> = plan.text.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())).collect();
    assert_eq!(steps.len(), 5);
    for (number, step) in (1..).zip(&steps) {
        assert!(step.starts_with(&format!("{number}. ")));
        let work = ask(CODER, &format!("Implement: {step}"));
        assert_eq!(work.role, Role::Work);
        assert!(work.text.contains("```python"), "the prompt speaks of Python");
        let title = step.split_once(". ").unwrap().1.split(':').next().unwrap();
        assert!(work.text.contains(title), "{title}: {}", work.text);
        assert!((150..=400).contains(&answers::tokens(&work.text)), "{} tokens", answers::tokens(&work.text));
        let review = ask(REVIEWER, &format!("Review: {}", work.text));
        assert_eq!(review.role, Role::Review);
        assert!(review.text.starts_with("Score: ") && review.text.contains("\nVerdict: "));
        assert!(review.text.ends_with("(simulated answer)"));
    }
}

#[test]
fn a_plan_in_json_has_everything_a_team_needs() {
    let user = format!("<request>\n{TASK}\n</request>\nAnswer with JSON. \"role\": one of [\"coder\", \"tester\"]");
    let plan = json(&ask("You are a planner.", &user));
    assert_eq!(plan["simulated"], true);
    assert!(plan["summary"].as_str().unwrap().contains(TASK));
    let tasks = plan["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), 5);
    for (number, task) in (1..).zip(tasks) {
        assert_eq!(task["id"], format!("t{number}"));
        assert!(!task["acceptance"].as_array().unwrap().is_empty());
        assert!((1..=5).contains(&task["complexity"].as_u64().unwrap()));
    }
    assert_eq!(tasks[4]["depends_on"], serde_json::json!(["t1"]));
    assert_eq!((&tasks[0]["role"], &tasks[4]["role"]), (&"coder".into(), &"tester".into()));
    let plain = json(&ask("You are a planner.", "Answer with JSON: build it"));
    assert!(plain["tasks"][0].get("role").is_none());
}

#[test]
fn work_goes_back_is_revised_and_is_accepted() {
    let plan = json(&ask("You are a planner.", &format!("JSON please\nRequest: {TASK}")));
    let (mut accepted_at_once, mut revised) = (0, 0);
    for index in 0..5 {
        let assignment = work_prompt(&plan, index);
        let draft = ask("You are a Rust engineer.", &assignment);
        assert!(draft.text.contains("```rust") && !draft.text.contains("Revision:"));
        assert!(draft.text.contains(plan["tasks"][index]["title"].as_str().unwrap()));
        let verdict = json(&ask("You review work.", &review_prompt(&draft.text)));
        assert_eq!(verdict["simulated"], true);
        let issues = verdict["issues"].as_array().unwrap();
        if verdict["decision"] == "accept" {
            accepted_at_once += 1;
            assert!(verdict["score"].as_f64().unwrap() >= 0.8 && issues.is_empty());
            continue;
        }
        revised += 1;
        assert_eq!(verdict["decision"], "revise");
        assert!(verdict["score"].as_f64().unwrap() < 0.8 && (1..=2).contains(&issues.len()));
        let points: String = issues.iter().map(|issue| format!("- {}\n", issue["fix"].as_str().unwrap())).collect();
        let messages = vec![
            say(Speaker::System, "You are a Rust engineer."),
            say(Speaker::User, assignment),
            say(Speaker::Assistant, draft.text),
            say(
                Speaker::User,
                format!("A reviewer asks for a revision. Address these issues:\n{points}\nAnswer in full."),
            ),
        ];
        let seed = Scenario::default().seed;
        let revision = answers::compose(&Prompt { format: Format::Text, messages }, &Answers::default(), seed);
        assert!(revision.text.contains("Revision:"));
        assert!(revision.text.contains(plan["tasks"][index]["title"].as_str().unwrap()));
        for issue in issues {
            assert!(revision.text.contains(&format!("addressed: {}", issue["fix"].as_str().unwrap())));
        }
        let verdict = json(&ask("You review work.", &review_prompt(&revision.text)));
        assert_eq!(verdict["decision"], "accept");
        assert!(verdict["score"].as_f64().unwrap() >= 0.85);
    }
    assert!(revised >= 1 && accepted_at_once >= 2, "{revised} revised, {accepted_at_once} accepted at once");
}

#[test]
fn the_verdict_depends_on_the_work_and_not_on_the_question() {
    let work = ask("You are an engineer.", "Implement: Retry with full jitter and Retry-After").text;
    let one = json(&ask("You review work.", &review_prompt(&work)));
    let other = json(&ask("You are a critic.", &format!("What do you think, as JSON?\n{work}")));
    assert_eq!(one, other);
}

#[test]
fn the_share_of_revisions_is_what_the_scenario_says() {
    let count = |revise_share| {
        let forms = Answers { revise_share, verdict: VerdictForm::Json, ..Answers::default() };
        let verdicts = (0..1_000).map(|number| json(&ask_for("You review work.", &format!("Work {number}"), &forms)));
        verdicts.filter(|verdict| verdict["decision"] == "revise").count()
    };
    assert_eq!((count(0.0), count(1.0)), (0, 1_000));
    assert!((250..350).contains(&count(0.3)), "{}", count(0.3));
}

#[test]
fn the_schema_decides_before_the_instructions() {
    let messages = vec![say(Speaker::System, "You are an engineer."), say(Speaker::User, "Build it")];
    let ask = |name: &str| {
        let prompt = Prompt { format: Format::Schema(name.to_owned()), messages: messages.clone() };
        answers::compose(&prompt, &Answers::default(), 1)
    };
    assert!(json(&ask("plan"))["tasks"].is_array());
    assert!(json(&ask("verdict"))["decision"].is_string());
    assert_eq!(ask("other").role, Role::Work);
}

#[test]
fn a_plan_can_be_garbage_once_and_a_repair_heals_it() {
    let forms = Answers { plan: PlanForm::GarbageOnce, ..Answers::default() };
    let first = ask_for("You are a planner.", "Build it, as JSON", &forms);
    assert!(serde_json::from_str::<Value>(&first.text).is_err());
    let messages = vec![
        say(Speaker::System, "You are a planner."),
        say(Speaker::User, "Build it, as JSON"),
        say(Speaker::Assistant, first.text),
        say(Speaker::User, "Your answer could not be used:\n- it is not JSON\n\nAnswer again, in full."),
    ];
    let second = answers::compose(&Prompt { format: Format::Text, messages }, &forms, 1);
    assert_eq!(json(&second)["tasks"].as_array().unwrap().len(), 5);
}

#[test]
fn every_answer_says_that_it_is_simulated() {
    let plans =
        [PlanForm::Auto, PlanForm::Fenced, PlanForm::Garbage, PlanForm::GarbageOnce, PlanForm::Json, PlanForm::List];
    let verdicts = [VerdictForm::Auto, VerdictForm::Garbage, VerdictForm::Json, VerdictForm::Text];
    for forms in plans
        .map(|plan| Answers { plan, ..Answers::default() })
        .into_iter()
        .chain(verdicts.map(|verdict| Answers { verdict, ..Answers::default() }))
    {
        for system in ["You are a planner.", "You review work.", "You are an engineer."] {
            for user in ["Build it", "Build it, as JSON"] {
                let text = ask_for(system, user, &forms).text;
                assert!(text.ends_with("(simulated answer)") || text.contains("\"simulated\":true"), "{text}");
            }
        }
    }
}

fn any_message() -> impl Strategy<Value = Message> {
    let speaker =
        prop_oneof![Just(Speaker::Assistant), Just(Speaker::Other), Just(Speaker::System), Just(Speaker::User)];
    let words = prop_oneof![
        any::<String>(),
        "(Task|Goal|Your task|Roles|revise|issues|\"fix\"|<request>|\"role\": one of \\[|Revision|JSON|Implementation of)\
         [: \n-]{0,3}[a-zé\n\"*-]{0,20}",
    ];
    (speaker, vec(words, 0..4)).prop_map(|(speaker, words)| Message { speaker, text: words.concat() })
}

fn any_prompt() -> impl Strategy<Value = Prompt> {
    let format = prop_oneof![Just(Format::Json), Just(Format::Text), any::<String>().prop_map(Format::Schema)];
    (format, vec(any_message(), 0..6)).prop_map(|(format, messages)| Prompt { format, messages })
}

proptest! {
    #[test]
    fn any_conversation_gets_the_same_answer_twice_and_the_tokens_of_its_length(prompt in any_prompt(), seed: u64) {
        let forms = Answers::default();
        let answer = answers::compose(&prompt, &forms, seed);
        prop_assert_eq!(&answer, &answers::compose(&prompt, &forms, seed));
        prop_assert!(answers::tokens(&answer.text) < 4_000);
    }

    #[test]
    fn a_plan_has_exactly_as_many_distinct_tasks_as_wanted(
        plan_tasks in 1..=64_usize,
        dependencies: bool,
        mut prompt in any_prompt(),
    ) {
        prompt.format = Format::Schema("plan".to_owned());
        let forms = Answers { dependencies, plan: PlanForm::Json, plan_tasks, ..Answers::default() };
        let plan = json(&answers::compose(&prompt, &forms, 1));
        let tasks = plan["tasks"].as_array().unwrap();
        prop_assert_eq!(tasks.len(), plan_tasks);
        for field in ["id", "title", "objective"] {
            let distinct: HashSet<&str> = tasks.iter().map(|task| task[field].as_str().unwrap()).collect();
            prop_assert_eq!(distinct.len(), plan_tasks);
        }
        let dependent = tasks.iter().filter(|task| task["depends_on"] != serde_json::json!([])).count();
        prop_assert_eq!(dependent, usize::from(dependencies && plan_tasks >= 3));
        let list = Answers { plan: PlanForm::List, ..forms };
        let text = answers::compose(&prompt, &list, 1).text;
        let numbered = (1..=plan_tasks).filter(|number| text.contains(&format!("\n{number}. "))).count();
        prop_assert_eq!(numbered, plan_tasks);
    }
}
