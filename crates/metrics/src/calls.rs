//! What facts about calls mean in figures.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::error::Phase;
use bellwether_core::fact::HedgeEnd;
use bellwether_core::{Call, Class, ErrorKind, Fact, RunId};
use metrics::counter;

use crate::fairness::Shares;
use crate::kinds::{Kind, Kinds};
use crate::mix::Mix;
use crate::turns::Run;
use crate::waiting::Line;
use crate::{clock, names};

/// The calls that wait or are under way, and the runs that they belong to.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) kinds: Kinds,
    under_way: Flight,
    rooms: [Option<Room>; Class::ALL.len()],
    /// The runs that are on.
    pub(crate) runs: HashMap<RunId, Run>,
}

/// The calls under way, by their place in memory, which a call keeps until its end.
#[derive(Debug, Default)]
struct Flight {
    /// The one that came last. What is said of a call is often said at once, and where calls come alone it is all there is.
    last: Option<(usize, UnderWay)>,
    others: HashMap<usize, UnderWay, BuildHasherDefault<Mix>>,
}

/// What is known of all calls of one class.
#[derive(Debug)]
struct Room {
    line: Line,
    shares: Shares,
}

#[derive(Clone, Copy, Debug)]
struct UnderWay {
    kind: usize,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Stands here in the line of its class.
    Queued(u64),
    Sent,
}

impl Calls {
    pub(crate) fn observe(&mut self, fact: &Fact) {
        match fact {
            Fact::CallAbandoned { call, admitted } => {
                let kind = self.over(call, "abandoned");
                if *admitted {
                    wasted(kind, call, "abandoned");
                }
            }
            Fact::CallAdmitted { call, waited, overhead } => self.admitted(call, *waited, *overhead),
            Fact::CallCompleted { call, usage, took, first_token } => {
                if let Some(kind) = self.left(call) {
                    kind.answered(call, usage, *took, *first_token);
                }
            }
            Fact::CallFailed { call, kind: why, .. } => {
                let kind = self.over(call, why.as_str());
                if may_have_run(*why) {
                    wasted(kind, call, "failed");
                }
            }
            Fact::CallQueued { call } => self.queued(call),
            Fact::CallRefused { call, kind } => {
                self.over(call, "refused");
                counter!(names::REFUSED, "kind" => kind.as_str()).increment(1);
            }
            Fact::CallThrottled { call, .. } => {
                if let Some(kind) = self.over(call, "throttled") {
                    counter!(names::THROTTLED, "model" => kind.model(), "provider" => kind.provider()).increment(1);
                }
            }
            fact => self.aside(fact),
        }
    }

    /// What happens to a call and leaves it where it is.
    #[cold]
    fn aside(&mut self, fact: &Fact) {
        let (Fact::CallHedged { call, .. }
        | Fact::CallRerouted { call, .. }
        | Fact::CallRetried { call, .. }
        | Fact::CallWaiting { call, .. }
        | Fact::RetryDenied { call }) = fact
        else {
            return;
        };
        let place = self.kinds.of(call);
        let Some(kind) = self.kinds.at(place).map(|kind| &*kind) else { return };
        let (model, provider) = (kind.model(), kind.provider());
        if let Fact::CallHedged { end: HedgeEnd::Lost | HedgeEnd::Won, .. } = fact {
            // Of two that were sent, one was cut off.
            wasted(Some(kind), call, "hedged");
        }
        match fact {
            Fact::CallHedged { end, .. } => {
                counter!(names::HEDGES, "model" => model, "provider" => provider, "result" => end.as_str())
            }
            Fact::CallRerouted { kind, .. } => {
                counter!(names::FALLBACKS, "kind" => kind.as_str(), "model" => model, "provider" => provider)
            }
            Fact::CallRetried { kind, .. } => counter!(names::RETRIES, "kind" => kind.as_str(), "model" => model),
            Fact::CallWaiting { reason, .. } => {
                counter!(names::QUOTA_WAITS, "provider" => provider, "reason" => reason.as_str())
            }
            _ => counter!(names::RETRIES_DENIED, "model" => model, "provider" => provider),
        }
        .increment(1);
    }

    fn queued(&mut self, call: &Arc<Call>) {
        let kind = self.kinds.of(call);
        let now = clock::now();
        let room = self.room(call);
        room.shares.tick(now);
        let stage = Stage::Queued(room.line.join(now, call.demand.tokens()));
        self.kinds.waits(kind, true);
        self.under_way.insert(call, UnderWay { kind, stage });
        if let Some(run) = call.context.run.as_ref().and_then(|run| self.runs.get_mut(run)) {
            run.turn(&call.context, now);
        }
    }

    fn admitted(&mut self, call: &Arc<Call>, waited: Duration, overhead: Duration) {
        let known = self.under_way.get_mut(call);
        let before = known.map(|known| (known.kind, mem::replace(&mut known.stage, Stage::Sent)));
        let room = self.room(call);
        room.shares.admitted(call, waited);
        let kind = if let Some((kind, stage)) = before {
            if room.leave(call, stage) {
                self.kinds.waits(kind, false);
            }
            kind
        } else {
            let kind = self.kinds.of(call);
            self.under_way.insert(call, UnderWay { kind, stage: Stage::Sent });
            kind
        };
        if let Some((kind, sent)) = self.kinds.with_sent(kind) {
            sent.begin(call.demand.tokens());
            kind.wait.record(waited);
            kind.overhead.record(overhead);
        }
        if let Some(run) = &call.context.run
            && let Some(run) = self.runs.get_mut(run)
        {
            run.calls = run.calls.saturating_add(1);
        }
    }

    /// A call is no longer there, however that came.
    fn left(&mut self, call: &Arc<Call>) -> Option<&mut Kind> {
        let place = match self.under_way.remove(call) {
            Some(UnderWay { kind, stage: Stage::Sent }) => {
                let (kind, sent) = self.kinds.with_sent(kind)?;
                sent.end(call.demand.tokens());
                return Some(kind);
            }
            Some(UnderWay { kind, stage }) => {
                if self.room(call).leave(call, stage) {
                    self.kinds.waits(kind, false);
                }
                kind
            }
            None => self.kinds.of(call),
        };
        self.kinds.at(place)
    }

    #[cold]
    fn over(&mut self, call: &Arc<Call>, outcome: &'static str) -> Option<&Kind> {
        let kind = self.left(call)?;
        let (model, provider, role) = (kind.model(), kind.provider(), kind.role());
        counter!(names::CALLS, "model" => model, "outcome" => outcome, "provider" => provider, "role" => role)
            .increment(1);
        Some(kind)
    }

    fn room(&mut self, call: &Call) -> &mut Room {
        let class = call.context.class;
        let room = || Room { line: Line::new(class), shares: Shares::new(class, clock::now()) };
        self.rooms[class as usize].get_or_insert_with(room)
    }
}

impl Flight {
    fn insert(&mut self, call: &Arc<Call>, known: UnderWay) {
        let name = name(call);
        match self.last.replace((name, known)) {
            Some((other, known)) if other != name => {
                self.others.insert(other, known);
            }
            _ => {}
        }
    }

    fn get_mut(&mut self, call: &Arc<Call>) -> Option<&mut UnderWay> {
        let name = name(call);
        match &mut self.last {
            Some((last, known)) if *last == name => Some(known),
            _ => self.others.get_mut(&name),
        }
    }

    fn remove(&mut self, call: &Arc<Call>) -> Option<UnderWay> {
        let name = name(call);
        match self.last.take_if(|(last, _)| *last == name) {
            Some((_, known)) => Some(known),
            None => self.others.remove(&name),
        }
    }
}

impl Room {
    /// Lets a call go from where it stood, if it did; whether it did.
    fn leave(&mut self, call: &Call, stage: Stage) -> bool {
        let Stage::Queued(place) = stage else { return false };
        self.line.leave(place, call.demand.tokens());
        true
    }
}

/// A call keeps its place in memory until its end.
fn name(call: &Arc<Call>) -> usize {
    Arc::as_ptr(call).addr()
}

/// Counts what a call that brought no answer may be billed for.
fn wasted(kind: Option<&Kind>, call: &Call, reason: &'static str) {
    if let Some(kind) = kind {
        counter!(names::WASTED, "model" => kind.model(), "reason" => reason).increment(call.demand.tokens());
    }
}

/// Whether the model may have worked on a call that failed in this way.
const fn may_have_run(kind: ErrorKind) -> bool {
    match kind {
        ErrorKind::DeadlineExceeded | ErrorKind::Decode | ErrorKind::Truncated | ErrorKind::Upstream => true,
        ErrorKind::Timeout(phase) => !matches!(phase, Phase::Connect),
        _ => false,
    }
}
