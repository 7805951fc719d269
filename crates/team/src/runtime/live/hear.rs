//! What agents report, as events: work and verdicts, answers that cannot be used, jobs that the budget did not cover.

use bellwether_core::{ErrorKind, Fact};

use super::Runtime;
use crate::economy::Economy;
use crate::message::{Finished, Job, JobError, Product, Spent};
use crate::plan::Plan;
use crate::report::Failure;
use crate::role::RoleKind;
use crate::runtime::brief;
use crate::state::{Attempt, Event, Stop};
use crate::team::OnInvalidPlan;

impl Runtime<'_> {
    /// Takes in what an agent reports.
    pub(super) async fn hear(&mut self, finished: Finished) {
        self.heard += 1;
        let Finished { job, result, spent } = finished;
        self.called_off.remove(&job);
        let event = match (job, result) {
            (Job::Audit { task }, Ok(Product::Verdict(verdict))) => Event::Audited { task, verdict, spent },
            (Job::Answer { task, .. }, Ok(Product::Answer(text))) => Event::Answered { task, text, spent },
            (Job::Digest { task }, Ok(Product::Digest(text))) => Event::Digested { task, text, spent },
            (Job::Check { task, .. }, Ok(Product::Findings(findings))) => Event::Checked { task, findings },
            (Job::Plan, Ok(Product::Plan(plan))) => return self.accept_plan(plan, spent).await,
            (Job::Combine, Ok(Product::Whole(text))) => Event::Combined { text, spent },
            (Job::Review { task, .. }, Ok(Product::Verdict(verdict))) => Event::Judged { task, verdict, spent },
            (Job::Work { task, round }, Ok(Product::Work(text))) => match self.understand(&task, text, spent) {
                Ok(events) => {
                    self.record(events).await;
                    return;
                }
                Err(error) => return self.unusable(Job::Work { task, round }, error, spent).await,
            },
            (job, Err(JobError::CalledOff)) => Event::CalledOff { job, spent },
            (job, Ok(_)) => {
                let problems = vec!["it is not what was asked for".to_owned()];
                let error = JobError::Unusable { answer: String::new(), problems, remedy: None };
                return self.unusable(job, error, spent).await;
            }
            (job, Err(error @ JobError::Unusable { .. })) => return self.unusable(job, error, spent).await,
            (job, Err(error)) => {
                let failure = Failure::from(&error);
                let failure = if self.has_no_time(&job, &failure) { failure.out_of_time() } else { failure };
                match self.economy(&job, &failure) {
                    Some(economy) => Event::Economised { job, economy, spent },
                    None => Event::Failed { job, failure, spent },
                }
            }
        };
        // Whoever reads the entries need not know what follows from such a failure.
        let late = matches!(&event, Event::Failed { job, failure, .. } if failure.is_out_of_time() && job.holds());
        let stop = (late && self.state.stop().is_none()).then_some(Event::Stopped { stop: Stop::Deadline });
        self.record(std::iter::once(event).chain(stop).collect()).await;
    }

    /// Whether it was the run's deadline that a call could not meet, and not that of its task.
    fn has_no_time(&self, job: &Job, failure: &Failure) -> bool {
        let late = failure.provider == Some(ErrorKind::DeadlineExceeded);
        let first = |end| self.task_deadline(job).is_none_or(|own| own > end);
        late && self.shared.deadline.is_some_and(first)
    }

    /// The step down under which a job that the budget did not cover may still fit.
    fn economy(&self, job: &Job, failure: &Failure) -> Option<Economy> {
        let dispensable = matches!(job, Job::Audit { .. });
        if self.state.stop().is_some() || dispensable || !failure.is_near_the_cap() {
            return None;
        }
        let now = self.state.economy();
        if self.begun_under.get(job).is_some_and(|under| *under < now) {
            // The run has stepped down since: that may be enough.
            return now;
        }
        let (role, tier, _) = brief::of(self.team, self.request, &self.state, job)?;
        let may_skip_review = self.team.settings.may_skip_review && self.team.role(RoleKind::Reviewer).is_some();
        Economy::next(now, job, role, tier, may_skip_review)
    }

    /// Asks again, if that is allowed; else the job came to nothing, or the request is worked on as a whole.
    async fn unusable(&mut self, job: Job, error: JobError, spent: Spent) {
        let failure = Failure::from(&error);
        if job == Job::Plan {
            self.tell(&Fact::PlanRejected { run: self.shared.run.clone(), reason: failure.message.clone() });
        }
        let event = match error {
            JobError::Unusable { answer, problems, .. } if self.state.may_ask_again(&job) => {
                Event::Unusable { job, attempt: Attempt { answer, problems }, spent }
            }
            _ if job == Job::Plan && self.team.settings.on_invalid_plan == OnInvalidPlan::Fallback => {
                let mut plan = Plan::single(self.request, &self.shared.plan_rules, true);
                plan.mended.push(failure.message);
                return self.accept_plan(plan, spent).await;
            }
            _ => Event::Failed { job, failure, spent },
        };
        self.record(vec![event]).await;
    }

    pub(super) async fn accept_plan(&mut self, plan: Plan, spent: Spent) {
        let approval = self.team.settings.approve_plan;
        self.record(vec![Event::Planned { plan, spent, approval }]).await;
    }
}
