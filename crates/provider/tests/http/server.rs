//! A server that plays a script of bytes on a socket.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bellwether_provider::{
    ApiKey, CallContext, ChatEvent, ChatProvider, ChatRequest, ChatResponse, Message, OpenAiCompatible, ProviderConfig,
    ProviderError, ProxyChoice,
};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// One step of a script.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Ends the connection as it should be ended.
    Close,
    /// Sends these bytes again and again, with a pause between them, until the client has enough.
    Drip(Vec<u8>),
    /// Sends nothing more, and keeps the connection open.
    Hang,
    /// Breaks the connection, so that the client's next read fails.
    Reset,
    /// Sends these bytes at once.
    Send(Vec<u8>),
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: Value,
}

impl Seen {
    /// Whether a header came with this value.
    pub(crate) fn has(&self, name: &str, value: &str) -> bool {
        self.head.lines().any(|line| line.eq_ignore_ascii_case(&format!("{name}: {value}")))
    }
}

/// Plays one script for each request, the last one again and again. A script ends by closing the connection, unless
/// its answer says how long it is.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<Mutex<usize>>,
    open: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl Server {
    pub(crate) async fn playing(acts: impl Into<Vec<Act>>) -> Self {
        Self::playing_each([acts.into()]).await
    }

    pub(crate) async fn playing_each(scripts: impl IntoIterator<Item = Vec<Act>>) -> Self {
        log_if_asked();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/v1", listener.local_addr().expect("a bound address"));
        let (seen, connections) = (Arc::default(), Arc::default());
        let open = Arc::new(AtomicUsize::new(0));
        let scripts = Arc::new(Mutex::new(scripts.into_iter().collect()));
        let mut task = JoinSet::new();
        task.spawn(accept(listener, scripts, Arc::clone(&seen), Arc::clone(&connections), Arc::clone(&open)));
        Self { url, seen, connections, open, _task: task }
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the client has closed every connection, too.
    pub(crate) async fn until_closed(&self) {
        while self.open.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
    }

    /// The settings of a client of this server.
    pub(crate) fn config(&self) -> ProviderConfig {
        let mut config = ProviderConfig::new("test", &self.url);
        config.key = Some(ApiKey::new(KEY).expect("a fine key"));
        config.proxy = ProxyChoice::None;
        config
    }

    pub(crate) fn client(&self) -> OpenAiCompatible {
        OpenAiCompatible::new(self.config()).expect("a fine configuration")
    }

    /// A client, and the server it asks, which lives as long.
    pub(crate) fn client_of_its_own(self) -> (Self, OpenAiCompatible) {
        let client = self.client();
        (self, client)
    }

    /// Asks for a whole answer.
    pub(crate) async fn chat(&self) -> Result<ChatResponse, ProviderError> {
        self.client().chat(question(), CallContext::default()).await
    }

    /// Asks for a stream and reads it to its end: the events, and the error that ended it.
    pub(crate) async fn stream(&self) -> (Vec<ChatEvent>, Option<ProviderError>) {
        read(&self.client()).await
    }
}

/// The events of a stream, and the error that ended it.
pub(crate) async fn read(client: &OpenAiCompatible) -> (Vec<ChatEvent>, Option<ProviderError>) {
    let mut events = Vec::new();
    let mut stream = match client.stream(question(), CallContext::default()).await {
        Ok(stream) => stream,
        Err(error) => return (events, Some(error)),
    };
    while let Some(event) = stream.next().await {
        match event {
            Ok(event) => events.push(event),
            Err(error) => {
                assert!(stream.next().await.is_none(), "a stream ends after its error");
                return (events, Some(error));
            }
        }
    }
    (events, None)
}

pub(crate) fn question() -> ChatRequest {
    ChatRequest::new("m", vec![Message::user("Who leads the flock?")])
}

/// The key of every client here.
pub(crate) const KEY: &str = "cr_super+secret/0123456789";

/// An answer with a length.
pub(crate) fn plain(status: &str, headers: &str, body: &str) -> Vec<Act> {
    vec![Act::Send(format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len()).into_bytes())]
}

/// A good answer in JSON.
pub(crate) fn json(body: &Value) -> Vec<Act> {
    plain("200 OK", "content-type: application/json\r\n", &body.to_string())
}

/// The head of an answer in pieces.
pub(crate) fn head(headers: &str) -> Act {
    Act::Send(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n{headers}\r\n").into_bytes())
}

/// A piece of such an answer.
pub(crate) fn piece(bytes: &[u8]) -> Act {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    Act::Send(chunk)
}

/// The end of such an answer.
pub(crate) fn end() -> Act {
    Act::Send(b"0\r\n\r\n".to_vec())
}

/// A stream of events, begun and not ended.
pub(crate) fn begun(events: &[&str]) -> Vec<Act> {
    let pieces = events.iter().map(|event| piece(format!("data: {event}\n\n").as_bytes()));
    std::iter::once(head("content-type: text/event-stream\r\n")).chain(pieces).collect()
}

/// A whole stream of events.
pub(crate) fn sse(events: &[&str]) -> Vec<Act> {
    begun(events).into_iter().chain([end()]).collect()
}

/// Puts out every log record, for whoever searches the output.
struct Loud;

impl log::Log for Loud {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    #[expect(clippy::print_stderr, reason = "the output is what is searched")]
    fn log(&self, record: &log::Record<'_>) {
        eprintln!("{} {} {}", record.level(), record.target(), record.args());
    }

    fn flush(&self) {}
}

fn log_if_asked() {
    if std::env::var_os("BELLWETHER_TEST_LOG").is_some() && log::set_logger(&Loud).is_ok() {
        log::set_max_level(log::LevelFilter::Trace);
    }
}

async fn accept(
    listener: TcpListener,
    scripts: Arc<Mutex<VecDeque<Vec<Act>>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<Mutex<usize>>,
    open: Arc<AtomicUsize>,
) {
    let mut tasks = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        *connections.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        open.fetch_add(1, Ordering::SeqCst);
        let (scripts, seen, open) = (Arc::clone(&scripts), Arc::clone(&seen), Arc::clone(&open));
        tasks.spawn(async move {
            serve(socket, scripts, seen).await;
            open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

async fn serve(socket: TcpStream, scripts: Arc<Mutex<VecDeque<Vec<Act>>>>, seen: Arc<Mutex<Vec<Seen>>>) {
    socket.set_nodelay(true).expect("an open socket");
    let mut socket = BufReader::new(socket);
    while let Some(request) = receive(&mut socket).await {
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        let script = {
            let mut scripts = scripts.lock().unwrap_or_else(PoisonError::into_inner);
            if scripts.len() > 1 { scripts.pop_front() } else { scripts.front().cloned() }
        };
        for act in script.unwrap_or_default() {
            match act {
                Act::Close => {
                    let _ = socket.get_mut().shutdown().await;
                    // What is on its way must not be lost to a reset, so the client's own end is waited for.
                    while socket.read_u8().await.is_ok() {}
                    return;
                }
                Act::Drip(bytes) => loop {
                    if socket.get_mut().write_all(&bytes).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(DRIP).await;
                },
                Act::Hang => std::future::pending().await,
                Act::Reset => {
                    socket.get_ref().set_zero_linger().expect("an open socket");
                    return;
                }
                Act::Send(bytes) => {
                    if socket.get_mut().write_all(&bytes).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// Far shorter than any timeout that a test sets, so that no single pause ends a call.
const DRIP: std::time::Duration = std::time::Duration::from_millis(5);

async fn receive(socket: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    socket.read_exact(&mut body).await.ok()?;
    Some(Seen { head, body: serde_json::from_slice(&body).unwrap_or_default() })
}
