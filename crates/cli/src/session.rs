//! One run from begin to end: who watches it, how it is stopped, what is shown of it.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bellwether_budget::Amount;
use bellwether_core::{Journal, Observer, RunId, TaskState};
use bellwether_journal::SqliteJournal;
use bellwether_team::{ChangedTerms, Control, Past, ResumeError, Ruling, RunOutcome, RunReport, Team, new_run_id};
use bellwether_watch::Page;

use crate::args::View;
use crate::budget::Budget;
use crate::command::{person, plan};
use crate::exit::{Exit, Failure};
use crate::live::Live;
use crate::memory::Memory;
use crate::onlookers::Onlookers;
use crate::parts::{self, Keys, Overrides, Parts};
use crate::team_file::TeamFile;
use crate::trace::Trace;
use crate::{memory, purse, routing, summary, terminal};

/// What a team is to do.
#[derive(Debug)]
pub(crate) enum Work {
    /// Begin with a request.
    Begin(String),
    /// Go on with a run.
    Resume(RunId, ChangedTerms),
}

/// What a team is to do, once what came before is known.
enum Ready {
    Begin(String),
    Resume(Box<Past>, ChangedTerms),
}

/// Lets the team of `file` do its work, and shows what `view` asks for. With a journal it can be resumed.
pub(crate) async fn run(
    file: &TeamFile,
    overrides: Overrides,
    budget: &[Budget],
    work: Work,
    journal: Option<PathBuf>,
    view: &View,
) -> Result<Exit, Failure> {
    let report = perform(file, overrides, budget, work, journal.as_deref(), view).await?;
    show(&report, view)?;
    if let Some(directory) = journal.filter(|_| is_unfinished(report.outcome) || report.retriable) {
        let at = beside(&directory);
        if report.outcome == RunOutcome::Parked && report.error.is_none() {
            let blocked = report.count(TaskState::Blocked) > 0;
            if blocked { person::waits(&report, &at) } else { plan::waits(&report, &at) }
        }
        let run = &report.run_id;
        if report.resumable {
            terminal::note(&format!("go on with: bellwether resume {run}{at}"));
        } else if report.retriable {
            terminal::note(&format!("try again what came to nothing: bellwether resume {run}{at} --retry-failed"));
        } else if report.outcome != RunOutcome::Cancelled {
            let why = explain(run, &at);
            terminal::note(&format!("a resume has nothing left to do, except under other terms; why: {why}"));
        }
    }
    Ok(Exit::of(&report))
}

/// What tells why a task of a run came to nothing.
pub(crate) fn explain(run: &RunId, at: &str) -> String {
    format!("bellwether explain {run} TASK{at}")
}

/// What has to be said of a journal that is not where commands look for it.
pub(crate) fn beside(directory: &Path) -> String {
    if directory == Path::new(memory::DIRECTORY) {
        return String::new();
    }
    format!(" --journal {}", directory.display())
}

/// Lets the team of `file` do its work, and reports what came of it.
pub(crate) async fn perform(
    file: &TeamFile,
    mut overrides: Overrides,
    budget: &[Budget],
    work: Work,
    journal: Option<&Path>,
    view: &View,
) -> Result<RunReport, Failure> {
    // Whether the work can be kept is found out before anything is paid for.
    if let Some(path) = &view.output {
        writable(path)?;
    }
    let store = journal.map(|directory| memory::open(directory, Some(file))).transpose()?;
    let (work, spent) = match work {
        Work::Begin(request) => (Ready::Begin(request), Amount::default()),
        Work::Resume(run, changed) => {
            let memory = store.clone().map(Memory::from);
            let (past, spent) = remembered(file, memory, &run, |past, team| amount(&past.report(team))).await?;
            (Ready::Resume(Box::new(past), changed), spent)
        }
    };
    overrides.budget = Budget::caps(budget, spent);
    overrides.stats = journal.as_ref().map(|directory| directory.join(routing::NAME));

    let live = Arc::new(Live::new(view.progress));
    let looked_at = journal.filter(|_| view.ui);
    let page = looked_at.map(|directory| memory::read(directory).map(Page::new)).transpose()?;
    let mut onlookers =
        Onlookers::gather(store.clone().map(|store| store as Arc<dyn Journal>), view.metrics, page).await?;
    let mut watchers = onlookers.observers();
    let trace = Trace::begin(view.trace.as_deref())?;
    watchers.extend(trace.observer());
    // Last, so that what is shown is counted already.
    watchers.push(Arc::<Live>::clone(&live) as Arc<dyn Observer>);
    let observer: Arc<dyn Observer> = Arc::new(watchers);
    let memory = store.zip(onlookers.journal()).map(|(store, journal)| Memory { journal, store });
    let parts = parts::build(file, &overrides, Keys::Required, &observer, memory)?;
    if let (Some(purse), Ready::Resume(past, _)) = (&parts.purse, &work) {
        past.accounts(&parts.team).iter().for_each(|booked| purse::book(purse, booked));
    }
    if view.metrics.is_some() {
        onlookers.measure(parts.limiters.clone());
    }
    if let Some(purse) = &parts.purse {
        onlookers.follow(purse, purse::caps(file, &overrides).usd);
    }
    let report = live_through(&parts.team, work, &live, &onlookers).await;
    onlookers.told_to_drain();
    parts.shutdown().await;
    live.end();
    if let Some(trouble) = parts.router.as_ref().and_then(|router| router.trouble()) {
        terminal::note(&format!("warning: what was learnt of models was not kept: {}", routing::failed(&trouble)));
    }
    trace.end().await;
    onlookers.leave().await;
    report.map_err(not_resumed)
}

/// The team of `file`, for whoever asks no model anything: it has no connections, so there is nothing to shut down.
pub(crate) fn at_rest(file: &TeamFile, memory: Option<Memory>) -> Result<Team, Failure> {
    let nobody: Arc<dyn Observer> = Arc::new(());
    Ok(parts::build(file, &Overrides::default(), Keys::Optional, &nobody, memory)?.team)
}

/// Decides on the plan of a run that waits for it.
pub(crate) async fn approve(
    file: &TeamFile,
    run: &RunId,
    ruling: Ruling,
    store: Arc<SqliteJournal>,
) -> Result<(), Failure> {
    at_rest(file, Some(store.into()))?.approve(run.clone(), ruling).await.map_err(not_resumed)
}

/// Has what came to nothing tried again by the next resume; whether there was anything.
pub(crate) async fn retry(
    file: &TeamFile,
    run: &RunId,
    changed: ChangedTerms,
    store: Arc<SqliteJournal>,
) -> Result<bool, Failure> {
    at_rest(file, Some(store.into()))?.retry(run, changed).await.map_err(not_resumed)
}

/// What is remembered of a run, without asking any model.
pub(crate) async fn recall(file: &TeamFile, run: &RunId, memory: Option<Memory>) -> Result<RunReport, Failure> {
    Ok(remembered(file, memory, run, Past::report).await?.1)
}

/// The past of a run, and what somebody makes of it.
async fn remembered<T>(
    file: &TeamFile,
    memory: Option<Memory>,
    run: &RunId,
    made_of: impl FnOnce(&Past, &Team) -> T,
) -> Result<(Past, T), Failure> {
    let team = at_rest(file, memory)?;
    let past = team.past(run).await.map_err(not_resumed)?;
    let made = made_of(&past, &team);
    Ok((past, made))
}

/// What a run has taken so far, as far as anybody knows.
fn amount(report: &RunReport) -> Amount {
    let calls = u64::from(report.calls) + u64::from(report.retries);
    Amount { usd: report.cost_usd.unwrap_or_default(), tokens: report.usage.tokens(), calls, time: report.busy }
}

const fn is_unfinished(outcome: RunOutcome) -> bool {
    !matches!(outcome, RunOutcome::Succeeded | RunOutcome::SucceededWithDefects)
}

pub(crate) fn not_resumed(error: ResumeError) -> Failure {
    match &error {
        ResumeError::Changed { .. } => Failure::usage(&error)
            .remedy("--adopt-config, to go on under the new terms; what was accepted under the old ones stays"),
        ResumeError::Held { .. } => Failure::usage(&error).remedy("wait for it, or bellwether cancel"),
        ResumeError::NotBlocked { .. } | ResumeError::NotParked => {
            Failure::usage(&error).remedy("bellwether runs list")
        }
        ResumeError::NoRole { role, .. } => {
            Failure::usage(&error).remedy(format!("keep [roles.{role}] in the team file until the run is done"))
        }
        ResumeError::NoEntry { .. } => Failure::usage(&error).remedy("bellwether runs show"),
        ResumeError::Unknown => Failure::usage(&error).remedy("bellwether runs list"),
        _ => memory::failed(&error),
    }
}

impl Parts {
    pub(crate) async fn shutdown(&self) {
        for dispatch in &self.dispatches {
            dispatch.shutdown().await;
        }
    }
}

async fn live_through(team: &Team, work: Ready, live: &Live, onlookers: &Onlookers) -> Result<RunReport, ResumeError> {
    let control = Control::default();
    let worked = async {
        match work {
            Ready::Begin(request) => Ok(team.run_with(&request, new_run_id(), &control).await),
            Ready::Resume(past, changed) => team.resume_from(*past, changed, &control).await,
        }
    };
    tokio::select! {
        report = worked => report,
        never = obey_signals(&control, live, onlookers) => match never {},
    }
}

/// The first signal drains, the second one stops at once.
async fn obey_signals(control: &Control, live: &Live, onlookers: &Onlookers) -> Infallible {
    signal().await;
    onlookers.told_to_drain();
    live.say("finishing what is under way; press Ctrl-C again to stop at once");
    control.drain();
    signal().await;
    control.halt();
    std::future::pending().await
}

/// Waits for Ctrl-C or SIGTERM.
pub(crate) async fn signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminated.recv() => return,
                interrupted = tokio::signal::ctrl_c() => if interrupted.is_ok() { return },
            }
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        // No signal can be heard here, so none will come.
        std::future::pending::<()>().await;
    }
}

pub(crate) fn show(report: &RunReport, view: &View) -> Result<(), Failure> {
    if let Some(path) = &view.output {
        std::fs::write(path, summary::markdown(report))
            .map_err(|error| Failure::io(format!("{} cannot be written", path.display()), &error))?;
    }
    if view.json {
        let json = serde_json::to_string(report).map_err(|error| Failure::new(Exit::Io, error.to_string()))?;
        terminal::out(&format!("{json}\n"));
    } else {
        terminal::out(&summary::text(report, view.output.as_deref(), terminal::Paper::of_output()));
    }
    Ok(())
}

/// Whether a file can be written, without changing what is in it.
fn writable(path: &Path) -> Result<(), Failure> {
    let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
    opened.map(drop).map_err(|error| Failure::io(format!("{} cannot be written", path.display()), &error))
}
