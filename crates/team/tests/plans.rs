//! What is understood as a plan, and what is not.

use bellwether_team::plan::{Plan, PlanRules};
use proptest::prelude::*;

fn rules() -> PlanRules {
    PlanRules { roles: vec!["coder".into(), "tester".into()], max_tasks: 24 }
}

fn titles(answer: &str) -> Vec<String> {
    let plan = Plan::read(answer, &rules()).expect("this is a plan");
    plan.tasks.iter().map(|task| task.title.to_string()).collect()
}

fn problems(answer: &str) -> String {
    Plan::read(answer, &rules()).expect_err("this is no plan").join("\n")
}

/// The seed took every line that did not begin with `#` for a subtask: nine of them from this plan of two.
#[test]
fn headings_prose_fences_and_nested_points_are_no_subtasks() {
    let answer = "# Plan\n\nHier ist der Plan:\n\n1. **Client schreiben**: mit Timeouts\n   - Session öffnen\n   \
                  - Session schließen\n```python\n# a comment\nclient = Client()\n```\n2. Retry-Logik ergänzen.\n\n\
                  Viel Erfolg!\n";
    let plan = Plan::read(answer, &rules()).unwrap();
    assert_eq!(titles(answer), ["Client schreiben", "Retry-Logik ergänzen"]);
    assert!(plan.tasks[0].objective.contains("# a comment"), "{}", plan.tasks[0].objective);
    assert!(plan.tasks[0].objective.contains("Session schließen"));
    assert!(!plan.tasks[1].objective.contains("Viel Erfolg"));
}

#[test]
fn bullets_are_subtasks_if_nothing_is_numbered() {
    assert_eq!(titles("Let us\n- read\n* write\n+ test"), ["read", "write", "test"]);
    assert_eq!(titles("- not this\n1) read\n2) write\n- nor this"), ["read", "write"]);
}

#[test]
fn json_is_found_in_fences_and_its_ids_become_ours() {
    let answer = "Gladly!\n```json\n{\"summary\": \"s\", \"tasks\": [\n{\"id\": 7, \"title\": \"A\", \"complexity\": 9},\n\
                  {\"id\": \"b\", \"title\": \"B\", \"role\": \"Tester\", \"depends_on\": [7, \"b\"],\
                  \"acceptance\": [\"it runs\", {\"text\": \"it stops\"}]}]}\n```\nDone.";
    let plan = Plan::read(answer, &rules()).unwrap();
    assert_eq!(plan.tasks[0].id.as_str(), "t1");
    assert_eq!((&*plan.tasks[0].role, plan.tasks[0].complexity), ("coder", 5));
    assert_eq!(plan.tasks[1].depends_on, ["t1".into()], "and it does not wait for itself");
    assert_eq!(&*plan.tasks[1].role, "tester");
    assert_eq!(plan.tasks[1].acceptance, ["it runs", "it stops"]);
}

#[test]
fn what_is_wrong_with_a_plan_is_said_in_full() {
    assert!(problems("I cannot do that.").contains("neither a JSON object"));
    assert!(problems(r#"{"tasks": []}"#).contains("no tasks"));
    assert!(problems(r#"{"tasks": [{"id": "a", "title": "x", "role": "boss"}]}"#).contains("boss"));
    assert!(problems(r#"{"tasks": [{"id": "a", "title": "x", "depends_on": ["z"]}]}"#).contains("\"z\""));
    let cycle = r#"{"tasks": [{"id": "a", "title": "x", "depends_on": ["b"]}, {"id": "b", "title": "y", "depends_on": ["a"]}]}"#;
    assert!(problems(cycle).contains("cycle"));
    let many: String = (1..=25).map(|n| format!("{n}. step\n")).collect();
    assert!(problems(&many).contains("25 tasks"));
    let both = problems(r#"{"tasks": [{"id": "a", "role": "boss"}, {"id": "a", "title": "y"}]}"#);
    assert!(both.contains("twice") && both.contains("boss") && both.contains("neither title nor objective"), "{both}");
}

#[test]
fn the_fallback_keeps_the_whole_request() {
    let request = "Build it.\nAll of it.";
    let plan = Plan::single(request, &rules(), true);
    assert_eq!((plan.tasks.len(), plan.degraded), (1, true));
    assert_eq!(plan.tasks[0].objective, request);
}

proptest! {
    /// Whatever a model says, reading it neither panics nor yields a plan that breaks the rules.
    #[test]
    fn no_answer_yields_a_plan_that_breaks_the_rules(answer in "(?s)([ -~äß\\n]|\\n[0-9]\\. |\\n- |```|\\{\"tasks\":\\[|\"title\":\"x\"|\\}|\\]){0,60}") {
        if let Ok(plan) = Plan::read(&answer, &rules()) {
            prop_assert!((1..=24).contains(&plan.tasks.len()));
            for task in &plan.tasks {
                prop_assert!(!task.title.is_empty() && !task.objective.is_empty());
                prop_assert!(rules().roles.contains(&task.role));
            }
        }
    }

    /// Every numbered line is a subtask, in order.
    #[test]
    fn a_numbered_list_is_kept_to_the_line(words in prop::collection::vec("[a-z]{1,10}", 1..24)) {
        let answer: String = words.iter().enumerate().map(|(n, word)| format!("{}. {word}\n", n + 1)).collect();
        prop_assert_eq!(titles(&answer), words);
    }
}
