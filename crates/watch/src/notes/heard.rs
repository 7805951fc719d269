//! A fact as it is noted.

use std::sync::Arc;
use std::time::Duration;

use bellwether_core::{Call, Fact, TaskState};
use serde::{Deserialize, Serialize};

/// A fact and when it was heard.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Note {
    /// Wall time, in milliseconds since the Unix epoch.
    pub at: u64,
    /// What was heard.
    #[serde(flatten)]
    pub heard: Heard,
}

/// Whose call it is.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Whose {
    /// The role that asks.
    pub role: Arc<str>,
    /// Which agent of the role it is, counted from 1; 0 if nobody said it.
    #[serde(default)]
    pub agent: usize,
    /// The task, unless it is for planning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// What it is for.
    pub phase: String,
    /// The review round, counted from 0.
    pub round: u32,
    /// The model that is asked.
    pub model: Arc<str>,
    /// The provider that is asked, which is also its quota.
    pub provider: Arc<str>,
}

/// A fact as it is noted. Durations are in milliseconds, money in billionths of a dollar.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Heard {
    /// A call's caller went away.
    Abandoned {
        /// Whose call.
        call: Whose,
    },
    /// A call is being sent.
    Admitted {
        /// Whose call.
        call: Whose,
    },
    /// How the budget stands.
    Budget {
        /// What is spent.
        spent: u64,
        /// What calls under way may take at worst.
        reserved: u64,
        /// The most that may be spent.
        cap: Option<u64>,
    },
    /// A call was answered.
    Completed {
        /// Whose call.
        call: Whose,
        /// Input and output tokens.
        tokens: u64,
        /// From sending to the end.
        took: u64,
        /// From sending to the first piece.
        first: Option<u64>,
    },
    /// An attempt failed.
    Failed {
        /// Whose call.
        call: Whose,
        /// The kind of failure.
        kind: String,
    },
    /// A call that was sent twice side by side is so no longer.
    Hedged {
        /// Whose call.
        call: Whose,
        /// What came of the second try: `won`, `lost` or `failed`.
        end: String,
    },
    /// A limit is another than was thought.
    Limit {
        /// The quota.
        quota: Arc<str>,
        /// Which limit.
        dimension: String,
        /// What it is now.
        limit: u64,
    },
    /// A task moved.
    Moved {
        /// The task.
        task: String,
        /// Where it is.
        to: TaskState,
    },
    /// Everybody on a quota stays away.
    Paused {
        /// The quota.
        quota: Arc<str>,
        /// How long.
        wait: u64,
    },
    /// A call began to wait.
    Queued {
        /// Whose call.
        call: Whose,
    },
    /// A call was turned away.
    Refused {
        /// Whose call.
        call: Whose,
        /// Why.
        kind: String,
    },
    /// A call will be sent again.
    Retried {
        /// Whose call.
        call: Whose,
        /// Why.
        kind: String,
        /// The pause before it queues again.
        delay: u64,
    },
    /// A provider asked to slow down.
    Throttled {
        /// Whose call was told so.
        call: Whose,
        /// How long to stay away, if it said so.
        wait: Option<u64>,
    },
}

impl Heard {
    /// What is noted of a fact; `None` if nothing is.
    #[must_use]
    pub fn of(fact: &Fact) -> Option<Self> {
        Some(match fact {
            Fact::CallAbandoned { call, .. } => Self::Abandoned { call: Whose::of(call) },
            Fact::CallAdmitted { call, .. } => Self::Admitted { call: Whose::of(call) },
            Fact::CallCompleted { call, usage, took, first_token } => Self::Completed {
                call: Whose::of(call),
                tokens: usage.tokens(),
                took: millis(*took),
                first: first_token.map(millis),
            },
            Fact::CallFailed { call, kind, .. } => {
                Self::Failed { call: Whose::of(call), kind: kind.as_str().to_owned() }
            }
            Fact::CallHedged { call, end } => Self::Hedged { call: Whose::of(call), end: end.as_str().to_owned() },
            Fact::CallQueued { call } => Self::Queued { call: Whose::of(call) },
            Fact::CallRefused { call, kind } => Self::Refused { call: Whose::of(call), kind: kind.as_str().to_owned() },
            Fact::CallRetried { call, kind, delay } => {
                Self::Retried { call: Whose::of(call), kind: kind.as_str().to_owned(), delay: millis(*delay) }
            }
            Fact::CallThrottled { call, retry_after } => {
                Self::Throttled { call: Whose::of(call), wait: retry_after.map(millis) }
            }
            Fact::LimitChanged { quota, what, limit } => {
                Self::Limit { quota: Arc::clone(quota), dimension: what.as_str().to_owned(), limit: *limit }
            }
            Fact::QuotaPaused { quota, wait } => Self::Paused { quota: Arc::clone(quota), wait: millis(*wait) },
            Fact::TaskMoved { task, to, .. } => Self::Moved { task: task.as_str().to_owned(), to: *to },
            _ => return None,
        })
    }
}

impl Whose {
    fn of(call: &Call) -> Self {
        let context = &call.context;
        Self {
            role: Arc::clone(&context.flow.role),
            agent: context.agent,
            task: context.task.as_ref().map(|task| task.as_str().to_owned()),
            phase: context.phase.to_owned(),
            round: context.round,
            model: Arc::clone(&call.model),
            provider: Arc::clone(&call.provider),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
