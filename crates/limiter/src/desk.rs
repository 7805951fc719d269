//! The quota and those who wait at it, as a value: who is let through, who is woken, and when to look again.

use std::collections::BTreeSet;
use std::task::Waker;
use std::time::Duration;

use bellwether_core::limiter::Outlook;
use bellwether_core::permit::RateLimits;
use bellwether_core::{Demand, Outcome, Timestamp};

use crate::line::{Line, Place};
use crate::quota::{Denied, Quota, Reservation, costs};
use crate::settings::Limits;
use crate::snapshot::Snapshot;

/// The quota and those who wait at it, in the order of coming.
///
/// Nobody overtakes: while somebody waits, nobody else is let through. There is one alarm, and it wakes one of those who
/// wait: the first when there is room, or whoever's deadline comes sooner. Whoever is woken looks around for all.
///
/// Invariants:
/// - `ahead` is what those in the line want together.
/// - If somebody waits for a moment and not for another call, then the alarm is armed for it, or somebody was woken who
///   has yet to come and will arm it.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) quota: Quota,
    line: Line<Waiter>,
    deadlines: BTreeSet<(Timestamp, Place)>,
    ahead: [u64; 4],
    /// Those who were let through or refused, and have not come yet.
    called: usize,
    /// What the first waits for.
    blocked: Option<Denied>,
    armed: Option<Alarm>,
    /// Who was woken to arm the alarm.
    summoned: Option<Place>,
    wakes: Vec<Waker>,
}

/// When to look again, and who does it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Alarm {
    pub(crate) at: Timestamp,
    pub(crate) who: Place,
}

#[derive(Debug)]
struct Waiter {
    demand: Demand,
    deadline: Option<Timestamp>,
    waker: Waker,
    answer: Option<Answer>,
}

type Answer = Result<Reservation, Option<Duration>>;

/// The answer to somebody who comes.
#[derive(Debug)]
pub(crate) enum Entry {
    Admitted(Reservation),
    Queued(Place),
    /// How long it would have taken, if that is known.
    Refused(Option<Duration>),
}

impl Desk {
    pub(crate) const fn new(quota: Quota) -> Self {
        Self {
            quota,
            line: Line::new(),
            deadlines: BTreeSet::new(),
            ahead: [0; 4],
            called: 0,
            blocked: None,
            armed: None,
            summoned: None,
            wakes: Vec::new(),
        }
    }

    /// Lets through, refuses or queues.
    pub(crate) fn enter(
        &mut self,
        demand: Demand,
        deadline: Option<Timestamp>,
        waker: &Waker,
        now: Timestamp,
    ) -> Entry {
        self.look(now, None);
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Entry::Refused(None);
        }
        if let Ok(reservation) = self.try_enter(&demand, now) {
            return Entry::Admitted(reservation);
        }
        let (_, ready) = self.quota.ready_behind(&self.ahead, &demand, now);
        if deadline.is_some_and(|deadline| deadline <= ready) {
            return Entry::Refused(Some(ready.since(now)));
        }
        let place = self.line.push(Waiter { demand, deadline, waker: waker.clone(), answer: None });
        self.deadlines.extend(deadline.map(|deadline| (deadline, place)));
        add(&mut self.ahead, &demand);
        self.look(now, None);
        Entry::Queued(place)
    }

    /// Lets through if nobody waits and there is room.
    #[inline]
    pub(crate) fn try_enter(&mut self, demand: &Demand, now: Timestamp) -> Result<Reservation, Outlook> {
        if self.line.front().is_some() {
            return Err(self.outlook(demand, now));
        }
        self.quota.reserve(demand, now).map_err(|denied| outlook(&denied, now))
    }

    /// Why `demand` would wait behind all who wait now.
    pub(crate) fn outlook(&mut self, demand: &Demand, now: Timestamp) -> Outlook {
        let (reason, at) = self.quota.ready_behind(&self.ahead, demand, now);
        match self.blocked {
            Some(denied) if denied.until.is_none() => outlook(&denied, now),
            Some(denied) if at <= now => outlook(&denied, now),
            _ => Outlook { reason, wait: Some(at.since(now)) },
        }
    }

    /// Somebody comes to see; takes them out if there is an answer.
    pub(crate) fn poll(&mut self, place: Place, waker: &Waker, now: Timestamp) -> Option<Answer> {
        // Whoever the alarm wakes arms it anew: it may have been the end of the timer's runtime that woke them.
        self.armed = self.armed.filter(|alarm| alarm.at > now && alarm.who != place);
        self.summoned = None;
        if self.line.get(place).is_some_and(|waiter| waiter.answer.is_none()) {
            self.look(now, Some(place));
        }
        let waiter = self.line.get_mut(place)?;
        if let Some(answer) = waiter.answer.take() {
            self.line.remove(place);
            self.called -= 1;
            // On behalf of the one who is first now, and has not been woken for it.
            self.look(now, None);
            return Some(answer);
        }
        if !waiter.waker.will_wake(waker) {
            waiter.waker.clone_from(waker);
            self.armed = self.armed.filter(|alarm| alarm.who != place);
        }
        None
    }

    /// Somebody goes away, whatever they were about to get.
    pub(crate) fn leave(&mut self, place: Place, now: Timestamp) {
        let Some(waiter) = self.line.get_mut(place) else { return };
        let (answer, demand, deadline) = (waiter.answer.take(), waiter.demand, waiter.deadline);
        self.line.remove(place);
        match answer {
            None => self.forget(place, &demand, deadline),
            Some(answer) => {
                self.called -= 1;
                if let Ok(reservation) = answer {
                    self.quota.settle(reservation, &Outcome::Unused, now);
                }
            }
        }
        self.armed = self.armed.filter(|alarm| alarm.who != place);
        self.summoned = self.summoned.filter(|summoned| *summoned != place);
        self.changed(now);
    }

    /// A call is over.
    pub(crate) fn settle(&mut self, reservation: Reservation, outcome: &Outcome, now: Timestamp) {
        self.quota.settle(reservation, outcome, now);
        self.changed(now);
    }

    /// The head of an answer came.
    pub(crate) fn hint(&mut self, reservation: &Reservation, limits: &RateLimits, now: Timestamp) {
        self.quota.hint(reservation, limits, now);
        self.changed(now);
    }

    /// Other limits are in force.
    pub(crate) fn change_limits(&mut self, limits: Limits, now: Timestamp) {
        self.quota.change_limits(limits, now);
        self.changed(now);
    }

    /// When somebody has to look again, and who; `None` if that depends on calls.
    pub(crate) fn alarm(&self) -> Option<Alarm> {
        // Who waits for a place is let in when there are more, too: the calls that have the others may be silent for long.
        let until = self.blocked.and_then(|denied| denied.until.or_else(|| self.quota.places_grow_at()));
        let head = self.line.front().zip(until);
        let head = head.map(|(who, at)| Alarm { at, who });
        let deadline = self.deadlines.first().map(|(at, who)| Alarm { at: *at, who: *who });
        head.into_iter().chain(deadline).min_by_key(|alarm| alarm.at)
    }

    /// The alarm that has to be armed now, with whom it wakes; none if it is armed already or nobody needs one.
    pub(crate) fn arm_next(&mut self) -> Option<(Timestamp, &Waker)> {
        self.summoned = None;
        let Some(alarm) = self.alarm() else {
            self.armed = None;
            return None;
        };
        if self.armed == Some(alarm) {
            return None;
        }
        self.armed = Some(alarm);
        self.line.get(alarm.who).map(|waiter| (alarm.at, &waiter.waker))
    }

    /// Somebody has to come and look.
    pub(crate) fn wake(&mut self, waker: Waker) {
        self.wakes.push(waker);
    }

    /// Whom to wake, once nothing is locked any more.
    pub(crate) fn take_wakes(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.wakes)
    }

    /// How many wait.
    pub(crate) const fn waiting(&self) -> usize {
        self.line.len()
    }

    pub(crate) fn snapshot(&self, now: Timestamp) -> Snapshot {
        let head = self.line.front().and(self.blocked).map(|denied| outlook(&denied, now));
        Snapshot { waiting: self.line.len(), head, ..self.quota.snapshot(now) }
    }

    /// Something happened outside of a poll. If it made another alarm necessary, somebody has to come and arm it.
    fn changed(&mut self, now: Timestamp) {
        if self.line.front().is_none() {
            return;
        }
        self.look(now, None);
        let sooner = match (self.alarm(), self.armed) {
            (Some(alarm), Some(armed)) => alarm.at < armed.at,
            (alarm, None) => alarm.is_some(),
            (None, Some(_)) => false,
        };
        if self.called == 0 && self.summoned.is_none() && sooner {
            let Some(Alarm { who, .. }) = self.alarm() else { return };
            self.wakes.extend(self.line.get(who).map(|waiter| waiter.waker.clone()));
            self.summoned = Some(who);
        }
    }

    /// Lets through whoever can go, and refuses whoever can no longer make it. `here` need not be woken.
    fn look(&mut self, now: Timestamp, here: Option<Place>) {
        self.blocked = None;
        while let Some(place) = self.line.front() {
            let Some(waiter) = self.line.get(place) else { return };
            let (demand, deadline) = (waiter.demand, waiter.deadline);
            let answer = if deadline.is_some_and(|deadline| deadline <= now) {
                Err(None)
            } else {
                match self.quota.reserve(&demand, now) {
                    Ok(reservation) => Ok(reservation),
                    Err(denied) => match (denied.until, deadline) {
                        (Some(until), Some(deadline)) if deadline <= until => Err(Some(until.since(now))),
                        _ => {
                            self.blocked = Some(denied);
                            break;
                        }
                    },
                }
            };
            self.answer(place, answer, here);
        }
        let closed = self.quota.closed_until();
        while let Some((at, place)) = self.deadlines.first().copied().filter(|(at, _)| *at <= closed.max(now)) {
            self.answer(place, Err((closed >= at && closed > now).then(|| closed.since(now))), here);
        }
    }

    fn answer(&mut self, place: Place, answer: Answer, here: Option<Place>) {
        self.line.call(place);
        let Some(waiter) = self.line.get_mut(place) else { return };
        waiter.answer = Some(answer);
        if here != Some(place) {
            self.wakes.push(waiter.waker.clone());
        }
        let (demand, deadline) = (waiter.demand, waiter.deadline);
        self.called += 1;
        self.armed = self.armed.filter(|alarm| alarm.who != place);
        self.forget(place, &demand, deadline);
    }

    fn forget(&mut self, place: Place, demand: &Demand, deadline: Option<Timestamp>) {
        if let Some(deadline) = deadline {
            self.deadlines.remove(&(deadline, place));
        }
        for (ahead, cost) in self.ahead.iter_mut().zip(costs(demand)) {
            *ahead = ahead.saturating_sub(cost);
        }
    }
}

fn add(ahead: &mut [u64; 4], demand: &Demand) {
    for (ahead, cost) in ahead.iter_mut().zip(costs(demand)) {
        *ahead = ahead.saturating_add(cost);
    }
}

fn outlook(denied: &Denied, now: Timestamp) -> Outlook {
    Outlook { reason: denied.reason, wait: denied.until.map(|until| until.since(now)) }
}

#[cfg(test)]
mod tests;
