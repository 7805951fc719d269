//! Those who wait for room, served tenant by tenant.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

/// Those who wait for room.
///
/// A place that becomes free calls one of them: the first of the tenant whose turn it is, so that a tenant with many
/// waiting pushers does not stand in the way of the others. Each may try once for each free place; whoever was called
/// and has no use for it passes its call on.
#[derive(Debug, Default)]
pub(crate) struct Door {
    /// Tenants in turn, and their waiting pushers in order of arrival.
    tenants: VecDeque<(Arc<str>, VecDeque<Waiting>)>,
    /// How many places have become free so far.
    freed: u64,
    /// How many wait for room in the queue itself, not only in their flow.
    for_room: usize,
    len: usize,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    for_room: bool,
    /// How many places had become free when it tried last, or was called.
    tried: u64,
    /// Whether it was called and has yet to come.
    called: bool,
    waker: Waker,
}

impl Door {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Whether somebody waits for room in the queue itself.
    pub(crate) const fn wants_room(&self) -> bool {
        self.for_room > 0
    }

    /// Somebody waits, where it stood if it waited before; it has tried in vain, or was not let try. Whether it had been
    /// called.
    pub(crate) fn wait(&mut self, number: u64, tenant: &str, for_room: bool, tried: bool, waker: &Waker) -> bool {
        let tried = self.freed.saturating_sub(u64::from(!tried));
        let at = match self.tenants.iter().position(|(name, _)| **name == *tenant) {
            Some(at) => at,
            None => {
                self.tenants.push_back((tenant.into(), VecDeque::new()));
                self.tenants.len() - 1
            }
        };
        let line = &mut self.tenants[at].1;
        self.for_room += usize::from(for_room);
        let waits = Waiting { number, for_room, tried, called: false, waker: waker.clone() };
        if let Some(waiting) = line.iter_mut().find(|waiting| waiting.number == number) {
            self.for_room -= usize::from(waiting.for_room);
            return std::mem::replace(waiting, waits).called;
        }
        line.push_back(waits);
        self.len += 1;
        false
    }

    /// Somebody waits no more. Whether it had been called and did not come.
    pub(crate) fn leave(&mut self, number: u64) -> bool {
        for at in 0..self.tenants.len() {
            let line = &mut self.tenants[at].1;
            if let Some(place) = line.iter().position(|waiting| waiting.number == number) {
                let waiting = line.remove(place).expect("it was just found");
                self.for_room -= usize::from(waiting.for_room);
                self.len -= 1;
                if line.is_empty() {
                    self.tenants.remove(at);
                }
                return waiting.called;
            }
        }
        false
    }

    pub(crate) fn freed(&mut self) {
        self.freed += 1;
    }

    /// The next who has not tried since a place became free; its tenant's next turn comes after all others'.
    pub(crate) fn call(&mut self) -> Option<Waker> {
        let freed = self.freed;
        let may_try = |waiting: &Waiting| !waiting.called && waiting.tried < freed;
        let at = self.tenants.iter().position(|(_, line)| line.iter().any(may_try))?;
        let (tenant, mut line) = self.tenants.remove(at).expect("it was just found");
        let called = line.iter_mut().find(|waiting| may_try(waiting)).map(|waiting| {
            (waiting.tried, waiting.called) = (freed, true);
            waiting.waker.clone()
        });
        self.tenants.push_back((tenant, line));
        called
    }

    /// Everybody, who need not come again.
    pub(crate) fn clear(&mut self) -> impl Iterator<Item = Waker> {
        self.len = 0;
        self.for_room = 0;
        std::mem::take(&mut self.tenants).into_iter().flat_map(|(_, line)| line).map(|waiting| waiting.waker)
    }
}
