//! A job from its begin to its end: who holds it, what it took, and what became of its task.

use bellwether_core::{ErrorKind, TaskId, TaskState};

use super::{Attempt, Digest, Draft, Moves, Record, State, Stop, order};
use crate::message::{Job, Spent};
use crate::plan::Plan;
use crate::report::Failure;
use crate::review::Finding;
use crate::verdict::Verdict;

impl State {
    pub(super) fn begin(&mut self, job: Job, tier: usize, moves: &mut Moves) {
        if let Some(n) = job.task().and_then(|task| self.find(task)) {
            let record = &mut self.tasks[n];
            record.held |= job.holds();
            match job {
                Job::Answer { .. }
                | Job::Audit { .. }
                | Job::Check { .. }
                | Job::Combine
                | Job::Digest { .. }
                | Job::Plan => {}
                Job::Review { .. } => {
                    record.judge = tier;
                    moves.make(n, record, TaskState::InReview);
                }
                Job::Work { .. } => {
                    record.tier = tier;
                    record.enter(tier, moves.at);
                    moves.make(n, record, TaskState::Running);
                }
            }
        }
        self.in_flight.push(job);
    }

    pub(super) fn land(&mut self, job: &Job) {
        if let Some(at) = self.in_flight.iter().position(|other| other == job) {
            self.in_flight.remove(at);
        }
        if let Some(n) = job.task().filter(|_| job.holds()).and_then(|task| self.find(task)) {
            self.tasks[n].held = false;
        }
    }

    /// Whoever did a job was stopped in the middle of it.
    pub(super) fn drop_job(&mut self, job: &Job, moves: &mut Moves) {
        self.land(job);
        self.charge_doubtful(job);
        if let Some(n) = job.task().filter(|_| job.holds()).and_then(|task| self.find(task)) {
            self.give_up(n, moves);
        }
    }

    /// Counts a call of which nobody knows whether it was answered: it may be billed.
    pub(super) fn charge_doubtful(&mut self, job: &Job) {
        if !job.is_paid() {
            return;
        }
        self.charge(job, Spent { calls: 1, unpriced: 1, ..Spent::ZERO });
    }

    pub(super) fn charge(&mut self, job: &Job, spent: Spent) {
        match job.task().and_then(|task| self.find(task)) {
            Some(n) => self.tasks[n].spent += spent,
            None => self.planning += spent,
        }
    }

    pub(super) fn ask_again(&mut self, job: &Job, attempt: Attempt, spent: Spent, moves: &mut Moves) {
        self.land(job);
        match job.task().and_then(|task| self.find(task)) {
            Some(n) => {
                self.tasks[n].spent += spent;
                self.tasks[n].unusable_mut(job).push(attempt);
            }
            None => {
                self.planning += spent;
                self.unusable.push(attempt);
            }
        }
        // In a run that is stopped, a resume asks again.
        self.rest_if_stopped(moves);
    }

    pub(super) fn take_plan(&mut self, plan: Plan, moves: &mut Moves) {
        self.unusable.clear();
        self.tasks = plan.tasks.iter().cloned().map(Record::new).collect();
        self.find_places();
        order::place(&mut self.tasks, &self.places);
        self.plan = Some(plan);
        (0..self.tasks.len()).for_each(|task| moves.add(task));
        if self.stop.is_some() {
            self.give_up_waiting(moves);
        }
    }

    pub(super) fn take_digest(&mut self, job: &Job, text: Option<String>, spent: Spent) {
        let Some(n) = job.task().and_then(|task| self.find(task)) else { return };
        let record = &mut self.tasks[n];
        record.spent += spent;
        record.unusable_mut(job).clear();
        let digest = Some(text.map_or(Digest::Nobody, Digest::Text));
        record.best_mut().into_iter().for_each(|draft| draft.digest.clone_from(&digest));
    }

    pub(super) fn produce(&mut self, task: &TaskId, text: String, spent: Spent, moves: &mut Moves) {
        let Some(n) = self.find(task) else { return };
        let (checked, reviewed) = (self.rules.checked, self.rules.judges > 0);
        // Checks cost nothing, so they are made even if nobody reviews.
        let unreviewed = self.stop.is_some() || !self.reviews() && !checked;
        let record = &mut self.tasks[n];
        let job = Job::Work { task: task.clone(), round: record.round };
        record.spent += spent;
        record.unusable.clear();
        record.deaf_judges = 0;
        record.overflows = 0;
        // Who hands in the same work again gets the same answer, and nobody is paid for it.
        let known = record.drafts.iter().find(|draft| draft.text == text).and_then(|draft| draft.verdict.clone());
        record.drafts.push(Draft { text, checks: None, verdict: None, note: None, digest: None });
        moves.make(n, record, TaskState::Produced);
        if let Some(verdict) = known {
            self.weigh(n, verdict, moves);
        } else if !checked && !reviewed {
            moves.make(n, record, TaskState::Accepted);
        } else if unreviewed {
            moves.make(n, record, TaskState::Unreviewed);
        }
        self.land(&job);
    }

    pub(super) fn check(&mut self, task: &TaskId, findings: Vec<Finding>, moves: &mut Moves) {
        let Some(n) = self.find(task) else { return };
        let unreviewed = self.stop.is_some() || !self.reviews();
        let record = &mut self.tasks[n];
        let job = Job::Check { task: task.clone(), round: record.round };
        let verdict = Verdict::from_checks(&findings);
        if let Some(draft) = record.drafts.last_mut() {
            draft.checks = Some(findings);
        }
        if let Some(verdict) = verdict {
            self.weigh(n, verdict, moves);
        } else if self.rules.judges == 0 {
            moves.make(n, record, TaskState::Accepted);
        } else if unreviewed {
            moves.make(n, record, TaskState::Unreviewed);
        }
        self.land(&job);
    }

    pub(super) fn judge(&mut self, task: &TaskId, verdict: Verdict, spent: Spent, moves: &mut Moves) {
        let Some(n) = self.find(task) else { return };
        let record = &mut self.tasks[n];
        let job = Job::Review { task: task.clone(), round: record.round };
        record.spent += spent;
        record.judging += spent;
        record.unusable.clear();
        record.overflows = 0;
        self.weigh(n, verdict, moves);
        self.land(&job);
    }

    /// Draws the consequence of a verdict on a task's latest work.
    fn weigh(&mut self, n: usize, verdict: Verdict, moves: &mut Moves) {
        let stopped = self.stop.is_some();
        let record = &mut self.tasks[n];
        record.hear(verdict, self.rules.review.freeze_scope);
        let to =
            if stopped && !record.is_accepted(&self.rules) { TaskState::Rejected } else { record.go_on(&self.rules) };
        moves.make(n, record, to);
        if to == TaskState::Failed {
            self.skip_dependents(moves);
        }
    }

    pub(super) fn fail(&mut self, job: &Job, failure: Failure, spent: Spent, moves: &mut Moves) {
        self.land(job);
        let (hopeless, out_of_time) = (failure.is_hopeless(), failure.is_out_of_time());
        match job.task().and_then(|task| self.find(task)) {
            // Once the run goes on it is asked for again.
            Some(n) if (hopeless || out_of_time) && matches!(job, Job::Answer { .. } | Job::Digest { .. }) => {
                self.tasks[n].spent += spent;
            }
            // Those who need it get an excerpt.
            Some(_) if matches!(job, Job::Digest { .. }) => self.take_digest(job, None, spent),
            // An audit that fails, be it for want of money, is no reason to stop.
            Some(n) if matches!(job, Job::Audit { .. }) => {
                let task = self.tasks[n].planned.id.clone();
                return self.take_audit(&task, None, spent);
            }
            // Who asked is told that nobody answers.
            Some(n) if matches!(job, Job::Answer { .. }) => {
                let task = self.tasks[n].planned.id.clone();
                self.answer(&task, Err(failure.message.clone()), spent, moves);
            }
            Some(n) => {
                let record = &mut self.tasks[n];
                record.spent += spent;
                let overflown = failure.provider == Some(ErrorKind::ContextLength);
                if overflown && record.make_room(job, self.rules.windows.get(&record.planned.role)) {
                    return self.rest_if_stopped(moves);
                }
                if matches!(job, Job::Review { .. }) && !hopeless && !out_of_time {
                    record.deaf_judges += 1;
                    record.unusable.clear();
                    if record.deaf_judges < self.rules.judges {
                        moves.make(n, record, TaskState::Produced);
                        return self.rest_if_stopped(moves);
                    }
                }
                record.failure = Some(failure.clone());
                let to = match job {
                    Job::Check { .. } | Job::Review { .. } => TaskState::Unreviewed,
                    _ if record.drafts.is_empty() => TaskState::Failed,
                    _ => TaskState::Rejected,
                };
                moves.make(n, record, to);
                if to == TaskState::Failed {
                    self.skip_dependents(moves);
                }
            }
            None => {
                self.planning += spent;
                if *job == Job::Combine {
                    self.whole = Some(Err(failure.clone()));
                }
            }
        }
        if out_of_time {
            self.halt(Stop::Deadline, moves);
        } else if hopeless || *job == Job::Plan {
            self.halt(Stop::Hopeless(failure), moves);
        }
    }
}
