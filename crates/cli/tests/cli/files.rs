//! `init`, `check` and `simulate`: files and servers to begin with.

use crate::process::{CANARY, Folder, Simulator, bellwether, feature_team, said};

#[test]
fn init_writes_a_team_that_check_understands_and_never_overwrites_it() {
    let folder = Folder::new("init");
    assert_eq!(said(bellwether(&folder).arg("init")).code, Some(0));
    let checked = said(bellwether(&folder).args(["check", "team.toml"]));
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    assert!(checked.stdout.contains("max_parallel          3"), "{}", checked.stdout);
    assert!(checked.stderr.contains("HOLYSHEEP_API_KEY is not set"), "{}", checked.stderr);

    std::fs::write(folder.join("team.toml"), "mine").unwrap();
    let again = said(bellwether(&folder).arg("init"));
    assert_eq!(again.code, Some(2));
    assert!(again.stderr.contains("there already") && again.stderr.contains("--force"), "{}", again.stderr);
    assert_eq!(std::fs::read_to_string(folder.join("team.toml")).unwrap(), "mine");
    assert_eq!(said(bellwether(&folder).args(["init", "--force"])).code, Some(0));
}

#[test]
fn check_shows_for_machines_what_a_file_amounts_to() {
    let folder = Folder::new("check-json");
    let checked = said(bellwether(&folder).arg("check").arg(feature_team()).arg("--json")).json();
    assert_eq!(checked["roles"][0]["name"], "lead", "roles come in the file's order");
    assert_eq!(checked["roles"][1]["models"][0], "claude-opus-4-5");
    assert_eq!(checked["settings"]["threshold"], 0.8);
    assert_eq!(checked["providers"][0]["key"], "missing: set HOLYSHEEP_API_KEY");
}

/// What a run may take was not shown, so that a cap in the wrong place looked like one in the right one.
#[test]
fn check_shows_every_budget_and_where_nothing_is_capped() {
    let team = std::fs::read_to_string(feature_team()).unwrap();
    let more = "[budget]\nusd = 3.0\ncalls = 40\ntask = { time = \"5m\" }\ntenant_day = { tokens = 9 }\n\
                [roles.joiner]\nkind = \"synthesizer\"\ntiers = [\"opus\"]\nprompt = \"Join.\"\nmax_output_tokens = 9\nbudget = { usd = 0.5 }\n";
    let folder = Folder::new("check-budget").with("capped.toml", &format!("{team}\n{more}"));
    let capped = said(bellwether(&folder).args(["check", "capped.toml"]));
    for line in [
        "  run        calls 40, usd 3.0\n",
        "  each task  time 5m\n",
        "  day of default tokens 9\n",
        "  role joiner usd 0.5\n",
        "  reserve_for_synthesis 0.08\n",
    ] {
        assert!(capped.stdout.contains(line), "{line}: {}", capped.stdout);
    }
    let free = said(bellwether(&folder).arg("check").arg(feature_team()));
    assert!(free.stdout.contains("budget\n  none\n"), "{}", free.stdout);
}

#[test]
fn a_prompt_may_stand_in_a_file_beside_the_team() {
    let team = std::fs::read_to_string(feature_team()).unwrap();
    let begin = team.find("prompt = \"\"\"\nDu bist ein Senior").expect("the coder has a prompt");
    let end = begin + team[begin..].find("behandlung.\"\"\"").expect("and it ends") + "behandlung.\"\"\"".len();
    let team = format!("{}prompt = {{ file = \"coder.md\" }}{}", &team[..begin], &team[end..]);
    let folder = Folder::new("prompt-file").with("team.toml", &team);
    let missing = said(bellwether(&folder).args(["check", "team.toml"]));
    assert_eq!(missing.code, Some(2));
    assert!(missing.stderr.contains("coder.md") && missing.stderr.contains("team.toml:"), "{}", missing.stderr);
    let folder = folder.with("coder.md", "You write clean Rust.");
    assert_eq!(said(bellwether(&folder).args(["check", "team.toml"])).code, Some(0));
}

#[test]
fn a_scenario_file_shapes_the_simulator_and_a_wrong_one_is_refused() {
    let folder =
        Folder::new("scenario").with("good.toml", "[answers]\nplan_tasks = 7\n").with("bad.toml", "[answer]\n");
    let simulator = Simulator::start(&folder, &["--scenario", "good.toml"]);
    assert_eq!(simulator.stats()["requests"], 0);
    let bad = said(bellwether(&folder).args(["simulate", "--listen", "0", "--scenario", "bad.toml"]));
    assert_eq!(bad.code, Some(2));
    assert!(bad.stderr.contains("bad.toml") && bad.stderr.contains("line 1"), "{}", bad.stderr);
}

#[test]
fn doctor_says_what_is_wrong_and_how_to_mend_it() {
    let folder = Folder::new("doctor");
    let simulator = Simulator::start(&folder, &["--api-key-env", "SIM_KEY"]);
    let team = std::fs::read_to_string(feature_team()).unwrap();
    let team = team.replacen("kind = \"holysheep\"", "kind = \"holysheep\"\napi_key_env = \"KEY\"", 1);
    let folder = folder.with("team.toml", &team.replacen("claude-opus-4-5", "sim-large", 1));
    let examine = |key: &str, url: &str| {
        let mut command = bellwether(&folder);
        said(command.env("KEY", key).args(["doctor", "team.toml", "--base-url", url]))
    };
    let well = examine(CANARY, &simulator.base_url);
    assert_eq!(well.code, Some(0), "{}", well.stdout);
    for check in ["settings", "key", "models", "clock", "call", "price"] {
        assert!(well.stdout.contains(check), "no {check} in {}", well.stdout);
    }
    let ill = examine("sk-wrong", &simulator.base_url);
    assert_eq!(ill.code, Some(77), "as a run ends whose key is refused: {}", ill.stdout);
    assert_eq!(examine(CANARY, "http://127.0.0.1:1/v1").code, Some(69), "and one that reaches nobody");
    assert!(ill.stdout.contains("broken") && ill.stdout.contains("->"), "{}", ill.stdout);
    assert!(!format!("{}{}", well.stdout, ill.stdout).contains(CANARY));

    let unset = team.replacen("\"KEY\"", "\"UNSET_KEY\"\nbase_url = \"https://nobody.invalid/v1?api-key=hunter2\"", 1);
    let folder = folder.with("unset.toml", &unset);
    let keyless = said(bellwether(&folder).args(["doctor", "unset.toml"]));
    assert!(keyless.stdout.contains("broken   key       UNSET_KEY is not set"), "{}", keyless.stdout);
    assert_eq!(keyless.code, Some(2), "as a run ends that has no key");
    let checked = said(bellwether(&folder).args(["check", "unset.toml"]));
    assert!(checked.stdout.contains("https://nobody.invalid/v1,"), "the query may hold a key: {}", checked.stdout);
    assert!(!format!("{}{}", checked.stdout, keyless.stdout).contains("hunter2"), "{}", checked.stdout);

    let folder = folder.with("typo.toml", &team.replacen("provider = \"main\"", "provider = \"mian\"", 1));
    let typo = said(bellwether(&folder).args(["doctor", "typo.toml"]));
    assert_eq!(typo.code, Some(2), "a doctor who finds nobody to examine says so: {}", typo.stdout);
    assert!(typo.stderr.contains("there is no provider \"mian\": known are main"), "{}", typo.stderr);
}
