//! Sums in which the older observations count less.

/// Weights of observations and of what they came to. Each step of its clock fades it by a factor; whoever owns it
/// counts the steps, so that what is not observed any more fades as well.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    sum: f64,
    seen: f64,
    at: u64,
}

impl Tally {
    /// The sum and the number of observations, as they count at a step.
    pub(crate) fn faded(&self, step: u64, forgetting: f64) -> (f64, f64) {
        let steps = i32::try_from(step.saturating_sub(self.at)).unwrap_or(i32::MAX);
        let left = forgetting.powi(steps);
        (self.sum * left, self.seen * left)
    }

    /// Takes in an observation.
    pub(crate) fn add(&mut self, step: u64, forgetting: f64, value: f64) {
        let (sum, seen) = self.faded(step, forgetting);
        *self = Self { sum: sum + value, seen: seen + 1.0, at: step };
    }

    /// Counts for no more than so many observations from now on.
    pub(crate) fn doubt(&mut self, step: u64, forgetting: f64, at_most: f64) {
        let (sum, seen) = self.faded(step, forgetting);
        let kept = if seen > at_most { at_most / seen } else { 1.0 };
        *self = Self { sum: sum * kept, seen: seen * kept, at: step };
    }
}

/// The mean of logarithms, each new one counting at least a tenth: what things cost is a matter of factors.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct LogMean {
    mean: f64,
    seen: f64,
}

impl LogMean {
    pub(crate) fn add(&mut self, value: f64) {
        if value > 0.0 && value.is_finite() {
            self.seen = (self.seen + 1.0).min(10.0);
            // Beyond that it is a mistake of somebody's, and what is made of it has to stay a number.
            self.mean += (value.clamp(1e-9, 1e9).ln() - self.mean) / self.seen;
        }
    }

    /// The mean of logarithms, drawn towards another one as far as it rests on little.
    pub(crate) fn shrunk(&self, towards: f64, strength: f64) -> f64 {
        (self.mean * self.seen + towards * strength) / (self.seen + strength)
    }

    /// The typical value; `None` of nothing.
    pub(crate) fn typical(&self) -> Option<f64> {
        (self.seen > 0.0).then(|| self.mean.exp())
    }
}

/// How many buckets there are, each half as wide again as the one before.
const WAITS: usize = 32;
const SHORTEST: f64 = 0.1;
const WIDTH: f64 = 1.5;

/// How long something took: a histogram on a logarithmic scale that fades, right to about a fifth.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Waits {
    counts: [f32; WAITS],
    seen: f32,
}

impl Waits {
    pub(crate) fn add(&mut self, seconds: f64, forgetting: f64) {
        #[expect(clippy::cast_possible_truncation, reason = "a factor near 1")]
        let left = forgetting as f32;
        self.counts.iter_mut().for_each(|count| *count *= left);
        self.seen = self.seen * left + 1.0;
        self.counts[Self::bucket(seconds)] += 1.0;
    }

    fn bucket(seconds: f64) -> usize {
        let at = (seconds.max(SHORTEST) / SHORTEST).ln() / WIDTH.ln();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and capped")]
        let bucket = (at.min(1e3) as usize).min(WAITS - 1);
        bucket
    }

    /// The time within which such a share of them was over; `None` while there are fewer than three.
    pub(crate) fn quantile(&self, share: f32) -> Option<f64> {
        if self.seen < 2.5 {
            return None;
        }
        let mut below = 0.0;
        let bucket = self.counts.iter().position(|count| {
            below += count;
            below >= share * self.seen * 0.999
        });
        let bucket = i32::try_from(bucket.unwrap_or(WAITS - 1)).unwrap_or(i32::MAX);
        // The middle of the bucket.
        Some(SHORTEST * WIDTH.powi(bucket) * WIDTH.sqrt())
    }
}

/// Notices that a rate has changed: the cumulated differences between what came and what was expected, beyond a
/// slack (CUSUM; Page 1954).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Alarm {
    above: f64,
    below: f64,
}

/// Differences up to this are taken for chance.
const SLACK: f64 = 0.15;
/// So much of them together is a change.
const BOUND: f64 = 3.0;

impl Alarm {
    /// Takes in how far an observation was from what was expected; whether that means a change.
    pub(crate) fn hear(&mut self, difference: f64) -> bool {
        self.above = (self.above + difference - SLACK).max(0.0);
        self.below = (self.below - difference - SLACK).max(0.0);
        let rung = self.above > BOUND || self.below > BOUND;
        if rung {
            *self = Self::default();
        }
        rung
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_is_bounded_and_fades_without_observations() {
        let mut tally = Tally::default();
        for step in 1..=5_000 {
            tally.add(step, 0.997, 1.0);
        }
        let (sum, seen) = tally.faded(5_000, 0.997);
        assert!((seen - 1.0 / 0.003).abs() < 1.0 && (sum - seen).abs() < 1e-9, "{seen}");
        assert!((tally.faded(5_231, 0.997).1 / seen - 0.5).abs() < 0.01, "half after 231 steps");
        tally.doubt(5_000, 0.997, 8.0);
        assert_eq!(tally.faded(5_000, 0.997), (8.0, 8.0));
    }

    #[test]
    fn quantiles_are_right_to_a_fifth() {
        let mut waits = Waits::default();
        assert_eq!(waits.quantile(0.5), None);
        (1..=100).for_each(|n| waits.add(f64::from(n) / 10.0, 1.0));
        for (share, wanted) in [(0.5, 5.0), (0.95, 9.5)] {
            let got = waits.quantile(share).unwrap();
            assert!((got / wanted - 1.0).abs() < 0.23, "{share}: {got}");
        }
        waits.add(1e12, 1.0);
        waits.add(0.0, 1.0);
        assert!(waits.quantile(1.0).unwrap() > 10_000.0);
    }

    #[test]
    fn a_change_is_heard_soon_and_chance_seldom() {
        let mut random = fastrand::Rng::with_seed(3);
        for (rate, expected) in [(0.4, 0.9), (0.95, 0.5)] {
            let mut alarm = Alarm::default();
            let after = (1..=100).find(|_| alarm.hear(f64::from(u8::from(random.f64() < rate)) - expected));
            assert!(after.is_some_and(|after| after < 30), "{rate} instead of {expected}: {after:?}");
        }
        let mut alarm = Alarm::default();
        let rings = (0..20_000).filter(|_| alarm.hear(f64::from(u8::from(random.f64() < 0.85)) - 0.85)).count();
        assert!(rings < 60, "{rings} false alarms in 20,000");
    }

    #[test]
    fn costs_are_followed_as_factors() {
        let mut cost = LogMean::default();
        assert_eq!(cost.typical(), None);
        (0..20).for_each(|_| cost.add(2.0));
        assert!((cost.typical().unwrap() - 2.0).abs() < 1e-9);
        (0..30).for_each(|_| cost.add(4.0));
        assert!((cost.typical().unwrap() - 4.0).abs() < 0.2, "a new price is followed within some thirty tasks");
        cost.add(0.0);
        cost.add(f64::NAN);
        assert!(cost.typical().unwrap() > 3.8);
    }
}
