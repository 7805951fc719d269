//! Whether a key is asked at all: its guard and its parking, and everybody who has to hear of a change.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bellwether_core::fact::KeyState;
use bellwether_core::limiter::Refused;
use bellwether_core::{Fact, Observer, ProviderError, Timestamp};
use tokio::select;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::clock;
use crate::guard::{Guard, Standing, Trial, Verdict};
use crate::line::Line;
use crate::parking::{Parked, Parking, Says, parks};
use crate::refusal::NoTurn;

/// Whether a key is asked at all.
#[derive(Debug)]
pub(crate) struct Key {
    name: Arc<str>,
    origin: Instant,
    guard: Option<Arc<dyn Guard>>,
    parking: Mutex<Parking>,
    /// Whether the key is parked, to be read without the lock.
    parked: AtomicBool,
    told: Mutex<Told>,
    /// Whether the key was told to be closed, to be read without the lock.
    quiet: AtomicBool,
    /// Woken at every change.
    changed: Notify,
    line: Arc<Line>,
    observer: Arc<dyn Observer>,
}

/// What everybody was told of a key, or is about to be.
///
/// Invariant: while `telling`, one thread tells the news in their order; whoever has more leaves it there.
#[derive(Debug)]
struct Told {
    state: KeyState,
    news: VecDeque<(KeyState, Option<Duration>)>,
    telling: bool,
}

/// The right of one call to be sent; what became of it is told once.
#[derive(Debug)]
pub(crate) struct Passage {
    key: Arc<Key>,
    trial: Option<Box<dyn Trial>>,
    /// Whether it finds out for all whether a parked key is well again.
    probe: bool,
    /// Whether it is sent to see how the key is, which nobody knows before.
    looks: bool,
}

enum Hindrance {
    Parked(Parked),
    Probing,
    Until(Timestamp),
}

// === impl Key ===

impl Key {
    pub(crate) fn new(
        name: Arc<str>,
        guard: Option<Arc<dyn Guard>>,
        line: Arc<Line>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self {
            name,
            origin: clock::now(),
            guard,
            parking: Mutex::default(),
            parked: AtomicBool::new(false),
            told: Mutex::new(Told { state: KeyState::Closed, news: VecDeque::new(), telling: false }),
            quiet: AtomicBool::new(true),
            changed: Notify::new(),
            line,
            observer,
        }
    }

    /// Waits until the key is asked, and takes the right of one call to do so.
    pub(crate) async fn admit(self: &Arc<Self>, until: Option<Instant>, brief: bool) -> Result<Passage, NoTurn> {
        loop {
            let changed = self.changed.notified();
            let now = clock::now();
            match self.try_admit(self.stamp(now)) {
                Ok(passage) => return Ok(passage),
                Err(Hindrance::Parked(parked)) => return Err(NoTurn::Parked(parked)),
                Err(Hindrance::Probing) if brief => return Err(NoTurn::Probing),
                Err(Hindrance::Probing) => changed.await,
                Err(Hindrance::Until(at)) => {
                    let wait = at.since(self.stamp(now));
                    if brief {
                        return Err(NoTurn::Broken(wait));
                    }
                    let at = clock::after(now, wait);
                    if until.is_some_and(|until| until <= at) {
                        return Err(NoTurn::Late(Refused { wait: Some(wait) }));
                    }
                    clock::within(Some(at), changed).await;
                }
            }
        }
    }

    /// Waits for `future`, as long as the key is not parked.
    pub(crate) async fn unless_parked<T>(&self, future: impl Future<Output = T>) -> Result<T, NoTurn> {
        let mut future = std::pin::pin!(future);
        loop {
            let changed = self.changed.notified();
            if let Some(parked) = self.look() {
                return Err(NoTurn::Parked(parked));
            }
            select! {
                biased;
                answer = &mut future => return Ok(answer),
                () = changed => {}
            }
        }
    }

    /// What those who come now are told, if the key is parked.
    pub(crate) fn look(&self) -> Option<Parked> {
        if !self.parked.load(Ordering::Acquire) {
            return None;
        }
        self.parking().look(self.stamp(clock::now()))
    }

    /// How much longer the key is not asked because it keeps failing.
    pub(crate) fn broken(&self) -> Option<Duration> {
        match self.guard.as_ref()?.standing() {
            Standing::Open { until } => Some(until.since(self.stamp(clock::now()))).filter(|wait| !wait.is_zero()),
            Standing::Closed | Standing::HalfOpen => None,
        }
    }

    /// Whether nothing is known against the key.
    pub(crate) fn is_well(&self) -> bool {
        let closed = self.guard.as_ref().is_none_or(|guard| guard.standing() == Standing::Closed);
        closed && !self.parked.load(Ordering::Acquire)
    }

    /// Whether a call that will cost so many tokens may be tried again now.
    pub(crate) fn may_retry(&self, cost: u64, timed_out: bool) -> bool {
        self.guard.as_ref().is_none_or(|guard| guard.may_retry(cost, timed_out, self.stamp(clock::now())))
    }

    /// Ends a parking, whatever the provider said.
    pub(crate) fn reopen(&self) {
        self.parking().reopen();
        self.note();
    }

    fn try_admit(self: &Arc<Self>, now: Timestamp) -> Result<Passage, Hindrance> {
        let parking = self.parked.load(Ordering::Acquire).then(|| self.parking());
        let probe = match parking.as_ref().map_or(Says::Free, |parking| parking.says(now)) {
            Says::Free => false,
            Says::Probe => true,
            Says::Parked(parked) => return Err(Hindrance::Parked(parked)),
            Says::Probing => return Err(Hindrance::Probing),
        };
        let trial = self.guard.as_ref().map(|guard| guard.admit(now)).transpose();
        if let Some(mut parking) = parking.filter(|_| probe && trial.is_ok()) {
            parking.probe();
        }
        self.note();
        let looks = self.guard.as_ref().is_some_and(|guard| guard.standing() != Standing::Closed);
        Ok(Passage { key: Arc::clone(self), trial: trial.map_err(Hindrance::Until)?, probe, looks })
    }

    fn refused(&self, error: &ProviderError, probe: bool) {
        if self.parking().refused(error, probe, self.stamp(clock::now())) {
            self.note();
            if let Some(parked) = self.look() {
                self.line.turn_away(|_| Some(NoTurn::Parked(parked.clone())));
            }
        }
    }

    /// A trial or a probe has ended: there may be room for another.
    fn ended(&self) {
        self.note();
        if !self.quiet.load(Ordering::Acquire) {
            self.changed.notify_waiters();
        }
    }

    /// Tells everybody if the key stands otherwise than before.
    fn note(&self) {
        let standing = self.guard.as_ref().map_or(Standing::Closed, |guard| guard.standing());
        if standing == Standing::Closed && self.quiet.load(Ordering::Acquire) && !self.parking().is_parked() {
            return;
        }
        let mut told = self.told();
        // Looked at under the lock, so that nobody puts an older look over a newer one.
        let (state, wait) = self.stands();
        self.quiet.store(state == KeyState::Closed, Ordering::Release);
        if told.state == state {
            return;
        }
        told.state = state;
        told.news.push_back((state, wait));
        if std::mem::replace(&mut told.telling, true) {
            return;
        }
        while let Some((state, wait)) = told.news.pop_front() {
            // Whoever hears it may well change the key again.
            drop(told);
            self.changes(state, wait);
            told = self.told();
        }
        told.telling = false;
    }

    /// How the key stands, and for how long if that is known.
    fn stands(&self) -> (KeyState, Option<Duration>) {
        let now = self.stamp(clock::now());
        let parking = self.parking();
        let standing = self.guard.as_ref().map_or(Standing::Closed, |guard| guard.standing());
        self.parked.store(parking.is_parked(), Ordering::Release);
        match (parking.look(now), standing) {
            (Some(parked), _) => (KeyState::Parked, parked.wait),
            (None, Standing::Open { until }) => (KeyState::Open, Some(until.since(now))),
            (None, Standing::Closed) if !parking.is_parked() => (KeyState::Closed, None),
            (None, Standing::Closed | Standing::HalfOpen) => (KeyState::HalfOpen, None),
        }
    }

    /// Tells what happens in front of the key.
    pub(crate) fn tell(&self, fact: &Fact) {
        self.observer.observe(fact);
    }

    fn changes(&self, state: KeyState, wait: Option<Duration>) {
        self.changed.notify_waiters();
        self.tell(&Fact::KeyChanged { provider: Arc::clone(&self.name), state, wait });
        if state == KeyState::Open {
            let wait = wait.unwrap_or_default();
            self.line.turn_away(|waiting| waiting.brief.then_some(NoTurn::Broken(wait)));
        }
    }

    fn parking(&self) -> MutexGuard<'_, Parking> {
        self.parking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stamp(&self, at: Instant) -> Timestamp {
        Timestamp::from(at.saturating_duration_since(self.origin))
    }
}

// === impl Passage ===

impl Passage {
    /// The head of the answer has come: the provider is well.
    pub(crate) fn fine(&mut self) {
        self.judge(Verdict::Fine);
        if std::mem::take(&mut self.probe) {
            self.key.reopen();
        }
    }

    /// The call was answered, at this cost.
    pub(crate) fn succeeded(&mut self, cost: u64) {
        self.fine();
        if let Some(guard) = &self.key.guard {
            guard.succeeded(cost, self.key.stamp(clock::now()));
        }
    }

    /// The call failed.
    pub(crate) fn failed(&mut self, error: &ProviderError) {
        let verdict = Verdict::of(error.kind);
        self.judge(verdict);
        if parks(error.kind) {
            let probe = std::mem::take(&mut self.probe);
            self.key.refused(error, probe);
        } else if verdict == Verdict::Fine {
            self.fine();
        }
    }

    /// Whether a failure of the call would tell of the key and not of the call.
    pub(crate) const fn looks(&self) -> bool {
        self.looks
    }

    fn judge(&mut self, verdict: Verdict) {
        if let Some(trial) = self.trial.take() {
            trial.judge(verdict, self.key.stamp(clock::now()));
            self.key.ended();
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.judge(Verdict::Unknown);
        if self.probe {
            self.key.parking().unanswered();
            self.key.ended();
        }
    }
}
