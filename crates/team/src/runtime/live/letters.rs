//! Questions between agents, and letters that reach nobody.

use std::sync::PoisonError;

use bellwether_core::{Fact, TaskId};

use super::Runtime;
use crate::agent::beginning;
use crate::message::{JobError, Spent};
use crate::question::{DeadLetter, Question};
use crate::state::Event;

impl Runtime<'_> {
    /// What a worker's answer is: work, a request for further tasks, or a question; the last two if its role may.
    pub(super) fn understand(&self, task: &TaskId, text: String, spent: Spent) -> Result<Vec<Event>, JobError> {
        let record = self.state.task(task);
        let role = record.and_then(|record| self.team.named(&record.planned.role));
        let asked = role.filter(|role| role.may_ask).and_then(|_| Question::read(&text));
        let (Some(record), Some(asked)) = (record, asked) else {
            return self.work_or_tasks(task, text, spent).map(|event| vec![event]);
        };
        let unusable = |problem: String| JobError::Unusable {
            answer: beginning(text.clone()),
            problems: vec![problem],
            remedy: None,
        };
        if self.state.questions_left(record) == 0 {
            return Err(unusable("you have no question left: answer with the finished work".to_owned()));
        }
        let question = asked.map_err(unusable)?;
        let refused = self.addressee(task, &question.to).err();
        let to = question.to.clone();
        let mut events = vec![Event::Asked { task: task.clone(), question, spent }];
        events.extend(refused.map(|reason| {
            let (from, what) = (task.to_string(), "question".to_owned());
            Event::Undelivered { letter: DeadLetter { from, to, what, task: Some(task.clone()), reason } }
        }));
        Ok(events)
    }

    /// Whether somebody can be asked by a task: another task that does not wait for it, or a role.
    fn addressee(&self, task: &TaskId, to: &str) -> Result<(), String> {
        let asker = self.state.task(task).ok_or("nobody asks")?;
        match self.state.task(&to.into()) {
            Some(other) => self.state.may_be_asked(asker, other),
            None if self.team.named(to).is_some() => Ok(()),
            None => Err("there is no such task, and no such role".to_owned()),
        }
    }

    /// Remembers what reached nobody.
    pub(super) async fn bury_all(&mut self) {
        let shared = std::sync::Arc::clone(&self.shared);
        shared.runtime.drain().iter().for_each(|envelope| shared.bury(envelope));
        let letters = std::mem::take(&mut *shared.dead.lock().unwrap_or_else(PoisonError::into_inner));
        let events: Vec<Event> = letters.into_iter().map(|letter| Event::Undelivered { letter }).collect();
        if !events.is_empty() {
            self.record(events).await;
        }
    }

    pub(super) fn tell_dead(&self, letter: &DeadLetter) {
        let (run, to) = (self.shared.run.clone(), letter.to.as_str().into());
        // Names of messages are a closed set; what a journal says is held against it.
        let known = ["answer", "assign", "finished", "question", "review_request", "revise"];
        let what = known.into_iter().find(|known| *known == letter.what).unwrap_or("other");
        self.tell(&Fact::MessageDied { run, to, what });
    }
}
