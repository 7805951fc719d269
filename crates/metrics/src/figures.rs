//! Where the figures of the catalogue are kept: a count costs one addition, a sample one in its bucket.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::names::{self, MetricKind};
use crate::writing;

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
    Counter(Cells<AtomicU64>),
    Gauge(Arc<Level>),
    Histogram(Cells<Samples>),
}

/// What a series is kept in: one cell for everybody, and one for each who counts alone.
struct Cells<T> {
    everybody: Arc<T>,
    alone: Vec<Arc<Alone<T>>>,
}

/// A cell of whoever counts [`ALONE`]: he needs no addition that others could come between, which costs ten times as much.
struct Alone<T>(T);

/// What a gauge shows, or samples sum up to, as the bits of a number.
#[derive(Default)]
struct Level(AtomicU64);

/// The samples of a series.
struct Samples {
    bounds: &'static [f64],
    /// The last one in use is that above all bounds.
    buckets: [AtomicU64; MOST_BUCKETS],
    sum: Level,
}

/// What of a series may be kept in several cells.
trait Cell: Sized {
    /// A new one for the same series.
    fn like(&self) -> Self;
    /// Adds what another one has.
    fn add(&self, other: &Self);
}

/// The target under which somebody registers a counter or a histogram who promises that one thread at a time counts by
/// that handle, and hands it on under a lock. To other recorders it is a target like any other.
pub(crate) const ALONE: &str = "bellwether_metrics::alone";

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
                writing::head(&mut text, info);
            }
            figure.render(&mut text, family, &writing::labels(key));
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
        as_made: impl Fn(&mut Figure) -> Option<T>,
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
        let make = |kind| (kind == MetricKind::Counter).then(|| Figure::Counter(Cells::new(AtomicU64::new(0))));
        let known = self.known(key, make, |figure| match figure {
            Figure::Counter(cells) if metadata.target() == ALONE => Some(Counter::from_arc(cells.alone())),
            Figure::Counter(cells) => Some(Counter::from_arc(Arc::clone(&cells.everybody))),
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
            MetricKind::Histogram(bounds) => Some(Figure::Histogram(Cells::new(Samples::new(bounds)))),
            _ => None,
        };
        let known = self.known(key, make, |figure| match figure {
            Figure::Histogram(cells) if metadata.target() == ALONE => Some(Histogram::from_arc(cells.alone())),
            Figure::Histogram(cells) => Some(Histogram::from_arc(Arc::clone(&cells.everybody))),
            _ => None,
        });
        known.unwrap_or_else(|| self.others.register_histogram(key, metadata))
    }
}

// === impl Figure ===

impl Figure {
    fn render(&self, text: &mut String, name: &str, labels: &str) {
        match self {
            Self::Counter(cells) => writing::sample(text, name, "", labels, cells.sum().load(Ordering::Relaxed)),
            Self::Gauge(level) => writing::sample(text, name, "", labels, level.get()),
            Self::Histogram(cells) => cells.sum().render(text, name, labels),
        }
    }
}

// === impl Cells ===

impl<T: Cell> Cells<T> {
    fn new(cell: T) -> Self {
        Self { everybody: Arc::new(cell), alone: Vec::new() }
    }

    /// A cell for one more who counts alone. What those left who are gone by now becomes everybody's.
    fn alone(&mut self) -> Arc<Alone<T>> {
        let everybody = &self.everybody;
        self.alone.retain_mut(|cell| {
            let Some(left) = Arc::get_mut(cell) else { return true };
            everybody.add(&left.0);
            false
        });
        let cell = Arc::new(Alone(everybody.like()));
        self.alone.push(Arc::clone(&cell));
        cell
    }

    /// All that was counted.
    fn sum(&self) -> T {
        let sum = self.everybody.like();
        sum.add(&self.everybody);
        self.alone.iter().for_each(|cell| sum.add(&cell.0));
        sum
    }
}

// === impl Alone ===

impl CounterFn for Alone<AtomicU64> {
    fn increment(&self, value: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(value), Ordering::Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).max(value), Ordering::Relaxed);
    }
}

impl HistogramFn for Alone<Samples> {
    fn record(&self, value: f64) {
        let Self(samples) = self;
        let bucket = samples.bucket(value);
        bucket.store(bucket.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        samples.sum.set(samples.sum.get() + value);
    }
}

// === impl AtomicU64 ===

impl Cell for AtomicU64 {
    fn like(&self) -> Self {
        Self::new(0)
    }

    fn add(&self, other: &Self) {
        self.fetch_add(other.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

// === impl Level ===

impl Level {
    fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Acquire))
    }
}

impl GaugeFn for Level {
    fn increment(&self, value: f64) {
        GaugeFn::increment(&self.0, value);
    }

    fn decrement(&self, value: f64) {
        GaugeFn::decrement(&self.0, value);
    }

    fn set(&self, value: f64) {
        // Nobody wants to know what it was before: a store costs a tenth of a swap.
        self.0.store(value.to_bits(), Ordering::Release);
    }
}

// === impl Samples ===

impl Samples {
    fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, buckets: [const { AtomicU64::new(0) }; MOST_BUCKETS], sum: Level::default() }
    }

    /// The bucket that a sample belongs to. What is no number is above all bounds.
    fn bucket(&self, value: f64) -> &AtomicU64 {
        let place = self.bounds.iter().position(|bound| value <= *bound);
        &self.buckets[place.unwrap_or(self.bounds.len())]
    }

    fn render(&self, text: &mut String, name: &str, labels: &str) {
        let mut count = 0;
        let bounds = self.bounds.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
        for (bucket, bound) in self.buckets.iter().zip(bounds) {
            count += bucket.load(Ordering::Relaxed);
            let comma = if labels.is_empty() { "" } else { "," };
            writing::sample(text, name, "_bucket", &format!("{labels}{comma}le=\"{bound}\""), count);
        }
        writing::sample(text, name, "_sum", labels, self.sum.get());
        writing::sample(text, name, "_count", labels, count);
    }
}

impl Cell for Samples {
    fn like(&self) -> Self {
        Self::new(self.bounds)
    }

    fn add(&self, other: &Self) {
        self.buckets.iter().zip(&other.buckets).for_each(|(bucket, more)| bucket.add(more));
        self.sum.increment(other.sum.get());
    }
}

impl HistogramFn for Samples {
    fn record(&self, value: f64) {
        self.record_many(value, 1);
    }

    fn record_many(&self, value: f64, count: usize) {
        self.bucket(value).fetch_add(count as u64, Ordering::Relaxed);
        self.sum.increment(value * count as f64);
    }
}

/// One more than the longest list of bounds in the catalogue.
const MOST_BUCKETS: usize = names::MOST_BOUNDS + 1;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
