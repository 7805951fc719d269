//! Figures and states of a story are those of the run.

use bellwether_watch::story::Task;
use bellwether_watch::{Story, report};

use crate::entries::{BEGAN, Entries};

/// A run with a task that was handed in.
fn handed_in(rules: &str) -> Entries {
    let mut run = Entries::begin();
    run.entries[0].entry.body["rules"] = serde_json::from_str(rules).expect("the test writes JSON");
    run.event(1_000, "planned", r#"{"plan":{"tasks":[{"id":"t1","title":"A","role":"coder"}]},"spent":{}}"#);
    run.began(1_100, "work", "t1", 0);
    run.event(2_000, "produced", r#"{"task":"t1","text":"work","spent":{"calls":1}}"#);
    run
}

fn task(run: &Entries) -> Task {
    Story::of(&run.entries).tasks.remove(0)
}

fn states(task: &Task) -> Vec<&str> {
    task.states.iter().map(|(_, state)| state.as_str()).collect()
}

/// Under a budget of calls or tokens alone, dollars were counted once by the budget and once by the team.
#[test]
fn what_a_budget_says_is_spent_is_not_counted_again() {
    let mut run = Entries::begin();
    let budget = |spent: u64| {
        format!(
            r#"{{"lost":0,"notes":[{{"at":{},"what":"budget","spent":{spent},"reserved":0,"cap":null}}]}}"#,
            BEGAN + 900
        )
    };
    run.at(900, "heard", &budget(20_000_000));
    run.event(1_000, "planned", r#"{"plan":{"tasks":[]},"spent":{"calls":1,"usage":{"cost":20000000}}}"#);
    let spent = |run: &Entries| Story::of(&run.entries).money.last().map(|money| money.spent);
    assert_eq!(spent(&run), Some(0.02));
    // Who goes on with it without a budget adds to what is known.
    run.at(9_000, "resumed", r#"{"at":1000000000,"event":null}"#);
    run.event(9_100, "combined", r#"{"text":"all","spent":{"calls":1,"usage":{"cost":10000000}}}"#);
    assert_eq!(spent(&run), Some(0.03));
}

#[test]
fn nothing_that_follows_a_resume_is_earlier_than_what_came_before() {
    let mut run = handed_in("{}");
    run.began(2_010, "review", "t1", 0);
    run.heard(2_150, "queued", "t1", "review", "");
    // The process was killed then; the last event that counts its time is of 2,010.
    run.at(60_000, "resumed", r#"{"at":2010000000,"event":null}"#);
    run.at(60_005, "began", r#"{"event":{"job":{"review":{"task":"t1","round":0}},"tier":0}}"#);
    run.at(60_900, "judged", r#"{"event":{"task":"t1","verdict":{"decision":"accept","score":0.9},"spent":{}}}"#);
    let story = Story::of(&run.entries);
    let reviews: Vec<_> =
        story.spans.iter().filter(|span| span.what == "review").map(|span| (span.from, span.to)).collect();
    assert_eq!(reviews, [(2_010, Some(2_150)), (2_150, Some(2_150)), (2_155, Some(3_050))]);
    assert_eq!(story.head.now, 3_050, "all the time in which a process worked on it, as far as is known");
}

#[test]
fn work_that_a_check_found_wanting_goes_back_with_what_it_found() {
    let rules = r#"{"checked":true,"review":{"threshold":0.75,"max_rounds":1,"on_exhausted":"human"}}"#;
    let mut run = handed_in(rules);
    let findings = |pass| {
        format!(
            r#"{{"task":"t1","findings":[{{"id":"types","must":true,"pass":{pass},"evidence":"line 3"}},{{"id":"tone","must":false,"pass":false,"evidence":"dry"}}]}}"#
        )
    };
    run.event(2_100, "checked", &findings(false));
    let back = task(&run);
    assert_eq!(states(&back), ["pending", "running", "produced", "revising"]);
    let round = &back.rounds[0];
    assert_eq!((round.judged, round.score, round.decision.as_deref()), (Some(2_100), Some(0.0), Some("revise")));
    assert_eq!(round.summary, "checks that failed: types");
    assert_eq!(round.issues, [("blocker".to_owned(), "check types".to_owned(), "line 3".to_owned())]);
    let mut passed = handed_in(rules);
    passed.event(2_100, "checked", &findings(true));
    assert_eq!(states(&task(&passed)), ["pending", "running", "produced"], "a judge looks at it");
    // The same work again is not looked at again, and its rounds are used up.
    run.began(2_200, "work", "t1", 1);
    run.event(2_300, "produced", r#"{"task":"t1","text":"work","spent":{"calls":1}}"#);
    let again = task(&run);
    assert_eq!((again.state(), again.rounds[1].score), ("blocked", Some(0.0)));
    assert_eq!(again.rounds[1].summary, "checks that failed: types");
}

#[test]
fn without_a_reviewer_work_is_good_once_the_checks_have_passed_it() {
    let mut run = handed_in(r#"{"checked":true}"#);
    run.entries[0].entry.body["terms"]["role critic: kind"] = "worker".into();
    assert_eq!(task(&run).state(), "produced");
    run.event(2_100, "checked", r#"{"task":"t1","findings":[{"id":"types","must":true,"pass":true,"evidence":""}]}"#);
    assert_eq!(task(&run).state(), "accepted");
}

#[test]
fn what_a_judge_failed_of_is_forgotten_once_another_one_looks() {
    let mut run = handed_in("{}");
    run.began(2_100, "review", "t1", 0);
    run.event(
        2_200,
        "failed",
        r#"{"job":{"review":{"task":"t1","round":0}},"failure":{"kind":"upstream","message":"down"},"spent":{}}"#,
    );
    assert_eq!(task(&run).failure.as_deref(), Some("down"));
    run.began(2_300, "review", "t1", 0);
    run.event(2_400, "judged", r#"{"task":"t1","verdict":{"decision":"accept","score":0.9},"spent":{}}"#);
    assert_eq!((task(&run).state(), task(&run).failure), ("accepted", None));
}

#[test]
fn a_stop_before_another_judge_has_looked_leaves_no_failure() {
    let mut run = handed_in("{}");
    run.began(2_100, "review", "t1", 0);
    let failure = r#"{"kind":"upstream","message":"down"}"#;
    let failed = format!(r#"{{"job":{{"review":{{"task":"t1","round":0}}}},"failure":{failure},"spent":{{}}}}"#);
    run.event(2_200, "failed", &failed);
    let note = format!(r#"{{"at":{},"what":"moved","task":"t1","to":"produced"}}"#, BEGAN + 2_200);
    run.at(2_210, "heard", &format!(r#"{{"lost":0,"notes":[{note}]}}"#));
    assert_eq!((task(&run).state(), task(&run).failure), ("produced", None));
    run.event(2_300, "stopped", r#"{"stop":"asked"}"#);
    assert_eq!((task(&run).state(), task(&run).failure), ("unreviewed", None));
}

#[test]
fn a_task_that_is_tried_again_has_all_of_its_time_again() {
    let mut run = handed_in("{}");
    run.event(
        2_400,
        "failed",
        r#"{"job":{"work":{"task":"t1","round":1}},"failure":{"kind":"upstream","message":"down"},"spent":{}}"#,
    );
    assert_eq!(task(&run).taken(9_999), Some(1_300));
    run.event(2_500, "retried", r#"{"tasks":["t1"]}"#);
    assert_eq!((task(&run).taken(9_999), task(&run).failure), (None, None));
    run.began(5_000, "work", "t1", 1);
    assert_eq!(task(&run).taken(6_000), Some(1_000));
}

#[test]
fn what_a_person_turned_down_says_why() {
    let mut run = handed_in(r#"{"review":{"threshold":0.75,"max_rounds":0,"on_exhausted":"human"}}"#);
    run.event(2_400, "judged", r#"{"task":"t1","verdict":{"decision":"revise","score":0.2},"spent":{}}"#);
    assert_eq!(task(&run).state(), "blocked");
    run.event(2_500, "ruled", r#"{"task":"t1","ruling":{"fail":{"reason":"not what I asked for"}}}"#);
    assert_eq!((task(&run).state(), task(&run).failure.as_deref()), ("failed", Some("not what I asked for")));
}

/// Answers were counted for the role of whoever had asked, and their waits for nobody.
#[test]
fn an_answer_is_that_of_the_role_that_was_asked() {
    let mut run = handed_in("{}");
    run.event(2_500, "asked", r#"{"task":"t1","question":{"to":"lead","text":"which port?"},"spent":{"calls":1}}"#);
    run.event(2_510, "began", r#"{"job":{"answer":{"task":"t1","question":1}},"tier":0}"#);
    for (at, what) in [(2_510, "queued"), (2_900, "admitted")] {
        let call =
            r#"{"role":"lead","agent":1,"task":"t1","phase":"answer","round":1,"model":"big","provider":"main"}"#;
        run.at(
            at,
            "heard",
            &format!(r#"{{"lost":0,"notes":[{{"at":{},"what":"{what}","call":{call}}}]}}"#, BEGAN + at),
        );
    }
    run.event(3_000, "answered", r#"{"task":"t1","text":"80","spent":{"calls":1,"usage":{"output_tokens":7}}}"#);
    let story = Story::of(&run.entries);
    let answered: Vec<_> = story.costs.iter().filter(|cost| cost.output == 7).collect();
    assert_eq!((answered[0].role.as_str(), answered[0].model.as_str()), ("lead", "big"));
    assert_eq!(report::totals(&story).waits.values().sum::<u64>(), 390);
    let mut spans = story.spans.iter().filter(|span| span.what == "answer");
    assert!(spans.all(|span| story.head.lanes[span.lane] == "lead#1"), "{:?}", story.spans);
    assert!(story.log.iter().all(|line| !line.text.contains("revision")), "{:?}", story.log);
}

/// The whole of a run is made anew when more of it was done: until then the old one is no result.
#[test]
fn a_whole_is_none_once_a_task_is_taken_up_again() {
    let mut run = handed_in("{}");
    run.event(2_100, "judged", r#"{"task":"t1","verdict":{"decision":"accept","score":0.9},"spent":{}}"#);
    run.event(2_200, "combined", r#"{"text":"all of it","spent":{"calls":1}}"#);
    let shown = |run: &Entries| {
        let story = Story::of(&run.entries);
        [report::html(&story), report::markdown(&story)].map(|report| report.contains("all of it"))
    };
    assert_eq!(shown(&run), [true, true]);
    run.at(9_000, "resumed", r#"{"at":2200000000,"event":null}"#);
    run.began(9_100, "work", "t1", 1);
    assert_eq!(shown(&run), [false, false]);
}

#[test]
fn a_task_that_failed_of_what_it_asked_for_says_how_much_of_it_there_was() {
    let mut run = Entries::begin();
    run.event(1_000, "planned", r#"{"plan":{"tasks":[{"id":"t1","title":"A","role":"coder"}]},"spent":{}}"#);
    run.began(1_100, "work", "t1", 0);
    let asked = r#"[{"id":"t1.1","title":"X","role":"coder"},{"id":"t1.2","title":"Y","role":"coder"}]"#;
    run.event(2_000, "spawned", &format!(r#"{{"task":"t1","tasks":{asked},"join":{{"quorum":2}},"spent":{{}}}}"#));
    run.began(2_100, "work", "t1.1", 0);
    run.event(2_200, "produced", r#"{"task":"t1.1","text":"work","spent":{}}"#);
    run.event(2_300, "judged", r#"{"task":"t1.1","verdict":{"decision":"accept","score":0.9},"spent":{}}"#);
    run.event(2_400, "joined", r#"{"task":"t1","met":false,"dismissed":[]}"#);
    let why = "1 of the 2 tasks it asked for came to work; it needs 2 of them";
    assert_eq!((task(&run).state(), task(&run).failure.as_deref()), ("failed", Some(why)));
}

#[test]
fn who_begins_to_wait_in_a_pause_waits_for_the_quota() {
    let mut run = handed_in("{}");
    let paused = format!(r#"{{"at":{},"what":"paused","quota":"main","wait":2500}}"#, BEGAN + 2_000);
    run.at(2_000, "heard", &format!(r#"{{"lost":0,"notes":[{paused}]}}"#));
    run.began(2_100, "review", "t1", 0);
    run.heard(2_100, "queued", "t1", "review", "");
    run.heard(4_600, "admitted", "t1", "review", "");
    let waits = report::totals(&Story::of(&run.entries)).waits;
    assert_eq!((waits.get("quota"), waits.get("queue")), (Some(&2_500), None));
}

#[test]
fn nothing_goes_on_after_the_end_and_what_was_not_judged_then_is_called_so() {
    let mut run = handed_in("{}");
    run.began(2_100, "review", "t1", 0);
    run.event(2_200, "stopped", r#"{"stop":"asked"}"#);
    run.at(2_300, "run_finished", r#"{"at":2300000000,"outcome":"cancelled"}"#);
    let story = Story::of(&run.entries);
    assert!(story.spans.iter().all(|span| span.to.is_some_and(|to| to <= 2_300)), "{:?}", story.spans);
    let mut late = Entries::begin();
    late.event(1_000, "planned", r#"{"plan":{"tasks":[{"id":"t1","title":"A","role":"coder"}]},"spent":{}}"#);
    late.began(1_100, "work", "t1", 0);
    late.event(1_200, "stopped", r#"{"stop":"deadline"}"#);
    late.event(1_300, "produced", r#"{"task":"t1","text":"work","spent":{}}"#);
    assert_eq!(task(&late).state(), "unreviewed");
}

/// A page keeps the beginning of a text only; two that begin alike are not the same work.
#[test]
fn work_that_begins_as_other_work_did_is_not_taken_for_it() {
    let mut run = handed_in("{}");
    run.event(2_100, "judged", r#"{"task":"t1","verdict":{"decision":"revise","score":0.4},"spent":{}}"#);
    run.began(2_200, "work", "t1", 1);
    run.event(2_300, "produced", r#"{"task":"t1","text":"workshop","spent":{}}"#);
    let mut story = Story::brief(4);
    run.entries[3].entry.body["event"]["text"] = "worktop".into();
    run.entries.iter().for_each(|recorded| story.apply(recorded));
    let rounds: Vec<_> = story.tasks[0].rounds.iter().map(|round| (round.text.as_str(), round.score)).collect();
    assert_eq!(rounds, [("wor…", Some(0.4)), ("wor…", None)]);
}

#[test]
fn what_needs_work_that_a_person_turned_down_is_skipped() {
    let mut run = Entries::begin();
    let rules = r#"{"review":{"threshold":0.75,"max_rounds":0,"on_exhausted":"human"}}"#;
    run.entries[0].entry.body["rules"] = serde_json::from_str(rules).expect("the test writes JSON");
    let tasks = r#"{"id":"t1","title":"A","role":"coder"},{"id":"t2","title":"B","role":"coder","depends_on":["t1"]}"#;
    run.event(1_000, "planned", &format!(r#"{{"plan":{{"tasks":[{tasks}]}},"spent":{{}}}}"#));
    run.began(1_100, "work", "t1", 0);
    run.event(2_000, "produced", r#"{"task":"t1","text":"work","spent":{}}"#);
    run.event(2_400, "judged", r#"{"task":"t1","verdict":{"decision":"revise","score":0.2},"spent":{}}"#);
    run.event(2_500, "ruled", r#"{"task":"t1","ruling":{"fail":{"reason":"no"}}}"#);
    assert_eq!(Story::of(&run.entries).tasks[1].state(), "skipped");
    // In a team that ends with the first failure the others are given up.
    run.entries[0].entry.body["rules"]["on_failure"] = "fail_fast".into();
    run.entries[1].entry.body["event"]["plan"]["tasks"][1]["depends_on"] = serde_json::json!([]);
    assert_eq!(Story::of(&run.entries).tasks[1].state(), "cancelled");
    // Who is asked for another round has all of its time again.
    run.entries.truncate(run.entries.len() - 1);
    run.event(2_500, "ruled", r#"{"task":"t1","ruling":{"again":{"note":"more"}}}"#);
    assert_eq!((task(&run).state(), task(&run).taken(9_000)), ("revising", None));
}

#[test]
fn a_call_that_may_have_been_billed_is_named_in_the_report() {
    let mut run = handed_in("{}");
    run.began(2_100, "review", "t1", 0);
    run.at(9_000, "resumed", r#"{"at":2100000000,"event":null}"#);
    let story = Story::of(&run.entries);
    assert!(report::html(&story).contains("1 calls were under way when a process ended"));
    assert!(report::markdown(&story).contains("may have been billed: 1\n"));
}

#[test]
fn before_anything_is_done_the_critical_path_goes_by_how_hard_tasks_are() {
    let mut run = Entries::begin();
    let tasks = r#"{"id":"t1","title":"A","role":"coder","complexity":1},{"id":"t2","title":"B","role":"coder","complexity":5},
        {"id":"t3","title":"C","role":"coder","complexity":1,"depends_on":["t1"]}"#;
    run.event(1_000, "planned", &format!(r#"{{"plan":{{"tasks":[{tasks}]}},"spent":{{}}}}"#));
    assert_eq!(Story::of(&run.entries).head.critical, ["t2"]);
}

/// A note of a move that an event has overtaken changes nothing.
#[test]
fn what_a_verdict_was_taken_to_mean_is_not_undone_once_the_task_goes_on() {
    let mut run = handed_in(r#"{"review":{"threshold":0.75,"max_rounds":2,"on_exhausted":"fail"}}"#);
    run.event(2_100, "judged", r#"{"task":"t1","verdict":{"decision":"revise","score":0.4},"spent":{}}"#);
    run.began(2_200, "work", "t1", 1);
    let note =
        format!(r#"{{"lost":0,"notes":[{{"at":{},"what":"moved","task":"t1","to":"revising"}}]}}"#, BEGAN + 2_200);
    run.at(2_210, "heard", &note);
    assert_eq!(task(&run).state(), "running");
}

#[test]
fn a_task_is_never_in_a_state_before_it_is_in_the_one_before() {
    let mut run = handed_in("{}");
    let note =
        format!(r#"{{"lost":0,"notes":[{{"at":{},"what":"moved","task":"t1","to":"rejected"}}]}}"#, BEGAN + 1_999);
    run.at(2_001, "heard", &note);
    assert_eq!(task(&run).states.last(), Some(&(2_000, "rejected".to_owned())));
}
