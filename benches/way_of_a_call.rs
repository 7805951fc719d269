//! What each layer adds to a call, beside the floor of one raw keep-alive client, all in one run.
//!
//! ```sh
//! cargo bench -p bellwether-benches --bench way_of_a_call
//! ```
//!
//! `call/*` goes over real HTTP to a simulator without latency; `team/*` needs no network, so that it shows the
//! runtime alone: divide it by its 41 steps.

use std::hint::black_box;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bellwether_dispatch::Dispatch;
use bellwether_provider::{
    CallContext, ChatProvider, ChatRequest, ChatResponse, ChatStream, Message, OpenAiCompatible, ProviderConfig,
    ProviderError,
};
use bellwether_sim::{Latency, Scenario, Simulator};
use bellwether_team::{Role, Settings, Team, Tier};
use criterion::{Criterion, criterion_group, criterion_main};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::Runtime;

const QUESTION: &str = "Name the sheep that leads the flock.";

fn runtime() -> Runtime {
    Runtime::new().expect("a runtime can be made")
}

fn request() -> ChatRequest {
    ChatRequest::new("sim-small", vec![Message::user(QUESTION)])
}

fn calls(c: &mut Criterion) {
    let (server, client) = (runtime(), runtime());
    let latency = Latency { first_token: Duration::ZERO, jitter: 0.0, per_token: Duration::ZERO };
    let scenario = Scenario { latency, ..Scenario::default() };
    let simulator = server
        .block_on(Simulator::start(scenario, SocketAddr::from(([127, 0, 0, 1], 0))))
        .expect("a port on this machine is free");
    let config = || ProviderConfig::new("simulator", simulator.base_url());
    let provider = Arc::new(OpenAiCompatible::new(config()).expect("the configuration makes sense"));
    let dispatch = client.block_on(async {
        Dispatch::builder(Arc::<OpenAiCompatible>::clone(&provider) as Arc<dyn ChatProvider>).unary().build()
    });
    let url = format!("{}/chat/completions", simulator.base_url());
    let body = format!(r#"{{"model":"sim-small","messages":[{{"role":"user","content":"{QUESTION}"}}]}}"#);
    let raw = reqwest::Client::builder().tls_backend_preconfigured(tls()).build().expect("a client can be built");

    let mut group = c.benchmark_group("call");
    group.bench_function("raw_client_floor", |b| {
        b.iter(|| {
            client.block_on(async {
                let sent = raw.post(&url).header("content-type", "application/json").body(body.clone()).send().await;
                black_box(sent.expect("the simulator answers").bytes().await.expect("the answer is whole"))
            })
        });
    });
    group.bench_function("provider", |b| {
        b.iter(|| client.block_on(async { black_box(provider.chat(request(), CallContext::default()).await) }));
    });
    group.bench_function("dispatch_and_provider", |b| {
        b.iter(|| client.block_on(async { black_box(dispatch.chat(request(), CallContext::default()).await) }));
    });
    group.finish();
    client.block_on(dispatch.shutdown());
    server.block_on(simulator.shutdown());
}

/// Encryption that is never used: the simulator speaks plain HTTP, but a client must be given some.
fn tls() -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider knows the default protocol versions")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}

/// Answers at once.
#[derive(Debug)]
struct AtOnce;

#[async_trait]
impl ChatProvider for AtOnce {
    fn name(&self) -> &'static str {
        "at-once"
    }

    async fn stream(&self, _: ChatRequest, context: CallContext) -> Result<ChatStream, ProviderError> {
        Ok(ChatStream::ready(ChatResponse::text(match context.phase {
            "plan" => (1..=20).map(|n| format!("{n}. step {n}\n")).collect(),
            "review" => r#"{"decision": "accept", "score": 0.9}"#.to_owned(),
            _ => "done".to_owned(),
        })))
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        Ok(Vec::new())
    }
}

fn team(provider: Arc<dyn ChatProvider>) -> Team {
    let tier = Tier::new(provider, "model");
    let max_parallel = NonZeroUsize::new(20).expect("20 is not zero");
    Team::builder("bench")
        .role(Role::planner("lead", "You plan.", tier.clone()))
        .role(Role::worker("coder", "You code.", tier.clone()))
        .role(Role::reviewer("critic", "You review.", tier))
        .settings(Settings { max_parallel, ..Settings::default() })
        .build()
        .expect("the team makes sense")
}

fn teams(c: &mut Criterion) {
    let runtime = runtime();
    let bare = team(Arc::new(AtOnce));
    let dispatch = runtime.block_on(async { Arc::new(Dispatch::builder(Arc::new(AtOnce)).build()) });
    let behind_dispatch = team(Arc::<Dispatch>::clone(&dispatch) as Arc<dyn ChatProvider>);

    let mut group = c.benchmark_group("team");
    group.bench_function("41_steps_bare", |b| b.iter(|| runtime.block_on(bare.run("build it"))));
    group.bench_function("41_steps_behind_dispatch", |b| b.iter(|| runtime.block_on(behind_dispatch.run("build it"))));
    group.finish();
    runtime.block_on(dispatch.shutdown());
}

criterion_group!(benches, calls, teams);
criterion_main!(benches);
