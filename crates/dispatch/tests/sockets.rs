//! Over real sockets, against the simulator: whoever goes away takes the HTTP call along, and nothing is left behind.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::test_util::Recorder;
use bellwether_core::{CallContext, ChatEvent, ChatProvider, ChatRequest, Fact, Flow, Message, Observer, TaskQueue};
use bellwether_dispatch::{Dispatch, PermitPool};
use bellwether_limiter::{Concurrency, Limiter, Limits};
use bellwether_provider::{OpenAiCompatible, ProviderConfig};
use bellwether_queue::{AtTheDoor, Settings, TicketQueue};
use bellwether_sim::{Fail, Fault, Faults, Latency, Scenario, Simulator};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

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

/// Waits until `done`, for a second at most; how long it took.
async fn within_a_second(mut done: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(1), "it is not so within a second");
        sleep(Duration::from_millis(5)).await;
    }
    began.elapsed()
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
        assert!(timeout(Duration::from_millis(20), &mut call).await.is_err());
        while simulator.stats().in_flight == 0 {
            assert!(timeout(Duration::from_millis(5), &mut call).await.is_err());
        }
        assert_eq!(pool.free(), 0);
        drop(call);
        assert_eq!(pool.free(), 1, "the place is given back at once");
        within_a_second(|| simulator.stats().in_flight == 0).await;
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
    within_a_second(|| simulator.stats().in_flight == 0).await;
    assert_eq!(limiter.snapshot().in_flight, 0);
    dispatch.shutdown().await;
}

/// Drops ten thousand calls at random points: in the line, at the gate, before the head of an answer, in its middle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_ten_thousand_dropped_calls_leaves_nothing_behind() {
    const CALLS: u64 = 10_000;
    let simulator = simulator(Scenario { latency: latency(4, 1), ..Scenario::default() }).await;
    let facts = Arc::new(Recorder::default());
    let settings = Settings { capacity: 20_000, ..Settings::default() };
    let queue = Arc::new(TicketQueue::new(&settings, AtTheDoor::Refuse, Arc::new(())));
    let places = Concurrency::Told(64.try_into().expect("64 is not zero"));
    let limits = bellwether_limiter::Settings {
        limits: Limits { concurrency: places, ..Limits::NONE },
        ..bellwether_limiter::Settings::default()
    };
    let limiter = Limiter::new("storm", limits);
    let dispatch = Dispatch::builder(provider(&simulator, 64))
        .queue(Arc::<TicketQueue>::clone(&queue))
        .limiter(Arc::new(limiter.clone()))
        .observer(Arc::<Recorder>::clone(&facts) as Arc<dyn Observer>)
        .build();
    let dispatch = Arc::new(dispatch);
    let mut rng = fastrand::Rng::with_seed(11);
    let mut callers = JoinSet::new();
    for n in 0..CALLS {
        let patience = Duration::from_micros(rng.u64(0..1_500_000));
        let context = CallContext::new(Flow::new("team", format!("run-{}", n % 7), "role"));
        let (dispatch, whole) = (Arc::clone(&dispatch), n % 2 == 0);
        callers.spawn(async move {
            let answer = async {
                match whole {
                    true => dispatch.chat(request(), context).await,
                    false => dispatch.stream(request(), context).await?.fold().await,
                }
            };
            timeout(patience, answer).await.map_or(0u64, |answer| u64::from(answer.is_ok()))
        });
    }
    let answered: u64 = callers.join_all().await.into_iter().sum();
    within_a_second(|| simulator.stats().in_flight == 0).await;
    dispatch.shutdown().await;

    let snapshot = limiter.snapshot();
    assert_eq!((queue.len(), snapshot.in_flight, snapshot.waiting), (0, 0, 0));
    let count = |wanted: fn(&Fact) -> bool| facts.count(wanted) as u64;
    let queued = count(|fact| matches!(fact, Fact::CallQueued { .. }));
    let admitted = count(|fact| matches!(fact, Fact::CallAdmitted { .. }));
    let completed = count(|fact| matches!(fact, Fact::CallCompleted { .. }));
    let left_line = count(|fact| matches!(fact, Fact::CallAbandoned { admitted: false, .. }));
    let left_call = count(|fact| matches!(fact, Fact::CallAbandoned { admitted: true, .. }));
    let failed = count(|fact| matches!(fact, Fact::CallFailed { .. }));
    assert_eq!(queued, admitted + left_line, "every stay in the line ended once");
    assert_eq!(admitted, completed + left_call + failed, "and every call that was sent");
    assert!(completed >= answered && answered > 100 && left_call > 50 && left_line > 100, "all of it happened");
    let stats = simulator.stats();
    assert!(stats.cancelled > 0 && stats.cancelled <= left_call, "{} of {left_call}", stats.cancelled);
    assert!(stats.peak_in_flight <= 64 + 64, "places are a bound: {}", stats.peak_in_flight);
    let (closed, simulator) = (Instant::now(), simulator);
    drop(dispatch);
    simulator.shutdown().await;
    assert!(closed.elapsed() < Duration::from_secs(4), "no connection was left open for the server to wait for");
}
