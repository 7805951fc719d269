//! A run's story and its report, from entries as a journal holds them.

use bellwether_watch::{Story, report};

use crate::entries::{BEGAN, Entries, hostile, ordinary};

#[test]
fn a_story_says_who_worked_when_and_what_came_of_each_task() {
    let story = Story::of(&ordinary());
    assert_eq!(story.head.outcome.as_deref(), Some("succeeded"));
    assert_eq!(story.head.lanes, ["lead#1", "coder#1", "coder#2", "critic#1"]);
    let states: Vec<&str> = story.tasks[0].states.iter().map(|(_, state)| state.as_str()).collect();
    assert_eq!(
        states,
        ["pending", "running", "produced", "in_review", "revising", "running", "produced", "in_review", "accepted"]
    );
    assert_eq!(story.tasks[0].rounds.len(), 2);
    assert_eq!(story.tasks[0].best().and_then(|round| round.score), Some(0.9));
    assert!(story.spans.iter().all(|span| span.to.is_some_and(|to| to >= span.from)), "everything ended");
    assert_eq!(story.head.critical, ["t1", "t3"], "t3 needs t1, and t2 stands alone");
}

#[test]
fn what_became_of_a_verdict_is_what_the_journal_says() {
    let judged = |said: Option<&str>| {
        let mut run = Entries::begin();
        run.event(1_000, "planned", r#"{"plan":{"tasks":[{"id":"t1","title":"A","role":"coder"}]},"spent":{}}"#);
        run.event(1_100, "began", r#"{"job":{"work":{"task":"t1","round":0}},"tier":0}"#);
        run.event(1_200, "produced", r#"{"task":"t1","text":"work","spent":{}}"#);
        run.event(1_300, "judged", r#"{"task":"t1","verdict":{"decision":"accept","score":0.9},"spent":{}}"#);
        if let Some(to) = said {
            let note =
                format!(r#"{{"lost":0,"notes":[{{"at":{},"what":"moved","task":"t1","to":"{to}"}}]}}"#, BEGAN + 1_300);
            run.at(1_310, "heard", &note);
        }
        let story = Story::of(&run.entries);
        story.tasks[0].states.iter().map(|(_, state)| state.clone()).collect::<Vec<_>>()
    };
    assert_eq!(judged(None), ["pending", "running", "produced", "accepted"], "what the score seems to mean");
    assert_eq!(judged(Some("accepted")), ["pending", "running", "produced", "accepted"]);
    assert_eq!(judged(Some("in_review")), ["pending", "running", "produced", "in_review"], "another has to look at it");
}

#[test]
fn the_parts_of_a_wait_are_told_apart() {
    let story = Story::of(&ordinary());
    let wait = |why: &str| report::totals(&story).waits.get(why).copied();
    // t2's call queued at 1,100 and was admitted at 2,000; the one before it was admitted at 1,500.
    assert_eq!(wait("queue"), Some(400));
    assert_eq!(wait("quota"), Some(500 + 400));
    assert_eq!(wait("retry"), Some(250));
    // t3 begins at 6,000 on the lane that fell idle at 5,000, once t1 came to rest at 5,900.
    assert_eq!(wait("dependency"), Some(900));
}

#[test]
fn a_call_that_was_sent_twice_says_so_in_the_log_and_in_the_report() {
    let mut run = Entries::begin();
    run.event(1_000, "planned", r#"{"plan":{"tasks":[{"id":"t1","title":"A","role":"coder"}]},"spent":{}}"#);
    run.began(1_050, "work", "t1", 0);
    run.heard(1_100, "hedged", "t1", "work", r#","end":"won""#);
    let story = Story::of(&run.entries);
    let said = "took long and was sent twice; the second try won";
    assert!(story.log.iter().any(|line| line.kind == "hedged" && line.text.ends_with(said)), "{:?}", story.log);
    assert!(report::html(&story).contains(said));
}

#[test]
fn a_run_is_told_in_the_same_way_each_time() {
    let mut run = Entries::begin();
    let ids: Vec<String> = (1..=8).map(|n| format!("t{n}")).collect();
    let tasks: Vec<String> = ids.iter().map(|id| format!(r#"{{"id":"{id}","title":"A","role":"coder"}}"#)).collect();
    run.event(100, "planned", &format!(r#"{{"plan":{{"tasks":[{}]}},"spent":{{}}}}"#, tasks.join(",")));
    for id in &ids {
        run.began(200, "work", id, 0);
        run.heard(300, "queued", id, "work", "");
    }
    let note =
        format!(r#"{{"lost":0,"notes":[{{"at":{},"what":"paused","quota":"main","wait":2500}}]}}"#, BEGAN + 1_000);
    run.at(1_000, "heard", &note);
    let story = Story::of(&run.entries);
    let gate = story.spans.iter().filter(|span| span.why.as_deref() == Some("quota"));
    assert!(gate.filter_map(|span| span.task.as_ref()).eq(&ids), "{:?}", story.spans);
}

/// A turn belongs to all roles alike that wait for it, whoever has it; who waits alone gets what is due to it.
#[test]
fn what_was_due_to_a_role_is_told_beside_what_it_had() {
    let mut run = Entries::begin();
    let tasks = r#"{"id":"t1","title":"A","role":"coder"},{"id":"t2","title":"B","role":"coder"}"#;
    run.event(100, "planned", &format!(r#"{{"plan":{{"tasks":[{tasks}]}},"spent":{{}}}}"#));
    let spent = r#""spent":{"usage":{"input_tokens":300,"output_tokens":100}}"#;
    run.began(200, "work", "t1", 0);
    run.heard(200, "queued", "t1", "work", "");
    run.heard(210, "admitted", "t1", "work", "");
    run.event(300, "produced", &format!(r#"{{"task":"t1","text":"work",{spent}}}"#));
    let due = |run: &Entries| {
        let shares = Story::of(&run.entries).shares.into_iter();
        shares.map(|share| (share.flow, share.tokens, share.due)).collect::<Vec<_>>()
    };
    assert_eq!(due(&run), [("coder".to_owned(), 400, 400.0)], "nobody else waited");

    run.began(310, "review", "t1", 0);
    run.began(310, "work", "t2", 0);
    run.heard(320, "queued", "t1", "review", "");
    run.heard(320, "queued", "t2", "work", "");
    run.heard(330, "admitted", "t2", "work", "");
    run.event(400, "produced", &format!(r#"{{"task":"t2","text":"work",{spent}}}"#));
    let after = [("coder".to_owned(), 800, 600.0), ("critic".to_owned(), 0, 200.0)];
    assert_eq!(due(&run)[1..], after, "the critic waited, too");
}

#[test]
fn a_pause_says_until_when_it_lasts() {
    let mut run = Entries::begin();
    let note =
        format!(r#"{{"lost":0,"notes":[{{"at":{},"what":"paused","quota":"main","wait":2500}}]}}"#, BEGAN + 1_000);
    run.at(1_000, "heard", &note);
    let story = Story::of(&run.entries);
    let paused: Vec<_> = story.marks.iter().map(|mark| (mark.what.as_str(), mark.t, mark.until)).collect();
    assert_eq!(paused, [("paused", 1_000, Some(3_500))]);
}

#[test]
fn a_message_that_reached_nobody_is_told_in_plain_words() {
    let mut run = Entries::begin();
    let mut dead = |what: &str, task: &str| {
        let letter = format!(
            r#"{{"letter":{{"from":"coder#1","to":"runtime","what":"{what}"{task},"reason":"the run ended before anybody read it"}}}}"#
        );
        run.event(1_000, "undelivered", &letter);
    };
    dead("finished", r#","task":"t1""#);
    dead("assign", "");
    dead("from the future", "");
    let said: Vec<String> = Story::of(&run.entries).log.into_iter().skip(1).map(|line| line.text).collect();
    let end = "from coder#1 to runtime reached nobody: the run ended before anybody read it";
    let words = ["t1: what came of a step", "a task to work on", "a message (from the future)"];
    assert_eq!(said, words.map(|words| format!("{words} {end}")));
}

#[test]
fn totals_are_what_the_events_say() {
    let totals = report::totals(&Story::of(&ordinary()));
    assert_eq!((totals.calls, totals.retries, totals.throttled), (8, 1, 1));
    assert_eq!((totals.input, totals.output), (800, 400));
    assert!((totals.usd - 0.08).abs() < 1e-9, "{}", totals.usd);
    assert_eq!(totals.wall, 7_000);
}

#[test]
fn the_time_in_which_nobody_worked_on_it_is_left_out() {
    let mut run = Entries::begin();
    run.event(1_000, "began", r#"{"job":"plan","tier":0}"#);
    run.at(90_000_000, "resumed", r#"{"at":1200000000,"event":null}"#);
    run.at(90_000_300, "run_finished", r#"{"at":1500000000,"outcome":"failed"}"#);
    let story = Story::of(&run.entries);
    assert_eq!(story.head.now, 1_500);
    assert_eq!(story.head.doubtful, 1, "the call that was under way may have been billed");
}

/// `t1` asks for two tasks and needs one of them: the other one is stopped in the middle.
#[test]
fn what_a_task_asked_for_is_shown_with_who_was_called_off() {
    let mut run = Entries::begin();
    run.event(1_000, "planned", r#"{"plan":{"tasks":[{"id":"t1","title":"A","role":"coder"}]},"spent":{}}"#);
    run.event(1_100, "began", r#"{"job":{"work":{"task":"t1","round":0}},"tier":0}"#);
    run.event(
        2_000,
        "spawned",
        r#"{"task":"t1","tasks":[{"id":"t1.1","title":"X","role":"coder"},{"id":"t1.2","title":"Y","role":"coder"}],"join":"any","spent":{"calls":1}}"#,
    );
    run.event(2_100, "began", r#"{"job":{"work":{"task":"t1.1","round":0}},"tier":0}"#);
    run.event(2_100, "joined", r#"{"task":"t1","met":true,"dismissed":["t1.1","t1.2"]}"#);
    run.event(2_200, "called_off", r#"{"job":{"work":{"task":"t1.1","round":0}},"spent":{"calls":1}}"#);
    let story = Story::of(&run.entries);
    let ends: Vec<(&str, u64)> =
        story.tasks.iter().map(|task| (task.state(), task.states.last().map_or(0, |(t, _)| *t))).collect();
    assert_eq!(ends, [("pending", 2_000), ("cancelled", 2_200), ("cancelled", 2_100)]);
    let said: Vec<&str> = story.log.iter().map(|line| line.text.as_str()).collect();
    assert!(said.contains(&"t1 asks for 2 further tasks and needs any"), "{said:?}");
    assert!(said.contains(&"t1: goes on with what it asked for; called off: t1.1, t1.2"), "{said:?}");
    assert_eq!(story.tasks[1].calls, 1, "what was cut off is counted");
}

#[test]
fn entries_nobody_knows_are_lines_of_the_log() {
    let mut run = Entries::begin();
    run.event(10, "rerouted", r#"{"task":"t1","tier":2,"why":"the first one failed"}"#);
    run.event(20, "heard", "null");
    run.at(30, "heard", r#"{"lost":3,"notes":[{"at":1,"what":"from the future"},7]}"#);
    let story = Story::of(&run.entries);
    assert!(story.log.iter().any(|line| line.kind == "rerouted" && line.text.contains("the first one failed")));
    assert_eq!(story.head.lost, 3);
    run.event(40, "routed", r#"{"task":"t1","tier":2}"#);
    assert!(report::html(&Story::of(&run.entries)).contains("What routing decided"));
}

#[test]
fn news_are_what_the_last_entries_changed_and_add_up_to_the_whole() {
    let entries = ordinary();
    let mut story = Story::new();
    let mut lists = serde_json::Map::new();
    for recorded in &entries {
        story.apply(recorded);
        for (part, items) in story.news()["put"].as_object().expect("lists by name") {
            let list = lists.entry(part.clone()).or_insert_with(|| serde_json::json!([]));
            let list = list.as_array_mut().expect("a list");
            for item in items.as_array().expect("pairs") {
                let n = usize::try_from(item[0].as_u64().expect("an index")).expect("a small one");
                if n == list.len() {
                    list.push(item[1].clone());
                } else {
                    list[n] = item[1].clone();
                }
            }
        }
    }
    let whole = Story::of(&entries).whole();
    for (part, items) in whole["put"].as_object().expect("lists by name") {
        let items: Vec<_> = items.as_array().expect("pairs").iter().map(|pair| pair[1].clone()).collect();
        let empty = serde_json::json!([]);
        assert_eq!(lists.get(part).unwrap_or(&empty), &serde_json::json!(items), "{part}");
    }
}

#[test]
fn a_report_shows_what_models_say_and_obeys_none_of_it() {
    let story = Story::of(&hostile());
    let page = report::html(&story);
    assert!(page.contains("default-src 'none'"), "the policy forbids everything");
    for tag in ["<script", "<img", "<iframe", "<svg onload", "<a ", "<link", "<object", "<form", "<b>bold"] {
        assert!(!page.to_lowercase().contains(tag), "{tag}");
    }
    for text in [&page, &report::markdown(&story)] {
        assert!(!text.contains(['\u{1b}', '\u{9b}', '\u{202e}', '\u{7}']), "no control sequence");
    }
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "it is shown word for word");
    let markdown = report::markdown(&story);
    let (markdown, fenced) = markdown.split_once("## The work").expect("the work comes last");
    assert!(fenced.contains("```text\n<script>"), "word for word, in a fence: {fenced}");
    assert!(!markdown.contains("![x]("), "no picture: {markdown}");
    assert!(!markdown.contains("<script"), "no HTML outside of a fence: {markdown}");
}

#[test]
fn a_report_of_a_run_that_hardly_began_is_a_report() {
    let story = Story::of(&Entries::begin().entries);
    assert!(report::html(&story).contains("not finished"));
    assert!(report::markdown(&story).contains("**not finished**"));
    assert_eq!(report::json(&story)["totals"]["calls"], 0);
    assert!(report::html(&Story::new()).ends_with("</html>\n"));
}

#[test]
fn digests_and_the_whole_move_no_task_and_are_told_in_words() {
    let mut run = Entries::begin();
    let task =
        r#"{"id":"t1","title":"A","objective":"a","acceptance":[],"role":"coder","depends_on":[],"complexity":2}"#;
    run.event(10, "planned", &format!(r#"{{"plan":{{"summary":"","tasks":[{task}],"degraded":false}},"spent":{{}}}}"#));
    run.event(20, "routed", r#"{"task":"t1","route":{"tier":0,"name":"small","why":"it is the cheapest"}}"#);
    run.event(30, "began", r#"{"job":{"work":{"task":"t1","round":0}},"tier":0}"#);
    run.event(40, "produced", r#"{"task":"t1","text":"work","spent":{"calls":1}}"#);
    run.event(50, "began", r#"{"job":{"check":{"task":"t1","round":0}},"tier":0}"#);
    run.event(60, "checked", r#"{"task":"t1","findings":[{"id":"lint","must":false,"pass":false,"evidence":"x"}]}"#);
    run.event(70, "began", r#"{"job":{"digest":{"task":"t1"}},"tier":0}"#);
    run.event(
        80,
        "failed",
        r#"{"job":{"digest":{"task":"t1"}},"failure":{"kind":"upstream","message":"down"},"spent":{"calls":1}}"#,
    );
    run.event(90, "began", r#"{"job":"combine","tier":0}"#);
    run.event(95, "combined", r#"{"text":"all of it","spent":{"calls":1}}"#);
    let story = Story::of(&run.entries);
    assert_eq!(story.tasks[0].state(), "produced");
    assert_eq!(report::totals(&story).calls, 3);
    assert!(story.spans.iter().all(|span| span.to.is_some()), "everything ended: {:?}", story.spans);
    let log: Vec<String> = story.log.iter().map(|line| line.text.clone()).collect();
    for said in ["t1 starts on small: it is the cheapest", "t1: checks found lint", "one whole of 9 characters"] {
        assert!(log.iter().any(|line| line.contains(said)), "{said}: {log:?}");
    }
}
