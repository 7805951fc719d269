//! Providers around other providers.

use std::sync::Arc;

use bellwether_provider::{
    CallContext, Cassette, ChatEvent, ChatProvider, ChatRequest, ChatResponse, ErrorKind, Fallback, FinishReason,
    Message, ProviderError, Recorded, Replayed, Reply, Retry, Scripted, conformance,
};

fn ask(text: &str) -> ChatRequest {
    ChatRequest::new("molly", vec![Message::user(text)])
}

fn always(kind: ErrorKind) -> Arc<Scripted> {
    Arc::new(Scripted::answering(move |_, _| Err(ProviderError::new(kind, "failed on purpose"))).named("failing"))
}

fn bell() -> Arc<Scripted> {
    Arc::new(Scripted::answering(|request, _| Ok(ChatResponse::text(format!("I am {}", request.model)))).named("bell"))
}

async fn text(provider: &dyn ChatProvider, question: &str) -> Result<String, ProviderError> {
    provider.chat(ask(question), CallContext::default()).await.map(|answer| answer.text)
}

#[tokio::test]
async fn every_decorator_keeps_the_promises_of_a_provider() {
    let cassette = Arc::new(Cassette::default());
    conformance::provider(&*bell(), "m").await;
    conformance::provider(&Fallback::new(always(ErrorKind::Overloaded)).or(bell()), "m").await;
    conformance::provider(&Recorded::new(bell(), Arc::clone(&cassette)), "m").await;
    conformance::provider(&Replayed::new(cassette), "m").await;
    conformance::failing_provider(&*always(ErrorKind::Auth), "m").await;
    conformance::failing_provider(&Fallback::new(always(ErrorKind::Auth)).or(always(ErrorKind::Connect)), "m").await;
    conformance::failing_provider(&Recorded::new(always(ErrorKind::Upstream), Arc::default()), "m").await;
    conformance::failing_provider(&Replayed::new(Arc::default()), "m").await;
    let late = || Reply::events([Ok(ChatEvent::Text("be".to_owned())), Err(ProviderError::truncated(true))]);
    let whole = Reply::from(ProviderError::truncated(false));
    conformance::failing_provider(&Fallback::new(Arc::new(Scripted::sequence([whole, late()]))), "m").await;
}

#[tokio::test]
async fn another_provider_is_asked_only_where_it_may_do_better() {
    for (kind, goes_on) in [
        (ErrorKind::Auth, true),
        (ErrorKind::Overloaded, true),
        (ErrorKind::QuotaExhausted, true),
        (ErrorKind::RateLimited, true),
        (ErrorKind::Truncated, true),
        (ErrorKind::Cancelled, false),
        (ErrorKind::ContentFiltered, false),
        (ErrorKind::ContextLength, false),
        (ErrorKind::DeadlineExceeded, false),
        (ErrorKind::InvalidRequest, false),
    ] {
        let second = bell();
        let both = Fallback::new(always(kind)).or_model(Arc::<Scripted>::clone(&second), "dolly");
        let outcome = text(&both, "who?").await;
        assert_eq!(outcome.is_ok(), goes_on, "{kind:?}");
        let stream = both.stream(ask("who?"), CallContext::default()).await;
        assert_eq!((stream.is_ok(), second.calls().len()), (goes_on, if goes_on { 2 } else { 0 }), "{kind:?}");
    }
    let only_overloaded = Fallback::new(always(ErrorKind::Auth)).or(bell()).on(|kind| kind == ErrorKind::Overloaded);
    assert_eq!(text(&only_overloaded, "who?").await.unwrap_err().kind, ErrorKind::Auth);
}

#[tokio::test]
async fn a_stream_falls_back_before_its_first_word_and_never_after_it() {
    let broken = |events: Vec<ChatEvent>| {
        let events = events.into_iter().map(Ok).chain([Err(ProviderError::truncated(false))]);
        Arc::new(Scripted::sequence([Reply::events(events)]))
    };
    let early = Fallback::new(broken(vec![ChatEvent::Started(Default::default())])).or(bell());
    let answer = early.stream(ask("who?"), CallContext::default()).await.unwrap().fold().await.unwrap();
    assert_eq!(answer.text, "I am molly");
    let second = bell();
    let late = Fallback::new(broken(vec![ChatEvent::Text("be".to_owned())])).or(Arc::<Scripted>::clone(&second));
    let error = late.stream(ask("who?"), CallContext::default()).await.unwrap().fold().await.unwrap_err();
    assert_eq!((error.kind, second.calls().len()), (ErrorKind::Truncated, 0));
}

#[tokio::test]
async fn when_all_fail_the_last_failure_is_told_and_no_bill_is_forgotten() {
    let mut billed = ProviderError::new(ErrorKind::Upstream, "failed");
    billed.details.may_have_executed = true;
    let first = Arc::new(Scripted::sequence([billed]).named("first"));
    let error = text(&Fallback::new(first).or(always(ErrorKind::Overloaded)), "who?").await.unwrap_err();
    assert_eq!((error.kind, error.details.may_have_executed), (ErrorKind::Overloaded, true));
    assert!(error.message.contains("after first failed"), "{error}");
}

#[tokio::test]
async fn a_cassette_replays_text_calls_and_failures_from_a_file() {
    let busy = ProviderError::new(ErrorKind::RateLimited, "slow down")
        .with_retry(Retry::After(std::time::Duration::from_millis(1_500)));
    let call =
        ChatEvent::ToolCall { index: 0, id: Some("c".into()), name: Some("look".into()), arguments: "{}".into() };
    let events = [ChatEvent::Started(Default::default()), call, ChatEvent::Finished(FinishReason::ToolCalls)];
    let script = [Reply::from("one"), "two".into(), busy.into(), Reply::events(events.clone().map(Ok))];
    let cassette = Arc::new(Cassette::default());
    let recorded = Recorded::new(Arc::new(Scripted::sequence(script)), Arc::clone(&cassette));
    for question in ["count", "count", "fail"] {
        let _ = text(&recorded, question).await;
    }
    recorded.stream(ask("call"), CallContext::default()).await.unwrap().fold().await.unwrap();
    let path = std::env::temp_dir().join(format!("bellwether-cassette-{}.jsonl", std::process::id()));
    cassette.save(&path).unwrap();
    let replayed = Replayed::new(Arc::new(Cassette::load(&path).unwrap()));
    std::fs::remove_file(&path).unwrap();
    for expected in ["one", "two", "two"] {
        assert_eq!(text(&replayed, "count").await.unwrap(), expected);
    }
    let error = text(&replayed, "fail").await.unwrap_err();
    assert_eq!(
        (error.kind, error.retry),
        (ErrorKind::RateLimited, Retry::After(std::time::Duration::from_millis(1_500)))
    );
    let answer = replayed.chat(ask("call"), CallContext::default()).await.unwrap();
    assert_eq!((answer.finish, answer.tool_calls[0].name.as_str()), (FinishReason::ToolCalls, "look"));
    assert_eq!(replayed.models().await.unwrap(), ["molly"]);
}

#[tokio::test]
async fn a_failure_comes_back_from_a_cassette_as_what_it_was_and_never_asks_to_come_back_at_once() {
    let soon = ProviderError::new(ErrorKind::Overloaded, "busy")
        .with_retry(Retry::After(std::time::Duration::from_micros(500)));
    let cassette = Arc::new(Cassette::default());
    let script = [Reply::from(ProviderError::new(ErrorKind::BudgetExceeded, "nothing left")), soon.into()];
    let recorded = Recorded::new(Arc::new(Scripted::sequence(script)), Arc::clone(&cassette));
    for question in ["dear", "soon"] {
        let _ = text(&recorded, question).await;
    }
    let replayed = Replayed::new(cassette);
    assert_eq!(text(&replayed, "dear").await.unwrap_err().kind, ErrorKind::BudgetExceeded);
    let waits = text(&replayed, "soon").await.unwrap_err().retry;
    assert!(matches!(waits, Retry::After(wait) if !wait.is_zero()), "{waits:?}");
}

#[test]
fn a_cassette_that_cannot_be_saved_leaves_nothing_behind() {
    let folder = std::env::temp_dir().join(format!("bellwether-cassettes-{}", std::process::id()));
    let taken = folder.join("taken");
    std::fs::create_dir_all(&taken).unwrap();
    Cassette::default().save(&taken).unwrap_err();
    let left = std::fs::read_dir(&folder).unwrap().count();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(left, 1, "nothing lies beside what could not be replaced");
}

#[tokio::test]
async fn a_miss_shows_the_nearest_recording_and_where_it_differs() {
    let cassette = Arc::new(Cassette::default());
    let recorded = Recorded::new(bell(), Arc::clone(&cassette));
    text(&recorded, "Who leads the flock?").await.unwrap();
    let far = ChatRequest { temperature: Some(0.5), seed: Some(1), ..ask("Something else") };
    recorded.chat(far, CallContext::default()).await.unwrap();
    let replayed = Replayed::new(cassette);
    let error = text(&replayed, "Who follows the flock?").await.unwrap_err();
    assert_eq!((error.kind, error.retry), (ErrorKind::InvalidRequest, Retry::Never));
    let expected = r#"not on the cassette; the nearest of 2 takes is number 1; messages[0].content was "Who leads the flock?" and is "Who follows the flock?""#;
    assert_eq!(error.message, expected);
    let empty = text(&Replayed::new(Arc::default()), "who?").await.unwrap_err();
    assert_eq!(empty.message, "the cassette is empty");
}

#[test]
fn a_file_that_is_no_cassette_is_refused_by_its_line() {
    let path = std::env::temp_dir().join(format!("bellwether-no-cassette-{}.jsonl", std::process::id()));
    std::fs::write(&path, "\n{\"request\":{},\"events\":[]}\n{oops}\n").unwrap();
    let error = Cassette::load(&path).unwrap_err();
    std::fs::remove_file(&path).unwrap();
    let place = format!("{}, line 3: ", path.display());
    assert!(error.to_string().starts_with(&place), "{error}");
}

#[cfg(feature = "cache")]
mod cache {
    use std::time::Duration;

    use bellwether_core::chat::Started;
    use bellwether_provider::{Cached, Flow, Usage, Usd};

    use super::*;

    fn counting() -> (Arc<Scripted>, Cached) {
        let usage =
            Usage { input_tokens: Some(3), output_tokens: Some(2), cost: Usd::from_dollars(0.5), ..Usage::default() };
        let mut head = Started { id: Some("a1".to_owned()), retries: 2, ..Started::default() };
        head.limits.tokens.remaining = Some(7);
        let model = Arc::new(Scripted::answering(move |request, _| match &*request.model {
            "cut" => Ok(ChatResponse { finish: FinishReason::Length, ..ChatResponse::text("be") }),
            "busy" => Err(ProviderError::new(ErrorKind::Overloaded, "is busy")),
            _ => Ok(ChatResponse { usage, head: head.clone(), ..ChatResponse::text("bell") }),
        }));
        (Arc::<Scripted>::clone(&model), Cached::new(model, 1 << 20, Duration::from_secs(60)))
    }

    #[tokio::test]
    async fn the_same_question_is_paid_for_once_whichever_way_it_is_asked() {
        let (model, cached) = counting();
        let stream = cached.stream(ask("who?"), CallContext::default()).await.unwrap().fold().await.unwrap();
        assert_eq!(stream.usage.tokens(), 5);
        for again in [
            cached.chat(ask("who?"), CallContext::default()).await.unwrap(),
            cached.stream(ask("who?"), CallContext::default()).await.unwrap().fold().await.unwrap(),
        ] {
            assert_eq!(
                (again.text.as_str(), again.usage.tokens(), again.usage.cost),
                ("bell", 0, Some(Usd::default()))
            );
            let head = Started { id: Some("a1".to_owned()), ..Started::default() };
            assert_eq!(again.head, head, "what was left of a limit then is no news");
        }
        assert_eq!(model.calls().len(), 1);
        conformance::failing_provider(&Cached::new(always(ErrorKind::Auth), 9, Duration::from_secs(1)), "m").await;
    }

    #[tokio::test]
    async fn another_question_another_tenant_and_half_an_answer_are_asked_again() {
        let (model, cached) = counting();
        let tenant = Flow { tenant: "another".into(), ..Flow::default() };
        cached.chat(ask("who?"), CallContext::default()).await.unwrap();
        cached.chat(ask("who else?"), CallContext::default()).await.unwrap();
        cached.chat(ChatRequest { seed: Some(1), ..ask("who?") }, CallContext::default()).await.unwrap();
        cached.chat(ask("who?"), CallContext::new(tenant)).await.unwrap();
        assert_eq!(model.calls().len(), 4);
        for name in ["cut", "busy"] {
            for _ in 0..2 {
                let _ = cached.chat(ChatRequest { model: name.into(), ..ask("who?") }, CallContext::default()).await;
            }
        }
        assert_eq!(model.calls().len(), 8);
        // A stream that is dropped in the middle leaves nothing behind.
        let mut begun = cached.stream(ask("half"), CallContext::default()).await.unwrap();
        begun.next().await.unwrap().unwrap();
        drop(begun);
        text(&cached, "half").await.unwrap();
        assert_eq!(model.calls().len(), 10);
    }
}

#[cfg(feature = "schema")]
mod schema {
    use bellwether_provider::{ResponseFormat, Validated, format_of, schemars};
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, schemars::JsonSchema, serde::Deserialize)]
    struct Verdict {
        accept: bool,
        #[schemars(range(min = 0, max = 1))]
        score: f64,
    }

    fn saying(text: &'static str) -> Arc<Scripted> {
        Arc::new(Scripted::answering(move |_, _| Ok(ChatResponse::text(text))))
    }

    #[tokio::test]
    async fn an_answer_that_fits_becomes_a_value_whatever_is_around_it() {
        for said in [
            r#"{"accept":true,"score":0.5}"#,
            "Here it is:\n```json\n{\"accept\":true,\"score\":0.5}\n```\nGood luck!",
            "My verdict is {\"accept\":true,\"score\":0.5}, as you see",
        ] {
            let (verdict, answer) =
                bellwether_provider::ask::<Verdict>(&*saying(said), ask("judge"), CallContext::default())
                    .await
                    .unwrap();
            assert_eq!((verdict, answer.text.as_str()), (Verdict { accept: true, score: 0.5 }, said));
        }
    }

    #[tokio::test]
    async fn an_array_is_found_among_words_and_braces_and_nothing_is_taken_out_of_the_middle() {
        let list = |said: &'static str| async move {
            let model = saying(said);
            let asked = bellwether_provider::ask::<Vec<Verdict>>(&*model, ask("judge"), CallContext::default()).await;
            asked.map(|(verdicts, _)| verdicts.len()).map_err(|error| error.message)
        };
        assert_eq!(list(r#"My only verdict: [{"accept":true,"score":0.5}], as you see"#).await, Ok(1));
        assert_eq!(list(r#"Both {so to say}: [{"accept":true,"score":0.5},{"accept":true,"score":1}]"#).await, Ok(2));
        assert!(list(r#"{"verdicts":[{"accept":true,"score":0.5}]}"#).await.is_err(), "it is a part of something else");
        assert!(list(r#"Here: {"verdicts":[{"accept":true,"score":0.5}]}"#).await.is_err());
        let noted = saying(r#"As in [1]: {"accept":true,"score":0.5}"#);
        let asked = bellwether_provider::ask::<Verdict>(&*noted, ask("judge"), CallContext::default());
        assert!(asked.await.is_ok(), "a note is no verdict");
    }

    #[tokio::test]
    async fn an_answer_that_does_not_fit_says_where() {
        for (said, why) in [
            (r#"{"accept":1,"score":0.5}"#, "/accept"),
            (r#"{"accept":true}"#, "score"),
            (r#"{"accept":true,"score":7}"#, "/score"),
            ("no", "not json"),
            ("", "not json"),
        ] {
            let error = bellwether_provider::ask::<Verdict>(&*saying(said), ask("judge"), CallContext::default())
                .await
                .unwrap_err();
            assert_eq!(
                (error.kind, error.retry, error.details.may_have_executed),
                (ErrorKind::Decode, Retry::Backoff, true)
            );
            assert!(error.message.contains(why), "{said}: {error}");
        }
    }

    #[tokio::test]
    async fn a_validating_provider_checks_only_what_was_asked_for() {
        conformance::provider(&Validated::new(bell()), "m").await;
        let request = || ChatRequest { response_format: Some(format_of::<Verdict>()), ..ask("judge") };
        let bad = Validated::new(saying("no"));
        assert_eq!(bad.chat(request(), CallContext::default()).await.unwrap_err().kind, ErrorKind::Decode);
        let mut stream = bad.stream(request(), CallContext::default()).await.unwrap();
        let mut last = None;
        while let Some(event) = stream.next().await {
            last = Some(event);
        }
        let error = last.unwrap().unwrap_err();
        assert!(error.details.emitted_output && error.message.contains("not json"), "{error}");
        let good = Validated::new(saying(r#"{"accept":true,"score":1}"#));
        good.stream(request(), CallContext::default()).await.unwrap().fold().await.unwrap();
        let model = saying("{}");
        let nonsense = ResponseFormat::JsonSchema { name: "x".to_owned(), schema: json!({ "type": "sheep" }) };
        let request = ChatRequest { response_format: Some(nonsense), ..ask("judge") };
        let error =
            Validated::new(Arc::<Scripted>::clone(&model)).chat(request, CallContext::default()).await.unwrap_err();
        assert_eq!((error.kind, model.calls().len()), (ErrorKind::InvalidRequest, 0), "{error}");
    }
}
