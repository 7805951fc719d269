//! What a run keeps to. Its journal says which rules were in force when, so that a fold decides what was decided then.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::plan::SpawnRules;
use crate::review::{OnExhausted, ReviewRules};
use crate::role::RoleKind;
use crate::team::{OnTaskFailure, Team};

/// What a run keeps to.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Rules {
    /// The most jobs at once.
    pub(crate) max_parallel: usize,
    /// How often a job may be asked for until an answer can be used: at least once.
    pub(crate) max_attempts: u32,
    /// How often a planner is told what is wrong with its plan, on the same tier.
    pub(crate) plan_repairs: u32,
    /// How many tiers the planner has.
    pub(crate) plan_tiers: usize,
    /// What is good enough, and how often work may go back.
    pub(crate) review: ReviewRules,
    /// Whether a task begins as soon as it can; else the plan is worked through row by row, each in strict phases.
    pub(crate) pipelined: bool,
    /// What to do when a task comes to nothing.
    pub(crate) on_failure: OnTaskFailure,
    /// How many tokens a conversation may have in which the parts are made one whole; `None` if nobody does that.
    pub(crate) combined: Option<usize>,
    /// How far tasks may ask for further ones.
    #[serde(default)]
    pub(crate) spawn: SpawnRules,
    /// How many questions a task may ask.
    #[serde(default)]
    pub(crate) max_questions: u32,
    /// Whether there is a planner.
    pub(crate) planned: bool,
    /// Whether there are checks.
    pub(crate) checked: bool,
    /// How many judges a piece of work may be shown to until one comes to a verdict; 0 without a reviewer.
    pub(crate) judges: u32,
    /// How many tokens a conversation of each role may have, on each of its tiers.
    pub(crate) windows: BTreeMap<Arc<str>, Vec<usize>>,
    /// How many agents of each role may be at work at once, where that is fewer than of all together.
    #[serde(default)]
    pub(crate) instances: BTreeMap<Arc<str>, usize>,
    /// The role that judges.
    #[serde(default)]
    pub(crate) judge: Option<Arc<str>>,
}

impl Rules {
    /// What a team's runs keep to from now on.
    pub(crate) fn of(team: &Team) -> Self {
        let mut settings = team.settings;
        if team.journal.is_none() && settings.review.on_exhausted == OnExhausted::Human {
            settings.review.on_exhausted = OnExhausted::AcceptBest;
        }
        let reviewer = team.role(RoleKind::Reviewer);
        let narrow = team.roles().filter(|role| role.instances < settings.max_parallel);
        Self {
            max_parallel: settings.max_parallel.get(),
            max_attempts: settings.max_attempts,
            plan_repairs: settings.plan_repairs,
            plan_tiers: team.role(RoleKind::Planner).map_or(0, |role| role.tiers.len()),
            review: settings.review,
            pipelined: settings.pipelined,
            on_failure: settings.on_task_failure,
            combined: team.role(RoleKind::Synthesizer).map(|role| role.window(0)),
            spawn: settings.spawn,
            max_questions: settings.max_questions,
            planned: team.role(RoleKind::Planner).is_some(),
            checked: !team.checks.is_empty(),
            judges: reviewer.map_or(0, |role| u32::try_from(role.tiers.len()).unwrap_or(u32::MAX)),
            windows: team.roles().map(|role| (Arc::clone(&role.name), role.windows())).collect(),
            instances: narrow.map(|role| (Arc::clone(&role.name), role.instances.get())).collect(),
            judge: reviewer.map(|role| Arc::clone(&role.name)),
        }
    }
}
