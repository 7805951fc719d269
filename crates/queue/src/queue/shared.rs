//! What all clones of a queue share, and the two futures over it.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::time::Sleep;

use crate::clock::Clock;
use crate::hall::{Calls, Entry, Found, Hall};
use crate::lock::Lock;
use crate::scheduler::{Granted, Pushed, Refused, Scheduler, Shed, TaskId};
use crate::settings::Settings;

/// What all clones of a queue share. `L` is the lock, so that a model checker's can take its place.
pub(crate) struct Shared<T, L> {
    hall: L,
    pub(crate) clock: Clock,
    on_shed: Box<dyn Fn(Shed<T>) + Send + Sync>,
    tasks: PhantomData<fn() -> T>,
}

impl<T, L: Lock<Hall<T>>> Shared<T, L> {
    pub(crate) fn new(settings: &Settings, clock: Clock, on_shed: Box<dyn Fn(Shed<T>) + Send + Sync>) -> Self {
        Self { hall: L::new(Hall::new(settings)), clock, on_shed, tasks: PhantomData }
    }

    pub(crate) fn push(&self, entry: Entry<'_>, task: T) -> Result<TaskId, Refused<T>> {
        let pushed = self.with(|hall, calls| hall.push(entry, task, None, calls))?;
        Ok(self.tell(pushed))
    }

    /// Hands on the task that had to give way, and returns the id of the one that came.
    pub(crate) fn tell(&self, pushed: Pushed<T>) -> TaskId {
        pushed.shed.into_iter().for_each(&self.on_shed);
        pushed.id
    }

    pub(crate) fn settle(&self, id: TaskId, cost: u64) -> bool {
        self.with(|hall, calls| hall.settle(id, cost, calls))
    }

    /// Settles a task at what it was charged.
    pub(crate) fn finish(&self, id: TaskId) {
        self.with(|hall, calls| hall.finish(id, calls));
    }

    pub(crate) fn cancel(&self, id: TaskId) -> Option<T> {
        self.with(|hall, calls| hall.cancel(id, calls))
    }

    pub(crate) fn close(&self) {
        self.with(Hall::close);
    }

    /// Changes who is next, and lets everybody look again.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Scheduler<T>)) {
        self.with(|hall, calls| {
            change(&mut hall.scheduler);
            hall.call_all(calls);
        });
    }

    pub(crate) fn look<A>(&self, look: impl FnOnce(&Scheduler<T>) -> A) -> A {
        self.hall.with(|hall| look(&hall.scheduler))
    }

    /// Works under the lock, and wakes after it.
    fn with<A>(&self, work: impl FnOnce(&mut Hall<T>, &mut Calls) -> A) -> A {
        let mut calls = Calls::default();
        let answer = self.hall.with(|hall| work(hall, &mut calls));
        calls.wake();
        answer
    }
}

/// Waits for the next task. Dropping it takes none, and passes a call on that it had not followed.
pub(crate) struct Next<'a, T, L: Lock<Hall<T>>> {
    shared: &'a Shared<T, L>,
    number: Option<u64>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<'a, T, L: Lock<Hall<T>>> Next<'a, T, L> {
    pub(crate) const fn new(shared: &'a Shared<T, L>) -> Self {
        Self { shared, number: None, timer: None }
    }

    /// Looks once; tasks that have expired go first.
    fn look(&mut self, waker: &Waker) -> Found<T> {
        let Self { shared, number, .. } = self;
        let now = shared.clock.now();
        let mut expired = Vec::new();
        let found = shared.with(|hall, calls| {
            while let Some(shed) = hall.expire(now, calls) {
                expired.push(shed);
            }
            hall.take(now, number, waker, calls)
        });
        expired.into_iter().for_each(&shared.on_shed);
        found
    }
}

impl<T, L: Lock<Hall<T>>> Future for Next<'_, T, L> {
    type Output = Option<Granted<T>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match self.look(context.waker()) {
                Found::Task(granted) => return Poll::Ready(Some(granted)),
                Found::End => return Poll::Ready(None),
                Found::Nothing { until: None } => {
                    self.timer = None;
                    return Poll::Pending;
                }
                Found::Nothing { until: Some(until) } => {
                    let sleep = self.shared.clock.sleep_until(until);
                    let timer = self.timer.insert(sleep);
                    if timer.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

impl<T, L: Lock<Hall<T>>> Drop for Next<'_, T, L> {
    fn drop(&mut self) {
        if let Some(number) = self.number.take() {
            self.shared.with(|hall, calls| hall.leave_takers(number, calls));
        }
    }
}

/// Waits for room. Dropping it gives up its place at the door.
pub(crate) struct Pusher<'a, T, L: Lock<Hall<T>>> {
    shared: &'a Shared<T, L>,
    tenant: &'a str,
    number: Option<u64>,
}

impl<'a, T, L: Lock<Hall<T>>> Pusher<'a, T, L> {
    pub(crate) const fn new(shared: &'a Shared<T, L>, tenant: &'a str) -> Self {
        Self { shared, tenant, number: None }
    }

    /// Tries once, and waits at the door if waiting may help. What had to give way is for the caller to
    /// [`tell`](Shared::tell).
    pub(crate) fn poll(&mut self, entry: Entry<'_>, task: T, waker: &Waker) -> Result<Pushed<T>, Refused<T>> {
        let Self { shared, tenant, number } = self;
        shared.with(|hall, calls| {
            let pushed = hall.push(entry, task, *number, calls);
            match &pushed {
                Ok(_) => *number = None,
                Err(refused) if refused.reason.passes() => {
                    *number = Some(hall.wait_for_room(*number, tenant, refused.reason, waker, calls));
                }
                Err(_) => {}
            }
            pushed
        })
    }
}

impl<T, L: Lock<Hall<T>>> Drop for Pusher<'_, T, L> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.shared.with(|hall, calls| hall.leave_door(number, calls));
        }
    }
}
