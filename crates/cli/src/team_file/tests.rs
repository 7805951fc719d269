//! Every key that may be there is understood, and none is forgotten in either list.

use std::path::Path;

use super::keys::{Below, FILE, Keys};
use super::*;

/// A file that uses every key there is.
const EVERYTHING: &str = r#"
schema = 1
[team]
name = "all"
class = "batch"
weight = 2
tenant = "acme"
[provider.main]
kind = "openai"
base_url = "http://127.0.0.1:1/v1"
api_key_env = "KEY"
organisation = "org"
allow_insecure = false
max_tokens_field = "max_completion_tokens"
stream_usage = false
timeouts = { connect = "1s", first_token = "2s", idle = "3s", total = "4s" }
concurrency = { max = 2 }
rpm = 60
tpm = 1000
hedge_percent = 2
[models.m]
provider = "main"
id = "model"
fallback = ["spare"]
usd_per_mtok = { in = 1, cached = 0.5, out = 2 }
context = 1000
family = "own"
max_output = 100
max_tokens_field = "max_tokens"
charge = "input_and_cap"
[roles.coder]
kind = "worker"
prompt = { file = "coder.md" }
tiers = ["m"]
instances = { max = 2 }
temperature = 0.5
max_output_tokens = 100
timeout = "1m"
history = { window_tokens = 1000 }
may_spawn = true
may_ask = true
budget = { calls = 3 }
[plan]
max_tasks = 3
max_depth = 2
max_spawn = 4
max_spawn_depth = 2
join = "quorum(2)"
repair_attempts = 1
right_size = false
on_invalid = "fail"
[approval]
plan = true
[workflow]
max_parallel = 2
max_questions = 3
pipelined = false
on_task_failure = "quorum"
quorum = 0.5
task_deadline = "5m"
stall_after = "1m"
max_attempts = 2
transport_attempts = 2
backoff = { base = "1s", cap = "2s" }
grace = "1s"
[review]
threshold = 0.5
max_rounds = 2
may_skip = false
max_escalations = 2
freeze_scope = false
min_gain = 0.1
on_exhausted = "fail"
[[review.checks]]
id = "lint"
kind = "command"
must = false
roles = ["coder"]
file = "form.json"
pattern = "x"
expect = "absent"
command = ["cargo", "check"]
timeout = "2m"
[budget]
deadline = "1h"
usd = 1.5
tokens = 1000
calls = 10
time = "10m"
reserve_for_synthesis = 0.2
task = { usd = 0.5 }
tenant_day = { usd = 20 }
[queue]
capacity = 100
floors = { standard = 0.1, batch = 0.05 }
[routing]
mode = "thompson"
audit_share = 0.1
audit_limit = 0.2
quality_weight = 1.0
cost_weight = 0.5
latency_weight = 0.05
explore_share = 0.1
forgetting = 0.997
quality_floor = 0.55
stats = "state/router.log"
[journal]
dir = "runs"
snapshot_every = 256
"#;

fn parse(text: &str) -> Result<TeamFile, Mistake> {
    TeamFile::parse(Path::new("team.toml"), text.to_owned())
}

fn names(keys: &Keys, into: &mut Vec<&'static str>) {
    match keys {
        Keys::Chosen(each) => names(each, into),
        Keys::These(known) => {
            for (name, below) in *known {
                into.push(name);
                if let Below::Table(keys) = below {
                    names(keys, into);
                }
            }
        }
    }
}

#[test]
fn a_file_that_uses_every_known_key_is_understood() {
    parse(EVERYTHING).unwrap();
    let mut known = Vec::new();
    names(&FILE, &mut known);
    for name in known {
        assert!(EVERYTHING.contains(name), "{name} is known, but not tried here");
    }
}

/// Each key in turn is misspelt: the mistake names its line and the key that was meant.
#[test]
fn every_misspelt_key_is_found_on_its_line() {
    let mut tried = 0;
    for (n, line) in EVERYTHING.lines().enumerate() {
        let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| !key.contains('[')) else { continue };
        let broken = EVERYTHING.replacen(
            &format!("\n{line}\n"),
            &format!("\n{}\n", line.replacen(key, &format!("{key}x"), 1)),
            1,
        );
        let mistake = parse(&broken).unwrap_err().to_string();
        assert!(mistake.starts_with(&format!("team.toml:{}: unknown key `{key}x`", n + 1)), "{mistake}");
        assert!(mistake.contains(&format!("did you mean `{key}`?")), "{mistake}");
        tried += 1;
    }
    assert_eq!(tried, 95);
}

#[test]
fn a_table_in_place_of_a_value_is_refused() {
    let mistake = parse(&EVERYTHING.replacen("tiers = [\"m\"]", "tiers = { m = 1 }", 1)).unwrap_err().to_string();
    assert!(mistake.starts_with("team.toml:34:"), "{mistake}");
}
