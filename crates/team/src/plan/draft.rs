//! A plan as the planner wrote it, and how it becomes one that can be worked on.

use std::collections::HashMap;
use std::sync::Arc;

use bellwether_core::TaskId;

use super::{Plan, PlanRules, PlannedTask, check, mend};

/// A plan before anything is known to be right.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) summary: String,
    pub(super) assumptions: Vec<String>,
    pub(super) tasks: Vec<DraftTask>,
    pub(super) combine: String,
    /// What was left out or mended while it was read.
    pub(super) notes: Vec<String>,
}

/// A subtask before anything is known to be right.
#[derive(Debug, Default)]
pub(super) struct DraftTask {
    pub(super) id: Option<String>,
    pub(super) title: String,
    pub(super) objective: String,
    pub(super) deliverable: String,
    pub(super) acceptance: Vec<String>,
    pub(super) boundaries: Vec<String>,
    pub(super) role: Option<String>,
    pub(super) depends_on: Vec<String>,
    pub(super) wants: Vec<String>,
    pub(super) complexity: Option<u8>,
    pub(super) est_output_tokens: Option<u64>,
    pub(super) tags: Vec<String>,
}

impl Draft {
    /// A plan that keeps to the rules, or all that is wrong with it.
    pub(super) fn check(self, rules: &PlanRules) -> Result<Plan, Vec<String>> {
        let Self { summary, assumptions, tasks, combine, notes: mut mended } = self;
        check::limits(&tasks, rules.max_tasks)?;
        let tasks = settle(tasks, &|n| format!("t{}", n + 1).into(), rules, &mut mended)?;
        check::means(&tasks, rules)?;
        Ok(Plan { summary, assumptions, tasks, combine, degraded: false, mended })
    }
}

/// Gives tasks their ids in the run and finds their roles and dependencies; what can be mended is, and noted.
pub(super) fn settle(
    drafts: Vec<DraftTask>,
    id: &dyn Fn(usize) -> TaskId,
    rules: &PlanRules,
    mended: &mut Vec<String>,
) -> Result<Vec<PlannedTask>, Vec<String>> {
    let mut problems = Vec::new();
    // The planner's ids are only names for its dependencies; ours are made by `id`.
    let names: Vec<String> =
        drafts.iter().enumerate().map(|(n, task)| task.id.clone().unwrap_or_else(|| id(n).to_string())).collect();
    let mut places = HashMap::with_capacity(names.len());
    for (n, name) in names.iter().enumerate() {
        if places.insert(name.as_str(), n).is_some() {
            problems.push(format!("the id {name:?} is used twice"));
        }
    }
    let mut tasks = Vec::with_capacity(drafts.len());
    for (n, draft) in drafts.into_iter().enumerate() {
        let name = names[n].as_str();
        if draft.says_nothing() {
            problems.push(format!("task {name:?} says neither title nor objective"));
        }
        let role = mend::role(draft.role.as_deref(), name, rules, mended).unwrap_or_else(|problem| {
            problems.push(problem);
            Arc::from("")
        });
        let mut resolve = |wanted: &[String]| -> Vec<TaskId> {
            let mut found: Vec<usize> = Vec::with_capacity(wanted.len());
            for other in wanted {
                match places.get(other.as_str()) {
                    Some(other) if *other == n => mended.push(format!("task {name:?} no longer waits for itself")),
                    Some(other) => found.push(*other),
                    None => problems.push(format!("task {name:?} depends on {other:?}, which does not exist")),
                }
            }
            found.sort_unstable();
            found.dedup();
            found.into_iter().map(id).collect()
        };
        let (depends_on, mut wants) = (resolve(&draft.depends_on), resolve(&draft.wants));
        wants.retain(|other| !depends_on.contains(other));
        tasks.push(PlannedTask { depends_on, wants, ..draft.into_task(id(n), role) });
    }
    if problems.is_empty() {
        problems.extend(check::shape(&tasks, &names, rules.max_depth));
    }
    if problems.is_empty() {
        problems.extend(check::duplicates(&tasks, &names));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    mend::shared_paths(&mut tasks, rules.max_depth, mended);
    Ok(tasks)
}

impl DraftTask {
    pub(super) fn titled(title: String) -> Self {
        Self { title, ..Self::default() }
    }

    fn says_nothing(&self) -> bool {
        self.title.trim().is_empty() && self.objective.trim().is_empty()
    }

    /// The task under its id in the run, without dependencies.
    pub(super) fn into_task(self, id: TaskId, role: Arc<str>) -> PlannedTask {
        let objective = if self.objective.is_empty() { self.title.clone() } else { self.objective };
        let title = if self.title.is_empty() { first_line(&objective) } else { first_line(&self.title) };
        let acceptance =
            if self.acceptance.is_empty() { vec![mend::criterion(&self.deliverable)] } else { self.acceptance };
        PlannedTask {
            id,
            title: title.into(),
            objective,
            deliverable: self.deliverable,
            acceptance,
            boundaries: self.boundaries,
            role,
            depends_on: Vec::new(),
            wants: Vec::new(),
            complexity: self.complexity.unwrap_or(3).clamp(1, 5),
            est_output_tokens: self.est_output_tokens,
            tags: self.tags,
        }
    }
}

/// The first line, cut to a length that fits a table.
fn first_line(text: &str) -> String {
    const MAX_CHARS: usize = 100;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    if line.chars().count() <= MAX_CHARS {
        return line.to_owned();
    }
    line.chars().take(MAX_CHARS - 1).chain(['…']).collect()
}
