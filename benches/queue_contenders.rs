//! The queues that are measured side by side, each with the same work: N tasks wait; one comes, one is taken.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use bellwether_queue::{Ask, ByPriorityQueue, FlowId, IndexedHeap, Key, Scheduler, Settings, TaskId};
use priority_queue::PriorityQueue;
use tokio::sync::mpsc;

/// A queue that can be measured.
pub(crate) trait Contender {
    /// One with `tasks` waiting, spread over `flows` where it knows flows.
    fn filled(tasks: usize, flows: usize) -> Self;

    /// One task comes, one is taken.
    fn turn(&mut self, random: &mut fastrand::Rng);
}

/// The standard library's heap: one order, no flows, no cancellation.
pub(crate) struct Heap {
    heap: BinaryHeap<Reverse<(u64, u64)>>,
    next: u64,
}

impl Contender for Heap {
    fn filled(tasks: usize, _: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(7);
        let heap = (0..tasks as u64).map(|number| Reverse((random.u64(..1 << 40), number))).collect();
        Self { heap, next: tasks as u64 }
    }

    fn turn(&mut self, random: &mut fastrand::Rng) {
        // Deadlines lie ahead of what was taken, as in any simulation of a queue.
        let Some(Reverse((key, _))) = self.heap.pop() else { return };
        self.heap.push(Reverse((key + random.u64(..1 << 40), self.next)));
        self.next += 1;
    }
}

/// The `priority-queue` crate with every task in one queue.
pub(crate) struct OneQueue {
    queue: PriorityQueue<u64, Reverse<u64>>,
    next: u64,
}

impl Contender for OneQueue {
    fn filled(tasks: usize, _: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(7);
        let queue = (0..tasks as u64).map(|number| (number, Reverse(random.u64(..1 << 40)))).collect();
        Self { queue, next: tasks as u64 }
    }

    fn turn(&mut self, random: &mut fastrand::Rng) {
        let Some((_, Reverse(key))) = self.queue.pop() else { return };
        self.queue.push(self.next, Reverse(key + random.u64(..1 << 40)));
        self.next += 1;
    }
}

/// Tokio's channel: no order but arrival, no flows, no cancellation.
pub(crate) struct Channel {
    sender: mpsc::UnboundedSender<u64>,
    receiver: mpsc::UnboundedReceiver<u64>,
}

impl Contender for Channel {
    fn filled(tasks: usize, _: usize) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        for number in 0..tasks as u64 {
            sender.send(number).expect("the receiver is there");
        }
        Self { sender, receiver }
    }

    fn turn(&mut self, random: &mut fastrand::Rng) {
        let _ = std::hint::black_box(self.receiver.try_recv());
        self.sender.send(random.u64(..)).expect("the receiver is there");
    }
}

/// A scheduler and its open flows, with tasks of 1 to 4,000 tokens.
pub(crate) struct Fair<R, const SETTLED: bool> {
    pub(crate) scheduler: Scheduler<u64, R>,
    pub(crate) flows: Vec<FlowId>,
    clock: u64,
}

/// Q1: flows in order of arrival.
pub(crate) type FairFifo = Fair<IndexedHeap, false>;
/// Q1 with the flows kept in order by the `priority-queue` crate.
pub(crate) type FairFifoByCrate = Fair<ByPriorityQueue, false>;
/// Q2: priorities inside each flow, and every task settled.
pub(crate) type FairSettled = Fair<IndexedHeap, true>;
/// Q2 with the flows kept in order by the `priority-queue` crate.
pub(crate) type FairSettledByCrate = Fair<ByPriorityQueue, true>;

macro_rules! fair {
    ($ranking:ty, $settled:expr) => {
        impl Fair<$ranking, $settled> {
            pub(crate) fn push(&mut self, random: &mut fastrand::Rng) -> TaskId {
                let flow = self.flows[random.usize(..self.flows.len())];
                self.clock += 1;
                let spread = if $settled { random.u64(..1 << 20) } else { 0 };
                let ask = Ask::of(random.u64(1..4_000)).keyed(Key(self.clock + spread));
                self.scheduler.push_open(flow, ask, self.clock).expect("there is room").id
            }
        }

        impl Contender for Fair<$ranking, $settled> {
            fn filled(tasks: usize, flows: usize) -> Self {
                let settings = Settings { capacity: tasks + 1_000_000, max_nodes: flows + 16, ..Settings::default() };
                let mut scheduler = Scheduler::new(&settings);
                let flows = (0..flows).map(|flow| scheduler.open(1, &[&flow.to_string()]).expect("there is room"));
                let mut filled = Self { flows: flows.collect(), scheduler, clock: 0 };
                let mut random = fastrand::Rng::with_seed(7);
                for _ in 0..tasks {
                    filled.push(&mut random);
                }
                filled
            }

            fn turn(&mut self, random: &mut fastrand::Rng) {
                self.push(random);
                if $settled {
                    let Some(granted) = self.scheduler.grant() else { return };
                    self.scheduler.settle(granted.id, u64::from(granted.cost) / 2);
                } else {
                    std::hint::black_box(self.scheduler.pop());
                }
            }
        }
    };
}
fair!(IndexedHeap, false);
fair!(ByPriorityQueue, false);
fair!(IndexedHeap, true);
fair!(ByPriorityQueue, true);
