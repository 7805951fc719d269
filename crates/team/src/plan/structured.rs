//! Plans in JSON.

use std::collections::BTreeSet;

use serde_json::Value;

use super::draft::{Draft, DraftTask};
use crate::extract;

/// The keys of a plan that mean something; the rest is left out.
const OF_PLAN: [&str; 7] = ["summary", "assumptions", "tasks", "subtasks", "steps", "combine", "simulated"];
const OF_TASK: [&str; 18] = [
    "id",
    "title",
    "name",
    "objective",
    "description",
    "deliverable",
    "acceptance",
    "boundaries",
    "role",
    "depends_on",
    "optional",
    "wants",
    "complexity",
    "est_output_tokens",
    "tags",
    "need",
    "task",
    "simulated",
];
/// The longest text that is kept without being sent to anybody.
const MAX_ASIDE_CHARS: usize = 2_000;

/// The first JSON object with a list of tasks; `None` if there is none.
pub(super) fn read(answer: &str) -> Option<Draft> {
    let strict = extract::objects(answer).iter().find_map(plan).or_else(|| bare(answer));
    strict.or_else(|| {
        let relaxed = extract::relaxed(&answer[answer.find('{')?..]);
        let mut draft = extract::objects(&relaxed).iter().find_map(plan)?;
        draft.notes.push("the JSON had comments, or commas before a closing bracket".to_owned());
        Some(draft)
    })
}

/// A list of tasks with nothing around it.
fn bare(answer: &str) -> Option<Draft> {
    let begin = answer.find('{')?;
    let list = answer[..begin].rfind('[').filter(|at| answer[at + 1..begin].trim().is_empty())?;
    let mut values = serde_json::Deserializer::from_str(&answer[list..]).into_iter::<Vec<Value>>();
    let tasks = values.next()?.ok()?;
    let says = |task: &Value| ["title", "name", "objective", "description"].iter().any(|key| task.get(key).is_some());
    if !tasks.iter().all(says) {
        return None;
    }
    let notes = [vec!["the tasks stood in a list by themselves".to_owned()], ignored(&Value::Null, &tasks)].concat();
    Some(Draft { tasks: tasks.iter().map(task).collect(), notes, ..Draft::default() })
}

/// The plan that an object is, or holds as one of its fields.
fn plan(object: &Value) -> Option<Draft> {
    let within = || object.as_object().into_iter().flatten().map(|(_, value)| value).filter(|value| value.is_object());
    std::iter::once(object).chain(within()).find_map(|object| {
        let tasks = ["tasks", "subtasks", "steps"].iter().find_map(|key| object.get(key)?.as_array())?;
        Some(Draft {
            summary: aside(extract::text(object, "summary").unwrap_or_default()),
            assumptions: extract::texts(object, "assumptions").into_iter().take(16).map(aside).collect(),
            combine: aside(extract::texts(object, "combine").join("; ")),
            notes: ignored(object, tasks),
            tasks: tasks.iter().map(task).collect(),
        })
    })
}

/// The tasks that a worker asks for, and how to join them; `None` if its answer is work. Only an answer that is such an
/// object and nothing else asks for something: work may have anything in it.
pub(super) fn spawn(answer: &str) -> Option<(Draft, Option<String>)> {
    let object = extract::sole_object(answer)?;
    let spawn = object.get("spawn")?;
    let tasks = spawn.as_array().or_else(|| spawn.get("tasks")?.as_array())?;
    let join = object.get("join").or_else(|| spawn.get("join")).map(|join| match join.get("quorum") {
        Some(least) => format!("quorum({least})"),
        None => join.as_str().map_or_else(|| join.to_string(), str::to_owned),
    });
    let draft =
        Draft { tasks: tasks.iter().map(task).collect(), notes: ignored(&Value::Null, tasks), ..Draft::default() };
    Some((draft, join))
}

/// A subtask as a worker or a planner names it.
pub(super) fn task(value: &Value) -> DraftTask {
    if let Value::String(text) = value {
        return DraftTask::titled(text.trim().to_owned());
    }
    let number = |key: &str| match value.get(key)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped; a fraction of a token is none"
    )]
    let complexity = number("complexity").filter(|n| n.is_finite()).map(|n| n.round().clamp(1.0, 5.0) as u8);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped; a fraction of a token is none"
    )]
    let tokens = number("est_output_tokens").filter(|n| *n >= 1.0).map(|n| n.min(1e12) as u64);
    let objective = extract::text(value, "objective").or_else(|| extract::text(value, "description"));
    let mut wants = extract::texts(value, "optional");
    wants.extend(extract::texts(value, "wants"));
    let mut depends_on = Vec::new();
    match value.get("depends_on") {
        Some(Value::Array(needs)) => {
            for need in needs {
                match (extract::text(need, "task"), extract::text(need, "need")) {
                    (Some(task), Some(need)) if need.eq_ignore_ascii_case("optional") => wants.push(task),
                    (Some(task), _) => depends_on.push(task),
                    (None, _) => depends_on.extend(extract::plain(need)),
                }
            }
        }
        Some(need) => depends_on.extend(extract::plain(need)),
        None => {}
    }
    DraftTask {
        id: extract::text(value, "id"),
        title: extract::text(value, "title").or_else(|| extract::text(value, "name")).unwrap_or_default(),
        objective: objective.unwrap_or_default(),
        deliverable: extract::texts(value, "deliverable").join("; "),
        acceptance: extract::texts(value, "acceptance"),
        boundaries: extract::texts(value, "boundaries"),
        role: extract::text(value, "role"),
        depends_on,
        wants,
        complexity,
        est_output_tokens: tokens,
        tags: extract::texts(value, "tags"),
    }
}

/// What was asked for beside a plan, by name: a plan cannot ask for endpoints, keys, models, tools or money.
fn ignored(object: &Value, tasks: &[Value]) -> Vec<String> {
    let keys = |value: &Value, known: &[&str]| -> Vec<String> {
        let keys = value.as_object().into_iter().flatten().map(|(key, _)| key);
        keys.filter(|key| !known.contains(&key.as_str())).map(|key| key.chars().take(40).collect()).collect()
    };
    let of_tasks = tasks.iter().flat_map(|task| keys(task, &OF_TASK));
    let names: BTreeSet<String> = keys(object, &OF_PLAN).into_iter().chain(of_tasks).take(64).collect();
    if names.is_empty() {
        return Vec::new();
    }
    vec![format!("left out, because a plan has no such fields: {:?}", names.into_iter().take(16).collect::<Vec<_>>())]
}

fn aside(text: String) -> String {
    if text.len() <= MAX_ASIDE_CHARS { text } else { text.chars().take(MAX_ASIDE_CHARS).collect() }
}
