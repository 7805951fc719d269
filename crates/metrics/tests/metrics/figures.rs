//! What each fact means in figures, to the digit.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bellwether_core::error::Phase;
use bellwether_core::fact::HedgeEnd;
use bellwether_core::{Call, Class, ErrorKind, Fact, RunId, RunOutcome, TaskId, TaskState, Usage, Usd};
use bellwether_metrics::{Exporter, MetricsObserver, Observer};
use metrics::{counter, gauge, histogram};

use crate::story::{self, call, text_after};
use crate::text::{Labels, Text};

fn read(facts: &[Fact]) -> Text {
    Text::read(&text_after(facts))
}

fn assert_values(text: &Text, wanted: &[(&str, Labels<'_>, f64)]) {
    for (name, labels, value) in wanted {
        assert_eq!(text.value(name, labels), Some(*value), "{name} {labels:?}");
    }
}

#[test]
fn a_call_that_is_tried_again_counts_each_time_and_its_answer_once() {
    let text = read(&story::hard_call());
    let who = |outcome| [("model", "gpt-4.1"), ("outcome", outcome), ("provider", "holysheep"), ("role", "coder")];
    let model = ("model", "gpt-4.1");
    let standard = [("class", "standard")];
    let team = ("team", "writers");
    let writers = [standard[0], team];
    let answered = [model, ("provider", "holysheep")];
    assert_values(
        &text,
        &[
            ("bellwether_calls_total", &who("throttled"), 1.0),
            ("bellwether_calls_total", &who("overloaded"), 1.0),
            ("bellwether_calls_total", &who("completed"), 1.0),
            ("bellwether_throttled_total", &answered, 1.0),
            ("bellwether_retries_total", &[("kind", "overloaded"), model], 1.0),
            ("bellwether_queue_depth", &writers, 0.0),
            ("bellwether_calls_in_flight", &[("provider", "holysheep")], 0.0),
            ("bellwether_queue_wait_seconds_count", &writers, 3.0),
            ("bellwether_queue_wait_seconds_sum", &writers, 2.02),
            ("bellwether_queue_wait_seconds_bucket", &[writers[0], writers[1], ("le", "0.05")], 2.0),
            ("bellwether_call_duration_seconds_sum", &answered, 3.0),
            ("bellwether_call_duration_seconds_bucket", &[answered[0], answered[1], ("le", "2")], 0.0),
            ("bellwether_call_duration_seconds_bucket", &[answered[0], answered[1], ("le", "4")], 1.0),
            ("bellwether_first_token_seconds_sum", &answered, 0.5),
            ("bellwether_tokens_total", &[model, ("type", "input")], 1_000.0),
            ("bellwether_tokens_total", &[model, ("type", "output")], 200.0),
            ("bellwether_tokens_total", &[model, ("type", "cached")], 600.0),
            ("bellwether_tokens_total", &[model, ("type", "reasoning")], 50.0),
            ("bellwether_call_estimate_ratio_sum", &[("provider", "holysheep")], 2.0),
            ("bellwether_limit_reserved_tokens", &[("provider", "holysheep")], 0.0),
            ("bellwether_queue_tokens", &standard, 0.0),
            ("bellwether_overhead_seconds_count", &[("provider", "holysheep")], 3.0),
            ("bellwether_overhead_seconds_bucket", &[("provider", "holysheep"), ("le", "0.00003")], 0.0),
            ("bellwether_overhead_seconds_bucket", &[("provider", "holysheep"), ("le", "0.0001")], 3.0),
            ("bellwether_fairness_jain", &standard, 1.0),
            ("bellwether_call_cost_usd_sum", &[model, team], 0.0125),
            ("bellwether_call_cost_usd_count", &[model, team], 1.0),
        ],
    );
    assert_eq!(text.value("bellwether_cost_unpriced_calls_total", &[model]), None);
}

#[test]
fn calls_that_are_lost_leave_the_line_and_the_flight() {
    let text = read(&story::lost_calls());
    let who = |outcome| [("model", "gpt-4.1"), ("outcome", outcome), ("provider", "holysheep"), ("role", "coder")];
    assert_values(
        &text,
        &[
            ("bellwether_calls_total", &who("refused"), 1.0),
            ("bellwether_calls_total", &who("abandoned"), 2.0),
            ("bellwether_refused_total", &[("kind", "queue_full")], 1.0),
            ("bellwether_wasted_tokens_total", &[("model", "gpt-4.1"), ("reason", "abandoned")], 600.0),
            ("bellwether_queue_depth", &[("class", "batch"), ("team", "writers")], 1.0),
            ("bellwether_queue_tokens", &[("class", "batch")], 600.0),
            ("bellwether_limit_reserved_tokens", &[("provider", "holysheep")], 600.0),
            ("bellwether_calls_in_flight", &[("provider", "holysheep")], 1.0),
        ],
    );
}

#[test]
fn dollars_add_up_to_the_billionth_and_unknown_prices_are_counted() {
    let answered = |cost, output_tokens| Fact::CallCompleted {
        call: call("m", Class::Standard),
        usage: Usage { output_tokens, cost, ..Usage::default() },
        took: Duration::from_secs(1),
        first_token: None,
    };
    let priced = answered(Some(Usd::from_nanos(1_000_001)), Some(1));
    let text = read(&[priced.clone(), priced, answered(None, Some(5)), answered(None, None)]);
    let model = [("model", "m")];
    assert_values(
        &text,
        &[
            ("bellwether_call_cost_usd_sum", &[model[0], ("team", "writers")], 0.002_000_002),
            ("bellwether_cost_unpriced_calls_total", &model, 1.0),
        ],
    );
}

#[test]
fn an_answer_without_usage_is_no_estimate_and_nobodys_share() {
    let answered = |usage| Fact::CallCompleted {
        call: call("m", Class::Standard),
        usage,
        took: Duration::from_secs(1),
        first_token: None,
    };
    let text = read(&[answered(Usage::default())]);
    let provider = [("provider", "holysheep")];
    assert_eq!(text.value("bellwether_call_estimate_ratio_count", &provider), None, "absent is not zero");
    let who = [("class", "standard"), ("team", "writers")];
    assert_eq!(text.value("bellwether_flow_tokens_total", &who), None);
    let zero = Usage { input_tokens: Some(0), ..Usage::default() };
    let text = read(&[answered(zero)]);
    assert_eq!(text.value("bellwether_call_estimate_ratio_count", &provider), Some(1.0));
}

#[test]
fn a_run_has_as_many_calls_as_were_sent() {
    let began = Fact::RunStarted { run: RunId::from(story::RUN), team: "writers".into() };
    let over = Fact::RunFinished {
        run: RunId::from(story::RUN),
        team: "writers".into(),
        outcome: RunOutcome::Succeeded,
        took: Duration::ZERO,
    };
    let text = read(&[vec![began], story::hard_call(), story::lost_calls(), vec![over]].concat());
    assert_eq!(text.value("bellwether_run_calls_sum", &[]), Some(5.0), "three of one call, and two of those lost");
}

#[test]
fn a_run_and_its_tasks() {
    let text = read(&story::run());
    let state = |state| [("state", state)];
    assert_values(
        &text,
        &[
            ("bellwether_route_choice_total", &[("explored", "true"), ("tier", "small")], 1.0),
            ("bellwether_runs_in_progress", &[], 1.0),
            ("bellwether_runs_total", &[("outcome", "partial"), ("team", "writers")], 1.0),
            ("bellwether_run_duration_seconds_sum", &[("outcome", "partial")], 90.0),
            ("bellwether_plan_rejected_total", &[], 1.0),
            ("bellwether_plans_total", &[("degraded", "true")], 1.0),
            ("bellwether_tasks", &state("pending"), 0.0),
            ("bellwether_tasks", &state("blocked"), 0.0),
            ("bellwether_tasks", &state("running"), 0.0),
            ("bellwether_tasks", &state("in_review"), 0.0),
            ("bellwether_tasks_finished_total", &state("accepted"), 1.0),
            ("bellwether_tasks_finished_total", &state("skipped"), 1.0),
            ("bellwether_task_rounds_sum", &[], 2.0),
            ("bellwether_task_rounds_count", &[], 1.0),
            ("bellwether_verdict_score_sum", &[("accepted", "true")], 0.9),
            ("bellwether_verdict_score_count", &[("accepted", "false")], 1.0),
            ("bellwether_messages_total", &[("what", "assignment")], 1.0),
            ("bellwether_messages_died_total", &[("what", "assignment")], 1.0),
        ],
    );
    assert_eq!(text.value("bellwether_tasks", &state("accepted")), None, "a task at rest is under way no more");
}

/// A gauge went down by a run that it had never gone up by, and up twice by one that was dropped and resumed; what a run
/// left undone was under way for ever.
#[test]
fn a_run_that_is_over_is_in_no_gauge_however_it_began_and_ended() {
    let run = || RunId::from("r");
    let began = Fact::RunStarted { run: run(), team: "writers".into() };
    let over =
        Fact::RunFinished { run: run(), team: "writers".into(), outcome: RunOutcome::Parked, took: Duration::ZERO };
    let moved = |task: &str, from, to| Fact::TaskMoved {
        run: run(),
        task: TaskId::from(task),
        role: "coder".into(),
        from,
        to,
        round: 0,
    };
    let (pending, running) = (Some(TaskState::Pending), Some(TaskState::Running));
    let facts = [
        over.clone(),
        began.clone(),
        moved("t1", None, TaskState::Pending),
        moved("t2", None, TaskState::Pending),
        moved("t1", pending, TaskState::Running),
        // Dropped here, and resumed by the same process.
        began,
        moved("t1", None, TaskState::Running),
        moved("t2", None, TaskState::Pending),
        moved("t1", running, TaskState::Accepted),
    ];
    let state = |state| [("state", state)];
    let values = |facts: &[Fact]| {
        let text = read(facts);
        let tasks = |name| text.value("bellwether_tasks", &state(name));
        (text.value("bellwether_runs_in_progress", &[]), tasks("pending"), tasks("running"))
    };
    assert_eq!(values(&facts), (Some(1.0), Some(1.0), Some(0.0)));
    assert_eq!(values(&[&facts[..], &[over]].concat()), (Some(0.0), Some(0.0), Some(0.0)));
}

#[test]
fn what_may_be_paid_for_in_vain_is_counted_by_how_that_came() {
    let (kind, took) = (ErrorKind::Upstream, Duration::ZERO);
    let hedged = |end| Fact::CallHedged { call: call("m", Class::Standard), end };
    let failed = |kind| Fact::CallFailed { call: call("m", Class::Standard), kind, took };
    let text = read(&[
        failed(kind),
        failed(ErrorKind::Truncated),
        failed(ErrorKind::InvalidRequest),
        failed(ErrorKind::Timeout(Phase::Connect)),
        hedged(HedgeEnd::Won),
        hedged(HedgeEnd::Lost),
        hedged(HedgeEnd::Failed),
    ]);
    for (reason, tokens) in [("failed", 1_200.0), ("hedged", 1_200.0)] {
        let labels = [("model", "m"), ("reason", reason)];
        assert_eq!(text.value("bellwether_wasted_tokens_total", &labels), Some(tokens), "{reason}");
    }
}

#[test]
fn a_task_passes_through_every_state_and_leaves_nothing_under_way() {
    let mut from = None;
    let mut facts = Vec::new();
    for &to in TaskState::ALL {
        let live = from.filter(|from: &TaskState| !from.is_final());
        facts.push(Fact::TaskMoved {
            run: "r".into(),
            task: "t".into(),
            role: Arc::from("coder"),
            from: live,
            to,
            round: 0,
        });
        from = Some(to);
    }
    let text = read(&facts);
    let under_way: Vec<_> = text.samples.iter().filter(|sample| sample.name == "bellwether_tasks").collect();
    assert!(under_way.iter().all(|sample| sample.value == 0.0), "{under_way:?}");
    assert_eq!(under_way.len(), TaskState::ALL.iter().filter(|state| !state.is_final()).count());
}

#[test]
fn a_quota_shows_its_limits_its_pauses_and_who_left_the_line() {
    let text = read(&story::quota());
    let quota = ("quota", "holysheep");
    assert_values(
        &text,
        &[
            ("bellwether_limit", &[("dimension", "requests"), quota], 480.0),
            ("bellwether_pause_seconds_sum", &[quota], 2.0),
            ("bellwether_pause_seconds_count", &[quota], 1.0),
            ("bellwether_tickets_shed_total", &[("class", "batch"), ("reason", "expired")], 2.0),
            ("bellwether_tickets_shed_total", &[("class", "batch"), ("reason", "room")], 1.0),
        ],
    );
}

#[test]
fn a_key_shows_its_state_and_what_that_meant_for_calls() {
    let text = read(&story::keys());
    let provider = ("provider", "holysheep");
    let model = ("model", "gpt-4.1");
    assert_values(
        &text,
        &[
            ("bellwether_key_state", &[provider, ("state", "parked")], 1.0),
            ("bellwether_key_state", &[provider, ("state", "open")], 0.0),
            ("bellwether_key_changes_total", &[provider, ("state", "open")], 2.0),
            ("bellwether_fallbacks_total", &[("kind", "quota_exhausted"), model, provider], 1.0),
            ("bellwether_retries_denied_total", &[model, provider], 1.0),
            ("bellwether_hedges_total", &[model, provider, ("result", "won")], 1.0),
            ("bellwether_quota_waits_total", &[provider, ("reason", "tokens")], 2.0),
        ],
    );
}

#[test]
fn what_no_fact_tells_is_said_by_whoever_holds_it() {
    let exporter = Exporter::local();
    story::standing(&exporter);
    let quota = ("quota", "holysheep");
    assert_values(
        &Text::read(&exporter.render()),
        &[
            ("bellwether_budget_limit_usd", &[], 2.0),
            ("bellwether_budget_spent_usd", &[], 0.5),
            ("bellwether_budget_reserved_usd", &[], 0.25),
            ("bellwether_limit_debt", &[("dimension", "tokens"), quota], 300.0),
            ("bellwether_limit_debt", &[("dimension", "requests"), quota], 0.0),
            ("bellwether_header_drift", &[("dimension", "tokens"), quota], -20.0),
            ("bellwether_limit_source", &[("dimension", "tokens"), quota, ("source", "told")], 1.0),
            ("bellwether_limit_source", &[("dimension", "requests"), quota, ("source", "told")], 0.0),
            ("bellwether_limit_source", &[("dimension", "requests"), quota, ("source", "found")], 1.0),
            ("bellwether_limit_available", &[("dimension", "tokens"), quota], 0.0),
            ("bellwether_limit_available", &[("dimension", "requests"), quota], 42.0),
        ],
    );
}

#[test]
fn the_call_that_waits_longest_is_known_by_when_it_came() {
    let (first, second) = (call("m", Class::Batch), call("m", Class::Batch));
    let queued = |call: &Arc<Call>| Fact::CallQueued { call: Arc::clone(call) };
    let admitted = |call: &Arc<Call>| Fact::CallAdmitted {
        call: Arc::clone(call),
        waited: Duration::ZERO,
        overhead: Duration::ZERO,
    };
    let oldest = |facts: &[Fact]| {
        read(facts).value("bellwether_queue_oldest_timestamp_seconds", &[("class", "batch")]).expect("it was said")
    };
    assert!(oldest(&[queued(&first), queued(&second)]) > 1e9, "a moment since 1970");
    assert!(oldest(&[queued(&first), queued(&second), admitted(&first)]) > 1e9, "the second one still waits");
    assert_eq!(oldest(&[queued(&first), queued(&second), admitted(&second), admitted(&first)]), 0.0, "nobody waits");
}

#[test]
fn what_else_counts_through_the_facade_is_exported_too() {
    let exporter = Exporter::local();
    exporter.record(|| {
        counter!("sheep_total", "flock" => "north").increment(3);
        gauge!("bells").set(2.5);
        histogram!("bleat_seconds").record(0.5);
        // A name of ours as what it is not stays apart from ours.
        gauge!("bellwether_plan_rejected_total").set(7);
    });
    exporter.upkeep();
    let text = Text::read(&exporter.render());
    assert_values(
        &text,
        &[
            ("sheep_total", &[("flock", "north")], 3.0),
            ("bells", &[], 2.5),
            ("bleat_seconds_count", &[], 1.0),
            ("bleat_seconds_sum", &[], 0.5),
            ("bellwether_plan_rejected_total", &[], 7.0),
        ],
    );
}

#[test]
fn a_sample_at_a_bound_lies_within_it_and_one_above_all_bounds_is_counted() {
    let exporter = Exporter::local();
    exporter.record(|| {
        let rounds = histogram!("bellwether_task_rounds");
        rounds.record_many(1.0, 3);
        rounds.record(1e9);
    });
    let text = Text::read(&exporter.render());
    assert_values(
        &text,
        &[
            ("bellwether_task_rounds_bucket", &[("le", "1")], 3.0),
            ("bellwether_task_rounds_bucket", &[("le", "+Inf")], 4.0),
            ("bellwether_task_rounds_count", &[], 4.0),
            ("bellwether_task_rounds_sum", &[], 1e9 + 3.0),
        ],
    );
}

#[test]
fn what_several_observers_count_adds_up_also_when_one_is_gone() {
    let exporter = Exporter::local();
    exporter.record(|| {
        for _ in 0..3 {
            let observer = MetricsObserver::new();
            story::hard_call().iter().for_each(|fact| observer.observe(fact));
        }
        let (one, other) = (MetricsObserver::new(), MetricsObserver::new());
        for fact in story::hard_call() {
            one.observe(&fact);
            other.observe(&fact);
        }
        // Everybody may count what is an observer's otherwise.
        histogram!("bellwether_queue_wait_seconds", "class" => "standard", "team" => "writers").record(1.0);
    });
    let text = Text::read(&exporter.render());
    let (class, team) = (("class", "standard"), ("team", "writers"));
    assert_values(
        &text,
        &[
            ("bellwether_queue_wait_seconds_count", &[class, team], 16.0),
            ("bellwether_queue_wait_seconds_sum", &[class, team], 5.0 * 2.02 + 1.0),
            ("bellwether_queue_wait_seconds_bucket", &[class, team, ("le", "0.05")], 10.0),
            ("bellwether_tokens_total", &[("model", "gpt-4.1"), ("type", "input")], 5_000.0),
        ],
    );
}

#[test]
fn threads_that_share_an_observer_lose_no_count() {
    const EACH: u32 = 1_000;
    let (exporter, observer) = (Exporter::local(), MetricsObserver::new());
    // The first call finds the handles; afterwards it does not matter who counts.
    let count = || story::hard_call().iter().for_each(|fact| observer.observe(fact));
    exporter.record(count);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..EACH).for_each(|_| count()));
        }
    });
    let calls = f64::from(4 * EACH + 1);
    let model = ("model", "gpt-4.1");
    let answered = [model, ("provider", "holysheep")];
    assert_values(
        &Text::read(&exporter.render()),
        &[
            ("bellwether_tokens_total", &[model, ("type", "output")], 200.0 * calls),
            ("bellwether_call_duration_seconds_count", &answered, calls),
            ("bellwether_call_duration_seconds_sum", &answered, 3.0 * calls),
            ("bellwether_queue_wait_seconds_count", &[("class", "standard"), ("team", "writers")], 3.0 * calls),
        ],
    );
}

#[test]
fn a_greedy_team_and_the_one_it_starves_are_told_apart() {
    let of = |team: &str| {
        let mut call = (*call("m", Class::Standard)).clone();
        call.context.flow.team = team.into();
        Arc::new(call)
    };
    let queued = |call: &Arc<Call>| Fact::CallQueued { call: Arc::clone(call) };
    let admitted =
        |call: &Arc<Call>, waited| Fact::CallAdmitted { call: Arc::clone(call), waited, overhead: Duration::ZERO };
    let (greedy, light) = (of("greedy"), [of("light"), of("light")]);
    let text = read(&[
        queued(&greedy),
        queued(&light[0]),
        queued(&light[1]),
        admitted(&greedy, Duration::ZERO),
        admitted(&light[0], Duration::from_secs(40)),
    ]);
    let who = |team| [("class", "standard"), ("team", team)];
    assert_values(
        &text,
        &[
            ("bellwether_queue_depth", &who("greedy"), 0.0),
            ("bellwether_queue_depth", &who("light"), 1.0),
            ("bellwether_queue_wait_seconds_sum", &who("greedy"), 0.0),
            ("bellwether_queue_wait_seconds_sum", &who("light"), 40.0),
        ],
    );
}

#[test]
fn a_turn_lasts_from_its_first_call_until_the_task_moves_on() {
    let run = || RunId::from(story::RUN);
    let of = |phase, task: Option<&str>, round| {
        let mut call = (*call("m", Class::Standard)).clone();
        (call.context.phase, call.context.task, call.context.round) = (phase, task.map(TaskId::from), round);
        Fact::CallQueued { call: Arc::new(call) }
    };
    let by = |role: &str, fact| {
        let Fact::CallQueued { mut call } = fact else { unreachable!("a call") };
        Arc::make_mut(&mut call).context.flow.role = role.into();
        Fact::CallQueued { call }
    };
    let moved = |task: &str, to| Fact::TaskMoved {
        run: run(),
        task: TaskId::from(task),
        role: "coder".into(),
        from: None,
        to,
        round: 0,
    };
    let began = Fact::RunStarted { run: run(), team: "writers".into() };
    let planned = Fact::PlanAccepted { run: run(), tasks: Vec::new(), degraded: false };
    let turns = |text: &Text, phase| {
        text.value("bellwether_step_seconds_count", &[("phase", phase), ("role", "coder")]).unwrap_or_default()
    };
    let (outcome, took) = (RunOutcome::Succeeded, Duration::ZERO);
    let facts = [
        of("work", Some("t1"), 0),
        began,
        of("plan", None, 0),
        planned,
        of("work", Some("t1"), 0),
        of("work", Some("t1"), 0),
        of("work", Some("t2"), 0),
        moved("t1", TaskState::Produced),
        of("review", Some("t1"), 0),
        moved("t1", TaskState::Revising),
        of("work", Some("t1"), 1),
        moved("t1", TaskState::Produced),
        // A plan that was of no use, an audit, and two roles at once.
        of("plan", None, 1),
        Fact::PlanRejected { run: run(), reason: String::new() },
        of("audit", Some("t1"), 1),
        Fact::TaskAudited { run: run(), task: TaskId::from("t1"), agreed: true },
        by("critic", of("review", Some("t1"), 1)),
        of("review", Some("t1"), 1),
        moved("t1", TaskState::Accepted),
        of("combine", None, 0),
        Fact::RunFinished { run: run(), team: "writers".into(), outcome, took },
        moved("t2", TaskState::Produced),
    ];
    let text = read(&facts);
    let counts = ["plan", "work", "review", "audit", "combine"].map(|phase| turns(&text, phase));
    assert_eq!(counts, [2.0, 2.0, 2.0, 1.0, 1.0], "two calls are one turn, and what is cut off is none");
    assert_eq!(text.value("bellwether_step_seconds_count", &[("phase", "review"), ("role", "critic")]), Some(1.0));
}
