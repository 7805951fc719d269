//! A waiting room that is watched.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bellwether_core::TaskQueue;
use bellwether_core::queue::{QueueFull, Ticket, TicketId};
use bellwether_dispatch::Fifo;

use crate::play::lock;

/// A [`Fifo`] that remembers which tickets were taken and not settled yet, and what the others cost.
#[derive(Debug)]
pub(crate) struct Counted {
    fifo: Fifo,
    pub(crate) taken: Mutex<HashSet<TicketId>>,
    pub(crate) costs: Mutex<Vec<u64>>,
}

impl Counted {
    pub(crate) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self { fifo: Fifo::new(capacity), taken: Mutex::default(), costs: Mutex::default() })
    }
}

#[async_trait]
impl TaskQueue for Counted {
    async fn push(&self, ticket: Ticket) -> Result<(), QueueFull> {
        self.fifo.push(ticket).await
    }

    async fn next(&self) -> Option<Ticket> {
        let ticket = self.fifo.next().await?;
        lock(&self.taken).insert(ticket.id);
        Some(ticket)
    }

    fn settle(&self, id: TicketId, cost: u64) {
        assert!(lock(&self.taken).remove(&id), "a ticket is settled once, after it was taken");
        lock(&self.costs).push(cost);
    }

    fn cancel(&self, id: TicketId) -> bool {
        self.fifo.cancel(id)
    }

    fn close(&self) {
        self.fifo.close();
    }

    fn len(&self) -> usize {
        self.fifo.len()
    }
}
