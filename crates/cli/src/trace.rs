//! Runs, turns and calls as spans: in a file, and with the feature `otlp` at a collector.

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

#[cfg(feature = "otlp")]
mod otlp;

/// Where spans go.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    on: bool,
    #[cfg(feature = "otlp")]
    sent: Option<otlp::Sent>,
}

type Kept = Box<dyn Layer<Registry> + Send + Sync>;

impl Trace {
    /// Adds spans to a file as they close, and sends them to the collector that the environment names, if any.
    ///
    /// Only our own spans are let through: those of libraries could show what is sent.
    pub(crate) fn begin(path: Option<&Path>) -> Result<Self, Failure> {
        let mut trace = Self::default();
        let mut layers: Vec<Kept> = Vec::new();
        layers.extend(path.map(lines).transpose()?);
        #[cfg(feature = "otlp")]
        if let Some((sent, layer)) = otlp::begin()? {
            trace.sent = Some(sent);
            layers.push(layer);
        }
        trace.on = !layers.is_empty();
        if trace.on {
            let ours = Targets::new().with_target("bellwether", LevelFilter::INFO);
            tracing::subscriber::set_global_default(Registry::default().with(layers.with_filter(ours)))
                .map_err(|error| Failure::new(Exit::Io, error.to_string()))?;
        }
        Ok(trace)
    }

    /// Who opens spans as it hears of facts.
    pub(crate) fn observer(&self) -> Option<Arc<dyn Observer>> {
        self.on.then(|| Arc::new(SpanObserver::new()) as Arc<dyn Observer>)
    }

    /// Sends what is left.
    #[cfg_attr(not(feature = "otlp"), expect(clippy::unused_async, reason = "sending takes time"))]
    pub(crate) async fn end(self) {
        #[cfg(feature = "otlp")]
        if let Some(sent) = self.sent {
            sent.end().await;
        }
    }
}

fn lines(path: &Path) -> Result<Kept, Failure> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(|error| Failure::io(format!("{} cannot be written", path.display()), &error))?;
    Ok(fmt::layer().with_ansi(false).with_span_events(FmtSpan::CLOSE).with_writer(Arc::new(file)).boxed())
}
