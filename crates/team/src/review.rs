//! The loop between work and review: what is checked, what a verdict counts for, and when to stop.
//!
//! - [`check`]: checks that need no model, which come before any judge.
//! - `convergence`: whether work is good enough, goes back, or has gone back often enough.
//! - `scope`: which of a judge's issues count, and how they are told apart over the rounds.

pub mod check;
pub(crate) mod convergence;
pub(crate) mod scope;

pub use check::{Check, CommandCheck, Finding};
#[cfg(feature = "checks")]
pub use check::{PatternCheck, SchemaCheck};

use serde::{Deserialize, Serialize};

/// What the loop between work and review keeps to.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct ReviewRules {
    /// The least score of accepted work, from 0 to 1.
    pub threshold: f64,
    /// How often work may go back on one tier.
    pub max_rounds: u32,
    /// How often a task may go up a tier after its rounds brought nothing more.
    pub max_escalations: u32,
    /// Whether a new issue counts after the first round only if it makes the work unusable or the revision caused it.
    pub freeze_scope: bool,
    /// The least rise of the score that counts as progress if no issue was closed, from above 0 to 1.
    pub min_gain: f64,
    /// What becomes of work that never was good enough.
    pub on_exhausted: OnExhausted,
}

impl Default for ReviewRules {
    fn default() -> Self {
        Self {
            threshold: 0.8,
            max_rounds: 2,
            max_escalations: 1,
            freeze_scope: true,
            min_gain: 0.05,
            on_exhausted: OnExhausted::AcceptBest,
        }
    }
}

/// What becomes of work that never was good enough.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExhausted {
    /// The best of it is kept, with its open issues named; what needs it goes on with it.
    #[default]
    AcceptBest,
    /// The task failed; what needs it is skipped.
    Fail,
    /// A person decides, for as long as it takes; see [`Team::rule`](crate::Team::rule). Without a journal nobody could, and
    /// the best is kept.
    Human,
}
