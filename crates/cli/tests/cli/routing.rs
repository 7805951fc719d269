//! A team with a ladder of models: what it learns, where that is kept, and what it says of it.

use serde_json::Value;

use crate::process::{Folder, Said, Simulator, bellwether, said};

const LADDER: &str = include_str!("../../../../examples/teams/ladder.toml");

fn run(folder: &Folder, simulator: &Simulator, extra: &[&str]) -> Value {
    let mut command = bellwether(folder);
    command.args(["run", "ladder.toml", "Build it", "--json", "--base-url", &simulator.base_url]).args(extra);
    let run = said(&mut command);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(!run.stderr.contains("warning"), "{}", run.stderr);
    run.json()
}

fn ask(folder: &Folder, args: &[&str]) -> Said {
    said(bellwether(folder).args(args))
}

#[test]
fn what_a_run_teaches_is_kept_shown_exported_and_forgotten() {
    let folder = Folder::new("ladder").with("ladder.toml", LADDER);
    let simulator = Simulator::start(&folder, &["--plan-tasks", "6"]);
    let nothing = ask(&folder, &["router", "show"]);
    assert_eq!((nothing.code, nothing.stdout.as_str()), (Some(2), ""));
    assert!(nothing.stderr.contains("nothing was learnt yet"), "{}", nothing.stderr);

    let first = run(&folder, &simulator, &[]);
    assert_eq!(first["tasks"].as_array().map(Vec::len), Some(6));
    let shown = ask(&folder, &["router", "show", "--json"]).json();
    assert!(shown["entries"].as_u64() >= Some(6), "{shown}");
    assert!(shown["models"].as_array().is_some_and(|models| models.iter().all(|model| model["role"] == "coder")));
    let text = ask(&folder, &["router", "show"]).stdout;
    assert!(text.contains("attempts lately") && text.contains("hardness"), "{text}");

    let learnt = shown["entries"].as_u64();
    run(&folder, &simulator, &["--frozen"]);
    let entries = |json: Value| json["entries"].as_array().map(|entries| entries.len() as u64);
    assert_eq!(entries(ask(&folder, &["router", "export", "--json"]).json()), learnt, "frozen: nothing was learnt");
    let lines = ask(&folder, &["router", "export"]).stdout;
    assert_eq!(Some(lines.lines().count() as u64), learnt);
    assert!(lines.lines().all(|line| serde_json::from_str::<Value>(line).is_ok_and(|line| line["id"].is_string())));

    // Resuming a run that is over teaches nothing twice.
    ask(&folder, &["resume", first["run_id"].as_str().unwrap(), "--base-url", &simulator.base_url]);
    assert_eq!(entries(ask(&folder, &["router", "export", "--json"]).json()), learnt);

    assert_eq!(ask(&folder, &["router", "reset", "--json"]).json()["forgotten"].as_u64(), learnt);
    assert_eq!(ask(&folder, &["router", "show", "--json"]).json()["entries"], 0);
}

#[test]
fn a_task_that_goes_up_a_tier_says_so_while_it_runs() {
    let ladder = LADDER.replace("thompson", "fixed").replace("[review]", "[review]\nmax_rounds = 0\nthreshold = 0.99");
    let folder = Folder::new("goes-up").with("ladder.toml", &ladder);
    let simulator = Simulator::start(&folder, &["--plan-tasks", "1"]);
    let mut command = bellwether(&folder);
    command.args(["run", "ladder.toml", "Build it", "--progress", "plain", "--base-url", &simulator.base_url]);
    let run = said(&mut command);
    let first = run.stderr.find("starts on small").expect("it says where it begins");
    let then = run.stderr.find("goes on with claude-sonnet-4-5").expect("it says where it goes on");
    assert!(first < then, "{}", run.stderr);
    assert_eq!(run.stderr.matches("goes on with").count(), 1, "{}", run.stderr);
}

#[test]
fn a_task_is_explained_and_an_unknown_one_is_named() {
    let folder = Folder::new("explain").with("ladder.toml", LADDER);
    let simulator = Simulator::start(&folder, &["--plan-tasks", "3"]);
    let report = run(&folder, &simulator, &[]);
    let explained = ask(&folder, &["explain", "last", "t1", "--json"]).json();
    assert_eq!((explained["task"].as_str(), explained["role"].as_str()), (Some("t1"), Some("coder")));
    assert_eq!(explained["route"]["weighed"].as_array().map(Vec::len), Some(3), "{explained}");
    let first = explained["route"]["tier"].as_u64().and_then(|tier| usize::try_from(tier).ok()).unwrap();
    let models = ["claude-haiku-4-5", "claude-sonnet-4-5", "claude-opus-4-5"];
    assert!(models[first..].iter().any(|model| report["tasks"][0]["model"] == **model), "{report}");
    let said = ask(&folder, &["explain", "last", "t1"]).stdout;
    for part in
        ["It started on", "(thompson)", "It waited", "for an agent", "working on tier", "the reviewer says accept"]
    {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    let unknown = ask(&folder, &["explain", "last", "t9"]);
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.contains("has no task t9") && unknown.stderr.contains("t1, t2, t3"), "{}", unknown.stderr);
}

#[test]
fn mistakes_in_routing_are_named_with_their_lines() {
    let cases = [
        ("mode = \"thompson\"", "mode = \"tompson\"", "`tompson` is no mode of routing: known are fixed, complexity"),
        ("explore_share = 0.10", "explore_share = 10", "a share from 0 to 1"),
        ("forgetting = 0.997", "forgetting = 0.0", "a number from 0.5 to 1"),
        ("cost_weight = 0.5", "cost_weight = -1", "not negative"),
        ("quality_floor", "quality_flor", "did you mean `quality_floor`?"),
    ];
    for (n, (from, to, message)) in cases.into_iter().enumerate() {
        let folder = Folder::new(&format!("routing-{n}")).with("ladder.toml", &LADDER.replacen(from, to, 1));
        let checked = ask(&folder, &["check", "ladder.toml"]);
        assert_eq!(checked.code, Some(2), "{}", checked.stdout);
        assert!(checked.stderr.contains("ladder.toml:") && checked.stderr.contains(message), "{}", checked.stderr);
    }
    let folder = Folder::new("routing-file").with("ladder.toml", LADDER).with("notes.txt", "dear diary");
    let refused = ask(&folder, &["router", "show", "--stats", "notes.txt"]);
    assert_eq!(refused.code, Some(74));
    assert!(refused.stderr.contains("notes.txt is not a file of routing statistics"), "{}", refused.stderr);
    let refused = ask(&folder, &["router", "reset", "--stats", "notes.txt"]);
    assert_eq!(refused.code, Some(74), "what is somebody else's is not forgotten");
    assert_eq!(std::fs::read_to_string(folder.join("notes.txt")).unwrap(), "dear diary");
}

/// The only ways out were to delete the file by hand, or to name another one.
#[test]
fn what_another_version_learnt_can_be_forgotten() {
    let later = "{\"bellwether_router\":9,\"generation\":4}\n{\"kind\":\"unheard of\"}\n";
    let folder = Folder::new("routing-version").with("router.log", later);
    let refused = ask(&folder, &["router", "show", "--stats", "router.log"]);
    assert_eq!(refused.code, Some(74));
    assert!(refused.stderr.contains("written by another version (schema 9;"), "{}", refused.stderr);
    let reset = ask(&folder, &["router", "reset", "--stats", "router.log"]);
    assert_eq!((reset.code, &*reset.stdout), (Some(0), "forgot what another version had learnt in router.log\n"));
    assert_eq!(ask(&folder, &["router", "show", "--stats", "router.log", "--json"]).json()["entries"], 0);
    assert!(
        std::fs::read_to_string(folder.join("router.log")).unwrap().contains("\"generation\":5"),
        "it goes on from there"
    );
}
