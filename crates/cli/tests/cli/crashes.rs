//! Crashes, stops and empty purses: what was done is kept, and a resume goes on where it was.

use std::path::Path;
use std::process::{Command, Stdio};

use bellwether_journal::Reader;
use serde_json::Value;

use crate::process::{CANARY, Folder, Said, Simulator, Underway, bellwether, feature_team, said};

/// A run against a simulator, remembered in `runs`.
fn run(folder: &Path, simulator: &Simulator) -> Command {
    let mut command = bellwether(folder);
    command.arg("run").arg(feature_team()).args(["Build it", "--json", "--base-url", &simulator.base_url]);
    command
}

fn resume(folder: &Path, simulator: &Simulator, args: &[&str]) -> Said {
    let mut command = bellwether(folder);
    command.args(["resume", "last", "--json", "--base-url", &simulator.base_url]).args(args);
    said(&mut command)
}

/// What a run amounts to, without what differs from run to run.
fn gist(report: &Value) -> Vec<(Value, Value, Value)> {
    let tasks = report["tasks"].as_array().expect("tasks are a list");
    tasks.iter().map(|task| (task["state"].clone(), task["result"].clone(), task["score"].clone())).collect()
}

/// How many entries the one run of a journal has, without what onlookers noted.
fn entries(runtime: &tokio::runtime::Runtime, journal: &Path) -> usize {
    let Ok(reader) = Reader::open(journal) else { return 0 };
    let runs = runtime.block_on(reader.runs()).unwrap_or_default();
    let Some(info) = runs.first() else { return 0 };
    let entries = runtime.block_on(reader.read(&info.run, 0, usize::MAX)).unwrap_or_default();
    entries.iter().filter(|recorded| recorded.entry.kind != "heard").count()
}

/// Whether the one run of a journal has a snapshot.
fn has_snapshot(runtime: &tokio::runtime::Runtime, journal: &Path) -> bool {
    let reader = Reader::open(journal).expect("the run was begun");
    let run = runtime.block_on(reader.runs()).expect("nothing is damaged").remove(0).run;
    runtime.block_on(reader.snapshot(&run)).expect("nothing is damaged").is_some()
}

/// The process is killed after each entry of its journal in turn, and then from the beginning again, at as many points
/// as `BELLWETHER_CRASHES` says: 60 unless it says otherwise. The resumed run comes to the end of the one that was not killed, nothing that was finished is asked again,
/// and what is asked again was under way.
#[test]
fn killed_after_any_entry_a_run_is_resumed_to_the_same_end() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = Folder::new("crash-whole");
    let simulator = Simulator::start(&folder, &[]);
    let whole = said(&mut run(&folder, &simulator)).json();
    assert_eq!(whole["outcome"], "succeeded");
    let asked = simulator.stats()["requests"].as_u64().unwrap();
    let all = entries(&runtime, &folder.join("runs"));
    assert!(all > 20, "{all} entries");

    let points: usize = std::env::var("BELLWETHER_CRASHES").ok().and_then(|points| points.parse().ok()).unwrap_or(60);
    assert!(points >= all - 1, "{points} points do not reach every one of {all} entries");
    // Snapshots are left all the time, so that most runs are resumed from one.
    let team = std::fs::read_to_string(feature_team()).unwrap() + "\n[journal]\nsnapshot_every = 4\n";
    let mut snapshots = 0;
    for point in (1..all).cycle().take(points) {
        let folder = Folder::new(&format!("crash-{point}")).with("team.toml", &team);
        let simulator = Simulator::start(&folder, &[]);
        let mut child = bellwether(&folder)
            .args(["run", "team.toml", "Build it", "--base-url", &simulator.base_url])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while entries(&runtime, &folder.join("runs")) < point && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        snapshots += usize::from(has_snapshot(&runtime, &folder.join("runs")));
        let resumed = resume(&folder, &simulator, &[]);
        assert_eq!(resumed.code, Some(0), "killed at {point}: {}", resumed.stderr);
        let report = resumed.json();
        assert_eq!(gist(&report), gist(&whole), "killed at {point}");
        let doubtful = report["possible_duplicates"].as_u64().unwrap();
        assert!(doubtful <= 3, "at most the calls in flight: {doubtful}");
        let repeated = simulator.stats()["requests"].as_u64().unwrap().saturating_sub(asked);
        assert!(repeated <= doubtful, "killed at {point}: {repeated} calls again, {doubtful} in doubt");
    }
    assert!(snapshots > points / 2, "{snapshots} of {points} resumes began with a snapshot");
}

#[test]
fn a_drained_run_prints_the_command_that_goes_on_with_it() {
    let scenario = "[faults]\nstall_limit = \"10m\"\nfail = [{ request = 6, with = \"stall\" }]\n";
    let folder = Folder::new("drained").with("silent.toml", scenario);
    let simulator = Simulator::start(&folder, &["--scenario", "silent.toml"]);
    let mut running = Underway::start(run(&folder, &simulator).args(["--progress", "plain"]));
    running.until("accepted");
    running.interrupt();
    running.until("press Ctrl-C again");
    running.interrupt();
    let stopped = running.end();
    assert_eq!(stopped.code, Some(130));
    let id = stopped.json()["run_id"].as_str().unwrap().to_owned();
    assert!(stopped.stderr.contains(&format!("go on with: bellwether resume {id}")), "{}", stopped.stderr);

    let listed = said(bellwether(&folder).args(["runs", "list", "--json"])).json();
    assert_eq!((listed["run_id"].as_str(), listed["state"].as_str()), (Some(&*id), Some("cancelled")));
    let replayed = said(bellwether(&folder).args(["replay", "--json"])).json();
    assert_eq!(gist(&replayed), gist(&stopped.json()), "a replay makes no calls and comes to the same");
    let before = simulator.stats()["requests"].clone();
    let resumed = resume(&folder, &simulator, &[]);
    assert_eq!((resumed.code, resumed.json()["outcome"].as_str()), (Some(0), Some("succeeded")), "{}", resumed.stderr);
    assert!(simulator.stats()["requests"].as_u64() > before.as_u64());
    let tail = said(bellwether(&folder).args(["tail", &id]));
    let (begins, again) =
        (tail.stdout.find("team feature begins: Build it"), tail.stdout.find("another process goes on with it"));
    assert!(begins.is_some() && begins < again, "{}", tail.stdout);
    assert!(!tail.stdout.contains('{'), "it is told in words: {}", tail.stdout);
}

#[test]
fn a_second_process_may_look_and_is_told_who_works() {
    let scenario = "[faults]\nstall_limit = \"10m\"\nfail = [{ request = 4, with = \"stall\" }]\n";
    let folder = Folder::new("second").with("silent.toml", scenario);
    let simulator = Simulator::start(&folder, &["--scenario", "silent.toml"]);
    let mut running = Underway::start(run(&folder, &simulator).args(["--progress", "plain"]));
    running.until("produced");
    let listed = said(bellwether(&folder).args(["runs", "list"]));
    assert!(listed.stdout.contains("works on it") && listed.stdout.contains("Build it"), "{}", listed.stdout);
    let shown = said(bellwether(&folder).args(["runs", "show", "last", "--json"]));
    assert!(shown.stdout.lines().count() > 4, "{}", shown.stdout);
    let second = resume(&folder, &simulator, &[]);
    assert_eq!(second.code, Some(2));
    assert!(second.stderr.contains("works on it"), "{}", second.stderr);
    let cancelled = said(bellwether(&folder).args(["cancel", "last"]));
    assert_eq!(cancelled.code, Some(0), "{}", cancelled.stderr);
    running.until("press Ctrl-C again");
    running.interrupt();
    assert_eq!(running.end().code, Some(130));
}

#[test]
fn a_budget_ends_a_run_before_it_is_broken_and_a_larger_one_finishes_it() {
    let folder = Folder::new("budget");
    let simulator = Simulator::start(&folder, &[]);
    let capped = said(run(&folder, &simulator).args(["--budget", "8calls"]));
    assert_eq!(capped.code, Some(5), "{}", capped.stderr);
    let report = capped.json();
    assert_eq!(report["outcome"], "budget_exhausted");
    assert_eq!(simulator.stats()["requests"], 8, "the cap is never broken");
    let accepted = |report: &Value| {
        let tasks = report["tasks"].as_array().expect("tasks are a list").clone();
        tasks
            .into_iter()
            .filter(|task| task["state"] == "accepted")
            .map(|task| task["result"].clone())
            .collect::<Vec<_>>()
    };
    let kept = accepted(&report);
    let again = resume(&folder, &simulator, &["--budget", "8calls"]);
    assert_eq!(
        (again.code, simulator.stats()["requests"].as_u64()),
        (Some(5), Some(8)),
        "what was spent before counts"
    );
    let resumed = resume(&folder, &simulator, &["--budget", "+100calls"]);
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    let finished = accepted(&resumed.json());
    assert!(finished.len() == 5 && kept.iter().all(|work| finished.contains(work)));
}

#[test]
fn money_and_tokens_are_capped_before_they_are_spent() {
    let folder = Folder::new("money");
    let simulator = Simulator::start(&folder, &[]);
    for (budget, field, cap) in [("0.15usd", "cost_usd", 0.15), ("9000tokens", "usage", 9_000.0)] {
        let report = said(run(&folder, &simulator).args(["--budget", budget])).json();
        let economies = report["economies"].as_array().expect("economies are a list");
        assert!(!economies.is_empty(), "{budget}: a run steps down near its cap: {report}");
        let spent = match field {
            "usage" => report["usage"]["input_tokens"]
                .as_f64()
                .zip(report["usage"]["output_tokens"].as_f64())
                .map(|(i, o)| i + o),
            field => report[field].as_f64(),
        };
        assert!(spent > Some(0.0) && spent <= Some(cap), "{budget}: {spent:?}");
    }
}

#[test]
fn a_changed_prompt_is_named_and_refused_unless_it_is_adopted() {
    let team = std::fs::read_to_string(feature_team()).unwrap();
    let folder = Folder::new("changed").with("team.toml", &team);
    let simulator = Simulator::start(&folder, &[]);
    let mut command = bellwether(&folder);
    command.args(["run", "team.toml", "Build it", "--budget", "4calls", "--base-url", &simulator.base_url]);
    assert_eq!(said(&mut command).code, Some(5));
    let folder = folder.with("team.toml", &team.replace("Senior Software Engineer", "Dichter"));
    let refused = resume(&folder, &simulator, &["--budget", "+100calls"]);
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.stderr.contains("role coder: prompt") && refused.stderr.contains("--adopt-config"),
        "{}",
        refused.stderr
    );
    let adopted = resume(&folder, &simulator, &["--budget", "+100calls", "--adopt-config"]);
    assert_eq!(adopted.code, Some(0), "{}", adopted.stderr);
}

#[test]
fn the_key_is_in_no_file_of_the_journal() {
    let team = std::fs::read_to_string(feature_team()).unwrap();
    let team = team.replacen("kind = \"holysheep\"", "kind = \"holysheep\"\napi_key_env = \"KEY\"", 1);
    let folder = Folder::new("canary").with("team.toml", &team);
    let simulator = Simulator::start(&folder, &["--api-key-env", "SIM_KEY"]);
    let mut command = bellwether(&folder);
    command.env("KEY", CANARY).args(["run", "team.toml", "--base-url", &simulator.base_url]);
    // Somebody pastes the key into the task: it still does not reach the file.
    assert_eq!(said(command.arg(format!("Build it with {CANARY}"))).code, Some(0));
    let (mut files, mut folders) = (0, vec![folder.join("runs")]);
    while let Some(path) = folders.pop() {
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(path).unwrap();
            assert!(!bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()));
            files += 1;
        }
    }
    assert!(files > 0);
}

/// The account runs dry after a few answers: nothing more is paid for, and the run goes on when there is credit again.
#[test]
fn a_run_whose_account_runs_dry_is_parked_and_goes_on_later() {
    let scenario = "[rejections]\ncode = \"insufficient_quota\"\n[[bursts]]\nafter = 4\ncount = 100000\n";
    let folder = Folder::new("parked").with("dry.toml", scenario);
    let dry = Simulator::start(&folder, &["--scenario", "dry.toml"]);
    let parked = said(&mut run(&folder, &dry));
    assert_eq!(parked.code, Some(75), "{} {}", parked.stdout, parked.stderr);
    assert_eq!(parked.json()["outcome"], "parked");
    let refused = dry.stats()["throttled"].as_u64().unwrap();
    assert!((1..=5).contains(&refused), "{refused} calls found it out, and those under way with it at most");

    let healthy = Simulator::start(&folder, &[]);
    let resumed = resume(&folder, &healthy, &[]);
    assert_eq!((resumed.code, &resumed.json()["outcome"]), (Some(0), &Value::from("succeeded")), "{}", resumed.stderr);
}

/// Two accounts, and the first is dry from the start: the other one does all the work.
#[test]
fn a_team_whose_first_account_is_dry_works_on_its_second() {
    let scenario = "[rejections]\ncode = \"insufficient_quota\"\n[[bursts]]\nafter = 0\ncount = 100000\n";
    let folder = Folder::new("fallback").with("dry.toml", scenario);
    let dry = Simulator::start(&folder, &["--scenario", "dry.toml"]);
    let spare = Simulator::start(&folder, &[]);
    let provider = |name: &str, simulator: &Simulator| {
        format!("[provider.{name}]\nkind = \"openai\"\nbase_url = \"{}\"\n", simulator.base_url)
    };
    let team = std::fs::read_to_string(feature_team()).unwrap();
    let team = team.replacen("[provider.main]\nkind = \"holysheep\"", &provider("main", &dry), 1);
    let team = team.replacen("# fallback = [\"other\"]", "fallback = [\"other\"]", 1);
    let other = "[models.other]\nprovider = \"spare\"\nid = \"sim-large\"\n";
    let folder = folder.with("team.toml", &format!("{team}\n{}{other}", provider("spare", &spare)));
    let done = said(bellwether(&folder).args(["run", "team.toml", "Build it", "--json"]));
    assert_eq!((done.code, &done.json()["outcome"]), (Some(0), &Value::from("succeeded")), "{}", done.stderr);
    assert_eq!(dry.stats()["requests"], 1, "the dry account was asked once");
    assert_eq!(spare.stats()["requests"], done.json()["calls"]);
}

/// Task, role and day: what a run spent before counts after a resume, and a larger budget finishes the rest.
#[test]
fn the_budgets_of_a_team_file_hold_over_a_resume() {
    let team = std::fs::read_to_string(feature_team()).unwrap();
    let capped = team.replacen("[roles.coder]", "[roles.coder]\nbudget = { calls = 3 }", 1);
    let folder = Folder::new("role-budget").with("team.toml", &capped);
    let simulator = Simulator::start(&folder, &[]);
    let mut command = bellwether(&folder);
    command.args(["run", "team.toml", "Build it", "--json", "--base-url", &simulator.base_url]);
    let short = said(&mut command);
    assert_eq!((short.code, &short.json()["outcome"]), (Some(5), &"budget_exhausted".into()), "{}", short.stderr);
    let worked = |simulator: &Simulator| simulator.stats()["per_role"]["work"]["requests"].as_u64();
    assert_eq!(worked(&simulator), Some(3));
    assert_eq!(resume(&folder, &simulator, &[]).code, Some(5));
    assert_eq!(worked(&simulator), Some(3), "what was spent before counts");
    let folder = folder.with("team.toml", &team);
    assert_eq!(resume(&folder, &simulator, &[]).code, Some(0));
}

/// Four processes of one tenant at the same time, on one journal.
#[test]
fn a_tenants_day_is_kept_over_all_its_processes() {
    let team = std::fs::read_to_string(feature_team()).unwrap();
    let budget = "[team]\ntenant = \"acme\"";
    let capped = team.replacen("[team]", budget, 1) + "\n[budget.tenant_day]\ncalls = 20\n";
    let folder = Folder::new("tenant-day").with("team.toml", &capped);
    let simulator = Simulator::start(&folder, &[]);
    let run = || {
        let mut command = bellwether(&folder);
        command.args(["run", "team.toml", "Build it", "--base-url", &simulator.base_url]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    };
    let running: Vec<_> = (0..4).map(|_| run().spawn().unwrap()).collect();
    let codes: Vec<_> = running.into_iter().map(|child| child.wait_with_output().unwrap().status.code()).collect();
    assert!(codes.contains(&Some(5)), "{codes:?}");
    assert_eq!(simulator.stats()["requests"], 20, "all of it is used, and no more");
    let late = said(&mut run());
    assert_eq!((late.code, simulator.stats()["requests"].as_u64()), (Some(5), Some(20)));
}

/// From wherever a run is forked, only what was not finished by then is asked, and the run itself stays as it was.
#[test]
fn a_fork_asks_only_for_what_was_not_finished_and_leaves_the_run_alone() {
    let folder = Folder::new("fork");
    let simulator = Simulator::start(&folder, &[]);
    let whole = said(&mut run(&folder, &simulator)).json();
    let asked = simulator.stats()["requests"].as_u64().unwrap();
    let id = whole["run_id"].as_str().unwrap();
    let shown = said(bellwether(&folder).args(["runs", "show", id, "--json"])).stdout;
    let entries: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let finishes = ["judged", "planned", "produced", "unusable"];
    for at in (1..=entries.len()).step_by(6) {
        let forked = said(bellwether(&folder).args(["fork", id, "--json", "--at", &at.to_string()]));
        let fork = forked.json()["run_id"].as_str().unwrap().to_owned();
        assert!(forked.stderr.contains(&format!("go on with: bellwether resume {fork}")), "{}", forked.stderr);
        let before = simulator.stats()["requests"].as_u64().unwrap();
        let mut command = bellwether(&folder);
        let rest = said(command.args(["resume", &fork, "--json", "--base-url", &simulator.base_url]));
        assert_eq!(rest.code, Some(0), "forked at {at}: {}", rest.stderr);
        assert_eq!(gist(&rest.json()), gist(&whole), "forked at {at}");
        let finished = entries[..at].iter().filter(|entry| finishes.contains(&entry["kind"].as_str().unwrap())).count();
        let again = simulator.stats()["requests"].as_u64().unwrap() - before;
        assert_eq!(again, asked - finished as u64, "forked at {at}");
    }
    assert_eq!(said(bellwether(&folder).args(["runs", "show", id, "--json"])).stdout, shown);
    let beyond = said(bellwether(&folder).args(["fork", id, "--at", "100000"]));
    assert_eq!(beyond.code, Some(2));
    assert!(beyond.stderr.contains("has no entry 100000"), "{}", beyond.stderr);
}

/// The provider fails one call, and the task that made it: what failed is named with the command that tries it again.
#[test]
fn what_failed_is_tried_again_by_a_resume_that_is_told_so() {
    let team = std::fs::read_to_string(feature_team()).expect("the example is there");
    let team = team.replace("transport_attempts = 6", "transport_attempts = 1");
    let scenario = "[faults]\nfail = [{ request = 2, with = 'error_503' }]\n";
    let folder = Folder::new("retry-failed").with("team.toml", &team).with("scenario.toml", scenario);
    let simulator = Simulator::start(&folder, &["--scenario", "scenario.toml", "--plan-tasks", "3"]);
    let url = ["--base-url", &simulator.base_url];
    let ran = said(bellwether(&folder).args(["run", "team.toml", "Build it"]).args(url));
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert!(ran.stderr.contains("--retry-failed"), "{}", ran.stderr);
    // A run whose judges were away did not fail, and what they did not see can be looked at all the same.
    let scenario = "[faults]\nfail = [{ request = 3, with = 'error_503' }]\n";
    let away = Folder::new("judges-away").with("team.toml", &team).with("scenario.toml", scenario);
    let other = Simulator::start(&away, &["--scenario", "scenario.toml", "--plan-tasks", "1"]);
    let unseen = said(bellwether(&away).args(["run", "team.toml", "Build it", "--base-url", &other.base_url]));
    assert!(unseen.code == Some(0) && unseen.stderr.contains("--retry-failed"), "{}{}", unseen.stdout, unseen.stderr);
    let again = said(bellwether(&folder).args(["resume", "last", "--retry-failed", "--json"]).args(url));
    assert_eq!((again.code, again.json()["outcome"].as_str()), (Some(0), Some("succeeded")), "{}", again.stderr);
    let report = said(bellwether(&folder).args(["report", "last", "-o", "report.md"]));
    assert_eq!(report.code, Some(0), "{}", report.stderr);
    let twice = said(bellwether(&folder).args(["resume", "last", "--retry-failed", "--json"]).args(url));
    assert!(twice.code == Some(0) && twice.stderr.contains("nothing to try again"), "{}", twice.stderr);
}
