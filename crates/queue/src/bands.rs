//! Which band is next: the most urgent, unless a lower one is owed its floor.

/// Which band is next, in exact thousandths of tokens.
#[derive(Debug)]
pub(crate) struct Bands(Vec<Band>);

#[derive(Debug)]
struct Band {
    /// Thousandths of all work.
    floor: u64,
    /// Thousandths of a token; what it had to get and did not.
    owed: u64,
}

impl Bands {
    pub(crate) fn new(floors: &[u32]) -> Self {
        Self(floors.iter().map(|floor| Band { floor: u64::from(*floor), owed: 0 }).collect())
    }

    /// The floor of a band, in thousandths.
    pub(crate) fn floor(&self, band: usize) -> u64 {
        self.0[band].floor
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The band that is next, of those that are ready: the one that is owed most for its floor, of those that are
    /// owed at least their next task; else the most urgent.
    pub(crate) fn pick(&self, ready: impl Fn(usize) -> bool, mut next_cost: impl FnMut(usize) -> u32) -> Option<usize> {
        let first = (0..self.0.len()).find(|band| ready(*band))?;
        let mut best: Option<(u128, usize)> = None;
        for (at, band) in self.0.iter().enumerate() {
            if band.owed == 0 || !ready(at) || band.owed < u64::from(next_cost(at)) * WHOLE {
                continue;
            }
            // owed / floor, to be compared without rounding: a floor of 0 is never owed anything.
            let urgency = (u128::from(band.owed) << 32) / u128::from(band.floor.max(1));
            if best.is_none_or(|(most, _)| urgency > most) {
                best = Some((urgency, at));
            }
        }
        Some(best.map_or(first, |(_, at)| at))
    }

    /// A band was served: every band that is ready is owed its part of that, and the one served got it.
    ///
    /// What a band gets beyond what it is owed is not held against it later: its floor holds over every stretch of
    /// time in which it has work, whatever it was given before.
    pub(crate) fn served(&mut self, band: usize, cost: u32, ready: impl Fn(usize) -> bool) {
        for (at, other) in self.0.iter_mut().enumerate() {
            if other.floor > 0 && (at == band || ready(at)) {
                other.owed += other.floor * u64::from(cost);
            }
        }
        let served = &mut self.0[band];
        served.owed = served.owed.saturating_sub(u64::from(cost) * WHOLE);
    }
}

const WHOLE: u64 = 1_000;
