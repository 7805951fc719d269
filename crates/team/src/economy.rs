//! What a run does without when its budget no longer covers the next call as it is: one step at a time, each remembered.
//!
//! A call that a cap does not cover is refused before it is sent. That is the moment to step down, and the refused job is
//! asked for again in the cheaper way: on the cheapest tier, then with a smaller answer, then without a review. What
//! is refused even then ends the run with what it has. A larger budget takes all of it back.

use serde::{Deserialize, Serialize};

use crate::message::Job;
use crate::report::Failure;
use crate::role::Role;

/// A step down; each includes those before it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Economy {
    /// Tasks that have not begun are worked on by the cheapest model of their role.
    CheaperTier,
    /// Answers may have a quarter of their usual length.
    SmallerOutput,
    /// Work is not reviewed any more; it is kept, and counts as unreviewed.
    NoReview,
}

impl Economy {
    /// The step in a few words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CheaperTier => "cheaper tier",
            Self::SmallerOutput => "smaller output",
            Self::NoReview => "no review",
        }
    }

    /// The next step that can make a refused job cheaper; `None` if there is none left.
    pub(crate) fn next(now: Option<Self>, job: &Job, role: &Role, tier: usize, may_skip_review: bool) -> Option<Self> {
        let steps = [Self::CheaperTier, Self::SmallerOutput, Self::NoReview];
        steps.into_iter().filter(|step| Some(*step) > now).find(|step| match step {
            Self::CheaperTier => job.phase() == "work" && tier > 0,
            Self::SmallerOutput => role.output_cap(tier).is_some_and(|cap| cap >= LEAST_OUTPUT * SHORTER),
            Self::NoReview => may_skip_review && *job != Job::Plan,
        })
    }

    /// The cap on an answer's length under the present step.
    pub(crate) fn output_cap(now: Option<Self>, usual: Option<u32>) -> Option<u32> {
        if now < Some(Self::SmallerOutput) {
            return usual;
        }
        usual.map(|cap| if cap >= LEAST_OUTPUT * SHORTER { cap / SHORTER } else { cap })
    }
}

impl Failure {
    /// Whether the run's budget, or that of the day, does not cover a call: then a cheaper one may still fit.
    pub(crate) fn is_near_the_cap(&self) -> bool {
        matches!(self.kind.as_str(), "budget_exceeded" | "tenant_day_budget_exceeded")
    }
}

/// By how much answers become shorter.
const SHORTER: u32 = 4;

/// Answers that were this short already are of no use if they are cut.
const LEAST_OUTPUT: u32 = 64;
