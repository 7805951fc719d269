//! Which job goes first: the one at the head of the longest way that is left (upward rank, as in HEFT: Topcuoglu, Hariri
//! and Wu 2002), of equals the one that is furthest along.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use bellwether_core::{TaskId, TaskState};

use super::{Record, State};
use crate::message::Job;
use crate::plan::PlannedTask;

/// What a step is taken to cost beside its output, in tokens: being asked, and being reviewed.
const STEP_TOKENS: u64 = 400;
/// How much output a degree of complexity stands for, if the planner expects nothing.
const TOKENS_PER_DEGREE: u64 = 400;

/// How many tokens a task is taken to make.
pub(crate) fn expected_tokens(task: &PlannedTask) -> u64 {
    task.est_output_tokens.unwrap_or_else(|| u64::from(task.complexity) * TOKENS_PER_DEGREE)
}

/// Finds for every task whom it waits for, how long the way from it to the end is, and how many stand before it.
pub(super) fn place(tasks: &mut [Record], places: &HashMap<TaskId, usize>) {
    for record in tasks.iter_mut() {
        let of = |ids: &[TaskId]| ids.iter().filter_map(|id| places.get(id).copied()).collect();
        record.needs = of(&record.planned.depends_on);
        record.wants = of(&record.planned.wants);
    }
    let before: Vec<Vec<usize>> = tasks.iter().map(|record| record.waits_for().collect()).collect();
    let mut followers = vec![Vec::new(); tasks.len()];
    let mut left: Vec<usize> = before.iter().map(Vec::len).collect();
    for (n, before) in before.iter().enumerate() {
        before.iter().for_each(|needed| followers[*needed].push(n));
    }
    let mut order: Vec<usize> = (0..tasks.len()).filter(|n| left[*n] == 0).collect();
    let mut at = 0;
    while let Some(&n) = order.get(at) {
        at += 1;
        tasks[n].level = before[n].iter().map(|needed| tasks[*needed].level + 1).max().unwrap_or_default();
        for &follower in &followers[n] {
            left[follower] -= 1;
            if left[follower] == 0 {
                order.push(follower);
            }
        }
    }
    for n in order.into_iter().rev() {
        let behind = followers[n].iter().map(|follower| tasks[*follower].rank).max().unwrap_or_default();
        tasks[n].rank = behind.saturating_add(STEP_TOKENS).saturating_add(expected_tokens(&tasks[n].planned));
    }
}

impl State {
    /// Of these jobs, the first for which there are agents, at most so many. Who has no agent free does not stand in the way
    /// of others: a job that began and waits for one would keep a place for nothing.
    pub(super) fn staffed(&self, mut jobs: Vec<Job>, room: usize) -> Vec<Job> {
        if self.rules.instances.is_empty() {
            jobs.truncate(room);
            return jobs;
        }
        let mut free = self.rules.instances.clone();
        let mut take = |job: &Job| match self.doer(job).and_then(|role| free.get_mut(role)) {
            Some(0) => false,
            Some(agents) => {
                *agents -= 1;
                true
            }
            None => true,
        };
        self.in_flight.iter().for_each(|job| _ = take(job));
        jobs.into_iter().filter(take).take(room).collect()
    }

    /// The role whose agents do a job, as far as there may be too few of them for all jobs of its kind.
    pub(super) fn doer(&self, job: &Job) -> Option<&str> {
        let of = |task| self.task(task).map(|record| &*record.planned.role);
        match job {
            Job::Answer { task, .. } => {
                let to = &self.task(task)?.asked.last()?.question.to;
                of(&to.as_str().into()).or(Some(to))
            }
            Job::Audit { .. } | Job::Review { .. } => self.rules.judge.as_deref(),
            Job::Digest { task } | Job::Work { task, .. } => of(task),
            Job::Check { .. } | Job::Combine | Job::Plan => None,
        }
    }

    /// The jobs that may begin, the most urgent first; as many as there is room for, unless some may have no agent.
    pub(super) fn in_order(&self, room: usize) -> Vec<Job> {
        let now = if self.rules.pipelined { None } else { self.phase() };
        let allowed = |record: &Record| {
            now.is_none_or(|(level, judging)| record.level == level && judging == is_judging(record.state))
        };
        let ready = self.tasks.iter().enumerate().filter(|(_, record)| !record.held && allowed(record));
        let mut jobs: Vec<_> = ready
            .filter_map(|(n, record)| Some(((Reverse(record.rank), progress(record.state), n), self.next_of(record)?)))
            .collect();
        // Several tasks may wait for the same digest.
        let mut digests = HashSet::new();
        jobs.retain(|(_, job)| !matches!(job, Job::Digest { .. }) || digests.insert(job.clone()));
        if jobs.len() > room && self.rules.instances.is_empty() {
            jobs.select_nth_unstable_by_key(room, |(key, _)| *key);
            jobs.truncate(room);
        }
        jobs.sort_unstable_by_key(|(key, _)| *key);
        jobs.into_iter().map(|(_, job)| job).collect()
    }

    /// With strict phases: the row of the plan that is worked on, and whether it is being judged.
    fn phase(&self) -> Option<(usize, bool)> {
        let open = || self.tasks.iter().filter(|record| !record.state.is_final());
        let level = open().map(|record| record.level).min()?;
        let here = || open().filter(|record| record.level == level);
        let working = here().any(|record| matches!(record.state, TaskState::Pending | TaskState::Running));
        Some((level, !working && here().any(|record| is_judging(record.state))))
    }
}

const fn is_judging(state: TaskState) -> bool {
    matches!(state, TaskState::InReview | TaskState::Produced)
}

/// What has begun goes before what has not, and what is furthest along goes first.
const fn progress(state: TaskState) -> u8 {
    match state {
        TaskState::InReview => 0,
        TaskState::Running => 1,
        TaskState::Produced => 2,
        TaskState::Revising => 3,
        _ => 4,
    }
}
