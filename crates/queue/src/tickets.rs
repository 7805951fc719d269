//! The queue as the dispatcher knows it: tickets with names of their own, in bands by class.

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use bellwether_core::queue::{QueueFull, Ticket, TicketId};
use bellwether_core::{Class, Fact, Observer, TaskQueue};

use crate::hall::Entry;
use crate::queue::{FairQueue, Pusher};
use crate::scheduler::{Ask, FlowStatus, Key, Shed, TaskId, Why};
use crate::settings::Settings;

/// The queue as the dispatcher knows it: a [`TaskQueue`] that shares by tenant, workflow and role.
///
/// A workflow is a run of a team. A ticket's weight is that of its workflow among the workflows of its tenant; tenants
/// and roles are weighed with [`set_weight`](Self::set_weight). Classes are the bands, with the floors of the
/// [`Settings`]. Within one flow tickets come in order of arrival, except that one whose deadline is nearer than the
/// patience of a ticket without one (a minute) goes by its deadline.
///
/// A ticket that is shed, or whose deadline comes while it waits, is told to the observer as
/// [`Fact::TicketShed`]; whoever waits for it has to listen, or to keep to its deadline by itself.
pub struct TicketQueue {
    queue: FairQueue<Ticket>,
    tickets: Arc<Mutex<HashMap<TicketId, TaskId>>>,
    at_the_door: AtTheDoor,
}

/// What a push does when there is no room.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum AtTheDoor {
    /// It is refused, and told when to come back.
    #[default]
    Refuse,
    /// It waits for room.
    Wait,
}

impl TicketQueue {
    /// An empty queue with a band for each [`Class`].
    ///
    /// # Panics
    ///
    /// If the settings do not have three bands, or their floors add up to the whole or more.
    #[must_use]
    pub fn new(settings: &Settings, at_the_door: AtTheDoor, observer: Arc<dyn Observer>) -> Self {
        assert_eq!(settings.floors.len(), 3, "there is a band for each class");
        let tickets = Arc::<Mutex<HashMap<TicketId, TaskId>>>::default();
        let known = Arc::clone(&tickets);
        let on_shed = move |Shed { id, task: ticket, why }: Shed<Ticket>| {
            let mut known = lock(&known);
            // The name may have been given to another ticket meanwhile.
            if known.get(&ticket.id) == Some(&id) {
                known.remove(&ticket.id);
            }
            drop(known);
            let Ticket { id: ticket, flow, class, .. } = ticket;
            observer.observe(&Fact::TicketShed { ticket, flow, class, expired: why == Why::Expired });
        };
        Self { queue: FairQueue::with_shed(settings, on_shed), tickets, at_the_door }
    }

    /// Gives the tenant, workflow or role at `path` a weight among its siblings. A workflow is named `team/run`.
    pub fn set_weight(&self, path: &[&str], weight: NonZeroU32) {
        self.queue.set_weight(path, weight);
    }

    /// Lets the tenant, workflow or role at `path` have at most so many tickets of each class in flight.
    pub fn set_cap(&self, path: &[&str], cap: u32) {
        self.queue.set_cap(path, cap);
    }

    /// Says what a workflow will cost in all, for [`Policy::FinishFirst`](crate::Policy::FinishFirst).
    pub fn promise(&self, tenant: &str, workflow: &str, cost: u64) {
        self.queue.promise(&[tenant, workflow], cost);
    }

    /// How the tenant, workflow or role at a path stands in a class, if it is known.
    #[must_use]
    pub fn status(&self, class: Class, path: &[&str]) -> Option<FlowStatus> {
        self.queue.status(band(class), path)
    }

    fn tickets(&self) -> MutexGuard<'_, HashMap<TicketId, TaskId>> {
        lock(&self.tickets)
    }

    fn ask(&self, ticket: &Ticket) -> Ask {
        let now = self.queue.now();
        let key = Key::at(now).later(PATIENCE);
        let Some(deadline) = ticket.deadline else { return Ask::of(ticket.cost).keyed(key) };
        let deadline = self.queue.timestamp(deadline);
        Ask::of(ticket.cost).keyed(key.due(deadline)).until(deadline)
    }

    /// A name that is used again stands for the new ticket alone.
    fn supersede(&self, tickets: &mut HashMap<TicketId, TaskId>, id: TicketId) {
        if let Some(task) = tickets.remove(&id)
            && self.queue.shared().cancel(task).is_none()
        {
            self.queue.shared().finish(task);
        }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl TaskQueue for TicketQueue {
    async fn push(&self, ticket: Ticket) -> Result<(), QueueFull> {
        let (id, ask) = (ticket.id, self.ask(&ticket));
        let (flow, band, weight) = (ticket.flow.clone(), band(ticket.class), ticket.weight);
        let workflow = format!("{}/{}", flow.team, flow.run);
        let path = [&*flow.tenant, &*workflow, &*flow.role];
        let entry = Entry { band, path: &path, ask, weigh: Some((2, weight)) };
        let mut pusher = Pusher::new(self.queue.shared(), &flow.tenant);
        let mut ticket = Some(ticket);
        self.supersede(&mut self.tickets(), id);
        poll_fn(|context| {
            let given = ticket.take().expect("a future is not polled after its end");
            // The name is known before anybody can take the ticket.
            let mut tickets = self.tickets();
            match pusher.poll(entry, given, context.waker()) {
                Ok(pushed) => {
                    tickets.insert(id, pushed.id);
                    drop(tickets);
                    self.queue.shared().tell(pushed);
                    Poll::Ready(Ok(()))
                }
                Err(refused) if self.at_the_door == AtTheDoor::Wait && refused.reason.passes() => {
                    ticket = Some(refused.task);
                    Poll::Pending
                }
                Err(refused) => Poll::Ready(Err(QueueFull { retry_after: refused.retry_after })),
            }
        })
        .await
    }

    async fn next(&self) -> Option<Ticket> {
        let (_, ticket) = self.queue.next().await?.detach();
        Some(ticket)
    }

    fn settle(&self, id: TicketId, cost: u64) {
        let mut tickets = self.tickets();
        let Some(task) = tickets.get(&id).copied() else { return };
        // A ticket that still waits keeps its name.
        if self.queue.shared().settle(task, cost) {
            tickets.remove(&id);
        }
    }

    fn cancel(&self, id: TicketId) -> bool {
        let mut tickets = self.tickets();
        let Some(task) = tickets.get(&id).copied() else { return false };
        let cancelled = self.queue.shared().cancel(task).is_some();
        if cancelled {
            tickets.remove(&id);
        }
        cancelled
    }

    fn close(&self) {
        self.queue.close();
    }

    fn len(&self) -> usize {
        self.queue.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for TicketQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketQueue").field("waiting", &self.queue.len()).finish_non_exhaustive()
    }
}

fn band(class: Class) -> usize {
    match class {
        Class::Interactive => 0,
        Class::Standard => 1,
        Class::Batch => 2,
    }
}

fn lock(tickets: &Mutex<HashMap<TicketId, TaskId>>) -> MutexGuard<'_, HashMap<TicketId, TaskId>> {
    tickets.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a ticket without a deadline goes before one whose deadline is later.
const PATIENCE: Duration = Duration::from_secs(60);
