//! Encryption, and HTTP/2 beneath it.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bellwether_provider::{
    CallContext, ChatProvider, ErrorKind, OpenAiCompatible, ProviderConfig, ProxyChoice, RootCertificate, Timeouts,
};
use bytes::Bytes;
use h2::Reason;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::server::question;

const ANSWER: &str = r#"{"choices":[{"message":{"content":"bell"},"finish_reason":"stop"}]}"#;

/// An authority and what it signs.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are fine");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    fn root(&self) -> RootCertificate {
        RootCertificate::from_der(self.0.der().to_vec())
    }

    /// A server's side of encryption, for a host of this name.
    fn server(&self, host: &str, change: impl FnOnce(&mut CertificateParams), protocol: &str) -> TlsAcceptor {
        let mut params = CertificateParams::new(vec![host.to_owned()]).expect("a fine name");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a signature");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the usual versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a certificate with its key");
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

fn client(port: u16, roots: Vec<RootCertificate>) -> OpenAiCompatible {
    let mut config = ProviderConfig::new("tls", format!("https://localhost:{port}/v1"));
    config.proxy = ProxyChoice::None;
    config.root_certificates = roots;
    config.timeouts = Timeouts { connect: Duration::from_secs(5), total: Duration::from_secs(10), ..config.timeouts };
    OpenAiCompatible::new(config).expect("a fine configuration")
}

/// Serves each connection by `serve`, as long as the set lives.
async fn listening<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> (u16, JoinSet<()>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("a bound address").port();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((socket, _)) = listener.accept().await {
            connections.spawn(serve(socket));
        }
    });
    (port, tasks)
}

/// Answers one request over HTTP/1.1.
async fn answer(mut socket: TlsStream<TcpStream>) {
    let mut seen = Vec::new();
    while !seen.ends_with(b"}") {
        match socket.read_buf(&mut seen).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{ANSWER}", ANSWER.len());
    let _ = socket.write_all(answer.as_bytes()).await;
    let _ = socket.shutdown().await;
}

#[tokio::test]
async fn a_certificate_that_proves_nothing_is_a_failed_connection() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let expired = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    };
    for (what, acceptor, works) in [
        ("good", ours.server("localhost", |_| {}, "http/1.1"), true),
        ("expired", ours.server("localhost", expired, "http/1.1"), false),
        ("of another host", ours.server("elsewhere.example", |_| {}, "http/1.1"), false),
        ("of an unknown authority", theirs.server("localhost", |_| {}, "http/1.1"), false),
    ] {
        let (port, _tasks) = listening(move |socket| {
            let acceptor = acceptor.clone();
            async move {
                if let Ok(socket) = acceptor.accept(socket).await {
                    answer(socket).await;
                }
            }
        })
        .await;
        let outcome = client(port, vec![ours.root()]).chat(question(), CallContext::default()).await;
        match outcome {
            Ok(answer) => assert!(works && answer.text == "bell", "{what}"),
            Err(error) => {
                assert_eq!(
                    (error.kind, error.details.may_have_executed, works),
                    (ErrorKind::Connect, false, false),
                    "{what}: {error}"
                );
                assert!(error.message.contains("certificate"), "{what}: {error}");
            }
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_closed_in_the_handshake_is_a_failed_connection() {
    let (port, _tasks) = listening(|mut socket| async move {
        let mut hello = [0; 16];
        let _ = socket.read_exact(&mut hello).await;
    })
    .await;
    let error = client(port, Vec::new()).chat(question(), CallContext::default()).await.unwrap_err();
    assert_eq!((error.kind, error.details.may_have_executed), (ErrorKind::Connect, false), "{error}");
}

#[tokio::test]
async fn a_handshake_that_never_ends_runs_out_of_connect_time() {
    let (port, _tasks) = listening(|socket| async move {
        let _socket = socket;
        std::future::pending().await
    })
    .await;
    let mut config = ProviderConfig::new("tls", format!("https://localhost:{port}/v1"));
    config.proxy = ProxyChoice::None;
    config.timeouts.connect = Duration::from_millis(50);
    let error = OpenAiCompatible::new(config).unwrap().chat(question(), CallContext::default()).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Timeout(bellwether_provider::Phase::Connect)), "{error}");
}

/// How a server of HTTP/2 treats a request.
#[derive(Clone, Copy, Debug)]
enum Treat {
    Answers,
    GoesAway,
    Refuses,
    ResetsInTheMiddle,
}

async fn treat(socket: TlsStream<TcpStream>, how: Treat) {
    let Ok(mut connection) = h2::server::handshake(socket).await else { return };
    let Some(Ok((request, mut respond))) = connection.accept().await else { return };
    let head = || http::Response::builder().status(200).body(()).expect("a fine head");
    match how {
        Treat::Answers => {
            let mut body = respond.send_response(head(), false).expect("an open stream");
            body.send_data(Bytes::from_static(ANSWER.as_bytes()), true).expect("an open stream");
        }
        Treat::GoesAway => connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM),
        Treat::Refuses => respond.send_reset(Reason::REFUSED_STREAM),
        Treat::ResetsInTheMiddle => {
            let mut body = respond.send_response(head(), false).expect("an open stream");
            body.send_data(Bytes::from_static(&ANSWER.as_bytes()[..30]), false).expect("an open stream");
            // One turn of the connection writes out what is queued; a reset would do away with it.
            poll_fn(|cx| Poll::Ready(connection.poll_accept(cx).is_ready())).await;
            body.send_reset(Reason::INTERNAL_ERROR);
        }
    }
    drop(request);
    // Frames go out only while the connection is driven.
    while connection.accept().await.is_some() {}
}

#[tokio::test]
async fn http2_is_spoken_and_its_ways_to_fail_are_told_apart() {
    for (how, outcome) in [
        (Treat::Answers, None),
        (Treat::GoesAway, Some((ErrorKind::Connect, true))),
        (Treat::Refuses, Some((ErrorKind::Connect, false))),
        (Treat::ResetsInTheMiddle, Some((ErrorKind::Truncated, true))),
    ] {
        let authority = Authority::new();
        let acceptor = authority.server("localhost", |_| {}, "h2");
        let (port, _tasks) = listening(move |socket| {
            let acceptor = acceptor.clone();
            async move {
                if let Ok(socket) = acceptor.accept(socket).await {
                    treat(socket, how).await;
                }
            }
        })
        .await;
        let answer = client(port, vec![authority.root()]).chat(question(), CallContext::default()).await;
        let failed = answer.as_ref().err().map(|error| (error.kind, error.details.may_have_executed));
        assert_eq!(failed, outcome, "{how:?}: {answer:?}");
    }
}

#[test]
fn what_is_no_certificate_is_refused() {
    let pem = Authority::new().0.pem();
    assert_eq!(RootCertificate::from_pem(pem.as_bytes()).unwrap().len(), 1);
    for text in ["", "hello", "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n"] {
        assert!(RootCertificate::from_pem(text.as_bytes()).is_err(), "{text}");
    }
}
