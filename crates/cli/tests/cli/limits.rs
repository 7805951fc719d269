//! Every limit of a team file has an effect: with a tight value a run comes to another end than with a loose one.
//!
//! A key that is new in `team_file/keys.rs` has to be put into one of the two tables here, or the first test fails.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::net::TcpListener;

use serde_json::Value;
use toml::de::DeTable;

use crate::process::{Folder, Simulator, Underway, bellwether, said};

#[path = "../../src/team_file/keys.rs"]
mod keys;

use keys::{Below, FILE, Keys};

/// A team of three on one model; keys are written out in full.
/// Its quota is told, so that nothing is paced to find it.
const TEAM: [(&str, &str); 21] = [
    ("schema", "1"),
    ("team.name", "'limits'"),
    ("provider.main.kind", "'openai'"),
    ("models.m.provider", "'main'"),
    ("models.m.id", "'sim-large'"),
    ("models.m.usd_per_mtok", "{ in = 10, out = 10 }"),
    ("roles.lead.kind", "'planner'"),
    ("roles.lead.prompt", "'You plan: you break a task down into subtasks.'"),
    ("roles.lead.tiers", "['m']"),
    ("roles.coder.kind", "'worker'"),
    ("roles.coder.prompt", "'You code.'"),
    ("roles.coder.tiers", "['m']"),
    ("roles.coder.max_output_tokens", "4000"),
    ("provider.main.concurrency.max", "8"),
    ("provider.main.rpm", "100_000"),
    ("provider.main.tpm", "100_000_000"),
    ("roles.critic.kind", "'reviewer'"),
    ("roles.critic.prompt", "'You review.'"),
    ("roles.critic.tiers", "['m']"),
    ("roles.critic.max_output_tokens", "1000"),
    ("roles.lead.max_output_tokens", "4000"),
];

/// A limit, two values for it, and how the runs under them differ.
struct Row {
    key: &'static str,
    tight: &'static str,
    loose: &'static str,
    /// What both runs have in their file beside it.
    with: &'static [(&'static str, &'static str)],
    scenario: &'static str,
    differ: fn(&Seen, &Seen) -> bool,
}

/// A run that ended, and what its provider saw of it.
struct Seen {
    report: Value,
    stats: Value,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { report, stats } = self;
        let failed = report["tasks"].as_array().into_iter().flatten().map(|task| task["error"].to_string());
        let failed: Vec<String> = failed.filter(|error| error != "null").collect();
        write!(
            f,
            "[{}, {}; {failed:?}; {} requests, {} at once, {} tokens in]",
            report["outcome"], report["reason"], stats["requests"], stats["peak_in_flight"], stats["input_tokens"]
        )
    }
}

impl Seen {
    fn ended(&self, outcome: &str) -> bool {
        self.report["outcome"] == outcome
    }

    fn at_once(&self) -> u64 {
        self.stats["peak_in_flight"].as_u64().expect("the simulator counts")
    }

    fn requests(&self) -> u64 {
        self.stats["requests"].as_u64().expect("the simulator counts")
    }

    fn input_tokens(&self) -> u64 {
        self.stats["input_tokens"].as_u64().expect("the simulator counts")
    }

    /// Whether anything failed in this way.
    fn failed(&self, kind: &str) -> bool {
        let tasks = self.report["tasks"].as_array().expect("tasks are a list");
        tasks.iter().chain([&self.report]).any(|part| part["error"]["kind"] == kind)
    }

    fn revisions(&self) -> u64 {
        let tasks = self.report["tasks"].as_array().expect("tasks are a list");
        tasks.iter().filter_map(|task| task["revisions"].as_u64()).sum()
    }
}

const NOTHING: &str = "";
const QUICK: &str = "[latency]\nfirst_token = '2ms'\nper_token = '0ms'\n";
const SLOW: &str = "[latency]\nfirst_token = '150ms'\nper_token = '0ms'\n";
const MANY: &str =
    "[answers]\nplan_tasks = 12\ndependencies = false\n[latency]\nfirst_token = '100ms'\nper_token = '0ms'\n";
const LONG: &str = "[latency]\nfirst_token = '2ms'\nper_token = '20ms'\n";
const REVISE: &str = "[answers]\nrevise_share = 1.0\n";
const SILENT: &str = "[faults]\nstall_limit = '10m'\nfail = [{ request = 2, with = 'stall' }]\n";
const BROKEN: &str = "[faults]\nfail = [{ request = 2, with = 'error_503' }]\n";
const ONCE: (&str, &str) = ("workflow.transport_attempts", "1");
/// For what would wait for ever, or is refused at once because it would come later.
const SOON: (&str, &str) = ("budget.deadline", "'20s'");
const NOW: (&str, &str) = ("budget.deadline", "'3s'");

const LIMITS: &[Row] = &[
    Row {
        key: "budget.task.calls",
        tight: "1",
        loose: "100",
        with: &[],
        scenario: NOTHING,
        differ: |tight, loose| tight.failed("task_budget_exceeded") && loose.ended("succeeded"),
    },
    Row {
        key: "roles.coder.budget.calls",
        tight: "1",
        loose: "100",
        with: &[],
        scenario: NOTHING,
        differ: |tight, loose| tight.failed("role_budget_exceeded") && loose.ended("succeeded"),
    },
    Row {
        key: "budget.tenant_day.calls",
        tight: "1",
        loose: "100",
        with: &[],
        scenario: NOTHING,
        differ: |tight, loose| tight.failed("tenant_day_budget_exceeded") && loose.ended("succeeded"),
    },
    Row {
        key: "budget.task.time",
        tight: "'1s'",
        loose: "'100h'",
        with: &[],
        scenario: NOTHING,
        differ: |tight, loose| tight.failed("task_budget_exceeded") && loose.ended("succeeded"),
    },
    Row {
        key: "roles.coder.budget.time",
        tight: "'1s'",
        loose: "'100h'",
        with: &[],
        scenario: NOTHING,
        differ: |tight, loose| tight.failed("role_budget_exceeded") && loose.ended("succeeded"),
    },
    Row {
        key: "budget.tenant_day.time",
        tight: "'1s'",
        loose: "'100h'",
        with: &[],
        scenario: NOTHING,
        differ: |tight, loose| tight.failed("tenant_day_budget_exceeded") && loose.ended("succeeded"),
    },
    Row {
        key: "budget.task.tokens",
        tight: "100",
        loose: "1_000_000",
        with: &[],
        scenario: NOTHING,
        differ: |tight, loose| tight.failed("task_budget_exceeded") && loose.ended("succeeded"),
    },
    Row {
        key: "roles.coder.budget.tokens",
        tight: "100",
        loose: "1_000_000",
        with: &[],
        scenario: NOTHING,
        differ: |tight, loose| tight.failed("role_budget_exceeded") && loose.ended("succeeded"),
    },
    Row {
        key: "budget.tenant_day.tokens",
        tight: "100",
        loose: "1_000_000",
        with: &[],
        scenario: NOTHING,
        differ: |tight, loose| tight.failed("tenant_day_budget_exceeded") && loose.ended("succeeded"),
    },
    Row {
        key: "budget.task.usd",
        tight: "0.0001",
        loose: "100",
        with: &[],
        scenario: NOTHING,
        differ: |tight, loose| tight.failed("task_budget_exceeded") && loose.ended("succeeded"),
    },
    Row {
        key: "roles.coder.budget.usd",
        tight: "0.0001",
        loose: "100",
        with: &[],
        scenario: NOTHING,
        differ: |tight, loose| tight.failed("role_budget_exceeded") && loose.ended("succeeded"),
    },
    Row {
        key: "budget.tenant_day.usd",
        tight: "0.0001",
        loose: "100",
        with: &[],
        scenario: NOTHING,
        differ: |tight, loose| tight.failed("tenant_day_budget_exceeded") && loose.ended("succeeded"),
    },
    Row {
        key: "budget.time",
        tight: "'1s'",
        loose: "'100h'",
        with: &[],
        scenario: NOTHING,
        differ: |tight, loose| tight.ended("budget_exhausted") && tight.requests() == 0 && loose.ended("succeeded"),
    },
    Row {
        key: "budget.calls",
        tight: "3",
        loose: "100",
        with: &[],
        scenario: NOTHING,
        differ: |tight, loose| tight.ended("budget_exhausted") && tight.requests() == 3 && loose.ended("succeeded"),
    },
    Row {
        key: "budget.deadline",
        tight: "'200ms'",
        loose: "'1h'",
        with: &[],
        scenario: SLOW,
        differ: |tight, loose| tight.ended("deadline_exceeded") && loose.ended("succeeded"),
    },
    Row {
        key: "budget.reserve_for_synthesis",
        tight: "0.9",
        loose: "0",
        with: &[
            ("budget.calls", "20"),
            ("roles.editor.kind", "'synthesizer'"),
            ("roles.editor.prompt", "'You join.'"),
            ("roles.editor.tiers", "['m']"),
        ],
        scenario: NOTHING,
        differ: |tight, loose| tight.ended("budget_exhausted") && tight.requests() == 2 && loose.ended("succeeded"),
    },
    Row {
        key: "budget.tokens",
        tight: "8000",
        loose: "1_000_000",
        with: &[],
        scenario: NOTHING,
        differ: |tight, loose| tight.ended("budget_exhausted") && loose.ended("succeeded"),
    },
    Row {
        key: "budget.usd",
        tight: "0.08",
        loose: "100",
        with: &[],
        scenario: NOTHING,
        differ: |tight, loose| tight.ended("budget_exhausted") && loose.ended("succeeded"),
    },
    Row {
        key: "models.m.context",
        tight: "4100",
        loose: "100_000",
        with: &[("review.max_rounds", "4"), ("review.threshold", "1.0")],
        scenario: REVISE,
        differ: |tight, loose| tight.input_tokens() < loose.input_tokens(),
    },
    Row {
        key: "models.m.max_output",
        tight: "5",
        loose: "4000",
        with: &[],
        scenario: NOTHING,
        differ: |tight, loose| tight.failed("unusable_answer") && loose.ended("succeeded"),
    },
    Row {
        key: "plan.max_depth",
        tight: "1",
        loose: "3",
        with: &[],
        scenario: "[answers]\ndependencies = true\nplan_tasks = 5\n",
        differ: |tight, loose| tight.report["degraded"] == true && loose.report["degraded"] == false,
    },
    Row {
        key: "plan.max_tasks",
        tight: "2",
        loose: "24",
        with: &[],
        scenario: NOTHING,
        differ: |tight, loose| tight.report["degraded"] == true && loose.report["degraded"] == false,
    },
    Row {
        key: "plan.repair_attempts",
        tight: "0",
        loose: "2",
        with: &[("plan.on_invalid", "'fail'")],
        scenario: "[answers]\nplan = 'garbage'\n",
        differ: |tight, loose| tight.requests() == 1 && loose.requests() == 3,
    },
    Row {
        key: "provider.main.concurrency.max",
        tight: "1",
        loose: "8",
        with: &[],
        scenario: SLOW,
        differ: |tight, loose| tight.at_once() == 1 && loose.at_once() > 1,
    },
    Row {
        key: "provider.main.rpm",
        tight: "2",
        loose: "100_000",
        with: &[SOON],
        scenario: NOTHING,
        differ: |tight, loose| tight.requests() <= 2 && !tight.ended("succeeded") && loose.ended("succeeded"),
    },
    Row {
        key: "provider.main.timeouts.first_token",
        tight: "'50ms'",
        loose: "'1h'",
        with: &[ONCE],
        scenario: SLOW,
        differ: |tight, loose| tight.failed("timeout_first_token") && loose.ended("succeeded"),
    },
    Row {
        key: "provider.main.timeouts.idle",
        tight: "'1ms'",
        loose: "'1h'",
        with: &[ONCE, NOW],
        scenario: LONG,
        differ: |tight, loose| tight.failed("timeout_idle") && !loose.failed("timeout_idle"),
    },
    Row {
        key: "provider.main.timeouts.total",
        tight: "'100ms'",
        loose: "'1h'",
        with: &[ONCE, NOW],
        scenario: LONG,
        differ: |tight, loose| tight.failed("timeout_total") && !loose.failed("timeout_total"),
    },
    Row {
        key: "provider.main.tpm",
        tight: "100",
        loose: "100_000_000",
        with: &[SOON],
        scenario: NOTHING,
        differ: |tight, loose| !tight.ended("succeeded") && loose.ended("succeeded"),
    },
    Row {
        key: "queue.capacity",
        tight: "1",
        loose: "100",
        with: &[("provider.main.concurrency.max", "1")],
        scenario: SLOW,
        differ: |tight, loose| tight.failed("queue_full") && loose.ended("succeeded"),
    },
    Row {
        key: "review.max_escalations",
        tight: "0",
        loose: "1",
        with: &[
            ("review.threshold", "1.0"),
            ("models.n.provider", "'main'"),
            ("models.n.id", "'sim-large'"),
            ("roles.coder.tiers", "['m', 'n']"),
        ],
        scenario: REVISE,
        differ: |tight, loose| tight.requests() < loose.requests(),
    },
    Row {
        key: "review.max_rounds",
        tight: "0",
        loose: "1",
        with: &[],
        scenario: REVISE,
        differ: |tight, loose| tight.revisions() == 0 && loose.revisions() > 0,
    },
    Row {
        key: "review.threshold",
        tight: "1.0",
        loose: "0.1",
        with: &[],
        scenario: NOTHING,
        differ: |tight, loose| tight.ended("succeeded_with_defects") && loose.ended("succeeded"),
    },
    Row {
        key: "roles.coder.history.window_tokens",
        tight: "1",
        loose: "24_000",
        with: &[("review.max_rounds", "4"), ("review.threshold", "1.0")],
        scenario: REVISE,
        differ: |tight, loose| tight.input_tokens() < loose.input_tokens(),
    },
    Row {
        key: "roles.coder.instances.max",
        tight: "1",
        loose: "8",
        with: &[("roles.critic.kind", "'worker'")],
        scenario: MANY,
        differ: |tight, loose| tight.at_once() == 1 && loose.at_once() > 1,
    },
    Row {
        key: "roles.coder.max_output_tokens",
        tight: "5",
        loose: "4000",
        with: &[],
        scenario: NOTHING,
        differ: |tight, loose| tight.failed("unusable_answer") && loose.ended("succeeded"),
    },
    Row {
        key: "roles.coder.timeout",
        tight: "'50ms'",
        loose: "'1h'",
        with: &[ONCE],
        scenario: SLOW,
        differ: |tight, loose| tight.failed("timeout_total") && loose.ended("succeeded"),
    },
    Row {
        key: "workflow.backoff.base",
        tight: "'9000d'",
        loose: "'1ms'",
        with: &[SOON, ("workflow.backoff.cap", "'9000d'")],
        scenario: BROKEN,
        differ: |tight, loose| !tight.ended("succeeded") && loose.ended("succeeded"),
    },
    Row {
        key: "workflow.backoff.cap",
        tight: "'1ms'",
        loose: "'9000d'",
        with: &[SOON, ("workflow.backoff.base", "'9000d'")],
        scenario: BROKEN,
        differ: |tight, loose| tight.ended("succeeded") && !loose.ended("succeeded"),
    },
    Row {
        key: "workflow.max_attempts",
        tight: "1",
        loose: "3",
        with: &[],
        scenario: "[answers]\nverdict = 'garbage'\n",
        differ: |tight, loose| tight.requests() < loose.requests(),
    },
    Row {
        key: "workflow.max_parallel",
        tight: "1",
        loose: "8",
        with: &[],
        scenario: SLOW,
        differ: |tight, loose| tight.at_once() == 1 && loose.at_once() > 1,
    },
    Row {
        key: "workflow.quorum",
        tight: "1.0",
        loose: "0.1",
        with: &[ONCE, ("workflow.on_task_failure", "'quorum'")],
        scenario: BROKEN,
        differ: |tight, loose| !tight.ended("succeeded_with_defects") && loose.ended("succeeded_with_defects"),
    },
    Row {
        key: "workflow.stall_after",
        tight: "'20ms'",
        loose: "'1h'",
        with: &[],
        scenario: SLOW,
        differ: |tight, loose| tight.report["stalls"].as_u64() > Some(0) && loose.report["stalls"] == 0,
    },
    Row {
        key: "workflow.task_deadline",
        tight: "'50ms'",
        loose: "'1h'",
        with: &[],
        scenario: SLOW,
        differ: |tight, loose| tight.failed("deadline_exceeded") && loose.ended("succeeded"),
    },
    Row {
        key: "workflow.transport_attempts",
        tight: "1",
        loose: "3",
        with: &[("workflow.backoff.base", "'1ms'")],
        scenario: BROKEN,
        differ: |tight, loose| tight.failed("overloaded") && loose.ended("succeeded"),
    },
];

/// Limits with a test of their own below, or in the room that keeps them.
const ELSEWHERE: [&str; 12] = [
    // `team/tests/questions.rs` tries it.
    "workflow.max_questions",
    // Needs twenty answers before it does anything; `batches.rs` and `dispatch/tests/dispatch/hedges.rs` try it.
    "provider.main.hedge_percent",
    // `team/tests/spawning.rs` tries these: the simulator's workers ask for nothing.
    "plan.max_spawn",
    "plan.max_spawn_depth",
    "provider.main.timeouts.connect",
    // `team/tests/reviews.rs` and `team/src/review/convergence.rs` try these.
    "review.checks.timeout",
    "review.min_gain",
    "workflow.grace",
    // Shares between runs on one quota; a run that is alone cannot show them. `quota.rs` tries them.
    "queue.floors.batch",
    "queue.floors.standard",
    "team.class",
    "team.weight",
];

/// What says what to do and not how much.
const NO_LIMITS: [&str; 54] = [
    "approval.plan",
    "journal.dir",
    "journal.snapshot_every",
    "models.m.charge",
    "models.m.fallback",
    "models.m.family",
    "models.m.id",
    "models.m.max_tokens_field",
    "models.m.provider",
    "models.m.usd_per_mtok.cached",
    "models.m.usd_per_mtok.in",
    "models.m.usd_per_mtok.out",
    "plan.join",
    "plan.on_invalid",
    "plan.right_size",
    "provider.main.allow_insecure",
    "provider.main.api_key_env",
    "provider.main.base_url",
    "provider.main.kind",
    "provider.main.max_tokens_field",
    "provider.main.organisation",
    "provider.main.stream_usage",
    "review.checks.command",
    "review.checks.expect",
    "review.checks.file",
    "review.checks.id",
    "review.checks.kind",
    "review.checks.must",
    "review.checks.pattern",
    "review.checks.roles",
    "review.freeze_scope",
    "review.on_exhausted",
    "roles.coder.kind",
    "roles.coder.may_ask",
    "roles.coder.may_spawn",
    "roles.coder.prompt.file",
    "roles.coder.temperature",
    "roles.coder.tiers",
    "routing.audit_limit",
    "routing.audit_share",
    "routing.cost_weight",
    "routing.explore_share",
    "routing.forgetting",
    "routing.latency_weight",
    "routing.mode",
    "routing.quality_floor",
    "routing.quality_weight",
    "routing.stats",
    "schema",
    "review.may_skip",
    "team.name",
    "team.tenant",
    "workflow.on_task_failure",
    "workflow.pipelined",
];

/// All keys with values, with the names that the table above uses for those that a user chooses.
fn known(keys: &Keys, path: &str, into: &mut Vec<String>) {
    match keys {
        Keys::Chosen(each) => {
            let name = match path {
                "provider" => "main",
                "models" => "m",
                _ => "coder",
            };
            known(each, &format!("{path}.{name}"), into);
        }
        Keys::These(these) => {
            for (name, below) in *these {
                let here = if path.is_empty() { (*name).to_owned() } else { format!("{path}.{name}") };
                match below {
                    Below::Table(keys) => known(keys, &here, into),
                    Below::Value => into.push(here),
                }
            }
        }
    }
}

#[test]
fn every_key_of_a_team_file_is_tried_as_a_limit_or_is_none() {
    let mut all = Vec::new();
    known(&FILE, "", &mut all);
    let placed: Vec<&str> = LIMITS.iter().map(|row| row.key).chain(ELSEWHERE).chain(NO_LIMITS).collect();
    let missing: Vec<&String> = all.iter().filter(|key| !placed.contains(&key.as_str())).collect();
    assert!(missing.is_empty(), "new keys: give each limit a row in LIMITS, and the others a line: {missing:?}");
    let gone: Vec<&&str> = placed.iter().filter(|key| !all.iter().any(|known| known == *key)).collect();
    assert!(gone.is_empty(), "no longer keys: {gone:?}");
    assert_eq!(placed.iter().collect::<HashSet<_>>().len(), placed.len(), "each key has one place");
}

#[test]
fn every_key_of_a_team_file_is_told_of() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/TEAM.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    let mut all = Vec::new();
    known(&FILE, "", &mut all);
    // A key stands by itself, or in an example of its table.
    let is_told = |key: &&String| {
        let last = key.rsplit('.').next().unwrap_or_default();
        ["`", "{ ", ", "].iter().any(|before| page.contains(&format!("{before}{last}")))
    };
    let missing: Vec<&String> = all.iter().filter(|key| !is_told(key)).collect();
    assert!(missing.is_empty(), "docs/TEAM.md does not tell of {missing:?}");
}

/// The team with changes.
fn file(changes: &[(&str, &str)]) -> String {
    let mut keys: BTreeMap<&str, &str> = TEAM.into_iter().collect();
    keys.extend(changes.iter().copied());
    let text: String = keys.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
    let table = DeTable::parse(&text).expect("the table is right");
    assert_eq!(keys::unknown(table.get_ref()), None, "{text}");
    text
}

/// Quick, unless the scenario says how slow.
fn paced(scenario: &str) -> String {
    if scenario.contains("[latency]") { scenario.to_owned() } else { format!("{scenario}{QUICK}") }
}

fn live(row: &Row, value: &str) -> Seen {
    let mut changes = row.with.to_vec();
    changes.push((row.key, value));
    let folder = Folder::new(&format!("limit-{}", row.key)).with("team.toml", &file(&changes));
    let folder = folder.with("scenario.toml", &paced(row.scenario));
    let simulator = Simulator::plain(&folder, &["--scenario", "scenario.toml"]);
    let mut command = bellwether(&folder);
    command.args(["run", "team.toml", "Build it", "--json", "--base-url", &simulator.base_url]);
    // A day's budget is kept in the journal; the others are quicker without one.
    command.args((!row.key.contains("tenant_day")).then_some("--no-journal"));
    let said = said(&mut command);
    assert!(said.code != Some(2), "{}: {}", row.key, said.stderr);
    Seen { report: said.json(), stats: simulator.stats() }
}

#[test]
fn every_limit_has_an_effect() {
    let mut without = Vec::new();
    for row in LIMITS {
        let (tight, loose) = (live(row, row.tight), live(row, row.loose));
        if !(row.differ)(&tight, &loose) {
            without.push(format!("{}: {tight} {loose}", row.key));
        }
    }
    assert!(without.is_empty(), "no effect: {}", without.join("\n"));
}

/// Somebody accepts the connection and never says a word of TLS.
#[test]
fn a_connection_that_does_not_come_to_be_is_given_up_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/v1", silent.local_addr().unwrap());
    for (connect, kind) in [("'100ms'", "timeout_connect"), ("'1h'", "deadline_exceeded")] {
        let changes = [ONCE, NOW, ("provider.main.timeouts.connect", connect), ("plan.on_invalid", "'fail'")];
        let folder = Folder::new("limit-connect").with("team.toml", &file(&changes));
        let mut command = bellwether(&folder);
        command.args(["run", "team.toml", "Build it", "--json", "--no-journal", "--base-url", &url]);
        let report = said(&mut command).json();
        assert!(report["error"]["kind"] == kind || report["outcome"] == kind, "{connect}: {report}");
    }
}

/// A plan of one task is its own whole: what is held back for making one is there for everybody then.
#[test]
fn nothing_is_held_back_for_a_whole_that_will_not_be_made() {
    let changes = [
        ("budget.calls", "3"),
        ("roles.editor.kind", "'synthesizer'"),
        ("roles.editor.prompt", "'You join.'"),
        ("roles.editor.tiers", "['m']"),
    ];
    let scenario = paced("[answers]\nplan_tasks = 1\nrevise_share = 0.0\n");
    let folder = Folder::new("limit-whole").with("team.toml", &file(&changes)).with("scenario.toml", &scenario);
    let simulator = Simulator::plain(&folder, &["--scenario", "scenario.toml"]);
    let mut command = bellwether(&folder);
    command.args(["run", "team.toml", "Build it", "--json", "--no-journal", "--base-url", &simulator.base_url]);
    let report = said(&mut command).json();
    assert_eq!((&report["outcome"], &report["calls"]), (&"succeeded".into(), &3.into()), "{}", report["reason"]);
}

/// A drained run gives calls in flight its grace and no more: it ends by itself, long before the default.
#[test]
fn a_drained_run_ends_when_its_grace_does() {
    let folder = Folder::new("limit-grace").with("team.toml", &file(&[("workflow.grace", "'50ms'")]));
    let folder = folder.with("scenario.toml", &paced(SILENT));
    let simulator = Simulator::plain(&folder, &["--scenario", "scenario.toml"]);
    let mut command = bellwether(&folder);
    command.args(["run", "team.toml", "Build it", "--json", "--no-journal", "--progress", "plain"]);
    let mut running = Underway::start(command.args(["--base-url", &simulator.base_url]));
    running.until("accepted");
    running.interrupt();
    let said = running.end();
    assert_eq!(said.code, Some(130));
    assert!(said.json()["wall_ms"].as_f64() < Some(15_000.0), "the default grace is 20 s");
}
