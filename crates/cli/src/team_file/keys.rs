//! The keys that a team file may have, and the nearest one to a key that it may not.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// What may stand in a table.
pub(super) enum Keys {
    /// These keys and no others.
    These(&'static [(&'static str, Below)]),
    /// Keys that the user chooses, each with the same kind of table.
    Chosen(&'static Self),
}

/// What may stand below a key.
pub(super) enum Below {
    /// A value.
    Value,
    /// A table, or a list of such tables. A value in its place is a matter of its type.
    Table(Keys),
}

use Below::{Table, Value};
use Keys::{Chosen, These};

/// Everything that a team file may have.
pub(super) const FILE: Keys = These(&[
    ("approval", Table(These(&[("plan", Value)]))),
    ("budget", Table(BUDGET)),
    ("journal", Table(These(&[("dir", Value), ("snapshot_every", Value)]))),
    ("models", Table(Chosen(&MODEL))),
    ("plan", Table(PLAN)),
    ("provider", Table(Chosen(&PROVIDER))),
    ("queue", Table(These(&[("capacity", Value), ("floors", Table(These(&[("batch", Value), ("standard", Value)])))]))),
    ("review", Table(REVIEW)),
    ("roles", Table(Chosen(&ROLE))),
    ("routing", Table(ROUTING)),
    ("schema", Value),
    ("team", Table(These(&[("class", Value), ("name", Value), ("tenant", Value), ("weight", Value)]))),
    ("workflow", Table(WORKFLOW)),
]);

const PLAN: Keys = These(&[
    ("join", Value),
    ("max_depth", Value),
    ("max_spawn", Value),
    ("max_spawn_depth", Value),
    ("max_tasks", Value),
    ("on_invalid", Value),
    ("repair_attempts", Value),
    ("right_size", Value),
]);

const BUDGET: Keys = These(&[
    ("calls", Value),
    ("deadline", Value),
    ("reserve_for_synthesis", Value),
    ("task", Table(CAPS)),
    ("tenant_day", Table(CAPS)),
    ("time", Value),
    ("tokens", Value),
    ("usd", Value),
]);

const CAPS: Keys = These(&[("calls", Value), ("time", Value), ("tokens", Value), ("usd", Value)]);

const PROVIDER: Keys = These(&[
    ("allow_insecure", Value),
    ("api_key_env", Value),
    ("base_url", Value),
    ("concurrency", Table(These(&[("max", Value)]))),
    ("hedge_percent", Value),
    ("kind", Value),
    ("max_tokens_field", Value),
    ("organisation", Value),
    ("rpm", Value),
    ("stream_usage", Value),
    ("timeouts", Table(These(&[("connect", Value), ("first_token", Value), ("idle", Value), ("total", Value)]))),
    ("tpm", Value),
]);

const MODEL: Keys = These(&[
    ("charge", Value),
    ("context", Value),
    ("fallback", Value),
    ("family", Value),
    ("id", Value),
    ("max_output", Value),
    ("max_tokens_field", Value),
    ("provider", Value),
    ("usd_per_mtok", Table(These(&[("cached", Value), ("in", Value), ("out", Value)]))),
]);

const ROLE: Keys = These(&[
    ("budget", Table(CAPS)),
    ("history", Table(These(&[("window_tokens", Value)]))),
    ("instances", Table(These(&[("max", Value)]))),
    ("kind", Value),
    ("max_output_tokens", Value),
    ("may_ask", Value),
    ("may_spawn", Value),
    ("prompt", Table(These(&[("file", Value)]))),
    ("temperature", Value),
    ("tiers", Value),
    ("timeout", Value),
]);

const REVIEW: Keys = These(&[
    ("checks", Table(CHECK)),
    ("freeze_scope", Value),
    ("max_escalations", Value),
    ("max_rounds", Value),
    ("may_skip", Value),
    ("min_gain", Value),
    ("on_exhausted", Value),
    ("threshold", Value),
]);

const ROUTING: Keys = These(&[
    ("audit_limit", Value),
    ("audit_share", Value),
    ("cost_weight", Value),
    ("explore_share", Value),
    ("forgetting", Value),
    ("latency_weight", Value),
    ("mode", Value),
    ("quality_floor", Value),
    ("quality_weight", Value),
    ("stats", Value),
]);

const CHECK: Keys = These(&[
    ("command", Value),
    ("expect", Value),
    ("file", Value),
    ("id", Value),
    ("kind", Value),
    ("must", Value),
    ("pattern", Value),
    ("roles", Value),
    ("timeout", Value),
]);

const WORKFLOW: Keys = These(&[
    ("backoff", Table(These(&[("base", Value), ("cap", Value)]))),
    ("grace", Value),
    ("max_attempts", Value),
    ("max_parallel", Value),
    ("max_questions", Value),
    ("on_task_failure", Value),
    ("pipelined", Value),
    ("quorum", Value),
    ("stall_after", Value),
    ("task_deadline", Value),
    ("transport_attempts", Value),
]);

/// The first key that may not be there: where it is, and what to do about it.
pub(super) fn unknown(file: &DeTable<'_>) -> Option<(Range<usize>, String)> {
    let mut found = Vec::new();
    walk(file, &FILE, "", &mut found);
    found.into_iter().min_by_key(|(span, _)| span.start)
}

fn walk(table: &DeTable<'_>, keys: &Keys, path: &str, found: &mut Vec<(Range<usize>, String)>) {
    for (key, value) in table {
        let name: &str = key.get_ref();
        let here = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let below = match keys {
            Chosen(each) => Some(*each),
            These(known) => match known.iter().find(|(known, _)| *known == name) {
                Some((_, Table(keys))) => Some(keys),
                Some((_, Value)) => None,
                None => {
                    found.push((key.span(), complaint(name, path, known)));
                    None
                }
            },
        };
        let Some(keys) = below else { continue };
        match value.get_ref() {
            DeValue::Table(table) => walk(table, keys, &here, found),
            // A list of tables, each of which may have these keys.
            DeValue::Array(items) => {
                for item in items.iter() {
                    if let DeValue::Table(table) = item.get_ref() {
                        walk(table, keys, &here, found);
                    }
                }
            }
            _ => {}
        }
    }
}

fn complaint(name: &str, path: &str, known: &[(&str, Below)]) -> String {
    let place = if path.is_empty() { "at the top level".to_owned() } else { format!("in [{path}]") };
    let distance = |known: &str| strsim::damerau_levenshtein(name, known);
    let nearest = known.iter().map(|(known, _)| *known).min_by_key(|known| distance(known));
    match nearest.filter(|known| distance(known) <= known.len().max(name.len()) / 2) {
        Some(nearest) => format!("unknown key `{name}` {place}: did you mean `{nearest}`?"),
        None => {
            let known: Vec<&str> = known.iter().map(|(known, _)| *known).collect();
            format!("unknown key `{name}` {place}: known are {}", known.join(", "))
        }
    }
}
