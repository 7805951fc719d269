//! A call's turn: its charge in the queue and its permit, both settled once on every way out.

use std::sync::Arc;

use bellwether_core::permit::RateLimits;
use bellwether_core::queue::{Ticket, TicketId};
use bellwether_core::{Outcome, Permit, TaskQueue};

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
    sent: bool,
}

impl Turn {
    /// The turn of a ticket that was just taken.
    pub(crate) fn of(ticket: &Ticket, queue: Arc<dyn TaskQueue>) -> Self {
        Self { queue, id: ticket.id, cost: ticket.cost, permit: None, sent: false }
    }

    /// The same, admitted to the quota.
    pub(crate) fn admitted(mut self, permit: Permit) -> Self {
        self.permit = Some(permit);
        self
    }

    /// Says that the call is being sent, so that it can no longer be unused.
    pub(crate) fn send(&mut self) {
        self.sent = true;
    }

    /// Hands on what the provider says about its limits, as soon as it says it.
    pub(crate) fn hint(&mut self, limits: &RateLimits) {
        if let Some(permit) = &mut self.permit {
            permit.hint(limits);
        }
    }

    /// Says what became of the call, and what it cost if that is known.
    pub(crate) fn settle(mut self, outcome: Outcome, cost: Option<u64>) {
        self.cost = cost.unwrap_or(self.cost);
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
