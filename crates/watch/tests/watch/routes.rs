//! What a story says of where tasks started, and why.

use bellwether_watch::{Story, report};
use serde_json::{Value, json};

use crate::entries::Entries;

/// What was believed of a tier.
fn weighed(model: &str, mean: f64, seen: f64) -> Value {
    json!({ "model": model, "mean": mean, "sample": 0.5, "seen": seen, "guess": 0.02, "cost": 0.012_345_678_9,
        "seconds": 1.5, "value": 0.7 })
}

/// A decision on a task of some hardness.
fn decision(task: &str, bucket: u64, seen: f64) -> String {
    json!({ "task": task, "route": {
        "tier": 1, "name": "big", "why": "it is tried to learn about it", "mode": "thompson", "bucket": bucket,
        "features": { "complexity": 2, "group": "code" }, "lambda": 0.5, "propensity": 0.25, "explored": true, "audit": true,
        "weighed": [weighed("small", 0.75, seen), weighed("big", 0.9, 1.0)],
    }})
    .to_string()
}

fn planned(ids: &[&str]) -> Entries {
    let mut run = Entries::begin();
    let tasks: Vec<Value> = ids.iter().map(|id| json!({ "id": id, "title": "A", "role": "coder" })).collect();
    run.event(10, "planned", &json!({ "plan": { "tasks": tasks }, "spent": {} }).to_string());
    run
}

#[test]
fn a_decision_says_what_was_believed_of_each_tier() {
    let mut run = planned(&["t1"]);
    run.event(20, "routed", &decision("t1", 2, 3.0));
    let mut story = Story::of(&run.entries);
    let route = &story.routes[0];
    assert_eq!((route.t, route.task.as_str(), route.role.as_str()), (20, "t1", "coder"));
    assert_eq!((route.tier, route.name.as_str(), route.mode.as_str()), (1, "big", "thompson"));
    assert_eq!((route.group.as_str(), route.bucket), ("code", 2));
    assert_eq!((route.explored, route.audit), (true, true));
    assert_eq!((route.lambda, route.propensity), (0.5, 0.25));
    let small = &route.weighed[0];
    assert_eq!((small.model.as_str(), small.mean, small.sample, small.seen), ("small", 0.75, 0.5, 3.0));
    assert_eq!((small.cost, small.seconds), (0.012_346, 1.5), "as many places as are shown");
    let whole = story.whole();
    assert_eq!(whole["put"]["routes"], story.news()["put"]["routes"], "news tell of it");
    assert_eq!(whole["put"]["routes"][0][1]["weighed"][1]["model"], "big");
    assert!(story.log.iter().any(|line| line.text == "t1 starts on big: it is tried to learn about it"));
}

#[test]
fn what_is_believed_is_what_the_latest_task_of_a_kind_was_decided_by() {
    let mut run = planned(&["t1", "t2", "t3"]);
    for (t, task, bucket, seen) in [(20, "t1", 2, 3.0), (30, "t2", 0, 4.0), (40, "t3", 2, 5.0)] {
        run.event(t, "routed", &decision(task, bucket, seen));
    }
    let story = Story::of(&run.entries);
    let beliefs: Vec<(u64, &str, f64)> =
        story.beliefs().iter().map(|route| (route.bucket, route.task.as_str(), route.weighed[0].seen)).collect();
    assert_eq!(beliefs, [(0, "t2", 4.0), (2, "t3", 5.0)]);
}

#[test]
fn a_report_says_what_was_believed_in_the_end_and_why_each_task_started_where_it_did() {
    let mut run = planned(&["t1", "t2"]);
    run.event(20, "routed", &decision("t1", 2, 3.0));
    run.event(30, "routed", &decision("t2", 2, 4.0));
    run.event(40, "rerouted", r#"{"task":"t1"}"#);
    let story = Story::of(&run.entries);
    let page = report::html(&story);
    let (_, section) = page.split_once("<h2>What routing decided and learnt</h2>").expect("there is a section");
    assert!(section.contains("<bdi>coder · code, hardness 2</bdi>, as of t2 at 0.0 s"), "{section}");
    assert_eq!(section.matches("class=\"reckoned\" d=\"M50.0 0v8\"").count(), 2, "a row for each tier: {section}");
    assert!(section.contains("75 %<td class=\"n\">50 %<td class=\"n\">4.0<td class=\"n\">$0.0123</tr>"), "{section}");
    assert!(section.contains("▸ <b>big</b>"), "{section}");
    assert!(section.contains("<summary>2 decisions by thompson, 2 to learn about a tier</summary>"), "{section}");
    let why = "it is tried to learn about it; chosen 25 % of the time; to be judged twice; λ 0.50";
    assert_eq!(section.matches(why).count(), 2, "each decision has its reason: {section}");
    assert_eq!(section.matches("routed: ").count(), 1, "what was no decision is a line: {section}");
    let markdown = report::markdown(&story);
    assert!(markdown.contains("| coder · code, hardness 2 | small | 75 % | 50 % | 4.0 | $0.0123 |"), "{markdown}");
    assert!(markdown.contains(&format!("- 0.0 s t2 on big: {why}")), "{markdown}");
    let json = report::json(&story);
    assert_eq!((&json["beliefs"][0]["task"], &json["beliefs"][0]["weighed"][0]["seen"]), (&json!("t2"), &json!(4.0)));
    assert_eq!(json["story"]["routes"].as_array().map(Vec::len), Some(2));
    let nothing = report::html(&Story::of(&planned(&["t1"]).entries));
    assert!(!nothing.contains("What routing"), "nothing was routed");
}

#[test]
fn a_start_that_nobody_chose_is_a_line_of_the_log_and_nothing_else() {
    let mut run = planned(&["t1"]);
    let fixed = r#"{"task":"t1","route":{"tier":0,"name":"small","why":"every task starts there","mode":"fixed","bucket":0,"propensity":1.0}}"#;
    run.event(20, "routed", fixed);
    let story = Story::of(&run.entries);
    assert!(story.routes.is_empty());
    for text in [report::html(&story), report::markdown(&story)] {
        assert!(!text.contains("What routing"), "nothing was decided: {text}");
    }
    assert!(story.log.iter().any(|line| line.text == "t1 starts on small: every task starts there"));
}

#[test]
fn a_decision_that_makes_no_sense_is_shown_within_bounds() {
    let mut run = planned(&["t1"]);
    let long = "ab\u{1b}".repeat(500);
    let odd = json!({ "model": long, "mean": -5, "sample": 1e300, "seen": "many", "cost": null, "ruled_out": long });
    let route = json!({ "tier": -1, "name": long, "why": long, "mode": long, "features": [long], "bucket": 1e9, "lambda": [],
        "propensity": 7, "explored": "yes", "audit": 1, "weighed": vec![odd; 1_000] });
    let mut events = vec![json!({ "task": long, "route": route })];
    events.extend([
        json!(null),
        json!([]),
        json!("x"),
        json!({ "task": 1, "route": "x" }),
        json!({ "route": { "weighed": 7 } }),
    ]);
    for event in &events {
        run.event(20, "routed", &event.to_string());
    }
    let story = Story::of(&run.entries);
    assert_eq!(story.routes.len(), 2, "what is no decision is a line of the log");
    let route = &story.routes[0];
    assert_eq!((route.tier, route.lambda, route.propensity, route.explored), (0, 0.0, 1.0, false));
    assert_eq!((route.bucket, route.weighed.len()), (0, 16));
    let tier = &route.weighed[15];
    assert_eq!((tier.mean, tier.sample, tier.seen, tier.cost), (0.0, 1.0, 0.0, 0.0));
    let told = serde_json::to_string(&route).unwrap();
    assert!(told.len() < 8_000 && !told.contains("\\u001b"), "{} bytes", told.len());
    for text in [report::html(&story), report::markdown(&story)] {
        assert!(!text.contains("NaN") && !text.contains("inf "), "{text}");
    }
}
