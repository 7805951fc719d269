//! The queue as tasks of a runtime use it: push and wait for room, wait for the next, settle or drop.

mod guard;
#[cfg(test)]
mod models;
mod shared;

use std::fmt;
use std::future::{Future, poll_fn};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Instant;

use bellwether_core::Timestamp;

use crate::clock::Clock;
use crate::hall::{Entry, Hall};
use crate::scheduler::{Ask, FlowStatus, Refused, Shed};
use crate::settings::Settings;

pub use guard::{Grant, Place};
pub(crate) use shared::{Next, Pusher, Shared};

/// A fair queue in front of whatever is scarce, for any kind of task.
///
/// Pushers wait for room or are refused, takers wait for a task; nobody polls, and nobody is woken in vain. It is
/// cheap to clone; all clones are one queue.
///
/// ```
/// use bellwether_queue::{Ask, FairQueue, Settings};
///
/// #[tokio::main(flavor = "current_thread")]
/// async fn main() {
///     let queue = FairQueue::new(&Settings::default());
///     for page in 1..=3 {
///         queue.push(0, &["print shop", "brochure"], Ask::of(40), format!("page {page}")).await.expect("room").keep();
///     }
///     queue.push(0, &["office", "letter"], Ask::of(40), "letter".to_owned()).await.expect("room").keep();
///     queue.close();
///     let mut printed = Vec::new();
///     while let Some(grant) = queue.next().await {
///         // It took 55 pages, not 40: the difference is charged now.
///         printed.push(grant.settle(55));
///     }
///     assert_eq!(printed, ["page 1", "letter", "page 2", "page 3"]);
/// }
/// ```
pub struct FairQueue<T> {
    shared: Arc<Shared<T, Mutex<Hall<T>>>>,
}

impl<T: Send + 'static> FairQueue<T> {
    /// An empty queue. Tasks that are shed or expire are dropped.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self::with_shed(settings, drop)
    }

    /// An empty queue that hands tasks which are shed or expire to `on_shed`, outside of its lock.
    #[must_use]
    pub fn with_shed(settings: &Settings, on_shed: impl Fn(Shed<T>) + Send + Sync + 'static) -> Self {
        Self { shared: Arc::new(Shared::new(settings, Clock::start(), Box::new(on_shed))) }
    }

    /// Puts a task into the line of the flow at `path` in a band, waiting for room. Tenants whose pushers wait take
    /// turns.
    ///
    /// # Errors
    ///
    /// [`Refused`] if waiting does not help: the queue is closed, or there is no such flow.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up its place at the door, and drops the task.
    #[expect(clippy::missing_panics_doc, reason = "a future is not polled after its end")]
    pub async fn push(&self, band: usize, path: &[&str], ask: Ask, task: T) -> Result<Place<T>, Refused<T>> {
        let mut pusher = Pusher::new(&self.shared, path.first().copied().unwrap_or_default());
        let mut task = Some(task);
        poll_fn(move |context| {
            let given = task.take().expect("a future is not polled after its end");
            match pusher.poll(Entry { band, path, ask, weigh: None }, given, context.waker()) {
                Ok(pushed) => Poll::Ready(Ok(Place::new(&self.shared, self.shared.tell(pushed)))),
                Err(refused) if refused.reason.passes() => {
                    task = Some(refused.task);
                    Poll::Pending
                }
                Err(refused) => Poll::Ready(Err(refused)),
            }
        })
        .await
    }

    /// Puts a task into the line of the flow at `path` in a band, if there is room at once.
    ///
    /// # Errors
    ///
    /// [`Refused`], with the task, the reason, and when there may be room.
    pub fn try_push(&self, band: usize, path: &[&str], ask: Ask, task: T) -> Result<Place<T>, Refused<T>> {
        self.shared.push(Entry { band, path, ask, weigh: None }, task).map(|id| Place::new(&self.shared, id))
    }

    /// Waits for the next task and takes it; its flow is charged what it asked for. `None` once the queue was closed
    /// and has run dry.
    ///
    /// A task whose deadline has come is shed, never taken; as long as somebody waits here, that happens on time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes no task.
    pub fn next(&self) -> impl Future<Output = Option<Grant<T>>> + Send + '_ {
        let next = Next::new(&self.shared);
        async { next.await.map(|granted| Grant::new(&self.shared, granted)) }
    }

    /// Gives the flow or group at `path` a weight among its siblings, from now on and whenever it is there.
    pub fn set_weight(&self, path: &[&str], weight: NonZeroU32) {
        self.shared.change(|scheduler| scheduler.set_weight(path, weight));
    }

    /// Lets the flow or group at `path` have at most so many tasks in flight, in each band. A cap of 0 holds it back.
    pub fn set_cap(&self, path: &[&str], cap: u32) {
        self.shared.change(|scheduler| scheduler.set_cap(path, cap));
    }

    /// Says what the workflow at `path` will cost in all, for [`Policy::FinishFirst`](crate::Policy::FinishFirst).
    pub fn promise(&self, path: &[&str], cost: u64) {
        self.shared.change(|scheduler| scheduler.promise(path, cost));
    }

    /// Takes no further tasks; those in the line can still be taken.
    pub fn close(&self) {
        self.shared.close();
    }

    /// How many tasks wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.look(|scheduler| scheduler.len())
    }

    /// Whether no task waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many tasks were taken and are not settled yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.look(|scheduler| scheduler.in_flight())
    }

    /// How the flow or group at a path stands, if it is known.
    #[must_use]
    pub fn status(&self, band: usize, path: &[&str]) -> Option<FlowStatus> {
        self.shared.look(|scheduler| scheduler.status(band, path))
    }

    /// Now, as keys and deadlines of this queue count it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// A moment, as keys and deadlines of this queue count it.
    #[must_use]
    pub fn timestamp(&self, at: Instant) -> Timestamp {
        self.shared.clock.stamp(tokio::time::Instant::from_std(at))
    }

    pub(crate) fn shared(&self) -> &Shared<T, Mutex<Hall<T>>> {
        &self.shared
    }
}

impl<T> Clone for FairQueue<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T> fmt::Debug for FairQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FairQueue").finish_non_exhaustive()
    }
}
