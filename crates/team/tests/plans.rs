//! What is understood as a plan, and what is not.

use bellwether_team::plan::{Plan, PlanRules};
use proptest::prelude::*;

fn rules() -> PlanRules {
    PlanRules::new(["coder", "tester"])
}

fn titles(answer: &str) -> Vec<String> {
    let plan = Plan::read(answer, "build it", &rules()).expect("this is a plan");
    plan.tasks.iter().map(|task| task.title.to_string()).collect()
}

fn problems(answer: &str) -> String {
    Plan::read(answer, "build it", &rules()).expect_err("this is no plan").join("\n")
}

/// The seed took every line that did not begin with `#` for a subtask: nine of them from this plan of two.
#[test]
fn headings_prose_fences_and_nested_points_are_no_subtasks() {
    let answer = "# Plan\n\nHier ist der Plan:\n\n1. **Client schreiben**: mit Timeouts\n   - Session öffnen\n   \
                  - Session schließen\n```python\n# a comment\nclient = Client()\n```\n2. Retry-Logik ergänzen.\n\n\
                  Viel Erfolg!\n";
    let plan = Plan::read(answer, "build it", &rules()).unwrap();
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
    let plan = Plan::read(answer, "build it", &rules()).unwrap();
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
        if let Ok(plan) = Plan::read(&answer, "build it", &rules()) {
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

#[test]
fn a_plan_in_full_is_kept_in_full() {
    let answer = r#"{"plan": {"summary": "s", "assumptions": ["Rust"], "combine": "in order", "tasks": [
        {"id": "a", "title": "A", "objective": "Write the client", "deliverable": "src/client.rs", "acceptance": ["it runs"],
         "boundaries": ["no tests"], "role": "coder", "complexity": "2", "est_output_tokens": 900, "tags": ["http"]},
        {"id": "b", "title": "B", "depends_on": ["a", {"task": "c", "need": "optional"}]},
        {"id": "c", "title": "C", "depends_on": [{"task": "a"}]}]}}"#;
    let plan = Plan::read(answer, "build it", &rules()).unwrap();
    assert_eq!(
        (plan.summary.as_str(), plan.combine.as_str(), &plan.assumptions[..]),
        ("s", "in order", &["Rust".to_owned()][..])
    );
    let [a, b, c] = &plan.tasks[..] else { panic!("three tasks") };
    assert_eq!((a.deliverable.as_str(), a.complexity, a.est_output_tokens), ("src/client.rs", 2, Some(900)));
    assert_eq!((&a.boundaries[..], &a.tags[..]), (&["no tests".to_owned()][..], &["http".to_owned()][..]));
    assert_eq!(
        (&b.depends_on[..], &b.wants[..], &c.depends_on[..]),
        (&["t1".into()][..], &["t3".into()][..], &["t1".into()][..])
    );
    assert!(plan.tasks.iter().all(|task| !task.acceptance.is_empty()), "each is judged by something");
    assert!(plan.mended.is_empty(), "{:?}", plan.mended);
}

/// It was of no use, and the planner was asked again for the sake of a pair of braces.
#[test]
fn a_list_of_tasks_with_nothing_around_it_is_a_plan() {
    let tasks =
        r#"[{"id": "a", "title": "Read", "complexity": 3}, {"id": "b", "title": "Write", "depends_on": ["a"]}]"#;
    for answer in [tasks.to_owned(), format!("Here you are [as JSON]:\n```json\n{tasks}\n```\n")] {
        let plan = Plan::read(&answer, "build it", &rules()).unwrap();
        assert_eq!(
            (titles(&answer), &plan.tasks[1].depends_on[..]),
            (vec!["Read".to_owned(), "Write".to_owned()], &["t1".into()][..])
        );
        assert_eq!(plan.mended[0], "the tasks stood in a list by themselves");
    }
    for other in [r#"[{"price": 3}, {"price": 4}]"#, r#"["Read", "Write"]"#, r#"[{"title": "Read"}, 3]"#] {
        assert!(problems(other).contains("neither a JSON object"), "{other}");
    }
}

#[test]
fn what_can_be_mended_is_mended_and_noted() {
    let answer = "{\"tasks\": [ // two of them\n {\"id\": \"a\", \"title\": \"A\", \"role\": \"coders\", \"deliverable\": \"src/a.rs\",},\n\
                  {\"id\": \"b\", \"title\": \"B\", \"role\": \"rust coder\", \"deliverable\": \"`src/a.rs`, README.md\", \"depends_on\": [\"b\"]},],}";
    let plan = Plan::read(answer, "build it", &rules()).unwrap();
    assert!(plan.tasks.iter().all(|task| &*task.role == "coder"));
    assert_eq!(plan.tasks[1].depends_on, ["t1".into()], "both write one file, so one follows the other");
    assert!(plan.tasks[0].acceptance[0].contains("src/a.rs"));
    let noted = plan.mended.join("\n");
    for part in ["commas", "\"coders\"", "\"rust coder\"", "waits for itself", "\"src/a.rs\""] {
        assert!(noted.contains(part), "{part}: {noted}");
    }
}

#[test]
fn two_tasks_with_one_objective_are_one_too_many() {
    let objective = |last: &str| format!("Write a client that retries with jitter and gives up after a while, {last}");
    let plan = |a: &str, b: &str| serde_json::json!({ "tasks": [{ "id": "x", "objective": objective(a) }, { "id": "y", "objective": objective(b) }] });
    let same = problems(&plan("Please!", "please").to_string());
    assert!(same.contains("tasks \"x\" and \"y\" have almost the same objective"), "{same}");
    assert_eq!(titles(&plan("in Rust with tokio", "in Python with asyncio").to_string()).len(), 2);
}

#[test]
fn simple_tasks_are_done_by_one_worker() {
    let simple = |complexity: u8| {
        let task = |id: &str| serde_json::json!({ "id": id, "title": format!("Part {id}"), "complexity": complexity, "acceptance": ["ok"] });
        serde_json::json!({ "tasks": [task("a"), task("b")] }).to_string()
    };
    let plan = Plan::read(&simple(1), "rename a variable", &rules()).unwrap();
    assert_eq!(plan.tasks.len(), 1);
    assert!(plan.tasks[0].objective.starts_with("rename a variable") && plan.tasks[0].objective.contains("- Part b"));
    assert_eq!((plan.degraded, plan.mended[0].as_str()), (false, "2 simple tasks became one"));
    assert_eq!(titles(&simple(2)).len(), 2);
    let as_planned = PlanRules { right_size: false, ..rules() };
    assert_eq!(Plan::read(&simple(1), "rename a variable", &as_planned).unwrap().tasks.len(), 2);
}
