//! A share of what judges accepted is judged again by the best of them, so that a judge who errs is found out.
//!
//! Nobody waits for an audit: it begins when an agent has nothing else to do, changes nothing about the task, and is
//! left out as soon as the budget runs low.

use bellwether_core::{TaskId, TaskState};
use serde::{Deserialize, Serialize};

use super::{Record, State};
use crate::message::{Job, Spent};
use crate::review::convergence;
use crate::verdict::Verdict;

/// What came of an audit.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Audited {
    /// The second judge accepts the work, too.
    Agreed,
    /// It would not have.
    Disagreed,
    /// No judge came to a verdict.
    Nobody,
}

impl State {
    /// The audits that may begin, at most so many.
    pub(super) fn audits(&self, room: usize) -> impl Iterator<Item = Job> {
        let idle = self.economy.is_none() && self.stop.is_none() && self.rules.judges > 0;
        let tasks = self.tasks.iter().filter(move |record| idle && record.wants_audit());
        let audits = tasks.map(|record| Job::Audit { task: record.planned.id.clone() });
        audits.filter(|audit| !self.in_flight.contains(audit)).take(room)
    }

    /// Whether nothing but audits is under way.
    pub(super) fn only_audits(&self) -> bool {
        self.in_flight.iter().all(|job| matches!(job, Job::Audit { .. }))
    }

    pub(super) fn take_audit(&mut self, task: &TaskId, verdict: Option<&Verdict>, spent: Spent) {
        let Some(n) = self.find(task) else { return };
        let job = Job::Audit { task: task.clone() };
        let rules = self.rules.review;
        let record = &mut self.tasks[n];
        record.spent += spent;
        record.judging += spent;
        record.unusable_mut(&job).clear();
        record.audited = Some(match verdict {
            Some(verdict) if convergence::is_accepted(verdict, &rules) => Audited::Agreed,
            Some(_) => Audited::Disagreed,
            None => Audited::Nobody,
        });
        self.land(&job);
    }
}

impl Record {
    /// Whether its acceptance was drawn for an audit that has not been made: only a judge's word is audited.
    fn wants_audit(&self) -> bool {
        let judged =
            self.drafts.last().and_then(|draft| draft.verdict.as_ref()).is_some_and(|verdict| !verdict.by_checks);
        let drawn = self.route.as_ref().is_some_and(|route| route.audit);
        self.state == TaskState::Accepted && judged && drawn && !self.ruled && self.audited.is_none()
    }
}
