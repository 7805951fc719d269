//! The runs that are on: how long their agents' turns take, and where their tasks are.

use std::sync::Arc;

use bellwether_core::{CallContext, TaskId, TaskState};
use metrics::{gauge, histogram};

use crate::caps::Cap;
use crate::{clock, names};

/// A run that is on.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// How many calls it has sent.
    pub(crate) calls: u32,
    /// What its agents are at.
    turns: Vec<Turn>,
    /// How many tasks are in each state in which none stays.
    tasks: [u32; TaskState::ALL.len()],
}

/// What an agent does at one go.
#[derive(Debug)]
struct Turn {
    task: Option<TaskId>,
    role: Arc<str>,
    phase: &'static str,
    round: u32,
    began: f64,
}

impl Run {
    /// The turn that a call belongs to begins with its first call.
    pub(crate) fn turn(&mut self, context: &CallContext, now: f64) {
        let CallContext { task, flow, phase, round, .. } = context;
        let same = |turn: &Turn| (&turn.task, turn.phase, turn.round, &turn.role) == (task, *phase, *round, &flow.role);
        // The latest one is the likeliest.
        if !self.turns.iter().rev().any(same) {
            let (task, role) = (task.clone(), Arc::clone(&flow.role));
            self.turns.push(Turn { task, role, phase, round: *round, began: now });
        }
    }

    /// The turns of a task, or those of the planning, have come to something.
    pub(crate) fn end(&mut self, task: Option<&TaskId>, roles: &mut Cap) {
        for turn in self.turns.extract_if(.., |turn| turn.task.as_ref() == task) {
            let role = roles.value(&turn.role);
            histogram!(names::STEP, "phase" => turn.phase, "role" => role).record((clock::now() - turn.began).max(0.0));
        }
    }

    /// A task is elsewhere.
    pub(crate) fn moved(&mut self, from: Option<TaskState>, to: TaskState) {
        if let Some(from) = from {
            self.tasks[from as usize] = self.tasks[from as usize].saturating_sub(1);
        }
        if !to.is_final() {
            self.tasks[to as usize] += 1;
        }
    }

    /// The run is not on any more, and neither is what it did not come to do.
    pub(crate) fn leave(self) {
        for (state, count) in TaskState::ALL.iter().zip(self.tasks).filter(|(_, count)| *count > 0) {
            gauge!(names::TASKS, "state" => state.as_str()).decrement(count);
        }
    }
}
