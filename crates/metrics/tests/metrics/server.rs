//! The figures over a real socket, and the recorder of the process.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bellwether_core::Fact;
use bellwether_metrics::{Exporter, ExporterError, MetricsObserver, MetricsServer, Observer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::story::hard_call;

async fn serve(exporter: &Exporter) -> MetricsServer {
    exporter.serve(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.expect("a free port is there")
}

/// The head and the body of the answer to a GET.
async fn get(addr: SocketAddr, path: &str) -> (String, String) {
    let mut socket = TcpStream::connect(addr).await.expect("the server listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.to_ascii_lowercase(), body.to_owned())
}

#[tokio::test]
async fn figures_and_health_are_served() {
    let (exporter, observer) = (Exporter::local(), MetricsObserver::new());
    exporter.record(|| hard_call().iter().for_each(|fact| observer.observe(fact)));
    let server = serve(&exporter).await;
    let (head, body) = get(server.addr(), "/metrics").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    assert!(body.contains("bellwether_queue_wait_seconds_count{class=\"standard\",team=\"writers\"} 3\n"), "{body}");
    assert!(body.contains(concat!("bellwether_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1\n")));
    assert_eq!(get(server.addr(), "/healthz").await.1, "ok\n");
    assert_eq!(get(server.addr(), "/readyz").await.1, "ready\n");
    server.set_ready(false);
    let (head, body) = get(server.addr(), "/readyz").await;
    assert!(head.starts_with("http/1.1 503") && body == "draining\n", "{head}");
    assert_eq!(get(server.addr(), "/healthz").await.1, "ok\n", "whoever drains is alive");
    assert!(get(server.addr(), "/elsewhere").await.0.starts_with("http/1.1 404"));
    server.shutdown().await;
}

#[tokio::test]
async fn shutdown_frees_the_port_even_if_somebody_stays_connected() {
    let exporter = Exporter::local();
    let server = serve(&exporter).await;
    let addr = server.addr();
    let mut idle = TcpStream::connect(addr).await.unwrap();
    idle.write_all(b"GET /metrics HT").await.unwrap();
    tokio::time::pause();
    tokio::time::timeout(Duration::from_secs(10), server.shutdown()).await.expect("nobody can hold it up");
    tokio::time::resume();
    let again = exporter.serve(addr).await.expect("the port is free");
    assert_eq!(get(addr, "/healthz").await.1, "ok\n");
    again.shutdown().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error() {
    let exporter = Exporter::local();
    let server = serve(&exporter).await;
    exporter.serve(server.addr()).await.unwrap_err();
    server.shutdown().await;
}

#[test]
fn a_process_has_one_recorder() {
    let exporter = Exporter::install().unwrap();
    assert_eq!(Exporter::install().unwrap_err(), ExporterError::AlreadyInstalled);
    let heard = || exporter.render().contains("bellwether_plan_rejected_total 1\n");
    assert!(!heard());
    MetricsObserver::new().observe(&Fact::PlanRejected { run: "r".into(), reason: String::new() });
    assert!(heard());
}

#[test]
fn upkeep_loses_no_sample() {
    let (exporter, observer) = (Exporter::local(), MetricsObserver::new());
    let call = || exporter.record(|| hard_call().iter().for_each(|fact| observer.observe(fact)));
    let heard = |samples: &str| {
        let line = format!("_wait_seconds_count{{class=\"standard\",team=\"writers\"}} {samples}\n");
        exporter.render().contains(&line)
    };
    call();
    exporter.upkeep();
    call();
    exporter.upkeep();
    assert!(heard("6"), "folded twice, rendered once");
    exporter.upkeep();
    call();
    assert!(heard("9") && heard("9"), "what is rendered stays");
}
