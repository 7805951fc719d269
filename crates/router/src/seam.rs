//! The seam: pick the tier a task starts on, and learn from verdicts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::{Price, RunId, TaskId, Usd};
use serde::{Deserialize, Serialize};

use crate::features::Features;

/// Picks the tier of its role's ladder that a task starts on, and learns from verdicts.
pub trait Router: fmt::Debug + Send + Sync {
    /// Picks a tier. The answer is below the number of `profile.tiers`, of which there is at least one.
    fn route(&self, profile: &TaskProfile) -> Route;

    /// Hears what became of a task on one tier. Hearing of the same attempt again changes nothing.
    fn learn(&self, lesson: &Lesson);

    /// Hears what a second judge said of accepted work. Hearing of the same attempt again changes nothing.
    fn audited(&self, audit: &Audit);
}

const _: fn(&dyn Router) = |_| {};

/// What is known of a task before its tier is chosen.
#[derive(Clone, Debug)]
pub struct TaskProfile {
    /// The run.
    pub run: RunId,
    /// The task within the run.
    pub task: TaskId,
    /// The role that will work on it.
    pub role: Arc<str>,
    /// The role's ladder, the cheapest first.
    pub tiers: Vec<Offer>,
    /// What can be seen of the task itself.
    pub features: Features,
    /// How many tiers above the first one it may climb if its work is not good enough.
    pub escalations: u32,
    /// What there is to spend on it.
    pub means: Means,
}

/// A tier of a ladder.
#[derive(Clone, Debug)]
pub struct Offer {
    /// What the team calls it, such as `small`.
    pub name: Arc<str>,
    /// The model, under which it is learnt about.
    pub model: Arc<str>,
    /// What its tokens cost, if known.
    pub price: Option<Price>,
}

/// What a run has, and what it has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Means {
    /// What it has spent so far, as far as known.
    pub spent: Usd,
    /// How many of its tasks came to rest.
    pub done: usize,
    /// How many tasks it has.
    pub tasks: usize,
    /// The time until its deadline, if it has one.
    pub time_left: Option<Duration>,
}

/// A decision, with everything it was made of.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Route {
    /// The tier, counted from 0.
    pub tier: usize,
    /// The name of that tier.
    pub name: Arc<str>,
    /// Why this one, for people.
    pub why: String,
    /// How it was decided, such as `thompson`.
    pub mode: String,
    /// What was seen of the task.
    pub features: Features,
    /// How hard it seems, from 0 to 3.
    pub bucket: u8,
    /// What was thought of each tier; empty if nothing was weighed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weighed: Vec<Weighed>,
    /// What a ladder's dearest tier costs, measured in accepted work.
    #[serde(default)]
    pub lambda: f64,
    /// How likely this choice was, as far as chance had a part in it.
    pub propensity: f64,
    /// Whether it was chosen to learn about it.
    #[serde(default)]
    pub explored: bool,
    /// Whether the work, if accepted, is to be shown to a second judge.
    #[serde(default)]
    pub audit: bool,
}

/// What was thought of a tier when a task was routed.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Weighed {
    /// The model.
    pub model: Arc<str>,
    /// How likely its work is accepted.
    pub mean: f64,
    /// The figure that was reckoned with: a sample, an upper bound, or the mean.
    pub sample: f64,
    /// Observations behind it, the older ones counting less.
    pub seen: f64,
    /// What an attempt is guessed to cost before anything is learnt, in dollars.
    pub guess: f64,
    /// What an attempt will cost, in dollars.
    pub cost: f64,
    /// How long an attempt takes: the median, in seconds; 0 if unknown.
    pub seconds: f64,
    /// What starting here is worth.
    pub value: f64,
    /// Why it could not be chosen, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ruled_out: Option<String>,
}

/// What became of a task on one tier: from its first draft there to a verdict that ended it.
#[derive(Clone, Debug, PartialEq)]
pub struct Lesson {
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: TaskId,
    /// How many tiers the task was on before. With run and task it names the attempt.
    pub stint: u32,
    /// The role that worked on it.
    pub role: Arc<str>,
    /// How it was routed.
    pub route: Route,
    /// The tier that worked on it, counted from 0.
    pub tier: usize,
    /// The model of that tier.
    pub model: Arc<str>,
    /// What became of it.
    pub ending: Ending,
    /// Who judged it; `None` if nobody did because no usable work came of it.
    pub judge: Option<Arc<str>>,
    /// What working on it cost, if known.
    pub cost: Option<Usd>,
    /// What judging it cost, if known.
    pub review_cost: Option<Usd>,
    /// How long it took, waiting included.
    pub took: Duration,
}

/// How a task's stay on a tier ended. What says nothing about the model is no lesson: failures of the transport,
/// cancellation, work that nobody could judge.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Accepted as it was first handed in.
    Accepted,
    /// Nothing good enough came of it: it went to a higher tier, or failed.
    Missed,
    /// Accepted after a revision.
    Revised,
}

/// What a second, stronger judge said of work that a first one had accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Audit {
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: TaskId,
    /// The first judge: the model.
    pub judge: Arc<str>,
    /// Whether the second one accepted the work as well.
    pub agreed: bool,
}

/// Starts every task on its role's first tier, and learns nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct FirstTier;

impl Router for FirstTier {
    fn route(&self, profile: &TaskProfile) -> Route {
        Route {
            tier: 0,
            name: profile.tiers.first().map_or_else(|| "".into(), |offer| Arc::clone(&offer.name)),
            why: "every task starts on the first tier".to_owned(),
            mode: "fixed".to_owned(),
            features: profile.features,
            bucket: 0,
            weighed: Vec::new(),
            lambda: 0.0,
            propensity: 1.0,
            explored: false,
            audit: false,
        }
    }

    fn learn(&self, _: &Lesson) {}

    fn audited(&self, _: &Audit) {}
}
