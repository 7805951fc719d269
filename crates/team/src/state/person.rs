//! Work that was never good enough and waits for a person.

use bellwether_core::{TaskId, TaskState};

use super::{Moves, State};
use crate::report::Failure;
use crate::runtime::TaskRuling;

/// The kind of failure that is a person's word.
pub(super) const TURNED_DOWN: &str = "turned_down";

impl State {
    /// Whether a person has to say what becomes of a task.
    pub(crate) fn is_blocked(&self, task: &TaskId) -> bool {
        self.task(task).is_some_and(|record| record.state == TaskState::Blocked)
    }

    /// The tasks that wait for a person.
    pub(crate) fn blocked(&self) -> impl Iterator<Item = &TaskId> {
        self.tasks.iter().filter(|record| record.state == TaskState::Blocked).map(|record| &record.planned.id)
    }

    pub(super) fn rule(&mut self, task: &TaskId, ruling: TaskRuling, moves: &mut Moves) {
        let Some(n) = self.find(task).filter(|n| self.tasks[*n].state == TaskState::Blocked) else { return };
        let record = &mut self.tasks[n];
        record.ruled = true;
        let to = match ruling {
            TaskRuling::Accept => TaskState::Accepted,
            TaskRuling::Again { note } => {
                record.round += 1;
                // It has all of its time again: others may have worked long while it waited.
                record.began = None;
                record.drafts.last_mut().into_iter().for_each(|draft| draft.note = Some(note.clone()));
                TaskState::Revising
            }
            TaskRuling::Fail { reason } => {
                record.failure = Some(Failure { kind: TURNED_DOWN.to_owned(), message: reason, provider: None });
                TaskState::Failed
            }
        };
        moves.make(n, record, to);
        if to == TaskState::Failed {
            self.skip_dependents(moves);
        }
    }
}
