//! Tasks that tasks ask for: how they come into a run, when their parent goes on, and who is called off then.
//!
//! What a task spawned answers to its join, and the join answers to the run: a spawned task that comes to nothing fails
//! nobody but its parent, and that only if the join can no longer be met.

use bellwether_core::{TaskId, TaskState};
use serde::{Deserialize, Serialize};

use super::{Event, Moves, Record, State, order};
use crate::message::{Job, Spent};
use crate::plan::{Join, PlannedTask};
use crate::report::Failure;

/// What a task spawned.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Offspring {
    /// The places of the tasks.
    pub(crate) tasks: Vec<usize>,
    /// How many of them have to come to work.
    pub(crate) join: Join,
    /// Whether they did, once that is known.
    pub(crate) met: Option<bool>,
}

impl State {
    /// How many further tasks a task may ask for now.
    ///
    /// # Errors
    ///
    /// Why it may ask for none.
    pub(crate) fn room_to_spawn(&self, task: &TaskId) -> Result<usize, String> {
        let Some(record) = self.task(task) else { return Err("there is no such task".to_owned()) };
        let rules = &self.rules.spawn;
        let spawned = self.tasks.iter().filter(|record| record.parent.is_some()).count();
        if record.dismissed {
            Err("nothing further is begun".to_owned())
        } else if record.offspring.is_some() || !record.drafts.is_empty() {
            Err("a task asks for further ones at most once, before it hands in any work".to_owned())
        } else if self.depth(record) >= rules.max_depth as usize {
            Err(format!("at most {} tasks below each other may ask for further ones", rules.max_depth))
        } else {
            match rules.max_tasks.saturating_sub(spawned) {
                0 => Err(format!("the run has the {} further tasks that it may have", rules.max_tasks)),
                room => Ok(room),
            }
        }
    }

    /// How many tasks stand above one.
    fn depth(&self, record: &Record) -> usize {
        std::iter::successors(record.parent, |n| self.tasks[*n].parent).count()
    }

    /// The tasks of the plan itself, without what they spawned.
    pub(crate) fn planned(&self) -> impl Iterator<Item = &Record> {
        self.tasks.iter().filter(|record| record.parent.is_none())
    }

    pub(super) fn spawn(
        &mut self,
        task: &TaskId,
        tasks: Vec<PlannedTask>,
        join: Join,
        spent: Spent,
        moves: &mut Moves,
    ) {
        let Some(n) = self.find(task) else { return };
        let first = self.tasks.len();
        let record = &mut self.tasks[n];
        let job = Job::Work { task: task.clone(), round: record.round };
        record.spent += spent;
        record.unusable.clear();
        record.offspring = Some(Offspring { tasks: (first..first + tasks.len()).collect(), join, met: None });
        moves.make(n, record, TaskState::Pending);
        for planned in tasks {
            self.places.insert(planned.id.clone(), self.tasks.len());
            moves.add(self.tasks.len());
            self.plan.iter_mut().for_each(|plan| plan.tasks.push(planned.clone()));
            self.tasks.push(Record { parent: Some(n), ..Record::new(planned) });
        }
        order::place(&mut self.tasks, &self.places);
        self.land(&job);
        if self.stop.is_some() {
            self.give_up_waiting(moves);
        }
    }

    /// A join that is decided by now and has not been said to be.
    pub(crate) fn due_join(&self) -> Option<Event> {
        if self.stop.is_some() {
            return None;
        }
        let open = self.tasks.iter().filter(|record| !record.state.is_final());
        open.filter_map(|record| self.decided(record)).next()
    }

    fn decided(&self, record: &Record) -> Option<Event> {
        let Offspring { tasks, join, met: None } = record.offspring.as_ref()? else { return None };
        let (at_rest, open): (Vec<usize>, Vec<usize>) = tasks.iter().partition(|n| self.tasks[**n].state.is_final());
        let done = at_rest.iter().filter(|n| self.tasks[**n].has_work()).count();
        let least = join.least(tasks.len());
        let met = done >= least;
        if !met && done + open.len() >= least {
            return None;
        }
        let mut dismissed = Vec::new();
        self.gather(&open, &mut dismissed);
        Some(Event::Joined { task: record.planned.id.clone(), met, dismissed })
    }

    /// The tasks among these that are not at rest, and those below them.
    fn gather(&self, among: &[usize], into: &mut Vec<TaskId>) {
        for record in among.iter().map(|n| &self.tasks[*n]).filter(|record| !record.state.is_final()) {
            into.push(record.planned.id.clone());
            if let Some(offspring) = &record.offspring {
                self.gather(&offspring.tasks, into);
            }
        }
    }

    pub(super) fn join(&mut self, task: &TaskId, met: bool, dismissed: &[TaskId], moves: &mut Moves) {
        let Some(n) = self.find(task) else { return };
        for id in dismissed {
            if let Some(n) = self.find(id) {
                self.tasks[n].dismissed = true;
            }
        }
        self.dismisses |= !dismissed.is_empty();
        self.call_off(moves);
        let lost = if met { None } else { self.lost(&self.tasks[n]) };
        let record = &mut self.tasks[n];
        record.offspring.iter_mut().for_each(|offspring| offspring.met = Some(met));
        if lost.is_some() {
            record.failure = lost;
            moves.make(n, record, TaskState::Failed);
            self.skip_dependents(moves);
        }
    }

    /// Why a task's join cannot be met.
    fn lost(&self, record: &Record) -> Option<Failure> {
        let Offspring { tasks, join, .. } = record.offspring.as_ref()?;
        let done = tasks.iter().filter(|n| self.tasks[**n].has_work()).count();
        let message = format!("{done} of the {} tasks it asked for came to work; it needs {join}", tasks.len());
        // What a larger budget would mend is said to be about money, so that a resumed run tries it again.
        let broke =
            tasks.iter().filter_map(|n| self.tasks[*n].failure.as_ref()).find(|failure| failure.is_about_money());
        Some(match broke {
            Some(failure) => Failure { message: format!("{message}: {}", failure.message), ..failure.clone() },
            None => Failure { kind: "join_unmet".to_owned(), message, provider: None },
        })
    }

    /// Brings those to rest whom nobody needs and whom no agent holds any more.
    pub(super) fn call_off(&mut self, moves: &mut Moves) {
        if !self.dismisses {
            return;
        }
        for n in 0..self.tasks.len() {
            let record = &mut self.tasks[n];
            if record.dismissed && !record.held && !record.state.is_final() {
                moves.make(n, record, TaskState::Cancelled);
            }
        }
    }

    /// The jobs under way whose work nobody needs any more.
    pub(crate) fn unwanted(&self) -> impl Iterator<Item = &Job> {
        self.in_flight.iter().filter(|job| job.task().and_then(|task| self.task(task)).is_some_and(|it| it.dismissed))
    }

    /// Takes every task up again that a stop left lying. What was spawned is only if its parent still waits for it, or if its
    /// work counts and went without a review.
    pub(super) fn take_up(&mut self, moves: &mut Moves) {
        for n in 0..self.tasks.len() {
            let record = &self.tasks[n];
            if let Some(parent) = record.parent {
                let parent = &self.tasks[parent];
                let waits = parent.offspring.as_ref().is_some_and(|offspring| offspring.met.is_none());
                let waits = waits && !parent.dismissed && !parent.state.is_final();
                let lost = matches!(parent.state, TaskState::Cancelled | TaskState::Failed | TaskState::Skipped);
                let unreviewed = record.state == TaskState::Unreviewed && !record.dismissed && !lost;
                if !waits && !unreviewed {
                    continue;
                }
                self.tasks[n].dismissed = false;
            }
            let record = &mut self.tasks[n];
            record.resume(&self.rules);
            if !record.state.is_final() {
                record
                    .offspring
                    .iter_mut()
                    .filter(|offspring| offspring.met == Some(false))
                    .for_each(|it| it.met = None);
            }
        }
        self.call_off(moves);
    }
}
