//! Outages of a provider behind the real queue, limiter, breaker and retry budget, on a paused clock.

mod team;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bellwether_core::test_util::Recorder;
use bellwether_core::{CallContext, ChatProvider, ChatRequest, ChatResponse, ChatStream, ErrorKind, Fact, KeyState};
use bellwether_core::{Flow, Message, Observer, ProviderError, Retry};
use bellwether_dispatch::Dispatch;
use bellwether_provider::ChargeRule;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::estimates::Estimates;
use crate::guard::guard;
use crate::quota::{self, Told};
use crate::team_file::raw::RawQueue;

const LATENCY: Duration = Duration::from_millis(100);
const LOOPS: usize = 40;

/// Answers after a while, except in its outage.
#[derive(Debug)]
struct Provider {
    origin: Instant,
    /// From when, until when, and how it fails meanwhile.
    outage: (f64, f64, ProviderError),
    /// Every how-manieth call fails in it.
    every: usize,
    sent: Mutex<Vec<f64>>,
}

impl Provider {
    fn new(from: f64, until: f64, error: ProviderError) -> Self {
        Self { origin: Instant::now(), outage: (from, until, error), every: 1, sent: Mutex::default() }
    }

    fn now(&self) -> f64 {
        self.origin.elapsed().as_secs_f64()
    }

    fn sent_within(&self, from: f64, until: f64) -> usize {
        lock(&self.sent).iter().filter(|at| (from..until).contains(*at)).count()
    }
}

#[async_trait]
impl ChatProvider for Provider {
    fn name(&self) -> &'static str {
        "outage"
    }

    async fn stream(&self, _: ChatRequest, _: CallContext) -> Result<ChatStream, ProviderError> {
        let now = self.now();
        let number = {
            let mut sent = lock(&self.sent);
            sent.push(now);
            sent.len()
        };
        let (from, until, error) = &self.outage;
        if (*from..*until).contains(&now) && number.is_multiple_of(self.every) {
            sleep(LATENCY / 10).await;
            return Err(error.clone());
        }
        sleep(LATENCY).await;
        Ok(ChatStream::ready(ChatResponse::text("done")))
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        Ok(Vec::new())
    }
}

/// A dispatch as a team file makes it, with so many places.
fn dispatch(provider: Arc<dyn ChatProvider>, facts: &Arc<Recorder>, places: usize) -> Arc<Dispatch> {
    let observer = Arc::<Recorder>::clone(facts) as Arc<dyn Observer>;
    let places = std::num::NonZeroUsize::new(places);
    let told = Told {
        requests: None,
        tokens: None,
        concurrency: places,
        charge: ChargeRule::default(),
        stride: Duration::ZERO,
    };
    let dispatch = Dispatch::builder(provider)
        .queue_with(|observer| quota::queue(&RawQueue::default(), observer))
        .limiter(quota::limiter("outage", told, &observer))
        .guard(guard("outage"))
        .estimator(Arc::new(Estimates::default()))
        .observer(observer)
        .seed(3)
        .build();
    Arc::new(dispatch)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn request() -> ChatRequest {
    ChatRequest { max_output_tokens: Some(1_000), ..ChatRequest::new("m", vec![Message::user("Do it.")]) }
}

/// Loops of calls until a moment; when each was answered, and how many came to nothing.
async fn load(provider: &Arc<Provider>, dispatch: &Arc<Dispatch>, until: f64) -> (Vec<f64>, u64) {
    let failed = Arc::new(AtomicU64::new(0));
    let mut loops = JoinSet::new();
    for n in 0..LOOPS {
        let (provider, dispatch, failed) = (Arc::clone(provider), Arc::clone(dispatch), Arc::clone(&failed));
        loops.spawn(async move {
            let mut answered = Vec::new();
            while provider.now() < until {
                let context = CallContext::new(Flow::new("team", format!("run-{n}"), "loop"));
                match dispatch.chat(request(), context).await {
                    Ok(_) => answered.push(provider.now()),
                    Err(_) => _ = failed.fetch_add(1, Ordering::Relaxed),
                }
            }
            answered
        });
    }
    let answered = loops.join_all().await.concat();
    (answered, failed.load(Ordering::Relaxed))
}

fn rate(answered: &[f64], from: f64, until: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let count = answered.iter().filter(|at| (from..until).contains(*at)).count() as f64;
    count / (until - from)
}

#[tokio::test(start_paused = true)]
async fn a_full_outage_costs_few_calls_and_is_over_five_seconds_after_its_end() {
    for lasting in [10.0, 33.0, 60.0] {
        let ends = 20.0 + lasting;
        let provider = Arc::new(Provider::new(20.0, ends, ProviderError::new(ErrorKind::Overloaded, "full")));
        let facts = Arc::new(Recorder::default());
        let dispatch = dispatch(Arc::<Provider>::clone(&provider), &facts, LOOPS);
        let (answered, failed) = load(&provider, &dispatch, ends + 20.0).await;
        dispatch.shutdown().await;

        let before = rate(&answered, 10.0, 20.0);
        let after = rate(&answered, ends + 5.0, ends + 10.0);
        assert!(after >= 0.9 * before, "{before} answers a second before, {after} five seconds after {lasting} s");
        assert_eq!(failed, 0, "whoever waits for the end of {lasting} s is answered");

        let requests = answered.len() + usize::try_from(failed).expect("few");
        let retries = facts.count(|fact| matches!(fact, Fact::CallRetried { .. }));
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        let bound = (requests as f64) * 1.1 + 10.0 + lasting;
        let sent = provider.sent_within(0.0, f64::MAX);
        assert!(sent as f64 <= bound, "{sent} attempts for {requests} calls, {retries} of them retries");
        let wasted = provider.sent_within(20.0, ends);
        assert!(wasted <= LOOPS + 10 + 30, "{wasted} calls were sent into an outage of {lasting} s");

        let states: Vec<_> = facts.facts().iter().filter_map(state).collect();
        assert_eq!(states.first(), Some(&KeyState::Open));
        assert_eq!(states.last(), Some(&KeyState::Closed));
    }
}

fn state(fact: &Fact) -> Option<KeyState> {
    match fact {
        Fact::KeyChanged { state, .. } => Some(*state),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn retries_add_a_tenth_to_the_load_and_the_rest_of_them_waits() {
    let oops = ProviderError::new(ErrorKind::Upstream, "oops").with_retry(Retry::Now);
    let provider = Arc::new(Provider { every: 3, ..Provider::new(0.0, 20.0, oops) });
    let facts = Arc::new(Recorder::default());
    let dispatch = dispatch(Arc::<Provider>::clone(&provider), &facts, LOOPS);
    let (answered, failed) = load(&provider, &dispatch, 30.0).await;
    dispatch.shutdown().await;
    let denied = facts.count(|fact| matches!(fact, Fact::RetryDenied { .. }));
    let retried = facts.count(|fact| matches!(fact, Fact::CallRetried { .. }));
    // What it begins with, what comes in by itself, and a tenth of what succeeds, in calls of this size.
    let bound = 41 + 30 * 5 + answered.len() / 10;
    assert!(denied > 0 && retried <= bound, "{retried} retried of at most {bound}, {denied} had to wait");
    assert!(failed * 50 < answered.len() as u64, "{failed} failed four times in a row; the others got their retry");
    assert!(rate(&answered, 25.0, 30.0) >= 390.0, "and everything flows again");
}
