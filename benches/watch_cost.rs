//! What looking on costs: metrics beside a call, and a hundred slow readers beside a run.
//!
//! ```sh
//! cargo bench -p bellwether-benches --bench watch_cost
//! cargo bench -p bellwether-benches --bench watch_cost -- readers     # or: calls, facts
//! ```
//!
//! Each comparison is made in one run, in pairs that take turns at going first, so that a machine that grows slower or
//! quicker meanwhile does so for both. What is printed is the median of the pairs, between their quartiles.
//!
//! `call` goes through fair queue and limiter, over HTTP to a simulator without latency, and to a provider in the
//! same process that answers at once, on all threads and on one: without metrics, and with every fact counted and
//! folded. `run` is a journaled run whose page nobody reads, and the same with a hundred readers of its event stream:
//! half of them take 64 bytes every fifth of a second, half take nothing at all. The processor time that the readers
//! add, by entry of the journal and reader, is a figure that a busy machine hardly moves.

use std::cell::Cell;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bellwether_core::{Call, Demand, Fact};
use bellwether_dispatch::Dispatch;
use bellwether_journal::{Journal, Reader, Settings as Keep, SqliteJournal};
use bellwether_limiter::{Concurrency, Limit, Limiter, Limits, Rate};
use bellwether_metrics::{Exporter, MetricsObserver, Observer};
use bellwether_provider::{
    CallContext, ChatProvider, ChatRequest, ChatResponse, ChatStream, Message, OpenAiCompatible, ProviderConfig,
    ProviderError, Usage,
};
use bellwether_queue::{AtTheDoor, TicketQueue};
use bellwether_sim::{Latency, Scenario, Simulator};
use bellwether_team::{Control, Role, RunId, Settings, Team, Tier, new_run_id};
use bellwether_watch::{Notebook, Noting, Page};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const READERS: usize = 100;
/// Tasks of a run; with a review each, and the plan, that makes 129 steps.
const TASKS: usize = 64;

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
fn main() {
    let quick = std::env::args().any(|arg| arg == "--test");
    let parts = ["calls", "readers", "facts"];
    let named: Vec<String> = std::env::args().filter(|arg| parts.contains(&arg.as_str())).collect();
    let wanted = |part: &str| named.is_empty() || named.iter().any(|name| name == part);
    let pairs = |full| if quick { 1 } else { full };
    let exporter = Exporter::install().expect("nobody else counts in this process");
    if wanted("calls") || wanted("readers") {
        println!("| what | without | with | more |\n|---|---|---|---|");
    }
    if wanted("calls") {
        calls_over_http(&exporter, pairs(100));
        calls_in_process(&exporter, pairs(100));
    }
    if wanted("readers") {
        // A model that answers in a tenth of a second is a quick one; none answers in a fiftieth.
        readers(pairs(16), Duration::from_millis(100));
        readers(pairs(16), Duration::from_millis(20));
    }
    if wanted("facts") {
        facts_alone(&exporter, pairs(100));
    }
}

/// The processor time of this process so far, in seconds.
fn processor() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("a process may ask for its own usage");
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(micros.unsigned_abs()).as_secs_f64()
}

fn runtime() -> Runtime {
    Runtime::new().expect("a runtime can be made")
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime can be made")
}

/// Seconds of one way and of the other, from as many pairs; the first pair only warms up.
fn compare(name: &str, pairs: usize, mut without: impl FnMut() -> f64, mut with: impl FnMut() -> f64) {
    let mut seen = Vec::with_capacity(pairs);
    for pair in 0..=pairs {
        let both = if pair % 2 == 0 {
            let first = without();
            (first, with())
        } else {
            let first = with();
            (without(), first)
        };
        if pair > 0 {
            seen.push(both);
        }
    }
    let quartiles = |value: fn(&(f64, f64)) -> f64| {
        let mut values: Vec<f64> = seen.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        [values.len() / 4, values.len() / 2, values.len() * 3 / 4].map(|place| values[place])
    };
    let [_, without, _] = quartiles(|(without, _)| *without);
    let [_, with, _] = quartiles(|(_, with)| *with);
    let [low, more, high] = quartiles(|(without, with)| 100.0 * (with / without - 1.0));
    print(name, without, with, [low, more, high]);
}

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
fn print(name: &str, without: f64, with: f64, [low, more, high]: [f64; 3]) {
    let (without, with) = (Duration::from_secs_f64(without), Duration::from_secs_f64(with));
    println!("| {name} | {without:.2?} | {with:.2?} | {more:+.2} % ({low:+.2} to {high:+.2}) |");
}

/// Fair queue, limiter, provider; `observer` hears it all. The limits are never reached, so that nobody waits for them.
fn dispatch(provider: Arc<dyn ChatProvider>, observer: Arc<dyn Observer>) -> Dispatch {
    let plenty = Limit::told(Rate::per_second(1_000_000_000_000));
    let limits =
        Limits { requests: plenty, tokens: plenty, concurrency: Concurrency::Told(NonZeroU32::MAX), ..Limits::NONE };
    let settings = bellwether_limiter::Settings { limits, ..bellwether_limiter::Settings::default() };
    let limiter = Limiter::observed("key", settings, Arc::clone(&observer));
    let queue = |observer| {
        Arc::new(TicketQueue::new(&bellwether_queue::Settings::default(), AtTheDoor::Refuse, observer)) as Arc<_>
    };
    Dispatch::builder(provider).queue_with(queue).limiter(Arc::new(limiter)).observer(observer).unary().build()
}

/// What a call's facts cost whoever counts them, apart from everything else: the shortest of many rounds.
#[expect(clippy::print_stdout, reason = "a figure is what it is for")]
fn facts_alone(exporter: &Exporter, rounds: usize) {
    const CALLS: u32 = 1_000;
    let observer = MetricsObserver::new();
    let demand = Demand { requests: 1, input_tokens: 200, output_tokens: 50 };
    let usage = Usage { input_tokens: Some(200), output_tokens: Some(50), ..Usage::default() };
    let (took, zero) = (Duration::from_millis(1), Duration::ZERO);
    let call = |_| Call { context: CallContext::default(), model: "m".into(), provider: "p".into(), demand };
    let calls: Vec<_> = (0..CALLS).map(|n| Arc::new(call(n))).collect();
    let round = || {
        let began = Instant::now();
        for call in &calls {
            let call = || Arc::clone(call);
            observer.observe(&Fact::CallQueued { call: call() });
            observer.observe(&Fact::CallAdmitted { call: call(), waited: zero, overhead: zero });
            observer.observe(&Fact::CallCompleted { call: call(), usage, took, first_token: None });
        }
        let counted = began.elapsed() / CALLS;
        exporter.upkeep();
        (counted, began.elapsed() / CALLS)
    };
    let rounds: Vec<_> = (0..rounds * 100).map(|_| round()).collect();
    let counted = rounds.iter().map(|(counted, _)| *counted).min().unwrap_or_default();
    let folded = rounds.iter().map(|(_, folded)| *folded).min().unwrap_or_default();
    println!("\nThe facts of a call, counted: {counted:.2?} at the quickest; counted and folded: {folded:.2?}.");
}

fn calls_over_http(exporter: &Exporter, pairs: usize) {
    let server = runtime();
    let latency = Latency { first_token: Duration::ZERO, jitter: 0.0, per_token: Duration::ZERO };
    let scenario = Scenario { latency, ..Scenario::default() };
    let simulator = server
        .block_on(Simulator::start(scenario, SocketAddr::from(([127, 0, 0, 1], 0))))
        .expect("a port on this machine is free");
    let config = ProviderConfig::new("simulator", simulator.base_url());
    let provider = Arc::new(OpenAiCompatible::new(config).expect("the configuration makes sense"));
    calls("call, over HTTP", exporter, pairs, 200, &(provider as Arc<dyn ChatProvider>), &runtime());
    server.block_on(simulator.shutdown());
}

fn calls_in_process(exporter: &Exporter, pairs: usize) {
    let provider: Arc<dyn ChatProvider> = Arc::new(After(Duration::ZERO));
    calls("call, answered in process", exporter, pairs, 2_000, &provider, &runtime());
    calls("call, answered in process, one thread", exporter, pairs, 2_000, &provider, &one_thread());
}

/// Compares `count` calls, one after the other, without and with metrics; what is shown is one call.
fn calls(
    name: &str,
    exporter: &Exporter,
    pairs: usize,
    count: u32,
    provider: &Arc<dyn ChatProvider>,
    client: &Runtime,
) {
    let [without, with] = client.block_on(async {
        let observer = Arc::new(MetricsObserver::new());
        [dispatch(Arc::clone(provider), Arc::new(())), dispatch(Arc::clone(provider), observer)]
    });
    let ask = |dispatch: &Dispatch| {
        client.block_on(async {
            for _ in 0..count {
                let request =
                    ChatRequest::new("sim-small", vec![Message::user("Name the sheep that leads the flock.")]);
                dispatch.chat(request, CallContext::default()).await.expect("the provider is well");
            }
        });
    };
    let each = |began: Instant| began.elapsed().as_secs_f64() / f64::from(count);
    compare(
        name,
        pairs,
        || {
            let began = Instant::now();
            ask(&without);
            each(began)
        },
        || {
            let began = Instant::now();
            ask(&with);
            exporter.upkeep();
            each(began)
        },
    );
    client.block_on(async { tokio::join!(without.shutdown(), with.shutdown()) });
}

/// Answers after a while.
#[derive(Debug)]
struct After(Duration);

#[async_trait]
impl ChatProvider for After {
    fn name(&self) -> &'static str {
        "after"
    }

    async fn stream(&self, _: ChatRequest, context: CallContext) -> Result<ChatStream, ProviderError> {
        if !self.0.is_zero() {
            sleep(self.0).await;
        }
        let text = match context.phase {
            "plan" => (1..=TASKS).map(|n| format!("{n}. step {n}\n")).collect(),
            "review" => r#"{"decision": "accept", "score": 0.9}"#.to_owned(),
            _ => "done".to_owned(),
        };
        let usage = Usage { input_tokens: Some(200), output_tokens: Some(50), ..Usage::default() };
        Ok(ChatStream::ready(ChatResponse { usage, ..ChatResponse::text(text) }))
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        Ok(Vec::new())
    }
}

fn team(provider: Arc<dyn ChatProvider>, journal: Arc<dyn Journal>, observer: Arc<dyn Observer>) -> Team {
    let tier = Tier::new(provider, "model");
    let max_parallel = NonZeroUsize::new(8).expect("8 is not zero");
    let max_tasks = NonZeroUsize::new(TASKS).expect("there are tasks");
    Team::builder("bench")
        .role(Role::planner("lead", "You plan.", tier.clone()))
        .role(Role::worker("coder", "You code.", tier.clone()))
        .role(Role::reviewer("critic", "You review.", tier))
        .settings(Settings { max_parallel, max_tasks, ..Settings::default() })
        .journal(journal)
        .observer(observer)
        .build()
        .expect("the team makes sense")
}

/// Asks for a run's events, once it is there, and takes them slowly, or not at all.
async fn follow(addr: SocketAddr, run: RunId, takes: bool) {
    let mut socket = loop {
        let mut socket = TcpStream::connect(addr).await.expect("the page is served");
        let ask = format!("GET /api/runs/{run}/events HTTP/1.1\r\nhost: {addr}\r\n\r\n");
        socket.write_all(ask.as_bytes()).await.expect("it reads");
        let mut head = [0; 12];
        socket.read_exact(&mut head).await.expect("it answers");
        if &head == b"HTTP/1.1 200" {
            break socket;
        }
        sleep(Duration::from_millis(5)).await;
    };
    let mut piece = [0; 64];
    while takes && matches!(socket.read(&mut piece).await, Ok(1..)) {
        sleep(Duration::from_millis(200)).await;
    }
    // The connection stays open, and nobody reads.
    std::future::pending::<()>().await;
}

#[expect(clippy::print_stdout, reason = "a figure is what it is for")]
fn readers(pairs: usize, answers_after: Duration) {
    let (client, onlookers) = (runtime(), runtime());
    let folder = tempfile::tempdir().expect("there is room for a journal");
    let journal = SqliteJournal::open(folder.path(), Keep { ballast: 0, ..Keep::default() });
    let notebook = Arc::new(Notebook::default());
    let noting = Arc::new(Noting::new(Arc::new(journal.expect("a journal can be made")), Arc::clone(&notebook)));
    let observer = || Arc::<Notebook>::clone(&notebook) as Arc<dyn Observer>;
    let dispatch = client.block_on(async { Arc::new(dispatch(Arc::new(After(answers_after)), observer())) });
    let provider = Arc::<Dispatch>::clone(&dispatch) as Arc<dyn ChatProvider>;
    let team = team(provider, Arc::<Noting>::clone(&noting) as Arc<dyn Journal>, observer());
    let page = Page::new(Reader::open(folder.path()).expect("the journal is there"));
    let mut tasks = JoinSet::new();
    tasks.spawn_on(async move { noting.attend().await }, client.handle());
    let listening = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = onlookers.block_on(Exporter::local().serve_with(listening, page.routes())).expect("a free port");
    let took = [Cell::new(0.0), Cell::new(0.0)];
    let run = |count: usize| {
        let (run, before) = (new_run_id(), processor());
        let mut watching = JoinSet::new();
        for reader in 0..count {
            watching.spawn_on(follow(server.addr(), run.clone(), reader % 2 == 0), onlookers.handle());
        }
        let began = Instant::now();
        let report = client.block_on(team.run_with("build it", run, &Control::default()));
        let each = began.elapsed().as_secs_f64() / f64::from(report.calls);
        assert_eq!(report.tasks.len(), TASKS, "every run takes the same steps");
        let took = &took[usize::from(count > 0)];
        took.set(took.get() + processor() - before);
        onlookers.block_on(watching.shutdown());
        each
    };
    let name = format!("step of a run, {READERS} readers, answers after {answers_after:?}");
    compare(&name, pairs, || run(0), || run(READERS));
    let runs = client.block_on(Reader::open(folder.path()).expect("the journal is there").runs());
    let entries: u64 = runs.expect("it can be read").iter().map(|run| run.entries).sum();
    let more = (took[1].get() - took[0].get()) / (entries / 2 * READERS as u64) as f64;
    println!(
        "\n{READERS} readers add {:.2?} of processor time by entry and reader.\n",
        Duration::from_secs_f64(more.max(0.0))
    );
    client.block_on(async {
        tasks.shutdown().await;
        dispatch.shutdown().await;
    });
    onlookers.block_on(server.shutdown());
}
