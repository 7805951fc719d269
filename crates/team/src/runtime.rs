//! Running a team: from a request to its report, from a run's memory to the rest of it, and stopping either.

mod accounts;
mod brief;
mod fork;
mod live;
mod past;
mod routing;
mod snapshots;

use std::sync::Arc;
use std::time::Duration;

use bellwether_core::journal::{Holder, JournalError};
use bellwether_core::{RunId, TaskId};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::log::{Log, LogError, Opening};
use crate::report::RunReport;
use crate::state::{Event, Rules, State};
use crate::team::Team;
pub use accounts::{Booked, Doubt};
pub use fork::fork;
use live::Runtime;
pub use past::Past;

/// Stops a run from outside. Cheap to clone; all clones stop the same runs.
#[derive(Clone, Debug, Default)]
pub struct Control {
    drain: CancellationToken,
    halt: CancellationToken,
}

impl Control {
    /// Begins no new work; calls in flight may finish within the team's grace.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Stops at once; calls in flight are cancelled and may be billed. A journal that waits for room on its disk is not waited
    /// for: what it has not taken by then is done again by a resume.
    pub fn halt(&self) {
        self.drain.cancel();
        self.halt.cancel();
    }

    /// What is asked of a journal, which may wait for its disk for as long as it takes; but not once the run is halted.
    async fn in_time<T>(&self, asked: impl Future<Output = Result<T, JournalError>>) -> Result<T, JournalError> {
        let patience = async {
            self.halt.cancelled().await;
            sleep(PATIENCE).await;
        };
        tokio::select! {
            biased;
            answer = asked => answer,
            () = patience => Err(JournalError::Store("it took longer than somebody waited who stopped the run".into())),
        }
    }
}

/// How long a journal may take over an entry once its run is halted.
const PATIENCE: Duration = Duration::from_secs(1);

/// What to do with a run that was begun under other terms: other prompts, models or measures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChangedTerms {
    /// Go on under the new ones; what was accepted under the old ones stays.
    Adopt,
    /// Do not go on.
    Refuse,
}

/// What somebody says to a plan.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ruling {
    /// Go on.
    Approve,
    /// Do not, for this reason.
    Deny(String),
}

/// What a person says to work that was never good enough in a reviewer's eyes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskRuling {
    /// The best of it is good enough.
    Accept,
    /// It goes back once more.
    Again {
        /// What is to be done about it.
        note: String,
    },
    /// It is of no use, and the task failed.
    Fail {
        /// Why.
        reason: String,
    },
}

/// Why a run was not taken up again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// The team is not the one that began the run.
    #[error("the team has changed since the run began: {}", parts.join(", "))]
    Changed {
        /// What is not as it was.
        parts: Vec<String>,
    },
    /// Another process works on it.
    #[error("process {} on {} works on it", holder.pid, holder.host)]
    Held {
        /// Who works on it.
        holder: Holder,
    },
    /// The journal failed.
    #[error("the journal failed")]
    Journal(#[source] JournalError),
    /// The run has no such entry.
    #[error("it has no entry {at}: its entries go from 1 to {last}")]
    NoEntry {
        /// The number that was asked for.
        at: u64,
        /// The number of its last entry.
        last: u64,
    },
    /// The team has no journal.
    #[error("the team remembers nothing: give it a journal")]
    NoJournal,
    /// What the journal says is not understood.
    #[error("what is remembered of it is not understood: {why}")]
    Unreadable {
        /// What is wrong with it.
        why: String,
    },
    /// No person has to say what becomes of the task.
    #[error("its task {task} waits for nobody's decision")]
    NotBlocked {
        /// The task.
        task: TaskId,
    },
    /// The team no longer has a role that tasks of the run are for.
    #[error("the team has no role {role} any more, and {} of the run is for it", task)]
    NoRole {
        /// The role.
        role: Arc<str>,
        /// The first task that is for it and not done.
        task: TaskId,
    },
    /// Nobody has to agree to its plan, or somebody has decided already.
    #[error("its plan waits for nobody's approval")]
    NotParked,
    /// The journal does not know it.
    #[error("there is no such run")]
    Unknown,
}

impl From<LogError> for ResumeError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Journal(JournalError::Held { holder, .. }) => Self::Held { holder },
            LogError::Journal(error) => Self::Journal(error),
            other => {
                let source = std::error::Error::source(&other).map_or_else(String::new, |source| format!(": {source}"));
                Self::Unreadable { why: format!("{other}{source}") }
            }
        }
    }
}

impl Team {
    /// Works on `request` and reports what came of it. Failures are part of the report.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the agents and cancels their calls, which may be billed. With a journal the run can be
    /// resumed; without one the work is lost. Use [`Team::run_with`] to stop a run and keep its work.
    pub async fn run(&self, request: &str) -> RunReport {
        self.run_with(request, new_run_id(), &Control::default()).await
    }

    /// Works on `request` under a given id, until done or stopped. The id must be new to the team's journal: a run that is
    /// there already is not touched, and the report says so.
    ///
    /// # Cancel safety
    ///
    /// As for [`Team::run`].
    pub async fn run_with(&self, request: &str, run: RunId, control: &Control) -> RunReport {
        let log = match &self.journal {
            None => Ok(None),
            Some(journal) => {
                let opening = Opening::new(self, request);
                control.in_time(Log::begin(Arc::clone(journal), &run, &opening)).await.map(Some)
            }
        };
        Runtime::new(self, request, run, log, control).begin().await
    }

    /// What is remembered of a run, as a report; nothing is asked of any model.
    ///
    /// # Errors
    ///
    /// [`ResumeError`] if it is unknown or not understood.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed.
    pub async fn recall(&self, run: RunId) -> Result<RunReport, ResumeError> {
        Ok(self.past(&run).await?.report(self))
    }

    /// What is remembered of a run, for whoever wants more of it than one thing.
    ///
    /// # Errors
    ///
    /// [`ResumeError`] if it is unknown or not understood.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed.
    pub async fn past(&self, run: &RunId) -> Result<Past, ResumeError> {
        let journal = self.journal.as_ref().ok_or(ResumeError::NoJournal)?;
        past::fold(self, &**journal, run).await?.ok_or(ResumeError::Unknown)
    }

    /// Agrees to the plan of a run that waits for it, or does not. [`Team::resume`] then goes on with it.
    ///
    /// # Errors
    ///
    /// [`ResumeError::NotParked`] if the run waits for nobody; otherwise as for [`Team::resume`].
    ///
    /// # Cancel safety
    ///
    /// The decision may have been remembered all the same; a second one is turned away.
    pub async fn approve(&self, run: RunId, ruling: Ruling) -> Result<(), ResumeError> {
        self.approve_from(self.past(&run).await?, ruling).await
    }

    /// Decides on the plan of a run of which somebody knows the past already, as [`Team::approve`] does.
    ///
    /// # Errors
    ///
    /// As for [`Team::approve`].
    ///
    /// # Cancel safety
    ///
    /// As for [`Team::approve`].
    pub async fn approve_from(&self, past: Past, ruling: Ruling) -> Result<(), ResumeError> {
        let parked = |state: &State| if state.is_parked() { Ok(()) } else { Err(ResumeError::NotParked) };
        self.decide(past, Event::Decided { ruling }, parked).await
    }

    /// Says what becomes of a task whose work was never good enough, in a run of a team that asks a person then
    /// ([`OnExhausted::Human`](crate::OnExhausted::Human)). [`Team::resume`] then goes on with it.
    ///
    /// # Errors
    ///
    /// [`ResumeError::NotBlocked`] if the task waits for nobody; otherwise as for [`Team::resume`].
    ///
    /// # Cancel safety
    ///
    /// The decision may have been remembered all the same; a second one is turned away.
    pub async fn rule(&self, run: RunId, task: TaskId, ruling: TaskRuling) -> Result<(), ResumeError> {
        self.rule_from(self.past(&run).await?, task, ruling).await
    }

    /// Decides on a task of a run of which somebody knows the past already, as [`Team::rule`] does.
    ///
    /// # Errors
    ///
    /// As for [`Team::rule`].
    ///
    /// # Cancel safety
    ///
    /// As for [`Team::rule`].
    pub async fn rule_from(&self, past: Past, task: TaskId, ruling: TaskRuling) -> Result<(), ResumeError> {
        let event = Event::Ruled { task: task.clone(), ruling };
        let blocked =
            |state: &State| if state.is_blocked(&task) { Ok(()) } else { Err(ResumeError::NotBlocked { task }) };
        self.decide(past, event, blocked).await
    }

    /// Has what came to nothing tried again by the next [`Team::resume`]: tasks, the plan or the whole, and reviews that nobody
    /// could make. What a person turned down stays. Whether there was anything.
    ///
    /// # Errors
    ///
    /// As for [`Team::resume`].
    ///
    /// # Cancel safety
    ///
    /// It may have been remembered all the same.
    pub async fn retry(&self, run: &RunId, changed: ChangedTerms) -> Result<bool, ResumeError> {
        let past = self.past(run).await?;
        self.may_go_on(&past, changed)?;
        let (log, past) = self.take_up(past).await?;
        let wanted = past.state.may_try_again();
        let event = Event::Retried { tasks: past.state.failed() };
        let written = if wanted { log.write(past.at, &[event]).await.map(drop) } else { Ok(()) };
        log.let_go().await.map_err(ResumeError::Journal)?;
        written.map(|()| wanted).map_err(ResumeError::Journal)
    }

    /// Remembers somebody's decision, if the run waits for it.
    async fn decide(
        &self,
        past: Past,
        event: Event,
        waits: impl FnOnce(&State) -> Result<(), ResumeError>,
    ) -> Result<(), ResumeError> {
        let (log, past) = self.take_up(past).await?;
        let written = match waits(&past.state) {
            Ok(()) => log.write(past.at, &[event]).await.map(drop).map_err(ResumeError::Journal),
            refused => refused,
        };
        log.let_go().await.map_err(ResumeError::Journal)?;
        written
    }

    /// Goes on with a run that was stopped, or whose process ended, and reports what came of the whole.
    ///
    /// What was finished is not done again. Calls that were under way when the process ended are made again under the
    /// same idempotency keys, and counted as possible duplicates. A run that came to its end is only reported.
    ///
    /// # Errors
    ///
    /// [`ResumeError`] if it is unknown, somebody else works on it, or the team has changed; nothing was changed then.
    ///
    /// # Cancel safety
    ///
    /// As for [`Team::run`]; the run can be resumed again.
    pub async fn resume(&self, run: RunId, changed: ChangedTerms, control: &Control) -> Result<RunReport, ResumeError> {
        self.resume_from(self.past(&run).await?, changed, control).await
    }

    /// Goes on with a run of which somebody knows the past already, as [`Team::resume`] does.
    ///
    /// # Errors
    ///
    /// As for [`Team::resume`].
    ///
    /// # Cancel safety
    ///
    /// As for [`Team::resume`].
    pub async fn resume_from(
        &self,
        past: Past,
        changed: ChangedTerms,
        control: &Control,
    ) -> Result<RunReport, ResumeError> {
        // Whether it may go on is found out before anybody else is kept from it.
        self.may_go_on(&past, changed)?;
        let taken = control.in_time(async { Ok(self.take_up(past).await) });
        let (log, past) = taken.await.map_err(ResumeError::Journal)??;
        let (request, run) = (past.opening.request.clone(), past.run.clone());
        Ok(Runtime::new(self, &request, run, Ok(Some(log)), control).resume(past).await)
    }

    /// Whether this team may go on with a run.
    fn may_go_on(&self, past: &Past, changed: ChangedTerms) -> Result<(), ResumeError> {
        let parts = past.opening.changed(&self.terms());
        if !parts.is_empty() && changed == ChangedTerms::Refuse {
            return Err(ResumeError::Changed { parts });
        }
        match past.state.nobodys(Rules::of(self), |role| self.named(role).is_some()) {
            Some((role, task)) => Err(ResumeError::NoRole { role, task }),
            None => Ok(()),
        }
    }

    /// Becomes the writer of a run, and folds what was remembered of it since.
    async fn take_up(&self, mut past: Past) -> Result<(Log, Past), ResumeError> {
        let journal = self.journal.as_ref().ok_or(ResumeError::NoJournal)?;
        let log = Log::reopen(Arc::clone(journal), &past.run).await.map_err(LogError::from)?;
        let log = log.ok_or(ResumeError::Unknown)?;
        match past.go_on(self, &**journal).await {
            Ok(()) => Ok((log, past)),
            Err(error) => {
                log.let_go().await.map_err(ResumeError::Journal)?;
                Err(error.into())
            }
        }
    }
}

/// A new run's id: sorts by time, otherwise random (UUID version 7).
#[must_use]
pub fn new_run_id() -> RunId {
    Uuid::now_v7().to_string().into()
}
