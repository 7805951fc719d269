//! How much was sent in the last second or so.

use bellwether_core::Timestamp;

/// A ring of eighths of a second.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    slots: [u64; SLOTS],
    /// The number of the newest slot since the origin.
    newest: u64,
}

impl Recent {
    #[inline]
    pub(super) fn add(&mut self, cost: u64, now: Timestamp) {
        let slot = now.as_nanos() / SLOT;
        if slot > self.newest {
            let gone = (slot - self.newest).min(SLOTS as u64);
            for passed in 1..=gone {
                self.slots[at(self.newest.wrapping_add(passed))] = 0;
            }
            if gone == SLOTS as u64 {
                self.slots = [0; SLOTS];
            }
            self.newest = slot;
        }
        let slot = &mut self.slots[at(self.newest)];
        *slot = slot.saturating_add(cost);
    }

    /// What was sent in the last full second, per second.
    pub(super) fn per_second(&mut self, now: Timestamp) -> f64 {
        self.add(0, now);
        let open = at(self.newest);
        let sum: u64 = self.slots.iter().enumerate().filter(|(i, _)| *i != open).map(|(_, cost)| *cost).sum();
        sum as f64 * 1e9 / (SLOT * (SLOTS as u64 - 1)) as f64
    }

    /// What was sent in the last second and up to an eighth more.
    pub(super) fn sum(&mut self, now: Timestamp) -> f64 {
        self.add(0, now);
        self.slots.iter().sum::<u64>() as f64
    }
}

const fn at(slot: u64) -> usize {
    (slot % SLOTS as u64) as usize
}

const SLOTS: usize = 9;
const SLOT: u64 = 125_000_000;
