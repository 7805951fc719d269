//! One run from begin to end: who watches it, how it is stopped, what is shown of it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bellwether_core::Observer;
use bellwether_metrics::{Exporter, MetricsObserver, MetricsServer};
use bellwether_team::{Control, RunReport, new_run_id};
use tokio::task::JoinSet;

use crate::args::View;
use crate::exit::{Exit, Failure};
use crate::live::Live;
use crate::parts::{self, Keys, Overrides};
use crate::team_file::TeamFile;
use crate::{summary, terminal};

/// Lets the team of `file` work on `request`, and shows what `view` asks for.
pub(crate) async fn run(file: &TeamFile, overrides: &Overrides, request: &str, view: &View) -> Result<Exit, Failure> {
    // Whether the work can be kept is found out before anything is paid for.
    if let Some(path) = &view.output {
        writable(path)?;
    }
    let live = Arc::new(Live::new(view.progress));
    let mut watchers: Vec<Arc<dyn Observer>> = vec![Arc::<Live>::clone(&live) as Arc<dyn Observer>];
    let metrics = match view.metrics {
        Some(addr) => {
            let server = serve_metrics(addr).await?;
            watchers.push(Arc::new(MetricsObserver::new()));
            terminal::note(&format!("metrics at http://{}/metrics", server.addr()));
            Some(server)
        }
        None => None,
    };
    let observer: Arc<dyn Observer> = Arc::new(watchers);
    let parts = parts::build(file, overrides, Keys::Required, &observer)?;
    let report = live_through(&parts.team, request, &live).await;
    for dispatch in &parts.dispatches {
        dispatch.shutdown().await;
    }
    live.end();
    if let Some(server) = metrics {
        server.shutdown().await;
    }
    show(&report, view)?;
    Ok(Exit::of(&report))
}

async fn live_through(team: &bellwether_team::Team, request: &str, live: &Arc<Live>) -> RunReport {
    let control = Control::default();
    let mut signals = JoinSet::new();
    signals.spawn(obey_signals(control.clone(), Arc::clone(live)));
    team.run_with(request, new_run_id(), &control).await
}

/// The first signal drains, the second one stops at once.
async fn obey_signals(control: Control, live: Arc<Live>) {
    signal().await;
    live.say("finishing what is under way; press Ctrl-C again to stop at once");
    control.drain();
    signal().await;
    control.halt();
}

/// Waits for Ctrl-C or SIGTERM.
pub(crate) async fn signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminated.recv() => return,
                interrupted = tokio::signal::ctrl_c() => if interrupted.is_ok() { return },
            }
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        // No signal can be heard here, so none will come.
        std::future::pending::<()>().await;
    }
}

async fn serve_metrics(addr: SocketAddr) -> Result<MetricsServer, Failure> {
    let exporter = Exporter::install().map_err(|error| Failure::new(Exit::Io, error.to_string()))?;
    exporter.serve(addr).await.map_err(|error| {
        Failure::io(format!("metrics cannot be served at {addr}"), &error)
            .remedy("another address, or port 0 for a free one")
    })
}

fn show(report: &RunReport, view: &View) -> Result<(), Failure> {
    if let Some(path) = &view.output {
        std::fs::write(path, summary::markdown(report))
            .map_err(|error| Failure::io(format!("{} cannot be written", path.display()), &error))?;
    }
    if view.json {
        let json = serde_json::to_string(report).map_err(|error| Failure::new(Exit::Io, error.to_string()))?;
        terminal::out(&format!("{json}\n"));
    } else {
        terminal::out(&summary::text(report, view.output.as_deref(), terminal::colourful()));
    }
    Ok(())
}

/// Whether a file can be written, without changing what is in it.
fn writable(path: &Path) -> Result<(), Failure> {
    let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
    opened.map(drop).map_err(|error| Failure::io(format!("{} cannot be written", path.display()), &error))
}
