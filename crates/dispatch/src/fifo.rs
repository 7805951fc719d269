//! A bounded waiting room: strict between classes, in order of arrival within one.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bellwether_core::queue::{QueueFull, Ticket, TicketId};
use bellwether_core::{Class, TaskQueue};
use tokio::sync::Notify;

/// A bounded waiting room: strict between classes, in order of arrival within one.
///
/// It knows no shares and no ageing: one flow can fill it, and a class starves as long as a more urgent one has work.
/// That is right where all callers want the same thing, and the simplest thing to compare a fair queue with.
#[derive(Debug)]
pub struct Fifo {
    bands: Mutex<Bands>,
    /// One wake-up for each push; takers look again whenever they are woken.
    arrivals: Notify,
}

impl Fifo {
    /// A room for `capacity` tickets.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { bands: Mutex::new(Bands::new(capacity)), arrivals: Notify::new() }
    }

    fn bands(&self) -> MutexGuard<'_, Bands> {
        self.bands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl TaskQueue for Fifo {
    async fn push(&self, ticket: Ticket) -> Result<(), QueueFull> {
        self.bands().push(ticket)?;
        self.arrivals.notify_one();
        Ok(())
    }

    async fn next(&self) -> Option<Ticket> {
        loop {
            let mut arrival = pin!(self.arrivals.notified());
            // It counts as waiting before it looks: a push in between wakes each taker that found nothing.
            arrival.as_mut().enable();
            {
                let mut bands = self.bands();
                if let Some(ticket) = bands.pop() {
                    return Some(ticket);
                }
                if bands.closed {
                    return None;
                }
            }
            arrival.await;
        }
    }

    fn settle(&self, _: TicketId, _: u64) {}

    fn cancel(&self, id: TicketId) -> bool {
        self.bands().cancel(id)
    }

    fn close(&self) {
        self.bands().closed = true;
        self.arrivals.notify_waiters();
    }

    fn len(&self) -> usize {
        self.bands().places.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Who is next, as a value.
///
/// Invariant: `places` names exactly the tickets in `lines`.
#[derive(Debug)]
struct Bands {
    capacity: usize,
    closed: bool,
    arrived: u64,
    lines: BTreeMap<(Class, u64), Ticket>,
    places: HashMap<TicketId, (Class, u64)>,
}

impl Bands {
    fn new(capacity: usize) -> Self {
        Self { capacity, closed: false, arrived: 0, lines: BTreeMap::new(), places: HashMap::new() }
    }

    fn push(&mut self, ticket: Ticket) -> Result<(), QueueFull> {
        if self.closed || self.places.len() >= self.capacity {
            return Err(QueueFull { retry_after: None });
        }
        self.cancel(ticket.id);
        let place = (ticket.class, self.arrived);
        self.arrived += 1;
        self.places.insert(ticket.id, place);
        self.lines.insert(place, ticket);
        Ok(())
    }

    fn pop(&mut self) -> Option<Ticket> {
        let (_, ticket) = self.lines.pop_first()?;
        self.places.remove(&ticket.id);
        Some(ticket)
    }

    fn cancel(&mut self, id: TicketId) -> bool {
        self.places.remove(&id).and_then(|place| self.lines.remove(&place)).is_some()
    }
}
