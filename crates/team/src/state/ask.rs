//! Questions that tasks ask: who may be asked, and what an answer or its absence changes.
//!
//! Nobody ever waits in a circle: whoever waits for the asker cannot be asked, and who answers asks nothing in turn.

use bellwether_core::{TaskId, TaskState};

use super::{Moves, Record, State};
use crate::message::{Job, Spent};
use crate::question::{Asked, DeadLetter, Question};

impl State {
    /// How many more questions a task may ask.
    pub(crate) fn questions_left(&self, record: &Record) -> u32 {
        let asked = u32::try_from(record.asked.len()).unwrap_or(u32::MAX);
        if record.dismissed { 0 } else { self.rules.max_questions.saturating_sub(asked) }
    }

    /// Whether a task can be asked by another one.
    ///
    /// # Errors
    ///
    /// Why not.
    pub(crate) fn may_be_asked(&self, asker: &Record, to: &Record) -> Result<(), String> {
        let id = &to.planned.id;
        if *id == asker.planned.id {
            return Err("nobody can ask itself".to_owned());
        }
        if to.dismissed || matches!(to.state, TaskState::Cancelled | TaskState::Failed | TaskState::Skipped) {
            return Err(format!("{id} came to nothing: there is nobody to answer for it"));
        }
        if self.waits(to, asker) { Err(format!("{id} waits for {}", asker.planned.id)) } else { Ok(()) }
    }

    /// Whether a task waits for another one, be it for its work or for the work of one that does.
    fn waits(&self, waiting: &Record, wanted: &Record) -> bool {
        let mut seen = vec![false; self.tasks.len()];
        let mut next = vec![waiting];
        while let Some(record) = next.pop() {
            if record.planned.id == wanted.planned.id {
                return true;
            }
            for n in record.waits_for() {
                if !self.tasks[n].state.is_final() && !std::mem::replace(&mut seen[n], true) {
                    next.push(&self.tasks[n]);
                }
            }
        }
        false
    }

    pub(super) fn ask(&mut self, task: &TaskId, question: Question, spent: Spent, moves: &mut Moves) {
        let Some(n) = self.find(task) else { return };
        let record = &mut self.tasks[n];
        let job = Job::Work { task: task.clone(), round: record.round };
        record.spent += spent;
        record.unusable.clear();
        record.asked.push(Asked { question, answer: None });
        self.land(&job);
        self.rest_if_stopped(moves);
    }

    /// An answer came in, or there will be none.
    pub(super) fn answer(&mut self, task: &TaskId, answer: Result<String, String>, spent: Spent, moves: &mut Moves) {
        let Some(n) = self.find(task) else { return };
        let record = &mut self.tasks[n];
        record.spent += spent;
        record.unusable.clear();
        let question = record.asked.iter_mut().find(|asked| asked.answer.is_none());
        question.into_iter().for_each(|asked| asked.answer = Some(answer.clone()));
        let number = u32::try_from(self.tasks[n].asked.len()).unwrap_or(u32::MAX);
        self.land(&Job::Answer { task: task.clone(), question: number });
        self.rest_if_stopped(moves);
    }

    /// In a run that is stopped, whoever could go on does not; a resume takes it up there.
    pub(super) fn rest_if_stopped(&mut self, moves: &mut Moves) {
        if self.stop.is_some() {
            self.give_up_waiting(moves);
        }
    }

    pub(super) fn bury(&mut self, letter: DeadLetter, moves: &mut Moves) {
        // One that nobody came to read before the run was stopped is asked again by a resume.
        let asker = letter.task.clone().filter(|task| letter.what == "question" && letter.from == task.as_str());
        if let Some(task) = asker {
            self.answer(&task, Err(letter.reason.clone()), Spent::ZERO, moves);
        }
        self.dead_letters.push(letter);
    }

    /// Messages that reached nobody, in order.
    pub(crate) fn dead_letters(&self) -> &[DeadLetter] {
        &self.dead_letters
    }
}

impl Record {
    /// The job that answers the question it waits with, if there is one.
    pub(super) fn to_answer(&self) -> Option<Job> {
        let waits = self.asked.last().is_some_and(|asked| asked.answer.is_none());
        let question = u32::try_from(self.asked.len()).unwrap_or(u32::MAX);
        waits.then(|| Job::Answer { task: self.planned.id.clone(), question })
    }
}
