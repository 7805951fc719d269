//! `bellwether load`: loops of calls in several flows through one quota, and what each flow got of it.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, IsTerminal};
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bellwether_core::{
    CallContext, ChatProvider, ChatRequest, ErrorKind, Flow, Message, Observer, ProviderError, TaskId,
};
use bellwether_dispatch::Dispatch;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::args::Load;
use crate::exit::{self, Exit, Failure};
use crate::tally::{self, Tally};
use crate::terminal::{advise, cut, note, out, plain};
use crate::{endpoint, quota, session};

/// Loops that share a weight: `light:weight=1,loops=2`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FlowSpec {
    name: Arc<str>,
    weight: NonZeroU32,
    loops: NonZeroU32,
}

impl FromStr for FlowSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, fields) = text.split_once(':').unwrap_or((text, ""));
        if name.trim().is_empty() {
            return Err(format!("{text:?} names no flow: write NAME:weight=1,loops=2"));
        }
        let mut spec = Self { name: name.trim().into(), weight: NonZeroU32::MIN, loops: NonZeroU32::MIN };
        for field in fields.split(',').filter(|field| !field.trim().is_empty()) {
            let (key, value) = field.split_once('=').ok_or_else(|| format!("{field:?} is not KEY=NUMBER"))?;
            let number = value.trim().parse().map_err(|_| format!("{value:?} is no whole number from 1 up"))?;
            match key.trim() {
                "weight" => spec.weight = number,
                "loops" => spec.loops = number,
                other => return Err(format!("{other:?} is not known: use weight and loops")),
            }
        }
        Ok(spec)
    }
}

/// A name that two of the flows have.
fn twice(flows: &[FlowSpec]) -> Option<&str> {
    let mut names = HashSet::new();
    flows.iter().map(|flow| &*flow.name).find(|name| !names.insert(*name))
}

/// What is wrong with the flows as a whole.
fn mistake(flows: &[FlowSpec]) -> Option<String> {
    let loops: u64 = flows.iter().map(|flow| u64::from(flow.loops.get())).sum();
    if let Some(name) = twice(flows) {
        Some(format!("--flows names {name:?} twice: give each flow a name of its own"))
    } else if loops > quota::CAPACITY as u64 {
        Some(format!("--flows has {loops} loops, and no more than {} calls can wait: use fewer", quota::CAPACITY))
    } else {
        None
    }
}

/// How long it goes on.
struct Bounds {
    until: Instant,
    /// Calls that may still begin.
    left: Option<AtomicU64>,
    /// Calls that were begun.
    begun: AtomicU64,
    /// What every further call would fail of.
    hopeless: OnceLock<ErrorKind>,
}

impl Bounds {
    /// Whether another call may begin.
    fn allow(&self) -> bool {
        let counted = self.left.as_ref().is_none_or(|left| {
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
        });
        counted && Instant::now() < self.until && self.hopeless.get().is_none()
    }
}

/// What the first call said that failed in each way: a kind alone does not tell what to mend.
#[derive(Debug, Default)]
struct Reasons(Mutex<BTreeMap<&'static str, String>>);

impl Reasons {
    fn add(&self, error: &ProviderError) {
        let mut reasons = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reasons.entry(error.kind.as_str()).or_insert_with(|| cut(&plain(&error.message, false), 300));
    }

    fn tell(&self) {
        let reasons = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reasons.iter().for_each(|(kind, said)| note(&format!("{kind}: {said}")));
    }
}

pub(crate) async fn run(args: Load) -> Result<Exit, Failure> {
    if let Some(mistake) = mistake(&args.flows) {
        return Err(Failure::usage(mistake));
    }
    let tally = Arc::new(Tally::default());
    let observer: Arc<dyn Observer> = Arc::<Tally>::clone(&tally) as Arc<dyn Observer>;
    let dispatch = endpoint::connect(&args.endpoint, endpoint::Way::Streaming, &observer)?;
    let bar = progress(args.duration);
    let began = Instant::now();
    let bounds = Arc::new(Bounds {
        until: began + args.duration,
        left: args.requests.map(|most| AtomicU64::new(most.get())),
        begun: AtomicU64::new(0),
        hopeless: OnceLock::new(),
    });
    let request = ChatRequest {
        max_output_tokens: Some(args.max_tokens),
        ..ChatRequest::new(args.model.as_str(), vec![Message::user(args.prompt.as_str())])
    };
    let reasons = Arc::new(Reasons::default());
    let mut loops = JoinSet::new();
    for flow in &args.flows {
        for _ in 0..flow.loops.get() {
            loops.spawn(call_again_and_again(
                flow.clone(),
                request.clone(),
                Arc::clone(&dispatch),
                Arc::clone(&tally),
                Arc::clone(&reasons),
                bar.clone(),
                Arc::clone(&bounds),
            ));
        }
    }
    let ended = tokio::select! {
        _ = async { while loops.join_next().await.is_some() {} } => Ok(None),
        failure = tally.nobody_there() => Err(failure),
        // What was found out so far is worth as much.
        () = session::signal() => Ok(Some(Exit::Cancelled)),
    };
    loops.shutdown().await;
    dispatch.shutdown().await;
    bar.finish_and_clear();
    let stopped = ended?;
    let summary = tally.summary(began.elapsed());
    out(&if args.json { format!("{summary}\n") } else { table(&summary) });
    reasons.tell();
    let (exit, remedy) = match (stopped, bounds.hopeless.get()) {
        (Some(stopped), _) => (stopped, None),
        (None, Some(kind)) => (exit::of_kind(*kind), exit::remedy(*kind)),
        // That some calls fail is what a load finds out.
        (None, None) if summary["ok"] != 0 => (Exit::Done, None),
        (None, None) => tally.exit(),
    };
    advise(remedy);
    Ok(exit)
}

async fn call_again_and_again(
    flow: FlowSpec,
    request: ChatRequest,
    dispatch: Arc<Dispatch>,
    tally: Arc<Tally>,
    reasons: Arc<Reasons>,
    bar: ProgressBar,
    bounds: Arc<Bounds>,
) {
    while bounds.allow() {
        let call: Arc<str> = bounds.begun.fetch_add(1, Ordering::Relaxed).to_string().into();
        let context = CallContext {
            task: Some(TaskId::from(Arc::clone(&call))),
            weight: flow.weight,
            // What is still waiting when the time is up is given up, so that the end is the end.
            deadline: Some(bounds.until.into_std() + Duration::from_secs(60)),
            phase: "load",
            ..CallContext::new(Flow::new("load", Arc::clone(&flow.name), "loop"))
        };
        let asked = Instant::now();
        let answer = dispatch.chat(request.clone(), context).await;
        let took = asked.elapsed();
        let failed = answer.as_ref().err().map(|error| error.kind);
        let failure = |error: ProviderError| {
            reasons.add(&error);
            error.kind
        };
        let waited = tally.take_turns(&call).waited(took);
        tally.finished(&flow.name, waited, answer.map(|_| took).map_err(failure));
        match failed {
            Some(kind @ (ErrorKind::Auth | ErrorKind::QuotaExhausted)) => _ = bounds.hopeless.set(kind),
            // Turned away at our own door: without a pause it would knock again at once, and let nobody else have a turn.
            Some(_) if took < AT_ONCE => sleep(PAUSE).await,
            _ => {}
        }
        if !bar.is_hidden() {
            let (ok, failed, ..) = tally.so_far();
            bar.set_message(format!("{ok} answered, {failed} failed"));
        }
    }
}

/// No endpoint answers within this time.
const AT_ONCE: Duration = Duration::from_micros(500);
const PAUSE: Duration = Duration::from_millis(100);

/// How long it has been going on, and what became of its calls, on a terminal; otherwise nothing.
fn progress(duration: Duration) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = format!("{{elapsed}} of {}, {{msg}}", humantime::format_duration(duration));
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bar = ProgressBar::new_spinner().with_style(style).with_message("no answer yet");
    bar.enable_steady_tick(Duration::from_secs(1));
    bar
}

fn table(summary: &Value) -> String {
    let seconds = |value: &Value| value.as_f64().map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.2}s"));
    let mut table = format!(
        "{:<16} {:>8} {:>8} {:>9} {:>9} {:>9} {:>9} {:>6}\n",
        "Flow", "Answered", "Failed", "Wait p50", "p95", "Call p50", "p95", "429s"
    );
    for (name, flow) in summary["flows"].as_object().into_iter().flatten() {
        table.push_str(&format!(
            "{name:<16} {:>8} {:>8} {:>9} {:>9} {:>9} {:>9} {:>6}\n",
            flow["ok"].to_string(),
            flow["failed"].to_string(),
            seconds(&flow["wait_s"]["p50"]),
            seconds(&flow["wait_s"]["p95"]),
            seconds(&flow["latency_s"]["p50"]),
            seconds(&flow["latency_s"]["p95"]),
            flow["upstream_429"].to_string(),
        ));
    }
    table.push_str(&format!(
        "{} answered and {} failed{} in {}, {} CPU\n",
        summary["ok"],
        summary["failed"],
        tally::failed_of_what(summary),
        seconds(&summary["wall_s"]),
        seconds(&summary["cpu_s"])
    ));
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_is_written_with_its_weight_and_loops() {
        let spec: FlowSpec = "light:weight=2,loops=3".parse().unwrap();
        assert_eq!((&*spec.name, spec.weight.get(), spec.loops.get()), ("light", 2, 3));
        assert_eq!("solo".parse::<FlowSpec>().unwrap().loops.get(), 1);
        for wrong in ["", ":loops=1", "a:loops=0", "a:speed=1", "a:loops"] {
            assert!(wrong.parse::<FlowSpec>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_two_flows_have_one_name() {
        let flows = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<FlowSpec>>();
        assert_eq!(twice(&flows(&["a", "b:weight=2", "a:loops=3"])), Some("a"));
        assert_eq!(mistake(&flows(&["a", "b"])), None);
        assert!(mistake(&flows(&["a", "a"])).is_some_and(|told| told.contains("\"a\" twice")));
        let too_many = mistake(&flows(&["a:loops=6000", "b:loops=6000"]));
        assert!(too_many.is_some_and(|told| told.contains("12000 loops, and no more than 10000")));
    }
}
