//! What is asked of a scheduler, and what it answers.

use std::time::Duration;

use bellwether_core::Timestamp;

use super::Key;

/// Names a task from push to settlement.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TaskId {
    pub(crate) flow: u32,
    /// How many tasks its flow had before it.
    pub(crate) number: u32,
    /// Where it waits, if it does not wait in a ring.
    pub(crate) slot: u32,
}

/// Names an open flow.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct FlowId {
    pub(crate) node: u32,
    pub(crate) generation: u32,
}

/// What a task asks for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ask {
    /// What it is expected to cost, in tokens; the difference is settled afterwards. A high guess is the better one: a
    /// flow that is charged too little is served too much before anybody knows. Costs above
    /// [`MAX_COST`](crate::MAX_COST) count as that.
    pub cost: u64,
    /// Where it stands among the tasks of its flow.
    pub key: Key,
    /// When it is of no use any more.
    pub deadline: Option<Timestamp>,
}

impl Ask {
    /// A task that is expected to cost so much, in order of arrival, without a deadline.
    #[must_use]
    pub fn of(cost: u64) -> Self {
        Self { cost, ..Self::default() }
    }

    /// The same with this key.
    #[must_use]
    pub const fn keyed(self, key: Key) -> Self {
        Self { key, ..self }
    }

    /// The same with a moment from which on it is of no use.
    #[must_use]
    pub const fn until(self, deadline: Timestamp) -> Self {
        Self { deadline: Some(deadline), ..self }
    }
}

/// A task that was put into its line.
#[derive(Debug, Eq, PartialEq)]
#[must_use]
pub struct Pushed<T> {
    /// Its name.
    pub id: TaskId,
    /// The task that had to give way to it.
    pub shed: Option<Shed<T>>,
}

/// A task that was taken, and charged to its flow.
#[derive(Debug, Eq, PartialEq)]
#[must_use]
pub struct Granted<T> {
    /// Its name.
    pub id: TaskId,
    /// The band it waited in.
    pub band: usize,
    /// What it was charged.
    pub cost: u32,
    /// The task.
    pub task: T,
}

/// A task that left its line without its turn.
#[derive(Debug, Eq, PartialEq)]
pub struct Shed<T> {
    /// Its name.
    pub id: TaskId,
    /// The task.
    pub task: T,
    /// Why it had to go.
    pub why: Why,
}

/// Why a task left its line without its turn.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Why {
    /// Its deadline came.
    Expired,
    /// It had to make room.
    Room,
}

/// A task that was not taken in.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{reason}")]
pub struct Refused<T> {
    /// Why.
    pub reason: Reason,
    /// When there may be room again, if that is known. A [`Scheduler`](crate::Scheduler) never knows.
    pub retry_after: Option<Duration>,
    /// The task.
    pub task: T,
}

impl<T> Refused<T> {
    pub(crate) const fn new(reason: Reason, task: T) -> Self {
        Self { reason, retry_after: None, task }
    }
}

/// Why a task was not taken in.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum Reason {
    /// The queue takes no more tasks.
    #[error("the queue is closed")]
    Closed,
    /// Its flow has as many tasks waiting as it may have.
    #[error("too many tasks of this flow are waiting")]
    FlowFull,
    /// As many tasks wait as may, and none of them has to give way to this one.
    #[error("the queue is full")]
    Full,
    /// The path is empty, ends at a group of flows, goes on behind a flow or names no band, or the flow was closed.
    #[error("there is no such flow")]
    NoSuchFlow,
    /// As many flows are known as may be.
    #[error("too many flows")]
    TooManyFlows,
}

impl Reason {
    /// Whether waiting may help.
    pub(crate) const fn passes(self) -> bool {
        matches!(self, Self::FlowFull | Self::Full)
    }
}
