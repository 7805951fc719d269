//! What the report looks like to whoever reads it.

use bellwether_watch::{Story, report};

use crate::entries::{Entries, ordinary};

/// A run whose agents come in an odd order, as they do where those of a role are added when work is there.
fn crowded() -> Story {
    let mut run = Entries::begin();
    let task = |id: &str, title: &str| {
        format!(
            r#"{{"id":"{id}","title":"{title}","objective":"a","acceptance":[],"role":"coder","depends_on":[],"complexity":2}}"#
        )
    };
    let tasks = [task("t1", "עברית"), task("t2", "B")].join(",");
    run.event(
        10,
        "planned",
        &format!(r#"{{"plan":{{"summary":"","tasks":[{tasks}],"degraded":false}},"spent":{{}}}}"#),
    );
    run.began(100, "work", "t1", 0);
    run.heard(100, "queued", "t1", "work", "");
    run.heard(600, "admitted", "t1", "work", "");
    run.event(
        1_000,
        "produced",
        r#"{"task":"t1","text":"work","spent":{"calls":1,"usage":{"input_tokens":1234567,"output_tokens":50}}}"#,
    );
    run.began(1_000, "review", "t1", 0);
    run.began(1_000, "work", "t2", 0);
    run.began(1_000, "work", "t1", 1);
    run.event(2_000, "produced", r#"{"task":"t2","text":"work","spent":{"calls":1}}"#);
    Story::of(&run.entries)
}

#[test]
fn the_legend_is_hatched_as_the_timeline_is() {
    let page = report::html(&Story::of(&ordinary()));
    let (legend, timeline) = page.split_once("<div class=\"wide\">").expect("the legend stands before the timeline");
    for reason in ["queue", "quota", "dependency", "retry"] {
        assert!(legend.contains(&format!("<rect class=\"span {reason}\"")), "{reason}: {legend}");
        assert!(timeline.contains(&format!("id=\"h-{reason}\"")), "{reason}");
    }
    assert!(!page.contains("repeating-linear-gradient"), "a second drawing of a hatching can differ from the first");
}

#[test]
fn agents_of_a_role_lie_beside_each_other_in_the_timeline() {
    let story = crowded();
    assert_eq!(story.head.lanes, ["coder#1", "critic#1", "coder#2"], "in the order of coming");
    let page = report::html(&story);
    let lanes = page.split("<text class=\"lane\"").skip(1);
    let mut lanes: Vec<(u64, &str)> = lanes
        .map(|lane| {
            let (place, name) = lane.split_once("\">").expect("a lane has a name");
            let y = place.rsplit_once("y=\"").expect("and a place").1;
            (y.parse().expect("which is a number"), name.split('<').next().unwrap_or_default())
        })
        .collect();
    lanes.sort_unstable();
    assert_eq!(lanes.iter().map(|(_, name)| *name).collect::<Vec<_>>(), ["coder#1", "coder#2", "critic#1"]);
}

#[test]
fn a_task_is_named_where_no_wait_lies_over_its_work() {
    let page = report::html(&crowded());
    let bar = |class: &str| {
        let rect = page.split(&format!("<rect class=\"span {class}\" x=\"")).nth(1).expect("there is one");
        let x: u64 = rect.split('"').next().unwrap_or_default().parse().expect("a number");
        let width = rect.split("width=\"").nth(1).unwrap_or_default();
        (x, x + width.split('"').next().unwrap_or_default().parse::<u64>().expect("a number"))
    };
    let name = page.split("<text class=\"name\" x=\"").nth(1).expect("the task is named");
    let at: u64 = name.split('"').next().unwrap_or_default().parse().expect("a number");
    assert!(bar("queue").1 < at && at < bar("work").1, "{at}: the wait is {:?}", bar("queue"));
}

#[test]
fn a_title_from_right_to_left_turns_nothing_around_it_and_figures_can_be_read() {
    let page = report::html(&crowded());
    assert!(page.contains("<b>t1</b> <bdi>עברית</bdi>"), "{page}");
    assert!(page.contains("1,234,567"), "thousands are set apart: {page}");
    assert!(page.contains("$0.0000"), "{page}");
}

#[test]
fn a_run_that_failed_says_what_of_and_shows_no_empty_headings() {
    let mut run = Entries::begin();
    run.event(10, "began", r#"{"job":"plan","tier":0}"#);
    run.event(
        20,
        "failed",
        r#"{"job":"plan","failure":{"kind":"connect","message":"nobody listens there"},"spent":{"calls":1}}"#,
    );
    run.at(30, "run_finished", r#"{"outcome":"failed"}"#);
    let story = Story::of(&run.entries);
    assert_eq!(story.head.stop.as_deref(), Some("nobody listens there"));
    let page = report::html(&story);
    assert!(page.contains("failed</span> nobody listens there</p>"), "{page}");
    assert!(report::markdown(&story).contains("**failed**, because nobody listens there"));
    let markdown = report::markdown(&story);
    for heading in ["Critical path", "The work", "Waits\n", "Reviews\n", "Tasks\n"] {
        assert!(!page.contains(heading), "there is nothing under {heading}: {page}");
        assert!(!markdown.contains(heading), "there is nothing under {heading}: {markdown}");
    }
}

#[test]
fn a_report_has_the_parts_as_one_whole_and_what_came_to_nothing() {
    let mut run = Entries::begin();
    let tasks = r#"{"id":"t1","title":"A","role":"coder"},{"id":"t2","title":"B","role":"coder"}"#;
    run.event(10, "planned", &format!(r#"{{"plan":{{"tasks":[{tasks}],"degraded":true}},"spent":{{}}}}"#));
    run.began(20, "work", "t1", 0);
    run.event(30, "produced", r#"{"task":"t1","text":"the first part","spent":{}}"#);
    run.event(35, "judged", r#"{"task":"t1","verdict":{"decision":"accept","score":0.9},"spent":{}}"#);
    run.event(
        40,
        "failed",
        r#"{"job":{"work":{"task":"t2","round":0}},"failure":{"kind":"upstream","message":"it broke"}}"#,
    );
    run.event(45, "began", r#"{"job":"combine","tier":0}"#);
    for whole in ["an old whole", "all of it, ```as``` one"] {
        run.event(50, "combined", &format!(r#"{{"text":"{whole}","spent":{{}}}}"#));
    }
    let story = Story::of(&run.entries);
    let (page, markdown) = (report::html(&story), report::markdown(&story));
    assert!(page.contains("one whole</h2><pre dir=\"auto\">all of it, ```as``` one</pre>"), "{page}");
    assert!(markdown.contains("## The parts as one whole\n\n````text\nall of it, ```as``` one\n````\n"), "{markdown}");
    assert!(page.contains("<rect class=\"span other\""), "whatever is done has a colour: {page}");
    assert!(markdown.contains("- t2 came to nothing, or its review did: it broke\n"), "{markdown}");
    assert!(markdown.contains("No plan could be read") && !markdown.contains("an old whole"), "{markdown}");
}

#[test]
fn an_issue_says_where_it_is_and_what_to_do() {
    let story = Story::of(&ordinary());
    assert!(report::markdown(&story).contains("  - major not yet: not yet\n"));
    assert!(report::html(&story).contains("<b>major</b> not yet: not yet</p>"));
}

#[test]
fn a_round_says_which_model_did_it_where_that_changes() {
    let mut run = Entries::begin();
    run.event(10, "planned", r#"{"plan":{"tasks":[{"id":"t1","title":"A","role":"coder"}]},"spent":{}}"#);
    for (round, tier) in [(0, 0), (1, 0), (2, 1)] {
        run.event(20, "began", &format!(r#"{{"job":{{"work":{{"task":"t1","round":{round}}}}},"tier":{tier}}}"#));
        run.event(30, "produced", r#"{"task":"t1","text":"work","spent":{}}"#);
    }
    let story = Story::of(&run.entries);
    let models: Vec<&str> = story.tasks[0].rounds.iter().map(|round| round.model.as_str()).collect();
    assert_eq!(models, ["small", "", "big"], "small, small, big");
    let markdown = report::markdown(&story);
    for line in ["- t1 round 1 on small: not", "- t1 round 2: not", "- t1 round 3 on big: not"] {
        assert!(markdown.contains(line), "{line}: {markdown}");
    }
    assert!(report::html(&story).contains("<li>round 3 on big <svg"));
}
