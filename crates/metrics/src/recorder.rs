//! Keeps the figures: a cell for each series, to which a handle adds without a lock.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Label, Metadata, Recorder, SharedString, Unit};

use crate::names::{MetricInfo, MetricKind, catalogue};

/// Keeps the metrics of the catalogue and hears nothing else, so that whatever is exported is documented.
#[derive(Debug)]
pub(crate) struct Figures(Vec<Family>);

/// All series of one metric.
#[derive(Debug)]
struct Family {
    info: &'static MetricInfo,
    series: RwLock<BTreeMap<Vec<Label>, Cell>>,
}

#[derive(Clone, Debug)]
enum Cell {
    Counter(Arc<AtomicU64>),
    Gauge(Arc<AtomicU64>),
    Histogram(Arc<Buckets>),
}

/// Counts samples by the first bound that is not below them. One addition to a count and one to the sum is all that a
/// sample costs, and nothing is left to be folded later.
#[derive(Debug)]
struct Buckets {
    bounds: &'static [f64],
    /// One for each bound, and one for what lies above them all.
    counts: Vec<AtomicU64>,
    sum: AtomicU64,
}

// === impl Figures ===

impl Figures {
    pub(crate) fn new() -> Self {
        Self(catalogue().iter().map(|info| Family { info, series: RwLock::default() }).collect())
    }

    /// All of them in Prometheus' text format; a metric without a series is left out.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        for family in &self.0 {
            // Writing to a string cannot fail.
            let _ = family.render(&mut text);
        }
        text
    }

    /// The cell of a series, which is made if it is new; `None` for what is not in the catalogue.
    fn cell(&self, key: &Key) -> Option<Cell> {
        let place = self.0.binary_search_by_key(&key.name(), |family| family.info.name).ok()?;
        Some(self.0.get(place)?.cell(key.labels()))
    }
}

impl Recorder for Figures {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match self.cell(key) {
            Some(Cell::Counter(cell)) => Counter::from_arc(cell),
            _ => Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match self.cell(key) {
            Some(Cell::Gauge(cell)) => Gauge::from_arc(cell),
            _ => Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        match self.cell(key) {
            Some(Cell::Histogram(cell)) => Histogram::from_arc(cell),
            _ => Histogram::noop(),
        }
    }
}

// === impl Family ===

impl Family {
    fn cell<'a>(&self, labels: impl Iterator<Item = &'a Label>) -> Cell {
        let labels: Vec<Label> = labels.cloned().collect();
        if let Some(cell) = self.series.read().unwrap_or_else(PoisonError::into_inner).get(&labels) {
            return cell.clone();
        }
        let mut series = self.series.write().unwrap_or_else(PoisonError::into_inner);
        series.entry(labels).or_insert_with(|| Cell::new(self.info.kind)).clone()
    }

    fn render(&self, text: &mut String) -> fmt::Result {
        let series = self.series.read().unwrap_or_else(PoisonError::into_inner);
        if series.is_empty() {
            return Ok(());
        }
        let MetricInfo { name, kind, help, .. } = self.info;
        writeln!(text, "# HELP {name} {}", help.replace('\\', "\\\\").replace('\n', "\\n"))?;
        writeln!(text, "# TYPE {name} {}", kind.as_str())?;
        for (labels, cell) in series.iter() {
            let labels: Vec<String> = labels.iter().map(written).collect();
            match cell {
                Cell::Counter(count) => sample(text, name, "", &labels, count.load(Ordering::Relaxed))?,
                Cell::Gauge(level) => sample(text, name, "", &labels, float(level))?,
                Cell::Histogram(buckets) => buckets.render(text, name, &labels)?,
            }
        }
        text.push('\n');
        Ok(())
    }
}

impl Cell {
    fn new(kind: MetricKind) -> Self {
        match kind {
            MetricKind::Counter => Self::Counter(Arc::default()),
            MetricKind::Gauge => Self::Gauge(Arc::default()),
            MetricKind::Histogram(bounds) => Self::Histogram(Arc::new(Buckets::new(bounds))),
        }
    }
}

// === impl Buckets ===

impl Buckets {
    fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0) }
    }

    fn add(&self, value: f64, count: u64) {
        let place = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(self.bounds.len());
        if let Some(cell) = self.counts.get(place) {
            cell.fetch_add(count, Ordering::Relaxed);
        }
        #[expect(clippy::cast_precision_loss, reason = "a sum of samples is no more exact than they are")]
        let more = value * count as f64;
        let sum = |sum: u64| Some((f64::from_bits(sum) + more).to_bits());
        // The closure never declines.
        let _ = self.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum);
    }

    fn render(&self, text: &mut String, name: &str, labels: &[String]) -> fmt::Result {
        let mut below = 0;
        let bounds = self.bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(&self.counts) {
            below += count.load(Ordering::Relaxed);
            let bound = [labels, &[format!("le=\"{bound}\"")]].concat();
            sample(text, name, "_bucket", &bound, below)?;
        }
        sample(text, name, "_sum", labels, float(&self.sum))?;
        sample(text, name, "_count", labels, below)
    }
}

impl HistogramFn for Buckets {
    fn record(&self, value: f64) {
        self.add(value, 1);
    }

    fn record_many(&self, value: f64, count: usize) {
        self.add(value, count as u64);
    }
}

/// A label, as it stands between the braces.
fn written(label: &Label) -> String {
    let value = label.value().replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{}=\"{value}\"", label.key())
}

fn sample(text: &mut String, name: &str, part: &str, labels: &[String], value: impl fmt::Display) -> fmt::Result {
    match labels {
        [] => writeln!(text, "{name}{part} {value}"),
        labels => writeln!(text, "{name}{part}{{{}}} {value}", labels.join(",")),
    }
}

/// A number as Prometheus reads it. No figure of ours is infinite or no number.
fn float(cell: &AtomicU64) -> f64 {
    f64::from_bits(cell.load(Ordering::Relaxed))
}
