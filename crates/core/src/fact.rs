//! Everything that can happen, in the past tense: one stream feeds metrics, live view, journal and tests.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::call::{Call, Class, Flow, RunId, TaskId};
use crate::error::ErrorKind;
use crate::limiter::WaitReason;
use crate::queue::TicketId;
use crate::usage::Usage;

/// Something that happened.
///
/// Facts carry durations but no points in time: an observer hears a fact as it happens and stamps it if it wants to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fact {
    /// A call's caller went away before the answer; it may be billed if it was admitted.
    CallAbandoned {
        /// The call.
        call: Arc<Call>,
        /// Whether it had been admitted to the quota.
        admitted: bool,
    },
    /// A call got its reservation and is being sent.
    CallAdmitted {
        /// The call.
        call: Arc<Call>,
        /// How long it waited in queue and limiter.
        waited: Duration,
    },
    /// A call was answered.
    CallCompleted {
        /// The call.
        call: Arc<Call>,
        /// What it took.
        usage: Usage,
        /// From sending to the end of the answer.
        took: Duration,
        /// From sending to the first piece of the answer.
        first_token: Option<Duration>,
    },
    /// An attempt failed after it was admitted; a [`Fact::CallRetried`] follows if there will be another.
    CallFailed {
        /// The call.
        call: Arc<Call>,
        /// What kind of failure it was.
        kind: ErrorKind,
        /// From sending to the failure.
        took: Duration,
    },
    /// A call began to wait for its turn.
    CallQueued {
        /// The call.
        call: Arc<Call>,
    },
    /// A call was turned away before it was sent, or gave up waiting.
    CallRefused {
        /// The call.
        call: Arc<Call>,
        /// Why.
        kind: ErrorKind,
    },
    /// A call will be sent again.
    CallRetried {
        /// The call, with the number of the attempt that failed.
        call: Arc<Call>,
        /// Why.
        kind: ErrorKind,
        /// The pause before it queues again.
        delay: Duration,
    },
    /// The provider asked everybody on this key to slow down.
    CallThrottled {
        /// The call that was told so.
        call: Arc<Call>,
        /// How long to stay away, if it said so.
        retry_after: Option<Duration>,
    },
    /// A limiter learnt, or was told, that a limit is another than it thought.
    LimitChanged {
        /// The quota, by its key.
        quota: Arc<str>,
        /// Which limit.
        what: WaitReason,
        /// The limit now: per minute, or at once for [`WaitReason::Concurrency`].
        limit: u64,
    },
    /// A message could not be delivered.
    MessageDied {
        /// The run.
        run: RunId,
        /// Whom it was for.
        to: Arc<str>,
        /// What it was.
        what: &'static str,
    },
    /// A message was put into a mailbox.
    MessageSent {
        /// The run.
        run: RunId,
        /// Who sent it.
        from: Arc<str>,
        /// Whom it is for.
        to: Arc<str>,
        /// What it is.
        what: &'static str,
    },
    /// A plan was agreed on.
    PlanAccepted {
        /// The run.
        run: RunId,
        /// Its tasks and their titles.
        tasks: Vec<(TaskId, Arc<str>)>,
        /// Whether it is the one-task fallback because the planner's answer was of no use.
        degraded: bool,
    },
    /// A planner's answer was of no use.
    PlanRejected {
        /// The run.
        run: RunId,
        /// What is wrong with it.
        reason: String,
    },
    /// Everybody on a quota stays away for a while.
    QuotaPaused {
        /// The quota, by its key.
        quota: Arc<str>,
        /// How long.
        wait: Duration,
    },
    /// It was decided which tier of its role's ladder a task starts on.
    RouteDecided {
        /// The run.
        run: RunId,
        /// The task.
        task: TaskId,
        /// The tier's name.
        tier: Arc<str>,
        /// Whether it was chosen to learn about it.
        explored: bool,
        /// Why, for people.
        why: String,
    },
    /// A run ended.
    RunFinished {
        /// The run.
        run: RunId,
        /// The team.
        team: Arc<str>,
        /// How it ended.
        outcome: RunOutcome,
        /// How long it took.
        took: Duration,
    },
    /// A run began.
    RunStarted {
        /// The run.
        run: RunId,
        /// The team.
        team: Arc<str>,
    },
    /// A task went from one state to another.
    TaskMoved {
        /// The run.
        run: RunId,
        /// The task.
        task: TaskId,
        /// The role that has it.
        role: Arc<str>,
        /// Where it was; `None` for a new task.
        from: Option<TaskState>,
        /// Where it is.
        to: TaskState,
        /// The review round, counted from 0.
        round: u32,
    },
    /// A reviewer came to a verdict.
    TaskReviewed {
        /// The run.
        run: RunId,
        /// The task.
        task: TaskId,
        /// The review round, counted from 0.
        round: u32,
        /// From 0 to 1.
        score: f64,
        /// Whether the work was accepted.
        accepted: bool,
    },
    /// A ticket left the line without its turn.
    TicketShed {
        /// The ticket.
        ticket: TicketId,
        /// Who asked.
        flow: Flow,
        /// How urgent it was.
        class: Class,
        /// Whether its deadline came; else it had to make room.
        expired: bool,
    },
}

/// Where a task is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Waits for its turn.
    Pending,
    /// An agent works on it.
    Running,
    /// Work is there and waits for a reviewer.
    Produced,
    /// A reviewer looks at it.
    InReview,
    /// It goes back to work with the reviewer's issues.
    Revising,
    /// Done, and good enough.
    Accepted,
    /// Done, but no reviewer could look at it.
    Unreviewed,
    /// The reviewer was not satisfied, and the rounds are used up.
    Rejected,
    /// No usable work came of it.
    Failed,
    /// Never started, because a task it needs came to nothing.
    Skipped,
    /// Never started, because the run ended.
    Cancelled,
}

impl TaskState {
    /// Every state, in the order in which a task may meet them.
    pub const ALL: [Self; 11] = [
        Self::Pending,
        Self::Running,
        Self::Produced,
        Self::InReview,
        Self::Revising,
        Self::Accepted,
        Self::Unreviewed,
        Self::Rejected,
        Self::Failed,
        Self::Skipped,
        Self::Cancelled,
    ];

    /// The state in snake case, as metrics and reports name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Produced => "produced",
            Self::InReview => "in_review",
            Self::Revising => "revising",
            Self::Accepted => "accepted",
            Self::Unreviewed => "unreviewed",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether a task stays here for good.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Running | Self::Produced | Self::InReview | Self::Revising)
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// Its budget does not cover the rest; what was done until then is kept.
    BudgetExhausted,
    /// Somebody stopped it; what was done until then is kept.
    Cancelled,
    /// Its deadline came; what was done until then is kept.
    DeadlineExceeded,
    /// Nothing usable came of it.
    Failed,
    /// Some tasks are done, others are not.
    Partial,
    /// Every task was accepted.
    Succeeded,
    /// Every task is done, but not every one was found good enough, or looked at.
    SucceededWithDefects,
}

impl RunOutcome {
    /// The outcome in snake case, as metrics and reports name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BudgetExhausted => "budget_exhausted",
            Self::Cancelled => "cancelled",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Failed => "failed",
            Self::Partial => "partial",
            Self::Succeeded => "succeeded",
            Self::SucceededWithDefects => "succeeded_with_defects",
        }
    }
}
