//! Work that was never good enough waits for a person, who sees it and decides.

use crate::process::{Folder, Said, Simulator, bellwether, said};

const TEAM: &str = r#"
schema = 1
[team]
name = "asked"
[provider.main]
kind = "openai"
[models.m]
provider = "main"
id = "sim-large"
[roles.coder]
kind = "worker"
tiers = ["m"]
prompt = "You code."
[roles.critic]
kind = "reviewer"
tiers = ["m"]
prompt = "You review."
[review]
max_rounds = 0
max_escalations = 0
on_exhausted = "human"
"#;

/// A run whose reviewer is never content, and which ended waiting for a person.
fn parked(name: &str) -> (Folder, Simulator) {
    let folder = Folder::new(name).with("team.toml", TEAM).with("scenario.toml", "[answers]\nrevise_share = 1.0\n");
    let simulator = Simulator::start(&folder, &["--scenario", "scenario.toml"]);
    let url = ["--base-url", &simulator.base_url];
    let ran = said(bellwether(&folder).args(["run", "team.toml", "Build it", "--json"]).args(url));
    assert_eq!((ran.code, ran.json()["outcome"].as_str()), (Some(75), Some("parked")), "{}", ran.stderr);
    assert_eq!(ran.json()["tasks"][0]["state"], "blocked");
    assert!(ran.json()["reason"].as_str().is_some_and(|reason| reason.contains("t1")), "{}", ran.json());
    assert!(ran.stderr.contains("a person has to decide on t1"), "{}", ran.stderr);
    (folder, simulator)
}

fn approve(folder: &Folder, args: &[&str]) -> Said {
    said(bellwether(folder).args(["approve", "last"]).args(args))
}

fn resume(folder: &Folder, simulator: &Simulator) -> Said {
    said(bellwether(folder).args(["resume", "last", "--json", "--base-url", &simulator.base_url]))
}

#[test]
fn what_waits_is_shown_and_waits_on_until_somebody_accepts_it() {
    let (folder, simulator) = parked("person-accepts");
    let shown = approve(&folder, &[]);
    assert_eq!(shown.code, Some(75), "it still waits: {}", shown.stderr);
    for part in ["=== t1", "score", "open: ["] {
        assert!(shown.stdout.contains(part), "{part}: {}", shown.stdout);
    }
    let early = resume(&folder, &simulator);
    assert_eq!((early.code, early.json()["outcome"].as_str()), (Some(75), Some("parked")));
    let paid = simulator.stats()["requests"].clone();

    let other = approve(&folder, &["--task", "t9", "--accept"]);
    assert_eq!(other.code, Some(2), "there is no such task");
    assert!(other.stderr.contains("those that do: t1"), "{}", other.stderr);
    let denied = approve(&folder, &["--deny", "too dear"]);
    assert_eq!(denied.code, Some(2), "its plan waits for nobody");
    assert!(denied.stderr.contains("but the work of t1") && denied.stderr.contains("--fail"), "{}", denied.stderr);
    for wordless in [["--again", ""], ["--fail", " "]] {
        let said = approve(&folder, &wordless);
        assert_eq!(said.code, Some(2), "nobody decides without a word: {}", said.stdout);
        assert!(said.stderr.contains("say why"), "{}", said.stderr);
    }
    let accepted = approve(&folder, &["--accept"]);
    assert_eq!(accepted.code, Some(0), "{}", accepted.stderr);
    let twice = approve(&folder, &["--accept"]);
    assert_eq!(twice.code, Some(2), "it is decided already");
    assert!(twice.stderr.contains("bellwether resume"), "{}", twice.stderr);
    let resumed = resume(&folder, &simulator);
    assert_eq!((resumed.code, resumed.json()["outcome"].as_str()), (Some(0), Some("succeeded")), "{}", resumed.stderr);
    assert_eq!(simulator.stats()["requests"], paid, "a person's word costs nothing");
    let over = approve(&folder, &[]);
    assert_eq!(over.code, Some(2));
    assert!(over.stderr.contains("nobody's decision: it succeeded\n  try: bellwether report"), "{}", over.stderr);
    let explained = said(bellwether(&folder).args(["explain", "last", "t1"]));
    assert!(explained.stdout.contains("a person accepts the best of it"), "{}", explained.stdout);
}

#[test]
fn another_round_is_granted_with_a_note_and_a_task_can_be_turned_down() {
    let (folder, simulator) = parked("person-sends-back");
    let again = approve(&folder, &["--again", "use port 7411"]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    let resumed = resume(&folder, &simulator);
    let revisions = resumed.json()["tasks"][0]["revisions"].clone();
    assert_eq!((resumed.code, revisions), (Some(0), 1.into()), "the judge is content then: {}", resumed.stderr);
    let explained = said(bellwether(&folder).args(["explain", "last", "t1"]));
    assert!(explained.stdout.contains("a person asks for another round: use port 7411"), "{}", explained.stdout);

    let (folder, simulator) = parked("person-turns-down");
    let failed = approve(&folder, &["--task", "t1", "--fail", "wrong track"]);
    assert_eq!(failed.code, Some(0), "{}", failed.stderr);
    let resumed = resume(&folder, &simulator);
    assert_eq!((resumed.code, &resumed.json()["tasks"][0]["state"]), (Some(4), &"failed".into()), "{}", resumed.stderr);
    assert_eq!(resumed.json()["tasks"][0]["error"]["message"], "wrong track");
    assert!(resumed.stderr.contains("a resume has nothing left to do"), "{}", resumed.stderr);
    let over = approve(&folder, &["--accept"]);
    let ended = over.stderr.contains("it ended as failed: ") && over.stderr.contains("try: bellwether explain");
    assert!(over.code == Some(2) && ended, "{}", over.stderr);
}

#[test]
fn a_run_that_nobody_remembers_keeps_the_best_instead() {
    let folder = Folder::new("person-forgotten").with("team.toml", TEAM);
    let folder = folder.with("scenario.toml", "[answers]\nrevise_share = 1.0\n");
    let simulator = Simulator::start(&folder, &["--scenario", "scenario.toml"]);
    let mut command = bellwether(&folder);
    command.args(["run", "team.toml", "Build it", "--json", "--no-journal", "--base-url", &simulator.base_url]);
    let ran = said(&mut command);
    assert_eq!((ran.code, &ran.json()["tasks"][0]["state"]), (Some(0), &"rejected".into()), "{}", ran.stderr);
}
