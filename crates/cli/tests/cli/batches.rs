//! Files of requests: each answered once, whatever happens in between.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::process::{CANARY, Folder, Simulator, Underway, bellwether, said};

/// So many lines, in three flows one after the other.
pub(crate) fn lines(n: usize) -> String {
    let mut text = String::new();
    for line in 0..n {
        let flow = ["light", "middle", "heavy"][line * 3 / n];
        let body = r#"{"model":"sim-small","messages":[{"role":"user","content":"Say something."}],"max_tokens":9}"#;
        let _ = writeln!(
            text,
            r#"{{"custom_id":"id-{line}","flow":"{flow}","method":"POST","url":"/v1/chat/completions","body":{body}}}"#
        );
    }
    text
}

pub(crate) fn batch(folder: &Path, simulator: &Simulator) -> Command {
    let mut command = bellwether(folder);
    command.args(["batch", "in.jsonl", "-o", "out.jsonl", "--base-url", &simulator.base_url, "--json"]);
    command
}

/// The results by id; none stands twice.
pub(crate) fn results(folder: &Path) -> HashMap<String, Value> {
    let text = std::fs::read_to_string(folder.join("out.jsonl")).expect("there are results");
    let mut results = HashMap::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).expect("a result is JSON");
        let id = line["custom_id"].as_str().expect("a result has an id").to_owned();
        assert!(results.insert(id, line).is_none(), "an id is answered twice");
    }
    results
}

#[test]
fn every_line_is_answered_once_in_openais_form() {
    let folder = Folder::new("batch").with("in.jsonl", &lines(120));
    let simulator = Simulator::start(&folder, &["--error-503", "0.1", "--burst", "40:5:1s"]);
    let ran = said(batch(&folder, &simulator).args(["--max-in-flight", "16"]));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let summary = ran.json();
    assert_eq!((summary["ok"].as_u64(), summary["failed"].as_u64()), (Some(120), Some(0)));
    assert_eq!(summary["upstream_429"], 5);
    for field in ["wall_s", "cpu_s", "peak_rss_kb"] {
        assert!(summary[field].as_f64() > Some(0.0), "{summary}");
    }
    for flow in ["light", "middle", "heavy"] {
        assert_eq!(summary["flows"][flow]["ok"], 40);
        assert!(summary["flows"][flow]["wait_s"]["p99"].is_number());
    }
    let results = results(&folder);
    assert_eq!(results.len(), 120);
    // Each wait is that of a line, however often the line was tried. Of 40 the last is the 99th percentile.
    for (flow, told) in summary["flows"].as_object().expect("flows have names") {
        let of_flow = results.values().filter(|result| result["bellwether"]["flow"] == **flow);
        let waits = of_flow.map(|result| result["bellwether"]["wait_ms"].as_f64().expect("a wait is a number") / 1e3);
        let longest = waits.fold(0.0, f64::max);
        let p99 = told["wait_s"]["p99"].as_f64().expect("there were calls");
        assert!((p99 - longest).abs() <= longest / 100.0 + 1e-6, "{flow}: {p99} is not {longest}");
    }
    let result = &results["id-7"];
    assert_eq!(result["response"]["status_code"], 200);
    assert_eq!(result["response"]["body"]["object"], "chat.completion");
    assert!(result["response"]["body"]["usage"]["completion_tokens"].as_u64() > Some(0));
    assert!(result["bellwether"]["latency_ms"].as_f64() >= result["bellwether"]["wait_ms"].as_f64());
    assert!(simulator.stats()["peak_in_flight"].as_u64() <= Some(16));
}

/// The 60th request falls silent, and with one call at a time everything behind it waits: that is when the kill comes.
#[test]
fn killed_in_the_middle_and_resumed_only_what_was_in_flight_is_repeated() {
    let scenario = "[faults]\nstall_limit = \"10m\"\nfail = [{ request = 60, with = \"stall\" }]\n";
    let folder = Folder::new("batch-kill").with("in.jsonl", &lines(200)).with("stall.toml", scenario);
    let simulator = Simulator::start(&folder, &["--scenario", "stall.toml"]);
    let mut killed = batch(&folder, &simulator);
    let mut killed = killed.args(["--max-in-flight", "1"]).stdout(Stdio::null()).spawn().unwrap();
    let written = || std::fs::read_to_string(folder.join("out.jsonl")).map_or(0, |text| text.lines().count());
    while simulator.stats()["requests"] != 60 || written() < 59 {
        std::thread::yield_now();
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(results(&folder).len(), 59);

    // What a crash in the middle of a write leaves behind.
    let path = folder.join("out.jsonl");
    let mut torn = std::fs::read_to_string(&path).unwrap();
    torn.push_str(r#"{"custom_id":"id-199","resp"#);
    std::fs::write(&path, torn).unwrap();

    let refused = said(&mut batch(&folder, &simulator));
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("--resume"), "{}", refused.stderr);
    let resumed = said(batch(&folder, &simulator).arg("--resume"));
    assert_eq!((resumed.code, resumed.json()["ok"].as_u64()), (Some(0), Some(141)), "{}", resumed.stderr);
    assert_eq!(results(&folder).len(), 200);
    assert_eq!(simulator.stats()["requests"], 201, "one call was in flight, and it alone is repeated");
}

/// Every fifth call fails, others fall silent or break off: with time for another try every line is answered.
#[test]
fn an_ailing_provider_costs_tries_but_no_lines() {
    let scenario = "[faults]\nerror_503 = 0.2\nstall = 0.05\nreset = 0.1\nstall_limit = \"10m\"\n";
    let folder = Folder::new("batch-ailing").with("in.jsonl", &lines(150)).with("ailing.toml", scenario);
    let simulator = Simulator::start(&folder, &["--scenario", "ailing.toml"]);
    let ran = said(batch(&folder, &simulator).args(["--timeout", "300ms", "--deadline", "1m"]));
    let summary = ran.json();
    let ended = [&summary["ok"], &summary["failed"]].map(|count| count.as_u64().expect("it is counted"));
    assert_eq!(ended.iter().sum::<u64>(), 150, "{}", ran.stderr);
    // Four tries in a row fail about once in sixty.
    assert!(ended[0] > 135 && summary["retries"].as_u64() > Some(20), "{summary}");
    let results = results(&folder);
    assert_eq!(results.len(), 150);
    let typed = ["overloaded", "timeout_total", "truncated", "connect"];
    for result in results.values().filter(|result| !result["error"].is_null()) {
        let code = result["error"]["code"].as_str().expect("an error has a code");
        // A look at a key that keeps failing is sent, but is no attempt of the line that looks.
        assert!(typed.contains(&code) && result["bellwether"]["attempts"].as_u64() >= Some(4), "{result}");
    }
    let stats = simulator.stats();
    for fault in ["error_503", "stall", "reset"] {
        assert!(stats["injected"][fault].as_u64() > Some(0), "{stats}");
    }
    assert_eq!(stats["in_flight"], 0, "what was given up was cancelled");
}

/// The 110th call falls silent. Sent once more, its line is answered in a moment.
#[test]
fn a_line_that_takes_unusually_long_is_sent_twice_if_that_is_wanted() {
    let scenario = "[faults]\nstall_limit = \"10m\"\nfail = [{ request = 110, with = \"stall\" }]\n";
    let folder = Folder::new("batch-hedge").with("in.jsonl", &lines(120)).with("stall.toml", scenario);
    let simulator = Simulator::start(&folder, &["--scenario", "stall.toml"]);
    let ran = said(batch(&folder, &simulator).args(["--hedge", "100", "--rpm", "60000", "--deadline", "1m"]));
    let summary = ran.json();
    assert_eq!((ran.code, summary["ok"].as_u64(), summary["retries"].as_u64()), (Some(0), Some(120), Some(0)));
    assert!(summary["hedges"].as_u64() > Some(0) && summary["wall_s"].as_f64() < Some(30.0), "{summary}");
    let (results, stats) = (results(&folder), simulator.stats());
    assert!(results.values().all(|result| result["bellwether"]["attempts"] == 1), "a second try is no attempt");
    assert_eq!(stats["requests"].as_u64(), summary["hedges"].as_u64().map(|hedges| 120 + hedges));
    assert_eq!(stats["in_flight"], 0, "the silent one was cancelled");
}

/// A provider that is silent for good: every line is told so by its deadline, and none is lost.
#[test]
fn in_an_outage_every_line_ends_by_its_deadline() {
    let scenario = "[faults]\nstall = 1.0\nstall_limit = \"10m\"\n";
    let folder = Folder::new("batch-outage").with("in.jsonl", &lines(300)).with("silent.toml", scenario);
    let simulator = Simulator::start(&folder, &["--scenario", "silent.toml"]);
    let ran = said(batch(&folder, &simulator).args(["--max-in-flight", "8", "--deadline", "1s"]));
    let summary = ran.json();
    assert_eq!((ran.code, summary["failed"].as_u64()), (Some(6), Some(300)), "{}", ran.stderr);
    assert!(results(&folder).values().all(|result| result["error"]["code"] == "deadline_exceeded"));
    let tried = |times| results(&folder).values().filter(|result| result["bellwether"]["attempts"] == times).count();
    assert_eq!((tried(1), tried(0)), (8, 292), "who only waited was not tried");
    assert!(summary["wall_s"].as_f64() < Some(30.0), "nothing waits for the silent: {summary}");
}

/// The lines that were refused themselves became failures, and a resume did not ask for them.
#[test]
fn a_pause_of_hours_is_told_and_waited_for() {
    let folder = Folder::new("batch-pause").with("in.jsonl", &lines(30));
    let simulator = Simulator::start(&folder, &["--burst", "0:1000:1h"]);
    let mut paused = Underway::start(&mut batch(&folder, &simulator));
    paused.until("the provider asks for a pause of 1h");
    paused.interrupt();
    let paused = paused.end();
    assert_eq!((paused.code, results(&folder).len()), (Some(130), 0), "{}", paused.stderr);
    assert_eq!(paused.json()["failed"], 0);
}

/// Every connection above that failed, and with it a third of the lines.
#[cfg(unix)]
#[test]
fn no_more_calls_are_made_at_once_than_connections_may_be_open() {
    let folder = Folder::new("batch-few-files").with("in.jsonl", &lines(200));
    let simulator = Simulator::start(&folder, &[]);
    let mut few = Command::new("sh");
    few.current_dir(&*folder).stdin(Stdio::null()).args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""]);
    few.args([env!("CARGO_BIN_EXE_bellwether"), "batch", "in.jsonl", "-o", "out.jsonl", "--json", "--rpm", "1000000"]);
    let ran = said(few.args(["--max-in-flight", "200", "--base-url", &simulator.base_url]));
    assert_eq!((ran.code, ran.json()["retries"].as_u64()), (Some(0), Some(0)), "{}", ran.stderr);
    assert!(ran.stderr.contains("no more than 32 calls at once"), "{}", ran.stderr);
    assert!(simulator.stats()["peak_in_flight"].as_u64() <= Some(32));
}

#[test]
fn a_line_that_makes_no_sense_is_named_before_anything_is_sent() {
    let folder = Folder::new("batch-wrong").with("in.jsonl", &format!("{}nonsense\n", lines(3)));
    let simulator = Simulator::start(&folder, &[]);
    let ran = said(&mut batch(&folder, &simulator));
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("in.jsonl:4: this is not JSON"), "{}", ran.stderr);
    let twice = folder.with("in.jsonl", &format!("{}{}", lines(3), lines(3)));
    let ran = said(&mut batch(&twice, &simulator));
    assert!(ran.stderr.contains("in.jsonl:4: its custom_id stands in an earlier line"), "{}", ran.stderr);
    assert_eq!(simulator.stats()["requests"], 0);
    assert!(!twice.join("out.jsonl").exists());
}

/// One line, and no line break behind it: what a resume would take for a torn result, and cut off.
#[test]
fn lines_to_send_are_never_taken_for_results() {
    let one = lines(1);
    let folder = Folder::new("batch-same").with("out.jsonl", one.trim_end()).with("in.jsonl", &lines(2));
    let simulator = Simulator::start(&folder, &[]);
    let mut same = bellwether(&folder);
    same.args(["batch", "out.jsonl", "-o", "./out.jsonl", "--resume", "--base-url", &simulator.base_url]);
    let ran = said(&mut same);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stderr.contains("holds the lines to send"), "{}", ran.stderr);
    assert_eq!(std::fs::read_to_string(folder.join("out.jsonl")).unwrap(), one.trim_end());

    let other = folder.with("out.jsonl", &lines(2));
    let ran = said(batch(&other, &simulator).arg("--resume"));
    assert!(ran.stderr.contains("line 1 is no result of a batch"), "{}", ran.stderr);
    assert_eq!(std::fs::read_to_string(other.join("out.jsonl")).unwrap(), lines(2));
    assert_eq!(simulator.stats()["requests"], 0);
}

#[test]
fn a_file_may_begin_as_some_editors_let_it_begin() {
    let folder = Folder::new("batch-bom").with("in.jsonl", &format!("\u{feff}{}", lines(2).replace('\n', "\r\n")));
    let simulator = Simulator::start(&folder, &[]);
    let ran = said(&mut batch(&folder, &simulator));
    assert_eq!((ran.code, results(&folder).len()), (Some(0), 2), "{}", ran.stderr);
}

#[test]
fn a_refused_key_ends_a_batch_and_loses_no_line() {
    let folder = Folder::new("batch-key").with("in.jsonl", &lines(50));
    let simulator = Simulator::start(&folder, &["--api-key-env", "SIM_KEY"]);
    let mut wrong = batch(&folder, &simulator);
    let ran = said(wrong.env("KEY", "wrong-key").args(["--max-in-flight", "2", "--api-key-env", "KEY"]));
    assert_eq!(ran.code, Some(77));
    assert!(ran.stderr.contains("check the key"), "{}", ran.stderr);
    assert_eq!(results(&folder).len(), 0, "a line that was only refused by the key has no result yet");
    let mut right = batch(&folder, &simulator);
    let ran = said(right.env("KEY", CANARY).args(["--resume", "--api-key-env", "KEY"]));
    assert_eq!((ran.code, results(&folder).len()), (Some(0), 50), "{}", ran.stderr);
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains(CANARY));
}

#[test]
fn bench_compares_three_courses_of_the_same_calls() {
    let folder = Folder::new("bench");
    let mut bench = bellwether(&folder);
    // Slow enough that calls may catch up with each other by a quarter of a second on a busy machine.
    let asked = ["bench", "--calls", "8", "--concurrency", "4", "--rpm", "240", "--first-token", "10ms"];
    let ran = said(bench.args(asked).arg("--json"));
    let said_so = ran.json();
    let courses = said_so["courses"].as_array().expect("there are courses");
    let named: Vec<_> = courses.iter().map(|course| course["course"].as_str().unwrap_or_default()).collect();
    assert_eq!((ran.code, named), (Some(0), vec!["sequential", "concurrent", "limited"]), "{}", ran.stderr);
    for course in courses {
        assert_eq!((course["ok"].as_u64(), course["failed"].as_u64()), (Some(8), Some(0)), "{course}");
        assert!(course["peak_in_flight"].as_u64() <= course["side_by_side"].as_u64(), "{course}");
        assert_eq!(course["upstream_429"], 0, "{course}");
    }
    assert_eq!(courses[0]["speed_up"], 1.0);
    assert_eq!(courses[0]["peak_in_flight"], 1);
    // At most four come at once, the other four at four a second.
    assert!(courses[2]["wall_s"].as_f64() >= Some(1.0), "{}", courses[2]);
    let mut bench = bellwether(&folder);
    let ran = said(bench.args(asked));
    let lines = ran.stdout.lines().map(|line| line.split_whitespace().next().unwrap_or_default());
    assert_eq!(lines.collect::<Vec<_>>(), ["Course", "sequential", "concurrent", "limited"]);
}

#[test]
fn load_shows_what_each_flow_got() {
    let folder = Folder::new("load");
    let simulator = Simulator::start(&folder, &[]);
    let mut load = bellwether(&folder);
    load.args(["load", "--base-url", &simulator.base_url, "--model", "sim-small", "--requests", "60", "--json"]);
    let ran = said(load.args(["--flows", "greedy:weight=1,loops=8;light:weight=1,loops=2", "--duration", "1m"]));
    let summary = ran.json();
    assert_eq!((summary["ok"].as_u64(), summary["failed"].as_u64()), (Some(60), Some(0)), "{}", ran.stderr);
    assert!(summary["flows"]["light"]["ok"].as_u64() > Some(0));
    assert_eq!(simulator.stats()["requests"], 60);
}

#[test]
fn a_load_that_is_stopped_tells_what_it_found_out() {
    let folder = Folder::new("load-stopped");
    let simulator = Simulator::start(&folder, &[]);
    let mut load = bellwether(&folder);
    load.args(["load", "--base-url", &simulator.base_url, "--model", "sim-small", "--flows", "a"]);
    let load = Underway::start(load.args(["--duration", "1h", "--json"]));
    while simulator.stats()["answered"]["200"].as_u64() < Some(3) {}
    load.interrupt();
    let said = load.end();
    assert_eq!(said.code, Some(130), "{}", said.stderr);
    assert!(said.json()["ok"].as_u64() >= Some(2), "{}", said.stdout);
}

/// A call that would come too late is refused at once: the loop asked again at once, a hundred thousand times a second, and
/// nobody else had a turn.
#[test]
fn a_load_that_is_turned_away_does_not_knock_without_a_pause() {
    let folder = Folder::new("load-refused");
    let simulator = Simulator::start(&folder, &[]);
    let mut load = bellwether(&folder);
    load.args(["load", "--base-url", &simulator.base_url, "--model", "sim-small", "--flows", "a", "--tpm", "1"]);
    let ran = said(load.args(["--duration", "300ms", "--json"]));
    let summary = ran.json();
    assert_eq!((ran.code, summary["ok"].as_u64()), (Some(0), Some(1)), "{}", ran.stderr);
    assert!((1..700).contains(&summary["failed"].as_u64().unwrap()), "{summary}");
}

#[test]
fn a_load_says_what_its_calls_failed_of() {
    let folder = Folder::new("load-failed");
    let simulator = Simulator::start(&folder, &["--api-key-env", "SIM_KEY"]);
    let mut load = bellwether(&folder);
    load.args(["load", "--base-url", &simulator.base_url, "--model", "m", "--flows", "a:loops=3", "--duration", "1h"]);
    let said = said(&mut load);
    assert_eq!(said.code, Some(77), "{}", said.stderr);
    // It went on for an hour, refusing itself millions of times.
    assert!(simulator.stats()["requests"].as_u64() <= Some(3));
    assert!(said.stderr.contains("auth: ") && said.stderr.contains("You didn't provide an API key"), "{}", said.stderr);
}
