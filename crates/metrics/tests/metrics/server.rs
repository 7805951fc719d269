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

/// What is left of a connection until it ends.
async fn rest(mut socket: TcpStream) -> String {
    let mut text = Vec::new();
    // A reset is an end as well.
    let _ = socket.read_to_end(&mut text).await;
    String::from_utf8(text).expect("answers are text")
}

/// They used to stay for ever, each with a file of the process.
#[tokio::test]
async fn whoever_asks_for_nothing_or_too_slowly_is_sent_away_and_others_are_served() {
    let exporter = Exporter::local();
    let server = serve(&exporter).await;
    let mut clients = Vec::new();
    for begun in ["", "GET /metrics HT", "GET /metrics HTTP/1.1\r\nHost: test\r\n"] {
        let mut socket = TcpStream::connect(server.addr()).await.unwrap();
        socket.write_all(begun.as_bytes()).await.unwrap();
        clients.push(socket);
    }
    let mut idle = TcpStream::connect(server.addr()).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
    let mut answer = [0; 256];
    let read = idle.read(&mut answer).await.unwrap();
    assert!(String::from_utf8_lossy(&answer[..read]).ends_with("ok\n"));
    assert_eq!(get(server.addr(), "/healthz").await.1, "ok\n");
    tokio::time::pause();
    for client in clients {
        tokio::time::timeout(Duration::from_secs(3_600), rest(client)).await.expect("it ends");
    }
    assert_eq!(tokio::time::timeout(Duration::from_secs(3_600), rest(idle)).await.expect("it ends"), "");
    tokio::time::resume();
    assert_eq!(get(server.addr(), "/healthz").await.1, "ok\n");
    server.shutdown().await;
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_one_by_one() {
    let exporter = Exporter::local();
    let server = serve(&exporter).await;
    let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(300));
    for (request, status) in [
        ("garbage\r\n\r\n", "400"),
        ("\u{16}\u{3}\u{1}\u{2}\0\r\n\r\n", "400"),
        ("POST /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", "405"),
        (&many, "431"),
        ("GET /metrics?x=%ff HTTP/1.0\r\n\r\n", "200"),
    ] {
        let mut socket = TcpStream::connect(server.addr()).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let answer = rest(socket).await;
        assert_eq!(answer.split(' ').nth(1), Some(status), "{answer}");
    }
    server.shutdown().await;
}

/// More than may be there at once wait for their turn, and get it.
#[tokio::test]
async fn more_clients_than_there_is_room_for_are_served_one_after_the_other() {
    let exporter = Exporter::local();
    let server = serve(&exporter).await;
    let mut here = Vec::new();
    for _ in 0..300 {
        let mut socket = TcpStream::connect(server.addr()).await.unwrap();
        socket.write_all(b"GET /healthz HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").await.unwrap();
        here.push(socket);
    }
    for socket in here {
        assert!(rest(socket).await.ends_with("ok\n"));
    }
    server.shutdown().await;
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
