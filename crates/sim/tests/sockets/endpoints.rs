//! What each endpoint answers.

use std::net::SocketAddr;

use bellwether_sim::{ApiKey, Model, Scenario, Simulator};
use serde_json::{Value, json};

use crate::client::{chat, exchange, format_post, get, instant, post, question, start};

#[tokio::test]
async fn a_whole_answer_has_its_text_its_usage_and_the_mark_of_a_simulation() {
    let simulator = start(instant()).await;
    let received = chat(&simulator, json!({})).await;
    assert_eq!(received.status, 200);
    assert!(received.complete);
    assert_eq!(received.header("x-bellwether-simulated"), Some("true"));
    assert_eq!(received.header("x-request-id"), Some("sim-1"));
    let answer = received.json();
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["model"], "sim-small");
    assert_eq!(answer["system_fingerprint"], "simulated");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(text.ends_with("(simulated answer)"));
    assert_eq!(answer["usage"]["prompt_tokens"], 5);
    assert_eq!(answer["usage"]["completion_tokens"], text.chars().count().div_ceil(4));
    simulator.shutdown().await;
}

#[tokio::test]
async fn a_stream_says_the_same_as_a_whole_answer_and_ends_with_done() {
    let simulator = start(instant()).await;
    let whole = chat(&simulator, json!({})).await.json();
    let rest = json!({ "stream": true, "stream_options": { "include_usage": true } });
    let received = chat(&simulator, rest).await;
    assert!(received.complete);
    assert_eq!(received.header("content-type"), Some("text/event-stream; charset=utf-8"));
    let mut events = received.events();
    assert_eq!(events.pop(), Some("[DONE]"));
    let chunks: Vec<Value> = events.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    let (usage, chunks) = chunks.split_last().unwrap();
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"], whole["usage"]);
    let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, whole["choices"][0]["message"]["content"]);
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "stop");
    assert!(chunks.iter().all(|chunk| chunk["system_fingerprint"] == "simulated"));
}

#[tokio::test]
async fn a_stream_tells_no_usage_unless_it_is_asked_to() {
    let simulator = start(instant()).await;
    let received = chat(&simulator, json!({ "stream": true })).await;
    assert!(!received.body.contains("usage"));
    assert_eq!(received.events().last(), Some(&"[DONE]"));
}

#[tokio::test]
async fn one_connection_serves_several_requests() {
    let simulator = start(instant()).await;
    let last = format_post(&question(json!({})).to_string(), "");
    let first = last.replace("connection: close\r\n", "");
    let received = exchange(&simulator, &format!("{first}{first}{last}")).await;
    assert_eq!(received.status, 200);
    assert_eq!(received.body.matches("HTTP/1.1 200 OK").count(), 2);
    assert_eq!(simulator.stats().requests, 3);
}

#[tokio::test]
async fn an_answer_is_cut_off_at_max_tokens() {
    let simulator = start(instant()).await;
    for field in ["max_tokens", "max_completion_tokens"] {
        let answer = chat(&simulator, json!({ field: 7 })).await.json();
        assert_eq!(answer["choices"][0]["finish_reason"], "length");
        assert_eq!(answer["usage"]["completion_tokens"], 7);
        assert_eq!(answer["choices"][0]["message"]["content"].as_str().unwrap().chars().count(), 28);
    }
}

#[tokio::test]
async fn the_models_are_listed() {
    let simulator = start(instant()).await;
    let list = get(&simulator, "/v1/models").await.json();
    assert_eq!(list["object"], "list");
    assert_eq!(list["data"][0]["id"], "sim-small");
    assert_eq!(list["data"][0]["context_window"], 128_000);
}

#[tokio::test]
async fn the_statistics_count_what_happened() {
    let simulator = start(instant()).await;
    chat(&simulator, json!({})).await;
    chat(&simulator, json!({ "model": "other", "stream": true })).await;
    post(&simulator, "{}", "").await;
    let stats = get(&simulator, "/stats").await.json();
    assert_eq!(stats["requests"], 3);
    assert_eq!(stats["answered"], json!({ "200": 2, "400": 1 }));
    assert_eq!(stats["in_flight"], 0);
    assert_eq!(stats["peak_in_flight"], 1);
    assert_eq!(stats["input_tokens"], 10);
    assert_eq!(stats["per_model"]["other"]["requests"], 1);
    assert_eq!(stats["per_role"]["work"]["requests"], 2);
    assert_eq!(stats["per_role"]["work"]["output_tokens"], stats["output_tokens"]);
    assert_eq!(stats["cancelled"], 0);
    let typed = simulator.stats();
    assert_eq!((typed.requests, typed.input_tokens, typed.throttled), (3, 10, 0));
}

#[tokio::test]
async fn a_wrong_or_missing_key_is_refused_and_never_repeated() {
    let api_key = Some(ApiKey::new("sesame-open"));
    let simulator = start(Scenario { api_key, ..instant() }).await;
    let body = question(json!({})).to_string();
    for (headers, code) in [("", "missing_api_key"), ("authorization: Bearer sesame-shut\r\n", "invalid_api_key")] {
        let received = post(&simulator, &body, headers).await;
        assert_eq!(received.status, 401);
        assert_eq!(received.json()["error"]["code"], code);
        assert_eq!(received.json()["error"]["type"], "invalid_request_error");
        assert!(!received.body.contains("sesame"));
    }
    assert_eq!(get(&simulator, "/v1/models").await.status, 401);
    let received = post(&simulator, &body, "authorization: Bearer sesame-open\r\n").await;
    assert_eq!(received.status, 200);
    assert!(!format!("{simulator:?}").contains("sesame"));
}

#[tokio::test]
async fn a_malformed_request_is_told_which_field_is_wrong() {
    let simulator = start(instant()).await;
    let received = post(&simulator, "not json", "").await;
    assert_eq!((received.status, &received.json()["error"]["param"]), (400, &Value::Null));
    let received = post(&simulator, r#"{"model": "m", "messages": "x"}"#, "").await;
    let error = &received.json()["error"];
    assert_eq!((received.status, &error["param"]), (400, &json!("messages")));
    assert!(error["message"].as_str().unwrap().contains("`messages`"));
}

#[tokio::test]
async fn what_is_not_there_is_answered_in_the_same_shape() {
    let models = vec![Model { context: 100, id: "only".to_owned() }];
    let simulator = start(Scenario { models, strict_models: true, ..instant() }).await;
    let received = get(&simulator, "/v1/nothing").await;
    assert_eq!((received.status, &received.json()["error"]["code"]), (404, &json!("unknown_url")));
    assert_eq!(received.header("x-bellwether-simulated"), Some("true"));
    let received = get(&simulator, "/v1/chat/completions").await;
    assert_eq!((received.status, &received.json()["error"]["code"]), (405, &json!("method_not_allowed")));
    let received = chat(&simulator, json!({})).await;
    assert_eq!((received.status, &received.json()["error"]["code"]), (404, &json!("model_not_found")));
    let received = chat(&simulator, json!({ "model": "only", "max_tokens": 96 })).await;
    assert_eq!((received.status, &received.json()["error"]["code"]), (400, &json!("context_length_exceeded")));
    assert_eq!(chat(&simulator, json!({ "model": "only", "max_tokens": 95 })).await.status, 200);
}

#[tokio::test]
async fn a_body_above_four_mebibytes_is_refused() {
    let simulator = start(instant()).await;
    let received = post(&simulator, &" ".repeat(4 * 1024 * 1024 + 1), "").await;
    assert_eq!((received.status, &received.json()["error"]["code"]), (413, &json!("request_too_large")));
}

#[tokio::test]
async fn only_loopback_is_served_unless_the_scenario_allows_more() {
    let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let refused = Simulator::start(instant(), everywhere).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
    assert!(Simulator::start(Scenario { allow_remote: true, ..instant() }, everywhere).await.is_ok());
}
