//! What can happen to a run, as it is folded and as it is remembered.

use bellwether_core::TaskId;
use bellwether_router::Route;
use serde::{Deserialize, Serialize};

use crate::economy::Economy;
use crate::message::{Job, Spent};
use crate::plan::{Join, Plan, PlannedTask};
use crate::question::{DeadLetter, Question};
use crate::report::Failure;
use crate::review::Finding;
use crate::runtime::{Ruling, TaskRuling};
use crate::verdict::Verdict;

use super::Rules;

/// Something that happened to a run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    /// The run keeps to other rules from now on.
    Adopted {
        /// The rules.
        rules: Box<Rules>,
    },
    /// A question was answered.
    Answered {
        /// The task that asked.
        task: TaskId,
        /// The answer.
        text: String,
        /// What its last call took.
        spent: Spent,
    },
    /// A worker asked somebody else instead of handing in work.
    Asked {
        /// The task it works on, which waits for the answer.
        task: TaskId,
        /// The question.
        question: Question,
        /// What its last call took.
        spent: Spent,
    },
    /// A second judge looked at work that was accepted.
    Audited {
        /// The task.
        task: TaskId,
        /// What it said.
        verdict: Verdict,
        /// What its last call took.
        spent: Spent,
    },
    /// An agent is about to ask for a job, on this tier of its role's ladder.
    Began {
        /// The job.
        job: Job,
        /// The tier.
        tier: usize,
    },
    /// A job was stopped because nobody needs its task any more.
    CalledOff {
        /// The job.
        job: Job,
        /// What its last call took, as far as anybody knows.
        spent: Spent,
    },
    /// The checks looked at a task's latest work.
    Checked {
        /// The task.
        task: TaskId,
        /// What each of them found.
        findings: Vec<Finding>,
    },
    /// The parts became one whole.
    Combined {
        /// The whole.
        text: String,
        /// What its last call took.
        spent: Spent,
    },
    /// Somebody agreed to the plan, or did not.
    Decided {
        /// What was decided.
        ruling: Ruling,
    },
    /// A task's work was summed up.
    Digested {
        /// The task.
        task: TaskId,
        /// The digest.
        text: String,
        /// What its last call took.
        spent: Spent,
    },
    /// A job's agent was stopped before it was done.
    Dropped {
        /// The job.
        job: Job,
    },
    /// The budget did not cover a job: from now on the run does without something, and the job is begun anew.
    Economised {
        /// The job.
        job: Job,
        /// The step that was taken.
        economy: Economy,
        /// What its last call took.
        spent: Spent,
    },
    /// A job came to nothing.
    Failed {
        /// The job.
        job: Job,
        /// Why.
        failure: Failure,
        /// What its last call took.
        spent: Spent,
    },
    /// Of the tasks that a task asked for, as many came to rest as its join takes, or too many to nothing.
    Joined {
        /// The task that asked.
        task: TaskId,
        /// Whether it can go on; else it failed.
        met: bool,
        /// The tasks that nobody needs any more.
        dismissed: Vec<TaskId>,
    },
    /// A reviewer came to a verdict.
    Judged {
        /// The task.
        task: TaskId,
        /// The verdict.
        verdict: Verdict,
        /// What its last call took.
        spent: Spent,
    },
    /// There is a plan.
    Planned {
        /// The plan.
        plan: Plan,
        /// What its last call took.
        spent: Spent,
        /// Whether somebody has to agree to it before anything else is done.
        #[serde(default)]
        approval: bool,
    },
    /// A worker handed in work.
    Produced {
        /// The task.
        task: TaskId,
        /// The work.
        text: String,
        /// What its last call took.
        spent: Spent,
    },
    /// The run goes on in another process; what was under way is begun anew.
    Resumed,
    /// Somebody wants what came to nothing to be tried again.
    Retried {
        /// The tasks.
        tasks: Vec<TaskId>,
    },
    /// It was decided which tier a task starts on.
    Routed {
        /// The task.
        task: TaskId,
        /// The decision, with everything it was made of.
        route: Box<Route>,
    },
    /// A person said what becomes of a task's work.
    Ruled {
        /// The task.
        task: TaskId,
        /// What was said.
        ruling: TaskRuling,
    },
    /// A worker asked for further tasks instead of handing in work.
    Spawned {
        /// The task it works on, which waits for them.
        task: TaskId,
        /// The tasks.
        tasks: Vec<PlannedTask>,
        /// How many of them have to come to work.
        join: Join,
        /// What was wrong with the answer and could be mended.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        mended: Vec<String>,
        /// What its last call took.
        spent: Spent,
    },
    /// Nothing came in for longer than the team finds right.
    Stalled,
    /// No new job may begin.
    Stopped {
        /// Why.
        stop: Stop,
    },
    /// A message reached nobody; who asked a question in it goes on without an answer.
    Undelivered {
        /// The message.
        letter: DeadLetter,
    },
    /// An answer could not be used; the job is asked for again, with what is wrong with it.
    Unusable {
        /// The job.
        job: Job,
        /// The answer, and what is wrong with it.
        attempt: Attempt,
        /// What its call took.
        spent: Spent,
    },
}

/// An answer that could not be used.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Attempt {
    /// The answer.
    pub(crate) answer: String,
    /// What is wrong with it, for the model.
    pub(crate) problems: Vec<String>,
}

/// Why a run begins no new jobs.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stop {
    /// Somebody asked for it.
    Asked,
    /// The run's deadline came.
    Deadline,
    /// Somebody did not agree to the plan.
    Denied(String),
    /// Every further call would fail in the same way.
    Hopeless(Failure),
    /// More tasks came to nothing than the team allows.
    TooManyFailed {
        /// How many came to nothing, with those that needed them.
        failed: usize,
        /// How many may.
        allowed: usize,
    },
}

impl Stop {
    /// Whether a run that was stopped so may go on once something outside has changed. A run without a plan may not:
    /// it failed.
    pub(crate) fn is_resumable(&self) -> bool {
        match self {
            Self::Asked | Self::Deadline => true,
            Self::Denied(_) | Self::TooManyFailed { .. } => false,
            // What a journal could not take is done again.
            Self::Hopeless(failure) => failure.provider.is_some() || failure.is_of_the_journal(),
        }
    }

    /// Whether the parts are still made one whole: near a cap there is money held back for that.
    pub(crate) fn leaves_the_whole(&self) -> bool {
        matches!(self, Self::Hopeless(failure) if failure.is_about_money())
    }
}
