//! What users get wrong: each mistake has one clear message with its remedy, its exit code, and no key in any output.

use std::net::TcpListener;

use crate::process::{CANARY, Folder, Said, Simulator, bellwether, feature_team, said};

fn check(said: &Said, code: i32, parts: &[&str]) {
    let all = format!("{}{}", said.stdout, said.stderr);
    assert_eq!(said.code, Some(code), "{all}");
    for part in parts {
        assert!(all.contains(part), "no {part:?} in {all}");
    }
    assert!(!all.contains("panicked") && !all.contains(CANARY), "{all}");
}

/// Checks a team file that differs from the shipped one in one place.
fn checked(name: &str, from: &str, to: &str) -> Said {
    let team = std::fs::read_to_string(feature_team()).expect("the team file is there");
    assert!(team.contains(from), "the team file has {from:?}");
    let folder = Folder::new(name).with("team.toml", &team.replacen(from, to, 1));
    said(bellwether(&folder).args(["check", "team.toml"]))
}

#[test]
fn a_missing_key_is_named_before_anything_is_sent() {
    let folder = Folder::new("no-key");
    let run = said(bellwether(&folder).arg("run").arg(feature_team()).arg("Build it"));
    check(&run, 2, &["HOLYSHEEP_API_KEY is not set", "export HOLYSHEEP_API_KEY", "bellwether demo"]);
    let json = said(bellwether(&folder).arg("run").arg(feature_team()).args(["Build it", "--json"])).json();
    assert_eq!(json["error"]["exit_code"], 2);
}

/// An empty file of results was left behind, and with the key the batch was refused because of it.
#[test]
fn a_batch_without_a_key_leaves_nothing_behind() {
    let line = r#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#;
    let folder = Folder::new("no-key-batch").with("in.jsonl", line);
    let keyless = said(bellwether(&folder).args(["batch", "in.jsonl", "-o", "out.jsonl"]));
    check(&keyless, 2, &["HOLYSHEEP_API_KEY: not set", "--base-url"]);
    assert!(!folder.join("out.jsonl").exists());
}

/// There was no way to ask a server in the same room. That address is not written as one of this machine, though it is.
#[test]
fn an_address_without_encryption_is_refused_unless_it_is_wanted() {
    let line = r#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#;
    let folder = Folder::new("insecure").with("in.jsonl", line);
    let simulator = Simulator::start(&folder, &[]);
    let elsewhere = simulator.base_url.replace("127.0.0.1", "0.0.0.0");
    let batch = |more: &[&str]| {
        let mut command = bellwether(&folder);
        command.env("NO_PROXY", "*").args(["batch", "in.jsonl", "-o", "out.jsonl", "--base-url", &elsewhere]);
        said(command.args(more))
    };
    check(&batch(&[]), 2, &["unencrypted", "--allow-insecure"]);
    check(&batch(&["--allow-insecure"]), 0, &["1 answered"]);
}

#[test]
fn a_key_that_cannot_be_one_is_named_and_not_shown() {
    let folder = Folder::new("odd-key");
    let key = format!("{CANARY} and more");
    let run = said(bellwether(&folder).env("HOLYSHEEP_API_KEY", key).arg("run").arg(feature_team()).arg("Build it"));
    check(&run, 2, &["HOLYSHEEP_API_KEY"]);
}

#[test]
fn a_wrong_key_ends_the_run_after_one_call() {
    let folder = Folder::new("wrong-key");
    let simulator = Simulator::start(&folder, &["--api-key-env", "SIM_KEY"]);
    let team = std::fs::read_to_string(feature_team()).unwrap();
    let team = team.replacen("kind = \"holysheep\"", "kind = \"holysheep\"\napi_key_env = \"WRONG_KEY\"", 1);
    let folder = folder.with("team.toml", &team);
    let run = |key: &str| {
        let mut command = bellwether(&folder);
        command.env("WRONG_KEY", key).args(["run", "team.toml", "Build it", "--base-url", &simulator.base_url]);
        said(&mut command)
    };
    let wrong = run("sk-canary-7f3a9b2c4d8e-not");
    check(&wrong, 77, &["check the key", "401"]);
    assert_eq!(simulator.stats()["answered"]["401"], 1, "a key that is refused is not tried again");
    check(&run(CANARY), 0, &["succeeded"]);
}

#[test]
fn an_unreachable_host_is_told_from_a_failure_of_the_model() {
    let team = std::fs::read_to_string(feature_team()).unwrap().replacen("base = \"500ms\"", "base = \"1ms\"", 1);
    let folder = Folder::new("unreachable").with("team.toml", &team);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}/v1");
    let mut command = bellwether(&folder);
    command.args(["run", "team.toml", "Build it", "--base-url", &url]);
    check(&said(&mut command), 69, &[&closed.to_string(), "check the base URL"]);
}

#[test]
fn a_typo_is_named_with_its_line_and_the_nearest_key() {
    let typo = checked("typo", "max_parallel = 3", "max_paralel = 3");
    let file = std::fs::read_to_string(feature_team()).unwrap();
    let line = 1 + file.lines().position(|line| line.starts_with("max_parallel")).unwrap();
    let said = format!("team.toml:{line}: unknown key `max_paralel` in [workflow]: did you mean `max_parallel`?");
    check(&typo, 2, &[&said]);
    let table = checked("typo-table", "[review]", "[reviews]");
    check(&table, 2, &["unknown key `reviews` at the top level: did you mean `review`?"]);
    let nothing_near = checked("typo-far", "max_parallel = 3", "zzz = 3");
    check(&nothing_near, 2, &["unknown key `zzz` in [workflow]: known are backoff"]);
}

#[test]
fn a_role_without_a_prompt_is_named() {
    let team = std::fs::read_to_string(feature_team()).unwrap();
    let begin = team.find("prompt = \"\"\"\nDu bist ein Code-Reviewer").unwrap();
    let end = begin + team[begin..].find("[plan]").unwrap();
    let folder = Folder::new("no-prompt").with("team.toml", &format!("{}{}", &team[..begin], &team[end..]));
    check(
        &said(bellwether(&folder).args(["check", "team.toml"])),
        2,
        &["role \"reviewer\" has no prompt", "add prompt ="],
    );
}

#[test]
fn wrong_values_are_named_with_their_lines() {
    let cases = [
        ("tiers = [\"opus\"]", "tiers = [\"opsu\"]", "there is no model \"opsu\": known are opus"),
        ("# fallback = [\"other\"] ", "fallback = [\"other\"] ", "there is no model \"other\": known are opus"),
        ("# fallback = [\"other\"] ", "fallback = [\"opus\"] ", "falls back to itself"),
        ("provider = \"main\"", "provider = \"mian\"", "there is no provider \"mian\": known are main"),
        ("kind = \"holysheep\"", "kind = \"wolf\"", "`wolf` is not known"),
        ("kind = \"planner\"", "kind = \"boss\"", "unknown variant `boss`"),
        ("timeout = \"3m\"", "timeout = \"soon\"", "\"soon\" is no stretch of time"),
        ("timeout = \"3m\"", "timeout = \"500000000000y\"", "longer than a hundred years"),
        ("max_tasks = 12", "max_tasks = 0", "a whole number from 1 up"),
        ("threshold = 0.8", "threshold = 8", "between 0 and 1"),
        ("temperature = 0.7", "temperature = nan", "a number from 0 to 2"),
        ("in = 4.50", "in = -4.50", "not negative"),
        ("schema = 1", "schema = 2", "schema 2 is not known"),
        ("[team]", "[team", "team.toml:8"),
    ];
    for (n, (from, to, message)) in cases.into_iter().enumerate() {
        check(&checked(&format!("value-{n}"), from, to), 2, &["team.toml", message]);
    }
}

/// Each was found out by the first call that needed it, after the planning was paid for.
#[test]
fn what_a_budget_needs_to_know_is_asked_for_before_anything_is_sent() {
    let capped = |caps: &str| format!("[budget]\n{caps}\n\n[approval]");
    let uncapped = "max_output_tokens = 4096\ntemperature = 0.7";
    for (n, (caps, from, to, message)) in [
        ("usd = 3.0", uncapped, "temperature = 0.7", "set max_output_tokens in [roles.coder]"),
        ("tokens = 9000", uncapped, "temperature = 0.7", "or max_output in [models.opus]"),
        (
            "task = { usd = 1 }",
            "\"claude-opus-4-5\"\nusd_per_mtok",
            "\"mine\"\n# usd_per_mtok",
            "set usd_per_mtok in [models.opus]",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let team = std::fs::read_to_string(feature_team()).expect("the team file is there");
        assert!(team.contains(from), "{from}");
        let team = team.replacen(from, to, 1);
        let folder = Folder::new(&format!("unprovable-{n}")).with("free.toml", &team);
        let folder = folder.with("team.toml", &team.replacen("[approval]", &capped(caps), 1));
        check(&said(bellwether(&folder).args(["check", "team.toml"])), 2, &["capped", message]);
        let mut run = bellwether(&folder);
        check(&said(run.env("HOLYSHEEP_API_KEY", CANARY).args(["run", "team.toml", "Build it"])), 2, &[message]);
        check(&said(bellwether(&folder).args(["check", "free.toml"])), 0, &["understood"]);
    }
}

#[test]
fn a_file_that_is_not_there_and_an_empty_task_are_named() {
    let folder = Folder::new("nothing");
    check(&said(bellwether(&folder).args(["run", "none.toml", "Build it"])), 2, &["none.toml", "cannot be read"]);
    check(&said(bellwether(&folder).arg("run").arg(feature_team()).arg(" ")), 2, &["the task is empty"]);
    let mut unwritable = bellwether(&folder);
    unwritable.args(["demo", "--output", "no/such/folder/work.md"]);
    check(&said(&mut unwritable), 74, &["work.md cannot be written"]);
}

#[test]
fn a_simulation_that_makes_no_sense_is_refused() {
    let folder = Folder::new("no-simulation").with("half.toml", "[faults]\nerror_500 = 0.5\n");
    let simulate = |args: &[&str]| {
        let mut command = bellwether(&folder);
        said(command.env("BLANK_KEY", "a b").args(["simulate", "--listen", "0"]).args(args))
    };
    check(&simulate(&["--error-503", "0.8", "--reset", "0.5"]), 2, &["add up to more than 1", "--reset"]);
    check(&simulate(&["--scenario", "half.toml", "--error-503", "0.7"]), 2, &["add up to more than 1"]);
    check(&simulate(&["--burst", "5:0"]), 2, &["COUNT is at least 1"]);
    check(&simulate(&["--api-key-env", "BLANK_KEY"]), 2, &["BLANK_KEY: a key is made of visible characters"]);
}

#[test]
fn a_time_that_never_ends_and_one_that_never_begins_are_refused() {
    let folder = Folder::new("no-time");
    let batch = ["batch", "lines.jsonl", "-o", "results.jsonl"];
    let load = ["load", "--model", "m", "--flows", "a"];
    let run = ["run", "team.toml", "Build it"];
    let commands = [(&batch[..], "--deadline"), (&batch, "--timeout"), (&load, "--duration"), (&run, "--deadline")];
    for (command, option) in commands {
        for time in ["0s", "500000000000y"] {
            let ran = said(bellwether(&folder).args(command).args([option, time]));
            check(&ran, 2, &[option, "from 1ms to a hundred years"]);
        }
    }
}

/// Standard output was empty then, and whoever read it had to guess.
#[test]
fn what_is_wrong_with_the_arguments_is_said_in_json_to_whoever_asks_for_it() {
    let folder = Folder::new("arguments");
    let wrong = said(bellwether(&folder).args(["batch", "in.jsonl", "--json", "--rpm", "0"]));
    check(&wrong, 2, &["For more information"]);
    let error = &wrong.json()["error"];
    assert_eq!(error["exit_code"], 2);
    assert!(error["message"].as_str().is_some_and(|told| told.starts_with("invalid value '0' for '--rpm")), "{error}");
    let missing = said(bellwether(&folder).args(["load", "--json"])).json();
    assert!(missing["error"]["message"].as_str().is_some_and(|told| told.contains("--model")), "{missing}");
    assert!(said(bellwether(&folder).args(["load", "--json", "--help"])).stdout.starts_with("Loads an endpoint"));
}

#[test]
fn what_has_no_end_is_bounded() {
    let folder = Folder::new("no-end");
    let load = said(bellwether(&folder).args(["load", "--model", "m", "--flows", "a:loops=6000;b:loops=6000"]));
    check(&load, 2, &["12000 loops", "no more than 10000"]);
    check(&said(bellwether(&folder).args(["bench", "--calls", "4000000000"])), 2, &["1..=10000"]);
}
