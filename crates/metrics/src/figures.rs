//! Where the figures of the catalogue are kept: a count costs one addition, a sample one in its bucket.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{Counter, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::formatting::{write_help_line, write_metric_line, write_type_line};
use metrics_exporter_prometheus::{LabelSet, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::names::{self, MetricKind};

/// Keeps the figures of the catalogue itself, and leaves all others to the recorder of `metrics-exporter-prometheus`.
///
/// That recorder notes each sample with its time and folds it later, which costs several times as much as a bucket.
pub(crate) struct Figures {
    known: Mutex<BTreeMap<Key, Figure>>,
    others: PrometheusRecorder,
    rest: PrometheusHandle,
}

/// One series.
enum Figure {
    Counter(Arc<AtomicU64>),
    Gauge(Arc<Level>),
    Histogram(Arc<Samples>),
}

/// What a gauge shows, as the bits of a number.
#[derive(Default)]
struct Level(AtomicU64);

/// The samples of a series.
struct Samples {
    bounds: &'static [f64],
    counted: Mutex<Counted>,
}

#[derive(Clone)]
struct Counted {
    /// By bucket; the last one is that above all bounds.
    buckets: Vec<u64>,
    sum: f64,
}

// === impl Figures ===

impl Figures {
    pub(crate) fn new() -> Self {
        let others = PrometheusBuilder::new().build_recorder();
        Self { known: Mutex::default(), rest: others.handle(), others }
    }

    /// All figures, in Prometheus' text format.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        let mut family = "";
        for (key, figure) in &*lock(&self.known) {
            let Some(info) = names::find(key.name()) else { continue };
            if info.name != family {
                family = info.name;
                write_help_line(&mut text, family, None, None, info.help);
                write_type_line(&mut text, family, None, None, info.kind.as_str());
            }
            figure.render(&mut text, family, &LabelSet::from_key_and_global(key, &Default::default()));
        }
        text + &self.rest.render()
    }

    /// Folds the samples of what is not in the catalogue.
    pub(crate) fn upkeep(&self) {
        self.rest.run_upkeep();
    }

    /// What the series of that name is kept in, if the catalogue knows it as such.
    fn known<T>(
        &self,
        key: &Key,
        make: impl Fn(MetricKind) -> Option<Figure>,
        as_made: fn(&Figure) -> Option<T>,
    ) -> Option<T> {
        let made = make(names::find(key.name())?.kind)?;
        as_made(lock(&self.known).entry(key.clone()).or_insert(made))
    }
}

impl Recorder for Figures {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.others.describe_counter(key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.others.describe_gauge(key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.others.describe_histogram(key, unit, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        let make = |kind| (kind == MetricKind::Counter).then(|| Figure::Counter(Arc::default()));
        let known = self.known(key, make, |figure| match figure {
            Figure::Counter(value) => Some(Counter::from_arc(Arc::clone(value))),
            _ => None,
        });
        known.unwrap_or_else(|| self.others.register_counter(key, metadata))
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        let make = |kind| (kind == MetricKind::Gauge).then(|| Figure::Gauge(Arc::default()));
        let known = self.known(key, make, |figure| match figure {
            Figure::Gauge(value) => Some(Gauge::from_arc(Arc::clone(value))),
            _ => None,
        });
        known.unwrap_or_else(|| self.others.register_gauge(key, metadata))
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        let make = |kind| match kind {
            MetricKind::Histogram(bounds) => Some(Figure::Histogram(Arc::new(Samples::new(bounds)))),
            _ => None,
        };
        let known = self.known(key, make, |figure| match figure {
            Figure::Histogram(samples) => Some(Histogram::from_arc(Arc::clone(samples))),
            _ => None,
        });
        known.unwrap_or_else(|| self.others.register_histogram(key, metadata))
    }
}

// === impl Figure ===

impl Figure {
    fn render(&self, text: &mut String, name: &str, labels: &LabelSet) {
        match self {
            Self::Counter(value) => {
                write_metric_line(text, name, None, labels, NO_BOUND, value.load(Ordering::Acquire), None);
            }
            Self::Gauge(level) => {
                let level = f64::from_bits(level.0.load(Ordering::Acquire));
                write_metric_line(text, name, None, labels, NO_BOUND, level, None);
            }
            Self::Histogram(samples) => samples.render(text, name, labels),
        }
    }
}

// === impl Level ===

impl GaugeFn for Level {
    fn increment(&self, value: f64) {
        self.0.increment(value);
    }

    fn decrement(&self, value: f64) {
        self.0.decrement(value);
    }

    fn set(&self, value: f64) {
        // Nobody wants to know what it was before: a store costs a tenth of a swap.
        self.0.store(value.to_bits(), Ordering::Release);
    }
}

// === impl Samples ===

impl Samples {
    fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counted: Mutex::new(Counted { buckets: vec![0; bounds.len() + 1], sum: 0.0 }) }
    }

    fn render(&self, text: &mut String, name: &str, labels: &LabelSet) {
        let Counted { buckets, sum } = lock(&self.counted).clone();
        let mut count = 0;
        let bounds = self.bounds.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
        for (bucket, bound) in buckets.into_iter().zip(bounds) {
            count += bucket;
            write_metric_line(text, name, Some("bucket"), labels, Some(("le", bound)), count, None);
        }
        write_metric_line(text, name, Some("sum"), labels, NO_BOUND, sum, None);
        write_metric_line(text, name, Some("count"), labels, NO_BOUND, count, None);
    }
}

impl HistogramFn for Samples {
    fn record(&self, value: f64) {
        self.record_many(value, 1);
    }

    fn record_many(&self, value: f64, count: usize) {
        // What is no number is above all bounds.
        let bucket = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(self.bounds.len());
        let mut counted = lock(&self.counted);
        counted.buckets[bucket] += count as u64;
        counted.sum += value * count as f64;
    }
}

const NO_BOUND: Option<(&str, f64)> = None;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
