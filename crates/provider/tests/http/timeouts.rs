//! What happens when nothing comes.

use std::time::Duration;

use bellwether_provider::{
    CallContext, ChatProvider, ErrorKind, OpenAiCompatible, Phase, ProviderError, Retry, Timeouts,
};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use crate::server::{Act, Server, begun, question, read};

const SHORT: Duration = Duration::from_millis(50);

async fn silent(begun: Vec<Act>) -> Server {
    Server::playing(begun.into_iter().chain([Act::Hang]).collect::<Vec<_>>()).await
}

fn client(server: &Server, change: impl FnOnce(&mut Timeouts)) -> OpenAiCompatible {
    let mut config = server.config();
    change(&mut config.timeouts);
    OpenAiCompatible::new(config).expect("a fine configuration")
}

fn check(error: &ProviderError, phase: Phase) {
    assert_eq!((error.kind, error.retry), (ErrorKind::Timeout(phase), Retry::Backoff), "{error}");
    assert!(error.details.may_have_executed && error.message.contains("within 50ms"), "{error}");
}

const FIRST: &str = r#"{"choices":[{"delta":{"content":"bell"}}]}"#;
const STOP: &str = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;

#[tokio::test]
async fn a_model_that_never_begins_runs_out_of_first_token_time() {
    for begun in [vec![], begun(&[]), begun(&[r#"{"choices":[{"delta":{"role":"assistant"}}]}"#])] {
        let server = silent(begun).await;
        let error = read(&client(&server, |timeouts| timeouts.first_token = SHORT)).await.1.unwrap();
        check(&error, Phase::FirstToken);
        assert!(!error.details.emitted_output);
    }
}

#[tokio::test]
async fn a_model_that_falls_silent_runs_out_of_idle_time() {
    let server = silent(begun(&[FIRST])).await;
    let (events, error) = read(&client(&server, |timeouts| timeouts.idle = SHORT)).await;
    let error = error.unwrap();
    check(&error, Phase::Idle);
    assert!(error.details.emitted_output && !events.is_empty());
}

#[tokio::test]
async fn silence_after_the_model_is_done_does_no_harm() {
    let server = silent(begun(&[FIRST, STOP])).await;
    assert!(read(&client(&server, |timeouts| timeouts.idle = SHORT)).await.1.is_none());
}

#[tokio::test]
async fn a_call_that_takes_too_long_runs_out_of_total_time() {
    let server = silent(begun(&[FIRST])).await;
    let client = client(&server, |timeouts| timeouts.total = SHORT);
    check(&read(&client).await.1.unwrap(), Phase::Total);
    check(&client.chat(question(), CallContext::default()).await.unwrap_err(), Phase::Total);
}

#[tokio::test]
async fn a_whole_answer_needs_no_first_word() {
    let server = silent(vec![]).await;
    let impatient = |timeouts: &mut Timeouts| {
        *timeouts = Timeouts { first_token: SHORT / 50, idle: SHORT / 50, total: SHORT, ..*timeouts };
    };
    let error = client(&server, impatient).chat(question(), CallContext::default()).await.unwrap_err();
    check(&error, Phase::Total);
}

#[tokio::test]
async fn an_attempts_own_limit_goes_before_the_total() {
    let server = silent(vec![]).await;
    let context = CallContext { timeout: Some(SHORT), ..CallContext::default() };
    let error = server.client().chat(question(), context).await.unwrap_err();
    check(&error, Phase::Total);
}

#[tokio::test]
async fn a_deadline_ends_a_call_and_a_past_one_sends_nothing() {
    let server = silent(vec![]).await;
    let client = server.client();
    let due = |wait| CallContext { deadline: Some((Instant::now() + wait).into_std()), ..CallContext::default() };
    let error = client.chat(question(), due(Duration::ZERO)).await.unwrap_err();
    assert_eq!((error.kind, error.details.may_have_executed), (ErrorKind::DeadlineExceeded, false));
    assert_eq!(server.connections(), 0);
    let error = client.stream(question(), due(SHORT)).await.unwrap_err();
    assert_eq!((error.kind, error.details.may_have_executed), (ErrorKind::DeadlineExceeded, true));
}

#[tokio::test]
async fn a_connection_that_is_never_accepted_runs_out_of_connect_time() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let _listener = socket.listen(1).unwrap();
    // The backlog is full as soon as a connection is not made within a time in which every other one is.
    let mut waiting = Vec::new();
    while let Ok(connected) = timeout(SHORT * 10, TcpStream::connect(address)).await {
        waiting.push(connected.unwrap());
        assert!(waiting.len() < 64, "this system has no backlog to fill");
    }
    let server = silent(vec![]).await;
    let mut config = server.config();
    config.base_url = format!("http://{address}/v1");
    config.timeouts.connect = SHORT;
    let error = OpenAiCompatible::new(config).unwrap().chat(question(), CallContext::default()).await.unwrap_err();
    assert_eq!((error.kind, error.details.may_have_executed), (ErrorKind::Timeout(Phase::Connect), false), "{error}");
    assert!(error.message.contains(&address.to_string()));
}

#[tokio::test]
async fn a_list_of_models_that_never_begins_is_waited_for_as_long_as_a_first_word() {
    let server = silent(Vec::new()).await;
    let error = client(&server, |timeouts| timeouts.first_token = SHORT).models().await.unwrap_err();
    check(&error, Phase::FirstToken);
}
