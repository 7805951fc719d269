//! `bellwether approve`: a person decides on a plan, or on work that was never good enough.

use std::fmt::Write as _;

use bellwether_core::{TaskId, TaskState};
use bellwether_team::{Ruling, RunReport, TaskResult, TaskRuling};

use crate::args::Approve;
use crate::exit::{Exit, Failure};
use crate::terminal::{cut, note, out, plain};
use crate::{memory, session};

/// How many lines of a work are shown.
const LINES: usize = 20;

/// Shows what waits for somebody, or decides it.
pub(crate) async fn approve(args: Approve) -> Result<Exit, Failure> {
    let reader = memory::read(&args.which.journal)?;
    let info = memory::find(&reader, &args.which.run).await?;
    let file = memory::team_of(&reader, &info.run, args.team.clone()).await?;
    drop(reader);
    let store = memory::open(&args.which.journal, Some(&file))?;
    let at = session::beside(&args.which.journal);
    let (run, decision) = (&info.run, decision(&args));
    let report = session::recall(&file, run, Some(std::sync::Arc::clone(&store).into())).await?;
    let waiting: Vec<&TaskResult> = report.tasks.iter().filter(|task| task.state == TaskState::Blocked).collect();
    if waiting.is_empty() && decision.is_none() && args.task.is_none() {
        let denied = args.deny.is_some();
        session::approve(&file, run, args.deny.map_or(Ruling::Approve, Ruling::Deny), store).await?;
        out(&if denied {
            format!("the plan of run {run} is not approved; nothing further is done\n")
        } else {
            format!("the plan of run {run} is approved; go on with: bellwether resume {run}{at}\n")
        });
        return Ok(Exit::Done);
    }
    let Some(ruling) = decision else {
        waiting.iter().for_each(|task| out(&shown(task)));
        waits(&report, &at);
        return Ok(Exit::Parked);
    };
    let task = match (&args.task, &waiting[..]) {
        (Some(task), _) => TaskId::from(task.as_str()),
        (None, [only]) => only.task_id.clone(),
        (None, []) => {
            return Err(Failure::usage("no task of the run waits for a person").remedy("bellwether runs list"));
        }
        (None, several) => {
            let ids: Vec<&str> = several.iter().map(|task| task.task_id.as_str()).collect();
            return Err(Failure::usage(format!("several tasks wait for a person: {}", ids.join(", ")))
                .remedy("--task with one of them"));
        }
    };
    session::rule(&file, run, task.clone(), ruling, store).await?;
    out(&format!("task {task} of run {run} is decided; go on with: bellwether resume {run}{at}\n"));
    Ok(Exit::Done)
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
