//! What a team keeps to, and what it does when a plan or a task comes to nothing.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::time::Duration;

use bellwether_core::Class;
use serde::{Deserialize, Serialize};

use crate::plan::{Means, SpawnRules};
use crate::review::ReviewRules;

/// What a team keeps to. Every limit is finite.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The most agents at work at once.
    pub max_parallel: NonZeroUsize,
    /// The most subtasks a plan may have.
    pub max_tasks: NonZeroUsize,
    /// The most subtasks of a plan in a row, each needing the one before.
    pub max_depth: NonZeroUsize,
    /// How often a planner is told what is wrong with its plan before the next tier is asked, once.
    pub plan_repairs: u32,
    /// Whether a plan of simple tasks becomes one task, done by one worker.
    pub right_size: bool,
    /// How far tasks may ask for further ones, if their role may.
    pub spawn: SpawnRules,
    /// How many questions a task may ask others, if its role may.
    pub max_questions: u32,
    /// What the run may take: a plan that would take more is not begun.
    pub means: Means,
    /// The share of these means that a team with a synthesizer holds back for making the parts one whole: a plan that would
    /// take more than the rest is not begun. Whoever keeps the budget holds back the same, with `Scope::AllBut("combine")`
    /// and `Caps::holding_back` of the budget room.
    pub reserve_for_synthesis: Share,
    /// How often a model is asked again in all if its answer cannot be used: at least once.
    pub max_attempts: u32,
    /// What is good enough, and how often work may go back.
    pub review: ReviewRules,
    /// Whether work may go unreviewed when the budget does not cover the review.
    pub may_skip_review: bool,
    /// What to do if no plan can be read from the planner's answers.
    pub on_invalid_plan: OnInvalidPlan,
    /// Whether a run waits for somebody to agree to its plan; see [`Team::approve`](crate::Team::approve).
    pub approve_plan: bool,
    /// Whether a task begins as soon as what it needs is there. Otherwise the plan is worked through row by row, and in
    /// each row all work is done before any is reviewed.
    pub pipelined: bool,
    /// What to do when a task comes to nothing.
    pub on_task_failure: OnTaskFailure,
    /// The most time a task may take from its first agent's begin; unlimited if absent.
    pub task_deadline: Option<Duration>,
    /// After how long without any change a run is said to be stalled. Nothing is stopped for it.
    pub stall_after: Duration,
    /// The most time a run may take; unlimited if absent.
    pub deadline: Option<Duration>,
    /// How long calls in flight may go on after a run was asked to stop.
    pub grace: Duration,
    /// After how many entries of a run a snapshot of it is left in the journal; in a long run, after a quarter of them.
    pub snapshot_every: NonZeroU64,
    /// How urgent the team's calls are.
    pub class: Class,
    /// The share of its runs, relative to other runs on the same quota.
    pub weight: NonZeroU32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_parallel: NonZeroUsize::MIN.saturating_add(7),
            max_tasks: NonZeroUsize::MIN.saturating_add(23),
            max_depth: NonZeroUsize::MIN.saturating_add(7),
            plan_repairs: 2,
            right_size: true,
            spawn: SpawnRules::default(),
            max_questions: 2,
            means: Means::default(),
            reserve_for_synthesis: Share(0.08),
            max_attempts: 3,
            review: ReviewRules::default(),
            may_skip_review: true,
            on_invalid_plan: OnInvalidPlan::Fallback,
            approve_plan: false,
            pipelined: true,
            on_task_failure: OnTaskFailure::ContinueIndependent,
            task_deadline: None,
            stall_after: Duration::from_secs(300),
            deadline: None,
            grace: Duration::from_secs(20),
            snapshot_every: NonZeroU64::MIN.saturating_add(255),
            class: Class::Standard,
            weight: NonZeroU32::MIN,
        }
    }
}

/// What to do if no plan can be read from the planner's answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnInvalidPlan {
    /// The run fails.
    Fail,
    /// The request is worked on as a whole.
    Fallback,
}

/// What to do when a task comes to nothing. What needs it is skipped in any case.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnTaskFailure {
    /// Everything else goes on.
    ContinueIndependent,
    /// Nothing further begins.
    FailFast,
    /// Everything else goes on as long as this share of the tasks can still be done; with it, the run counts as done.
    Quorum(Share),
}

/// A share of a whole, from 0 to 1.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Share(f64);

impl Share {
    /// The share, if it lies between 0 and 1.
    #[must_use]
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self(share))
    }

    /// The share as a number from 0 to 1.
    #[must_use]
    pub const fn value(self) -> f64 {
        self.0
    }

    /// So many of `all`, rounded up.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "plans have far fewer than 2^52 tasks"
    )]
    pub fn of(self, all: usize) -> usize {
        (self.0 * all as f64).ceil() as usize
    }
}
