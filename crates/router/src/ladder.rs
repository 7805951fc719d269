//! What it is worth to start on a tier, knowing that what fails there may go on to the next.

/// What is reckoned with for a tier.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rung {
    /// How likely its work is accepted, from 0 to 1.
    pub accepted: f64,
    /// What an attempt costs, judging included.
    pub cost: f64,
    /// How long an attempt takes.
    pub seconds: f64,
}

/// What is to be expected of a task that starts on a tier.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Expected {
    /// How likely it is accepted in the end.
    pub accepted: f64,
    /// What it costs in all.
    pub cost: f64,
    /// How long it takes in all.
    pub seconds: f64,
}

/// What is to be expected of a task that starts on tier `start` and may climb `escalations` tiers: an attempt costs
/// what it costs, and with the chance that it fails the next one follows.
#[must_use]
pub fn expected(rungs: &[Rung], start: usize, escalations: usize) -> Expected {
    let reach = rungs.get(start..).unwrap_or_default();
    let mut sum = Expected::default();
    let mut still_open = 1.0;
    for rung in reach.iter().take(escalations.saturating_add(1)) {
        sum.cost += still_open * rung.cost;
        sum.seconds += still_open * rung.seconds;
        still_open *= 1.0 - rung.accepted;
    }
    sum.accepted = if reach.is_empty() { 0.0 } else { 1.0 - still_open };
    sum
}

/// What quality, money and time are worth to each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights {
    /// The worth of accepted work.
    pub quality: f64,
    /// The worth of a unit of cost.
    pub cost: f64,
    /// The worth of a second.
    pub seconds: f64,
}

impl Weights {
    /// What something expected is worth.
    #[must_use]
    pub fn value(&self, expected: Expected) -> f64 {
        self.quality * expected.accepted - self.cost * expected.cost - self.seconds * expected.seconds
    }

    /// The starting tier with the greatest value among those that `may` be chosen; of equals the first. `None` if none
    /// may.
    #[must_use]
    pub fn best(&self, rungs: &[Rung], escalations: usize, may: impl Fn(usize) -> bool) -> Option<usize> {
        let value = |start: usize| self.value(expected(rungs, start, escalations));
        (0..rungs.len())
            .filter(|start| may(*start))
            .map(|start| (start, value(start)))
            .reduce(|best, next| if next.1 > best.1 { next } else { best })
            .map(|(start, _)| start)
    }
}
