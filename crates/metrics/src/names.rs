//! Every metric: its name, kind, labels, unit and meaning. Nothing of ours is exported that is not in this table.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

use MetricKind::{Counter, Gauge, Histogram};

/// What is known of a metric.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MetricInfo {
    /// Its name, as Prometheus shows it.
    pub name: &'static str,
    /// What kind it is.
    pub kind: MetricKind,
    /// Its labels. Their values come from closed sets, or are bounded; see [`MetricsObserver`](crate::MetricsObserver).
    pub labels: &'static [&'static str],
    /// What is measured, where it is not plain things.
    pub unit: Option<Unit>,
    /// What it says, for people.
    pub help: &'static str,
}

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum MetricKind {
    /// Only grows, until the process ends.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts in buckets with these upper bounds, beside a sum and a count.
    Histogram(&'static [f64]),
}

impl MetricKind {
    /// The kind as Prometheus names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// Every metric, by name.
#[must_use]
pub fn catalogue() -> &'static [MetricInfo] {
    CATALOGUE
}

/// What is known of the metric of that name.
pub(crate) fn find(name: &str) -> Option<&'static MetricInfo> {
    CATALOGUE.iter().find(|info| info.name == name)
}

/// How many bounds the longest list in the catalogue has.
pub(crate) const MOST_BOUNDS: usize = {
    let (mut most, mut at) = (0, 0);
    while at < CATALOGUE.len() {
        if let Histogram(bounds) = CATALOGUE[at].kind
            && bounds.len() > most
        {
            most = bounds.len();
        }
        at += 1;
    }
    most
};

/// Gives help texts and units to the current recorder of the `metrics` facade.
///
/// [`Exporter`](crate::Exporter) does this by itself.
pub fn describe() {
    for info in CATALOGUE {
        let unit = info.unit.unwrap_or(Unit::Count);
        match info.kind {
            Counter => describe_counter!(info.name, unit, info.help),
            Gauge => describe_gauge!(info.name, unit, info.help),
            Histogram(_) => describe_histogram!(info.name, unit, info.help),
        }
    }
}

macro_rules! catalogue {
    ($($ident:ident: $name:literal, $kind:expr, [$($label:literal),*], $unit:expr, $help:literal;)*) => {
        $(pub(crate) const $ident: &str = $name;)*

        const CATALOGUE: &[MetricInfo] = &[
            $(MetricInfo { name: $name, kind: $kind, labels: &[$($label),*], unit: $unit, help: $help },)*
        ];
    };
}

catalogue! {
    AUDITS: "bellwether_audits_total", Counter, ["agreed"], None,
        "Accepted works that a second judge looked at, and whether it agreed.";
    BUDGET_LIMIT: "bellwether_budget_limit_usd", Gauge, [], None,
        "The most that may be spent, in US dollars; absent without such a budget.";
    BUDGET_RESERVED: "bellwether_budget_reserved_usd", Gauge, [], None,
        "What the calls under way may cost at worst, in US dollars.";
    BUDGET_SPENT: "bellwether_budget_spent_usd", Gauge, [], None,
        "What was spent under the budget, in US dollars.";
    BUILD_INFO: "bellwether_build_info", Gauge, ["version"], None,
        "Always 1; the label says which version runs.";
    CALL_COST: "bellwether_call_cost_usd", Histogram(DOLLARS), ["model", "team"], None,
        "US dollars per answered call, as far as its price is known; the sum is what was spent.";
    CALL_DURATION: "bellwether_call_duration_seconds", Histogram(CALL_SECONDS), ["model", "provider"],
        Some(Unit::Seconds), "From sending a call to the end of its answer, for answered calls.";
    ESTIMATE_RATIO: "bellwether_call_estimate_ratio", Histogram(RATIOS), ["provider"], None,
        "Tokens that a call took, for each token that it was reckoned to take when it began to wait; above 1 that was too low.";
    CALLS_IN_FLIGHT: "bellwether_calls_in_flight", Gauge, ["provider"], None,
        "Calls that were sent and not answered yet.";
    CALLS: "bellwether_calls_total", Counter, ["model", "outcome", "provider", "role"], None,
        "Calls that left the line, by what became of them: completed, throttled, refused, abandoned, or the kind of \
         failure. A call that is tried again counts each time.";
    COST_UNPRICED: "bellwether_cost_unpriced_calls_total", Counter, ["model"], None,
        "Answered calls that took tokens at an unknown price, so that the dollars do not contain them.";
    FAIRNESS: "bellwether_fairness_jain", Gauge, ["class"], None,
        "How evenly runs that had to wait were admitted in the last full minute, since the first of them had to, by tokens \
         for their weight: 1 if all had as much, 1/n if one of n had everything.";
    FALLBACKS: "bellwether_fallbacks_total", Counter, ["kind", "model", "provider"], None,
        "Calls that went on to another key, by the key they left and why.";
    FIRST_TOKEN: "bellwether_first_token_seconds", Histogram(FIRST_TOKEN_SECONDS), ["model", "provider"],
        Some(Unit::Seconds), "From sending a call to the first piece of its answer.";
    FLOW_TOKENS: "bellwether_flow_tokens_total", Counter, ["class", "team"], None,
        "Tokens of answered calls by who asked: how the quota was shared.";
    HEADER_DRIFT: "bellwether_header_drift", Gauge, ["dimension", "quota"], None,
        "How much more of a limit we thought was left than the provider said in its last answer; below 0 we are too careful.";
    HEDGES: "bellwether_hedges_total", Counter, ["model", "provider", "result"], None,
        "Calls that took unusually long and were sent once more beside themselves, by what came of the second try: won, \
         lost, failed.";
    KEY_CHANGES: "bellwether_key_changes_total", Counter, ["provider", "state"], None,
        "Times a key came into a state: closed, half_open, open, or parked.";
    KEY_STATE: "bellwether_key_state", Gauge, ["provider", "state"], None,
        "1 for the state a key is in, 0 for the others; a key is closed until something is said of it.";
    LIMIT: "bellwether_limit", Gauge, ["dimension", "quota"], None,
        "Limits as they were told or learnt: requests and tokens per minute, calls at once.";
    LIMIT_AVAILABLE: "bellwether_limit_available", Gauge, ["dimension", "quota"], None,
        "What could be taken from a limit at once: requests or tokens.";
    LIMIT_DEBT: "bellwether_limit_debt", Gauge, ["dimension", "quota"], None,
        "What was taken beyond a limit and has to be worked off before the next call.";
    LIMIT_RESERVED: "bellwether_limit_reserved_tokens", Gauge, ["provider"], None,
        "Tokens reserved for the calls under way.";
    LIMIT_SOURCE: "bellwether_limit_source", Gauge, ["dimension", "quota", "source"], None,
        "1 for how a limit is known: told, by the configuration or the provider's headers, or found by what was refused.";
    MESSAGES_DIED: "bellwether_messages_died_total", Counter, ["what"], None,
        "Messages that could not be delivered, by what they were.";
    MESSAGES: "bellwether_messages_total", Counter, ["what"], None,
        "Messages that agents sent to each other, by what they were.";
    OVERHEAD: "bellwether_overhead_seconds", Histogram(OVERHEAD_SECONDS), ["provider"], Some(Unit::Seconds),
        "From a call's turn to its being sent, when nothing but this process holds it up.";
    PAUSE: "bellwether_pause_seconds", Histogram(WAIT_SECONDS), ["quota"], Some(Unit::Seconds),
        "How long everybody on a quota stayed away because its provider said so.";
    PLAN_REJECTED: "bellwether_plan_rejected_total", Counter, [], None,
        "Answers of a planner that were of no use.";
    PLANS: "bellwether_plans_total", Counter, ["degraded"], None,
        "Plans agreed on, and whether they are the one-task fallback.";
    QUEUE_DEPTH: "bellwether_queue_depth", Gauge, ["class", "team"], None,
        "Calls that wait in the queue or at the gate of the quota.";
    QUEUE_OLDEST: "bellwether_queue_oldest_timestamp_seconds", Gauge, ["class"], Some(Unit::Seconds),
        "When the call that has waited longest began to wait, since 1970; 0 if nobody waits.";
    QUEUE_TOKENS: "bellwether_queue_tokens", Gauge, ["class"], None,
        "Tokens that the calls which wait will reserve.";
    QUEUE_WAIT: "bellwether_queue_wait_seconds", Histogram(WAIT_SECONDS), ["class", "team"], Some(Unit::Seconds),
        "How long admitted calls waited in the queue and at the gate of the quota.";
    QUOTA_WAITS: "bellwether_quota_waits_total", Counter, ["provider", "reason"], None,
        "Times the first call in line had to wait for room in the quota, by what it waited for: concurrency, pause, requests, tokens.";
    REFUSED: "bellwether_refused_total", Counter, ["kind"], None,
        "Calls that were turned away before they were sent, by reason.";
    RETRIES_DENIED: "bellwether_retries_denied_total", Counter, ["model", "provider"], None,
        "Times a call had to wait with its next try, for others had used up what may be spent on trying again.";
    RETRIES: "bellwether_retries_total", Counter, ["kind", "model"], None,
        "Calls that are sent again after a failure, by the kind of the failure.";
    ROUTE_CHOICE: "bellwether_route_choice_total", Counter, ["explored", "tier"], None,
        "Tasks by the tier that they were started on, and whether it was chosen to learn about it.";
    RUN_CALLS: "bellwether_run_calls", Histogram(CALLS_OF_A_RUN), [], None,
        "Calls of a run that ended, each time they were sent.";
    RUN_DURATION: "bellwether_run_duration_seconds", Histogram(RUN_SECONDS), ["outcome"], Some(Unit::Seconds),
        "From the beginning of a run to its end.";
    RUNS_IN_PROGRESS: "bellwether_runs_in_progress", Gauge, [], None,
        "Runs that began and did not end yet.";
    RUNS: "bellwether_runs_total", Counter, ["outcome", "team"], None,
        "Runs that ended, by how.";
    STEP: "bellwether_step_seconds", Histogram(CALL_SECONDS), ["phase", "role"], Some(Unit::Seconds),
        "Turns of agents that plan, work or judge, from their first call to what came of it, waits and further tries \
         included.";
    TASK_ROUNDS: "bellwether_task_rounds", Histogram(ROUNDS), [], None,
        "Rounds of work a task took before it came to rest, counted from 1; only tasks that were worked on.";
    TASKS: "bellwether_tasks", Gauge, ["state"], None,
        "Tasks under way, by where they are.";
    TASKS_FINISHED: "bellwether_tasks_finished_total", Counter, ["state"], None,
        "Tasks that came to rest, by where.";
    TASKS_SPAWNED: "bellwether_tasks_spawned_total", Counter, [], None,
        "Further tasks that tasks asked for.";
    THROTTLED: "bellwether_throttled_total", Counter, ["model", "provider"], None,
        "Times a provider asked everybody on the key to slow down.";
    TICKETS_SHED: "bellwether_tickets_shed_total", Counter, ["class", "reason"], None,
        "Calls that left the line without their turn: expired at their deadline, or made room for others.";
    TOKENS: "bellwether_tokens_total", Counter, ["model", "type"], None,
        "Tokens of answered calls. Cached tokens are part of the input, reasoning tokens part of the output: do not add.";
    VERDICT_SCORE: "bellwether_verdict_score", Histogram(SCORES), ["accepted"], None,
        "What reviewers thought of the work, from 0 to 1, and whether they accepted it.";
    WASTED: "bellwether_wasted_tokens_total", Counter, ["model", "reason"], None,
        "Tokens reserved for what was sent and brought no answer, although the model may have worked on it, by why: calls \
         that were abandoned or failed, and of calls that were sent twice the one that was cut off. At most so many were \
         paid for in vain.";
}

// A model answers in half a second, or thinks for a quarter of an hour.
const CALL_SECONDS: &[f64] = &[0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0];
const FIRST_TOKEN_SECONDS: &[f64] = &[0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 6.0, 12.0, 30.0, 60.0, 120.0, 300.0];
const OVERHEAD_SECONDS: &[f64] = &[0.000_01, 0.000_03, 0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0];
const WAIT_SECONDS: &[f64] = &[0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0];
const RUN_SECONDS: &[f64] = &[5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 7_200.0, 21_600.0];
const DOLLARS: &[f64] = &[0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];
const RATIOS: &[f64] = &[0.1, 0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0];
const CALLS_OF_A_RUN: &[f64] = &[1.0, 3.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 1_280.0];
const ROUNDS: &[f64] = &[1.0, 2.0, 3.0, 4.0, 5.0, 8.0];
const SCORES: &[f64] = &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];
