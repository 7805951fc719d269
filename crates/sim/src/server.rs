//! The server's life: start, address, shutdown.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::connection::{Door, Line};
use crate::routes;
use crate::scenario::Scenario;
use crate::stats::Stats;

/// A running simulated provider.
#[derive(Debug)]
pub struct Simulator {
    addr: SocketAddr,
    app: Arc<App>,
    /// Cancelled: every connection ends at once.
    closing: CancellationToken,
    /// Cancelled: no new connection, and the present ones end with the answer they are giving.
    draining: CancellationToken,
    tasks: JoinSet<io::Result<()>>,
}

impl Simulator {
    /// Starts a server on `addr`; port 0 picks a free port.
    ///
    /// # Errors
    ///
    /// If the address cannot be bound, or if other machines could reach it and the scenario does not allow that.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn start(scenario: Scenario, addr: SocketAddr) -> io::Result<Self> {
        if !addr.ip().is_loopback() && !scenario.allow_remote {
            let told = "the address is open to other machines; set `allow_remote = true` in the scenario to allow it";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, told));
        }
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let (closing, draining) = (CancellationToken::new(), CancellationToken::new());
        let app = Arc::new(App::new(scenario));
        let service = routes::router(Arc::clone(&app)).into_make_service_with_connect_info::<Line>();
        let door = Door { listener, closing: closing.clone() };
        let drain = draining.clone().cancelled_owned();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(door, service).with_graceful_shutdown(drain).await });
        Ok(Self { addr, app, closing, draining, tasks })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What clients use as their base URL: `http://127.0.0.1:PORT/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.addr)
    }

    /// What has happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.app.stats()
    }

    /// Waits until the statistics are as `wanted`, and returns them; it looks again whenever they change.
    ///
    /// So a test can wait for what its client did instead of for some time to pass:
    ///
    /// ```
    /// # use bellwether_sim::{Scenario, Simulator};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let simulator = Simulator::start(Scenario::default(), "127.0.0.1:0".parse()?).await?;
    /// let stats = simulator.until(|stats| stats.in_flight == 0).await;
    /// assert_eq!(stats.cancelled, 0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn until(&self, wanted: impl FnMut(&Stats) -> bool) -> Stats {
        self.app.until(wanted).await
    }

    /// Stops: takes no new connection, gives the answers under way up to five seconds, and ends everything. Returns what
    /// happened to the very end.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future aborts what is left, as dropping the simulator does.
    pub async fn shutdown(mut self) -> Stats {
        self.draining.cancel();
        if tokio::time::timeout(GRACE, self.tasks.join_next()).await.is_err() {
            self.closing.cancel();
            self.tasks.join_next().await;
        }
        self.stats()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

const GRACE: Duration = Duration::from_secs(5);
