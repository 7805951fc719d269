//! How the program ends: exit codes, and failures that say what to do.

use std::fmt;
use std::process::ExitCode;

use bellwether_core::ErrorKind;
use bellwether_core::error::Phase;
use bellwether_team::{RunOutcome, RunReport};
use serde_json::{Value, json};

/// How the program ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Exit {
    /// It did what it was asked.
    Done = 0,
    /// The command line, the team file or the environment is wrong.
    Usage = 2,
    /// Some tasks came to nothing.
    Partial = 3,
    /// Nothing usable came of it.
    Failed = 4,
    /// The budget does not cover the rest.
    Budget = 5,
    /// The deadline came.
    Deadline = 6,
    /// The provider cannot be reached.
    Unreachable = 69,
    /// A file or a socket failed.
    Io = 74,
    /// It waits for somebody: for approval of its plan or of a task's work, or for an account that has nothing left. What was
    /// done is kept.
    Parked = 75,
    /// The provider refused the key.
    Auth = 77,
    /// It was stopped.
    Cancelled = 130,
}

/// The exit codes, as `--help` shows them.
pub(crate) const TABLE: &str = "\
Exit codes:
    0  done; tasks found wanting after the last revision are named in the summary
    2  the command line, the team file or the environment is wrong
    3  some tasks came to nothing
    4  nothing usable came of the run
    5  the budget does not cover the rest
    6  the deadline came
   69  the provider cannot be reached
   74  a file or a socket failed
   75  parked: the plan or a task waits for approval, or the account has nothing left; approve it or pay, then resume
   77  the provider refused the key
  130  stopped by Ctrl-C or SIGTERM";

impl Exit {
    /// How a run's end is told to the shell.
    pub(crate) fn of(report: &RunReport) -> Self {
        match report.outcome {
            RunOutcome::Succeeded | RunOutcome::SucceededWithDefects => Self::Done,
            RunOutcome::BudgetExhausted => Self::Budget,
            RunOutcome::Cancelled => Self::Cancelled,
            RunOutcome::DeadlineExceeded => Self::Deadline,
            RunOutcome::Parked => Self::Parked,
            RunOutcome::Partial => Self::Partial,
            _ => decisive(report).map_or(Self::Failed, of_kind),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// How a provider's failure that ends everything is told to the shell.
pub(crate) const fn of_kind(kind: ErrorKind) -> Exit {
    match kind {
        ErrorKind::Auth | ErrorKind::PermissionDenied => Exit::Auth,
        ErrorKind::Connect | ErrorKind::Timeout(Phase::Connect) => Exit::Unreachable,
        ErrorKind::DeadlineExceeded => Exit::Deadline,
        ErrorKind::QuotaExhausted => Exit::Parked,
        _ => Exit::Failed,
    }
}

/// The provider's failure that decided a run: the one that ended it, or else the first task's.
pub(crate) fn decisive(report: &RunReport) -> Option<ErrorKind> {
    let of_tasks = report.tasks.iter().filter_map(|task| task.error.as_ref());
    report.error.iter().chain(of_tasks).find_map(|failure| failure.provider)
}

/// What to do about the failure that decided a run.
pub(crate) fn remedy_of(report: &RunReport) -> Option<&'static str> {
    let of_tasks = report.tasks.iter().filter_map(|task| task.error.as_ref());
    let failure = report.error.iter().chain(of_tasks).find(|failure| failure.provider.is_some());
    match failure.map(|failure| failure.kind.as_str()) {
        None if !report.economies.is_empty() => remedy(ErrorKind::BudgetExceeded),
        Some("budget_unknown") => Some("say in the team file what is missing, as the message names it"),
        Some("role_budget_exceeded") => Some("raise [roles.*.budget] in the team file, then bellwether resume"),
        Some("task_budget_exceeded") => Some("raise [budget.task] in the team file, then bellwether resume"),
        Some("tenant_day_budget_exceeded") => {
            Some("raise [budget.tenant_day] in the team file, or bellwether resume tomorrow (UTC)")
        }
        _ => decisive(report).and_then(remedy),
    }
}

/// What to do about a provider's failure.
pub(crate) const fn remedy(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::Auth => Some("check the key: it is missing, mistyped, expired, or belongs to another provider"),
        ErrorKind::BudgetExceeded => Some("raise [budget] in the team file, or bellwether resume --budget +2usd"),
        ErrorKind::Connect | ErrorKind::Timeout(Phase::Connect) => {
            Some("check the base URL, the network, and whether the server is running")
        }
        ErrorKind::ContentFiltered => Some("reword the request: the provider's filter rejects it"),
        ErrorKind::ContextLength => Some("use a model with a larger window, or shorten the prompts"),
        ErrorKind::DeadlineExceeded => Some("allow more time, or raise the concurrency"),
        ErrorKind::NotFound => Some("check the base URL and the model's id: the provider does not know one of them"),
        ErrorKind::PermissionDenied => Some("use a key that may use this model, or another model"),
        ErrorKind::QuotaExhausted => Some("add credit or raise the limit in the provider's console, then resume"),
        ErrorKind::RateLimited => Some("lower the concurrency, or wait: the provider keeps asking us to slow down"),
        ErrorKind::Timeout(_) => {
            Some("raise --timeout, or in a team file [provider.*] or `timeout` in [roles.*]; or use a faster model")
        }
        _ => None,
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    message: String,
    remedy: Option<String>,
    /// What was done by then, for machines.
    beside: Option<Value>,
}

impl Failure {
    pub(crate) const fn new(exit: Exit, message: String) -> Self {
        Self { exit, message, remedy: None, beside: None }
    }

    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Puts the error into a summary of what was done by then.
    pub(crate) fn beside(mut self, summary: Value) -> Self {
        self.beside = Some(summary);
        self
    }

    /// A mistake in the command line, the team file or the environment.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, message.to_string())
    }

    /// A file or a socket that failed.
    pub(crate) fn io(what: impl fmt::Display, error: &std::io::Error) -> Self {
        Self::new(Exit::Io, format!("{what}: {error}"))
    }

    /// One JSON object for machines.
    pub(crate) fn json(&self) -> String {
        let mut object = self.beside.clone().unwrap_or_else(|| json!({}));
        object["error"] = json!({ "message": self.message, "remedy": self.remedy, "exit_code": self.exit as u8 });
        object.to_string()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(remedy) = &self.remedy {
            write!(f, "\n  try: {remedy}")?;
        }
        Ok(())
    }
}
