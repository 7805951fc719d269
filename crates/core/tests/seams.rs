//! Every seam is usable behind a pointer, and every double keeps its seam's promises.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bellwether_core::chat::{Fold, Started};
use bellwether_core::test_util::{self, MemoryJournal, Recorder, Unlimited};
use bellwether_core::{
    CallContext, ChatEvent, ChatProvider, ChatRequest, ChatResponse, ChatStream, Demand, ErrorKind, Fact, FinishReason,
    Observer, Outcome, Permit, Price, ProviderError, RunId, Settle, Timestamp, Usage, Usd,
};
use proptest::prelude::*;

/// The least somebody has to write to bring a provider of their own.
#[derive(Debug)]
struct Echo;

#[async_trait]
impl ChatProvider for Echo {
    fn name(&self) -> &'static str {
        "echo"
    }

    async fn stream(&self, request: ChatRequest, _: CallContext) -> Result<ChatStream, ProviderError> {
        Ok(ChatStream::ready(ChatResponse::text(format!("{} messages", request.messages.len()))))
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        Ok(vec!["echo".to_owned()])
    }
}

#[tokio::test]
async fn a_provider_of_twelve_lines_keeps_the_promises_of_the_seam() {
    let provider: Arc<dyn ChatProvider> = Arc::new(Echo);
    test_util::provider(&*provider, "echo").await;
}

#[tokio::test]
async fn the_doubles_keep_the_promises_of_their_seams() {
    test_util::rate_limiter(&Unlimited).await;
    test_util::journal(&MemoryJournal::default()).await;
}

#[test]
fn several_observers_hear_the_same_facts_as_one() {
    let (a, b) = (Arc::new(Recorder::default()), Arc::new(Recorder::default()));
    let watchers: Vec<Arc<dyn Observer>> = vec![Arc::<Recorder>::clone(&a), Arc::<Recorder>::clone(&b)];
    watchers.observe(&Fact::RunStarted { run: RunId::from("r1"), team: "team".into() });
    assert_eq!((a.facts().len(), b.count(|fact| matches!(fact, Fact::RunStarted { .. }))), (1, 1));
}

#[derive(Debug)]
struct Tally(Arc<Mutex<Vec<Outcome>>>);

impl Settle for Tally {
    fn settle(self: Box<Self>, outcome: Outcome) {
        self.0.lock().expect("no test panics while it holds this").push(outcome);
    }
}

#[test]
fn a_permit_is_settled_exactly_once_on_every_way_out() {
    let demand = Demand { requests: 1, input_tokens: 2, output_tokens: 3 };
    let seen = Arc::new(Mutex::new(Vec::new()));
    let permit = || Permit::new(demand, Box::new(Tally(Arc::clone(&seen))));
    permit().settle(Outcome::Unused);
    drop(permit());
    assert_eq!(*seen.lock().unwrap(), [Outcome::Unused, Outcome::Abandoned]);
}

#[tokio::test]
async fn a_stream_that_ends_before_the_model_is_truncated_and_may_be_billed() {
    let mut fold = Fold::default();
    fold.add(ChatEvent::Text("half".to_owned()));
    let error = fold.finish().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Truncated);
    assert!(error.details.emitted_output && error.details.may_have_executed);
}

#[test]
fn usage_that_nobody_sent_is_absent_and_not_zero() {
    let some = Usage { input_tokens: Some(3), ..Usage::default() };
    let sum: Usage = [Usage::default(), some, some].into_iter().sum();
    assert_eq!(sum, Usage { input_tokens: Some(6), ..Usage::default() });
    assert!(Usage::default().is_absent());
}

#[test]
fn a_price_is_exact_to_the_billionth_and_absent_without_usage() {
    let dollars = |amount: f64| Usd::from_dollars(amount).unwrap();
    let price = Price { input_per_mtok: dollars(2.5), cached_per_mtok: dollars(0.25), output_per_mtok: dollars(10.0) };
    let usage =
        Usage { input_tokens: Some(1_001), cached_tokens: Some(1_000), output_tokens: Some(7), ..Usage::default() };
    assert_eq!(price.of(&usage), Some(Usd::from_nanos(2_500 + 250_000 + 70_000)));
    assert_eq!(price.of(&Usage { output_tokens: None, ..usage }), None);
    assert_eq!(Usd::from_dollars(-1.0), None);
    assert_eq!(Usd::from_dollars(f64::NAN), None);
    assert_eq!(dollars(0.0123).to_string(), "$0.0123");
}

#[test]
fn a_timestamp_never_runs_over_or_under() {
    let late = Timestamp::from_nanos(u64::MAX - 1) + Duration::from_secs(1);
    assert_eq!(late, Timestamp::from_nanos(u64::MAX));
    assert_eq!(Timestamp::ZERO.since(late), Duration::ZERO);
    assert_eq!(Timestamp::from_millis(2).since(Timestamp::from_millis(1)), Duration::from_millis(1));
}

fn event() -> impl Strategy<Value = ChatEvent> {
    prop_oneof![
        ".{0,8}".prop_map(ChatEvent::Text),
        ".{0,8}".prop_map(ChatEvent::Reasoning),
        ".{0,8}".prop_map(ChatEvent::Refusal),
        (0usize..1_000_000, ".{0,8}").prop_map(|(index, arguments)| ChatEvent::ToolCall {
            index,
            id: None,
            name: Some("f".to_owned()),
            arguments
        }),
        any::<u64>().prop_map(|n| ChatEvent::Usage(Usage { output_tokens: Some(n), ..Usage::default() })),
        Just(ChatEvent::Started(Started::default())),
        Just(ChatEvent::Finished(FinishReason::Stop)),
    ]
}

proptest! {
    /// No order of events makes the fold panic or grow beyond what was sent, and text is kept to the letter.
    #[test]
    fn a_fold_keeps_what_was_said(events in prop::collection::vec(event(), 0..40)) {
        let said: String = events.iter().filter_map(|e| match e { ChatEvent::Text(t) => Some(t.as_str()), _ => None }).collect();
        let calls = events.iter().filter(|e| matches!(e, ChatEvent::ToolCall { .. })).count();
        let finished = events.iter().any(|e| matches!(e, ChatEvent::Finished(_)));
        let mut fold = Fold::default();
        for event in events {
            fold.add(event);
        }
        match fold.finish() {
            Ok(response) => {
                prop_assert!(finished);
                prop_assert_eq!(response.text, said);
                prop_assert!(response.tool_calls.len() <= calls);
            }
            Err(error) => {
                prop_assert!(!finished);
                prop_assert_eq!(error.kind, ErrorKind::Truncated);
            }
        }
    }
}
