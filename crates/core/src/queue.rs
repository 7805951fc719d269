//! The seam to a waiting room.

use std::fmt;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::call::{Class, Flow};

/// Decides who is next.
#[async_trait]
pub trait TaskQueue: fmt::Debug + Send + Sync {
    /// Puts a ticket into the line. An id may wait only once at a time.
    ///
    /// # Errors
    ///
    /// [`QueueFull`] if there is no room for it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the ticket out of the line.
    async fn push(&self, ticket: Ticket) -> Result<(), QueueFull>;

    /// Waits for the next ticket and takes it out of the line, charging its cost to its flow.
    ///
    /// `None` once the queue was closed and is empty.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes no ticket.
    async fn next(&self) -> Option<Ticket>;

    /// Corrects what a taken ticket was charged, now that its true cost is known. Unknown ids are ignored.
    fn settle(&self, id: TicketId, cost: u64);

    /// Takes a waiting ticket out of the line; whether it was still there.
    fn cancel(&self, id: TicketId) -> bool;

    /// Takes no further tickets; those in the line can still be taken.
    fn close(&self);

    /// How many tickets wait.
    fn len(&self) -> usize;

    /// Whether no ticket waits.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

const _: fn(&dyn TaskQueue) = |_| {};

/// Names a ticket; its owner chooses it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TicketId(pub u64);

/// A call's place in the line.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// Its name.
    pub id: TicketId,
    /// Who asks.
    pub flow: Flow,
    /// The flow's share relative to its siblings.
    pub weight: NonZeroU32,
    /// How urgent it is.
    pub class: Class,
    /// What it is expected to cost, in tokens. Fairness is reckoned in these.
    pub cost: u64,
    /// When its answer is of no use any more.
    pub deadline: Option<Instant>,
}

/// The answer to a push when the line is full.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the queue is full")]
pub struct QueueFull {
    /// When there may be room again, if that is known.
    pub retry_after: Option<Duration>,
}
