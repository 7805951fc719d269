//! What each fact means in figures.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bellwether_core::fact::{KeyState, TaskState};
use bellwether_core::{Call, Fact, Observer, RunId, Usage};
use metrics::{SharedString, counter, gauge, histogram};

use crate::caps::Cap;
use crate::names;
use crate::waiting::Waiting;

/// Counts facts through the `metrics` facade.
///
/// Label values come from closed sets, except for the names of models, providers, quotas, roles, teams and tiers: of each the first
/// hundred are kept, and further ones become `other`. Ids and texts are never labels.
#[derive(Debug, Default)]
pub struct MetricsObserver {
    models: Cap,
    providers: Cap,
    quotas: Cap,
    roles: Cap,
    teams: Cap,
    waiting: Waiting,
    /// How many calls each run that is on has sent.
    runs: Mutex<HashMap<RunId, u32>>,
    tiers: Cap,
}

impl MetricsObserver {
    /// An observer that has seen no names yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn call_over(&self, call: &Call, outcome: &'static str) {
        counter!(
            names::CALLS,
            "model" => self.model(call),
            "outcome" => outcome,
            "provider" => self.provider(call),
            "role" => label(self.roles.value(&call.context.flow.role)),
        )
        .increment(1);
    }

    fn in_flight(&self, call: &Call, change: f64) {
        gauge!(names::CALLS_IN_FLIGHT, "provider" => self.provider(call)).increment(change);
    }

    fn answered(&self, call: &Call, usage: &Usage, took: Duration, first_token: Option<Duration>) {
        let (model, provider) = (self.model(call), self.provider(call));
        histogram!(names::CALL_DURATION, "model" => model.clone(), "provider" => provider.clone()).record(took);
        if let Some(first_token) = first_token {
            histogram!(names::FIRST_TOKEN, "model" => model.clone(), "provider" => provider).record(first_token);
        }
        let types = [
            ("input", usage.input_tokens),
            ("output", usage.output_tokens),
            ("cached", usage.cached_tokens),
            ("reasoning", usage.reasoning_tokens),
        ];
        for (name, tokens) in types {
            if let Some(tokens) = tokens {
                counter!(names::TOKENS, "model" => model.clone(), "type" => name).increment(tokens);
            }
        }
        if usage.tokens() > 0 {
            let (class, team) = (call.context.class.as_str(), label(self.teams.value(&call.context.flow.team)));
            counter!(names::FLOW_TOKENS, "class" => class, "team" => team).increment(usage.tokens());
        }
        match usage.cost {
            // A histogram, because the facade's counters know whole numbers only and its sum is a counter of dollars.
            Some(cost) => histogram!(names::CALL_COST, "model" => model).record(cost.as_dollars()),
            None if usage.tokens() > 0 => counter!(names::COST_UNPRICED, "model" => model).increment(1),
            None => {}
        }
    }

    fn model(&self, call: &Call) -> SharedString {
        label(self.models.value(&call.model))
    }

    fn provider(&self, call: &Call) -> SharedString {
        label(self.providers.value(&call.provider))
    }

    fn quota(&self, quota: &Arc<str>) -> SharedString {
        label(self.quotas.value(quota))
    }

    fn call(&self, fact: &Fact) {
        match fact {
            Fact::CallAbandoned { call, admitted } => {
                match admitted {
                    true => self.in_flight(call, -1.0),
                    false => self.waits(call, -1.0),
                }
                self.call_over(call, "abandoned");
            }
            Fact::CallAdmitted { call, waited } => {
                self.waits(call, -1.0);
                self.in_flight(call, 1.0);
                self.sent(call);
                histogram!(names::QUEUE_WAIT, "class" => call.context.class.as_str()).record(*waited);
            }
            Fact::CallCompleted { call, usage, took, first_token } => {
                self.in_flight(call, -1.0);
                self.call_over(call, "completed");
                self.answered(call, usage, *took, *first_token);
            }
            Fact::CallFailed { call, kind, .. } => {
                self.in_flight(call, -1.0);
                self.call_over(call, kind.as_str());
            }
            Fact::CallHedged { call, end } => {
                let (model, provider) = (self.model(call), self.provider(call));
                counter!(names::HEDGES, "model" => model, "provider" => provider, "result" => end.as_str())
                    .increment(1);
            }
            Fact::CallQueued { call } => self.waits(call, 1.0),
            Fact::CallRefused { call, kind } => {
                self.waits(call, -1.0);
                self.call_over(call, "refused");
                counter!(names::REFUSED, "kind" => kind.as_str()).increment(1);
            }
            Fact::CallRerouted { call, kind, .. } => {
                let (model, provider) = (self.model(call), self.provider(call));
                counter!(names::FALLBACKS, "kind" => kind.as_str(), "model" => model, "provider" => provider)
                    .increment(1);
            }
            Fact::CallRetried { call, kind, .. } => {
                counter!(names::RETRIES, "kind" => kind.as_str(), "model" => self.model(call)).increment(1);
            }
            Fact::CallThrottled { call, .. } => {
                self.in_flight(call, -1.0);
                self.call_over(call, "throttled");
                let (model, provider) = (self.model(call), self.provider(call));
                counter!(names::THROTTLED, "model" => model, "provider" => provider).increment(1);
            }
            Fact::RetryDenied { call } => {
                let (model, provider) = (self.model(call), self.provider(call));
                counter!(names::RETRIES_DENIED, "model" => model, "provider" => provider).increment(1);
            }
            _ => {}
        }
    }

    fn key(&self, provider: &Arc<str>, state: KeyState) {
        let provider = label(self.providers.value(provider));
        counter!(names::KEY_CHANGES, "provider" => provider.clone(), "state" => state.as_str()).increment(1);
        for &each in KeyState::ALL {
            let now = f64::from(u8::from(each == state));
            gauge!(names::KEY_STATE, "provider" => provider.clone(), "state" => each.as_str()).set(now);
        }
    }

    fn waits(&self, call: &Arc<Call>, change: f64) {
        gauge!(names::QUEUE_DEPTH, "class" => call.context.class.as_str()).increment(change);
        match change > 0.0 {
            true => self.waiting.came(call),
            false => self.waiting.left(call),
        }
    }

    fn sent(&self, call: &Call) {
        if let Some(run) = &call.context.run {
            self.calls_of(|runs| runs.get_mut(run).map(|calls| *calls = calls.saturating_add(1)));
        }
    }

    fn calls_of<T>(&self, change: impl FnOnce(&mut HashMap<RunId, u32>) -> T) -> T {
        change(&mut self.runs.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn run(&self, fact: &Fact) {
        match fact {
            Fact::RunStarted { run, .. } => {
                self.calls_of(|runs| runs.insert(run.clone(), 0));
                gauge!(names::RUNS_IN_PROGRESS).increment(1);
            }
            Fact::RunFinished { run, team, outcome, took } => {
                if let Some(calls) = self.calls_of(|runs| runs.remove(run)) {
                    histogram!(names::RUN_CALLS).record(f64::from(calls));
                }
                gauge!(names::RUNS_IN_PROGRESS).decrement(1);
                let team = label(self.teams.value(team));
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
            Fact::KeyChanged { provider, state, .. } => self.key(provider, *state),
            Fact::MessageDied { what, .. } => counter!(names::MESSAGES_DIED, "what" => *what).increment(1),
            Fact::MessageSent { what, .. } => counter!(names::MESSAGES, "what" => *what).increment(1),
            Fact::PlanAccepted { degraded, .. } => {
                counter!(names::PLANS, "degraded" => truth(*degraded)).increment(1);
            }
            Fact::PlanRejected { .. } => counter!(names::PLAN_REJECTED).increment(1),
            Fact::RouteDecided { tier, explored, .. } => {
                let tier = label(self.tiers.value(tier));
                counter!(names::ROUTE_CHOICE, "explored" => truth(*explored), "tier" => tier).increment(1);
            }
            Fact::RunFinished { .. } | Fact::RunStarted { .. } => self.run(fact),
            Fact::TaskMoved { from, to, round, .. } => moved(*from, *to, *round),
            Fact::TasksSpawned { tasks, .. } => counter!(names::TASKS_SPAWNED).increment(tasks.len() as u64),
            Fact::TaskReviewed { score, accepted, .. } => {
                histogram!(names::VERDICT_SCORE, "accepted" => truth(*accepted)).record(*score);
            }
            Fact::LimitChanged { quota, what, limit } => {
                // A limit beyond 2^53 is no limit; less is exact.
                #[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers")]
                gauge!(names::LIMIT, "dimension" => what.as_str(), "quota" => self.quota(quota)).set(*limit as f64);
            }
            Fact::QuotaPaused { quota, wait } => {
                histogram!(names::PAUSE, "quota" => self.quota(quota)).record(*wait);
            }
            Fact::TicketShed { class, expired, .. } => {
                let reason = if *expired { "expired" } else { "room" };
                counter!(names::TICKETS_SHED, "class" => class.as_str(), "reason" => reason).increment(1);
            }
            fact => self.call(fact),
        }
    }
}

fn moved(from: Option<TaskState>, to: TaskState, round: u32) {
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
