//! Facts in, spans out.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bellwether_core::{
    Call, CallContext, Demand, ErrorKind, Fact, Flow, Observer, RunId, RunOutcome, TaskId, TaskState, Usage, Usd,
};
use bellwether_metrics::SpanObserver;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::with_default;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

const RUN: &str = "run-1";
const SECRET: &str = "what a model said";

/// What is known of a closed span.
#[derive(Debug, Default)]
struct Closed {
    name: &'static str,
    parent: Option<&'static str>,
    fields: BTreeMap<&'static str, String>,
}

impl Visit for Closed {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.insert(field.name(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

/// Collects spans in the order in which they close.
#[derive(Clone, Default)]
struct Collected(Arc<Mutex<Vec<Closed>>>);

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Collected {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let span = context.span(id).expect("the span is open");
        let mut closed =
            Closed { name: span.name(), parent: span.parent().map(|parent| parent.name()), ..Closed::default() };
        attributes.record(&mut closed);
        span.extensions_mut().insert(closed);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        values.record(
            context
                .span(id)
                .expect("the span is open")
                .extensions_mut()
                .get_mut::<Closed>()
                .expect("every span was noted when it opened"),
        );
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let closed = context
            .span(&id)
            .expect("the span is open")
            .extensions_mut()
            .remove()
            .expect("every span was noted when it opened");
        self.0.lock().expect("nobody panicked").push(closed);
    }
}

fn spans(facts: &[Fact]) -> Vec<Closed> {
    let collected = Collected::default();
    let observer = SpanObserver::new();
    with_default(Registry::default().with(collected.clone()), || facts.iter().for_each(|fact| observer.observe(fact)));
    std::mem::take(&mut collected.0.lock().expect("nobody panicked"))
}

fn call(role: &str, task: Option<&str>, phase: &'static str) -> Arc<Call> {
    let context = CallContext {
        run: Some(RunId::from(RUN)),
        task: task.map(TaskId::from),
        phase,
        idempotency_key: Some("key-secret".into()),
        ..CallContext::new(Flow::new("writers", RUN, role))
    };
    let demand = Demand { requests: 1, input_tokens: 800, output_tokens: 400 };
    Arc::new(Call { context, model: "gpt-4.1".into(), provider: "holysheep".into(), demand })
}

fn sent(call: &Arc<Call>) -> [Fact; 2] {
    let call = || Arc::clone(call);
    [
        Fact::CallQueued { call: call() },
        Fact::CallAdmitted { call: call(), waited: Duration::from_millis(250), overhead: Duration::ZERO },
    ]
}

fn answered(call: &Arc<Call>) -> Vec<Fact> {
    let usage = Usage {
        input_tokens: Some(1_000),
        output_tokens: Some(200),
        cached_tokens: Some(600),
        reasoning_tokens: None,
        cost: Usd::from_dollars(0.5),
    };
    let (took, first_token) = (Duration::from_secs(3), Some(Duration::from_millis(500)));
    let completed = Fact::CallCompleted { call: Arc::clone(call), usage, took, first_token };
    sent(call).into_iter().chain([completed]).collect()
}

fn moved(to: TaskState) -> Fact {
    let (run, task) = (RunId::from(RUN), TaskId::from("t1"));
    Fact::TaskMoved { run, task, role: "coder".into(), from: None, to, round: 0 }
}

/// A plan, a work call that is throttled and then answered, a review that fails.
fn a_run() -> Vec<Fact> {
    let run = || RunId::from(RUN);
    let (plan, work, again) =
        (call("lead", None, "plan"), call("coder", Some("t1"), "work"), call("coder", Some("t1"), "work"));
    let review = call("critic", Some("t1"), "review");
    let (kind, took) = (ErrorKind::Overloaded, Duration::from_secs(1));
    let mut facts = vec![Fact::RunStarted { run: run(), team: "writers".into() }];
    facts.extend(answered(&plan));
    facts.push(Fact::PlanRejected { run: run(), reason: SECRET.to_owned() });
    facts.push(Fact::PlanAccepted { run: run(), tasks: vec![("t1".into(), SECRET.into())], degraded: false });
    facts.push(moved(TaskState::Running));
    facts.extend(sent(&work));
    facts.push(Fact::CallThrottled { call: Arc::clone(&work), retry_after: None });
    facts.extend(answered(&again));
    facts.push(moved(TaskState::InReview));
    facts.extend(sent(&review));
    facts.push(Fact::CallFailed { call: review, kind, took });
    facts.push(moved(TaskState::Unreviewed));
    facts.push(Fact::RunFinished { run: run(), team: "writers".into(), outcome: RunOutcome::Failed, took });
    facts
}

#[test]
fn a_run_is_a_workflow_of_agents_of_calls() {
    let spans = spans(&a_run());
    let shape: Vec<_> = spans.iter().map(|span| (span.fields["otel.name"].as_str(), span.parent)).collect();
    assert_eq!(
        shape,
        [
            ("chat gpt-4.1", Some("invoke_agent")),
            ("invoke_agent lead", Some("invoke_workflow")),
            ("chat gpt-4.1", Some("invoke_agent")),
            ("chat gpt-4.1", Some("invoke_agent")),
            ("invoke_agent coder", Some("invoke_workflow")),
            ("chat gpt-4.1", Some("invoke_agent")),
            ("invoke_agent critic", Some("invoke_workflow")),
            ("invoke_workflow writers", None),
        ]
    );
    assert!(spans.iter().all(|span| span.name == span.fields["gen_ai.operation.name"]));
}

#[test]
fn attributes_are_those_of_the_conventions() {
    let spans = spans(&a_run());
    for (field, value) in [
        ("gen_ai.provider.name", "holysheep"),
        ("gen_ai.request.model", "gpt-4.1"),
        ("gen_ai.agent.name", "lead"),
        ("gen_ai.usage.input_tokens", "1000"),
        ("gen_ai.usage.output_tokens", "200"),
        ("gen_ai.usage.cache_read.input_tokens", "600"),
        ("gen_ai.response.time_to_first_chunk", "0.5"),
        ("bellwether.queue.wait_seconds", "0.25"),
        ("bellwether.cost_usd", "0.5"),
        ("otel.kind", "client"),
    ] {
        assert_eq!(spans[0].fields.get(field).map(String::as_str), Some(value), "{field}");
    }
    let errors: Vec<_> = spans.iter().map(|span| span.fields.get("error.type").map(String::as_str)).collect();
    assert_eq!(errors, [None, None, Some("throttled"), None, None, Some("overloaded"), None, Some("failed")]);
    assert!(
        spans.iter().all(|span| span.fields.contains_key("error.type") == span.fields.contains_key("otel.status_code"))
    );
}

#[test]
fn no_text_of_a_model_and_no_key_is_an_attribute() {
    let spans = spans(&a_run());
    let values: Vec<_> = spans.iter().flat_map(|span| span.fields.values()).collect();
    assert!(!values.is_empty() && values.iter().all(|value| !value.contains(SECRET) && !value.contains("key-secret")));
}

#[test]
fn calls_outside_of_a_run_have_no_parent_and_a_refused_call_is_a_span_too() {
    let alone = call("loop", None, "load");
    let refused = Fact::CallRefused { call: Arc::clone(&alone), kind: ErrorKind::QueueFull };
    let spans = spans(&[Fact::CallQueued { call: alone }, refused]);
    assert_eq!((spans.len(), spans[0].parent), (1, None));
    assert_eq!(spans[0].fields["error.type"], ErrorKind::QueueFull.as_str());
}

/// An audit moves no task, and its span used to last until the run was over.
#[test]
fn an_audit_ends_with_what_came_of_it_and_a_run_that_succeeded_is_no_error() {
    let run = || RunId::from(RUN);
    let began = Fact::RunStarted { run: run(), team: "writers".into() };
    let audit = answered(&call("critic", Some("t1"), "audit"));
    let audited = Fact::TaskAudited { run: run(), task: "t1".into(), agreed: true };
    let facts = [vec![began], audit, vec![audited]].concat();
    let names = |spans: &[Closed]| spans.iter().map(|span| span.name).collect::<Vec<_>>();
    assert_eq!(names(&spans(&facts)), ["chat", "invoke_agent"]);
    let (outcome, took) = (RunOutcome::SucceededWithDefects, Duration::ZERO);
    let over = Fact::RunFinished { run: run(), team: "writers".into(), outcome, took };
    let spans = spans(&[facts, vec![over]].concat());
    assert_eq!(names(&spans), ["chat", "invoke_agent", "invoke_workflow"]);
    assert!(spans.iter().all(|span| !span.fields.contains_key("error.type")));
    assert_eq!(spans[2].fields["bellwether.outcome"], outcome.as_str());
}
