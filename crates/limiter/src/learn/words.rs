//! What a learner is told, and what it answers.

use std::time::Duration;

use bellwether_core::Timestamp;

/// How a [`Learner`](super::Learner) goes about it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LearnPolicy {
    /// What it begins with, per second, if that is more than fifty requests like those that come.
    pub initial: f64,
    /// The share of a counted limit that it uses while it holds.
    pub utilisation: f64,
    /// How long it holds a limit that was confirmed again and again.
    pub longest_hold: Duration,
    /// The longest stay away that it asks for when nothing at all is let through.
    pub longest_pause: Duration,
    /// Whether the provider counts refused requests too.
    pub refusals_count: bool,
}

/// A request on its way, as its learner remembers it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Flight {
    /// When it was sent.
    pub sent: Timestamp,
    /// How many requests were sent before it.
    pub number: u64,
    /// What they took of this budget together.
    pub before: u64,
    /// What it took of this budget.
    pub cost: u64,
}

/// What to do after a refusal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reaction {
    /// Stay away that long, then send one request alone and wait what becomes of it.
    Blackout(Duration),
    /// Stay away that long.
    Pause(Duration),
}
