//! What agents and the runtime say to each other.

use std::fmt;
use std::ops::AddAssign;
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::{Message, ProviderError, RunId, TaskId, Usage};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::plan::Plan;
use crate::review::Finding;
use crate::verdict::Verdict;

/// A message with its wrapping. The run is the correlation id of everything that is said in it.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// Its number in the run, counted from 1.
    pub id: u64,
    /// Its number among the messages of its sender, counted from 1.
    pub seq: u64,
    /// The run, which is also the correlation id.
    pub run: RunId,
    /// The message that led to this one.
    pub cause: Option<u64>,
    /// Who sent it.
    pub from: Address,
    /// Whom it is for.
    pub to: Address,
    /// What it says.
    pub body: Body,
}

impl Envelope {
    /// The task it is about.
    #[must_use]
    pub const fn task(&self) -> Option<&TaskId> {
        match &self.body {
            Body::Assign(assignment)
            | Body::Question(assignment)
            | Body::ReviewRequest(assignment)
            | Body::Revise(assignment) => assignment.job.task(),
            Body::Answer(finished) | Body::Finished(finished) => finished.job.task(),
        }
    }
}

/// A lane of a mailbox, the fastest first: what came to an end, what others wait for, what is new.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Lane {
    /// What became of something.
    Control,
    /// What somebody waits for who has begun: a question, a review, a revision.
    Revise,
    /// New work.
    Assign,
}

/// Somebody who sends and receives.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Address {
    /// One agent of a role, counted from 1.
    Agent(Arc<str>, usize),
    /// Any agent of a role.
    Role(Arc<str>),
    /// The runtime.
    Runtime,
}

impl Address {
    /// Which agent of its role it is; 0 for everybody else.
    pub(crate) const fn number(&self) -> usize {
        match self {
            Self::Agent(_, n) => *n,
            Self::Role(_) | Self::Runtime => 0,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(role, n) => write!(f, "{role}#{n}"),
            Self::Role(role) => f.write_str(role),
            Self::Runtime => f.write_str("runtime"),
        }
    }
}

/// What a message says.
#[derive(Clone, Debug)]
pub enum Body {
    /// This is what became of a question.
    Answer(Box<Finished>),
    /// Do this.
    Assign(Assignment),
    /// This is what became of it.
    Finished(Box<Finished>),
    /// Answer this.
    Question(Assignment),
    /// Do this again, with a reviewer's issues.
    Revise(Assignment),
    /// Judge this.
    ReviewRequest(Assignment),
}

impl Body {
    /// What kind of message it is, in snake case.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Answer(_) => "answer",
            Self::Assign(_) => "assign",
            Self::Finished(_) => "finished",
            Self::Question(_) => "question",
            Self::Revise(_) => "revise",
            Self::ReviewRequest(_) => "review_request",
        }
    }

    /// The lane of a mailbox it travels in.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        match self {
            Self::Answer(_) | Self::Finished(_) => Lane::Control,
            Self::Question(_) | Self::Revise(_) | Self::ReviewRequest(_) => Lane::Revise,
            Self::Assign(_) => Lane::Assign,
        }
    }
}

/// A piece of work for an agent.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// What it is for.
    pub job: Job,
    /// The tier of the role's ladder to use.
    pub tier: usize,
    /// The most output tokens to buy; the provider's own cap if absent.
    pub output_cap: Option<u32>,
    /// How often the job was asked for before, counted from 0.
    pub attempt: u32,
    /// When the task has to be done; unlimited if absent.
    pub deadline: Option<Instant>,
    /// The conversation to continue.
    pub conversation: Vec<Message>,
    /// Cancelled once nobody needs the work any more.
    pub called_off: CancellationToken,
}

/// One step of a run that needs an agent.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Job {
    /// Answer a question that a task waits with.
    Answer {
        /// The task that asks, which also pays for it.
        task: TaskId,
        /// Which of its questions, counted from 1.
        question: u32,
    },
    /// Judge accepted work once more.
    Audit {
        /// The task.
        task: TaskId,
    },
    /// Let the checks look at a task's work of a round. No model is asked.
    Check {
        /// The task.
        task: TaskId,
        /// The review round, counted from 0.
        round: u32,
    },
    /// Make one whole of the parts.
    Combine,
    /// Sum up a task's work for those who need it and have no room for the whole.
    Digest {
        /// The task.
        task: TaskId,
    },
    /// Break the request down.
    Plan,
    /// Judge a task's work of a round.
    Review {
        /// The task.
        task: TaskId,
        /// The review round, counted from 0.
        round: u32,
    },
    /// Work on a task in a round.
    Work {
        /// The task.
        task: TaskId,
        /// The review round, counted from 0.
        round: u32,
    },
}

impl Job {
    /// What the job is, in lower case.
    #[must_use]
    pub const fn phase(&self) -> &'static str {
        match self {
            Self::Answer { .. } => "answer",
            Self::Audit { .. } => "audit",
            Self::Check { .. } => "check",
            Self::Combine => "combine",
            Self::Digest { .. } => "digest",
            Self::Plan => "plan",
            Self::Review { .. } => "review",
            Self::Work { .. } => "work",
        }
    }

    /// The task it belongs to.
    #[must_use]
    pub const fn task(&self) -> Option<&TaskId> {
        match self {
            Self::Combine | Self::Plan => None,
            Self::Answer { task, .. }
            | Self::Audit { task }
            | Self::Check { task, .. }
            | Self::Digest { task }
            | Self::Review { task, .. }
            | Self::Work { task, .. } => Some(task),
        }
    }

    /// The review round it belongs to, counted from 0; for an answer the number of the question.
    #[must_use]
    pub const fn round(&self) -> u32 {
        match self {
            Self::Audit { .. } | Self::Combine | Self::Digest { .. } | Self::Plan => 0,
            Self::Answer { question: round, .. }
            | Self::Check { round, .. }
            | Self::Review { round, .. }
            | Self::Work { round, .. } => *round,
        }
    }

    /// Whether its task goes no further while it is under way; what is asked about work at rest keeps nobody.
    pub(crate) const fn holds(&self) -> bool {
        !matches!(self, Self::Audit { .. } | Self::Digest { .. })
    }

    /// Whether a model is asked, which costs something.
    #[must_use]
    pub const fn is_paid(&self) -> bool {
        !matches!(self, Self::Check { .. })
    }
}

/// What became of an assignment.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The assignment's job.
    pub job: Job,
    /// What came of it.
    pub result: Result<Product, JobError>,
    /// What it took.
    pub spent: Spent,
}

/// Something an agent made.
#[derive(Clone, Debug, PartialEq)]
pub enum Product {
    /// An answer to a question.
    Answer(String),
    /// A task's work, summed up.
    Digest(String),
    /// What checks found.
    Findings(Vec<Finding>),
    /// A plan.
    Plan(Plan),
    /// A judgement.
    Verdict(Verdict),
    /// The parts as one whole.
    Whole(String),
    /// Work.
    Work(String),
}

/// Why an agent made nothing.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// Nobody needs its work any more.
    #[error("nobody needs it any more")]
    CalledOff,
    /// The provider failed.
    #[error("{0}")]
    Provider(#[from] ProviderError),
    /// The agent fell over; that is a defect of its provider.
    #[error("the agent panicked")]
    Panicked,
    /// The model's answer could not be used.
    #[error("no usable answer: {}{}", problems.join("; "), remedy.as_ref().map_or(String::new(), |it| format!(" ({it})")))]
    Unusable {
        /// The answer.
        answer: String,
        /// What is wrong with it, as the model is told.
        problems: Vec<String>,
        /// What somebody can do about it that the model cannot.
        remedy: Option<String>,
    },
}

/// What a job, a task or a run took.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Spent {
    /// Answers asked for; retries are not counted.
    pub calls: u32,
    /// How often a call was sent again.
    pub retries: u32,
    /// Calls whose cost nobody knows.
    pub unpriced: u32,
    /// Tokens and cost, as far as known.
    pub usage: Usage,
    /// Time spent on it, by all agents together.
    pub busy: Duration,
}

impl Spent {
    /// Nothing.
    pub const ZERO: Self = Self {
        calls: 0,
        retries: 0,
        unpriced: 0,
        usage: Usage {
            input_tokens: None,
            output_tokens: None,
            cached_tokens: None,
            reasoning_tokens: None,
            cost: None,
        },
        busy: Duration::ZERO,
    };
}

impl AddAssign for Spent {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.retries += other.retries;
        self.unpriced += other.unpriced;
        self.usage += other.usage;
        self.busy += other.busy;
    }
}
