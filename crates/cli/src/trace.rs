//! Runs, turns and calls as spans in a file.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Arc;

use bellwether_core::Observer;
use bellwether_metrics::SpanObserver;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{self, format::FmtSpan};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

use crate::exit::{Exit, Failure};

/// Opens spans as it hears of facts, which are added to a file as they close.
///
/// Only our own spans are let through: those of libraries could show what is sent.
pub(crate) fn into(path: &Path) -> Result<Arc<dyn Observer>, Failure> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(|error| Failure::io(format!("{} cannot be written", path.display()), &error))?;
    let lines = fmt::layer().with_ansi(false).with_span_events(FmtSpan::CLOSE).with_writer(Arc::new(file));
    let ours = Targets::new().with_target("bellwether", LevelFilter::INFO);
    tracing::subscriber::set_global_default(Registry::default().with(lines.with_filter(ours)))
        .map_err(|error| Failure::new(Exit::Io, error.to_string()))?;
    Ok(Arc::new(SpanObserver::new()))
}
