//! A scheduler, and those who wait before it: takers for a task, pushers for room.

mod door;
mod pace;

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::task::Waker;

use bellwether_core::Timestamp;

use crate::scheduler::{Ask, Granted, Pushed, Reason, Refused, Scheduler, Shed, TaskId};
use crate::settings::{Overflow, Settings};

use door::Door;
use pace::Pace;

/// A scheduler, and those who wait before it.
///
/// Everything here happens under one lock, and everybody who has to look again as a result is collected in [`Calls`]
/// and woken after it. Each event wakes as many as it can serve: one task wakes one taker, one free place one pusher.
#[derive(Debug)]
pub(crate) struct Hall<T> {
    pub(crate) scheduler: Scheduler<T>,
    sheds: bool,
    closed: bool,
    takers: VecDeque<(u64, Waker)>,
    door: Door,
    pace: Pace,
    numbers: u64,
}

/// Where a task is to go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) band: usize,
    pub(crate) path: &'a [&'a str],
    pub(crate) ask: Ask,
    /// So many names of the path name the group that has this weight.
    pub(crate) weigh: Option<(usize, NonZeroU32)>,
}

/// Who is to be woken once the lock is free.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Calls(Vec<Waker>);

/// What a taker finds.
pub(crate) enum Found<T> {
    /// A task.
    Task(Granted<T>),
    /// Nothing yet; the moment at which a task will expire.
    Nothing { until: Option<Timestamp> },
    /// Nothing any more.
    End,
}

impl Calls {
    /// Wakes them. Never to be called under the lock.
    pub(crate) fn wake(self) {
        self.0.into_iter().for_each(Waker::wake);
    }
}

impl<T> Hall<T> {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            scheduler: Scheduler::new(settings),
            sheds: settings.overflow == Overflow::Shed,
            closed: false,
            takers: VecDeque::new(),
            door: Door::default(),
            pace: Pace::default(),
            numbers: 0,
        }
    }

    /// Takes in a task, if there is room and nobody else waits for it. `waited` names a pusher that was waiting.
    pub(crate) fn push(
        &mut self,
        entry: Entry<'_>,
        task: T,
        waited: Option<u64>,
        calls: &mut Calls,
    ) -> Result<Pushed<T>, Refused<T>> {
        let retry_after = self.pace.expected(self.door.len() + 1);
        let pushed = if self.closed {
            Err(Refused::new(Reason::Closed, task))
        } else if waited.is_none() && self.stands_behind() {
            Err(Refused::new(Reason::Full, task))
        } else {
            self.scheduler.push(entry.band, entry.path, entry.ask, task)
        };
        match pushed {
            Ok(pushed) => {
                if let Some((depth, weight)) = entry.weigh {
                    self.scheduler.weigh(entry.band, &entry.path[..depth], weight);
                }
                if let Some(number) = waited {
                    self.door.leave(number);
                    if self.scheduler.has_room() {
                        // There may be more of it than there were pushers to be called; others have come since.
                        calls.0.extend(self.door.call());
                    }
                }
                if !self.call_taker(calls)
                    && let Some(deadline) = entry.ask.deadline
                    && self.scheduler.next_deadline() == Some(deadline)
                {
                    // Nobody can take it, but it is the next to expire: those who wait have to look at the clock for it.
                    self.call_all(calls);
                }
                Ok(pushed)
            }
            Err(refused) => {
                let full = matches!(refused.reason, Reason::Full | Reason::FlowFull);
                Err(Refused { retry_after: retry_after.filter(|_| full), ..refused })
            }
        }
    }

    /// Lets a pusher wait at the door, or wait on; if it had been called, the next one may try in its place.
    pub(crate) fn wait_for_room(
        &mut self,
        number: Option<u64>,
        tenant: &str,
        reason: Reason,
        waker: &Waker,
        calls: &mut Calls,
    ) -> u64 {
        let tried = number.is_some() || !self.stands_behind();
        let number = number.unwrap_or_else(|| {
            self.numbers += 1;
            self.numbers
        });
        if self.door.wait(number, tenant, reason == Reason::Full, tried, waker) {
            calls.0.extend(self.door.call());
        }
        number
    }

    /// A pusher goes away without having pushed; if it had been called, another is.
    pub(crate) fn leave_door(&mut self, number: u64, calls: &mut Calls) {
        if self.door.leave(number) {
            calls.0.extend(self.door.call());
        }
    }

    /// Takes out what has expired.
    pub(crate) fn expire(&mut self, now: Timestamp, calls: &mut Calls) -> Option<Shed<T>> {
        let shed = self.scheduler.expire(now)?;
        self.place_is_free(calls);
        Some(shed)
    }

    /// The next task for a taker, who waits if there is none.
    pub(crate) fn take(
        &mut self,
        now: Timestamp,
        number: &mut Option<u64>,
        waker: &Waker,
        calls: &mut Calls,
    ) -> Found<T> {
        let at = number.and_then(|number| self.takers.iter().position(|taker| taker.0 == number));
        if let Some(granted) = self.scheduler.grant() {
            if let Some(at) = at {
                self.takers.remove(at);
            }
            *number = None;
            self.pace.taken(now);
            self.place_is_free(calls);
            return Found::Task(granted);
        }
        if self.closed && self.scheduler.is_empty() {
            return Found::End;
        }
        match at {
            Some(at) => self.takers[at].1.clone_from(waker),
            None => {
                self.numbers += 1;
                *number = Some(self.numbers);
                self.takers.push_back((self.numbers, waker.clone()));
            }
        }
        Found::Nothing { until: self.scheduler.next_deadline() }
    }

    /// A taker goes away; if it had been woken for a task, another is.
    pub(crate) fn leave_takers(&mut self, number: u64, calls: &mut Calls) {
        match self.takers.iter().position(|taker| taker.0 == number) {
            Some(at) => {
                self.takers.remove(at);
            }
            None => {
                self.call_taker(calls);
            }
        }
    }

    pub(crate) fn settle(&mut self, id: TaskId, cost: u64, calls: &mut Calls) -> bool {
        let settled = self.scheduler.settle(id, cost);
        self.call_taker(calls);
        settled
    }

    /// Settles a task at what it was charged.
    pub(crate) fn finish(&mut self, id: TaskId, calls: &mut Calls) {
        self.scheduler.finish(id);
        self.call_taker(calls);
    }

    pub(crate) fn cancel(&mut self, id: TaskId, calls: &mut Calls) -> Option<T> {
        let task = self.scheduler.cancel(id)?;
        self.place_is_free(calls);
        Some(task)
    }

    /// Takes no further tasks; pushers at the door are told, takers if nothing is left.
    pub(crate) fn close(&mut self, calls: &mut Calls) {
        self.closed = true;
        calls.0.extend(self.door.clear());
        self.place_is_free(calls);
    }

    /// Shares have changed: anybody may be next now.
    pub(crate) fn call_all(&mut self, calls: &mut Calls) {
        calls.0.extend(self.takers.drain(..).map(|(_, waker)| waker));
    }

    /// Whether somebody who comes now has to wait behind others, whether or not there is room.
    const fn stands_behind(&self) -> bool {
        !self.sheds && self.door.wants_room()
    }

    /// Wakes one taker, if there is a task for it; whether there is one.
    fn call_taker(&mut self, calls: &mut Calls) -> bool {
        let ready = self.scheduler.is_ready();
        if ready {
            calls.0.extend(self.takers.pop_front().map(|(_, waker)| waker));
        }
        ready
    }

    fn place_is_free(&mut self, calls: &mut Calls) {
        self.door.freed();
        calls.0.extend(self.door.call());
        if self.closed && self.scheduler.is_empty() {
            self.call_all(calls);
        }
    }
}
