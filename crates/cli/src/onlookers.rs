//! Everybody who looks on while a run is on: the notes in its journal, and what is served over HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bellwether_budget::{Account, Budgeted, Scope};
use bellwether_core::{CallContext, Journal, Observer, Usd};
use bellwether_limiter::Limiter;
use bellwether_metrics::{Exporter, MetricsObserver, MetricsServer, budget_stands};
use bellwether_watch::{Notebook, Noting, Page};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::exit::{Exit, Failure};
use crate::quota;
use crate::terminal::note;

/// How often the budget is looked at.
const OFTEN: Duration = Duration::from_millis(200);

/// Everybody who looks on while a run is on.
#[derive(Debug)]
pub(crate) struct Onlookers {
    notebook: Arc<Notebook>,
    journal: Option<Arc<Noting>>,
    server: Option<MetricsServer>,
    tasks: JoinSet<()>,
}

impl Onlookers {
    /// Begins to look on, at a run that `journal` remembers.
    pub(crate) async fn gather(
        journal: Option<Arc<dyn Journal>>,
        metrics: Option<SocketAddr>,
        page: Option<Page>,
    ) -> Result<Self, Failure> {
        let notebook = Arc::new(Notebook::default());
        let journal = journal.map(|journal| Arc::new(Noting::new(journal, Arc::clone(&notebook))));
        let mut tasks = JoinSet::new();
        if let Some(journal) = journal.clone() {
            tasks.spawn(async move { journal.attend().await });
        }
        let server = match metrics {
            Some(addr) => Some(serve(addr, page).await?),
            None => None,
        };
        Ok(Self { notebook, journal, server, tasks })
    }

    /// The journal that is noted in.
    pub(crate) fn journal(&self) -> Option<Arc<dyn Journal>> {
        self.journal.as_ref().map(|journal| Arc::<Noting>::clone(journal) as Arc<dyn Journal>)
    }

    /// Who hears facts.
    pub(crate) fn observers(&self) -> Vec<Arc<dyn Observer>> {
        let mut observers: Vec<Arc<dyn Observer>> = Vec::new();
        if self.journal.is_some() {
            observers.push(Arc::<Notebook>::clone(&self.notebook) as Arc<dyn Observer>);
        }
        if self.server.is_some() {
            observers.push(Arc::new(MetricsObserver::new()));
        }
        observers
    }

    /// Says how the limits stand, five times a second.
    pub(crate) fn measure(&mut self, limiters: Vec<Arc<Limiter>>) {
        self.tasks.spawn(async move {
            let mut ticks = interval(OFTEN);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                limiters.iter().for_each(|limiter| quota::stands(limiter));
            }
        });
    }

    /// Says how the budget stands, whenever it stands otherwise.
    pub(crate) fn follow(&mut self, purse: &Arc<Budgeted>, cap: Option<Usd>) {
        let (purse, notebook) = (Arc::clone(purse), Arc::clone(&self.notebook));
        self.tasks.spawn(async move {
            let mut ticks = interval(OFTEN);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut last = None;
            loop {
                ticks.tick().await;
                let Account { spent, reserved } = purse.account(&Scope::Everything, &CallContext::default());
                if last.replace((spent.usd, reserved.usd)) != Some((spent.usd, reserved.usd)) {
                    notebook.budget(spent.usd, reserved.usd, cap);
                    budget_stands(spent.usd, reserved.usd, cap);
                }
            }
        });
    }

    /// Says at `/readyz` that no further work is taken.
    pub(crate) fn told_to_drain(&self) {
        if let Some(server) = &self.server {
            server.set_ready(false);
        }
    }

    /// Stops looking.
    pub(crate) async fn leave(mut self) {
        self.tasks.shutdown().await;
        if let Some(server) = self.server {
            server.shutdown().await;
        }
    }
}

async fn serve(addr: SocketAddr, page: Option<Page>) -> Result<MetricsServer, Failure> {
    let exporter = Exporter::install().map_err(|error| Failure::new(Exit::Io, error.to_string()))?;
    let server = listen(&exporter, addr, page.as_ref()).await?;
    note(&format!("metrics at http://{}/metrics", server.addr()));
    if page.is_some() {
        note(&format!("live page at http://{}/", server.addr()));
    }
    Ok(server)
}

/// Serves metrics, and a page beside them.
pub(crate) async fn listen(
    exporter: &Exporter,
    addr: SocketAddr,
    page: Option<&Page>,
) -> Result<MetricsServer, Failure> {
    let page = page.map(Page::routes).unwrap_or_default();
    exporter.serve_with(addr, page).await.map_err(|error| {
        Failure::io(format!("nothing can be served at {addr}"), &error)
            .remedy("another address, or port 0 for a free one")
    })
}
