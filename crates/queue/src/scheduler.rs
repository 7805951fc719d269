//! Who is next, as a value: no clock, no lock, no task.

mod room;
mod status;
mod task;

use std::cmp::Reverse;
use std::num::NonZeroU32;

use bellwether_core::Timestamp;
use priority_queue::PriorityQueue;

use crate::bands::Bands;
use crate::line::Line;
use crate::ranking::{IndexedHeap, Ranking};
use crate::settings::{Overflow, Settings};
use crate::shares::{Share, Shares};
use crate::slab::{Slab, Taken};
use crate::tree::{NoSuchFlow, Tree};

pub use crate::key::Key;
use room::Backlogs;
pub use status::FlowStatus;
pub use task::{Ask, FlowId, Granted, Pushed, Reason, Refused, Shed, TaskId, Why};

/// Who is next, as a value: no clock, no lock, no task.
///
/// Hierarchical start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996) in which a task is charged what it is
/// expected to cost when it is taken, and its flow is charged or given back the difference when it is
/// [settled](Self::settle). `docs/QUEUE.md` states what it guarantees; each guarantee is a property test.
///
/// Every answer is a function of the calls before: no hash order, clock or random number enters.
///
/// ```
/// use bellwether_queue::{Ask, Scheduler, Settings};
///
/// let mut scheduler = Scheduler::<&str>::new(&Settings::default());
/// for task in ["a1", "a2", "a3"] {
///     scheduler.push(0, &["greedy"], Ask::of(900), task)?;
/// }
/// scheduler.push(0, &["light"], Ask::of(900), "b1")?;
/// assert_eq!(scheduler.pop().map(|granted| granted.task), Some("a1"));
/// assert_eq!(scheduler.pop().map(|granted| granted.task), Some("b1"));
/// # Ok::<(), bellwether_queue::Refused<&str>>(())
/// ```
///
/// `R` is how the children of a node are kept in order; the default is the faster one.
#[derive(Debug)]
pub struct Scheduler<T, R = IndexedHeap> {
    tree: Tree<T, R>,
    slab: Slab<T>,
    bands: Bands,
    shares: Shares,
    deadlines: PriorityQueue<TaskId, Reverse<Timestamp>>,
    /// Kept only if somebody may have to be shed.
    backlogs: Option<Backlogs>,
    /// How many tasks wait in each band.
    waiting: Vec<usize>,
    /// And in all of them.
    len: usize,
    in_flight: usize,
    capacity: usize,
    flow_capacity: usize,
}

#[expect(private_bounds, reason = "the ranking is not for others to implement")]
impl<T, R: Ranking> Scheduler<T, R> {
    /// A scheduler in which nothing waits.
    ///
    /// # Panics
    ///
    /// If there is no band, or more than 255, or the floors add up to the whole or more.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        assert!((1..=255).contains(&settings.floors.len()), "there are between 1 and 255 bands");
        assert!(settings.floors.iter().sum::<u32>() < 1_000, "floors leave something to the most urgent band");
        Self {
            tree: Tree::new(settings),
            slab: Slab::new(),
            bands: Bands::new(&settings.floors),
            shares: Shares::default(),
            deadlines: PriorityQueue::new(),
            backlogs: (settings.overflow == Overflow::Shed).then(|| Backlogs::new(settings.floors.len())),
            waiting: vec![0; settings.floors.len()],
            len: 0,
            in_flight: 0,
            capacity: settings.capacity,
            flow_capacity: settings.flow_capacity,
        }
    }

    /// Remembers every flow for ever. It decides the same as a scheduler that forgets, and exists to show that.
    #[must_use]
    pub fn never_forgetting(mut self) -> Self {
        self.tree.remember_all();
        self
    }

    /// Puts a task into the line of the flow at `path` in a band.
    ///
    /// A path names a flow from the outside in, such as tenant, workflow, role; it is made when it is new and
    /// forgotten when that makes no difference.
    ///
    /// # Errors
    ///
    /// [`Refused`], with the task and the reason.
    pub fn push(&mut self, band: usize, path: &[&str], ask: Ask, task: T) -> Result<Pushed<T>, Refused<T>> {
        match self.tree.resolve(band, path, &self.shares) {
            Ok(flow) => self.push_to(flow, ask, task).inspect_err(|_| self.tree.rest(flow)),
            Err(why) => Err(Refused::new(why.into(), task)),
        }
    }

    /// Opens a flow: it has a name that is quick to push by, and is not forgotten before it is [closed](Self::close).
    ///
    /// # Errors
    ///
    /// [`Reason::TooManyFlows`] or [`Reason::NoSuchFlow`].
    pub fn open(&mut self, band: usize, path: &[&str]) -> Result<FlowId, Reason> {
        let node = self.tree.resolve(band, path, &self.shares).map_err(Reason::from)?;
        self.tree.pin(node);
        Ok(self.flow_id(node))
    }

    /// Closes a flow that was opened; its tasks stay.
    pub fn close(&mut self, flow: FlowId) {
        if self.is_open(flow) {
            self.tree.unpin(flow.node);
        }
    }

    /// Puts a task into the line of an open flow.
    ///
    /// # Errors
    ///
    /// [`Refused`], with the task and the reason.
    pub fn push_open(&mut self, flow: FlowId, ask: Ask, task: T) -> Result<Pushed<T>, Refused<T>> {
        if self.is_open(flow) {
            self.push_to(flow.node, ask, task)
        } else {
            Err(Refused::new(Reason::NoSuchFlow, task))
        }
    }

    /// Takes the next task, which stays in flight until it is [settled](Self::settle). `None` if nobody has a task
    /// that may be taken.
    pub fn grant(&mut self) -> Option<Granted<T>> {
        self.next(true)
    }

    /// Takes the next task and settles it at what it was expected to cost.
    pub fn pop(&mut self) -> Option<Granted<T>> {
        self.next(false)
    }

    /// Corrects what a granted task was charged; whether it was still in flight. Costs above [`MAX_COST`] count as
    /// that.
    pub fn settle(&mut self, id: TaskId, cost: u64) -> bool {
        let Some(charged) = self.slab.settle(id) else { return false };
        self.in_flight -= 1;
        self.tree.settle(id.flow, charged, clamp(cost));
        true
    }

    /// Corrects what a granted task is charged while it is in flight, as its cost becomes clear; whether it was in
    /// flight. A flow whose forecasts are too low is held back before its tasks have ended, not after.
    pub fn revise(&mut self, id: TaskId, cost: u64) -> bool {
        let cost = clamp(cost);
        let Some(charged) = self.slab.revise(id, cost) else { return false };
        self.tree.correct_charge(id.flow, charged, cost);
        true
    }

    /// Settles a granted task at what it was charged; whether it was still in flight.
    pub fn finish(&mut self, id: TaskId) -> bool {
        let Some(charged) = self.slab.settle(id) else { return false };
        self.in_flight -= 1;
        self.tree.settle(id.flow, charged, charged);
        true
    }

    /// Takes a waiting task out of its line, in constant time amortised over cancellations.
    pub fn cancel(&mut self, id: TaskId) -> Option<T> {
        let flow = id.flow;
        let (names, line) = self.tree.line_mut(flow)?;
        let taken = line.cancel(names, id, &mut self.slab)?;
        self.left(&taken);
        if self.tree.node(flow).is_empty() {
            self.tree.refresh(flow);
            self.tree.rest(flow);
        } else {
            self.follow_first(flow);
        }
        Some(taken.task)
    }

    /// Gives a waiting task another key, and with it another id; among equal keys it is the last now.
    pub fn rekey(&mut self, id: TaskId, key: Key) -> Option<TaskId> {
        let flow = id.flow;
        let (names, line) = self.tree.line_mut(flow)?;
        let Taken { cost, task, .. } = line.cancel(names, id, &mut self.slab)?;
        let new = line.push(names, key, cost, task, &mut self.slab);
        self.tree.node_mut(flow).next_task = names.next.wrapping_add(1);
        if let Some((_, due)) = self.deadlines.remove(&id) {
            self.deadlines.push(new, due);
        }
        self.follow_first(flow);
        Some(new)
    }

    /// Takes out one task whose deadline has come; to be called until there is none.
    pub fn expire(&mut self, now: Timestamp) -> Option<Shed<T>> {
        let (id, Reverse(deadline)) = self.deadlines.peek()?;
        if *deadline > now {
            return None;
        }
        let id = *id;
        let task = self.cancel(id)?;
        Some(Shed { id, task, why: Why::Expired })
    }

    /// The first deadline among the waiting tasks: the moment for which to arm the one timer.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.peek().map(|(_, Reverse(deadline))| *deadline)
    }

    /// Moves the deadline of a waiting task; whether it was still waiting.
    pub fn extend(&mut self, id: TaskId, deadline: Timestamp) -> bool {
        if !self.tree.line(id.flow).is_some_and(|(names, line)| line.holds(names, id, &self.slab)) {
            return false;
        }
        if self.deadlines.change_priority(&id, Reverse(deadline)).is_none() {
            self.deadlines.push(id, Reverse(deadline));
        }
        true
    }

    /// Gives the flow or group at `path` a weight among its siblings, in every band, from now on and whenever it is
    /// there. Weights above 65,536 count as that.
    pub fn set_weight(&mut self, path: &[&str], weight: NonZeroU32) {
        self.share(path, |share| share.weight = weight);
    }

    /// Lets the flow or group at `path` have at most so many tasks in flight, in each band. A cap of 0 holds it back.
    pub fn set_cap(&mut self, path: &[&str], cap: u32) {
        self.share(path, |share| share.cap = cap);
    }

    /// Says what the workflow at `path` will cost in all, for [`Policy::FinishFirst`](crate::Policy::FinishFirst);
    /// 0 takes that back.
    pub fn promise(&mut self, path: &[&str], cost: u64) {
        self.share(path, |share| share.promised = cost);
    }

    /// Gives the flow or group at `path` in a band a weight for as long as it is known, unless
    /// [`set_weight`](Self::set_weight) or its like said something about it.
    pub fn weigh(&mut self, band: usize, path: &[&str], weight: NonZeroU32) {
        if self.shares.of(path).is_none()
            && let Some(at) = self.tree.find(band, path)
        {
            self.tree.reweigh(at, weight);
        }
    }

    fn share(&mut self, path: &[&str], change: impl Fn(&mut Share)) {
        self.shares.change(path, &change);
        for band in 0..self.bands.len() {
            let Some(at) = self.tree.find(band, path) else { continue };
            let node = self.tree.node(at);
            let mut share = Share { weight: node.weight, cap: node.cap, promised: self.tree.account(at).promised };
            change(&mut share);
            self.tree.reweigh(at, share.weight);
            if share.promised != self.tree.account(at).promised {
                self.tree.account_mut(at).promised = share.promised;
            }
            self.tree.recap(at, share.cap);
        }
    }

    fn push_to(&mut self, flow: u32, ask: Ask, task: T) -> Result<Pushed<T>, Refused<T>> {
        // A task that cost nothing would leave its flow first for ever.
        let cost = clamp(ask.cost).max(1);
        let line = self.tree.node(flow).line().expect("tasks wait in flows");
        if line.len() as usize >= self.flow_capacity {
            return Err(Refused::new(Reason::FlowFull, task));
        }
        let shed = if self.len() < self.capacity { None } else { self.make_room(flow, cost) };
        if self.len() >= self.capacity {
            return Err(Refused::new(Reason::Full, task));
        }
        let (names, line) = self.tree.line_mut(flow).expect("tasks wait in flows");
        let id = line.push(names, ask.key, cost, task, &mut self.slab);
        let node = self.tree.node_mut(flow);
        node.backlog += u64::from(cost);
        node.next_task = names.next.wrapping_add(1);
        let band = node.band;
        if let Some(deadline) = ask.deadline {
            self.deadlines.push(id, Reverse(deadline));
        }
        self.waiting[usize::from(band)] += 1;
        self.len += 1;
        self.backlog_changed(flow);
        self.follow_first(flow);
        self.tree.wake(flow);
        self.tree.activate(flow);
        Ok(Pushed { id, shed })
    }

    fn next(&mut self, holds: bool) -> Option<Granted<T>> {
        let Self { tree, bands, slab, .. } = self;
        let ready = |band: usize| tree.is_ready(band);
        let band = bands.pick(ready, |band| next_cost(tree, band))?;
        let flow = tree.next(band)?;
        let (names, line) = tree.line_mut(flow).expect("the last node of a path is a flow");
        let taken = line.pop(names, slab, holds)?;
        self.in_flight += usize::from(holds);
        let Self { tree, bands, .. } = self;
        bands.served(band, taken.cost, |band| tree.is_ready(band));
        self.left(&taken);
        self.follow_first(flow);
        self.tree.charge(flow, taken.cost, holds);
        Some(Granted { id: taken.id, band, cost: taken.cost, task: taken.task })
    }

    /// Accounts for a task that has left its line.
    fn left(&mut self, taken: &Taken<T>) {
        let node = self.tree.node_mut(taken.id.flow);
        node.backlog -= u64::from(taken.cost);
        self.waiting[usize::from(node.band)] -= 1;
        self.len -= 1;
        if !self.deadlines.is_empty() {
            self.deadlines.remove(&taken.id);
        }
        self.backlog_changed(taken.id.flow);
    }

    /// Where keys order the flows themselves, a flow stands where its first task does.
    fn follow_first(&mut self, flow: u32) {
        let node = self.tree.node_mut(flow);
        if !node.keyed {
            return;
        }
        if let Some(key) = node.line().and_then(Line::first_key) {
            self.tree.rekey(flow, key);
        }
    }

    fn flow_id(&self, node: u32) -> FlowId {
        FlowId { node, generation: self.tree.node(node).generation }
    }

    fn is_open(&self, flow: FlowId) -> bool {
        self.tree.node(flow.node).generation == flow.generation && self.tree.node(flow.node).pins > 0
    }
}

/// What the next task of a band costs.
fn next_cost<T, R: Ranking>(tree: &Tree<T, R>, band: usize) -> u32 {
    tree.next(band).and_then(|flow| tree.node(flow).line()).map_or(0, Line::first_cost)
}

fn clamp(cost: u64) -> u32 {
    cost.min(u64::from(MAX_COST)) as u32
}

impl From<NoSuchFlow> for Reason {
    fn from(why: NoSuchFlow) -> Self {
        match why {
            NoSuchFlow::Path => Self::NoSuchFlow,
            NoSuchFlow::TooMany => Self::TooManyFlows,
        }
    }
}

/// The most a task may cost, in tokens; more counts as this.
pub const MAX_COST: u32 = 1 << 28;
