//! What is kept of what was learnt: one line an outcome.

use std::sync::Arc;

use bellwether_core::Usd;
use serde::{Deserialize, Serialize};

use crate::features::Features;
use crate::seam::{Audit, Ending, Lesson};

/// Something that statistics are made of.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Entry {
    /// A second judge looked at accepted work.
    Audited(Audited),
    /// A task left a tier.
    Outcome(Outcome),
}

impl Entry {
    /// What it is about, and which is never counted twice.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Audited(audited) => &audited.id,
            Self::Outcome(outcome) => &outcome.id,
        }
    }

    /// When it was learnt: milliseconds since the Unix epoch.
    #[must_use]
    pub const fn at(&self) -> u64 {
        match self {
            Self::Audited(audited) => audited.at,
            Self::Outcome(outcome) => outcome.at,
        }
    }
}

/// What became of a task on a tier, and everything that statistics need of it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Outcome {
    /// The attempt: run, task and stint.
    pub id: String,
    /// When it was learnt: milliseconds since the Unix epoch.
    pub at: u64,
    /// The role.
    pub role: Arc<str>,
    /// The model.
    pub model: Arc<str>,
    /// Its tier, counted from 0.
    pub tier: usize,
    /// How many tiers the ladder had.
    pub tiers: usize,
    /// How hard the task seemed, from 0 to 3.
    pub bucket: u8,
    /// What was seen of the task.
    pub features: Features,
    /// Whether it was the task's first tier.
    pub first: bool,
    /// How it ended.
    pub ending: Ending,
    /// How likely this tier was as a start when the task was routed; for estimates of other ways to choose.
    pub propensity: f64,
    /// Who judged it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<Arc<str>>,
    /// What the work was guessed to cost, in dollars.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub guess: f64,
    /// What it cost, in dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// What judging it cost, in dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<f64>,
    /// How long it took, in seconds.
    pub seconds: f64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

impl Outcome {
    /// The id of the attempt that a lesson is about.
    #[must_use]
    pub fn id(lesson: &Lesson) -> String {
        format!("{}/{}/{}", lesson.run, lesson.task, lesson.stint)
    }

    /// What a lesson comes to, learnt at a moment.
    #[must_use]
    pub fn of(lesson: &Lesson, at: u64) -> Self {
        let Lesson { stint, role, route, tier, model, ending, judge, cost, review_cost, took, .. } = lesson;
        // The ladder may be another one since: a guess for another model would make this one look dear or cheap.
        let weighed = route.weighed.get(*tier).filter(|weighed| weighed.model == *model);
        let weighed = weighed.or_else(|| route.weighed.iter().find(|weighed| weighed.model == *model));
        Self {
            id: Self::id(lesson),
            at,
            role: Arc::clone(role),
            model: Arc::clone(model),
            tier: *tier,
            tiers: route.weighed.len().max(tier + 1),
            bucket: route.bucket,
            features: route.features,
            first: *stint == 0,
            ending: *ending,
            propensity: route.propensity,
            judge: judge.clone(),
            guess: weighed.map_or(0.0, |weighed| weighed.guess),
            cost: cost.map(Usd::as_dollars),
            review: review_cost.map(Usd::as_dollars),
            seconds: (took.as_secs_f64() * 1e3).round() / 1e3,
        }
    }
}

/// What a second judge said of accepted work.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Audited {
    /// The audit: run and task.
    pub id: String,
    /// When it was learnt: milliseconds since the Unix epoch.
    pub at: u64,
    /// The first judge.
    pub judge: Arc<str>,
    /// Whether the second one accepted the work as well.
    pub agreed: bool,
}

impl Audited {
    /// The id of an audit.
    #[must_use]
    pub fn id(audit: &Audit) -> String {
        format!("{}/{}/audit", audit.run, audit.task)
    }

    /// What an audit comes to, learnt at a moment.
    #[must_use]
    pub fn of(audit: &Audit, at: u64) -> Self {
        Self { id: Self::id(audit), at, judge: Arc::clone(&audit.judge), agreed: audit.agreed }
    }
}
