//! What every provider must keep, as tests that an implementation calls from its own.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use bellwether_provider::{ChatResponse, Scripted, conformance};
//!
//! let provider = Scripted::answering(|_, _| Ok(ChatResponse::text("bell")));
//! conformance::provider(&provider, "any-model").await;
//! # }
//! ```
//!
//! A test panics and names the promise that was broken.

use bellwether_core::chat::{ChatEvent, FinishReason, Fold};
use bellwether_core::{CallContext, ChatProvider, ChatRequest, ChatResponse, ChatStream, Message, ProviderError};
use futures_util::future;

/// A provider that answers plain questions about `model`.
///
/// It asks about ten of them, so keep it away from what costs money.
///
/// # Panics
///
/// If a promise is broken.
pub async fn provider(provider: &dyn ChatProvider, model: &str) {
    let name = provider.name().to_owned();
    assert!(!name.is_empty(), "a provider has a name");
    let whole = provider.chat(question(model), CallContext::default()).await.expect("a plain question is answered");
    said_something(&whole);
    let events = events(ask(provider, model).await).await;
    in_order(&events);
    let mut fold = Fold::default();
    events.into_iter().for_each(|event| fold.add(event));
    let folded = fold.finish().expect("a stream ends with a finish reason");
    said_something(&folded);
    assert_eq!(whole.finish, folded.finish, "both ways say why the model stopped");
    assert_eq!(whole.usage.is_absent(), folded.usage.is_absent(), "both ways say what was used, or neither does");

    // Going away in the middle harms nobody who comes after.
    drop(ask(provider, model).await);
    let mut begun = ask(provider, model).await;
    begun.next().await.expect("a stream has events").expect("a plain question is streamed");
    drop(begun);
    drop(provider.chat(question(model), CallContext::default()));

    let together = future::join_all((0..3).map(|_| provider.chat(question(model), CallContext::default()))).await;
    for answer in together {
        said_something(&answer.expect("questions may be asked at once"));
    }
    provider.models().await.expect("models are listed");
    assert_eq!(provider.name(), name, "a name stays");
}

/// A provider that fails on every question about `model`: how it says so.
///
/// # Panics
///
/// If a promise is broken.
pub async fn failing_provider(provider: &dyn ChatProvider, model: &str) {
    let error = provider.chat(question(model), CallContext::default()).await.expect_err("the provider fails");
    assert!(!error.details.emitted_output, "nobody has seen a part of an answer that failed as a whole");
    speaks(&error);
    match provider.stream(question(model), CallContext::default()).await {
        Err(error) => {
            assert!(!error.details.emitted_output, "nothing is handed on before there is a stream");
            speaks(&error);
        }
        Ok(mut stream) => {
            let mut emitted = false;
            let error = loop {
                match stream.next().await.expect("a stream that breaks off says so") {
                    Ok(event) => emitted |= is_output(&event),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.details.emitted_output, emitted, "an error says whether a part was handed on");
            speaks(&error);
            assert!(stream.next().await.is_none(), "a stream ends after its error");
        }
    }
}

fn question(model: &str) -> ChatRequest {
    ChatRequest::new(model, vec![Message::user("Say something.")])
}

async fn ask(provider: &dyn ChatProvider, model: &str) -> ChatStream {
    provider.stream(question(model), CallContext::default()).await.expect("a plain question is streamed")
}

async fn events(mut stream: ChatStream) -> Vec<ChatEvent> {
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        events.push(event.expect("a plain question is streamed to its end"));
    }
    events
}

fn said_something(answer: &ChatResponse) {
    assert!(!answer.text.is_empty(), "an answer says something");
    assert_eq!(answer.finish, FinishReason::Stop, "a plain answer ends by itself");
}

fn in_order(events: &[ChatEvent]) {
    assert!(matches!(events.first(), Some(ChatEvent::Started(_))), "a stream begins by saying that it began");
    let started = events.iter().filter(|event| matches!(event, ChatEvent::Started(_))).count();
    assert_eq!(started, 1, "a stream begins once");
    let finished = events.iter().position(|event| matches!(event, ChatEvent::Finished(_)));
    let finished = finished.expect("a stream says why the model stopped");
    assert!(!events[finished..].iter().any(is_output), "nothing is said after the model stopped");
}

const fn is_output(event: &ChatEvent) -> bool {
    matches!(event, ChatEvent::Reasoning(_) | ChatEvent::Refusal(_) | ChatEvent::Text(_) | ChatEvent::ToolCall { .. })
}

fn speaks(error: &ProviderError) {
    assert!(!error.message.is_empty(), "an error says what happened");
    assert!(!error.message.ends_with('.'), "an error's message is a fragment");
}
