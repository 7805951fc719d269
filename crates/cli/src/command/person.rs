//! `bellwether approve`: a person decides on a plan, or on work that was never good enough.

use std::fmt::Write as _;

use bellwether_core::{RunId, TaskState};
use bellwether_team::{Past, Ruling, RunOutcome, RunReport, TaskResult, TaskRuling, Team};
use bellwether_watch::story::DECIDED;

use crate::args::Approve;
use crate::command::runs;
use crate::exit::{Exit, Failure};
use crate::terminal::{cut, note, out, plain};
use crate::{memory, session};

/// How many lines of a work are shown.
const LINES: usize = 20;

/// Shows what waits for somebody, or decides it.
pub(crate) async fn approve(args: Approve) -> Result<Exit, Failure> {
    let reader = memory::read(&args.which.journal)?;
    let info = memory::find(&reader, &args.which.run).await?;
    let state = runs::state(&reader, &info).await?;
    let file = memory::team_of(&reader, &info.run, args.team.clone()).await?;
    drop(reader);
    let store = memory::open(&args.which.journal, Some(&file))?;
    let at = session::beside(&args.which.journal);
    let run = &info.run;
    let team = session::at_rest(&file, Some(store.into()))?;
    let past = team.past(run).await.map_err(session::not_resumed)?;
    let report = past.report(&team);
    let waiting: Vec<&TaskResult> = report.tasks.iter().filter(|task| task.state == TaskState::Blocked).collect();
    let decision = decision(&args);
    if waiting.is_empty() {
        if report.outcome != RunOutcome::Parked || report.error.is_some() {
            return Err(nobody(&report, &state, info.holder.is_some(), &at));
        }
        if decision.is_some() || args.task.is_some() {
            let what = format!("it is the plan of run {run} that waits, and none of its tasks");
            return Err(Failure::usage(what).remedy(format!("bellwether approve {run}{at} [--deny REASON]")));
        }
        return plan(&team, past, run, args.deny, &at).await;
    }
    let asked = |task: &&&TaskResult| args.task.as_deref().is_none_or(|id| task.task_id.as_str() == id);
    let meant: Vec<&TaskResult> = waiting.iter().filter(asked).copied().collect();
    let ids = || waiting.iter().map(|task| task.task_id.as_str()).collect::<Vec<_>>().join(", ");
    match (decision, args.deny, &meant[..]) {
        (_, Some(_), _) => {
            Err(Failure::usage(format!("the plan of run {run} waits for nobody, but the work of {}", ids()))
                .remedy("--fail REASON, to turn the work of a task down"))
        }
        (_, _, []) => {
            let id = plain(args.task.as_deref().unwrap_or_default(), false);
            Err(Failure::usage(format!("task {id} of run {run} waits for nobody's decision"))
                .remedy(format!("--task with one of those that do: {}", ids())))
        }
        (None, ..) => {
            meant.iter().for_each(|task| out(&shown(task)));
            waits(&report, &at);
            Ok(Exit::Parked)
        }
        (Some(ruling), _, [only]) => {
            let task = only.task_id.clone();
            team.rule_from(past, task.clone(), ruling).await.map_err(session::not_resumed)?;
            out(&format!("task {task} of run {run} is decided; go on with: bellwether resume {run}{at}\n"));
            Ok(Exit::Done)
        }
        (Some(_), ..) => {
            Err(Failure::usage(format!("several tasks wait for a person: {}", ids())).remedy("--task with one of them"))
        }
    }
}

/// Decides on the plan of a run.
async fn plan(team: &Team, past: Past, run: &RunId, deny: Option<String>, at: &str) -> Result<Exit, Failure> {
    let denied = deny.is_some();
    let ruling = deny.map_or(Ruling::Approve, Ruling::Deny);
    team.approve_from(past, ruling).await.map_err(session::not_resumed)?;
    out(&if denied {
        format!("the plan of run {run} is not approved; nothing further is done\n")
    } else {
        format!("the plan of run {run} is approved; go on with: bellwether resume {run}{at}\n")
    });
    Ok(Exit::Done)
}

/// What to say to somebody who would decide where nothing is to be decided.
fn nobody(report: &RunReport, state: &str, held: bool, at: &str) -> Failure {
    let (run, reason) = (&report.run_id, plain(&report.reason, false));
    let done = matches!(report.outcome, RunOutcome::Succeeded | RunOutcome::SucceededWithDefects);
    let (how, remedy) = if held {
        (state.to_owned(), format!("bellwether tail {run}{at}, or bellwether cancel {run}{at}"))
    } else if state == runs::INTERRUPTED || state == DECIDED {
        ("no process works on it".to_owned(), format!("bellwether resume {run}{at}"))
    } else if done {
        (format!("it {}", state.replace('_', " ")), format!("bellwether report {run}{at}, to see what came of it"))
    } else {
        let resume = format!("bellwether resume {run}{at}");
        let remedy = match (report.resumable, report.retriable) {
            (true, _) => resume,
            (false, true) => resume + " --retry-failed",
            (false, false) => session::explain(run, at),
        };
        (format!("it ended as {state}: {reason}"), remedy)
    };
    Failure::usage(format!("run {run} waits for nobody's decision: {how}")).remedy(remedy)
}

fn decision(args: &Approve) -> Option<TaskRuling> {
    let again = args.again.clone().map(|note| TaskRuling::Again { note });
    let fail = args.fail.clone().map(|reason| TaskRuling::Fail { reason });
    again.or(fail).or_else(|| args.accept.then_some(TaskRuling::Accept))
}

/// A task that waits: how good its best work is, what is open, and its beginning.
fn shown(task: &TaskResult) -> String {
    let mut text = format!("=== {} {} ===\n", task.task_id, plain(&task.title, false));
    let score = task.score.map_or_else(|| "unknown".to_owned(), |score| format!("{score:.2}"));
    let _ = writeln!(text, "score {score} after {} revisions by {}", task.revisions, plain(&task.agent, false));
    for issue in &task.open_issues {
        let _ = writeln!(text, "open: [{}] {}", plain(&issue.severity, false), cut(&plain(&issue.fix, false), 200));
    }
    let work = plain(task.result.as_deref().unwrap_or_default(), true);
    let (lines, more) = (work.lines().take(LINES), work.lines().count().saturating_sub(LINES));
    lines.for_each(|line| {
        let _ = writeln!(text, "  {}", cut(line, 160));
    });
    if more > 0 {
        let _ = writeln!(text, "  ... {more} more lines");
    }
    text
}

/// What is said of a run that waits for a person, to whoever began it.
pub(crate) fn waits(report: &RunReport, at: &str) {
    let waiting = report.tasks.iter().filter(|task| task.state == TaskState::Blocked);
    let ids: Vec<&str> = waiting.map(|task| task.task_id.as_str()).collect();
    let task = if let [_] = ids[..] { String::new() } else { " --task TASK".to_owned() };
    note(&format!("a person has to decide on {}", ids.join(", ")));
    note(&format!(
        "see and decide: bellwether approve {}{at}{task} [--accept | --again NOTE | --fail REASON]",
        report.run_id
    ));
}
