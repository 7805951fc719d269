//! A bounded mailbox with three lanes: a full one makes its senders wait, and nothing is dropped.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Semaphore;

use crate::message::Envelope;

const LANES: usize = 3;

/// Where messages for one address wait.
///
/// Invariant: `waiting` has a permit for each message in `lanes`, and `room` one for each further message that fits.
#[derive(Debug)]
pub(crate) struct Mailbox {
    lanes: Mutex<[VecDeque<Envelope>; LANES]>,
    waiting: Semaphore,
    room: Semaphore,
}

impl Mailbox {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { lanes: Mutex::default(), waiting: Semaphore::new(0), room: Semaphore::new(capacity) }
    }

    /// Puts a message in, waiting for room. Gives it back if the mailbox is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the message.
    pub(crate) async fn send(&self, envelope: Envelope) -> Result<(), Box<Envelope>> {
        let Ok(place) = self.room.acquire().await else { return Err(Box::new(envelope)) };
        place.forget();
        self.lanes(|lanes| lanes[envelope.body.lane() as usize].push_back(envelope));
        self.waiting.add_permits(1);
        Ok(())
    }

    /// Waits for the next message: of the fastest lane that has one, the oldest. `None` once the mailbox is closed
    /// and empty.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub(crate) async fn receive(&self) -> Option<Envelope> {
        if let Ok(message) = self.waiting.acquire().await {
            message.forget();
        }
        let envelope = self.lanes(|lanes| lanes.iter_mut().find_map(VecDeque::pop_front))?;
        self.room.add_permits(1);
        Some(envelope)
    }

    /// The next message, if there is one.
    pub(crate) fn take(&self) -> Option<Envelope> {
        self.waiting.try_acquire().ok()?.forget();
        let envelope = self.lanes(|lanes| lanes.iter_mut().find_map(VecDeque::pop_front))?;
        self.room.add_permits(1);
        Some(envelope)
    }

    /// Takes no further messages.
    pub(crate) fn close(&self) {
        self.room.close();
        self.waiting.close();
    }

    /// Takes out what nobody received.
    pub(crate) fn drain(&self) -> Vec<Envelope> {
        self.lanes(|lanes| lanes.iter_mut().flat_map(std::mem::take).collect())
    }

    fn lanes<T>(&self, with: impl FnOnce(&mut [VecDeque<Envelope>; LANES]) -> T) -> T {
        with(&mut self.lanes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::Mailbox;
    use crate::message::{Address, Assignment, Body, Envelope, Job};

    fn envelope(id: u64, body: fn(Assignment) -> Body) -> Envelope {
        let assignment = Assignment {
            job: Job::Plan,
            tier: 0,
            output_cap: None,
            attempt: 0,
            deadline: None,
            conversation: Vec::new(),
            called_off: Default::default(),
        };
        let (from, to) = (Address::Runtime, Address::Role("coder".into()));
        Envelope { id, seq: id, run: "r".into(), cause: None, from, to, body: body(assignment) }
    }

    #[tokio::test]
    async fn a_revision_overtakes_new_work_and_otherwise_order_is_kept() {
        let mailbox = Mailbox::new(4);
        for (id, body) in [(1, Body::Assign as fn(_) -> _), (2, Body::Assign), (3, Body::Revise)] {
            mailbox.send(envelope(id, body)).await.unwrap();
        }
        let mut ids = Vec::new();
        mailbox.close();
        while let Some(envelope) = mailbox.receive().await {
            ids.push(envelope.id);
        }
        assert_eq!(ids, [3, 1, 2], "and a closed mailbox is emptied first");
    }

    #[tokio::test]
    async fn a_full_mailbox_makes_its_sender_wait_and_a_closed_one_gives_the_message_back() {
        let mailbox = Mailbox::new(1);
        mailbox.send(envelope(1, Body::Assign)).await.unwrap();
        let mut second = pin!(mailbox.send(envelope(2, Body::Assign)));
        assert!(second.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(mailbox.receive().await.map(|envelope| envelope.id), Some(1));
        second.await.unwrap();
        mailbox.close();
        assert_eq!(mailbox.send(envelope(3, Body::Assign)).await.unwrap_err().id, 3);
        assert_eq!(mailbox.drain().len(), 1);
    }
}
