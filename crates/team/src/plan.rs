//! What is to be done: subtasks, who does them, and what they need from each other.
//!
//! - [`Plan::read`] understands a planner's answer: JSON in any wrapping, or else a numbered or bulleted list.
//! - [`Plan::single`] is the plan for when there is no planner, or none that makes sense.

use std::sync::Arc;

use bellwether_core::TaskId;
use serde::{Deserialize, Serialize};

mod list;
mod structured;

/// Subtasks, in the order in which the planner named them.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Plan {
    /// The planner's view of the whole, in a sentence or two.
    pub summary: String,
    /// The subtasks. Their dependencies exist and form no cycle.
    pub tasks: Vec<PlannedTask>,
    /// Whether this is the fallback, because the planner's answer was of no use.
    pub degraded: bool,
}

/// One subtask.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct PlannedTask {
    /// Its id in the run: `t1`, `t2`, ...
    pub id: TaskId,
    /// A few words.
    pub title: Arc<str>,
    /// What is to be done.
    pub objective: String,
    /// What the work will be judged by.
    pub acceptance: Vec<String>,
    /// The worker role that does it.
    pub role: Arc<str>,
    /// The subtasks whose work it needs.
    pub depends_on: Vec<TaskId>,
    /// How hard it is, from 1 to 5.
    pub complexity: u8,
}

/// What a plan must keep to.
#[derive(Clone, Debug)]
pub struct PlanRules {
    /// The worker roles there are; the first one is the default.
    pub roles: Vec<Arc<str>>,
    /// The most subtasks.
    pub max_tasks: usize,
}

impl Plan {
    /// Understands a planner's answer.
    ///
    /// JSON is looked for first, then a numbered list, then a bulleted one. Headings, prose, fences and nested points
    /// are no subtasks.
    ///
    /// # Errors
    ///
    /// What is wrong with the answer, in sentences a planner can act on.
    pub fn read(answer: &str, rules: &PlanRules) -> Result<Self, Vec<String>> {
        let drafts = structured::read(answer).or_else(|| list::read(answer));
        let Some(draft) = drafts else {
            return Err(vec![
                "the answer contains neither a JSON object with \"tasks\" nor a numbered list".to_owned(),
            ]);
        };
        draft.check(rules)
    }

    /// One subtask that is the whole request.
    #[must_use]
    pub fn single(request: &str, rules: &PlanRules, degraded: bool) -> Self {
        let draft = Draft { summary: String::new(), tasks: vec![DraftTask::titled(request.to_owned())] };
        let mut plan = draft.check(rules).unwrap_or(Self { summary: String::new(), tasks: Vec::new(), degraded });
        plan.degraded = degraded;
        plan
    }
}

/// A plan as the planner wrote it, before anything is known to be right.
#[derive(Debug, Default)]
struct Draft {
    summary: String,
    tasks: Vec<DraftTask>,
}

#[derive(Debug, Default)]
struct DraftTask {
    id: Option<String>,
    title: String,
    objective: String,
    acceptance: Vec<String>,
    role: Option<String>,
    depends_on: Vec<String>,
    complexity: Option<u8>,
}

impl DraftTask {
    fn titled(title: String) -> Self {
        Self { title, ..Self::default() }
    }
}

impl Draft {
    fn check(self, rules: &PlanRules) -> Result<Plan, Vec<String>> {
        let mut problems = Vec::new();
        if self.tasks.is_empty() {
            problems.push("the plan has no tasks".to_owned());
        }
        if self.tasks.len() > rules.max_tasks {
            problems.push(format!("the plan has {} tasks; at most {} are allowed", self.tasks.len(), rules.max_tasks));
        }
        // The planner's ids are only names for its dependencies; ours are always t1, t2, ...
        let names: Vec<String> =
            self.tasks.iter().enumerate().map(|(n, task)| task.id.clone().unwrap_or_else(|| own_id(n))).collect();
        let mut tasks = Vec::with_capacity(self.tasks.len());
        for (n, task) in self.tasks.into_iter().enumerate() {
            if names[..n].contains(&names[n]) {
                problems.push(format!("the id {:?} is used twice", names[n]));
            }
            match task.check(n, &names, rules) {
                Ok(task) => tasks.push(task),
                Err(mut more) => problems.append(&mut more),
            }
        }
        if problems.is_empty() && has_cycle(&tasks) {
            problems.push("the dependencies form a cycle".to_owned());
        }
        if problems.is_empty() { Ok(Plan { summary: self.summary, tasks, degraded: false }) } else { Err(problems) }
    }
}

impl DraftTask {
    fn check(self, n: usize, names: &[String], rules: &PlanRules) -> Result<PlannedTask, Vec<String>> {
        let mut problems = Vec::new();
        let objective = if self.objective.is_empty() { self.title.clone() } else { self.objective };
        let title = if self.title.is_empty() { first_line(&objective) } else { first_line(&self.title) };
        if title.is_empty() {
            problems.push(format!("task {:?} says neither title nor objective", names[n]));
        }
        let role = match self.role {
            None => rules.roles.first().cloned(),
            Some(wanted) => {
                let known = rules.roles.iter().find(|role| role.eq_ignore_ascii_case(&wanted)).cloned();
                if known.is_none() {
                    let roles: Vec<&str> = rules.roles.iter().map(|role| &**role).collect();
                    problems.push(format!("task {:?} wants the role {wanted:?}; there are {roles:?}", names[n]));
                }
                known
            }
        };
        let mut depends_on = Vec::new();
        for name in self.depends_on {
            match names.iter().position(|other| *other == name) {
                Some(other) if other == n => {}
                Some(other) => depends_on.push(own_id(other).into()),
                None => problems.push(format!("task {:?} depends on {name:?}, which does not exist", names[n])),
            }
        }
        depends_on.sort();
        depends_on.dedup();
        match role {
            Some(role) if problems.is_empty() => Ok(PlannedTask {
                id: own_id(n).into(),
                title: title.into(),
                objective,
                acceptance: self.acceptance,
                role,
                depends_on,
                complexity: self.complexity.unwrap_or(3).clamp(1, 5),
            }),
            _ => Err(problems),
        }
    }
}

fn own_id(n: usize) -> String {
    format!("t{}", n + 1)
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

/// Whether the tasks cannot be put into an order in which each comes after what it needs (Kahn 1962).
fn has_cycle(tasks: &[PlannedTask]) -> bool {
    let mut waiting: Vec<&PlannedTask> = tasks.iter().collect();
    let mut done: Vec<&TaskId> = Vec::with_capacity(tasks.len());
    loop {
        let before = waiting.len();
        waiting.retain(|task| {
            let ready = task.depends_on.iter().all(|id| done.contains(&id));
            if ready {
                done.push(&task.id);
            }
            !ready
        });
        if waiting.is_empty() || waiting.len() == before {
            return !waiting.is_empty();
        }
    }
}
