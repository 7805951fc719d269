//! What is due: which jobs may begin, and how often one is asked for again.

use std::sync::Arc;

use bellwether_core::{TaskId, TaskState, Timestamp};

use super::{Attempt, Event, Record, Rules, State};
use crate::context;
use crate::message::Job;

impl State {
    /// What to begin now: as many jobs as there is room for, the most urgent first.
    pub(crate) fn jobs(&self) -> Vec<Job> {
        let room = self.rules.max_parallel.saturating_sub(self.in_flight.len());
        if self.parked || room == 0 {
            return Vec::new();
        }
        if let Some(stop) = &self.stop {
            // Digests would be paid with what is held back for the whole; excerpts will do.
            let due = stop.leaves_the_whole() && self.wants_whole();
            return if due { vec![Job::Combine] } else { Vec::new() };
        }
        if self.plan.is_none() {
            let wanted = self.rules.planned && self.in_flight.is_empty();
            return if wanted { vec![Job::Plan] } else { Vec::new() };
        }
        match self.rules.combined.filter(|_| self.wants_whole()) {
            None => {
                let mut due = self.in_order(room);
                due.extend(self.audits(room.saturating_sub(due.len())));
                self.staffed(due, room)
            }
            Some(window) => {
                let planned = (0..self.tasks.len()).filter(|n| self.tasks[*n].parent.is_none());
                let due = self.staffed(self.digests(planned, window), room);
                if due.is_empty() { vec![Job::Combine] } else { due }
            }
        }
    }

    /// What a task needs next, if its time has come.
    pub(super) fn next_of(&self, record: &Record) -> Option<Job> {
        let (task, round) = (record.planned.id.clone(), record.round);
        match record.state {
            TaskState::Produced if self.rules.checked && !record.is_checked() => Some(Job::Check { task, round }),
            TaskState::Produced | TaskState::InReview => Some(Job::Review { task, round }),
            TaskState::Running | TaskState::Revising => Some(record.to_answer().unwrap_or(Job::Work { task, round })),
            TaskState::Pending if self.is_ready(record) => {
                let due = self.digests(record.waits_for(), self.window(record));
                match due.into_iter().next() {
                    None => Some(record.to_answer().unwrap_or(Job::Work { task, round })),
                    Some(digest) => (!self.in_flight.contains(&digest)).then_some(digest),
                }
            }
            _ => None,
        }
    }

    /// Whether all parts are at rest, there is work among them, and nobody has made one whole of them yet.
    fn wants_whole(&self) -> bool {
        self.rules.combined.is_some()
            && self.whole.is_none()
            && self.only_audits()
            && self.planned().count() > 1
            && self.tasks.iter().all(|task| task.state.is_final())
            && self.tasks.iter().any(|task| task.best().is_some())
    }

    /// Whether a job may be asked for once more after an answer that could not be used.
    pub(crate) fn may_ask_again(&self, job: &Job) -> bool {
        let asked = u32::try_from(self.unusable(job).len()).unwrap_or(u32::MAX).saturating_add(1);
        let most = match job {
            Job::Plan => 1 + self.rules.plan_repairs + u32::from(self.rules.plan_tiers > 1),
            _ => self.rules.max_attempts,
        };
        asked < most
    }

    /// The tier that a plan is asked for on: once repairs on the first one are used up, the next one.
    pub(crate) fn plan_tier(&self) -> usize {
        usize::from(self.unusable.len() > self.rules.plan_repairs as usize)
    }

    /// How often a job was asked for before, of whomever: with the job it names a call.
    pub(crate) fn attempt(&self, job: &Job) -> u32 {
        let unusable = u32::try_from(self.unusable(job).len()).unwrap_or(u32::MAX);
        let before = match job {
            Job::Review { task, .. } => {
                self.task(task).map_or(0, |record| record.tried + record.deaf_judges + record.overflows)
            }
            Job::Work { task, .. } => {
                self.task(task).map_or(0, |record| record.tried + record.overflows + record.interludes())
            }
            Job::Combine | Job::Plan => {
                self.tried.saturating_add(self.wholes).saturating_mul(self.rules.plan_repairs.saturating_add(2))
            }
            Job::Digest { task } => self.task(task).map_or(0, Record::digests),
            _ => 0,
        };
        before.saturating_mul(self.rules.max_attempts).saturating_add(unusable)
    }

    /// The answers to a job that could not be used.
    pub(crate) fn unusable(&self, job: &Job) -> &[Attempt] {
        match job.task() {
            Some(task) => self.task(task).map_or(&[], |record| record.unusable(job)),
            None => &self.unusable,
        }
    }

    /// The first task for nobody of a team that would be taken up by a resume under these rules, and its role.
    pub(crate) fn nobodys(&self, rules: Rules, is_there: impl Fn(&str) -> bool) -> Option<(Arc<str>, TaskId)> {
        let mut resumed = self.clone();
        resumed.apply(Event::Adopted { rules: Box::new(rules) }, Timestamp::ZERO);
        resumed.apply(Event::Resumed, Timestamp::ZERO);
        let open = resumed.tasks.iter().filter(|record| !record.state.is_final());
        let of = |record: &Record| (Arc::clone(&record.planned.role), record.planned.id.clone());
        open.map(of).find(|(role, _)| !is_there(role))
    }

    /// Whether nothing is under way and nothing will begin.
    pub(crate) fn is_over(&self) -> bool {
        self.in_flight.is_empty() && self.jobs().is_empty()
    }

    /// The least room that a task's role has for a conversation, in tokens.
    fn window(&self, record: &Record) -> usize {
        let tiers = self.rules.windows.get(&record.planned.role);
        tiers.and_then(|windows| windows.iter().copied().min()).unwrap_or(usize::MAX)
    }

    /// Digests that have to be asked for before the work of these tasks can be handed on in a window.
    fn digests(&self, needed: impl Iterator<Item = usize>, window: usize) -> Vec<Job> {
        let needed = needed.map(|n| &self.tasks[n]).filter(|record| record.is_of_use());
        let needed: Vec<&Record> = needed.collect();
        let lengths: Vec<usize> = needed.iter().map(|record| record.length()).collect();
        let shares = context::shares(&lengths, window);
        let long = needed.iter().zip(lengths.iter().zip(shares)).filter(|(_, (length, share))| share < length);
        let due = long.filter(|(record, _)| record.best().is_some_and(|best| best.digest.is_none()));
        due.map(|(record, _)| Job::Digest { task: record.planned.id.clone() }).collect()
    }

    fn is_ready(&self, record: &Record) -> bool {
        let joined = record.offspring.as_ref().is_none_or(|offspring| offspring.met == Some(true));
        joined && record.needs.iter().chain(&record.wants).all(|needed| self.tasks[*needed].state.is_final())
    }
}
