//! Calls reserve what the estimator says, if it is not too little, and it hears what those took that were answered.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use async_trait::async_trait;
use bellwether_core::Permit;
use bellwether_core::limiter::{Outlook, Refused};
use bellwether_dispatch::{
    CallContext, ChatEvent, ChatProvider, ChatRequest, Demand, ErrorKind, Estimator, Fact, Flow, PermitPool,
    RateLimiter, Usage, demand,
};

use crate::play::{Ends, Scene, Stage, USAGE, call, error, lock, named, request};

/// Says that everything takes seven thousand tokens of input and seven of output, and remembers what it heard.
#[derive(Debug, Default)]
struct Seven(Mutex<Vec<(String, Usage)>>);

impl Estimator for Seven {
    fn demand(&self, _: &ChatRequest, _: &str) -> Demand {
        Demand { requests: 1, input_tokens: 7_000, output_tokens: 7 }
    }

    fn learn(&self, request: &ChatRequest, role: &str, usage: &Usage) {
        lock(&self.0).push((format!("{role} asks {}", request.model), *usage));
    }
}

fn stage(scenes: impl IntoIterator<Item = Scene>) -> (Stage, Arc<Seven>) {
    let seven = Arc::new(Seven::default());
    let estimator = Arc::<Seven>::clone(&seven);
    (Stage::with(1, 9, scenes, |builder| builder.estimator(estimator)), seven)
}

fn coder(name: &str) -> CallContext {
    CallContext { flow: Flow::new("team", "run", "coder"), ..named(name) }
}

#[tokio::test(start_paused = true)]
async fn what_the_estimator_says_is_reserved_and_what_an_answer_took_is_learnt() {
    let (stage, seven) = stage([]);
    stage.dispatch.chat(request(), coder("whole")).await.unwrap();
    for restarts in [false, true] {
        let context = CallContext { may_restart: restarts, ..coder(&format!("streamed, {restarts}")) };
        let mut stream = stage.dispatch.stream(request(), context).await.unwrap();
        while stream.next().await.is_some() {}
    }
    assert_eq!(*lock(&seven.0), vec![("coder asks m".to_owned(), USAGE); 3]);
    let facts = stage.facts.facts();
    let reserved = facts.iter().filter(|fact| matches!(fact, Fact::CallAdmitted { .. })).filter_map(call);
    let reserved: Vec<_> = reserved.map(|call| (call.demand.input_tokens, call.demand.output_tokens)).collect();
    assert_eq!(reserved, [(7_000, demand(&request()).output_tokens); 3], "and no less than is reckoned without it");
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_learnt_from_calls_that_failed_or_whose_callers_went_away() {
    let broken = Scene::after(0, Ends::FailsAfterText(error(ErrorKind::Upstream)));
    let (stage, seven) = stage([broken.clone(), Scene::after(0, Ends::Babbles), broken]);
    let mut failed = stage.dispatch.stream(request(), coder("failed")).await.unwrap();
    while failed.next().await.is_some() {}
    let left = stage.dispatch.stream(request(), coder("left")).await.unwrap();
    drop(left);
    assert!(lock(&seven.0).is_empty());
    let anew = CallContext { may_restart: true, ..coder("anew") };
    let mut anew = stage.dispatch.stream(request(), anew).await.unwrap();
    while !matches!(anew.next().await, Some(Ok(ChatEvent::Finished(_)))) {}
    drop(anew);
    assert_eq!(lock(&seven.0).len(), 1, "once, although it was sent twice");
    stage.assert_swept().await;
}

/// Says that everything takes a thousand times what the last call took.
#[derive(Debug, Default)]
struct LikeTheLast(AtomicU64);

impl Estimator for LikeTheLast {
    fn demand(&self, _: &ChatRequest, _: &str) -> Demand {
        Demand { requests: 1, input_tokens: 1_000 * self.0.load(Ordering::Relaxed), output_tokens: 0 }
    }

    fn learn(&self, _: &ChatRequest, _: &str, usage: &Usage) {
        self.0.store(usage.tokens(), Ordering::Relaxed);
    }
}

/// A pool that remembers what was asked of it.
#[derive(Debug)]
struct Asked(PermitPool, Mutex<Vec<u64>>);

#[async_trait]
impl RateLimiter for Asked {
    async fn acquire(&self, demand: Demand, deadline: Option<Instant>) -> Result<Permit, Refused> {
        let permit = self.0.acquire(demand, deadline).await?;
        lock(&self.1).push(permit.demand().tokens());
        Ok(permit)
    }

    fn outlook(&self, demand: Demand) -> Option<Outlook> {
        self.0.outlook(demand)
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_learnt_while_a_call_waited_counts_when_its_turn_comes() {
    let asked = Arc::new(Asked(PermitPool::new(NonZeroUsize::MIN), Mutex::default()));
    let limiter = Arc::<Asked>::clone(&asked);
    let stage = Stage::with(1, 9, [], |builder| builder.estimator(Arc::<LikeTheLast>::default()).limiter(limiter));
    let [a, b, c] = ["a", "b", "c"].map(|name| stage.dispatch.chat(request(), coder(name)));
    let (a, b, c) = tokio::join!(a, b, c);
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    // The second came to the gate when the first was sent, and stood there when it was answered.
    let Demand { input_tokens, output_tokens, .. } = demand(&request());
    let reckoned = input_tokens + output_tokens;
    assert_eq!(*lock(&asked.1), [reckoned, reckoned, 1_000 * USAGE.tokens() + output_tokens]);
    stage.assert_swept().await;
}
