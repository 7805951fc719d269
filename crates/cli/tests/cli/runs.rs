//! Runs against a simulator in another process that fails, throttles, falls silent.

use std::collections::HashMap;

use crate::process::{Folder, Simulator, Underway, ask, bellwether, feature_team, get, said};

/// Twenty per cent of the calls fail, and a burst of them is told to stay away for two seconds.
#[test]
fn every_task_ends_and_none_is_reviewed_twice_whatever_the_provider_does() {
    let folder = Folder::new("rough");
    let args = ["--error-503", "0.2", "--burst", "6:4:2s", "--plan-tasks", "8", "--seed", "3"];
    let simulator = Simulator::start(&folder, &args);
    let mut command = bellwether(&folder);
    command.arg("run").arg(feature_team()).args(["Build it", "--base-url", &simulator.base_url]);
    let run = said(command.args(["--json", "--progress", "plain"]));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let report = run.json();
    let tasks = report["tasks"].as_array().expect("tasks are a list");
    assert_eq!(tasks.len(), 8, "none is lost");
    assert!(tasks.iter().all(|task| task["state"] == "accepted" || task["state"] == "rejected"), "{report}");
    assert!(run.stderr.contains("asks everybody to stay away for 2.0s"), "{}", run.stderr);
    assert!(report["wall_ms"].as_f64() >= Some(2_000.0), "the pause was kept");

    let mut reviews: HashMap<&str, u32> = HashMap::new();
    for line in run.stderr.lines().filter(|line| line.contains("in_review")) {
        *reviews.entry(line.split_once("s  ").expect("a line begins with its time").1).or_default() += 1;
    }
    assert!(reviews.len() >= 8 && reviews.values().all(|times| *times == 1), "{reviews:?}");

    let stats = simulator.stats();
    assert_eq!(stats["answered"]["429"], 4);
    assert!(stats["answered"]["503"].as_u64() > Some(0));
    let (calls, retries) = (report["calls"].as_u64(), report["retries"].as_u64());
    assert_eq!(calls.zip(retries).map(|(calls, retries)| calls + retries), stats["requests"].as_u64());
    assert!(stats["peak_in_flight"].as_u64() <= Some(3), "{stats}");
}

#[test]
fn a_plan_as_a_list_does_as_well_as_one_in_json() {
    let folder =
        Folder::new("list").with("list.toml", "[answers]\nplan = \"list\"\nplan_tasks = 12\nrevise_share = 0.0\n");
    let simulator = Simulator::start(&folder, &["--scenario", "list.toml"]);
    let mut command = bellwether(&folder);
    command.arg("run").arg(feature_team()).args(["Build it", "--base-url", &simulator.base_url, "--json"]);
    let report = said(&mut command).json();
    assert_eq!(report["tasks"].as_array().map(Vec::len), Some(12), "{report}");
    assert_eq!(report["outcome"], "succeeded");
    assert!(simulator.stats()["peak_in_flight"].as_u64() <= Some(3));
}

#[test]
fn a_planner_that_talks_nonsense_costs_the_plan_and_not_the_run() {
    let folder = Folder::new("garbage").with("garbage.toml", "[answers]\nplan = \"garbage\"\n");
    let simulator = Simulator::start(&folder, &["--scenario", "garbage.toml"]);
    let mut command = bellwether(&folder);
    command.arg("run").arg(feature_team()).args(["Build it", "--base-url", &simulator.base_url, "--json"]);
    let report = said(&mut command).json();
    assert_eq!((report["degraded"].as_bool(), report["tasks"].as_array().map(Vec::len)), (Some(true), Some(1)));
}

/// A run that cannot end while it is looked at: the work on its second task falls silent.
///
/// Its agents work one after the other, so that every request has its number: the plan, the first task's work, which
/// fails, the same again, its review, and then the silent one.
fn silent(name: &str, args: &[&str]) -> (Folder, Simulator, Underway) {
    let scenario = "[faults]\nstall_limit = \"10m\"\nfail = [{ request = 2, with = \"error_503\" }, { request = 5, with = \"stall\" }]\n\
                    [answers]\nplan_tasks = 5\nrevise_share = 0.0\n";
    let folder = Folder::new(name).with("silent.toml", scenario);
    let simulator = Simulator::start(&folder, &["--scenario", "silent.toml"]);
    let mut command = bellwether(&folder);
    command.arg("run").arg(feature_team()).args(["Build it", "--base-url", &simulator.base_url]);
    let run = Underway::start(command.args(["--max-parallel", "1", "--progress", "plain"]).args(args));
    (folder, simulator, run)
}

/// The second task's agent is at work, and will be until it is stopped.
const SILENT: &str = "t2 coder           running";

#[test]
fn metrics_show_calls_tokens_retries_and_tasks_while_the_run_is_on() {
    let (_folder, _simulator, mut run) = silent("metrics", &["--metrics", "0"]);
    let line = run.until("metrics at http://");
    let address = line.trim().trim_start_matches("metrics at http://").trim_end_matches("/metrics").to_owned();
    run.until(SILENT);
    let metrics = get(&address, "/metrics");
    for sample in [
        "bellwether_calls_total{model=\"claude-opus-4-5\",outcome=\"completed\",provider=\"main\",role=\"lead\"} 1",
        "bellwether_retries_total{kind=\"overloaded\",model=\"claude-opus-4-5\"} 1",
        "bellwether_tokens_total{model=\"claude-opus-4-5\",type=\"input\"} ",
        "bellwether_tasks_finished_total{state=\"accepted\"} 1",
        "bellwether_runs_in_progress 1",
    ] {
        assert!(metrics.contains(sample), "no {sample:?} in:\n{metrics}");
    }
    assert!(!metrics.contains("Build it"), "no request ever becomes a label");
    run.interrupt();
    run.until("press Ctrl-C again");
    run.interrupt();
    assert_eq!(run.end().code, Some(130));
}

#[test]
fn a_run_that_drains_is_alive_but_not_ready() {
    let (_folder, _simulator, mut run) = silent("ready", &["--metrics", "0"]);
    let line = run.until("metrics at http://");
    let address = line.trim().trim_start_matches("metrics at http://").trim_end_matches("/metrics").to_owned();
    run.until(SILENT);
    assert_eq!(get(&address, "/readyz"), "ready\n");
    run.interrupt();
    run.until("press Ctrl-C again");
    let (head, body) = ask(&address, "/readyz");
    assert!(head.starts_with("HTTP/1.1 503") && body == "draining\n", "{head}");
    assert_eq!(get(&address, "/healthz"), "ok\n");
    run.interrupt();
    assert_eq!(run.end().code, Some(130));
}

#[test]
fn the_first_ctrl_c_drains_the_second_one_stops_and_what_was_done_is_kept() {
    let (_folder, _simulator, mut run) = silent("ctrl-c", &["--json"]);
    run.until(SILENT);
    run.interrupt();
    run.until("press Ctrl-C again");
    run.interrupt();
    let said = run.end();
    assert_eq!(said.code, Some(130));
    let report = said.json();
    assert_eq!(report["outcome"], "cancelled");
    let tasks = report["tasks"].as_array().expect("tasks are a list");
    let states: Vec<_> = tasks.iter().map(|task| task["state"].as_str().expect("a state is text")).collect();
    assert_eq!(states[..2], ["accepted", "cancelled"], "what was done is kept, what was under way is not");
    assert_eq!(states[2..], ["cancelled"; 3], "a stopped run still accounts for every task");
    assert!(tasks[0]["result"].is_string());
}
