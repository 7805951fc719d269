//! Over real sockets, against the simulator: whoever goes away takes the HTTP call along, and nothing is left behind.

#[path = "sockets/storm.rs"]
mod storm;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::{CallContext, ChatEvent, ChatProvider, ChatRequest, Message};
use bellwether_dispatch::{Dispatch, PermitPool};
use bellwether_limiter::{Concurrency, Limiter, Limits};
use bellwether_provider::{OpenAiCompatible, ProviderConfig};
use bellwether_sim::{Fail, Fault, Faults, Latency, Scenario, Simulator, Stats};
use tokio::select;
use tokio::time::timeout;

async fn simulator(scenario: Scenario) -> Simulator {
    Simulator::start(scenario, SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port on this machine is free")
}

fn provider(simulator: &Simulator, connections: usize) -> Arc<OpenAiCompatible> {
    let mut config = ProviderConfig::new("simulator", simulator.base_url());
    config.pool_size = connections;
    Arc::new(OpenAiCompatible::new(config).expect("the configuration makes sense"))
}

fn request() -> ChatRequest {
    ChatRequest { max_output_tokens: Some(20), ..ChatRequest::new("sim-small", vec![Message::user("Say it.")]) }
}

fn latency(first_token: u64, per_token: u64) -> Latency {
    let ms = Duration::from_millis;
    Latency { first_token: ms(first_token), jitter: 0.5, per_token: ms(per_token) }
}

/// Waits until the server has nothing under way, for a second at most.
async fn idle_within_a_second(simulator: &Simulator) -> Stats {
    let idle = timeout(Duration::from_secs(1), simulator.until(|stats| stats.in_flight == 0));
    idle.await.expect("nothing is under way within a second")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_call_ends_its_http_call_within_a_second() {
    let stalls = Faults { fail: vec![Fail { request: 2, with: Fault::Stall }], ..Faults::default() };
    let simulator = simulator(Scenario { latency: latency(60_000, 0), faults: stalls, ..Scenario::default() }).await;
    let pool = Arc::new(PermitPool::new(NonZeroUsize::MIN));
    let dispatch = Dispatch::builder(provider(&simulator, 1)).limiter(Arc::<PermitPool>::clone(&pool)).build();
    for whole in [true, false] {
        let call = async {
            match whole {
                true => drop(dispatch.chat(request(), CallContext::default()).await),
                false => drop(dispatch.stream(request(), CallContext::default()).await),
            }
        };
        let mut call = Box::pin(call);
        select! {
            () = &mut call => panic!("nobody answers it"),
            _ = simulator.until(|stats| stats.in_flight == 1) => {}
        }
        assert_eq!(pool.free(), 0);
        drop(call);
        assert_eq!(pool.free(), 1, "the place is given back at once");
        idle_within_a_second(&simulator).await;
    }
    assert_eq!(simulator.stats().cancelled, 2);
    dispatch.shutdown().await;
}

/// The first connection breaks in the middle of the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_whose_connection_breaks_begins_anew_only_if_it_may() {
    let fail = vec![Fail { request: 1, with: Fault::Reset }, Fail { request: 3, with: Fault::Reset }];
    let faults = Faults { fail, ..Faults::default() };
    let simulator = simulator(Scenario { latency: latency(1, 0), faults, ..Scenario::default() }).await;
    let limits = Limits { concurrency: Concurrency::Told(2.try_into().expect("2 is not zero")), ..Limits::NONE };
    let settings = bellwether_limiter::Settings { limits, ..bellwether_limiter::Settings::default() };
    let limiter = Limiter::new("restart", settings);
    let dispatch = Dispatch::builder(provider(&simulator, 1)).limiter(Arc::new(limiter.clone())).build();
    let read = async |context: CallContext| {
        let mut stream = dispatch.stream(request(), context).await.expect("it begins");
        let (mut text, mut thrown_away) = (String::new(), None);
        while let Some(event) = stream.next().await {
            match event {
                Ok(ChatEvent::Text(piece)) => text.push_str(&piece),
                Ok(ChatEvent::Restarted) => thrown_away = Some(std::mem::take(&mut text)),
                Ok(_) => {}
                Err(error) => return Err((error, text)),
            }
        }
        Ok((text, thrown_away))
    };

    let (text, thrown_away) =
        read(CallContext { may_restart: true, ..CallContext::default() }).await.expect("answered");
    let thrown_away = thrown_away.expect("it began anew");
    assert!(!thrown_away.is_empty() && thrown_away.len() < text.len(), "{thrown_away:?} and then {text:?}");
    assert_eq!(simulator.stats().requests, 2);

    let (error, text) = read(CallContext::default()).await.expect_err("it may not");
    assert!(error.details.emitted_output && !text.is_empty(), "{error:?} after {text:?}");
    assert_eq!(simulator.stats().requests, 3, "and it was not sent again");
    idle_within_a_second(&simulator).await;
    assert_eq!(limiter.snapshot().in_flight, 0);
    dispatch.shutdown().await;
}
