//! A plan is shown with what it would take, waits for approval, and is gone on with.

use crate::process::{Folder, Simulator, bellwether, feature_team, said};

#[test]
fn a_plan_is_shown_before_more_than_the_planning_is_spent_and_goes_on_once_approved() {
    let folder = Folder::new("approved");
    let simulator = Simulator::start(&folder, &["--plan-tasks", "3"]);
    let url = ["--base-url", &simulator.base_url];
    let mut command = bellwether(&folder);
    let planned = said(command.arg("plan").arg(feature_team()).args(["Build it", "--json"]).args(url));
    assert_eq!(planned.code, Some(0), "{}", planned.stderr);
    let shown = planned.json();
    assert_eq!(simulator.stats()["requests"], 1, "only the planning was paid for");
    let tasks = shown["plan"]["tasks"].as_array().expect("tasks are a list");
    assert_eq!((tasks.len(), &tasks[0]["tiers"][0], &tasks[0]["role"]), (3, &"opus".into(), &"coder".into()));
    for figure in ["calls", "tokens", "cost_usd", "seconds"] {
        let spread = &shown["estimate"][figure];
        assert!(spread["p50"].as_f64() > Some(0.0) && spread["p50"].as_f64() <= spread["p90"].as_f64(), "{shown}");
    }
    let run = shown["run_id"].as_str().expect("the run has an id");

    let early = said(bellwether(&folder).args(["resume", run, "--json"]).args(url));
    assert_eq!((early.code, early.json()["outcome"].as_str()), (Some(75), Some("parked")), "{}", early.stderr);
    assert!(early.stderr.contains("agree with: bellwether approve"), "{}", early.stderr);
    let list = said(bellwether(&folder).args(["runs", "list"]));
    assert!(list.stdout.contains("parked"), "{}", list.stdout);

    let accepted = said(bellwether(&folder).args(["approve", run, "--accept"]));
    assert!(accepted.code == Some(2) && accepted.stderr.contains("it is the plan"), "{}", accepted.stderr);
    let approved = said(bellwether(&folder).args(["approve", run]));
    assert_eq!(approved.code, Some(0), "{}", approved.stderr);
    assert_eq!(said(bellwether(&folder).args(["approve", run])).code, Some(2), "it is decided already");
    let resumed = said(bellwether(&folder).args(["resume", run, "--json"]).args(url));
    assert_eq!((resumed.code, resumed.json()["outcome"].as_str()), (Some(0), Some("succeeded")), "{}", resumed.stderr);
    assert!(simulator.stats()["requests"].as_u64() >= Some(1 + 3 + 3));
}

#[test]
fn a_plan_that_is_denied_costs_nothing_further_and_one_that_is_approved_at_once_runs() {
    let folder = Folder::new("denied");
    let simulator = Simulator::start(&folder, &["--plan-tasks", "2"]);
    let url = ["--base-url", &simulator.base_url];
    let planned = said(bellwether(&folder).arg("plan").arg(feature_team()).args(["Build it"]).args(url));
    assert_eq!(planned.code, Some(0), "{}", planned.stderr);
    for part in ["=== Plan ===", "coder", "opus", "Cost of the rest:     $", "nine times of ten", "waits for approval"]
    {
        assert!(planned.stdout.contains(part), "{part}: {}", planned.stdout);
    }
    let denied = said(bellwether(&folder).args(["approve", "last", "--deny", "too dear"]));
    assert_eq!(denied.code, Some(0), "{}", denied.stderr);
    let resumed = said(bellwether(&folder).args(["resume", "last", "--json"]).args(url));
    assert_eq!((resumed.code, resumed.json()["outcome"].as_str()), (Some(130), Some("cancelled")));
    assert!(resumed.json()["reason"].as_str().is_some_and(|reason| reason.contains("too dear")));
    assert_eq!(simulator.stats()["requests"], 1);

    let at_once = ["Build it", "--approve", "--json", "--output", "work.md"];
    let ran = said(bellwether(&folder).arg("plan").arg(feature_team()).args(at_once).args(url));
    assert_eq!((ran.code, ran.json()["outcome"].as_str()), (Some(0), Some("succeeded")), "{}", ran.stderr);
    assert!(std::fs::read_to_string(folder.join("work.md")).is_ok_and(|work| work.contains("## t2")));
}

#[test]
fn a_quorum_without_a_share_is_a_mistake_with_a_remedy() {
    let team = std::fs::read_to_string(feature_team()).expect("the example is there");
    let team = team.replace("on_task_failure = \"continue_independent\"", "on_task_failure = \"quorum\"");
    let folder = Folder::new("quorum").with("team.toml", &team);
    let checked = said(bellwether(&folder).args(["check", "team.toml"]));
    assert_eq!(checked.code, Some(2));
    assert!(checked.stderr.contains("needs quorum = 0.0 to 1.0"), "{}", checked.stderr);
}

/// Sixty tasks do not fit into what the planner of the example may say. The message said only that it was cut off.
#[test]
fn who_is_cut_off_is_told_which_setting_it_was() {
    let team = std::fs::read_to_string(feature_team()).expect("the example is there");
    let team = team.replace("max_tasks = 12", "max_tasks = 64");
    let folder = Folder::new("cut-off");
    let folder = folder.with("fail.toml", &team.replace("\"fallback\"", "\"fail\""));
    let folder =
        folder.with("short.toml", &team.replace("max_output_tokens = 4096\ntemp", "max_output_tokens = 5\ntemp"));
    let simulator = Simulator::start(&folder, &["--plan-tasks", "60"]);
    let run = |team| said(bellwether(&folder).args(["run", team, "Build it", "--base-url", &simulator.base_url]));
    let planned = run("fail.toml");
    assert_eq!(planned.code, Some(4), "{}", planned.stderr);
    let remedy = "raise max_output_tokens of role lead, or lower plan.max_tasks";
    assert!(planned.stdout.contains(remedy), "{}", planned.stdout);
    let worked = run("short.toml");
    assert!(worked.stdout.contains("(raise max_output_tokens of role coder)"), "{}", worked.stdout);
    assert!(worked.stdout.contains(remedy), "why there is one task for everything: {}", worked.stdout);
}
