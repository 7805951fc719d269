//! A call's turn: its charge in the queue and its permit, both settled once on every way out.

use std::sync::Arc;

use bellwether_core::permit::RateLimits;
use bellwether_core::queue::{Ticket, TicketId};
use bellwether_core::{Outcome, Permit, ProviderError, TaskQueue};

use tokio::time::Instant;

use crate::key::Passage;

/// A ticket that was taken from the queue, and then the permit that came with it.
///
/// Dropped before the call is sent, it gives both back as unused; dropped later, the reservation and the charge stand.
#[derive(Debug)]
pub(crate) struct Turn {
    queue: Arc<dyn TaskQueue>,
    id: TicketId,
    /// What the queue is told in the end.
    cost: u64,
    permit: Option<Permit>,
    passage: Option<Passage>,
    sent: bool,
    /// Whether it is the first try of its call, on a key that is well as far as anybody knows.
    fresh: bool,
    /// When it came.
    came: Option<Instant>,
}

impl Turn {
    /// The turn of a ticket that was just taken.
    pub(crate) fn of(ticket: &Ticket, queue: Arc<dyn TaskQueue>) -> Self {
        Self {
            queue,
            id: ticket.id,
            cost: ticket.cost,
            permit: None,
            passage: None,
            sent: false,
            fresh: false,
            came: None,
        }
    }

    /// The same, admitted to the key and its quota.
    pub(crate) fn admitted(mut self, passage: Passage, permit: Permit) -> Self {
        self.passage = Some(passage);
        self.permit = Some(permit);
        self
    }

    /// The same, from then on in the hands of its call.
    pub(crate) const fn came(mut self, now: Instant) -> Self {
        self.came = Some(now);
        self
    }

    /// When it came.
    pub(crate) const fn since(&self) -> Option<Instant> {
        self.came
    }

    /// Says that the call is being sent after so many failures, so that it can no longer be unused.
    pub(crate) fn send(&mut self, failures: u32) {
        self.sent = true;
        self.fresh = failures == 0 && !self.looks();
    }

    /// Whether an overload says that there are too many calls at once. A call that failed before, or is sent to see how
    /// a failing key is, meets its own past: it would make the places fewer for as long as the outage lasts.
    pub(crate) const fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Whether it is sent to see how a key is that failed before.
    pub(crate) fn looks(&self) -> bool {
        self.passage.as_ref().is_some_and(Passage::looks)
    }

    /// The head of the answer has come: hands on what it says about limits, and that the provider is well.
    pub(crate) fn head(&mut self, limits: &RateLimits) {
        if let Some(passage) = &mut self.passage {
            passage.fine();
        }
        if let Some(permit) = &mut self.permit {
            permit.hint(limits);
        }
    }

    /// Says what became of the call, and what it cost if that is known.
    pub(crate) fn settle(mut self, error: Option<&ProviderError>, outcome: Outcome, cost: Option<u64>) {
        self.cost = cost.unwrap_or(self.cost);
        if let Some(passage) = &mut self.passage {
            match error {
                Some(error) => passage.failed(error),
                None => passage.succeeded(self.cost),
            }
        }
        if let Some(permit) = self.permit.take() {
            permit.settle(outcome);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        match self.permit.take() {
            Some(permit) if !self.sent => permit.settle(Outcome::Unused),
            // A permit that is dropped settles as abandoned.
            permit => drop(permit),
        }
        self.queue.settle(self.id, if self.sent { self.cost } else { 0 });
    }
}
