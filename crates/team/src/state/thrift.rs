//! How a state changes when its run steps down because of its budget.

use bellwether_core::TaskState;

use super::{Moves, Record, State};
use crate::economy::Economy;
use crate::message::{Job, Spent};
use crate::report::Failure;

impl State {
    /// The present step down, if there is one.
    pub(crate) const fn economy(&self) -> Option<Economy> {
        self.economy
    }

    /// Every step that was taken, in order, over all processes that worked on the run.
    pub(crate) fn economies(&self) -> &[Economy] {
        &self.economies
    }

    /// Steps down; the job that was refused is to be begun anew.
    pub(super) fn economise(&mut self, job: &Job, economy: Economy, spent: Spent, moves: &mut Moves) {
        self.land(job);
        if self.economy < Some(economy) {
            self.economy = Some(economy);
            self.economies.push(economy);
        }
        match job.task().and_then(|task| self.find(task)) {
            Some(n) => {
                self.tasks[n].leave_unpaid();
                self.tasks[n].spent += spent;
            }
            None => self.planning += spent,
        }
        if economy == Economy::NoReview {
            self.give_up_reviews(moves);
        }
    }

    /// Whether work is still reviewed.
    pub(super) fn reviews(&self) -> bool {
        self.rules.judges > 0 && self.economy < Some(Economy::NoReview)
    }

    /// Whether a task is not what it could be because a budget did not cover it.
    pub(super) fn is_short_of_budget(&self) -> bool {
        let unreviewed = |record: &Record| record.state == TaskState::Unreviewed && record.failure.is_none();
        // A spawned task that was refused counts only if its parent's join could not do without it.
        let counts = |record: &Record| record.parent.is_none();
        let refused = |record: &Record| counts(record) && record.failure.as_ref().is_some_and(Failure::is_about_money);
        let skipped = self.economy >= Some(Economy::NoReview);
        self.tasks.iter().any(|record| refused(record) || skipped && unreviewed(record))
    }

    fn give_up_reviews(&mut self, moves: &mut Moves) {
        for n in 0..self.tasks.len() {
            let record = &mut self.tasks[n];
            let checks = self.rules.checked && record.drafts.last().is_some_and(|draft| draft.checks.is_none());
            let held = self.in_flight.iter().any(|job| job.task() == Some(&record.planned.id));
            if !held && !checks && matches!(record.state, TaskState::Produced | TaskState::InReview) {
                moves.make(n, record, TaskState::Unreviewed);
            }
        }
    }
}
