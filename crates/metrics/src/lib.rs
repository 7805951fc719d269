//! Turns facts into metrics, and shows them to Prometheus.
//!
//! - [`MetricsObserver`] hears facts and counts them through the `metrics` facade; nothing else counts for itself.
//! - [`budget_stands`] and [`limit_stands`] say what no fact tells.
//! - [`catalogue`] lists every metric with its kind, labels, unit and meaning.
//! - `SpanObserver` (feature `spans`) opens and closes `tracing` spans as facts tell.
//! - [`Exporter`] keeps the figures and renders them in Prometheus' text format; [`MetricsServer`] serves them.
//!
//! ```
//! use bellwether_metrics::{Exporter, Fact, MetricsObserver, Observer, RunId};
//!
//! let exporter = Exporter::local();
//! let observer = MetricsObserver::new();
//! exporter.record(|| observer.observe(&Fact::RunStarted { run: RunId::from("r1"), team: "writers".into() }));
//! assert!(exporter.render().contains("bellwether_runs_in_progress 1\n"));
//! ```
//!
//! Whoever has a recorder already needs only the observer, and [`describe`] for the help texts.

mod calls;
mod caps;
mod clock;
mod exporter;
mod fairness;
mod figures;
mod kinds;
mod mix;
mod names;
mod observer;
mod server;
#[cfg(feature = "spans")]
mod spans;
mod standing;
mod turns;
mod waiting;
mod writing;

pub use bellwether_core::{Fact, Observer, RunId};
pub use exporter::{Exporter, ExporterError};
pub use metrics::Unit;
pub use names::{MetricInfo, MetricKind, catalogue, describe};
pub use observer::MetricsObserver;
pub use server::MetricsServer;
#[cfg(feature = "spans")]
pub use spans::SpanObserver;
pub use standing::{LimitStands, budget_stands, limit_stands};
