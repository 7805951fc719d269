//! Facts as spans, in the words of OpenTelemetry's conventions for generative AI.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bellwether_core::{Call, Fact, Observer, RunId, RunOutcome, TaskId, Usage};
use tracing::field::Empty;
use tracing::{Span, info_span};

/// Opens and closes `tracing` spans as facts tell: `invoke_workflow` for a run, in it `invoke_agent` for each turn of an
/// agent, and in that `chat` for each time a call is sent. All have the target `bellwether` and the level `INFO`.
///
/// Their fields are those of the conventions, as far as there are some: `gen_ai.operation.name`, `gen_ai.provider.name`,
/// `gen_ai.request.model`, `gen_ai.usage.input_tokens`, `error.type` and others; ours begin with `bellwether.`. No prompt,
/// no answer and no other text of a model is ever in a field. The fields `otel.name`, `otel.kind` and `otel.status_code`
/// are how `tracing-opentelemetry` is told of a span's name, kind and status.
///
/// A turn ends when its task moves on or was audited, or the plan is made. Calls outside of a run are spans without a parent.
///
/// Spans go to whichever subscriber is the default where a fact is heard: set one for the whole process.
#[derive(Debug, Default)]
pub struct SpanObserver(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    runs: HashMap<RunId, Run>,
    /// What was sent and not answered yet, by its place in memory, which it keeps until then.
    calls: HashMap<usize, Span>,
}

#[derive(Debug)]
struct Run {
    span: Span,
    turns: HashMap<Turn, Span>,
}

/// What an agent does at one go.
#[derive(Debug, Eq, Hash, PartialEq)]
struct Turn {
    task: Option<TaskId>,
    role: Arc<str>,
    phase: &'static str,
    round: u32,
}

impl SpanObserver {
    /// An observer that has no span open.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Spans must not be dropped inside, because that calls the subscriber.
    fn with<T>(&self, change: impl FnOnce(&mut Open) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn sent(&self, call: &Arc<Call>, waited: Option<Duration>) {
        let parent = self.with(|open| open.turn(call));
        let span = chat(parent.as_ref(), call);
        if let Some(waited) = waited {
            span.record("bellwether.queue.wait_seconds", waited.as_secs_f64());
        }
        self.with(|open| open.calls.insert(name(call), span));
    }

    fn over(&self, call: &Arc<Call>, error: Option<&str>) {
        if let Some(span) = self.with(|open| open.calls.remove(&name(call)))
            && let Some(error) = error
        {
            failed(&span, error);
        }
    }

    fn answered(&self, call: &Arc<Call>, usage: &Usage, first_token: Option<Duration>) {
        let Some(span) = self.with(|open| open.calls.remove(&name(call))) else { return };
        let tokens = [
            ("gen_ai.usage.input_tokens", usage.input_tokens),
            ("gen_ai.usage.output_tokens", usage.output_tokens),
            ("gen_ai.usage.cache_read.input_tokens", usage.cached_tokens),
            ("gen_ai.usage.reasoning.output_tokens", usage.reasoning_tokens),
        ];
        for (field, tokens) in tokens {
            if let Some(tokens) = tokens {
                span.record(field, tokens);
            }
        }
        if let Some(first_token) = first_token {
            span.record("gen_ai.response.time_to_first_chunk", first_token.as_secs_f64());
        }
        if let Some(cost) = usage.cost {
            span.record("bellwether.cost_usd", cost.as_dollars());
        }
    }

    fn began(&self, run: &RunId, team: &str) {
        let span = info_span!(
            target: "bellwether",
            parent: None,
            "invoke_workflow",
            otel.name = format!("invoke_workflow {team}"),
            otel.kind = "internal",
            otel.status_code = Empty,
            gen_ai.operation.name = "invoke_workflow",
            gen_ai.workflow.name = team,
            error.r#type = Empty,
            bellwether.run = run.as_str(),
            bellwether.outcome = Empty,
        );
        let before = self.with(|open| open.runs.insert(run.clone(), Run { span, turns: HashMap::new() }));
        drop(before);
    }

    fn ended(&self, run: &RunId, outcome: RunOutcome) {
        let Some(run) = self.with(|open| open.runs.remove(run)) else { return };
        run.span.record("bellwether.outcome", outcome.as_str());
        if !matches!(outcome, RunOutcome::Succeeded | RunOutcome::SucceededWithDefects) {
            failed(&run.span, outcome.as_str());
        }
    }

    /// Ends the turns of a task, or those of the planning.
    fn moved(&self, run: &RunId, task: Option<&TaskId>) {
        let over: Vec<_> = self.with(|open| {
            let turns = open.runs.get_mut(run).map(|run| run.turns.extract_if(|turn, _| turn.task.as_ref() == task));
            turns.into_iter().flatten().collect()
        });
        drop(over);
    }
}

impl Open {
    /// The turn that a call belongs to, which begins with its first call.
    fn turn(&mut self, call: &Call) -> Option<Span> {
        let context = &call.context;
        let run = self.runs.get_mut(context.run.as_ref()?)?;
        let turn = Turn {
            task: context.task.clone(),
            role: Arc::clone(&context.flow.role),
            phase: context.phase,
            round: context.round,
        };
        Some(run.turns.entry(turn).or_insert_with(|| agent(&run.span, call)).clone())
    }
}

fn agent(run: &Span, call: &Call) -> Span {
    let context = &call.context;
    info_span!(
        target: "bellwether",
        parent: run,
        "invoke_agent",
        otel.name = format!("invoke_agent {}", context.flow.role),
        otel.kind = "internal",
        gen_ai.operation.name = "invoke_agent",
        gen_ai.agent.name = &*context.flow.role,
        bellwether.run = context.run.as_ref().map(RunId::as_str),
        bellwether.task = context.task.as_ref().map(TaskId::as_str),
        bellwether.phase = context.phase,
        bellwether.round = context.round,
    )
}

fn chat(parent: Option<&Span>, call: &Call) -> Span {
    let context = &call.context;
    info_span!(
        target: "bellwether",
        parent: parent.and_then(Span::id),
        "chat",
        otel.name = format!("chat {}", call.model),
        otel.kind = "client",
        otel.status_code = Empty,
        gen_ai.operation.name = "chat",
        gen_ai.provider.name = &*call.provider,
        gen_ai.request.model = &*call.model,
        gen_ai.agent.name = &*context.flow.role,
        gen_ai.response.time_to_first_chunk = Empty,
        gen_ai.usage.input_tokens = Empty,
        gen_ai.usage.output_tokens = Empty,
        gen_ai.usage.cache_read.input_tokens = Empty,
        gen_ai.usage.reasoning.output_tokens = Empty,
        error.r#type = Empty,
        bellwether.attempt = context.attempt,
        bellwether.class = context.class.as_str(),
        bellwether.cost_usd = Empty,
        bellwether.queue.wait_seconds = Empty,
    )
}

fn failed(span: &Span, error: &str) {
    span.record("error.type", error).record("otel.status_code", "ERROR");
}

fn name(call: &Arc<Call>) -> usize {
    Arc::as_ptr(call).addr()
}

impl Observer for SpanObserver {
    fn observe(&self, fact: &Fact) {
        match fact {
            Fact::CallAbandoned { call, .. } => self.over(call, Some("abandoned")),
            Fact::CallAdmitted { call, waited, .. } => self.sent(call, Some(*waited)),
            Fact::CallCompleted { call, usage, first_token, .. } => self.answered(call, usage, *first_token),
            Fact::CallFailed { call, kind, .. } => self.over(call, Some(kind.as_str())),
            Fact::CallRefused { call, kind } => {
                self.sent(call, None);
                self.over(call, Some(kind.as_str()));
            }
            Fact::CallThrottled { call, .. } => self.over(call, Some("throttled")),
            Fact::PlanAccepted { run, .. } => self.moved(run, None),
            Fact::RunFinished { run, outcome, .. } => self.ended(run, *outcome),
            Fact::RunStarted { run, team } => self.began(run, team),
            Fact::TaskAudited { run, task, .. } | Fact::TaskMoved { run, task, .. } => self.moved(run, Some(task)),
            _ => {}
        }
    }
}
