//! What the limiter is told of a call, and when.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bellwether_core::chat::Started;
use bellwether_core::limiter::{Outlook, RateLimiter, Refused};
use bellwether_core::permit::{Level, Outcome, Permit, RateLimits, Settle};
use bellwether_core::{
    CallContext, ChatEvent, ChatProvider, ChatRequest, ChatResponse, Demand, ErrorKind, FinishReason, Message,
    ProviderError, Usage,
};
use bellwether_dispatch::{Dispatch, RetryPolicy};
use bellwether_provider::{Reply, Scripted};

/// What a limiter heard, in order.
#[derive(Debug, PartialEq)]
enum Heard {
    Hint(RateLimits),
    Outcome(Outcome),
}

/// Admits everything and writes down what it is told.
#[derive(Debug, Default)]
struct Listener(Arc<Mutex<Vec<Heard>>>);

#[derive(Debug)]
struct Ear(Arc<Mutex<Vec<Heard>>>);

impl Ear {
    fn hear(&self, heard: Heard) {
        self.0.lock().expect("nobody panics while writing down").push(heard);
    }
}

impl Settle for Ear {
    fn settle(self: Box<Self>, outcome: Outcome) {
        self.hear(Heard::Outcome(outcome));
    }

    fn hint(&mut self, limits: &RateLimits) {
        self.hear(Heard::Hint(*limits));
    }
}

#[async_trait]
impl RateLimiter for Listener {
    async fn acquire(&self, demand: Demand, _: Option<Instant>) -> Result<Permit, Refused> {
        Ok(Permit::new(demand, Box::new(Ear(Arc::clone(&self.0)))))
    }

    fn outlook(&self, _: Demand) -> Option<Outlook> {
        None
    }
}

fn request() -> ChatRequest {
    ChatRequest::new("model", vec![Message::user("Hello?")])
}

fn dispatch(provider: Scripted) -> (Dispatch, Arc<Mutex<Vec<Heard>>>) {
    let listener = Listener::default();
    let heard = Arc::clone(&listener.0);
    let policy = RetryPolicy { max_attempts: 1, ..RetryPolicy::default() };
    (Dispatch::builder(Arc::new(provider)).limiter(Arc::new(listener)).retry(policy).build(), heard)
}

/// A level of the quota is true when the head of an answer comes, and stale a minute later when the answer ends.
#[tokio::test(start_paused = true)]
async fn what_the_head_of_an_answer_says_of_limits_is_told_before_the_answer_ends() {
    let level = Level { limit: Some(600), remaining: Some(3), ..Level::default() };
    let limits = RateLimits { requests: level, ..RateLimits::default() };
    let events = || {
        let head = Started { limits, ..Started::default() };
        let text = ChatEvent::Text("Yes.".to_owned());
        Reply::events([Ok(ChatEvent::Started(head)), Ok(text), Ok(ChatEvent::Finished(FinishReason::Stop))])
    };
    let (dispatch, heard) = dispatch(Scripted::sequence([events(), events()]).with_delay(Duration::from_secs(1)));
    dispatch.chat(request(), CallContext::default()).await.unwrap();
    let first = std::mem::take(&mut *heard.lock().unwrap());
    assert!(matches!(&first[..], [Heard::Hint(hint), Heard::Outcome(Outcome::Completed { .. })] if *hint == limits));

    let mut stream = dispatch.stream(request(), CallContext::default()).await.unwrap();
    stream.next().await.unwrap().unwrap();
    assert!(matches!(&heard.lock().unwrap()[..], [Heard::Hint(_)]), "the stream is still open");
    assert_eq!(stream.fold().await.unwrap().text, "Yes.");
    dispatch.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn an_overload_is_told_as_one_and_a_plain_failure_is_not() {
    for (kind, overloaded) in [(ErrorKind::Overloaded, true), (ErrorKind::Upstream, false)] {
        let (dispatch, heard) = dispatch(Scripted::sequence([ProviderError::new(kind, "it failed")]));
        dispatch.chat(request(), CallContext::default()).await.unwrap_err();
        let heard = heard.lock().unwrap();
        assert_eq!(matches!(&heard[..], [Heard::Outcome(Outcome::Overloaded { .. })]), overloaded, "{heard:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_whole_answer_says_what_it_took_and_a_failure_what_it_knows_of_limits() {
    let level = |remaining| Level { limit: Some(600), remaining: Some(remaining), ..Level::default() };
    let limits = |remaining| RateLimits { requests: level(remaining), ..RateLimits::default() };
    let usage = Usage { input_tokens: Some(11), output_tokens: Some(7), ..Usage::default() };
    let listener = Listener::default();
    let heard = Arc::clone(&listener.0);
    let answer = ChatResponse { usage, ..ChatResponse::text("Yes.") };
    let unary = Dispatch::builder(Arc::new(Scripted::sequence([Reply::from(answer)]))).limiter(Arc::new(listener));
    unary.unary().build().chat(request(), CallContext::default()).await.unwrap();
    let outcome = Heard::Outcome(Outcome::Completed { usage, limits: RateLimits::default() });
    assert_eq!(*heard.lock().unwrap(), [outcome]);

    for own in [None, Some(limits(1))] {
        let mut error = ProviderError::new(ErrorKind::Upstream, "it failed");
        error.details.limits = own.unwrap_or_default();
        let head = Started { limits: limits(3), ..Started::default() };
        let events = [Ok(ChatEvent::Started(head)), Ok(ChatEvent::Text("Y".to_owned())), Err(error)];
        let (dispatch, heard) = dispatch(Scripted::sequence([Reply::events(events)]));
        dispatch.chat(request(), CallContext::default()).await.unwrap_err();
        let failed = Outcome::Failed { may_have_executed: true, limits: own.unwrap_or_else(|| limits(3)) };
        assert_eq!(heard.lock().unwrap().last(), Some(&Heard::Outcome(failed)), "its own word is the newer one");
    }
}
