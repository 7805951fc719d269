//! What each fact means in figures.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bellwether_core::fact::{KeyState, TaskState};
use bellwether_core::{Fact, Observer, RunId, TaskId};
use metrics::{SharedString, counter, gauge, histogram};

use crate::calls::Calls;
use crate::caps::Cap;
use crate::kinds::float;
use crate::names;
use crate::turns::Run;

/// Counts facts through the `metrics` facade.
///
/// Label values come from closed sets, except for the names of models, providers, quotas, roles, teams and tiers: of each the first
/// hundred are kept, and further ones become `other`. Ids and texts are never labels.
///
/// Whatever every call has is counted by handles that are looked up once for each kind of call, not for each fact. An
/// observer keeps to the recorder that it found when it first heard of such a call: install that first.
#[derive(Debug, Default)]
pub struct MetricsObserver(Mutex<Heard>);

#[derive(Debug, Default)]
struct Heard {
    calls: Calls,
    quotas: Cap,
    tiers: Cap,
}

impl MetricsObserver {
    /// An observer that has heard nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is no call's matter, and rare beside them.
    #[cold]
    fn aside(&self, fact: &Fact) {
        match fact {
            Fact::KeyChanged { provider, state, .. } => self.heard().key(provider, *state),
            Fact::MessageDied { what, .. } => counter!(names::MESSAGES_DIED, "what" => *what).increment(1),
            Fact::MessageSent { what, .. } => counter!(names::MESSAGES, "what" => *what).increment(1),
            Fact::PlanAccepted { run, degraded, .. } => {
                self.heard().turns_over(run, None);
                counter!(names::PLANS, "degraded" => truth(*degraded)).increment(1);
            }
            Fact::PlanRejected { run, .. } => {
                self.heard().turns_over(run, None);
                counter!(names::PLAN_REJECTED).increment(1);
            }
            Fact::RouteDecided { tier, explored, .. } => {
                let tier = label(self.heard().tiers.value(tier));
                counter!(names::ROUTE_CHOICE, "explored" => truth(*explored), "tier" => tier).increment(1);
            }
            Fact::RunFinished { .. } | Fact::RunStarted { .. } => self.heard().run(fact),
            Fact::TaskAudited { run, task, agreed } => {
                self.heard().turns_over(run, Some(task));
                counter!(names::AUDITS, "agreed" => truth(*agreed)).increment(1);
            }
            Fact::TaskMoved { run, task, from, to, round, .. } => {
                let mut heard = self.heard();
                heard.turns_over(run, Some(task));
                moved(heard.calls.runs.get_mut(run), *from, *to, *round);
            }
            Fact::TasksSpawned { tasks, .. } => counter!(names::TASKS_SPAWNED).increment(tasks.len() as u64),
            Fact::TaskReviewed { score, accepted, .. } => {
                histogram!(names::VERDICT_SCORE, "accepted" => truth(*accepted)).record(*score);
            }
            Fact::LimitChanged { quota, what, limit } => {
                let quota = self.heard().quota(quota);
                gauge!(names::LIMIT, "dimension" => what.as_str(), "quota" => quota).set(float(*limit));
            }
            Fact::QuotaPaused { quota, wait } => {
                histogram!(names::PAUSE, "quota" => self.heard().quota(quota)).record(*wait);
            }
            Fact::TicketShed { class, expired, .. } => {
                let reason = if *expired { "expired" } else { "room" };
                counter!(names::TICKETS_SHED, "class" => class.as_str(), "reason" => reason).increment(1);
            }
            _ => {}
        }
    }
}

impl Heard {
    fn quota(&mut self, quota: &Arc<str>) -> SharedString {
        label(self.quotas.value(quota))
    }

    fn key(&mut self, provider: &Arc<str>, state: KeyState) {
        let provider = label(self.calls.kinds.providers.value(provider));
        counter!(names::KEY_CHANGES, "provider" => provider.clone(), "state" => state.as_str()).increment(1);
        for &each in KeyState::ALL {
            let now = f64::from(u8::from(each == state));
            gauge!(names::KEY_STATE, "provider" => provider.clone(), "state" => each.as_str()).set(now);
        }
    }

    /// What agents did for a task, or for the run as a whole, came to something.
    fn turns_over(&mut self, run: &RunId, task: Option<&TaskId>) {
        if let Some(run) = self.calls.runs.get_mut(run) {
            run.end(task, &mut self.calls.kinds.roles);
        }
    }

    fn run(&mut self, fact: &Fact) {
        match fact {
            Fact::RunStarted { run, .. } => {
                // One that is resumed may have been dropped before without a word.
                match self.calls.runs.insert(run.clone(), Run::default()) {
                    Some(before) => before.leave(),
                    None => gauge!(names::RUNS_IN_PROGRESS).increment(1),
                }
            }
            Fact::RunFinished { run, team, outcome, took } => {
                self.turns_over(run, None);
                if let Some(run) = self.calls.runs.remove(run) {
                    histogram!(names::RUN_CALLS).record(f64::from(run.calls));
                    gauge!(names::RUNS_IN_PROGRESS).decrement(1);
                    run.leave();
                }
                let team = label(self.calls.kinds.teams.value(team));
                counter!(names::RUNS, "outcome" => outcome.as_str(), "team" => team).increment(1);
                histogram!(names::RUN_DURATION, "outcome" => outcome.as_str()).record(*took);
            }
            _ => {}
        }
    }
}

impl Observer for MetricsObserver {
    fn observe(&self, fact: &Fact) {
        match fact {
            Fact::CallAbandoned { .. }
            | Fact::CallAdmitted { .. }
            | Fact::CallCompleted { .. }
            | Fact::CallFailed { .. }
            | Fact::CallHedged { .. }
            | Fact::CallQueued { .. }
            | Fact::CallRefused { .. }
            | Fact::CallRerouted { .. }
            | Fact::CallRetried { .. }
            | Fact::CallThrottled { .. }
            | Fact::CallWaiting { .. }
            | Fact::RetryDenied { .. } => self.heard().calls.observe(fact),
            fact => self.aside(fact),
        }
    }
}

/// Counts a task where it is. A run that is on keeps count, for what it leaves undone is under way no more.
fn moved(run: Option<&mut Run>, from: Option<TaskState>, to: TaskState, round: u32) {
    if let Some(run) = run {
        run.moved(from, to);
    }
    if let Some(from) = from.filter(|from| !from.is_final()) {
        gauge!(names::TASKS, "state" => from.as_str()).decrement(1);
    }
    if !to.is_final() {
        return gauge!(names::TASKS, "state" => to.as_str()).increment(1);
    }
    counter!(names::TASKS_FINISHED, "state" => to.as_str()).increment(1);
    if !matches!(to, TaskState::Cancelled | TaskState::Skipped) {
        histogram!(names::TASK_ROUNDS).record(f64::from(round) + 1.0);
    }
}

const fn truth(truth: bool) -> &'static str {
    if truth { "true" } else { "false" }
}

fn label(value: Arc<str>) -> SharedString {
    SharedString::from(value)
}
