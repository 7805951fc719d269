//! What the observer is told about one call.

use std::sync::Arc;
use std::time::Duration;

use bellwether_core::fact::HedgeEnd;
use bellwether_core::{Call, CallContext, ErrorKind, Fact, Observer, Usage};
use tokio::time::Instant;

use crate::clock;

/// Tells the observer about one call, step by step, and on drop that it was abandoned.
///
/// Invariant: the facts of a call are a sentence of this grammar, whatever happens:
///
/// ```text
/// stay = Queued [Waiting] ( Refused | Abandoned(not admitted) | Admitted {Hedged} end )
/// end  = Completed | Abandoned(admitted) | Failed | Failed Denied | Failed [Denied] Retried stay | Throttled stay
/// ```
///
/// `Waiting` is told by the one task at the gate, and may come late if its call goes away on another thread.
#[derive(Debug)]
pub(crate) struct Story {
    observer: Arc<dyn Observer>,
    call: Arc<Call>,
    stage: Stage,
}

/// A second try beside the first. What came of it is told on drop, so that a caller who goes away hides nothing.
#[derive(Debug)]
pub(crate) struct Hedge<'a> {
    story: &'a Story,
    /// What came of it so far.
    pub(crate) end: HedgeEnd,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Waits for its turn since then.
    Queued(Instant),
    /// Is being sent since then.
    Sent(Instant),
    /// Will queue again.
    Between,
    /// Nothing was told yet, or the end.
    Silent,
}

impl Story {
    pub(crate) fn new(observer: Arc<dyn Observer>, call: Call) -> Self {
        Self { observer, call: Arc::new(call), stage: Stage::Silent }
    }

    pub(crate) fn queued(&mut self) {
        if matches!(self.stage, Stage::Between) {
            Arc::make_mut(&mut self.call).context.attempt += 1;
        }
        self.stage = Stage::Queued(clock::now());
        self.tell(Fact::CallQueued { call: self.call() });
    }

    pub(crate) fn refused(&mut self, kind: ErrorKind) {
        self.stage = Stage::Silent;
        self.tell(Fact::CallRefused { call: self.call(), kind });
    }

    /// Its turn came at `turn`.
    pub(crate) fn admitted(&mut self, turn: Option<Instant>) {
        let now = clock::now();
        let waited = self.since(now);
        let overhead = turn.map_or(Duration::ZERO, |turn| now.saturating_duration_since(turn));
        self.stage = Stage::Sent(now);
        self.tell(Fact::CallAdmitted { call: self.call(), waited, overhead });
    }

    pub(crate) fn completed(&mut self, usage: Usage, first: Option<Instant>) {
        let took = self.since(clock::now());
        let first_token = first.map(|first| self.since(first));
        self.stage = Stage::Silent;
        self.tell(Fact::CallCompleted { call: self.call(), usage, took, first_token });
    }

    pub(crate) fn throttled(&mut self, retry_after: Option<Duration>) {
        self.stage = Stage::Between;
        self.tell(Fact::CallThrottled { call: self.call(), retry_after });
    }

    pub(crate) fn failed(&mut self, kind: ErrorKind) {
        let took = self.since(clock::now());
        self.stage = Stage::Silent;
        self.tell(Fact::CallFailed { call: self.call(), kind, took });
    }

    /// It is sent once more beside itself; tells what came of that when it is dropped.
    pub(crate) const fn hedged(&self) -> Hedge<'_> {
        Hedge { story: self, end: HedgeEnd::Lost }
    }

    /// Others have used up what may be spent on trying again.
    pub(crate) fn denied(&self) {
        self.tell(Fact::RetryDenied { call: self.call() });
    }

    pub(crate) fn retried(&mut self, kind: ErrorKind, delay: Duration) {
        self.stage = Stage::Between;
        self.tell(Fact::CallRetried { call: self.call(), kind, delay });
    }

    /// Who asks, for what, for the how-manieth time.
    pub(crate) fn context(&self) -> &CallContext {
        &self.call.context
    }

    pub(crate) fn named(&self) -> &Call {
        &self.call
    }

    pub(crate) fn call(&self) -> Arc<Call> {
        Arc::clone(&self.call)
    }

    /// From when it queued or was sent until `now`.
    fn since(&self, now: Instant) -> Duration {
        match self.stage {
            Stage::Queued(since) | Stage::Sent(since) => now.saturating_duration_since(since),
            Stage::Between | Stage::Silent => Duration::ZERO,
        }
    }

    fn tell(&self, fact: Fact) {
        self.observer.observe(&fact);
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        if matches!(self.stage, Stage::Between) {
            // It gives up the place that it was about to take, so that every retry is followed by its queueing.
            self.queued();
        }
        match self.stage {
            Stage::Queued(_) => self.tell(Fact::CallAbandoned { call: self.call(), admitted: false }),
            Stage::Sent(_) => self.tell(Fact::CallAbandoned { call: self.call(), admitted: true }),
            Stage::Between | Stage::Silent => {}
        }
    }
}

// === impl Hedge ===

impl Drop for Hedge<'_> {
    fn drop(&mut self) {
        self.story.tell(Fact::CallHedged { call: self.story.call(), end: self.end });
    }
}
