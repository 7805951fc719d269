//! How runs end, or stand still, as their story tells it.

use bellwether_watch::story::ended;
use bellwether_watch::{Story, report};

use crate::entries::{BEGAN, Entries};

/// A run with a plan of two tasks, of which the first was done.
fn begun() -> Entries {
    let mut run = Entries::begin();
    let tasks = r#"{"id":"t1","title":"A","role":"coder"},{"id":"t2","title":"B","role":"coder"}"#;
    run.event(1_000, "planned", &format!(r#"{{"plan":{{"tasks":[{tasks}]}},"spent":{{}}}}"#));
    run.event(1_100, "began", r#"{"job":{"work":{"task":"t1","round":0}},"tier":0}"#);
    run
}

fn states(story: &Story) -> Vec<&str> {
    story.tasks.iter().map(bellwether_watch::story::Task::state).collect()
}

#[test]
fn a_run_that_ran_out_of_money_says_so_and_what_it_took_to_the_last() {
    let mut run = begun();
    let note = format!(
        r#"{{"lost":0,"notes":[{{"at":{},"what":"budget","spent":4000000,"reserved":9000000,"cap":10000000}}]}}"#,
        BEGAN + 1_200
    );
    run.at(1_200, "heard", &note);
    run.event(1_300, "produced", r#"{"task":"t1","text":"work","spent":{"usage":{"cost":8000000}}}"#);
    run.event(
        1_400,
        "failed",
        r#"{"job":{"work":{"task":"t2","round":0}},"failure":{"kind":"budget_exceeded","message":"it may cost too much"}}"#,
    );
    run.at(1_500, "run_finished", r#"{"outcome":"budget_exhausted"}"#);
    let story = Story::of(&run.entries);
    assert_eq!(story.head.stop.as_deref(), Some("it may cost too much"));
    let last = story.money.last().expect("money was spent");
    assert!((last.spent - 0.008).abs() < 1e-9 && last.reserved == Some(0.0) && last.cap == Some(0.01), "{last:?}");
}

#[test]
fn a_plan_that_waits_for_approval_is_not_called_off() {
    let mut run = Entries::begin();
    run.event(1_000, "planned", r#"{"plan":{"tasks":[{"id":"t1","title":"A","role":"coder"}]},"spent":{}}"#);
    run.at(1_100, "run_finished", r#"{"outcome":"parked"}"#);
    let story = Story::of(&run.entries);
    assert_eq!((states(&story), story.head.stop.as_deref()), (vec!["pending"], Some("its plan waits for approval")));

    // Decided the next day.
    let mut denied = Entries { entries: run.entries.clone() };
    run.event(90_000_000, "decided", r#"{"ruling":"approve"}"#);
    let story = Story::of(&run.entries);
    assert_eq!((story.head.outcome.as_deref(), story.head.now), (Some("parked"), 1_100), "no time goes by");
    assert!(story.head.stop.is_some_and(|stop| stop.starts_with("a person has decided")));
    run.at(91_000_000, "resumed", r#"{"at":1100000000}"#);
    run.event(91_000_200, "began", r#"{"job":{"work":{"task":"t1","round":0}},"tier":0}"#);
    assert_eq!(Story::of(&run.entries).head.now, 1_300, "but what is worked");

    denied.event(90_000_000, "decided", r#"{"ruling":{"deny":"too dear"}}"#);
    let story = Story::of(&denied.entries);
    assert_eq!(story.head.stop.as_deref(), Some("its plan was not approved: too dear"));
    assert_eq!((story.head.outcome.as_deref(), states(&story)), (Some("cancelled"), vec!["cancelled"]));
}

#[test]
fn a_run_that_a_person_decided_about_is_no_interrupted_one() {
    let mut run = begun();
    let how = |run: &Entries| ended(&run.entries.last().expect("there is one").entry);
    assert_eq!(how(&run), None);
    run.at(1_500, "run_finished", r#"{"outcome":"parked"}"#);
    assert_eq!(how(&run).as_deref(), Some("parked"));
    run.event(2_000, "ruled", r#"{"task":"t1","ruling":"accept"}"#);
    assert_eq!(how(&run).as_deref(), Some("decided"), "it waits for somebody to go on with it");
    run.event(2_000, "decided", r#"{"ruling":{"deny":"too dear"}}"#);
    assert_eq!(how(&run).as_deref(), Some("cancelled"));
}

#[test]
fn a_run_that_waits_for_a_person_says_for_which_tasks() {
    let mut run = begun();
    run.event(1_200, "adopted", r#"{"rules":{"review":{"threshold":0.9,"max_rounds":0,"on_exhausted":"human"}}}"#);
    run.event(1_300, "produced", r#"{"task":"t1","text":"work","spent":{}}"#);
    run.event(1_400, "judged", r#"{"task":"t1","verdict":{"decision":"accept","score":0.85},"spent":{}}"#);
    run.at(1_500, "run_finished", r#"{"outcome":"parked"}"#);
    let story = Story::of(&run.entries);
    assert_eq!(states(&story), ["blocked", "pending"], "by the rules that it adopted");
    assert_eq!(story.head.stop.as_deref(), Some("a person has to say what becomes of t1"));
    run.event(2_000, "ruled", r#"{"task":"t1","ruling":"accept"}"#);
    let story = Story::of(&run.entries);
    assert_eq!(states(&story), ["accepted", "pending"]);
    assert!(story.head.stop.is_some_and(|stop| stop.starts_with("a person has decided")));
}

#[test]
fn what_is_tried_again_has_not_failed_any_more() {
    let mut run = begun();
    run.event(
        1_200,
        "failed",
        r#"{"job":{"work":{"task":"t1","round":0}},"failure":{"kind":"upstream","message":"it broke"}}"#,
    );
    run.at(1_300, "run_finished", r#"{"outcome":"partial"}"#);
    run.event(2_000, "retried", r#"{"tasks":["t1"]}"#);
    run.at(2_100, "resumed", r#"{"at":1300000000}"#);
    let note =
        format!(r#"{{"lost":0,"notes":[{{"at":{},"what":"moved","task":"t1","to":"pending"}}]}}"#, BEGAN + 2_101);
    run.at(2_101, "heard", &note);
    let story = Story::of(&run.entries);
    assert_eq!((states(&story)[0], &story.tasks[0].failure), ("pending", &None));
    assert!(story.log.iter().any(|line| line.text == "t1: to be tried again"), "{:?}", story.log);
}

#[test]
fn a_stop_is_told_in_words() {
    let stopped = |stop: &str| {
        let mut run = begun();
        run.event(1_200, "stopped", &format!(r#"{{"stop":{stop}}}"#));
        Story::of(&run.entries).head.stop
    };
    assert_eq!(stopped(r#""asked""#).as_deref(), Some("somebody asked it to stop"));
    assert_eq!(
        stopped(r#"{"too_many_failed":{"failed":3,"allowed":1}}"#).as_deref(),
        Some("3 tasks came to nothing, more than may")
    );
    assert_eq!(stopped(r#"{"denied":"too dear"}"#).as_deref(), Some("its plan was not approved: too dear"));
}

/// A stop, a process that died, and somebody who goes on each time.
#[test]
fn what_was_cut_off_is_counted_and_what_is_taken_up_again_is_no_longer_called_off() {
    let mut run = begun();
    run.event(1_200, "stopped", r#"{"stop":"asked"}"#);
    run.event(1_300, "dropped", r#"{"job":{"work":{"task":"t1","round":0}}}"#);
    run.at(1_400, "run_finished", r#"{"outcome":"cancelled"}"#);
    let stopped = Story::of(&run.entries);
    assert_eq!(states(&stopped), ["cancelled", "cancelled"]);
    let totals = report::totals(&stopped);
    assert_eq!((totals.calls, totals.unpriced), (1, 1), "a call was under way, and may be billed");

    run.at(9_000, "resumed", r#"{"at":1400000000}"#);
    let moved = |task: &str| format!(r#"{{"at":{},"what":"moved","task":"{task}","to":"pending"}}"#, BEGAN + 9_001);
    run.at(9_002, "heard", &format!(r#"{{"lost":0,"notes":[{},{}]}}"#, moved("t1"), moved("t2")));
    assert_eq!(states(&Story::of(&run.entries)), ["pending", "pending"]);

    run.event(9_100, "began", r#"{"job":{"work":{"task":"t2","round":0}},"tier":0}"#);
    run.event(9_200, "began", r#"{"job":{"check":{"task":"t1","round":0}},"tier":0}"#);
    run.at(20_000, "resumed", r#"{"at":1600000000}"#);
    let story = Story::of(&run.entries);
    let totals = report::totals(&story);
    assert_eq!((story.head.doubtful, totals.calls, totals.unpriced), (1, 2, 2), "a check calls nobody");
}

/// A fork's first entries are written all at once, and their notes go by the clock of the run that they come from.
#[test]
fn a_fork_tells_its_past_at_the_time_it_was() {
    let mut run = Entries::begin();
    run.entries[0].entry.body["forked"] = serde_json::json!({ "run": "r0", "at": 6 });
    let plan = r#"{"plan":{"tasks":[{"id":"t1","title":"A","role":"coder"}]},"spent":{}}"#;
    run.event(1_000, "planned", plan);
    run.event(1_100, "began", r#"{"job":{"work":{"task":"t1","round":0}},"tier":0}"#);
    for (t, what) in [(1_101, "queued"), (1_301, "admitted")] {
        run.heard(t, what, "t1", "work", "");
        let note = &mut run.entries.last_mut().expect("it is there").entry.body["notes"][0]["at"];
        *note = (BEGAN - 80_000_000 + t).into();
    }
    run.event(1_500, "produced", r#"{"task":"t1","text":"work","spent":{}}"#);
    run.entries.iter_mut().for_each(|recorded| recorded.at = bellwether_core::Timestamp::from_millis(BEGAN));
    run.at(5_000, "resumed", r#"{"at":1500000000}"#);
    run.event(5_200, "began", r#"{"job":{"review":{"task":"t1","round":0}},"tier":0}"#);
    let story = Story::of(&run.entries);
    let spans: Vec<_> = story.spans.iter().map(|span| (span.from, span.to, span.why.as_deref())).collect();
    let wait = [(1_100, Some(1_100), Some("queue")), (1_100, Some(1_300), Some("quota"))];
    assert_eq!(spans, [&[(1_100, Some(1_500), None)], &wait[..], &[(1_700, None, None)]].concat());
}
