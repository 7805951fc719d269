//! What came of a run, for people and for machines.

use std::sync::Arc;
use std::time::Duration;

use bellwether_core::journal::JournalError;
use bellwether_core::{ErrorKind, RunId, RunOutcome, TaskId, TaskState, Timestamp, Usage, Usd};
use serde::{Deserialize, Serialize, Serializer};

use crate::economy::Economy;
use crate::message::{JobError, Spent};
use crate::plan::Plan;
use crate::question::DeadLetter;
use crate::state::{Record, State, Stop};
use crate::verdict::Issue;

/// What came of a run.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// The run's id.
    pub run_id: RunId,
    /// The team's name.
    pub team: Arc<str>,
    /// What was asked for.
    pub request: String,
    /// How it ended.
    pub outcome: RunOutcome,
    /// Why it ended so, in a sentence.
    pub reason: String,
    /// Whether there was no usable plan, so that the request was worked on as a whole.
    pub degraded: bool,
    /// What was wrong with the planner's answer and could be mended without asking again; of a fallback, why it is one.
    pub plan_mended: Vec<String>,
    /// The plan; not a part of the JSON, which has the tasks.
    #[serde(skip)]
    pub plan: Option<Plan>,
    /// The tasks, in the plan's order.
    pub tasks: Vec<TaskResult>,
    /// The parts as one whole, if the team has somebody who makes it.
    pub result: Option<String>,
    /// Why there is no such whole.
    pub result_error: Option<Failure>,
    /// Answers asked for, over planning and all tasks.
    pub calls: u32,
    /// How often a call was sent again.
    pub retries: u32,
    /// Tokens, over planning and all tasks.
    #[serde(serialize_with = "tokens")]
    pub usage: Usage,
    /// What is known to have been spent, in dollars; `null` in JSON if nothing is known.
    #[serde(serialize_with = "dollars")]
    pub cost_usd: Option<Usd>,
    /// Calls whose cost is not known, and not in `cost_usd`.
    pub unpriced_calls: u32,
    /// Calls that were under way when a process ended and were made again: they may have been billed twice.
    pub possible_duplicates: u32,
    /// How often nothing came in for longer than the team finds right.
    pub stalls: u32,
    /// From begin to end, without the time in which no process worked on it.
    #[serde(rename = "wall_ms", serialize_with = "millis")]
    pub wall: Duration,
    /// What all agents together spent on it.
    #[serde(rename = "busy_ms", serialize_with = "millis")]
    pub busy: Duration,
    /// The least time in which the same work could have been done: its longest chain of tasks, or all of it shared evenly by
    /// as many agents as may work at once.
    #[serde(rename = "least_ms", serialize_with = "millis")]
    pub least: Duration,
    /// What it did without, step by step, because its budget did not cover more.
    pub economies: Vec<Economy>,
    /// Messages that reached nobody.
    pub dead_letters: Vec<DeadLetter>,
    /// The failure that ended the run, if one did.
    pub error: Option<Failure>,
    /// Whether a resume under the same terms has anything left to do, be it after somebody's decision.
    pub resumable: bool,
    /// Whether anything came to nothing that [`Team::retry`](crate::Team::retry) has tried again.
    pub retriable: bool,
}

/// What came of a task.
#[derive(Clone, Debug, Serialize)]
pub struct TaskResult {
    /// The task's id.
    pub task_id: TaskId,
    /// The task that asked for it, if it was not in the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spawned_by: Option<TaskId>,
    /// A few words.
    pub title: Arc<str>,
    /// The role that worked on it.
    pub agent: Arc<str>,
    /// The model that worked on it.
    pub model: Arc<str>,
    /// All models that worked on it, in order: more than one if it went up a tier.
    pub models: Vec<Arc<str>>,
    /// Where it ended.
    pub state: TaskState,
    /// Whether the work was found good enough.
    pub success: bool,
    /// The work; the best there is, even if it was not found good enough.
    pub result: Option<String>,
    /// Why it, or its review, came to nothing.
    pub error: Option<Failure>,
    /// From its first agent's begin to its end, or until now, waiting included.
    #[serde(rename = "execution_time_ms", serialize_with = "millis")]
    pub execution_time: Duration,
    /// How often one of its calls was sent again.
    pub retry_count: u32,
    /// Answers asked for.
    pub calls: u32,
    /// How often the work went back.
    pub revisions: u32,
    /// The reviewer's score of the result, from 0 to 1.
    pub score: Option<f64>,
    /// What the reviewer still finds wanting: issues, and criteria that are not met.
    pub open_issues: Vec<Issue>,
    /// Tokens.
    #[serde(serialize_with = "tokens")]
    pub usage: Usage,
    /// What is known to have been spent, in dollars.
    #[serde(serialize_with = "dollars")]
    pub cost_usd: Option<Usd>,
}

/// A failure, for people and for machines.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Failure {
    /// Its kind, in snake case.
    pub kind: String,
    /// What happened.
    pub message: String,
    /// The provider's kind of failure, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ErrorKind>,
}

impl Failure {
    /// Whether the model's answers are to blame, and nothing else.
    pub(crate) fn is_unusable(&self) -> bool {
        self.kind == UNUSABLE
    }

    /// Whether every further call would fail in the same way.
    pub(crate) fn is_hopeless(&self) -> bool {
        let others_go_on = matches!(self.kind.as_str(), "role_budget_exceeded" | "task_budget_exceeded");
        self.provider.is_some_and(ErrorKind::is_hopeless) && !others_go_on
    }

    /// What a journal that failed comes to.
    pub(crate) fn of_the_journal(error: &JournalError) -> Self {
        let source = std::error::Error::source(error).map_or_else(String::new, |source| format!(": {source}"));
        Self { kind: JOURNAL.to_owned(), message: format!("{error}{source}"), provider: None }
    }

    /// Whether the journal failed, and with it the run.
    pub(crate) fn is_of_the_journal(&self) -> bool {
        self.kind == JOURNAL
    }

    /// Whether the run had no time left for it, which says nothing of the task.
    pub(crate) fn is_out_of_time(&self) -> bool {
        self.kind == RUN_OVER
    }

    /// The same of a call for which the run has no time left.
    pub(crate) fn out_of_time(self) -> Self {
        Self { kind: RUN_OVER.to_owned(), ..self }
    }

    /// Whether it is gone once something outside has changed, such as a key, a budget or the time: a resume tries again.
    pub(crate) fn may_be_mended(&self) -> bool {
        self.is_hopeless() || self.is_about_money() || self.is_out_of_time()
    }

    /// Whether a budget does not cover it, be it the run's, the day's, the role's or the task's.
    pub(crate) fn is_about_money(&self) -> bool {
        self.provider == Some(ErrorKind::BudgetExceeded)
    }
}

impl From<&JobError> for Failure {
    fn from(error: &JobError) -> Self {
        let (kind, provider) = match error {
            JobError::CalledOff => ("called_off", None),
            JobError::Panicked => ("panicked", None),
            JobError::Provider(error) if error.kind == ErrorKind::BudgetExceeded => {
                // Whose budget it was decides who may go on, and what to do about it.
                let kind = match error.details.code.as_deref() {
                    Some("role") => "role_budget_exceeded",
                    Some("task") => "task_budget_exceeded",
                    Some("tenant_day") => "tenant_day_budget_exceeded",
                    Some("unknown") => "budget_unknown",
                    _ => "budget_exceeded",
                };
                (kind, Some(error.kind))
            }
            JobError::Provider(error) => (error.kind.as_str(), Some(error.kind)),
            JobError::Unusable { .. } => (UNUSABLE, None),
        };
        Self { kind: kind.to_owned(), message: error.to_string(), provider }
    }
}

/// The kind of failure that is the model's own.
const UNUSABLE: &str = "unusable_answer";

/// The kind of failure that is the journal's.
const JOURNAL: &str = "journal";

/// The kind of failure that is the run's deadline.
const RUN_OVER: &str = "run_deadline_exceeded";

/// What a report is made of beside the state.
pub(crate) struct Frame<'a> {
    pub(crate) run: &'a RunId,
    pub(crate) team: &'a Arc<str>,
    pub(crate) request: &'a str,
    pub(crate) wall: Duration,
    /// The model of a role's tier.
    pub(crate) model: &'a dyn Fn(&str, usize) -> Arc<str>,
}

impl RunReport {
    pub(crate) fn new(state: &State, frame: &Frame<'_>) -> Self {
        let Spent { calls, retries, unpriced, usage, busy } = state.spent();
        Self {
            run_id: frame.run.clone(),
            team: Arc::clone(frame.team),
            request: frame.request.to_owned(),
            outcome: state.outcome(),
            reason: reason(state),
            degraded: state.plan().is_some_and(|plan| plan.degraded),
            plan_mended: state.plan().map_or_else(Vec::new, |plan| plan.mended.clone()),
            plan: state.plan().cloned(),
            result: state.whole().and_then(|whole| whole.as_ref().ok()).cloned(),
            result_error: state.whole().and_then(|whole| whole.as_ref().err()).cloned(),
            tasks: state.tasks().iter().map(|record| TaskResult::new(state, record, frame)).collect(),
            calls,
            retries,
            usage,
            cost_usd: usage.cost,
            unpriced_calls: unpriced,
            possible_duplicates: state.doubtful(),
            stalls: state.stalls(),
            wall: frame.wall,
            busy,
            least: state.least_time(),
            economies: state.economies().to_vec(),
            dead_letters: state.dead_letters().to_vec(),
            error: match state.stop() {
                Some(Stop::Hopeless(failure)) => Some(failure.clone()),
                _ => None,
            },
            resumable: state.is_resumable(),
            retriable: state.may_try_again(),
        }
    }

    /// How many tasks ended in a state.
    #[must_use]
    pub fn count(&self, state: TaskState) -> usize {
        self.tasks.iter().filter(|task| task.state == state).count()
    }
}

impl TaskResult {
    fn new(state: &State, record: &Record, frame: &Frame<'_>) -> Self {
        let best = record.best();
        let ended = record.ended.unwrap_or(Timestamp::ZERO + frame.wall);
        let Spent { calls, retries, usage, .. } = record.spent;
        Self {
            task_id: record.planned.id.clone(),
            spawned_by: record.parent.map(|parent| state.tasks()[parent].planned.id.clone()),
            title: Arc::clone(&record.planned.title),
            agent: Arc::clone(&record.planned.role),
            model: (frame.model)(&record.planned.role, record.tier),
            models: record.stints.iter().map(|stint| (frame.model)(&record.planned.role, stint.tier)).collect(),
            state: record.state,
            success: record.state == TaskState::Accepted,
            result: best.map(|draft| draft.text.clone()),
            error: record.failure.clone(),
            execution_time: record.began.map_or(Duration::ZERO, |began| ended.since(began)),
            retry_count: retries,
            calls,
            revisions: u32::try_from(record.drafts.len().saturating_sub(1)).unwrap_or(u32::MAX),
            score: best.and_then(|draft| draft.verdict.as_ref()).map(|verdict| verdict.score),
            open_issues: if record.state == TaskState::Accepted { Vec::new() } else { record.wanting() },
            usage,
            cost_usd: usage.cost,
        }
    }
}

/// Why the run ended as it did, in a sentence.
fn reason(state: &State) -> String {
    let count = |wanted: TaskState| state.tasks().iter().filter(|task| task.state == wanted).count();
    match (state.outcome(), state.stop()) {
        (RunOutcome::Succeeded, _) => "every task was accepted".to_owned(),
        (RunOutcome::Parked, None) if state.is_parked() => "its plan waits for somebody's approval".to_owned(),
        (RunOutcome::Parked, None) => {
            let tasks: Vec<&str> = state.blocked().map(TaskId::as_str).collect();
            format!("never good enough, a person has to say what becomes of it: {}", tasks.join(", "))
        }
        (_, Some(Stop::Denied(reason))) => format!("its plan was not approved: {reason}"),
        (_, Some(Stop::TooManyFailed { failed, allowed })) => {
            format!("{failed} tasks came to nothing, and {allowed} may; what was done until then is kept")
        }
        (_, Some(Stop::Asked)) => "it was stopped; what was done until then is kept".to_owned(),
        (_, Some(Stop::Deadline)) => "its deadline came; what was done until then is kept".to_owned(),
        (RunOutcome::BudgetExhausted, None) => format!(
            "its budget did not cover everything: of {} tasks, {} accepted; what was done is kept",
            state.tasks().len(),
            count(TaskState::Accepted)
        ),
        (_, Some(Stop::Hopeless(failure))) => format!("it could not go on: {}", failure.message),
        _ => {
            let parts = TaskState::ALL.iter().filter(|state| count(**state) > 0);
            let parts: Vec<String> =
                parts.map(|state| format!("{} {}", count(*state), state.as_str().replace('_', " "))).collect();
            let whole = if matches!(state.whole(), Some(Err(_))) { "; nobody made one whole of them" } else { "" };
            format!("of {} tasks: {}{whole}", state.tasks().len(), parts.join(", "))
        }
    }
}

fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 1e6).round() / 1e3)
}

#[expect(clippy::ref_option, reason = "the signature that serde calls")]
fn dollars<S: Serializer>(cost: &Option<Usd>, serializer: S) -> Result<S::Ok, S::Error> {
    cost.map(Usd::as_dollars).serialize(serializer)
}

/// Usage without its cost, which stands beside it in dollars.
fn tokens<S: Serializer>(usage: &Usage, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Tokens {
        input_tokens: Option<u64>,
        output_tokens: Option<u64>,
        cached_tokens: Option<u64>,
        reasoning_tokens: Option<u64>,
    }
    let Usage { input_tokens, output_tokens, cached_tokens, reasoning_tokens, .. } = *usage;
    Tokens { input_tokens, output_tokens, cached_tokens, reasoning_tokens }.serialize(serializer)
}
