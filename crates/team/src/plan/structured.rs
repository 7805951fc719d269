//! Plans in JSON.

use serde_json::Value;

use super::{Draft, DraftTask};
use crate::extract;

/// The first JSON object with a list of tasks; `None` if there is none.
pub(super) fn read(answer: &str) -> Option<Draft> {
    extract::objects(answer).iter().find_map(|object| {
        let tasks = ["tasks", "subtasks", "steps"].iter().find_map(|key| object.get(key)?.as_array())?;
        Some(Draft {
            summary: extract::text(object, "summary").unwrap_or_default(),
            tasks: tasks.iter().map(task).collect(),
        })
    })
}

fn task(value: &Value) -> DraftTask {
    if let Value::String(text) = value {
        return DraftTask::titled(text.trim().to_owned());
    }
    let complexity = value.get("complexity").and_then(Value::as_u64);
    let mut objective =
        extract::text(value, "objective").or_else(|| extract::text(value, "description")).unwrap_or_default();
    for (key, label) in [("deliverable", "Deliver"), ("boundaries", "Boundaries")] {
        let more = extract::texts(value, key);
        if !more.is_empty() {
            objective.push_str(&format!("\n{label}: {}", more.join("; ")));
        }
    }
    DraftTask {
        id: extract::text(value, "id"),
        title: extract::text(value, "title").or_else(|| extract::text(value, "name")).unwrap_or_default(),
        objective,
        acceptance: extract::texts(value, "acceptance"),
        role: extract::text(value, "role"),
        depends_on: extract::texts(value, "depends_on"),
        complexity: complexity.map(|n| u8::try_from(n).unwrap_or(u8::MAX)),
    }
}
