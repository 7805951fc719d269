//! What a dispatch costs: time beside a bare provider, calls a second over loopback HTTP, memory of calls that wait.
//!
//! ```sh
//! cargo bench -p bellwether-benches --bench dispatch_cost
//! ```
//!
//! Times are the least of many rounds, for the machine may be busy with other things.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bellwether_dispatch::{Demand, Dispatch, DispatchBuilder, Estimator, PermitPool, Usage};
use bellwether_limiter::{Concurrency, Limiter, Limits};
use bellwether_provider::{
    CallContext, ChatProvider, ChatRequest, ChatResponse, ChatStream, Message, OpenAiCompatible, ProviderConfig,
    ProviderError,
};
use bellwether_queue::{AtTheDoor, TicketQueue};
use bellwether_sim::{Latency, Scenario, Simulator};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use peak_alloc::PeakAlloc;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::Instant;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Calls in flight at once where many are.
const SIDE_BY_SIDE: usize = 64;

/// Answers at once, or never.
#[derive(Debug)]
enum Double {
    AtOnce,
    Never,
}

#[async_trait]
impl ChatProvider for Double {
    fn name(&self) -> &'static str {
        "double"
    }

    async fn stream(&self, _: ChatRequest, _: CallContext) -> Result<ChatStream, ProviderError> {
        match self {
            Self::AtOnce => Ok(ChatStream::ready(answer())),
            Self::Never => std::future::pending().await,
        }
    }

    async fn chat(&self, _: ChatRequest, _: CallContext) -> Result<ChatResponse, ProviderError> {
        match self {
            Self::AtOnce => Ok(answer()),
            Self::Never => std::future::pending().await,
        }
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        Ok(Vec::new())
    }
}

#[expect(clippy::print_stdout, reason = "the tables are what it is for")]
fn main() {
    let quick = std::env::args().any(|arg| arg == "--test");
    let wanted = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    let wants = |part: &str| wanted.as_deref().is_none_or(|wanted| part.contains(wanted));
    if wants("alone") {
        println!("| around a provider that answers at once, one thread | us per call |\n|---|---|");
        let rounds = if quick { 1 } else { 300 };
        for (name, whole, dispatch) in variants() {
            println!("| {name} | {:.2} |", alone(rounds, whole, dispatch));
        }
    }
    if wants("loopback") {
        println!(
            "\n| loopback HTTP, {SIDE_BY_SIDE} at once | calls/s | us of CPU per call, both sides |\n|---|---|---|"
        );
        let calls = if quick { 100 } else { 20_000 };
        for (name, dispatch) in [("provider", false), ("dispatch and provider", true)] {
            let (rate, cpu) = loopback(calls, dispatch);
            println!("| {name} | {rate:.0} | {cpu:.1} |");
        }
    }
    if wants("waiting") {
        let calls = if quick { 100 } else { 10_000 };
        println!("\n| {calls} calls that wait | MiB | bytes each |\n|---|---|---|");
        for (name, fair) in [("in order of arrival", false), ("fair queue, limiter and estimator", true)] {
            let bytes = waiting(calls, fair);
            println!("| {name} | {:.1} | {} |", bytes as f64 / 1_048_576.0, bytes / calls);
        }
    }
}

type Make = fn(DispatchBuilder) -> DispatchBuilder;

/// What is measured alone: its name, whether whole answers are asked for, and the dispatch, if there is one.
fn variants() -> [(&'static str, bool, Option<Make>); 5] {
    [
        ("bare, whole", true, None),
        ("bare, streamed", false, None),
        ("dispatch, whole", true, Some(DispatchBuilder::unary)),
        ("dispatch, whole, streamed underneath", true, Some(|builder| builder)),
        ("dispatch, whole, fair queue, limiter and estimator", true, Some(|builder| fair(builder).unary())),
    ]
}

/// Learns what calls take, as the commands have it.
#[derive(Debug, Default)]
struct Learns(bellwether_limiter::Estimator);

impl Estimator for Learns {
    fn demand(&self, request: &ChatRequest, role: &str) -> Demand {
        self.0.demand(request, role)
    }

    fn learn(&self, request: &ChatRequest, role: &str, usage: &Usage) {
        self.0.learn(request, role, usage);
    }
}

fn answer() -> ChatResponse {
    let usage = Usage { input_tokens: Some(13), output_tokens: Some(1), ..Usage::default() };
    ChatResponse { usage, ..ChatResponse::text("done") }
}

/// With the queue, the limiter and the estimator of a team file.
fn fair(builder: DispatchBuilder) -> DispatchBuilder {
    let places = u32::try_from(SIDE_BY_SIDE).ok().and_then(|places| places.try_into().ok());
    let concurrency = places.map_or(Concurrency::Unlimited, Concurrency::Told);
    let settings = bellwether_limiter::Settings {
        limits: Limits { concurrency, ..Limits::NONE },
        ..bellwether_limiter::Settings::default()
    };
    builder
        .queue_with(|observer| {
            let settings = bellwether_queue::Settings { capacity: 20_000, ..bellwether_queue::Settings::default() };
            Arc::new(TicketQueue::new(&settings, AtTheDoor::Refuse, observer))
        })
        .limiter(Arc::new(Limiter::new("bench", settings)))
        .estimator(Arc::new(Learns::default()))
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime can be made")
}

fn request() -> ChatRequest {
    ChatRequest::new("sim-small", vec![Message::user("Name the sheep that leads the flock.")])
}

/// Microseconds for one call after the other: the least of so many rounds, each short enough to be left in peace.
fn alone(rounds: u32, whole: bool, dispatch: Option<Make>) -> f64 {
    let calls = 1_000;
    let runtime = one_thread();
    let mut least = f64::MAX;
    for _ in 0..rounds {
        let took = runtime.block_on(async {
            let (provider, made): (Arc<dyn ChatProvider>, _) = match dispatch {
                None => (Arc::new(Double::AtOnce), None),
                Some(make) => {
                    let made = Arc::new(make(Dispatch::builder(Arc::new(Double::AtOnce))).build());
                    (Arc::<Dispatch>::clone(&made), Some(made))
                }
            };
            let began = Instant::now();
            for _ in 0..calls {
                let (request, context) = (request(), CallContext::default());
                match whole {
                    true => drop(provider.chat(request, context).await.expect("it answers")),
                    false => drop(provider.stream(request, context).await.expect("it answers").fold().await),
                }
            }
            let took = began.elapsed();
            if let Some(made) = made {
                made.shutdown().await;
            }
            took
        });
        least = least.min(took.as_secs_f64() * 1e6 / f64::from(calls));
    }
    least
}

/// Calls a second, and the CPU time of each in microseconds, the simulator's share included.
fn loopback(calls: usize, dispatch: bool) -> (f64, f64) {
    let (server, client) = (one_thread(), one_thread());
    let latency = Latency { first_token: Duration::ZERO, jitter: 0.0, per_token: Duration::ZERO };
    let scenario = Scenario { latency, ..Scenario::default() };
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let simulator = server.block_on(Simulator::start(scenario, address)).expect("a port on this machine is free");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut config = ProviderConfig::new("simulator", simulator.base_url());
    config.pool_size = SIDE_BY_SIDE;
    let serving = std::thread::spawn(move || {
        server.block_on(async {
            let _ = stopped.await;
            simulator.shutdown().await;
        });
    });
    let best = client.block_on(async {
        let provider: Arc<dyn ChatProvider> = Arc::new(OpenAiCompatible::new(config).expect("it makes sense"));
        let made = dispatch.then(|| Arc::new(fair(Dispatch::builder(Arc::clone(&provider))).unary().build()));
        let provider = made.clone().map_or(provider, |made| made as Arc<dyn ChatProvider>);
        let mut best = (0.0_f64, f64::MAX);
        for _ in 0..5 {
            let (began, cpu) = (Instant::now(), cpu());
            let mut loops = JoinSet::new();
            for _ in 0..SIDE_BY_SIDE {
                let provider = Arc::clone(&provider);
                loops.spawn(async move {
                    for _ in 0..calls.div_ceil(SIDE_BY_SIDE) {
                        provider.chat(request(), CallContext::default()).await.expect("it answers");
                    }
                });
            }
            loops.join_all().await;
            let sent = (calls.div_ceil(SIDE_BY_SIDE) * SIDE_BY_SIDE) as f64;
            let spent = (self::cpu() - cpu).as_secs_f64() * 1e6 / sent;
            best = (best.0.max(sent / began.elapsed().as_secs_f64()), best.1.min(spent));
        }
        if let Some(made) = made {
            made.shutdown().await;
        }
        best
    });
    let _ = stop.send(());
    serving.join().expect("the simulator ends");
    best
}

/// What so many calls hold that wait behind as many as can be in flight.
fn waiting(calls: usize, fair: bool) -> usize {
    one_thread().block_on(async {
        let builder = Dispatch::builder(Arc::new(Double::Never));
        let places = NonZeroUsize::new(SIDE_BY_SIDE).expect("it is not zero");
        let builder = match fair {
            true => self::fair(builder),
            false => builder.limiter(Arc::new(PermitPool::new(places))),
        };
        let dispatch = Arc::new(builder.build());
        let before = ALLOCATED.current_usage();
        let mut waiting = JoinSet::new();
        for _ in 0..calls {
            let dispatch = Arc::clone(&dispatch);
            waiting.spawn(async move { dispatch.chat(request(), CallContext::default()).await.map(drop) });
        }
        // Often enough for everybody to have come to where they wait.
        for _ in 0..calls {
            tokio::task::yield_now().await;
        }
        let held = ALLOCATED.current_usage() - before;
        drop(waiting);
        dispatch.shutdown().await;
        held
    })
}

/// CPU time of this process so far.
fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("a process may ask for its own usage");
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(micros.unsigned_abs())
}
