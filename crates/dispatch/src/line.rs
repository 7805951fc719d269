//! Who waits for which ticket.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bellwether_core::limiter::Refused;
use bellwether_core::queue::TicketId;
use bellwether_core::{Call, Demand, Fact, Observer, TaskQueue};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::clock;
use crate::estimate::Lesson;
use crate::refusal::NoTurn;
use crate::turn::Turn;

/// The answer to somebody who waits; nothing at all if the line was closed.
pub(crate) type Answer = Result<Turn, NoTurn>;

/// Who waits for which ticket.
#[derive(Debug)]
pub(crate) struct Line {
    /// In the order in which they came, in which they are also sent away; `None` once closed.
    waiting: Mutex<Option<BTreeMap<TicketId, Waiting>>>,
    closed: watch::Sender<bool>,
    pace: Mutex<Pace>,
}

/// How fast the line moves.
#[derive(Debug, Default)]
struct Pace {
    /// The last turn, if somebody waited behind it: otherwise the time to the next one says nothing.
    last: Option<Instant>,
    /// The time between two turns, on average over the last dozen or so.
    gap: Option<Duration>,
    /// How many turns are known.
    turns: u32,
}

/// Somebody who waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// Whose turn it is.
    pub(crate) call: Arc<Call>,
    /// What it needs of the quota, as far as was known when it came.
    pub(crate) demand: Demand,
    /// What is known by now.
    pub(crate) lesson: Option<Lesson>,
    /// How long it waits.
    pub(crate) until: Option<Instant>,
    /// Whether it has somewhere else to go while the key is not asked.
    pub(crate) brief: bool,
    /// Where the answer goes.
    pub(crate) door: oneshot::Sender<Answer>,
}

/// What somebody who joins the line wants of it; see [`Waiting`].
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) call: Arc<Call>,
    pub(crate) demand: Demand,
    pub(crate) lesson: Option<Lesson>,
    pub(crate) until: Option<Instant>,
    pub(crate) brief: bool,
}

/// A place in the line. Dropping it takes the ticket out of the queue, or frees the gate.
#[derive(Debug)]
pub(crate) struct Place {
    line: Arc<Line>,
    queue: Arc<dyn TaskQueue>,
    id: TicketId,
    answer: oneshot::Receiver<Answer>,
}

// === impl Line ===

impl Line {
    pub(crate) fn new() -> Self {
        Self { waiting: Mutex::new(Some(BTreeMap::new())), closed: watch::Sender::new(false), pace: Mutex::default() }
    }

    /// Waits for ticket `id` from now on; `None` if the line is closed.
    pub(crate) fn join(self: &Arc<Self>, queue: Arc<dyn TaskQueue>, id: TicketId, wish: Wish) -> Option<Place> {
        let (door, answer) = oneshot::channel();
        let Wish { call, demand, lesson, until, brief } = wish;
        self.waiting().as_mut()?.insert(id, Waiting { call, demand, lesson, until, brief, door });
        Some(Place { line: Arc::clone(self), queue, id, answer })
    }

    /// Who waits for this ticket, if anybody still does.
    pub(crate) fn take(&self, id: TicketId) -> Option<Waiting> {
        self.waiting().as_mut()?.remove(&id)
    }

    /// Sends those away for whom `why` has a reason.
    pub(crate) fn turn_away(&self, why: impl Fn(&Waiting) -> Option<NoTurn>) {
        let mut away = Vec::new();
        if let Some(waiting) = self.waiting().as_mut() {
            let ids = waiting.iter().filter_map(|(id, waiting)| Some((*id, why(waiting)?)));
            for (id, why) in ids.collect::<Vec<_>>() {
                away.extend(waiting.remove(&id).map(|waiting| (waiting, why)));
            }
        }
        for (waiting, why) in away {
            // Nobody may be there any more.
            let _ = waiting.door.send(Err(why));
        }
    }

    /// The head of the line was given its turn; when that was.
    pub(crate) fn moved(&self) -> Instant {
        let now = clock::now();
        let others = self.waiting().as_ref().is_some_and(|waiting| !waiting.is_empty());
        self.pace().moved(now, others);
        now
    }

    /// How long this call would wait for its turn, if that is far more than it can.
    ///
    /// Only those are counted who go first in any order: calls of the same flow and class whose time is up no later. The
    /// time that comes of it has to be twice as long as there is, for a limiter that finds its limit gets faster.
    pub(crate) fn too_long(&self, call: &Call, until: Instant) -> Option<Duration> {
        let gap = self.pace().known()?;
        let left = until.saturating_duration_since(clock::now());
        let waiting = self.waiting();
        let waiting = waiting.as_ref()?;
        let time = |turns: usize| gap.saturating_mul(u32::try_from(turns).unwrap_or(u32::MAX));
        let far = |wait: Duration| wait > left.saturating_mul(2);
        if !far(time(waiting.len())) {
            return None;
        }
        let context = &call.context;
        let first = waiting.values().filter(|other| {
            let (whose, same) = (&other.call.context, other.until.is_some_and(|other| other <= until));
            same && whose.class == context.class && whose.flow == context.flow
        });
        Some(time(first.count())).filter(|wait| far(*wait))
    }

    /// How long it takes until everybody who waits now had a turn, if the line goes on as fast.
    fn drain(&self) -> Option<Duration> {
        let waiting = u32::try_from(self.waiting().as_ref()?.len()).unwrap_or(u32::MAX);
        Some(self.pace().gap?.saturating_mul(waiting))
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets nobody join any more; those who wait get no answer. Which tickets those were.
    pub(crate) fn close(&self) -> Vec<TicketId> {
        let waiting = self.waiting().take().unwrap_or_default();
        self.closed.send_replace(true);
        waiting.into_keys().collect()
    }

    pub(crate) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Waits until the line is closed.
    pub(crate) async fn closed(&self) {
        // The sender lives as long as `self`, so that this ends only when the line is closed.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    fn waiting(&self) -> MutexGuard<'_, Option<BTreeMap<TicketId, Waiting>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Pace ===

impl Pace {
    fn moved(&mut self, now: Instant, others: bool) {
        if let Some(last) = self.last.take() {
            let gap = now.saturating_duration_since(last);
            // A pause is no pace: one long gap counts for a few.
            let gap = self.gap.map_or(gap, |mean| (mean * 7 + gap.min(mean * 4 + SHORT)) / 8);
            self.gap = Some(gap);
            self.turns = self.turns.saturating_add(1);
        }
        self.last = others.then_some(now);
    }

    /// The time between two turns, once there is enough to go by.
    fn known(&self) -> Option<Duration> {
        self.gap.filter(|_| self.turns >= ENOUGH)
    }
}

/// So many turns have to be known before anybody is turned away for what they took.
const ENOUGH: u32 = 16;
/// Below this it is no matter how much longer one gap was than the others.
const SHORT: Duration = Duration::from_millis(10);

// === impl Bell ===

/// Hears the facts of the queue, passes them on, and tells those whose tickets were shed.
#[derive(Debug)]
pub(crate) struct Bell {
    pub(crate) line: Arc<Line>,
    pub(crate) observer: Arc<dyn Observer>,
}

impl Observer for Bell {
    fn observe(&self, fact: &Fact) {
        self.observer.observe(fact);
        if let Fact::TicketShed { ticket, expired, .. } = fact
            && let Some(waiting) = self.line.take(*ticket)
        {
            let why = match expired {
                true => NoTurn::Late(Refused { wait: self.line.drain() }),
                false => NoTurn::Shed(self.line.drain()),
            };
            // Nobody may be there any more.
            let _ = waiting.door.send(Err(why));
        }
    }
}

// === impl Place ===

impl Place {
    /// Waits for the answer; `None` if the line was closed.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.line.take(self.id);
        self.queue.cancel(self.id);
    }
}

#[cfg(test)]
mod tests {
    use bellwether_core::CallContext;

    use super::*;
    use crate::fifo::Fifo;

    #[test]
    fn whoever_leaves_is_forgotten_and_a_closed_line_takes_nobody() {
        let (line, queue) = (Arc::new(Line::new()), Arc::new(Fifo::new(1)));
        let demand = Demand { requests: 1, input_tokens: 1, output_tokens: 1 };
        let call = Call { context: CallContext::default(), model: "m".into(), provider: "p".into(), demand };
        let call = Arc::new(call);
        let wish = || Wish { call: Arc::clone(&call), demand, lesson: None, until: None, brief: false };
        let join = |id| line.join(Arc::<Fifo>::clone(&queue), TicketId(id), wish());
        drop(join(1).unwrap());
        assert!(line.take(TicketId(1)).is_none());
        let place = join(2).unwrap();
        line.close();
        assert!(line.is_closed() && line.take(TicketId(2)).is_none() && join(3).is_none());
        drop(place);
    }
}
