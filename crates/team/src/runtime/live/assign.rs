//! Jobs that begin: they are remembered, then handed to the agents and checks they are for.

use std::sync::Arc;

use bellwether_core::{ErrorKind, ProviderError, TaskId};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::Runtime;
use crate::economy::Economy;
use crate::message::{Address, Assignment, Body, Finished, Job, JobError, Product, Spent};
use crate::report::Failure;
use crate::review;
use crate::runtime::{brief, routing};
use crate::state::Event;

impl Runtime<'_> {
    /// Hands every job that may begin to an agent of the role it is for. All of them are remembered before any is sent.
    /// Whether there were some that nobody can do, so that others may be due by now.
    pub(super) async fn assign_all(&mut self) -> bool {
        let mut sent = Vec::new();
        let mut checks = Vec::new();
        let mut undone = Vec::new();
        let jobs = self.state.jobs();
        let left = self.shared.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let mut begun = routing::decide(self.team, &self.shared.run, &self.state, left, &jobs);
        for job in jobs {
            if let Job::Check { task, .. } = &job {
                checks.push(task.clone());
                begun.push(Event::Began { job, tier: 0 });
                continue;
            }
            let Some((role, tier, conversation)) = brief::of(self.team, self.request, &self.state, &job) else {
                undone.push(job);
                continue;
            };
            let economy = self.state.economy();
            let fresh =
                |job: &Job| job.task().and_then(|task| self.state.task(task)).is_some_and(|t| t.stints.is_empty());
            let tier = match economy {
                Some(_) if job.phase() == "work" && fresh(&job) => 0,
                _ => routing::chosen(&begun, &job).unwrap_or(tier),
            };
            self.begun_under.insert(job.clone(), economy);
            let attempt = self.state.attempt(&job);
            let (output_cap, deadline) =
                (Economy::output_cap(economy, role.output_cap(tier)), self.task_deadline(&job));
            let called_off = CancellationToken::new();
            self.called_off.insert(job.clone(), called_off.clone());
            let assignment =
                Assignment { job: job.clone(), tier, output_cap, attempt, deadline, conversation, called_off };
            let body = match &job {
                Job::Answer { .. } => Body::Question(assignment),
                Job::Review { .. } => Body::ReviewRequest(assignment),
                Job::Work { round, .. } if *round > 0 => Body::Revise(assignment),
                Job::Audit { .. }
                | Job::Check { .. }
                | Job::Combine
                | Job::Digest { .. }
                | Job::Plan
                | Job::Work { .. } => Body::Assign(assignment),
            };
            begun.push(Event::Began { job, tier });
            sent.push((Arc::clone(&role.name), body));
        }
        let again = !undone.is_empty();
        begun.extend(undone.into_iter().map(nobody));
        if begun.is_empty() || !self.record(begun).await {
            return false;
        }
        for (role, body) in sent {
            self.send(&role, body).await;
        }
        for task in checks {
            self.check(&task);
        }
        again
    }

    /// Lets the team's checks look at a task's latest work, beside everything else.
    fn check(&mut self, task: &TaskId) {
        let Some(record) = self.state.task(task) else { return };
        let job = Job::Check { task: task.clone(), round: record.round };
        let work = record.drafts.last().map_or_else(String::new, |draft| draft.text.clone());
        let role = Arc::clone(&record.planned.role);
        let checks: Vec<_> = self.team.checks.iter().filter(|check| check.is_for(&role)).cloned().collect();
        let (shared, deadline) = (Arc::clone(&self.shared), self.task_deadline(&job));
        self.agents.spawn(async move {
            let result = match deadline {
                None => Ok(review::check::all(checks, work).await),
                Some(deadline) => timeout_at(deadline, review::check::all(checks, work)).await,
            };
            let late =
                |_| ProviderError::new(ErrorKind::DeadlineExceeded, "the time of the task is over (task_deadline)");
            let result = result.map(Product::Findings).map_err(late).map_err(JobError::from);
            let finished = Finished { job, result, spent: Spent::ZERO };
            let body = Body::Finished(Box::new(finished));
            let envelope = shared.envelope(None, (Address::Runtime, &shared.own), Address::Runtime, body);
            if let Err(envelope) = shared.runtime.send(envelope).await {
                shared.bury(&envelope);
            }
        });
    }

    /// When a job's task has to be done: what a task asked for has no more time than the task itself, and what is asked
    /// about work that is at rest, whose own time may be over, has as much again.
    pub(super) fn task_deadline(&self, job: &Job) -> Option<Instant> {
        let allowed = self.team.settings.task_deadline?;
        let mut record = self.state.task(job.task()?)?;
        if !job.holds() {
            return Some(Instant::now() + allowed);
        }
        while let Some(parent) = record.parent {
            record = &self.state.tasks()[parent];
        }
        let worked = self.now().since(record.began.unwrap_or_else(|| self.now()));
        Some(Instant::now() + allowed.saturating_sub(worked))
    }

    async fn send(&self, role: &Arc<str>, body: Body) {
        let to = Address::Role(Arc::clone(role));
        let envelope = self.shared.envelope(None, (Address::Runtime, &self.shared.own), to, body);
        if let Some(inbox) = self.inboxes.get(role)
            && let Err(envelope) = inbox.send(envelope).await
        {
            self.shared.bury(&envelope);
        }
    }
}

/// What becomes of a job that nobody of the team can do: whoever could has left it since it was planned.
fn nobody(job: Job) -> Event {
    let message = "nobody of the team can do it any more".to_owned();
    let failure = Failure { kind: "no_role".to_owned(), message, provider: None };
    Event::Failed { job, failure, spent: Spent::ZERO }
}
