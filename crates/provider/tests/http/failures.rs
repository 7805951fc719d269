//! Refusals and broken connections.

use std::time::{Duration, UNIX_EPOCH};

use bellwether_provider::{
    CallContext, ChatProvider, ErrorKind, OpenAiCompatible, ProviderConfig, ProviderError, Retry,
};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::server::{Act, KEY, Server, plain, question};

async fn refusal(status: &str, headers: &str, body: &str) -> ProviderError {
    Server::playing(plain(status, headers, body)).await.chat().await.expect_err("a refusal")
}

/// Everything an error shows, its causes included.
fn shown(error: &ProviderError) -> String {
    let mut shown = format!("{error} {error:?} {error:#?}");
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        shown.push_str(&format!("{next} {next:?}"));
        cause = next.source();
    }
    shown
}

#[tokio::test]
async fn a_refused_key_is_never_shown_in_any_form() {
    let encoded = "cr_super%2Bsecret%2F0123456789";
    let base64 = "Y3Jfc3VwZXIrc2VjcmV0LzAxMjM0NTY3ODk=";
    let body =
        json!({ "error": { "message": format!("bad key {KEY}, {encoded}, {base64}"), "code": "invalid_api_key" } });
    let server =
        Server::playing(plain("401 Unauthorized", &format!("x-request-id: {KEY}\r\n"), &body.to_string())).await;
    let client = server.client();
    for error in [
        client.chat(question(), CallContext::default()).await.unwrap_err(),
        client.stream(question(), CallContext::default()).await.unwrap_err(),
        client.models().await.unwrap_err(),
    ] {
        assert_eq!((error.kind, error.retry), (ErrorKind::Auth, Retry::Never));
        assert!(error.message.contains("refused the key"), "{error}");
        assert_eq!(error.details.code.as_deref(), Some("invalid_api_key"));
        for secret in [KEY, encoded, base64, "super+secret", "c3VwZXIr"] {
            assert!(!shown(&error).contains(secret), "{}", shown(&error));
        }
    }
    assert!(!format!("{client:?}").contains("secret"));
}

#[tokio::test]
async fn a_pause_that_was_asked_for_is_kept_in_every_form() {
    let millis = |millis| Retry::After(Duration::from_millis(millis));
    for (headers, body, retry) in [
        ("retry-after: 45\r\n", "", millis(45_000)),
        ("retry-after: 1.5\r\n", "", millis(1_500)),
        ("retry-after-ms: 250\r\nretry-after: 9\r\n", "", millis(250)),
        ("x-ratelimit-remaining-tokens: 0\r\nx-ratelimit-reset-tokens: 6m0s\r\n", "", millis(360_000)),
        ("", r#"{"error":{"code":"rate_limit_exceeded","retry_after":1.2}}"#, millis(1_200)),
        ("", r#"{"error":{"type":"tokens","message":"Please try again in 59.977s."}}"#, millis(59_977)),
        ("retry-after: never\r\n", "<html>", Retry::Backoff),
        ("x-should-retry: False\r\nretry-after: 2\r\n", "", Retry::Never),
    ] {
        let error = refusal("429 Too Many Requests", headers, body).await;
        assert_eq!((error.kind, error.retry), (ErrorKind::RateLimited, retry), "{headers}{body}");
        assert_eq!(error.details.status, Some(429));
        assert!(!error.details.may_have_executed);
    }
    let far = UNIX_EPOCH + Duration::from_secs(4_000_000_000);
    let date = format!("retry-after: {}\r\n", httpdate::fmt_http_date(far));
    let error = refusal("429 Too Many Requests", &date, "").await;
    assert!(matches!(error.retry, Retry::After(wait) if wait > Duration::from_secs(86_400)), "{:?}", error.retry);
}

#[tokio::test]
async fn an_empty_account_is_not_a_rate_limit() {
    let body = r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#;
    let error = refusal("429 Too Many Requests", "retry-after: 1\r\n", body).await;
    assert_eq!((error.kind, error.retry), (ErrorKind::QuotaExhausted, Retry::Never));
    assert_eq!(error.details.code.as_deref(), Some("insufficient_quota"));
}

#[tokio::test]
async fn a_page_of_html_keeps_its_status_and_its_beginning() {
    let body = format!("<html>{}</html>", "busy ".repeat(2_000));
    let error = refusal("503 Service Unavailable", "retry-after: 3\r\n", &body).await;
    assert_eq!((error.kind, error.retry), (ErrorKind::Overloaded, Retry::After(Duration::from_secs(3))));
    assert!(error.details.body.starts_with("<html>busy") && error.details.body.len() == 4_096);
    assert!(error.message.len() < 200, "{error}");
}

#[tokio::test]
async fn a_refusal_that_breaks_off_is_still_that_refusal() {
    let begun = Act::Send(b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 2\r\ncontent-length: 99\r\n\r\n{".to_vec());
    let error = Server::playing([begun, Act::Reset]).await.chat().await.unwrap_err();
    assert_eq!((error.kind, error.retry), (ErrorKind::RateLimited, Retry::After(Duration::from_secs(2))));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::playing(plain("200 OK", "", "{}")).await;
    for status in ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let error = refusal(status, &format!("location: {}/chat/completions\r\n", elsewhere.url), "").await;
        assert_eq!((error.kind, error.retry), (ErrorKind::NotFound, Retry::Never), "{error}");
        assert!(error.message.contains("redirect") && error.message.contains("base url"), "{error}");
    }
    assert_eq!((elsewhere.seen().len(), elsewhere.connections()), (0, 0));
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = OpenAiCompatible::new(ProviderConfig::new("gone", format!("http://{address}/v1"))).unwrap();
    let error = client.chat(question(), CallContext::default()).await.unwrap_err();
    assert_eq!((error.kind, error.retry), (ErrorKind::Connect, Retry::Backoff));
    assert!(error.message.contains(&address.to_string()), "{error}");
    assert!(!error.details.may_have_executed && error.cause.is_some());
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_answer_may_have_cost_something() {
    for acts in [vec![Act::Reset], vec![Act::Send(b"HTTP/1.1 200".to_vec()), Act::Reset]] {
        let error = Server::playing(acts).await.chat().await.unwrap_err();
        assert_eq!((error.kind, error.details.emitted_output), (ErrorKind::Connect, false), "{error}");
        assert!(error.details.may_have_executed);
    }
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_is_a_failed_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = OpenAiCompatible::new(ProviderConfig::new("plain", format!("https://{address}/v1"))).unwrap();
    let serve = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        socket
    };
    let (_socket, answer) = tokio::join!(serve, client.chat(question(), CallContext::default()));
    let error = answer.unwrap_err();
    assert_eq!((error.kind, error.details.may_have_executed), (ErrorKind::Connect, false), "{error}");
    assert!(error.message.contains("no TLS is spoken there") && error.message.contains("http://"), "{error}");
}

#[tokio::test]
async fn a_call_is_sent_once_whatever_comes_back() {
    let server = Server::playing(plain("503 Service Unavailable", "retry-after: 0\r\n", "")).await;
    assert_eq!(server.chat().await.unwrap_err().kind, ErrorKind::Overloaded);
    assert_eq!(server.seen().len(), 1);
}
