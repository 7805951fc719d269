//! Spans on their way to an OpenTelemetry collector.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::process::{Folder, bellwether, said};

/// A request's head and body; none if nothing comes any more.
fn request(reader: &mut BufReader<&TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).expect("a request begins with text") == 0 {
            return None;
        }
    }
    let head = head.to_ascii_lowercase();
    let length = head.split_once("content-length: ").and_then(|(_, rest)| rest.lines().next()?.parse().ok());
    let mut body = vec![0; length.expect("a length is given")];
    reader.read_exact(&mut body).expect("a body of that length comes");
    Some((head, body))
}

/// Takes what is sent until somebody connects and says nothing.
fn collect(collector: &TcpListener) -> Vec<(String, Vec<u8>)> {
    let mut requests = Vec::new();
    loop {
        let (socket, _) = collector.accept().expect("the port is open");
        let (mut reader, before) = (BufReader::new(&socket), requests.len());
        while let Some(request) = request(&mut reader) {
            requests.push(request);
            let mut answer = &socket;
            answer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("the program waits");
        }
        if requests.len() == before {
            return requests;
        }
    }
}

#[test]
fn every_span_of_a_run_reaches_the_collector_without_any_text() {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = collector.local_addr().unwrap();
    let collected = std::thread::spawn(move || collect(&collector));
    let folder = Folder::new("demo-otlp");
    let mut demo = bellwether(&folder);
    demo.args(["demo", "Build a secret barn", "--tasks", "2"]);
    let demo = said(demo.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}")));
    drop(TcpStream::connect(address).expect("the collector listens"));
    assert_eq!(demo.code, Some(0), "{}", demo.stderr);
    assert!(!demo.stderr.contains("not every span"), "{}", demo.stderr);

    let requests = collected.join().expect("the collector read it all");
    assert!(!requests.is_empty() && requests.iter().all(|(head, _)| head.starts_with("post /v1/traces http/1.1")));
    let bodies: Vec<u8> = requests.into_iter().flat_map(|(_, body)| body).collect();
    let bodies = String::from_utf8_lossy(&bodies);
    for text in
        ["invoke_workflow ", "invoke_agent reviewer", "chat ", "gen_ai.usage.input_tokens", "gen_ai.request.model"]
    {
        assert!(bodies.contains(text), "no {text:?}");
    }
    assert!(!bodies.contains("secret barn") && !bodies.contains("simulated, "), "no text of a task or an answer");
}

#[test]
fn an_address_that_is_none_is_named_before_anything_is_asked() {
    let folder = Folder::new("otlp-wrong");
    let demo = said(bellwether(&folder).arg("demo").env("OTEL_EXPORTER_OTLP_ENDPOINT", "not an address"));
    assert_eq!(demo.code, Some(2), "{}", demo.stderr);
    assert!(demo.stderr.contains("OTEL_EXPORTER_OTLP_ENDPOINT") && demo.stderr.contains("http://localhost:4318"));
}
