//! The seam to the choice of a model tier.

use std::fmt;
use std::sync::Arc;

use crate::call::{RunId, TaskId};
use crate::usage::Usd;

/// Picks the tier of its role's ladder that a task starts on, and learns from verdicts.
pub trait Router: fmt::Debug + Send + Sync {
    /// Picks a tier. The answer is below `profile.tiers`, which is at least 1.
    fn route(&self, profile: &TaskProfile) -> Route;

    /// Hears what became of an attempt. Hearing of the same attempt again changes nothing.
    fn learn(&self, lesson: &Lesson);
}

const _: fn(&dyn Router) = |_| {};

/// What is known of a task before its tier is chosen.
#[derive(Clone, Debug)]
pub struct TaskProfile {
    /// The role that will work on it.
    pub role: Arc<str>,
    /// How hard the plan says it is, from 1 to 5.
    pub complexity: u8,
    /// How many tiers the role has, the cheapest first.
    pub tiers: usize,
}

/// A decision, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Route {
    /// The tier, counted from 0.
    pub tier: usize,
    /// Why this one, for people.
    pub why: String,
}

/// What became of an attempt.
#[derive(Clone, Debug)]
pub struct Lesson {
    /// The run of the attempt.
    pub run: RunId,
    /// The task of the attempt.
    pub task: TaskId,
    /// The review round of the attempt. With run and task it names the attempt.
    pub round: u32,
    /// What was known before.
    pub profile: TaskProfile,
    /// The tier that worked on it.
    pub tier: usize,
    /// Whether the work was accepted.
    pub accepted: bool,
    /// What it cost, if known.
    pub cost: Option<Usd>,
}

/// Starts every task on its role's first tier, and learns nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct FirstTier;

impl Router for FirstTier {
    fn route(&self, _: &TaskProfile) -> Route {
        Route { tier: 0, why: "every task starts on the first tier".to_owned() }
    }

    fn learn(&self, _: &Lesson) {}
}
