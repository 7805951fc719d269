//! The demo does the main job, for people and for machines.

use crate::process::{Folder, bellwether, said};

#[test]
fn the_demo_prints_one_json_object_with_everything_in_it() {
    let folder = Folder::new("demo-json");
    let demo = said(bellwether(&folder).args(["demo", "--json"]));
    assert_eq!(demo.code, Some(0), "{}", demo.stderr);
    let report = demo.json();
    for key in ["run_id", "outcome", "tasks", "calls", "usage", "cost_usd", "wall_ms"] {
        assert!(!report[key].is_null(), "{key} is missing");
    }
    let tasks = report["tasks"].as_array().expect("tasks are a list");
    assert_eq!((tasks.len(), report["outcome"].as_str()), (5, Some("succeeded")));
    assert!(tasks.iter().all(|task| task["success"] == true && task["cost_usd"].as_f64() > Some(0.0)));
    assert!(tasks.iter().any(|task| task["revisions"] == 1), "some work went back");
    assert!(report["retries"].as_u64() > Some(0), "one call failed, and others were told to slow down");
    let result = tasks[0]["result"].as_str().expect("the work is there");
    assert!(result.contains("simulated"), "every answer says that it is simulated");
}

#[test]
fn the_demo_shows_each_step_and_the_summary() {
    let folder = Folder::new("demo-plain");
    let demo = said(bellwether(&folder).args(["demo", "--progress", "plain", "--tasks", "2", "--output", "work.md"]));
    assert_eq!(demo.code, Some(0), "{}", demo.stderr);
    for step in ["plan", "2 tasks", "running", "produced", "in_review", "accepted"] {
        assert!(demo.stderr.contains(step), "no {step:?} in {}", demo.stderr);
    }
    for line in
        ["=== Workflow Summary ===", "Total Tasks:          2", "Successful:           2", "Total Execution Time:"]
    {
        assert!(demo.stdout.contains(line), "no {line:?} in {}", demo.stdout);
    }
    assert!(!demo.stdout.contains('\u{1b}'), "no colours where there is no terminal");
    let work = std::fs::read_to_string(folder.join("work.md")).unwrap();
    assert!(work.contains("## t1 ") && work.contains("## t2 ") && work.contains("```"));
}

#[test]
fn the_same_seed_makes_the_same_work() {
    let folder = Folder::new("demo-seed");
    let work = || {
        let report = said(bellwether(&folder).args(["demo", "--json", "--seed", "7", "--tasks", "2"])).json();
        report["tasks"]
            .as_array()
            .expect("tasks are a list")
            .iter()
            .map(|task| task["result"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(work(), work());
}

#[test]
fn a_trace_has_a_line_for_the_run_each_turn_and_each_call_and_no_text() {
    let folder = Folder::new("demo-trace");
    let task = "Build a secret barn";
    let demo = said(bellwether(&folder).args(["demo", task, "--json", "--tasks", "2", "--trace", "spans.log"]));
    assert_eq!(demo.code, Some(0), "{}", demo.stderr);
    let report = demo.json();
    let trace = std::fs::read_to_string(folder.join("spans.log")).unwrap();
    let within = |name: &str| trace.lines().filter(|line| line.contains(&format!("{name}{{"))).count();
    let calls = report["calls"].as_u64().zip(report["retries"].as_u64()).map(|(calls, retries)| calls + retries);
    assert_eq!(u64::try_from(within("chat")).ok(), calls, "{trace}");
    assert_eq!(trace.lines().count() - within("invoke_agent"), 1, "the run is the one line outside of any turn");
    assert!(trace.lines().all(|line| line.contains("invoke_workflow{") && line.contains(": close")), "{trace}");
    assert!(trace.contains("gen_ai.usage.output_tokens=") && trace.contains("error.type=\"overloaded\""), "{trace}");
    assert!(!trace.contains("secret barn") && !trace.contains("simulated"), "no text of a task or an answer");
}
