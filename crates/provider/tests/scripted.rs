//! The scripted double keeps the promises of the seam, and its own.

use std::time::Duration;

use bellwether_core::test_util;
use bellwether_provider::{
    CallContext, ChatEvent, ChatProvider, ChatRequest, ChatResponse, ErrorKind, ProviderError, Reply, Scripted,
};
use futures_util::future::join_all;
use tokio::time::Instant;

fn question(model: &str) -> ChatRequest {
    ChatRequest::new(model, Vec::new())
}

#[tokio::test]
async fn it_keeps_the_promises_of_the_seam() {
    test_util::provider(&Scripted::answering(|_, _| Ok(ChatResponse::text("bell"))), "any").await;
}

#[tokio::test]
async fn a_sequence_is_played_in_order_and_says_when_it_is_over() {
    let slow_down = ProviderError::new(ErrorKind::RateLimited, "asked us to slow down");
    let provider = Scripted::sequence([Reply::from("one"), slow_down.into(), ChatResponse::text("two").into()]);
    let ask = || provider.chat(question("m"), CallContext::default());
    assert_eq!(ask().await.unwrap().text, "one");
    assert_eq!(ask().await.unwrap_err().kind, ErrorKind::RateLimited);
    assert_eq!(ask().await.unwrap().text, "two");
    assert!(ask().await.unwrap_err().message.contains("no reply left"));
    assert_eq!(provider.calls().len(), 4);
}

#[tokio::test]
async fn a_stream_may_break_off_in_the_middle() {
    let broken = ProviderError::truncated(true);
    let provider = Scripted::sequence([Reply::events([Ok(ChatEvent::Text("be".to_owned())), Err(broken)])]);
    let mut stream = provider.stream(question("m"), CallContext::default()).await.unwrap();
    assert!(matches!(stream.next().await, Some(Ok(ChatEvent::Text(_)))));
    assert!(matches!(stream.next().await, Some(Err(error)) if error.kind == ErrorKind::Truncated));
    assert!(stream.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn calls_at_once_are_counted_and_a_paused_clock_skips_their_delay() {
    let provider = Scripted::answering(|request, _| Ok(ChatResponse::text(&*request.model)));
    let provider = provider.named("sheep").with_models(["a", "b"]).with_delay(Duration::from_secs(60));
    let began = Instant::now();
    let answers = join_all(["a", "b", "c"].map(|model| provider.chat(question(model), CallContext::default()))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 3);
    assert_eq!((provider.peak_in_flight(), began.elapsed()), (3, Duration::from_secs(60)));
    provider.chat(question("d"), CallContext::default()).await.unwrap();
    assert_eq!((provider.peak_in_flight(), provider.name()), (3, "sheep"));
    let models: Vec<_> = provider.calls().iter().map(|call| call.request.model.to_string()).collect();
    assert_eq!(models, ["a", "b", "c", "d"]);
    assert_eq!(provider.models().await.unwrap(), ["a", "b"]);
}
