//! What breaks on purpose, and how the server goes away.

use std::time::Duration;

use bellwether_sim::{Fail, Fault, Faults, Scenario};
use serde_json::json;
use tokio::net::TcpStream;

use crate::client::{chat, instant, open, read, start, until};

fn failing(with: Fault) -> Scenario {
    let fail = vec![Fail { request: 1, with }];
    let faults = Faults { fail, stall_limit: Duration::from_secs(3_600), ..Faults::default() };
    Scenario { faults, ..instant() }
}

#[tokio::test]
async fn a_chosen_request_fails_with_the_chosen_status() {
    for (fault, status) in [(Fault::Error500, 500), (Fault::Error503, 503)] {
        let simulator = start(failing(fault)).await;
        let received = chat(&simulator, json!({})).await;
        assert_eq!(received.status, status);
        assert_eq!(received.json()["error"]["type"], "server_error");
        assert_eq!(chat(&simulator, json!({})).await.status, 200);
        assert_eq!(simulator.stats().injected[fault.name()], 1);
    }
}

#[tokio::test]
async fn a_reset_breaks_the_connection_in_the_middle_of_the_answer() {
    for rest in [json!({}), json!({ "stream": true })] {
        let simulator = start(failing(Fault::Reset)).await;
        let broken = chat(&simulator, rest.clone()).await;
        assert_eq!(broken.status, 200);
        assert!(broken.reset && !broken.complete);
        assert!(!broken.body.contains("[DONE]"));
        let whole = chat(&simulator, rest).await;
        assert!(whole.complete && !whole.reset);
        let stats = simulator.stats();
        assert_eq!((stats.in_flight, stats.cancelled, stats.injected["reset"]), (0, 0, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_closed_after_its_limit() {
    let simulator = start(failing(Fault::Stall)).await;
    let started = tokio::time::Instant::now();
    let stalled = chat(&simulator, json!({ "stream": true })).await;
    assert!(!stalled.complete);
    assert_eq!(stalled.events().len(), 1);
    assert!(started.elapsed() >= Duration::from_secs(3_600));
}

#[tokio::test(start_paused = true)]
async fn an_answer_takes_as_long_as_the_scenario_says() {
    let mut scenario = instant();
    scenario.latency.first_token = Duration::from_secs(2);
    scenario.latency.per_token = Duration::from_millis(100);
    let simulator = start(scenario).await;
    for rest in [json!({ "max_tokens": 50 }), json!({ "max_tokens": 50, "stream": true })] {
        let started = tokio::time::Instant::now();
        assert_eq!(chat(&simulator, rest).await.status, 200);
        let elapsed = started.elapsed();
        assert!((7_000..7_100).contains(&elapsed.as_millis()), "{elapsed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_lets_the_answers_under_way_finish() {
    let mut scenario = instant();
    scenario.latency.first_token = Duration::from_secs(1);
    let simulator = start(scenario).await;
    let waiting = open(&simulator, json!({})).await;
    until(&simulator, |stats| stats.in_flight == 1).await;
    let addr = simulator.addr();
    let stats = simulator.shutdown().await;
    assert_eq!((stats.answered.get(&200), stats.in_flight), (Some(&1), 0), "what was under way is counted, too");
    let received = read(waiting).await;
    assert_eq!((received.status, received.complete), (200, true));
    TcpStream::connect(addr).await.expect_err("nobody listens any more");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_ever() {
    let simulator = start(failing(Fault::Stall)).await;
    let silent = open(&simulator, json!({ "stream": true })).await;
    until(&simulator, |stats| stats.in_flight == 1).await;
    let started = tokio::time::Instant::now();
    let stats = simulator.shutdown().await;
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!((stats.cancelled, stats.in_flight), (1, 0), "who was cut off is counted as gone");
    assert!(!read(silent).await.complete);
}

#[tokio::test]
async fn a_dropped_simulator_listens_no_more_and_ends_its_connections() {
    let simulator = start(failing(Fault::Stall)).await;
    let silent = open(&simulator, json!({ "stream": true })).await;
    until(&simulator, |stats| stats.in_flight == 1).await;
    let addr = simulator.addr();
    drop(simulator);
    assert!(!read(silent).await.complete);
    TcpStream::connect(addr).await.expect_err("nobody listens any more");
}
