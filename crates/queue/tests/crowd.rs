//! Takers and pushers that come, look, leave and settle in any order: nobody sleeps beside what they wait for.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bellwether_queue::{Ask, FairQueue, Grant, Overflow, Place, Refused, Settings};
use fastrand::Rng;

const FLOWS: [&[&str]; 4] = [&["a"], &["b"], &["b2", "c"], &["b2", "d"]];

/// Whether somebody was woken and has not come yet.
#[derive(Debug, Default)]
struct Call(AtomicBool);

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Somebody who waits.
struct Waits<'a, A> {
    future: Pin<Box<dyn Future<Output = A> + 'a>>,
    call: Arc<Call>,
    /// Where a pusher pushes to.
    flow: usize,
}

impl<A> Waits<'_, A> {
    fn is_called(&self) -> bool {
        self.call.0.load(Ordering::Relaxed)
    }

    fn look(&mut self) -> Poll<A> {
        self.call.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&self.call));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

/// A queue with little room, and a crowd around it.
struct Crowd<'a> {
    queue: &'a FairQueue<u32>,
    settings: &'a Settings,
    rng: Rng,
    pushers: Vec<Waits<'a, Result<Place<u32>, Refused<u32>>>>,
    takers: Vec<Waits<'a, Option<Grant<u32>>>>,
    places: Vec<Place<u32>>,
    grants: Vec<Grant<u32>>,
}

impl Crowd<'_> {
    /// One of so many, if there is one.
    fn one_of(&mut self, len: usize) -> Option<usize> {
        (len > 0).then(|| self.rng.usize(..len))
    }

    fn step(&mut self) {
        let queue = self.queue;
        match self.rng.u8(..13) {
            0..3 => {
                let (flow, ask) = (self.rng.usize(..FLOWS.len()), Ask::of(self.rng.u64(1..9)));
                let future = Box::pin(queue.push(0, FLOWS[flow], ask, 0));
                self.pushers.push(Waits { future, call: Arc::default(), flow });
                self.pusher_looks(self.pushers.len() - 1);
            }
            3..5 => {
                self.takers.push(Waits { future: Box::pin(queue.next()), call: Arc::default(), flow: 0 });
                self.taker_looks(self.takers.len() - 1);
            }
            5 => drop(self.one_of(self.pushers.len()).map(|at| self.pushers.remove(at))),
            6 => drop(self.one_of(self.takers.len()).map(|at| self.takers.remove(at))),
            7 => drop(self.one_of(self.places.len()).map(|at| self.places.remove(at))),
            8 => drop(self.one_of(self.grants.len()).map(|at| self.grants.remove(at).settle(3))),
            9 => queue.set_cap(FLOWS[self.rng.usize(..FLOWS.len())], [0, 1, 2, u32::MAX][self.rng.usize(..4)]),
            // Some look although nobody called them.
            10 => drop(self.one_of(self.pushers.len()).map(|at| self.pusher_looks(at))),
            11 => drop(self.one_of(self.takers.len()).map(|at| self.taker_looks(at))),
            _ => self.settle_down(),
        }
    }

    fn pusher_looks(&mut self, at: usize) {
        if let Poll::Ready(pushed) = self.pushers[at].look() {
            self.pushers.remove(at);
            self.places.extend(pushed);
        }
    }

    fn taker_looks(&mut self, at: usize) {
        if let Poll::Ready(taken) = self.takers[at].look() {
            self.takers.remove(at);
            self.grants.extend(taken);
        }
    }

    /// Everybody who was called comes; then nobody who still waits could have had what they wait for.
    fn settle_down(&mut self) {
        loop {
            if let Some(at) = self.pushers.iter().position(Waits::is_called) {
                self.pusher_looks(at);
            } else if let Some(at) = self.takers.iter().position(Waits::is_called) {
                self.taker_looks(at);
            } else {
                break;
            }
        }
        if !self.takers.is_empty() {
            let mut passes = Box::pin(self.queue.next());
            let taken = passes.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(taken.is_pending(), "a taker sleeps beside a task");
        }
        let waiting = |flow: usize| self.queue.status(0, FLOWS[flow]).map_or(0, |status| status.waiting as usize);
        let has_room = |flow| self.queue.len() < self.settings.capacity && waiting(flow) < self.settings.flow_capacity;
        assert!(!self.pushers.iter().any(|pusher| has_room(pusher.flow)), "a pusher sleeps beside room");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_sleeps_beside_what_they_wait_for() {
    for seed in 0..20_000 {
        let mut rng = Rng::with_seed(seed);
        let overflow = if rng.bool() { Overflow::Refuse } else { Overflow::Shed };
        let (capacity, flow_capacity) = (rng.usize(1..4), rng.usize(1..3));
        let settings = Settings { capacity, flow_capacity, overflow, ..Settings::default() };
        let queue = FairQueue::new(&settings);
        let crowd = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let (pushers, takers, places, grants) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            let mut crowd = Crowd { queue: &queue, settings: &settings, rng, pushers, takers, places, grants };
            (0..60).for_each(|_| crowd.step());
        }));
        assert!(crowd.is_ok(), "seed {seed}");
    }
}
