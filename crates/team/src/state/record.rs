//! What is known of a task: its drafts, what was said of them, what they took.

use bellwether_core::{TaskState, Timestamp};
use bellwether_router::Route;

use super::event::Attempt;
use super::stint::Stint;
use crate::message::Spent;
use crate::plan::PlannedTask;
use crate::report::Failure;
use crate::verdict::{Issue, Verdict};

/// What is known of a task.
#[derive(Debug, PartialEq)]
pub(crate) struct Record {
    /// What was planned.
    pub(crate) planned: PlannedTask,
    /// Where it is.
    pub(crate) state: TaskState,
    /// The review round, counted from 0.
    pub(crate) round: u32,
    /// The work of each round.
    pub(crate) drafts: Vec<Draft>,
    /// The tier it is worked on.
    pub(crate) tier: usize,
    /// Why it started on the tier it did.
    pub(crate) route: Option<Route>,
    /// The tiers it was on, in order.
    pub(crate) stints: Vec<Stint>,
    /// What it took.
    pub(crate) spent: Spent,
    /// The part of it that went into verdicts.
    pub(crate) judging: Spent,
    /// Answers to its current job that could not be used.
    pub(crate) unusable: Vec<Attempt>,
    /// Why it, or its review, came to nothing.
    pub(crate) failure: Option<Failure>,
    /// When the first agent began.
    pub(crate) began: Option<Timestamp>,
    /// When it came to rest.
    pub(crate) ended: Option<Timestamp>,
}

/// The work of one round.
#[derive(Debug, PartialEq)]
pub(crate) struct Draft {
    /// The work.
    pub(crate) text: String,
    /// What the reviewer said of it.
    pub(crate) verdict: Option<Verdict>,
}

impl Record {
    pub(super) const fn new(planned: PlannedTask) -> Self {
        Self {
            planned,
            state: TaskState::Pending,
            round: 0,
            drafts: Vec::new(),
            tier: 0,
            route: None,
            stints: Vec::new(),
            spent: Spent::ZERO,
            judging: Spent::ZERO,
            unusable: Vec::new(),
            failure: None,
            began: None,
            ended: None,
        }
    }

    /// Goes back to where it was before the run was stopped, if that is why it came to rest.
    pub(super) fn resume(&mut self, max_rounds: u32) {
        if self.failure.as_ref().is_some_and(Failure::is_hopeless) {
            self.failure = None;
        } else if self.failure.is_some() {
            return;
        }
        let judged = self.drafts.last().map(|draft| draft.verdict.is_some());
        let behind = u32::try_from(self.drafts.len()).unwrap_or(u32::MAX) <= self.round;
        let state = match (self.state, judged) {
            (TaskState::Cancelled | TaskState::Failed | TaskState::Skipped, _) => TaskState::Pending,
            (TaskState::Unreviewed, Some(false)) => TaskState::Produced,
            (TaskState::Rejected, Some(true)) if behind => TaskState::Revising,
            (TaskState::Rejected, Some(true)) if self.round < max_rounds => {
                self.round += 1;
                TaskState::Revising
            }
            (state, _) => state,
        };
        if state != self.state {
            self.state = state;
            self.ended = None;
        }
    }

    /// The work to keep: the best judged one, and of equals the latest. Work that nobody could judge is kept if it is
    /// the latest.
    pub(crate) fn best(&self) -> Option<&Draft> {
        let latest = self.drafts.last()?;
        if latest.verdict.is_none() {
            return Some(latest);
        }
        let score = |draft: &Draft| draft.verdict.as_ref().map_or(-1.0, |verdict| verdict.score);
        self.drafts.iter().max_by(|a, b| score(a).total_cmp(&score(b)))
    }

    /// The issues that the latest verdict left open.
    pub(crate) fn open_issues(&self) -> &[Issue] {
        let verdict = self.drafts.iter().rev().find_map(|draft| draft.verdict.as_ref());
        verdict.map_or(&[], |verdict| &verdict.issues)
    }
}
