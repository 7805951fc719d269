//! Spans on their way to an OpenTelemetry collector.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{JoinHandle, spawn};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::process::{Folder, Said, bellwether, said};

/// What was posted, by its head and body.
type Posted = Vec<(String, Vec<u8>)>;

/// A request's head and body; none if nothing comes any more.
fn request(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        // Whoever breaks off, or trusts nobody, says nothing further.
        if !matches!(reader.read_line(&mut head), Ok(1..)) {
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
fn collect<S: Read + Write>(collector: &TcpListener, open: impl Fn(TcpStream) -> S) -> Posted {
    let mut requests = Vec::new();
    loop {
        let (socket, _) = collector.accept().expect("the port is open");
        let (mut reader, before) = (BufReader::new(open(socket)), requests.len());
        while let Some(request) = request(&mut reader) {
            requests.push(request);
            let answer = reader.get_mut();
            answer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("the program waits");
            answer.flush().expect("the program waits");
        }
        if requests.len() == before {
            return requests;
        }
    }
}

fn collecting<S: Read + Write>(open: impl Fn(TcpStream) -> S + Send + 'static) -> (SocketAddr, JoinHandle<Posted>) {
    let collector = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = collector.local_addr().expect("it listens");
    (address, spawn(move || collect(&collector, open)))
}

/// A collector whose certificate an authority of its own signed, and that authority's certificate.
fn encrypted() -> (SocketAddr, JoinHandle<Posted>, String) {
    let mut params = CertificateParams::new(Vec::new()).expect("no names are fine");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
    let key = KeyPair::generate().expect("a key");
    let server = CertificateParams::new(vec!["localhost".to_owned()]).expect("a fine name");
    let server = server.signed_by(&key, &authority).expect("a signature");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the usual versions")
        .with_no_client_auth()
        .with_single_cert(vec![server.der().clone()], key)
        .expect("a certificate with its key");
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let config = Arc::new(config);
    let open =
        move |socket| StreamOwned::new(ServerConnection::new(Arc::clone(&config)).expect("a fine server"), socket);
    let (address, collected) = collecting(open);
    (address, collected, authority.pem())
}

/// A run whose spans go to a collector, and what that was sent.
fn demo(
    folder: &Folder,
    to: (SocketAddr, JoinHandle<Posted>),
    scheme: &str,
    certificate: Option<&str>,
) -> (Said, Posted) {
    let (address, collected) = to;
    let mut demo = bellwether(folder);
    demo.args(["demo", "Build a secret barn", "--tasks", "2"]);
    demo.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("{scheme}://localhost:{}", address.port()));
    demo.envs(certificate.map(|file| ("OTEL_EXPORTER_OTLP_CERTIFICATE", file)));
    let demo = said(&mut demo);
    // It may have ended already.
    drop(TcpStream::connect(address));
    assert_eq!(demo.code, Some(0), "{}", demo.stderr);
    (demo, collected.join().expect("the collector read it all"))
}

#[test]
fn every_span_of_a_run_reaches_the_collector_without_any_text() {
    let (demo, requests) = demo(&Folder::new("demo-otlp"), collecting(|socket| socket), "http", None);
    assert!(!demo.stderr.contains("not every span"), "{}", demo.stderr);

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
fn an_encrypted_collector_is_reached_once_its_authority_is_named() {
    let (address, collected, authority) = encrypted();
    let folder = Folder::new("otlp-encrypted").with("authority.pem", &authority);
    let (demo, requests) = demo(&folder, (address, collected), "https", Some("authority.pem"));
    assert!(!demo.stderr.contains("not every span"), "{}", demo.stderr);
    assert!(!requests.is_empty() && requests.iter().all(|(head, _)| head.starts_with("post /v1/traces http/1.1")));
    assert!(requests.iter().any(|(_, body)| String::from_utf8_lossy(body).contains("invoke_workflow ")));
}

#[test]
fn a_collector_that_nobody_vouches_for_is_sent_nothing() {
    let (address, collected, _) = encrypted();
    let (demo, requests) = demo(&Folder::new("otlp-stranger"), (address, collected), "https", None);
    assert!(requests.is_empty());
    assert!(demo.stderr.contains("not every span was sent") && demo.stderr.contains("certificate"), "{}", demo.stderr);
}

#[test]
fn a_certificate_that_is_none_is_named_before_anything_is_asked() {
    for (file, why) in [("nowhere.pem", "cannot be read"), ("words.pem", "holds no certificate")] {
        let folder = Folder::new("otlp-words").with("words.pem", "words");
        let mut demo = bellwether(&folder);
        demo.arg("demo").env("OTEL_EXPORTER_OTLP_ENDPOINT", "https://localhost:1");
        let demo = said(demo.env("OTEL_EXPORTER_OTLP_CERTIFICATE", file));
        assert_ne!(demo.code, Some(0), "{}", demo.stderr);
        let named = ["OTEL_EXPORTER_OTLP_CERTIFICATE", file, why];
        assert!(named.iter().all(|word| demo.stderr.contains(word)), "{}", demo.stderr);
    }
}

#[test]
fn an_address_that_is_none_is_named_before_anything_is_asked() {
    let folder = Folder::new("otlp-wrong");
    let demo = said(bellwether(&folder).arg("demo").env("OTEL_EXPORTER_OTLP_ENDPOINT", "not an address"));
    assert_eq!(demo.code, Some(2), "{}", demo.stderr);
    assert!(demo.stderr.contains("OTEL_EXPORTER_OTLP_ENDPOINT") && demo.stderr.contains("http://localhost:4318"));
}
