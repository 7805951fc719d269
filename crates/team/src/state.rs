//! A run as a fold over what happened: [`State::apply`] takes an event in, [`State::jobs`] says what to do next.
//!
//! It decides and does nothing itself: no clock, no channel, no provider. The protocol:
//!
//! 1. Begin with [`Event::Planned`], or let [`State::jobs`] ask for a plan.
//! 2. Begin each job it names and say so with [`Event::Began`]; then tell what became of it.
//! 3. Ask again, until [`State::is_over`].

mod ask;
pub(crate) mod audit;
mod ending;
pub(crate) mod event;
pub(crate) mod order;
mod person;
mod record;
mod rules;
pub(crate) mod snapshot;
mod spawn;
mod stint;
mod thrift;

use std::collections::HashMap;

use bellwether_core::{ErrorKind, TaskId, TaskState, Timestamp};
use serde::{Deserialize, Serialize};

use crate::context;
use crate::economy::Economy;
use crate::message::{Job, Spent};
use crate::plan::Plan;
use crate::question::DeadLetter;
use crate::report::Failure;
use crate::review::convergence::{self, Next};
use crate::review::{Finding, OnExhausted};
use crate::verdict::Verdict;

pub(crate) use event::{Attempt, Event, Stop};
pub(crate) use record::{Digest, Draft, Record};
pub(crate) use rules::Rules;

/// Where a run is.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct State {
    rules: Rules,
    plan: Option<Plan>,
    tasks: Vec<Record>,
    /// Where each task is among `tasks`.
    #[serde(skip)]
    places: HashMap<TaskId, usize>,
    in_flight: Vec<Job>,
    /// Whether somebody has to agree to the plan before anything else is done.
    parked: bool,
    /// Whether there ever were tasks whom nobody needed any more.
    dismisses: bool,
    /// What became of the parts as one whole.
    whole: Option<Result<String, Failure>>,
    stop: Option<Stop>,
    planning: Spent,
    /// Answers to the current job of the run as a whole that could not be used.
    unusable: Vec<Attempt>,
    /// Calls that were under way when a process ended, and are made again.
    doubtful: u32,
    /// How often nothing came in for too long.
    stalls: u32,
    /// What the run does without because of its budget.
    economy: Option<Economy>,
    economies: Vec<Economy>,
    /// Messages that reached nobody.
    dead_letters: Vec<DeadLetter>,
}

/// A task went from one state to another.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Move {
    /// The task's index in the plan.
    pub(crate) task: usize,
    /// Where it was.
    pub(crate) from: Option<TaskState>,
    /// Where it is.
    pub(crate) to: TaskState,
}

// === impl State ===

impl State {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            plan: None,
            tasks: Vec::new(),
            places: HashMap::new(),
            parked: false,
            dismisses: false,
            whole: None,
            in_flight: Vec::new(),
            stop: None,
            planning: Spent::ZERO,
            unusable: Vec::new(),
            doubtful: 0,
            stalls: 0,
            economy: None,
            economies: Vec::new(),
            dead_letters: Vec::new(),
        }
    }

    /// Takes in what happened at `at`, and says which tasks moved.
    pub(crate) fn apply(&mut self, event: Event, at: Timestamp) -> Vec<Move> {
        let mut moves = Moves { at, made: Vec::new() };
        match event {
            Event::Adopted { rules } => self.rules = *rules,
            Event::Answered { task, text, spent } => self.answer(&task, Ok(text), spent, &mut moves),
            Event::Asked { task, question, spent } => self.ask(&task, question, spent, &mut moves),
            Event::Audited { task, verdict, spent } => self.take_audit(&task, Some(&verdict), spent),
            Event::Began { job, tier } => self.begin(job, tier, &mut moves),
            Event::CalledOff { job, spent } => {
                self.land(&job);
                self.charge(&job, spent);
            }
            Event::Checked { task, findings } => self.check(&task, findings, &mut moves),
            Event::Combined { text, spent } => {
                self.land(&Job::Combine);
                self.planning += spent;
                self.whole = Some(Ok(text));
            }
            Event::Digested { task, text, spent } => {
                let job = Job::Digest { task };
                self.land(&job);
                self.take_digest(&job, Some(text), spent);
            }
            Event::Decided { ruling } => self.decide(ruling, &mut moves),
            Event::Dropped { job } => {
                self.land(&job);
                self.charge_doubtful(&job);
                let moved = !matches!(job, Job::Audit { .. } | Job::Digest { .. });
                if let Some(n) = job.task().filter(|_| moved).and_then(|task| self.find(task)) {
                    self.give_up(n, &mut moves);
                }
            }
            Event::Economised { job, economy, spent } => self.economise(&job, economy, spent, &mut moves),
            Event::Failed { job, failure, spent } => self.fail(&job, failure, spent, &mut moves),
            Event::Joined { task, met, dismissed } => self.join(&task, met, &dismissed, &mut moves),
            Event::Judged { task, verdict, spent } => self.judge(&task, verdict, spent, &mut moves),
            Event::Planned { plan, spent, approval } => {
                self.land(&Job::Plan);
                self.planning += spent;
                self.parked = approval;
                self.take_plan(plan, &mut moves);
            }
            Event::Produced { task, text, spent } => self.produce(&task, text, spent, &mut moves),
            Event::Resumed => self.resume(at),
            Event::Routed { task, route } => {
                if let Some(n) = self.find(&task) {
                    self.tasks[n].route = Some(*route);
                }
            }
            Event::Ruled { task, ruling } => self.rule(&task, ruling, &mut moves),
            Event::Spawned { task, tasks, join, spent, .. } => self.spawn(&task, tasks, join, spent, &mut moves),
            Event::Stalled => self.stalls += 1,
            Event::Stopped { stop } => self.halt(stop, &mut moves),
            Event::Undelivered { letter } => self.bury(letter, &mut moves),
            Event::Unusable { job, attempt, spent } => self.ask_again(&job, attempt, spent),
        }
        self.call_off(&mut moves);
        if moves.made.iter().any(|moved| moved.to == TaskState::Failed) {
            self.weigh_failures(&mut moves);
        }
        moves.made
    }

    /// What to begin now: as many jobs as there is room for, the most urgent first.
    pub(crate) fn jobs(&self) -> Vec<Job> {
        let room = self.rules.max_parallel.saturating_sub(self.in_flight.len());
        if self.stop.is_some() || self.parked || room == 0 {
            return Vec::new();
        }
        if self.plan.is_none() {
            let wanted = self.rules.planned && self.in_flight.is_empty();
            return if wanted { vec![Job::Plan] } else { Vec::new() };
        }
        match self.rules.combined.filter(|_| self.wants_whole()) {
            None => {
                let mut due = self.in_order(room);
                due.extend(self.audits(room - due.len()));
                due
            }
            Some(window) => {
                let planned = (0..self.tasks.len()).filter(|n| self.tasks[*n].parent.is_none());
                let mut due = self.digests(planned, window);
                due.truncate(room);
                if due.is_empty() { vec![Job::Combine] } else { due }
            }
        }
    }

    /// What a task needs next, if its time has come.
    fn next_of(&self, record: &Record) -> Option<Job> {
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
        self.stop.is_none() && asked < most
    }

    /// The tier that a plan is asked for on: once repairs on the first one are used up, the next one.
    pub(crate) fn plan_tier(&self) -> usize {
        usize::from(self.unusable.len() > self.rules.plan_repairs as usize)
    }

    /// How often a job was asked for before, of whomever: with the job it names a call.
    pub(crate) fn attempt(&self, job: &Job) -> u32 {
        let unusable = u32::try_from(self.unusable(job).len()).unwrap_or(u32::MAX);
        let before = match job {
            Job::Review { task, .. } => self.task(task).map_or(0, |record| record.deaf_judges + record.overflows),
            Job::Work { task, .. } => self.task(task).map_or(0, |record| record.overflows + record.interludes()),
            _ => 0,
        };
        before.saturating_mul(self.rules.max_attempts).saturating_add(unusable)
    }

    /// The answers to a job that could not be used.
    pub(crate) fn unusable(&self, job: &Job) -> &[Attempt] {
        match job.task() {
            Some(task) => self.task(task).map_or(&[], |record| &record.unusable),
            None => &self.unusable,
        }
    }

    /// Whether nothing is under way and nothing will begin.
    pub(crate) fn is_over(&self) -> bool {
        self.in_flight.is_empty() && self.jobs().is_empty()
    }

    /// The plan, once there is one.
    pub(crate) const fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    /// Whether somebody has to agree to the plan.
    pub(crate) const fn is_parked(&self) -> bool {
        self.parked
    }

    /// The parts as one whole, or why there is none; `None` if nobody tried.
    pub(crate) const fn whole(&self) -> Option<&Result<String, Failure>> {
        self.whole.as_ref()
    }

    /// What the run keeps to.
    pub(crate) const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The tasks, in the plan's order.
    pub(crate) fn tasks(&self) -> &[Record] {
        &self.tasks
    }

    /// The task of this id.
    pub(crate) fn task(&self, id: &TaskId) -> Option<&Record> {
        self.find(id).map(|n| &self.tasks[n])
    }

    /// What is under way.
    pub(crate) fn in_flight(&self) -> &[Job] {
        &self.in_flight
    }

    /// Why no new job begins, if that is so.
    pub(crate) const fn stop(&self) -> Option<&Stop> {
        self.stop.as_ref()
    }

    /// Calls that were under way when a process ended, and may have been answered twice.
    pub(crate) const fn doubtful(&self) -> u32 {
        self.doubtful
    }

    /// How often nothing came in for longer than the team finds right.
    pub(crate) const fn stalls(&self) -> u32 {
        self.stalls
    }

    /// What the run took: planning, combining and all tasks.
    pub(crate) fn spent(&self) -> Spent {
        let mut sum = self.planning;
        for task in &self.tasks {
            sum += task.spent;
        }
        sum
    }

    fn find_places(&mut self) {
        self.places = self.tasks.iter().enumerate().map(|(n, record)| (record.planned.id.clone(), n)).collect();
    }

    fn find(&self, id: &TaskId) -> Option<usize> {
        self.places.get(id).copied()
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
        let due = long.filter(|(record, _)| record.digest.is_none());
        due.map(|(record, _)| Job::Digest { task: record.planned.id.clone() }).collect()
    }

    fn take_digest(&mut self, job: &Job, text: Option<String>, spent: Spent) {
        let Some(n) = job.task().and_then(|task| self.find(task)) else { return };
        let record = &mut self.tasks[n];
        record.spent += spent;
        record.unusable.clear();
        record.digest = Some(text.map_or(Digest::Nobody, Digest::Text));
    }

    fn is_ready(&self, record: &Record) -> bool {
        let joined = record.offspring.as_ref().is_none_or(|offspring| offspring.met == Some(true));
        joined && record.needs.iter().chain(&record.wants).all(|needed| self.tasks[*needed].state.is_final())
    }

    fn land(&mut self, job: &Job) {
        if let Some(at) = self.in_flight.iter().position(|other| other == job) {
            self.in_flight.remove(at);
        }
        if let Some(n) = job.task().and_then(|task| self.find(task)) {
            self.tasks[n].held = false;
        }
    }

    fn take_plan(&mut self, plan: Plan, moves: &mut Moves) {
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

    fn begin(&mut self, job: Job, tier: usize, moves: &mut Moves) {
        if let Some(n) = job.task().and_then(|task| self.find(task)) {
            let record = &mut self.tasks[n];
            record.held = true;
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

    /// Counts a call of which nobody knows whether it was answered: it may be billed.
    fn charge_doubtful(&mut self, job: &Job) {
        if !job.is_paid() {
            return;
        }
        self.charge(job, Spent { calls: 1, unpriced: 1, ..Spent::ZERO });
    }

    fn charge(&mut self, job: &Job, spent: Spent) {
        match job.task().and_then(|task| self.find(task)) {
            Some(n) => self.tasks[n].spent += spent,
            None => self.planning += spent,
        }
    }

    fn ask_again(&mut self, job: &Job, attempt: Attempt, spent: Spent) {
        self.land(job);
        match job.task().and_then(|task| self.find(task)) {
            Some(n) => {
                self.tasks[n].spent += spent;
                self.tasks[n].unusable.push(attempt);
            }
            None => {
                self.planning += spent;
                self.unusable.push(attempt);
            }
        }
    }

    fn produce(&mut self, task: &TaskId, text: String, spent: Spent, moves: &mut Moves) {
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
        record.drafts.push(Draft { text, checks: None, verdict: None, note: None });
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

    fn check(&mut self, task: &TaskId, findings: Vec<Finding>, moves: &mut Moves) {
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

    fn judge(&mut self, task: &TaskId, verdict: Verdict, spent: Spent, moves: &mut Moves) {
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

    fn fail(&mut self, job: &Job, failure: Failure, spent: Spent, moves: &mut Moves) {
        self.land(job);
        let hopeless = failure.is_hopeless();
        match job.task().and_then(|task| self.find(task)) {
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
                let overflown = failure.provider == Some(ErrorKind::ContextLength) && self.stop.is_none();
                if overflown && record.make_room(job, self.rules.windows.get(&record.planned.role)) {
                    return;
                }
                if matches!(job, Job::Review { .. }) && !hopeless {
                    record.deaf_judges += 1;
                    record.unusable.clear();
                    if record.deaf_judges < self.rules.judges && self.stop.is_none() {
                        return moves.make(n, record, TaskState::Produced);
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
        if hopeless || *job == Job::Plan {
            self.halt(Stop::Hopeless(failure), moves);
        }
    }
}

// === impl Moves ===

struct Moves {
    at: Timestamp,
    made: Vec<Move>,
}

impl Moves {
    /// A task is new.
    fn add(&mut self, task: usize) {
        self.made.push(Move { task, from: None, to: TaskState::Pending });
    }

    fn make(&mut self, task: usize, record: &mut Record, to: TaskState) {
        if record.state == to {
            return;
        }
        self.made.push(Move { task, from: Some(record.state), to });
        record.state = to;
        if to == TaskState::Running {
            record.began.get_or_insert(self.at);
        }
        if to.is_final() {
            record.ended = Some(self.at);
        }
    }
}

#[cfg(test)]
mod tests;
