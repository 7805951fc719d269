//! Serves the figures by HTTP.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::exporter::Exporter;

/// Serves an [`Exporter`]'s figures by HTTP until it is shut down or dropped.
#[derive(Debug)]
pub struct MetricsServer {
    addr: SocketAddr,
    stop: watch::Sender<bool>,
    ready: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl MetricsServer {
    pub(crate) async fn start(exporter: Exporter, addr: SocketAddr, others: Router) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let (ready, readiness) = watch::channel(true);
        let rooms = Router::new()
            .route("/metrics", get(figures).with_state(exporter.clone()))
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(is_ready).with_state(readiness))
            .merge(others);
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, rooms, stopped.clone()));
        tasks.spawn(upkeep(exporter, stopped));
        Ok(Self { addr, stop, ready, tasks })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Says at `/readyz` whether the process takes work, as it does at first: 200 `ready`, or else 503 `draining`.
    pub fn set_ready(&self, ready: bool) {
        self.ready.send_replace(ready);
    }

    /// Ends it: nobody can connect any more, and answers that are under way have a second to end. Then connections are
    /// closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends it at once.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        let ended = timeout(GRACE, async { while self.tasks.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            self.tasks.shutdown().await;
        }
    }
}

/// Lets clients in until it is told to stop, and then waits for the answers under way.
///
/// Not `axum::serve`, which waits for ever for a request that a client never ends or never begins: whoever leaks
/// connections would use up the files of a process that has better uses for them.
async fn serve(mut listener: TcpListener, rooms: Router, stopped: watch::Receiver<bool>) {
    let mut clients = JoinSet::new();
    let mut stop = pin!(until(stopped.clone()));
    loop {
        tokio::select! {
            () = &mut stop => break,
            (stream, _) = Listener::accept(&mut listener), if clients.len() < CLIENTS => {
                clients.spawn(client(stream, rooms.clone(), stopped.clone()));
            }
            Some(_) = clients.join_next() => {}
        }
    }
    drop(listener);
    while clients.join_next().await.is_some() {}
}

/// Answers one client. A connection that fails ends alone.
async fn client(stream: TcpStream, rooms: Router, stopped: watch::Receiver<bool>) {
    let (stream, rooms) = (TokioIo::new(stream), TowerToHyperService::new(rooms));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    let mut served = pin!(http.serve_connection(stream, rooms));
    tokio::select! {
        _ = served.as_mut() => return,
        () = until(stopped) => served.as_mut().graceful_shutdown(),
    }
    let _ = served.await;
}

async fn figures(State(exporter): State<Exporter>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], exporter.render())
}

async fn is_ready(State(ready): State<watch::Receiver<bool>>) -> impl IntoResponse {
    if *ready.borrow() { (StatusCode::OK, "ready\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "draining\n") }
}

async fn upkeep(exporter: Exporter, stopped: watch::Receiver<bool>) {
    let work = async {
        let mut ticks = interval(UPKEEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            exporter.upkeep();
        }
    };
    tokio::select! {
        () = until(stopped) => {}
        () = work => {}
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error says that the server is gone, which is a stop as well.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

const GRACE: Duration = Duration::from_secs(1);
/// How many connections there are at once at most; further clients wait to be let in.
const CLIENTS: usize = 256;
/// How long a client may take to send the head of a request, the time between two requests included.
const PATIENCE: Duration = Duration::from_secs(30);
const UPKEEP: Duration = Duration::from_secs(5);
