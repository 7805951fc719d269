//! What a run took so far, for whoever keeps its budgets: folded from its memory, as its state is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::chat::Part;
use bellwether_core::{CallContext, Flow, Message, RunId, TaskId, TaskState};
use serde::{Deserialize, Serialize};

use super::{ResumeError, brief};
use crate::message::{Job, Spent};
use crate::role::RoleKind;
use crate::state::{Event, State};
use crate::team::Team;

/// What a role took for a task of a run, as far as anybody knows.
#[derive(Clone, Debug)]
pub struct Booked {
    /// Whose it was: its tenant, run, task and role, and its phase if it is the one that makes the parts one whole. What
    /// tasks took that were accepted may be told by role alone, and what a role took that has left the team without it.
    pub context: CallContext,
    /// What it is known to have taken.
    pub spent: Spent,
    /// What was asked, if nobody knows whether it was answered: it may have taken all it could, within the context's timeout.
    pub in_doubt: Option<Doubt>,
}

/// A call of which nobody knows whether it was answered.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Doubt {
    /// The model that was asked.
    pub model: Arc<str>,
    /// How many messages it was sent.
    pub messages: u64,
    /// How long they were together, in bytes.
    pub bytes: u64,
    /// How much it was allowed to say.
    pub max_output_tokens: Option<u32>,
}

impl Team {
    /// What a run took so far, from its memory; nothing is asked of any model.
    ///
    /// # Errors
    ///
    /// [`ResumeError`] if it is unknown or not understood.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed.
    pub async fn accounts(&self, run: &RunId) -> Result<Vec<Booked>, ResumeError> {
        Ok(self.past(run).await?.accounts(self))
    }

    /// What was taken, with what nobody knows the end of.
    pub(super) fn booked(&self, run: &RunId, request: &str, state: &State, mut books: Books) -> Vec<Booked> {
        books.doubt(self, request, state);
        let known = books.known.into_iter().flat_map(|(role, account)| {
            let context = self.payer(run, &role);
            let whole = CallContext { phase: Job::Combine.phase(), ..context.clone() };
            let rest = [(context.clone(), account.rest), (whole, account.whole)];
            let task = move |(task, spent)| (CallContext { task: Some(task), ..context.clone() }, spent);
            account.tasks.into_iter().map(task).chain(rest)
        });
        let known = known.map(|(context, spent)| Booked { context, spent, in_doubt: None });
        let doubtful = books.doubtful.into_iter().map(|Doubtful { task, role, doubt, took }| {
            let context = self.payer(run, &role);
            // Its role is asked for nothing else that belongs to no task.
            let combines = task.is_none() && self.role(RoleKind::Synthesizer).is_some_and(|whole| whole.name == role);
            let phase = if combines { Job::Combine.phase() } else { context.phase };
            let timeout = took.or(context.timeout);
            let context = CallContext { task, phase, timeout, ..context };
            Booked { context, spent: Spent::ZERO, in_doubt: Some(doubt) }
        });
        known.chain(doubtful).collect()
    }

    /// Whose call it is.
    fn payer(&self, run: &RunId, role: &str) -> CallContext {
        let flow = Flow { tenant: Arc::clone(&self.tenant), ..Flow::new(&*self.name, run.as_str(), role) };
        let timeout = self.named(role).map(|role| role.timeout);
        CallContext { run: Some(run.clone()), timeout, ..CallContext::new(flow) }
    }
}

/// The accounts of a run, event by event.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Books {
    /// What is known to have been taken, by role.
    known: BTreeMap<Arc<str>, Account>,
    /// The calls under way, and their tiers.
    open: Vec<(Job, usize)>,
    /// Calls of which nobody knows what they took.
    doubtful: Vec<Doubtful>,
}

/// A call of which nobody knows what it took.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Doubtful {
    /// For which task it was.
    task: Option<TaskId>,
    /// By which role.
    role: Arc<str>,
    /// What was asked.
    doubt: Doubt,
    /// How long it took, if it came to an end.
    took: Option<Duration>,
}

/// What one role took.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
struct Account {
    /// For tasks that may take more.
    tasks: BTreeMap<TaskId, Spent>,
    /// For all others, and for none.
    rest: Spent,
    /// For making the parts one whole.
    whole: Spent,
}

impl Books {
    /// Takes in an event, before the state does.
    pub(super) fn enter(&mut self, team: &Team, request: &str, state: &State, event: &Event) {
        match event {
            // A check costs nothing.
            Event::Began { job, tier } if job.is_paid() => self.open.push((job.clone(), *tier)),
            // A call that was cut off may be billed, as one may that was under way in a process that ended.
            Event::Dropped { job } => {
                if let Some(tier) = self.close(job) {
                    self.lose(team, request, state, (job, tier), None);
                }
            }
            // Somebody who was called off in the middle of a call may have been billed for it.
            Event::CalledOff { job, spent } => {
                if let Some(tier) = self.close(job).filter(|_| spent.calls > 0) {
                    self.lose(team, request, state, (job, tier), None);
                }
            }
            Event::Resumed => self.doubt(team, request, state),
            _ => {
                if let Some((job, spent)) = took(state, event).filter(|(job, _)| job.is_paid()) {
                    match self.close(&job) {
                        // It may be billed, as any call may that failed after it was sent.
                        Some(tier) if is_doubtful(event, &spent) => {
                            self.lose(team, request, state, (&job, tier), Some(spent.busy));
                            let known = Spent { calls: spent.calls.saturating_sub(1), busy: Duration::ZERO, ..spent };
                            self.book(team, state, &job, known);
                        }
                        _ => self.book(team, state, &job, spent),
                    }
                }
            }
        }
    }

    /// Keeps no account of its own for a task that takes nothing more. One that came to rest otherwise than accepted may be
    /// taken up again, under its own caps.
    pub(super) fn sum_up(&mut self, state: &State) {
        for Account { tasks, rest, .. } in self.known.values_mut() {
            tasks.retain(|task, spent| {
                let over = state.task(task).is_none_or(|record| record.state == TaskState::Accepted);
                if over {
                    *rest += *spent;
                }
                !over
            });
        }
    }

    /// Nobody hears any more of the calls under way.
    fn doubt(&mut self, team: &Team, request: &str, state: &State) {
        for (job, tier) in std::mem::take(&mut self.open) {
            self.lose(team, request, state, (&job, tier), None);
        }
    }

    /// The call for a job is over; its tier, if there was one.
    fn close(&mut self, job: &Job) -> Option<usize> {
        let at = self.open.iter().position(|(open, _)| open == job)?;
        Some(self.open.swap_remove(at).1)
    }

    fn book(&mut self, team: &Team, state: &State, job: &Job, spent: Spent) {
        let account = self.known.entry(name(team, state, job)).or_default();
        match (job, job.task()) {
            (Job::Combine, _) => account.whole += spent,
            (_, Some(task)) => *account.tasks.entry(task.clone()).or_default() += spent,
            (_, None) => account.rest += spent,
        }
    }

    /// Of a call on a tier it is not known what it took, except perhaps for its time.
    fn lose(&mut self, team: &Team, request: &str, state: &State, (job, tier): (&Job, usize), took: Option<Duration>) {
        let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        // The state is the one in which it was sent, so this is what was sent, and by whom. Of somebody who has left the team,
        // or of a model that has, it is known that there was a call.
        let doubt = brief::of(team, request, state, job).map(|(role, _, messages)| Doubt {
            model: role.tiers.get(tier).map_or_else(|| "".into(), |tier| Arc::clone(&tier.model)),
            messages: count(messages.len()),
            bytes: messages.iter().map(|message| count(length(message))).sum(),
            max_output_tokens: role.output_cap(tier),
        });
        let doubt = doubt.unwrap_or_else(|| Doubt { model: "".into(), messages: 0, bytes: 0, max_output_tokens: None });
        self.doubtful.push(Doubtful { task: job.task().cloned(), role: name(team, state, job), doubt, took });
    }
}

/// Who does a job, by name; whoever did a task's work and has left the team still has one, others have none.
fn name(team: &Team, state: &State, job: &Job) -> Arc<str> {
    let works = matches!(job, Job::Digest { .. } | Job::Work { .. });
    let planned = || Some(Arc::clone(&state.task(job.task().filter(|_| works)?)?.planned.role));
    let doer = brief::doer(team, state, job).map(|role| Arc::clone(&role.name));
    doer.or_else(planned).unwrap_or_else(|| "".into())
}

/// How long a message is: what a team says is text.
fn length(message: &Message) -> usize {
    message.content.iter().map(|part| if let Part::Text(text) = part { text.len() } else { 0 }).sum()
}

/// Whether a call failed after it was sent: it may be billed, and nobody knows for how much.
const fn is_doubtful(event: &Event, spent: &Spent) -> bool {
    matches!(event, Event::Failed { failure, .. } if failure.provider.is_some()) && spent.unpriced > 0
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
        Event::Combined { spent, .. } => (Job::Combine, *spent),
        Event::Digested { task, spent, .. } => (Job::Digest { task: task.clone() }, *spent),
        Event::Judged { task, spent, .. } => (Job::Review { task: task.clone(), round: round(task) }, *spent),
        Event::Planned { spent, .. } => (Job::Plan, *spent),
        Event::Asked { task, spent, .. } | Event::Produced { task, spent, .. } | Event::Spawned { task, spent, .. } => {
            (Job::Work { task: task.clone(), round: round(task) }, *spent)
        }
        _ => return None,
    })
}
