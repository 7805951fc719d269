//! Which call has waited longest.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use bellwether_core::{Call, Class};
use metrics::gauge;

use crate::{clock, names};

/// The calls that wait, by class, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Mutex<Lines>);

#[derive(Debug, Default)]
struct Lines {
    /// Counts arrivals, which orders them.
    arrivals: u64,
    waiting: HashMap<usize, (Class, u64)>,
    lines: HashMap<Class, BTreeMap<u64, f64>>,
}

/// A call keeps its place in memory while it waits.
fn name(call: &Arc<Call>) -> usize {
    Arc::as_ptr(call).addr()
}

impl Waiting {
    pub(crate) fn came(&self, call: &Arc<Call>) {
        let (class, now) = (call.context.class, clock::now());
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.arrivals += 1;
        let arrival = lines.arrivals;
        lines.waiting.insert(name(call), (class, arrival));
        let line = lines.lines.entry(class).or_default();
        line.insert(arrival, now);
        if line.len() == 1 {
            gauge!(names::QUEUE_OLDEST, "class" => class.as_str()).set(now);
        }
    }

    pub(crate) fn left(&self, call: &Arc<Call>) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((class, arrival)) = lines.waiting.remove(&name(call)) else { return };
        let line = lines.lines.entry(class).or_default();
        let first = line.first_key_value().map(|(arrival, _)| *arrival);
        line.remove(&arrival);
        if first == Some(arrival) {
            let oldest = line.first_key_value().map_or(0.0, |(_, since)| *since);
            gauge!(names::QUEUE_OLDEST, "class" => class.as_str()).set(oldest);
        }
    }
}
