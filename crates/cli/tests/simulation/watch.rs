//! The laws, held against every fact as it is told.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bellwether_budget::{Account, Budgeted, Caps, Scope};
use bellwether_core::{Call, CallContext, Fact, Observer, RunId, TaskState};
use tokio::time::Instant;

/// Hears every fact, remembers the story and what is wrong with it.
#[derive(Debug)]
pub(crate) struct Watch {
    began: Instant,
    caps: Caps,
    budget: OnceLock<Arc<Budgeted>>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    hasher: DefaultHasher,
    story: Vec<String>,
    broken: Vec<String>,
    calls: HashMap<String, Stage>,
    tasks: BTreeMap<(RunId, String), TaskState>,
    running: BTreeMap<RunId, bool>,
    admitted: u64,
    completed: u64,
}

/// Where a call is. Its facts are a sentence of the grammar that dispatch promises.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// It will queue again.
    Between,
    Queued,
    Sent,
}

impl Watch {
    pub(crate) fn new(caps: Caps) -> Self {
        Self { began: Instant::now(), caps, budget: OnceLock::new(), seen: Mutex::default() }
    }

    /// Looks into this budget at every fact.
    pub(crate) fn look_into(&self, budget: Arc<Budgeted>) {
        self.budget.set(budget).expect("there is one budget");
    }

    /// Notes what somebody else found wrong.
    pub(crate) fn broken(&self, what: impl IntoIterator<Item = String>) {
        self.seen().broken.extend(what);
    }

    /// Says in the end how many calls were admitted and answered, the story, its hash, and what is wrong with it.
    pub(crate) fn end(&self) -> (u64, u64, Vec<String>, u64, Vec<String>) {
        let mut seen = self.seen();
        let seen = &mut *seen;
        let open: Vec<&String> = seen.calls.keys().collect();
        if !open.is_empty() {
            seen.broken.push(format!("calls that never ended: {open:?}"));
        }
        let story = std::mem::take(&mut seen.story);
        (seen.admitted, seen.completed, story, seen.hasher.finish(), std::mem::take(&mut seen.broken))
    }

    pub(crate) fn account(&self) -> Account {
        let context = CallContext::default();
        self.budget.get().map(|budget| budget.account(&Scope::Everything, &context)).unwrap_or_default()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Spent and reserved together never exceed a cap, and neither falls below nothing.
    fn within_budget(&self) -> Option<String> {
        let Account { spent, reserved } = self.account();
        let above = |cap: Option<u64>, sum: u64| cap.is_some_and(|cap| sum > cap);
        let broken = above(self.caps.calls, spent.calls.saturating_add(reserved.calls))
            || above(self.caps.tokens, spent.tokens.saturating_add(reserved.tokens))
            || above(
                self.caps.usd.map(|cap| cap.as_nanos()),
                spent.usd.as_nanos().saturating_add(reserved.usd.as_nanos()),
            );
        broken.then(|| format!("{spent:?} and {reserved:?} are above {:?}", self.caps))
    }
}

impl Observer for Watch {
    fn observe(&self, fact: &Fact) {
        let at = self.began.elapsed();
        let above = self.within_budget();
        let mut seen = self.seen();
        let line = format!("{:>11.6} {}", at.as_secs_f64(), line(fact));
        seen.hasher.write(line.as_bytes());
        seen.story.push(line);
        seen.broken.extend(above);
        seen.hear(fact);
    }
}

impl Seen {
    fn hear(&mut self, fact: &Fact) {
        match fact {
            Fact::CallQueued { call } => self.call(call, &[None, Some(Stage::Between)], Some(Stage::Queued)),
            Fact::CallAdmitted { call, .. } => {
                self.admitted += 1;
                self.call(call, &[Some(Stage::Queued)], Some(Stage::Sent));
            }
            Fact::CallRefused { call, .. } => self.call(call, &[Some(Stage::Queued)], None),
            Fact::CallAbandoned { call, admitted } => {
                let stage = if *admitted { Stage::Sent } else { Stage::Queued };
                self.call(call, &[Some(stage)], None);
            }
            Fact::CallCompleted { call, .. } => {
                self.completed += 1;
                self.call(call, &[Some(Stage::Sent)], None);
            }
            Fact::CallFailed { call, .. } => self.call(call, &[Some(Stage::Sent)], None),
            // It follows the failure that it answers.
            Fact::CallRetried { call, .. } => self.call(call, &[None], Some(Stage::Between)),
            Fact::CallThrottled { call, .. } => self.call(call, &[Some(Stage::Sent)], Some(Stage::Between)),
            Fact::RunStarted { run, .. } => {
                self.tasks.retain(|(of, _), _| of != run);
                self.running.insert(run.clone(), true);
            }
            Fact::RunFinished { run, .. } => {
                if self.running.insert(run.clone(), false) != Some(true) {
                    self.broken.push(format!("run {run} ended without a beginning"));
                }
                let restless = self.tasks.iter().filter(|((of, _), state)| of == run && !state.is_final());
                let restless: Vec<String> = restless.map(|((_, task), state)| format!("{task} {state:?}")).collect();
                if !restless.is_empty() {
                    self.broken.push(format!("run {run} ended before {restless:?}"));
                }
            }
            Fact::TaskMoved { run, task, from, to, .. } => {
                let before = self.tasks.insert((run.clone(), task.to_string()), *to);
                if before != *from || before.is_some_and(TaskState::is_final) {
                    self.broken.push(format!("{run}/{task} was {before:?}, and went from {from:?} to {to:?}"));
                }
            }
            _ => {}
        }
    }

    /// A call goes from one of these stages to another; `None` is the beginning and the end.
    fn call(&mut self, call: &Arc<Call>, from: &[Option<Stage>], to: Option<Stage>) {
        let key = call.context.idempotency_key.as_deref().unwrap_or_default();
        let before = match to {
            Some(to) => self.calls.insert(key.to_owned(), to),
            None => self.calls.remove(key),
        };
        if !from.contains(&before) {
            self.broken.push(format!("call {key} was {before:?} and is {to:?}"));
        }
    }
}

/// A line of the story. Deadlines, which are moments of the real clock, are not in it; all else repeats itself.
fn line(fact: &Fact) -> String {
    let of = |call: &Call| {
        let context = &call.context;
        format!("{} #{}", context.idempotency_key.as_deref().unwrap_or_default(), context.attempt)
    };
    match fact {
        Fact::CallAbandoned { call, admitted } => format!("abandoned {} {admitted}", of(call)),
        Fact::CallAdmitted { call, waited, .. } => format!("admitted {} after {waited:?}", of(call)),
        Fact::CallCompleted { call, usage, took, first_token } => {
            format!("completed {} after {took:?}, {first_token:?}, {} tokens", of(call), usage.tokens())
        }
        Fact::CallFailed { call, kind, took } => format!("failed {} {kind:?} after {took:?}", of(call)),
        Fact::CallQueued { call } => format!("queued {}", of(call)),
        Fact::CallRefused { call, kind } => format!("refused {} {kind:?}", of(call)),
        Fact::CallRetried { call, kind, delay } => format!("retried {} {kind:?} in {delay:?}", of(call)),
        Fact::CallThrottled { call, retry_after } => format!("throttled {} {retry_after:?}", of(call)),
        Fact::CallWaiting { call, reason, wait } => format!("waits {} for {reason:?} {wait:?}", of(call)),
        other => format!("{other:?}"),
    }
}
