//! The limiter over real HTTP against the simulated provider: a limit it is told, one it has to find, and one that
//! the headers name.
//!
//! ```sh
//! cargo bench -p bellwether-benches --bench limiter_http
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bellwether_dispatch::Dispatch;
use bellwether_limiter::{Limit, Limiter, Limits, Rate, RateLimiter, Settings};
use bellwether_provider::{CallContext, ChatProvider, ChatRequest, Message, OpenAiCompatible, ProviderConfig};
use bellwether_sim::{Scenario, Simulator};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// Each has 20 requests a second, a second of them at once.
const SCENARIOS: [(&str, &str, Known); 3] = [
    ("told", "[rejections]\nheaders = false\nretry_after = \"none\"", Known::Told),
    ("hidden", "[rejections]\nheaders = false\nretry_after = \"none\"", Known::Hidden),
    ("headers", "[rejections]\nheaders = true\nretry_after = \"none\"", Known::Hidden),
];

#[derive(Clone, Copy)]
enum Known {
    Hidden,
    Told,
}

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
fn main() {
    let seconds = if std::env::args().any(|arg| arg == "--test") { 1 } else { 18 };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    println!("| limit of 20 requests/s | answered | share of the limit | 429s |");
    println!("|---|---|---|---|");
    for (name, rejections, known) in SCENARIOS {
        let (answered, refused) = runtime.block_on(run(rejections, known, seconds));
        let share = answered as f64 / (20.0 * (seconds as f64 + 1.0));
        println!("| {name} | {answered} | {share:.3} | {refused} |");
    }
}

/// How many were answered, and how many refused, while 64 tasks asked for so many seconds.
async fn run(rejections: &str, known: Known, seconds: u64) -> (u64, u64) {
    let limits =
        "[[limits]]\nat = \"0s\"\nrpm = 1200\nburst = 20\n[latency]\nfirst_token = \"20ms\"\nper_token = \"0s\"";
    let scenario = Scenario::parse(&format!("{limits}\n{rejections}")).expect("the scenario makes sense");
    let simulator = Simulator::start(scenario, SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port is free");
    let config = ProviderConfig::new("simulator", simulator.base_url());
    let provider = Arc::new(OpenAiCompatible::new(config).expect("the configuration makes sense"));
    let requests = match known {
        Known::Hidden => Limit::Hidden,
        Known::Told => Limit::told(Rate::per_second(20)),
    };
    let limits = Limits { requests, tokens: Limit::None, ..Limits::default() };
    let limiter: Arc<dyn RateLimiter> = Arc::new(Limiter::new("simulator", Settings { limits, ..Settings::default() }));
    let dispatch = Arc::new(Dispatch::builder(provider as Arc<dyn ChatProvider>).limiter(limiter).build());
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut tasks = JoinSet::new();
    for _ in 0..64 {
        let dispatch = Arc::clone(&dispatch);
        tasks.spawn(async move {
            loop {
                let request = ChatRequest::new("sim-small", vec![Message::user("Name the sheep.")]);
                if timeout_at(end, dispatch.chat(request, CallContext::default())).await.is_err() {
                    return;
                }
            }
        });
    }
    while tasks.join_next().await.is_some() {}
    let stats = simulator.stats();
    dispatch.shutdown().await;
    let counted = (stats.answered.get(&200).copied().unwrap_or(0), stats.throttled);
    simulator.shutdown().await;
    counted
}
