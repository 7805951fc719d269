//! What is sent.

use std::sync::Arc;

use bellwether_provider::{
    CallContext, ChatProvider, ChatRequest, ConfigError, ErrorKind, MaxTokensField, Message, OpenAiCompatible, Part,
    Preset, ProviderConfig, StreamUsage,
};
use serde_json::json;

use crate::server::{KEY, Server, json, plain, question, read, sse};

fn answer() -> serde_json::Value {
    json!({ "choices": [{ "message": { "content": "bell" }, "finish_reason": "stop" }] })
}

#[tokio::test]
async fn a_question_goes_out_with_the_key_and_without_anything_else() {
    let server = Server::playing(json(&answer())).await;
    let context = CallContext { idempotency_key: Some(Arc::from("r1/t1/0")), ..CallContext::default() };
    server.client().chat(question(), context).await.unwrap();
    let [seen] = &server.seen()[..] else { panic!("one call is one request") };
    assert!(seen.head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"));
    assert!(seen.has("authorization", &format!("Bearer {KEY}")));
    assert!(seen.has("content-type", "application/json"));
    assert!(seen.has("idempotency-key", "r1/t1/0"));
    let question = json!([{ "role": "user", "content": "Who leads the flock?" }]);
    assert_eq!(seen.body, json!({ "model": "m", "messages": question }));
}

#[tokio::test]
async fn a_stream_asks_for_its_usage_unless_it_is_told_not_to() {
    let server = Server::playing(sse(&["[DONE]"])).await;
    let mut config = server.config();
    read(&OpenAiCompatible::new(config.clone()).unwrap()).await;
    config.stream_usage = StreamUsage::DoNotAsk;
    read(&OpenAiCompatible::new(config).unwrap()).await;
    let seen = server.seen();
    assert_eq!(seen[0].body["stream_options"], json!({ "include_usage": true }));
    assert_eq!((&seen[1].body["stream"], seen[1].body.get("stream_options")), (&json!(true), None));
}

#[tokio::test]
async fn settings_decide_headers_and_the_name_of_the_output_cap() {
    let server = Server::playing(json(&answer())).await;
    let mut config = server.config();
    config.key = None;
    config.max_tokens = MaxTokensField::MaxCompletionTokens;
    config.organisation = Some("org-1".to_owned());
    config.headers = [("x-title".to_owned(), "flock".to_owned())].into();
    let mut request = question();
    request.max_output_tokens = Some(5);
    OpenAiCompatible::new(config).unwrap().chat(request, CallContext::default()).await.unwrap();
    let seen = &server.seen()[0];
    assert!(seen.has("openai-organization", "org-1") && seen.has("x-title", "flock"));
    assert!(!seen.head.to_lowercase().contains("authorization"));
    assert_eq!((&seen.body["max_completion_tokens"], seen.body.get("max_tokens")), (&json!(5), None));
}

#[tokio::test]
async fn a_models_profile_decides_what_it_is_sent() {
    let server = Server::playing(json(&answer())).await;
    let mut config = server.config();
    let profile = json!({ "max_tokens_field": "max_completion_tokens", "reasoning": "send" });
    config.models.set("m", serde_json::from_value(profile).unwrap());
    let client = OpenAiCompatible::new(config).unwrap();
    let mut request = question();
    request.max_output_tokens = Some(5);
    request.messages.push(Message {
        content: vec![Part::Reasoning("hm".to_owned()), Part::Text("bell".to_owned())],
        ..Message::assistant("")
    });
    client.chat(request.clone(), CallContext::default()).await.unwrap();
    client.chat(ChatRequest { model: "another".into(), ..request }, CallContext::default()).await.unwrap();
    let [first, second] = &server.seen()[..] else { panic!("two calls are two requests") };
    assert_eq!((&first.body["max_completion_tokens"], first.body.get("max_tokens")), (&json!(5), None));
    assert_eq!(first.body["messages"][1]["reasoning_content"], "hm");
    assert_eq!((&second.body["max_tokens"], second.body.get("max_completion_tokens")), (&json!(5), None));
    assert_eq!(second.body["messages"][1], json!({ "role": "assistant", "content": "bell" }));
}

#[tokio::test]
async fn an_idempotency_key_that_no_header_can_carry_is_refused_and_not_dropped() {
    let server = Server::playing(json(&answer())).await;
    let context = CallContext { idempotency_key: Some(Arc::from("a\r\nx-evil: 1")), ..CallContext::default() };
    let error = server.client().chat(question(), context).await.unwrap_err();
    assert_eq!((error.kind, server.connections()), (ErrorKind::InvalidRequest, 0), "{error}");
}

#[tokio::test]
async fn one_connection_serves_one_call_after_another() {
    let server = Server::playing_each([sse(&[&answer().to_string(), "[DONE]"]), json(&answer())]).await;
    let client = server.client();
    assert_eq!(read(&client).await.1.map(|error| error.message), None);
    client.chat(question(), CallContext::default()).await.unwrap();
    client.chat(question(), CallContext::default()).await.unwrap();
    assert_eq!((server.seen().len(), server.connections()), (3, 1));
}

#[tokio::test]
async fn models_are_listed() {
    let server = Server::playing(json(&json!({ "data": [{ "id": "a" }, { "id": "b" }] }))).await;
    assert_eq!(server.client().models().await.unwrap(), ["a", "b"]);
    assert!(server.seen()[0].head.starts_with("GET /v1/models HTTP/1.1\r\n"));
    let server = Server::playing(plain("200 OK", "", "<html>")).await;
    let error = server.client().models().await.unwrap_err();
    assert!(error.message.contains("sent no list of models"), "{error}");
}

#[test]
fn a_setting_that_cannot_work_is_named_with_its_remedy() {
    let build = |change: &dyn Fn(&mut ProviderConfig)| {
        let mut config = ProviderConfig::preset(Preset::Ollama);
        change(&mut config);
        let checked = OpenAiCompatible::check(&config).unwrap_err().to_string();
        assert_eq!(checked, OpenAiCompatible::new(config).unwrap_err().to_string(), "a look says what making it says");
        checked
    };
    let header =
        |name: &str, value: &str| build(&|config| config.headers = [(name.to_owned(), value.to_owned())].into());
    let injected = header("x-a", "hunter2\r\nx-b: c");
    assert!(injected.starts_with("headers: `x-a` has a value with a line break") && !injected.contains("hunter2"));
    assert!(header("x a", "b").contains("is not a header's name"));
    assert!(header("Content-Type", "text/plain").contains("leave it out"));
    assert!(build(&|config| config.timeouts.idle = std::time::Duration::ZERO).contains("timeouts.idle"));
    assert!(build(&|config| config.base_url = "http://models.example/v1".to_owned()).contains("use https"));
    let error = "gpt".parse::<Preset>().unwrap_err();
    assert!(matches!(&error, ConfigError::UnknownPreset { given } if given == "gpt"), "{error}");
    for preset in Preset::ALL {
        assert_eq!(preset.to_string().parse::<Preset>().unwrap(), preset);
    }
}

#[test]
fn a_missing_key_is_missed_by_the_name_of_its_variable() {
    let error = bellwether_provider::ApiKey::from_env("BELLWETHER_TEST_NO_SUCH_KEY").unwrap_err();
    assert!(error.to_string().starts_with("BELLWETHER_TEST_NO_SUCH_KEY: not set"), "{error}");
    for key in ["", "  \n", "two words", "caf\u{e9}", "a\r\nb"] {
        let error = bellwether_provider::ApiKey::new(key).unwrap_err();
        assert!(matches!(error, ConfigError::BadKey { .. }), "{key:?}");
    }
    let key = bellwether_provider::ApiKey::new(" cr_1 \n").unwrap();
    assert_eq!(format!("{key:?}"), "ApiKey(_)");
}
