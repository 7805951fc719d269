//! A run as a fold over what happened: [`State::apply`] takes an event in, [`State::jobs`] says what to do next.
//!
//! It decides and does nothing itself: no clock, no channel, no provider. The protocol:
//!
//! 1. Begin with [`Event::Planned`], or let [`State::jobs`] ask for a plan.
//! 2. Begin each job it names and say so with [`Event::Began`]; then tell what became of it.
//! 3. Ask again, until [`State::is_over`].

mod again;
mod ask;
pub(crate) mod audit;
mod due;
mod ending;
pub(crate) mod event;
mod jobs;
mod makespan;
pub(crate) mod order;
mod person;
mod record;
mod rules;
pub(crate) mod snapshot;
mod spawn;
mod stint;
mod thrift;

use std::collections::HashMap;

use bellwether_core::{TaskId, TaskState, Timestamp};
use serde::{Deserialize, Serialize};

use crate::economy::Economy;
use crate::message::{Job, Spent};
use crate::plan::Plan;
use crate::question::DeadLetter;
use crate::report::Failure;
use crate::review::OnExhausted;
use crate::review::convergence::{self, Next};

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
    /// How often they were made one: of more parts it is made anew.
    wholes: u32,
    stop: Option<Stop>,
    planning: Spent,
    /// Answers to the current job of the run as a whole that could not be used.
    unusable: Vec<Attempt>,
    /// How often what came to nothing was tried again.
    tried: u32,
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
            wholes: 0,
            in_flight: Vec::new(),
            stop: None,
            planning: Spent::ZERO,
            unusable: Vec::new(),
            tried: 0,
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
                self.unusable.clear();
                self.wholes += 1;
            }
            Event::Digested { task, text, spent } => {
                let job = Job::Digest { task };
                self.land(&job);
                self.take_digest(&job, Some(text), spent);
            }
            Event::Decided { ruling } => self.decide(ruling, &mut moves),
            Event::Dropped { job } => self.drop_job(&job, &mut moves),
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
            Event::Retried { tasks } => self.try_again(&tasks),
            Event::Routed { task, route } => {
                if let Some(n) = self.find(&task) {
                    self.tasks[n].route = Some(*route);
                }
            }
            Event::Ruled { task, ruling } => self.rule(&task, ruling, &mut moves),
            Event::Spawned { task, tasks, join, spent, .. } => self.spawn(&task, tasks, join, spent, &mut moves),
            Event::Stalled => self.stalls += 1,
            Event::Stopped { stop } => self.stop_for_good(stop, &mut moves),
            Event::Undelivered { letter } => self.bury(letter, &mut moves),
            Event::Unusable { job, attempt, spent } => self.ask_again(&job, attempt, spent, &mut moves),
        }
        self.call_off(&mut moves);
        if moves.made.iter().any(|moved| moved.to == TaskState::Failed) {
            self.weigh_failures(&mut moves);
        }
        moves.made
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

    /// Why no new job begins, if that is so; at most its parts are made one whole.
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
