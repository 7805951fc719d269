//! How fast tasks are taken, to say when there will be room.

use std::time::Duration;

use bellwether_core::Timestamp;

/// How fast tasks are taken: the mean time between two of them, the last eight counting most.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    last: Option<Timestamp>,
    mean: Option<Duration>,
}

impl Pace {
    pub(crate) fn taken(&mut self, now: Timestamp) {
        if let Some(last) = self.last {
            let took = now.since(last);
            self.mean = Some(self.mean.map_or(took, |mean| (mean * 7 + took) / 8));
        }
        self.last = Some(now);
    }

    /// When so many tasks will have been taken.
    pub(crate) fn expected(&self, tasks: usize) -> Option<Duration> {
        let tasks = u32::try_from(tasks).unwrap_or(u32::MAX);
        self.mean.map(|mean| mean.saturating_mul(tasks))
    }
}
