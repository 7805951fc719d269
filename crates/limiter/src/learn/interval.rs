//! What was let through between two refusals.

/// What was let through between two refusals.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval {
    pub(super) cost: f64,
    pub(super) count: u64,
    pub(super) seconds: f64,
    /// What the refused requests at both ends wanted. Each may have left almost that much in the server's bucket.
    pub(super) first: f64,
    pub(super) last: f64,
    /// How many were refused in between.
    pub(super) refused: f64,
}

impl Interval {
    /// Whether a limit of `rate` lets through so much, give or take what a bucket that refused may have held.
    pub(super) fn confirms(&self, rate: f64) -> bool {
        let expected = rate * self.seconds;
        expected > self.cost * (1.0 - CONFIRMED) - self.first && expected < self.cost * (1.0 + CONFIRMED) + self.last
    }
}

/// How far what was counted may be from what was expected.
const CONFIRMED: f64 = 0.1;
