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
        /// How much of that was after its turn had come: what the process took to go on.
        overhead: Duration,
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
    /// A call that took unusually long was sent once more beside itself, and that has come to an end.
    CallHedged {
        /// The call.
        call: Arc<Call>,
        /// What came of the second try.
        end: HedgeEnd,
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
    /// A call goes on to another key, because this one cannot serve it now.
    CallRerouted {
        /// The call, as it was with this key.
        call: Arc<Call>,
        /// The next key, by its provider's configured name.
        to: Arc<str>,
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
    /// A call is first in line and has to wait for room in the quota. Should it go away at this moment, that may be told first.
    CallWaiting {
        /// The call.
        call: Arc<Call>,
        /// What it waits for.
        reason: WaitReason,
        /// How long at least, if that is known.
        wait: Option<Duration>,
    },
    /// A key is asked again, or no longer.
    KeyChanged {
        /// The provider, by its configured name.
        provider: Arc<str>,
        /// How it stands now.
        state: KeyState,
        /// How long at least, if that is known.
        wait: Option<Duration>,
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
    /// A call has to wait with its next try, for others have used up what may be spent on trying again.
    RetryDenied {
        /// The call, with the number of the attempt that failed.
        call: Arc<Call>,
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
    /// A second judge looked at work that was accepted.
    TaskAudited {
        /// The run.
        run: RunId,
        /// The task.
        task: TaskId,
        /// Whether it would have accepted it, too.
        agreed: bool,
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
    /// A task asked for further ones, which it waits for.
    TasksSpawned {
        /// The run.
        run: RunId,
        /// The task that asked.
        parent: TaskId,
        /// The new tasks and their titles.
        tasks: Vec<(TaskId, Arc<str>)>,
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

words! {
    /// Where a task is. [`ALL`](Self::ALL) has them in the order in which a task may meet them.
    #[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
    #[serde(rename_all = "snake_case")]
    pub enum TaskState {
        /// Waits for its turn.
        Pending = "pending",
        /// An agent works on it.
        Running = "running",
        /// Work is there and waits for a reviewer.
        Produced = "produced",
        /// A reviewer looks at it.
        InReview = "in_review",
        /// It goes back to work with the reviewer's issues.
        Revising = "revising",
        /// It waits for a person, who says what becomes of it.
        Blocked = "blocked",
        /// Done, and good enough.
        Accepted = "accepted",
        /// Done, but no reviewer could look at it.
        Unreviewed = "unreviewed",
        /// The reviewer was not satisfied, and the rounds are used up.
        Rejected = "rejected",
        /// No usable work came of it.
        Failed = "failed",
        /// Never started, because a task it needs came to nothing.
        Skipped = "skipped",
        /// Not done, because the run ended or nobody needed it any more.
        Cancelled = "cancelled",
    }
}

impl TaskState {
    /// Whether a task stays here for good.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(
            self,
            Self::Pending | Self::Running | Self::Produced | Self::InReview | Self::Revising | Self::Blocked
        )
    }
}

words! {
    /// What came of a second try beside the first.
    #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
    pub enum HedgeEnd {
        /// It failed.
        Failed = "failed",
        /// It was cancelled: the first try answered, or the caller went away.
        Lost = "lost",
        /// It answered.
        Won = "won",
    }
}

words! {
    /// How a run ended.
    #[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
    #[non_exhaustive]
    #[serde(rename_all = "snake_case")]
    pub enum RunOutcome {
        /// Its budget does not cover the rest; what was done until then is kept.
        BudgetExhausted = "budget_exhausted",
        /// Somebody stopped it; what was done until then is kept.
        Cancelled = "cancelled",
        /// Its deadline came; what was done until then is kept.
        DeadlineExceeded = "deadline_exceeded",
        /// Nothing usable came of it.
        Failed = "failed",
        /// The account has nothing left to spend; what was done until then is kept, and it can go on once there is.
        Parked = "parked",
        /// Some tasks are done, others are not.
        Partial = "partial",
        /// Every task was accepted.
        Succeeded = "succeeded",
        /// Every task is done, but not every one was found good enough, or looked at.
        SucceededWithDefects = "succeeded_with_defects",
    }
}

words! {
    /// Whether a key's provider is asked at all.
    #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
    pub enum KeyState {
        /// Yes.
        Closed = "closed",
        /// By a few calls, to see whether it is well again.
        HalfOpen = "half_open",
        /// No: it keeps failing.
        Open = "open",
        /// No: it refuses the key, or the account has nothing left to spend.
        Parked = "parked",
    }
}
