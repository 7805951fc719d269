//! Events on their way: into the journal, then into the state, then to everybody who watches.

use std::sync::Arc;

use bellwether_core::journal::JournalError;
use bellwether_core::{Fact, TaskId, TaskState, Timestamp};

use super::Runtime;
use crate::plan::Plan;
use crate::report::Failure;
use crate::runtime::routing;
use crate::state::{Event, Move, Stop};

impl Runtime<'_> {
    /// Remembers events, folds them into the state and tells which tasks they moved. If they cannot be remembered, the
    /// run begins nothing further; whether they could.
    pub(super) async fn record(&mut self, events: Vec<Event>) -> bool {
        let now = self.now();
        let written = match &self.log {
            Some(log) => self
                .control
                .in_time(log.write(now, &events))
                .await
                .map(|seq| self.snapshots.consider(self.team, log, seq)),
            None => Ok(()),
        };
        let Err(error) = written else {
            events.into_iter().for_each(|event| self.fold(event, now));
            return true;
        };
        self.log = None;
        // What was about to begin did not; what came in is kept for the report.
        for event in events.into_iter().filter(|event| !matches!(event, Event::Began { .. })) {
            self.fold(event, now);
        }
        self.fold(Event::Stopped { stop: Stop::Hopeless(Failure::of_the_journal(&error)) }, now);
        if matches!(error, JournalError::Fenced { .. }) {
            // Another process does it now: every further token would be paid for twice.
            self.drop_all(now);
        }
        false
    }

    pub(super) fn fold(&mut self, event: Event, now: Timestamp) {
        match &event {
            Event::Planned { plan, .. } => self.tell_plan(plan),
            Event::Spawned { task, tasks, .. } => self.tell_spawned(task, tasks),
            Event::Undelivered { letter } => self.tell_dead(letter),
            Event::Routed { task, route } => {
                let (tier, why) = (Arc::clone(&route.name), route.why.clone());
                let (run, task, explored) = (self.shared.run.clone(), task.clone(), route.explored);
                self.tell(&Fact::RouteDecided { run, task, tier, explored, why });
            }
            _ => {}
        }
        let reviewed = match &event {
            Event::Judged { task, verdict, .. } => {
                self.state.task(task).map(|record| (task.clone(), record.round, verdict.score))
            }
            _ => None,
        };
        let audited = if let Event::Audited { task, .. } = &event { Some(task.clone()) } else { None };
        let moves = self.state.apply(event, now);
        if let Some(task) = audited
            && let Some(agreed) = routing::audited(self.team, &self.shared.run, &self.state, &task)
        {
            self.tell(&Fact::TaskAudited { run: self.shared.run.clone(), task, agreed });
        }
        if let Some((task, round, score)) = reviewed {
            self.tell_review(&task, round, score);
        }
        for moved in moves {
            self.tell_move(&moved);
            routing::teach(self.team, &self.shared.run, &self.state, moved.task);
        }
    }

    /// Tells what a reviewer said of a task in `round`, and what followed from it.
    fn tell_review(&self, task: &TaskId, round: u32, score: f64) {
        let (Some(record), run) = (self.state.task(task), self.shared.run.clone()) else { return };
        let accepted = record.state == TaskState::Accepted;
        self.tell(&Fact::TaskReviewed { run, task: task.clone(), round, score, accepted });
    }

    pub(super) fn tell_plan(&self, plan: &Plan) {
        self.tell(&Fact::PlanAccepted {
            run: self.shared.run.clone(),
            tasks: plan.tasks.iter().map(|task| (task.id.clone(), Arc::clone(&task.title))).collect(),
            degraded: plan.degraded,
        });
    }

    pub(super) fn tell_move(&self, moved: &Move) {
        let record = &self.state.tasks()[moved.task];
        self.tell(&Fact::TaskMoved {
            run: self.shared.run.clone(),
            task: record.planned.id.clone(),
            role: Arc::clone(&record.planned.role),
            from: moved.from,
            to: moved.to,
            round: record.round,
        });
    }

    pub(super) fn tell(&self, fact: &Fact) {
        self.shared.observer.observe(fact);
    }
}
