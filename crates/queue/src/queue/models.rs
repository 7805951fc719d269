//! Every interleaving of takers, pushers and cancellation, tried by loom.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use loom::future::block_on;
use loom::sync::{Arc, Mutex};
use loom::thread;

use super::{Next, Pusher, Shared};
use crate::clock::Clock;
use crate::hall::{Entry, Hall};
use crate::lock::Lock;
use crate::scheduler::{Ask, Granted, TaskId};
use crate::settings::Settings;

type Queue = Shared<u32, Mutex<Hall<u32>>>;

impl<S: Send> Lock<S> for Mutex<S> {
    fn new(value: S) -> Self {
        Self::new(value)
    }

    fn with<A>(&self, work: impl FnOnce(&mut S) -> A) -> A {
        work(&mut self.lock().expect("nobody panics under the lock"))
    }
}

fn queue(capacity: usize) -> Arc<Queue> {
    let settings = Settings { capacity, ..Settings::default() };
    Arc::new(Shared::new(&settings, Clock::start(), Box::new(drop)))
}

fn entry(path: &'static [&'static str]) -> Entry<'static> {
    Entry { band: 0, path, ask: Ask::of(5), weigh: None }
}

fn push(queue: &Queue, task: u32) -> TaskId {
    queue.push(entry(&["flow"]), task).expect("there is room")
}

/// Polls a taker once and drops it.
fn glance(queue: &Queue) -> Option<Granted<u32>> {
    match pin!(Next::new(queue)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(taken) => taken,
        Poll::Pending => None,
    }
}

#[test]
fn a_task_is_taken_or_cancelled_and_never_both() {
    loom::model(|| {
        let queue = queue(10);
        let id = push(&queue, 1);
        let other = Arc::clone(&queue);
        let canceller = thread::spawn(move || other.cancel(id));
        let taken = glance(&queue);
        let cancelled = canceller.join().expect("it does not panic");
        assert_eq!(taken.is_some(), cancelled.is_none());
        let in_flight = queue.look(|scheduler| (scheduler.len(), scheduler.in_flight()));
        assert_eq!(in_flight, (0, usize::from(taken.is_some())));
        if let Some(taken) = taken {
            assert!(queue.settle(taken.id, 7) && !queue.settle(taken.id, 7));
        }
    });
}

#[test]
fn a_task_is_settled_once_whoever_comes_first() {
    loom::model(|| {
        let queue = queue(10);
        push(&queue, 1);
        let taken = glance(&queue).expect("a task waits");
        let other = Arc::clone(&queue);
        let settler = thread::spawn(move || other.settle(taken.id, 9));
        let mine = queue.settle(taken.id, 3);
        assert!(mine ^ settler.join().expect("it does not panic"));
        assert_eq!(queue.look(|scheduler| scheduler.in_flight()), 0);
    });
}

#[test]
fn a_taker_that_waits_is_woken_by_a_push() {
    loom::model(|| {
        let queue = queue(10);
        let other = Arc::clone(&queue);
        let pusher = thread::spawn(move || push(&other, 1));
        let taken = block_on(Next::new(&queue)).expect("the queue is open");
        assert_eq!(taken.task, 1);
        pusher.join().expect("it does not panic");
    });
}

#[test]
fn a_taker_that_leaves_passes_its_call_on() {
    loom::model(|| {
        let queue = queue(10);
        let (first, second) = (Arc::clone(&queue), Arc::clone(&queue));
        let leaver = thread::spawn(move || glance(&first));
        let stayer = thread::spawn(move || block_on(Next::new(&*second)));
        push(&queue, 1);
        if leaver.join().expect("it does not panic").is_some() {
            push(&queue, 2);
        }
        assert!(stayer.join().expect("it does not panic").is_some());
    });
}

#[test]
fn a_pusher_that_waits_is_let_in_when_a_task_is_taken() {
    loom::model(|| {
        let queue = queue(1);
        push(&queue, 1);
        let other = Arc::clone(&queue);
        let taker = thread::spawn(move || glance(&other).expect("a task waits").task);
        let mut pusher = Pusher::new(&queue, "flow");
        let mut task = Some(2);
        block_on(std::future::poll_fn(|context| {
            match pusher.poll(entry(&["flow"]), task.take().expect("it was put back"), context.waker()) {
                Ok(pushed) => Poll::Ready(queue.tell(pushed)),
                Err(refused) => {
                    task = Some(refused.task);
                    Poll::Pending
                }
            }
        }));
        assert_eq!(taker.join().expect("it does not panic"), 1);
        assert_eq!(glance(&queue).expect("the second task waits").task, 2);
    });
}

#[test]
fn closing_ends_a_taker_that_waits() {
    loom::model(|| {
        let queue = queue(10);
        let id = push(&queue, 1);
        let other = Arc::clone(&queue);
        let closer = thread::spawn(move || {
            other.close();
            other.cancel(id)
        });
        let taken = block_on(Next::new(&queue));
        let cancelled = closer.join().expect("it does not panic");
        assert_eq!(taken.is_some(), cancelled.is_none());
    });
}
