//! Answers as they arrive.

use bellwether_provider::{ChatEvent, ErrorKind, FinishReason, Fold, OpenAiCompatible, Phase, Retry, Started};

use crate::server::{Act, Server, begun, end, head, json, piece, read, sse};

const FIRST: &str =
    r#"{"id":"s1","model":"m-1","choices":[{"index":0,"delta":{"role":"assistant","content":"bell"}}]}"#;
const SECOND: &str = r#"{"choices":[{"delta":{"content":"wéther"}}]}"#;
const STOP: &str = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;

fn text(events: &[ChatEvent]) -> String {
    let text = |event: &ChatEvent| if let ChatEvent::Text(piece) = event { Some(piece.clone()) } else { None };
    events.iter().filter_map(text).collect()
}

#[tokio::test]
async fn a_stream_arrives_event_by_event_and_usage_comes_last() {
    let server = Server::playing(sse(&[FIRST, SECOND, STOP, USAGE, "[DONE]"])).await;
    let (events, error) = server.stream().await;
    assert!(error.is_none());
    let started = Started { id: Some("s1".to_owned()), model: Some("m-1".to_owned()), ..Started::default() };
    assert_eq!(events[0], ChatEvent::Started(started));
    assert_eq!(events[1], ChatEvent::Text("bell".to_owned()));
    assert_eq!(events[2], ChatEvent::Text("wéther".to_owned()));
    assert_eq!(events[3], ChatEvent::Finished(FinishReason::Stop));
    assert!(matches!(events[4], ChatEvent::Usage(usage) if usage.tokens() == 5));
    assert_eq!(events.len(), 5);
}

#[tokio::test]
async fn it_does_not_matter_how_the_network_cuts_the_stream() {
    let whole =
        format!("\u{feff}: hello\r\n\r\ndata:{FIRST}\r\n\r\nevent: x\rdata: {SECOND}\r\rdata: {STOP}\n\ndata: {USAGE}");
    let mut acts = vec![head("")];
    acts.extend(whole.as_bytes().chunks(1).map(piece));
    acts.push(end());
    let (events, error) = Server::playing(acts).await.stream().await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!((text(&events).as_str(), events.len()), ("bellwéther", 5));
}

#[tokio::test]
async fn tool_calls_are_put_together_from_their_pieces() {
    let call = |call: &str| format!(r#"{{"choices":[{{"delta":{{"tool_calls":[{call}]}}}}]}}"#);
    let pieces = [
        call(r#"{"index":0,"id":"a","function":{"name":"look","arguments":""}}"#),
        call(r#"{"index":0,"function":{"arguments":"{\"x\":"}}"#),
        call(r#"{"index":1,"id":"b","function":{"name":"go","arguments":"{}"}}"#),
        call(r#"{"index":0,"function":{"arguments":"1}"}}"#),
        STOP.to_owned(),
        "[DONE]".to_owned(),
    ];
    let server = Server::playing(sse(&pieces.each_ref().map(String::as_str))).await;
    let mut fold = Fold::default();
    server.stream().await.0.into_iter().for_each(|event| fold.add(event));
    let whole = fold.finish().unwrap();
    assert_eq!(whole.finish, FinishReason::ToolCalls);
    let calls: Vec<_> = whole.tool_calls.iter().map(|call| (&*call.id, &*call.name, &*call.arguments)).collect();
    assert_eq!(calls, [("a", "look", "{\"x\":1}"), ("b", "go", "{}")]);
}

#[tokio::test]
async fn the_end_mark_ends_a_stream_whose_connection_stays_open() {
    let mut acts = begun(&[FIRST, "[DONE]"]);
    acts.push(Act::Hang);
    let (events, error) = Server::playing(acts).await.stream().await;
    assert!(error.is_none());
    assert_eq!(events.last(), Some(&ChatEvent::Finished(FinishReason::Stop)));
}

#[tokio::test]
async fn a_finish_reason_is_enough_without_an_end_mark() {
    for last in [end(), Act::Reset] {
        let mut acts = begun(&[FIRST, STOP]);
        acts.push(last);
        let (events, error) = Server::playing(acts).await.stream().await;
        assert!(error.is_none());
        assert_eq!(events.last(), Some(&ChatEvent::Finished(FinishReason::Stop)));
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_truncated_and_says_whether_it_had_begun() {
    for (events, emitted) in [(&[FIRST][..], true), (&[], false)] {
        for last in [end(), Act::Reset] {
            let mut acts = begun(events);
            acts.push(last);
            let (seen, error) = Server::playing(acts).await.stream().await;
            let error = error.unwrap();
            assert_eq!((text(&seen).is_empty(), error.details.emitted_output), (!emitted, emitted), "{error}");
            assert!(error.details.may_have_executed);
            assert_eq!(error.kind, ErrorKind::Truncated, "{error}");
        }
    }
}

#[tokio::test]
async fn an_error_in_the_middle_of_a_stream_is_classified() {
    let late = r#"{"error":{"code":429,"message":"slow down, retry after 2 seconds"},"choices":[]}"#;
    let (events, error) = Server::playing(sse(&[FIRST, late, "[DONE]"])).await.stream().await;
    let error = error.unwrap();
    assert_eq!((error.kind, error.retry), (ErrorKind::RateLimited, Retry::After(std::time::Duration::from_secs(2))));
    assert!(error.details.emitted_output && text(&events) == "bell");
    let early = Server::playing(sse(&[r#"{"error":"operation was aborted"}"#])).await.stream().await.1.unwrap();
    assert_eq!((early.kind, early.retry, early.details.emitted_output), (ErrorKind::Upstream, Retry::Backoff, false));
}

#[tokio::test]
async fn a_whole_answer_is_taken_although_a_stream_was_asked_for() {
    let body = serde_json::json!({ "choices": [{ "message": { "content": "bell" }, "finish_reason": "length" }] });
    let (events, error) = Server::playing(json(&body)).await.stream().await;
    assert!(error.is_none());
    assert_eq!(events[1..], [ChatEvent::Text("bell".to_owned()), ChatEvent::Finished(FinishReason::Length)]);
    let body = serde_json::json!({ "error": { "code": 503 } });
    let error = Server::playing(json(&body)).await.stream().await.1.unwrap();
    assert_eq!(error.kind, ErrorKind::Overloaded);
}

#[tokio::test]
async fn garbage_in_a_stream_is_not_swallowed() {
    let (events, error) = Server::playing(sse(&[FIRST, "{oops"])).await.stream().await;
    let error = error.unwrap();
    assert_eq!((error.kind, error.details.emitted_output), (ErrorKind::Decode, true));
    assert_eq!(text(&events), "bell");
}

#[tokio::test]
async fn a_line_without_end_is_cut_off_at_1_mib() {
    let mut acts = vec![head(""), piece(b"data: ")];
    acts.extend((0..40).map(|_| piece(&[b'a'; 32 << 10])));
    acts.push(Act::Hang);
    let error = Server::playing(acts).await.stream().await.1.unwrap();
    assert!(error.kind == ErrorKind::Decode && error.message.contains("longer than 1 MiB"), "{error}");
}

#[tokio::test]
async fn signs_of_life_without_content_do_not_count_as_a_first_word() {
    let mut acts = vec![head("")];
    acts.extend((0..5).map(|_| piece(b": working\n\n")));
    acts.push(Act::Hang);
    let server = Server::playing(acts).await;
    let mut config = server.config();
    config.timeouts.first_token = std::time::Duration::from_millis(50);
    let error = read(&OpenAiCompatible::new(config).unwrap()).await.1.unwrap();
    assert_eq!(error.kind, ErrorKind::Timeout(Phase::FirstToken));
}
