//! Facts to count: one of each kind, and a run with some calls.

use std::sync::Arc;
use std::time::Duration;

use bellwether_core::fact::HedgeEnd;
use bellwether_core::limiter::WaitReason;
use bellwether_core::queue::TicketId;
use bellwether_core::{
    Call, CallContext, Class, Demand, ErrorKind, Fact, Flow, KeyState, RunId, RunOutcome, TaskId, TaskState, Usage, Usd,
};
use bellwether_metrics::{Exporter, LimitStands, MetricsObserver, Observer, budget_stands, limit_stands};

pub(crate) const RUN: &str = "run-0192-secret";
pub(crate) const TASK: &str = "task-7-secret";
/// Half of what the call takes in the end.
const DEMAND: Demand = Demand { requests: 1, input_tokens: 400, output_tokens: 200 };

pub(crate) fn call(model: &str, class: Class) -> Arc<Call> {
    let mut context = CallContext::new(Flow::new("writers", RUN, "coder"));
    context.class = class;
    context.run = Some(RunId::from(RUN));
    context.task = Some(TaskId::from(TASK));
    context.idempotency_key = Some("key-secret".into());
    Arc::new(Call { context, model: model.into(), provider: "holysheep".into(), demand: DEMAND })
}

pub(crate) fn priced() -> Usage {
    Usage {
        input_tokens: Some(1_000),
        output_tokens: Some(200),
        cached_tokens: Some(600),
        reasoning_tokens: Some(50),
        cost: Usd::from_dollars(0.0125),
    }
}

/// A call that waits, is throttled, fails, and is answered in the end.
pub(crate) fn hard_call() -> Vec<Fact> {
    let call = call("gpt-4.1", Class::Standard);
    let queued = || Fact::CallQueued { call: Arc::clone(&call) };
    let admitted = |millis| Fact::CallAdmitted {
        call: Arc::clone(&call),
        waited: Duration::from_millis(millis),
        overhead: Duration::from_micros(50),
    };
    let (kind, took) = (ErrorKind::Overloaded, Duration::from_secs(1));
    vec![
        queued(),
        admitted(20),
        Fact::CallThrottled { call: Arc::clone(&call), retry_after: Some(Duration::from_secs(2)) },
        queued(),
        admitted(2_000),
        Fact::CallFailed { call: Arc::clone(&call), kind, took },
        Fact::CallRetried { call: Arc::clone(&call), kind, delay: took },
        queued(),
        admitted(0),
        Fact::CallCompleted {
            call,
            usage: priced(),
            took: Duration::from_secs(3),
            first_token: Some(Duration::from_millis(500)),
        },
    ]
}

/// A call that is turned away, and three that are dropped: in the line, under way, and not at all.
pub(crate) fn lost_calls() -> Vec<Fact> {
    let call = call("gpt-4.1", Class::Batch);
    let queued = || Fact::CallQueued { call: Arc::clone(&call) };
    let admitted = || Fact::CallAdmitted { call: Arc::clone(&call), waited: Duration::ZERO, overhead: Duration::ZERO };
    let abandoned = |admitted| Fact::CallAbandoned { call: Arc::clone(&call), admitted };
    vec![
        queued(),
        Fact::CallRefused { call: Arc::clone(&call), kind: ErrorKind::QueueFull },
        queued(),
        abandoned(false),
        queued(),
        admitted(),
        abandoned(true),
        queued(),
        admitted(),
        queued(),
    ]
}

/// A run with four tasks: accepted in its second round, skipped, and two that its end leaves where they are.
pub(crate) fn run() -> Vec<Fact> {
    let run = || RunId::from(RUN);
    let moved = |task: &str, from, to, round| Fact::TaskMoved {
        run: run(),
        task: TaskId::from(task),
        role: "coder".into(),
        from,
        to,
        round,
    };
    let reviewed =
        |score, accepted| Fact::TaskReviewed { run: run(), task: TaskId::from(TASK), round: 0, score, accepted };
    use TaskState::{Accepted, Blocked, InReview, Pending, Produced, Revising, Running, Skipped};
    vec![
        Fact::RunStarted { run: run(), team: "writers".into() },
        Fact::PlanRejected { run: run(), reason: "a secret reason".to_owned() },
        Fact::PlanAccepted { run: run(), tasks: vec![(TaskId::from(TASK), "a secret title".into())], degraded: true },
        moved(TASK, None, Pending, 0),
        moved("t2", None, Pending, 0),
        moved("t3", None, Pending, 0),
        moved(TASK, Some(Pending), Running, 0),
        moved(TASK, Some(Running), Produced, 0),
        moved(TASK, Some(Produced), InReview, 0),
        reviewed(0.4, false),
        moved(TASK, Some(InReview), Revising, 1),
        moved(TASK, Some(Revising), InReview, 1),
        reviewed(0.9, true),
        moved(TASK, Some(InReview), Accepted, 1),
        moved("t2", Some(Pending), Skipped, 0),
        Fact::TaskAudited { run: run(), task: TaskId::from(TASK), agreed: false },
        Fact::TasksSpawned {
            run: run(),
            parent: TaskId::from(TASK),
            tasks: vec![(TaskId::from("t1.1"), "a secret title".into())],
        },
        Fact::RouteDecided {
            run: run(),
            task: TaskId::from(TASK),
            tier: "small".into(),
            explored: true,
            why: "a secret reason".to_owned(),
        },
        Fact::MessageSent { run: run(), from: "a".into(), to: "b".into(), what: "assignment" },
        Fact::MessageDied { run: run(), to: "b".into(), what: "assignment" },
        Fact::RunStarted { run: RunId::from("another-secret"), team: "writers".into() },
        moved("t4", None, Blocked, 0),
        Fact::RunFinished {
            run: run(),
            team: "writers".into(),
            outcome: RunOutcome::Partial,
            took: Duration::from_secs(90),
        },
    ]
}

/// Every kind of fact, and an answered call of unknown price.
pub(crate) fn everything() -> Vec<Fact> {
    let unpriced = Fact::CallCompleted {
        call: call("local", Class::Interactive),
        usage: Usage { cost: None, ..priced() },
        took: Duration::from_secs(1),
        first_token: None,
    };
    let began = Fact::RunStarted { run: RunId::from(RUN), team: "writers".into() };
    let produced = Fact::TaskMoved {
        run: RunId::from(RUN),
        task: TaskId::from(TASK),
        role: "coder".into(),
        from: None,
        to: TaskState::Produced,
        round: 0,
    };
    let turn = [vec![began], hard_call(), vec![produced]].concat();
    [turn, lost_calls(), run(), quota(), keys(), vec![unpriced]].concat()
}

/// A limit that is told and then learnt anew, a pause for everybody, and tickets that leave the line.
pub(crate) fn quota() -> Vec<Fact> {
    let quota = || "holysheep".into();
    let changed = |limit| Fact::LimitChanged { quota: quota(), what: WaitReason::Requests, limit };
    let shed = |expired| {
        let flow = Flow::new("writers", RUN, "coder");
        Fact::TicketShed { ticket: TicketId(7), flow, class: Class::Batch, expired }
    };
    let paused = Fact::QuotaPaused { quota: quota(), wait: Duration::from_secs(2) };
    vec![changed(600), changed(480), paused, shed(true), shed(true), shed(false)]
}

/// A key that fails, is tried, and is parked; calls that go elsewhere, wait with a retry, and are sent twice.
pub(crate) fn keys() -> Vec<Fact> {
    let changed = |state| Fact::KeyChanged { provider: "holysheep".into(), state, wait: None };
    let call = || call("gpt-4.1", Class::Standard);
    vec![
        changed(KeyState::Open),
        changed(KeyState::HalfOpen),
        changed(KeyState::Open),
        changed(KeyState::Parked),
        Fact::CallRerouted { call: call(), to: "backup".into(), kind: ErrorKind::QuotaExhausted },
        Fact::RetryDenied { call: call() },
        Fact::CallHedged { call: call(), end: HedgeEnd::Won },
        Fact::CallWaiting { call: call(), reason: WaitReason::Tokens, wait: None },
        Fact::CallWaiting { call: call(), reason: WaitReason::Tokens, wait: Some(Duration::from_secs(2)) },
    ]
}

/// What an exporter of its own says after these facts.
pub(crate) fn text_after(facts: &[Fact]) -> String {
    let (exporter, observer) = (Exporter::local(), MetricsObserver::new());
    exporter.record(|| facts.iter().for_each(|fact| observer.observe(fact)));
    exporter.render()
}

/// What is exported beside facts: how a budget and a limit stand.
pub(crate) fn standing(exporter: &Exporter) {
    exporter.record(|| {
        budget_stands(Usd::from_nanos(500_000_000), Usd::from_nanos(250_000_000), Usd::from_dollars(2.0));
        limit_stands(&"holysheep".into(), "tokens", LimitStands { level: -300, told: true, drift: Some(-20) });
        limit_stands(&"holysheep".into(), "requests", LimitStands { level: 42, told: false, drift: None });
    });
}

/// The same fact of another run.
pub(crate) fn of_run(mut fact: Fact, name: &RunId) -> Fact {
    match &mut fact {
        Fact::CallAbandoned { call, .. }
        | Fact::CallAdmitted { call, .. }
        | Fact::CallCompleted { call, .. }
        | Fact::CallFailed { call, .. }
        | Fact::CallQueued { call }
        | Fact::CallRefused { call, .. }
        | Fact::CallWaiting { call, .. }
        | Fact::CallRetried { call, .. }
        | Fact::CallThrottled { call, .. } => {
            let call = Arc::make_mut(call);
            call.context.run = Some(name.clone());
            call.context.flow.run = name.as_str().into();
        }
        Fact::RunFinished { run, .. } | Fact::RunStarted { run, .. } | Fact::TaskMoved { run, .. } => {
            *run = name.clone()
        }
        _ => {}
    }
    fact
}
