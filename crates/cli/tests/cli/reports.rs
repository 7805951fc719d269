//! A run's report as its users get it.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use bellwether_journal::{Entry, Journal, Settings, SqliteJournal};

use crate::process::{Folder, Simulator, Underway, bellwether, feature_team, said};

#[test]
fn a_run_has_a_report_in_three_forms_with_its_waits_in_it() {
    let folder = Folder::new("report");
    let simulator = Simulator::start(&folder, &["--burst", "3:2:1s", "--seed", "3"]);
    let mut command = bellwether(&folder);
    command.arg("run").arg(feature_team()).args([
        "Build it",
        "--base-url",
        &simulator.base_url,
        "--budget",
        "2usd",
        "--json",
    ]);
    let run = said(&mut command).json();

    let json = said(bellwether(&folder).args(["report", "last", "--json"])).json();
    assert_eq!(json["story"]["head"]["run"], run["run_id"]);
    assert_eq!(json["story"]["head"]["outcome"], run["outcome"]);
    assert_eq!((&json["totals"]["calls"], &json["totals"]["retries"]), (&run["calls"], &run["retries"]));
    assert_eq!(json["totals"]["throttled"], simulator.stats()["answered"]["429"]);
    assert!(json["totals"]["waits"]["quota"].as_u64() > Some(0), "the pause was noted: {}", json["totals"]);
    let off = json["totals"]["usd"].as_f64().zip(run["cost_usd"].as_f64()).map(|(ours, theirs)| (ours - theirs).abs());
    assert!(off < Some(1e-9), "both say the same: {off:?}");
    let money = json["story"]["money"].as_array().expect("a list");
    assert!(money.last().is_some_and(|point| point["cap"] == 2.0), "{money:?}");
    let moments: Vec<u64> = money.iter().filter_map(|point| point["t"].as_u64()).collect();
    assert!(moments.len() == money.len() && moments.is_sorted() && moments.first() < Some(&60_000), "{money:?}");
    let (told, states) = (run["tasks"].as_array().expect("a list"), json["story"]["tasks"].as_array().expect("a list"));
    for (told, task) in told.iter().zip(states) {
        let last = task["states"].as_array().and_then(|states| states.last()).expect("it came to rest");
        assert_eq!(last[1], told["state"]);
    }

    let written = said(bellwether(&folder).args(["report", "--html", "-o", "run.html"]));
    assert_eq!(written.code, Some(0), "{}", written.stderr);
    let page = std::fs::read_to_string(folder.join("run.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("Critical path") && page.contains("url(#h-quota)"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(folder.join("run.html")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "prompts and answers are in it");
    }
    let markdown = said(bellwether(&folder).arg("report"));
    assert!(markdown.stdout.starts_with("# Build it\n") && markdown.stdout.contains("Cost by role and model"));
    let unknown = said(bellwether(&folder).args(["report", "nothing-like-it", "--json"]));
    assert_eq!(unknown.code, Some(2), "{}", unknown.stderr);
}

/// A run that began, in the journal of a folder.
async fn begun(folder: &Folder, request: &str) {
    let settings = Settings { ballast: 0, ..Settings::default() };
    let journal = SqliteJournal::open(folder.join("runs"), settings).expect("the folder is ours");
    let lease = journal.lease(&"r1".into()).await.expect("the folder is ours");
    let body = serde_json::json!({ "team": "pair", "request": request, "terms": {} });
    journal.append(&lease, vec![Entry { kind: "run_started".to_owned(), body }]).await.expect("the folder is ours");
    journal.release(&lease).await.expect("the folder is ours");
}

/// Before, half a report in a file on a full disk counted as one.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_finds_no_room_is_no_success() {
    let folder = Folder::new("full");
    begun(&folder, "Build it").await;
    for args in [&["report"][..], &["report", "--html"], &["runs", "list"], &["runs", "show", "last"], &["tail"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let told = said(bellwether(&folder).args(args).stdout(Stdio::from(full)));
        assert_eq!(told.code, Some(74), "{args:?}: {}", told.stderr);
        assert!(told.stderr.contains("standard output cannot be written"), "{args:?}: {}", told.stderr);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_report_is_its_owners_alone_though_everybody_could_read_what_was_there() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("mode")
        .with("run.md", "an older report, which was longer than the new one will be ".repeat(99).as_str());
    begun(&folder, "Build it").await;
    std::fs::set_permissions(folder.join("run.md"), PermissionsExt::from_mode(0o644)).unwrap();
    assert_eq!(said(bellwether(&folder).args(["report", "-o", "run.md"])).code, Some(0));
    assert_eq!(std::fs::metadata(folder.join("run.md")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!std::fs::read_to_string(folder.join("run.md")).unwrap().contains("older"));
}

#[tokio::test]
async fn a_list_shows_the_first_words_of_a_request_that_begins_with_empty_lines() {
    let folder = Folder::new("listed");
    begun(&folder, "\n \r\nBuild it\nand test it").await;
    let told = said(bellwether(&folder).args(["runs", "list"]));
    assert!(told.stdout.ends_with("entries  Build it\n"), "{}", told.stdout);
}

#[test]
fn nothing_is_collected_and_nothing_made_where_there_is_no_journal() {
    let folder = Folder::new("nothing");
    let told = said(bellwether(&folder).args(["runs", "gc", "--journal", "rusn"]));
    assert_eq!(told.code, Some(74), "{}", told.stderr);
    assert!(told.stderr.contains("there is no journal in rusn") && !folder.join("rusn").exists(), "{}", told.stderr);
}

/// Before, `tail | head` ended with the run, however long that took.
#[tokio::test]
async fn a_tail_ends_with_its_reader() {
    let folder = Folder::new("tail");
    let settings = Settings { ballast: 0, ..Settings::default() };
    let journal = SqliteJournal::open(folder.join("runs"), settings).unwrap();
    let lease = journal.lease(&"r1".into()).await.unwrap();
    let entry = || Entry { kind: "run_started".to_owned(), body: serde_json::json!({ "request": "Build it" }) };
    journal.append(&lease, vec![entry()]).await.unwrap();
    let mut tail = bellwether(&folder).arg("tail").stdout(Stdio::piped()).spawn().unwrap();
    let mut read = BufReader::new(tail.stdout.take().unwrap());
    let mut line = String::new();
    read.read_line(&mut line).unwrap();
    assert!(line.contains("Build it"), "{line}");
    drop(read);
    journal.append(&lease, vec![entry()]).await.unwrap();
    let (ended, end) = mpsc::channel();
    std::thread::spawn(move || ended.send(tail.wait().map(|status| status.code())));
    let code = end.recv_timeout(Duration::from_secs(60)).expect("it ends while the run is on");
    assert_eq!(code.unwrap(), Some(0));
    journal.release(&lease).await.unwrap();
}

/// What the report folds by itself has to be what the team folds.
#[test]
fn a_report_says_what_a_replay_says_of_a_run_that_was_cut_off_and_resumed() {
    let folder = Folder::new("report-resumed");
    let simulator = Simulator::plain(&folder, &["--seed", "3", "--first-token", "200ms", "--per-token", "0ms"]);
    let with = ["--base-url", &simulator.base_url];
    let agree = |when: &str| {
        let told = said(bellwether(&folder).args(["replay", "--json"])).json();
        let shown = said(bellwether(&folder).args(["report", "--json"])).json();
        let (story, totals) = (&shown["story"], &shown["totals"]);
        assert_eq!(story["head"]["outcome"], told["outcome"], "{when}");
        assert_eq!(story["head"]["doubtful"], told["possible_duplicates"], "{when}");
        for (ours, theirs) in [("calls", "calls"), ("retries", "retries"), ("unpriced", "unpriced_calls")] {
            assert_eq!(totals[ours], told[theirs], "{when}: {ours}");
        }
        for (ours, theirs) in [("input", "input_tokens"), ("output", "output_tokens")] {
            let told = told["usage"][theirs].as_u64().unwrap_or_default();
            assert_eq!(totals[ours].as_u64(), Some(told), "{when}: {ours}");
        }
        let dollars = told["cost_usd"].as_f64().unwrap_or_default();
        assert!(totals["usd"].as_f64().is_some_and(|ours| (ours - dollars).abs() < 1e-9), "{when}: {dollars} {totals}");
        let (told, tasks) = (told["tasks"].as_array().expect("a list"), story["tasks"].as_array().expect("a list"));
        assert_eq!(told.len(), tasks.len(), "{when}");
        for (told, task) in told.iter().zip(tasks) {
            let last = task["states"].as_array().and_then(|states| states.last()).expect("it has a state");
            assert_eq!(last[1], told["state"], "{when}: {}", told["task_id"]);
            assert_eq!((&task["calls"], &task["retries"]), (&told["calls"], &told["retry_count"]), "{when}");
            assert_eq!(task["failure"], told["error"]["message"], "{when}: {}", told["task_id"]);
        }
        told.iter().filter(|task| task["state"] == "accepted").count()
    };
    let mut command = bellwether(&folder);
    command.arg("run").arg(feature_team()).arg("Build it").args(with).args(["--progress", "plain"]);
    let mut run = Underway::start(&mut command);
    run.until("running");
    run.interrupt();
    run.until("press Ctrl-C again");
    run.interrupt();
    assert_eq!(run.end().code, Some(130));
    let before = agree("when it was cut off");
    let resumed = said(bellwether(&folder).args(["resume", "last"]).args(with));
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    assert!(agree("at its end") > before);
}
