//! Whole answers.

use bellwether_core::test_util;
use bellwether_provider::{
    CallContext, ChatProvider, ErrorKind, FinishReason, OpenAiCompatible, Price, Retry, ToolCall, Usd,
};
use serde_json::{Value, json};

use crate::server::{Act, Server, end, head, json, piece, plain, question, sse};

fn answer() -> Value {
    json!({
        "id": "hs-1", "object": "chat.completion", "model": "m-1", "latency_ms": 47,
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": "The bellwether." }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 42, "completion_tokens": 38, "total_tokens": 80, "cost_usd": 0.0002 },
    })
}

#[tokio::test]
async fn an_answer_is_read_with_its_head_usage_and_limits() {
    let headers = "x-request-id: req-7\r\nx-ratelimit-remaining-tokens: 900\r\nx-ratelimit-reset-tokens: 1.5s\r\n";
    let server = Server::playing(plain("200 OK", headers, &answer().to_string())).await;
    let whole = server.chat().await.unwrap();
    assert_eq!((whole.text.as_str(), whole.finish), ("The bellwether.", FinishReason::Stop));
    assert_eq!(whole.head.id.as_deref(), Some("hs-1"));
    assert_eq!(whole.head.model.as_deref(), Some("m-1"));
    assert_eq!(whole.head.request_id.as_deref(), Some("req-7"));
    assert_eq!(whole.head.limits.tokens.remaining, Some(900));
    assert_eq!(whole.head.limits.tokens.reset.map(|reset| reset.as_millis()), Some(1_500));
    assert_eq!((whole.usage.tokens(), whole.usage.cost), (80, Some(Usd::from_nanos(200_000))));
}

#[tokio::test]
async fn the_price_table_says_what_the_provider_does_not() {
    let dollars = |amount| Usd::from_dollars(amount).unwrap();
    let mut answer = answer();
    answer["usage"] = json!({ "prompt_tokens": 1_000, "completion_tokens": 10 });
    let server = Server::playing(json(&answer)).await;
    let mut config = server.config();
    let price = Price { input_per_mtok: dollars(3.0), cached_per_mtok: dollars(0.3), output_per_mtok: dollars(15.0) };
    config.prices = [("m".to_owned(), price)].into();
    let client = OpenAiCompatible::new(config).unwrap();
    let whole = client.chat(question(), CallContext::default()).await.unwrap();
    assert_eq!(whole.usage.cost, Some(dollars(0.003_15)));
    assert_eq!(server.chat().await.unwrap().usage.cost, None);
}

#[tokio::test]
async fn tool_calls_and_a_refusal_are_read() {
    let call = json!({ "id": "c", "type": "function", "function": { "name": "look", "arguments": { "x": 1 } } });
    let message = json!({ "content": null, "refusal": "no", "tool_calls": [call] });
    let server = Server::playing(json(&json!({ "choices": [{ "message": message, "finish_reason": "stop" }] }))).await;
    let whole = server.chat().await.unwrap();
    let expected = ToolCall { id: "c".to_owned(), name: "look".to_owned(), arguments: "{\"x\":1}".to_owned() };
    assert_eq!((whole.tool_calls, whole.refusal.as_deref()), (vec![expected], Some("no")));
    assert_eq!(whole.finish, FinishReason::ToolCalls);
}

#[tokio::test]
async fn a_stream_is_folded_although_a_whole_was_asked_for() {
    let first = r#"{"choices":[{"delta":{"content":"bell"}}]}"#;
    let last = r#"{"choices":[{"delta":{"content":"wether"},"finish_reason":"stop"}]}"#;
    let server = Server::playing(sse(&[first, last])).await;
    assert_eq!(server.chat().await.unwrap().text, "bellwether");
}

#[tokio::test]
async fn no_content_type_is_needed() {
    let server =
        Server::playing(plain("200 OK", "content-type: text/plain\r\n", &format!("\u{feff}\n{}", answer()))).await;
    assert_eq!(server.chat().await.unwrap().text, "The bellwether.");
}

#[tokio::test]
async fn an_error_under_a_good_status_is_an_error() {
    let error = json!({ "error": { "code": "insufficient_quota", "message": "no money", "request_id": "hs_req_1" } });
    let error = Server::playing(json(&error)).await.chat().await.unwrap_err();
    assert_eq!((error.kind, error.retry), (ErrorKind::QuotaExhausted, Retry::Never));
    assert_eq!(error.details.request_id.as_deref(), Some("hs_req_1"));
    assert!(!error.details.emitted_output);
}

#[tokio::test]
async fn what_is_no_answer_is_not_taken_for_one() {
    for (body, kind) in [
        ("", ErrorKind::Truncated),
        ("{\"choices\":[{\"mess", ErrorKind::Truncated),
        ("{\"choices\":[]}", ErrorKind::Decode),
        ("{,}", ErrorKind::Decode),
        ("<html>Welcome</html>", ErrorKind::Upstream),
        ("all is well", ErrorKind::Upstream),
    ] {
        let error = Server::playing(plain("200 OK", "", body)).await.chat().await.unwrap_err();
        assert_eq!(error.kind, kind, "{body}: {error}");
        assert_eq!((error.details.body.as_str(), error.details.may_have_executed), (body, true));
    }
}

#[tokio::test]
async fn an_endless_answer_is_cut_off_at_16_mib() {
    let mut acts = vec![head(""), piece(b"{")];
    acts.extend((0..17).map(|_| piece(&vec![b' '; 1 << 20])));
    acts.push(end());
    let error = Server::playing(acts).await.chat().await.unwrap_err();
    assert_eq!((error.kind, error.retry), (ErrorKind::Decode, Retry::Never));
    assert!(error.message.contains("larger than 16 MiB") && error.details.body.len() <= 4_096, "{error}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_truncated() {
    let begun = Act::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"choices\":".to_vec());
    for last in [None, Some(Act::Reset)] {
        let server =
            Server::playing_each([[begun.clone()].into_iter().chain(last).chain([Act::Reset]).collect()]).await;
        let error = server.chat().await.unwrap_err();
        assert_eq!((error.kind, error.details.emitted_output), (ErrorKind::Truncated, false), "{error}");
        assert!(error.details.may_have_executed && error.cause.is_some());
    }
}

#[tokio::test]
async fn the_client_keeps_the_promises_of_the_seam() {
    let server = Server::playing_each([
        json(&answer()),
        sse(&[r#"{"choices":[{"delta":{"content":"The bellwether."},"finish_reason":"stop"}]}"#, "[DONE]"]),
        json(&json!({ "data": [] })),
    ])
    .await;
    test_util::provider(&server.client(), "m").await;
}
