//! What came to nothing and is tried once more because somebody wants it so.

use bellwether_core::TaskId;

use super::person::TURNED_DOWN;
use super::{Record, State, Stop};

impl State {
    /// The tasks that came to nothing, or nobody's judgement, for a reason that may be gone by now; not those that a person
    /// turned down.
    pub(crate) fn failed(&self) -> Vec<TaskId> {
        let failed = self.tasks.iter().filter(|record| record.has_failed());
        failed.map(|record| record.planned.id.clone()).collect()
    }

    /// Whether there is anything to be tried again.
    pub(crate) fn may_try_again(&self) -> bool {
        let whole = matches!(self.whole, Some(Err(_)));
        whole || self.stop.as_ref().is_some_and(is_over_with) || self.tasks.iter().any(Record::has_failed)
    }

    /// Forgets why tasks, the plan or the whole came to nothing; a resume takes them up then.
    pub(super) fn try_again(&mut self, tasks: &[TaskId]) {
        for n in tasks.iter().filter_map(|task| self.find(task)).collect::<Vec<_>>() {
            let record = &mut self.tasks[n];
            if !record.has_failed() {
                continue;
            }
            record.failure = None;
            // The next call for it is another one than any before.
            record.tried += record.deaf_judges + record.overflows + 1;
            (record.deaf_judges, record.overflows) = (0, 0);
            record.unusable.clear();
            // And it has all of its time again.
            record.began = None;
        }
        self.stop.take_if(|stop| is_over_with(stop));
        self.whole.take_if(|whole| whole.is_err());
        self.unusable.clear();
        self.tried += 1;
    }
}

impl Record {
    fn has_failed(&self) -> bool {
        self.state.is_final() && self.failure.as_ref().is_some_and(|failure| failure.kind != TURNED_DOWN)
    }
}

/// Whether a run that was stopped so is not taken up by a resume, though nobody decided against it.
fn is_over_with(stop: &Stop) -> bool {
    !stop.is_resumable() && !matches!(stop, Stop::Denied(_))
}
