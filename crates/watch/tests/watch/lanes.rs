//! Which agent did what.

use bellwether_watch::{Story, report};

use crate::entries::{BEGAN, Entries};

/// The journal says which agent asks; that it was the first free one is only what is taken for granted until then.
#[test]
fn a_job_is_in_the_lane_of_the_agent_that_asked_for_it() {
    let mut run = Entries::begin();
    let tasks = r#"{"id":"t1","title":"A","role":"coder"},{"id":"t2","title":"B","role":"coder"}"#;
    run.event(1_000, "planned", &format!(r#"{{"plan":{{"tasks":[{tasks}]}},"spent":{{}}}}"#));
    for task in ["t1", "t2"] {
        run.event(1_100, "began", &format!(r#"{{"job":{{"work":{{"task":"{task}","round":0}}}},"tier":0}}"#));
    }
    let queued = |run: &mut Entries, task, agent: usize| {
        run.at(
            1_200,
            "heard",
            &format!(
                r#"{{"lost":0,"notes":[{{"at":{},"what":"queued","call":{{"role":"coder","agent":{agent},"task":"{task}","phase":"work","round":0,"model":"m","provider":"p"}}}}]}}"#,
                BEGAN + 1_200
            ),
        );
    };
    queued(&mut run, "t1", 2);
    queued(&mut run, "t2", 3);
    let story = Story::of(&run.entries);
    let lane = |task: &str| {
        let spans = story.spans.iter().filter(|span| span.task.as_deref() == Some(task));
        spans.map(|span| story.head.lanes[span.lane].as_str()).collect::<Vec<_>>()
    };
    assert_eq!(lane("t1"), ["coder#2", "coder#2"], "the work, and the wait in it");
    assert_eq!(lane("t2"), ["coder#3", "coder#3"]);
    assert_eq!(story.head.lanes, ["coder#3", "coder#2"], "there is no lane of an agent that did nothing");
}

/// Three tasks for one agent: before, their bars lay over each other, in lanes of agents that are not there.
#[test]
fn an_agent_that_takes_a_job_is_done_with_the_one_before() {
    let mut run = Entries::begin();
    let tasks: Vec<String> = (1..=3).map(|n| format!(r#"{{"id":"t{n}","title":"A","role":"coder"}}"#)).collect();
    run.event(1_000, "planned", &format!(r#"{{"plan":{{"tasks":[{}]}},"spent":{{}}}}"#, tasks.join(",")));
    for task in ["t1", "t2", "t3"] {
        run.began(1_100, "work", task, 0);
    }
    let spent = r#""spent":{"calls":1,"usage":{"input_tokens":10,"output_tokens":1}}"#;
    for (at, task) in [(1_100, "t1"), (2_000, "t2"), (3_000, "t3")] {
        for what in ["queued", "admitted"] {
            let call = format!(
                r#"{{"role":"coder","agent":1,"task":"{task}","phase":"work","round":0,"model":"m","provider":"p"}}"#
            );
            let note = format!(r#"{{"lost":0,"notes":[{{"at":{},"what":"{what}","call":{call}}}]}}"#, BEGAN + at);
            run.at(at, "heard", &note);
        }
        // That the one before is done is written after its agent has taken the next.
        let before = match task {
            "t2" => "t1",
            "t3" => "t2",
            _ => continue,
        };
        run.event(at + 5, "produced", &format!(r#"{{"task":"{before}","text":"work",{spent}}}"#));
    }
    run.event(4_000, "produced", &format!(r#"{{"task":"t3","text":"work",{spent}}}"#));
    let story = Story::of(&run.entries);
    let work = story.spans.iter().filter(|span| span.why.is_none());
    let work: Vec<_> = work.map(|span| (story.head.lanes[span.lane].as_str(), span.from, span.to)).collect();
    let lane = "coder#1";
    assert_eq!(work, [(lane, 1_100, Some(2_000)), (lane, 2_000, Some(3_000)), (lane, 3_000, Some(4_000))]);
    assert_eq!(report::totals(&story).calls, 3, "what was handed in afterwards is counted all the same");
    let page = report::html(&story);
    assert!(page.contains("coder#1</text>") && !page.contains("coder#2"), "nobody is shown who did nothing");
}
