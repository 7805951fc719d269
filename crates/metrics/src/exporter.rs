//! Keeps the figures, and renders them in Prometheus' text format.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use metrics::{gauge, set_global_recorder, with_local_recorder};

use crate::figures::Figures;
use crate::names;
use crate::server::MetricsServer;

/// Keeps the figures, and renders them in Prometheus' text format.
#[derive(Clone)]
pub struct Exporter {
    figures: Arc<Figures>,
}

/// Why an exporter could not be installed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ExporterError {
    /// This process has a recorder already, ours or another one.
    #[error("this process has a metrics recorder already")]
    AlreadyInstalled,
}

impl Exporter {
    /// Makes an exporter the recorder of the whole process.
    ///
    /// # Errors
    ///
    /// [`ExporterError::AlreadyInstalled`] if there is one, which then stays.
    pub fn install() -> Result<Self, ExporterError> {
        let exporter = Self::local();
        set_global_recorder(Arc::clone(&exporter.figures)).map_err(|_| ExporterError::AlreadyInstalled)?;
        Ok(exporter)
    }

    /// An exporter that hears only what is counted inside [`record`](Self::record).
    #[must_use]
    pub fn local() -> Self {
        let exporter = Self { figures: Arc::new(Figures::new()) };
        exporter.record(|| gauge!(names::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1));
        exporter
    }

    /// Lets this exporter hear what is counted on this thread while `work` runs.
    pub fn record<T>(&self, work: impl FnOnce() -> T) -> T {
        with_local_recorder(&*self.figures, work)
    }

    /// All figures, in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.figures.render()
    }

    /// Folds the samples of whatever else counts through the facade, so that those nobody asks for do not pile up. Our own
    /// histograms keep none.
    ///
    /// A [`MetricsServer`] does this every few seconds; whoever renders only now and then calls it between.
    pub fn upkeep(&self) {
        self.figures.upkeep();
    }

    /// Serves the figures at `http://addr/metrics`, `ok` at `/healthz` while the process lives, and whether it takes work
    /// at `/readyz`; see [`MetricsServer::set_ready`]. Port 0 finds a free one.
    ///
    /// There is no authentication. Whether an address other than a loopback one is wanted is the caller's to decide.
    ///
    /// # Errors
    ///
    /// If nobody can listen on `addr`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future serves nothing.
    pub async fn serve(&self, addr: SocketAddr) -> io::Result<MetricsServer> {
        self.serve_with(addr, Router::new()).await
    }

    /// The same with other rooms beside them, such as a page to look at.
    ///
    /// # Errors
    ///
    /// If nobody can listen on `addr`.
    ///
    /// # Panics
    ///
    /// If a room of `others` lies at a path of ours.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future serves nothing.
    pub async fn serve_with(&self, addr: SocketAddr, others: Router) -> io::Result<MetricsServer> {
        MetricsServer::start(self.clone(), addr, others).await
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}
