//! What is to be done: subtasks, who does them, and what they need from each other.
//!
//! - [`Plan::read`] understands a planner's answer: JSON in any wrapping, or else a numbered or bulleted list. What can
//!   be mended without asking is mended and noted; what cannot is named, so that the planner can be asked again.
//! - [`Plan::single`] is the plan for when there is no planner, or none that makes sense.
//! - [`PlanRules`] is what a plan must keep to, [`SpawnRules`] what tasks must that ask for further ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_core::{Price, TaskId, Usd};
use serde::{Deserialize, Serialize};

mod check;
mod draft;
mod list;
mod mend;
pub(crate) mod spawn;
mod structured;

use draft::DraftTask;
pub use spawn::{Join, SpawnRules};

/// Subtasks, in the order in which the planner named them.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Plan {
    /// The planner's view of the whole, in a sentence or two.
    pub summary: String,
    /// What the planner took for granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assumptions: Vec<String>,
    /// The subtasks. Their dependencies exist and form no cycle.
    pub tasks: Vec<PlannedTask>,
    /// How the parts become one whole, in the planner's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub combine: String,
    /// Whether this is the fallback, because the planner's answer was of no use.
    pub degraded: bool,
    /// What was wrong with the planner's answer and could be mended without asking again; of a fallback, why it is one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mended: Vec<String>,
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
    /// What is handed in, in which form.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub deliverable: String,
    /// What the work will be judged by: at least one criterion.
    pub acceptance: Vec<String>,
    /// What is not part of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub boundaries: Vec<String>,
    /// The worker role that does it.
    pub role: Arc<str>,
    /// The subtasks whose work it needs: it begins once all of them have work to show.
    pub depends_on: Vec<TaskId>,
    /// The subtasks whose work it would like: it waits for them, and does without if they come to nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wants: Vec<TaskId>,
    /// How hard it is, from 1 to 5.
    pub complexity: u8,
    /// How many tokens the work will have, in the planner's estimate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub est_output_tokens: Option<u64>,
    /// What kind of work it is, in a few words that similar tasks share.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// What a plan must keep to.
#[derive(Clone, Debug)]
pub struct PlanRules {
    /// The worker roles there are; the first one is the default.
    pub roles: Vec<Arc<str>>,
    /// The most subtasks.
    pub max_tasks: usize,
    /// The most subtasks in a row, each needing the one before.
    pub max_depth: usize,
    /// Whether a plan of simple tasks becomes one task, done by one worker.
    pub right_size: bool,
    /// What the run may still take.
    pub means: Means,
    /// The least that each role's output may cost, as far as known.
    pub prices: BTreeMap<Arc<str>, Price>,
}

/// What a run may take; what is absent is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Means {
    /// Money.
    pub usd: Option<Usd>,
    /// Input and output tokens.
    pub tokens: Option<u64>,
    /// Calls.
    pub calls: Option<u64>,
}

impl Means {
    /// What is left without a share of them, from 0 to 1.
    pub(crate) fn without(self, share: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most a million")]
        let rest = 1_000_000 - (share * 1e6).round() as u64;
        let less = |most: u64| u64::try_from(u128::from(most) * u128::from(rest) / 1_000_000).unwrap_or(most);
        Self {
            usd: self.usd.map(|most| Usd::from_nanos(less(most.as_nanos()))),
            tokens: self.tokens.map(less),
            calls: self.calls.map(less),
        }
    }
}

impl PlanRules {
    /// Rules for these worker roles, with room for 24 subtasks and 8 in a row, and no budget.
    #[must_use]
    pub fn new(roles: impl IntoIterator<Item = impl Into<Arc<str>>>) -> Self {
        Self {
            roles: roles.into_iter().map(Into::into).collect(),
            max_tasks: 24,
            max_depth: 8,
            right_size: true,
            means: Means::default(),
            prices: BTreeMap::new(),
        }
    }
}

impl Plan {
    /// Understands a planner's answer to `request`.
    ///
    /// JSON is looked for first, then a numbered list, then a bulleted one. Headings, prose, fences and nested points
    /// are no subtasks. Of JSON, only the fields of a plan are read: whatever else it asks for is left out, and noted.
    ///
    /// # Errors
    ///
    /// What is wrong with the answer, in sentences a planner can act on.
    pub fn read(answer: &str, request: &str, rules: &PlanRules) -> Result<Self, Vec<String>> {
        check::size(answer)?;
        let Some(draft) = structured::read(answer).or_else(|| list::read(answer)) else {
            return Err(vec![
                "the answer contains neither a JSON object with \"tasks\" nor a numbered list".to_owned(),
            ]);
        };
        let plan = draft.check(rules).map_err(check::worst)?;
        Ok(if rules.right_size { plan.right_sized(request, rules) } else { plan })
    }

    /// One subtask that is the whole request.
    #[must_use]
    pub fn single(request: &str, rules: &PlanRules, degraded: bool) -> Self {
        let task = DraftTask::titled(request.to_owned());
        let task = task.into_task("t1".into(), rules.roles.first().cloned().unwrap_or_else(|| "".into()));
        Self { tasks: vec![task], degraded, ..Self::default() }
    }

    /// A plan of simple tasks for one role is one task: dividing it costs more than it gains.
    fn right_sized(mut self, request: &str, rules: &PlanRules) -> Self {
        let [first, rest @ ..] = &self.tasks[..] else { return self };
        let simple = |task: &PlannedTask| task.complexity == 1 && task.role == first.role;
        if rest.is_empty() || !self.tasks.iter().all(simple) {
            return self;
        }
        let mut whole = Self::single(request, rules, false).tasks.remove(0);
        let points: String = self.tasks.iter().map(|task| format!("\n- {}", task.objective)).collect();
        whole.objective = format!("{}\n\nAll of this belongs to it:{points}", whole.objective);
        whole.acceptance = self.tasks.iter().flat_map(|task| task.acceptance.clone()).collect();
        whole.acceptance.dedup();
        whole.role = Arc::clone(&first.role);
        whole.complexity = 1;
        self.mended.push(format!("{} simple tasks became one", self.tasks.len()));
        self.tasks = vec![whole];
        self
    }
}
