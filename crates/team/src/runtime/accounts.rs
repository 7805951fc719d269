//! What a run took so far, call by call, for whoever keeps its budgets.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_core::{CallContext, ChatRequest, Flow, RunId};

use super::{ResumeError, brief, past};
use crate::message::{Job, Spent};
use crate::state::{Event, State};
use crate::team::Team;

/// What one call of a run took, as far as anybody knows.
#[derive(Clone, Debug)]
pub struct Booked {
    /// Whose call it was: its tenant, run, task and role.
    pub context: CallContext,
    /// What it is known to have taken.
    pub spent: Spent,
    /// What was asked, if nobody knows whether it was answered: it may have taken all it could.
    pub in_doubt: Option<ChatRequest>,
}

impl Team {
    /// What a run took so far, call by call, from its memory; nothing is asked of any model.
    ///
    /// # Errors
    ///
    /// [`ResumeError`] if it is unknown or not understood.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed.
    pub async fn accounts(&self, run: &RunId) -> Result<Vec<Booked>, ResumeError> {
        let journal = self.journal.as_ref().ok_or(ResumeError::NoJournal)?;
        let opening = past::opening(&**journal, run).await?.ok_or(ResumeError::Unknown)?;
        let mut books = Books { team: self, run, request: &opening.request, open: BTreeMap::new(), booked: Vec::new() };
        let past = past::walk(self, &**journal, run, |state, event| books.enter(state, event)).await?;
        if let Some(past) = past {
            books.doubt(&past.state);
        }
        Ok(books.booked)
    }
}

struct Books<'a> {
    team: &'a Team,
    run: &'a RunId,
    request: &'a str,
    /// The calls under way, and their tiers.
    open: BTreeMap<Job, usize>,
    booked: Vec<Booked>,
}

impl Books<'_> {
    /// Takes in an event, before the state does.
    fn enter(&mut self, state: &State, event: &Event) {
        match event {
            Event::Began { job, tier } => {
                self.open.insert(job.clone(), *tier);
            }
            // A call that was cut off may be billed, as one may that was under way in a process that ended.
            Event::Dropped { job } => {
                if let Some(tier) = self.open.remove(job) {
                    self.book(state, job, Spent::ZERO, Some(tier));
                }
            }
            // Somebody who was called off in the middle of a call may have been billed for it.
            Event::CalledOff { job, spent } => {
                if let Some(tier) = self.open.remove(job).filter(|_| spent.calls > 0) {
                    self.book(state, job, Spent::ZERO, Some(tier));
                }
            }
            Event::Resumed => self.doubt(state),
            _ => {
                if let Some((job, spent)) = took(state, event) {
                    self.open.remove(&job);
                    self.book(state, &job, spent, None);
                }
            }
        }
    }

    fn doubt(&mut self, state: &State) {
        for (job, tier) in std::mem::take(&mut self.open) {
            self.book(state, &job, Spent::ZERO, Some(tier));
        }
    }

    fn book(&mut self, state: &State, job: &Job, spent: Spent, in_doubt: Option<usize>) {
        // The state is the one in which it was sent, so this is what was sent, and by whom.
        let Some((role, _, messages)) = brief::of(self.team, self.request, state, job) else { return };
        let flow = Flow {
            tenant: Arc::clone(&self.team.tenant),
            ..Flow::new(&*self.team.name, self.run.as_str(), &*role.name)
        };
        let context = CallContext {
            run: Some(self.run.clone()),
            task: job.task().cloned(),
            timeout: Some(role.timeout),
            phase: job.phase(),
            ..CallContext::new(flow)
        };
        let in_doubt = in_doubt.and_then(|tier| {
            let model = Arc::clone(&role.tiers.get(tier)?.model);
            Some(ChatRequest { max_output_tokens: role.output_cap(tier), ..ChatRequest::new(model, messages) })
        });
        self.booked.push(Booked { context, spent, in_doubt });
    }
}

/// The job that an event ends, and what its last call took.
fn took(state: &State, event: &Event) -> Option<(Job, Spent)> {
    let round = |task| state.task(task).map_or(0, |record| record.round);
    Some(match event {
        Event::Economised { job, spent, .. }
        | Event::Failed { job, spent, .. }
        | Event::Unusable { job, spent, .. } => (job.clone(), *spent),
        Event::Answered { task, spent, .. } => {
            let question = state.task(task).map_or(0, |record| record.asked.len());
            (Job::Answer { task: task.clone(), question: u32::try_from(question).unwrap_or(u32::MAX) }, *spent)
        }
        Event::Audited { task, spent, .. } => (Job::Audit { task: task.clone() }, *spent),
        Event::Judged { task, spent, .. } => (Job::Review { task: task.clone(), round: round(task) }, *spent),
        Event::Planned { spent, .. } => (Job::Plan, *spent),
        Event::Asked { task, spent, .. } | Event::Produced { task, spent, .. } | Event::Spawned { task, spent, .. } => {
            (Job::Work { task: task.clone(), round: round(task) }, *spent)
        }
        _ => return None,
    })
}
