//! What came of a run, for people.

use std::fmt::Write as _;
use std::path::Path;

use bellwether_core::Usd;
use bellwether_team::{RunOutcome, RunReport, TaskResult, TaskState};
use clap::builder::styling::AnsiColor;

use crate::exit;
use crate::terminal::{cut, paint, plain};

/// The summary that closes a run.
pub(crate) fn text(report: &RunReport, output: Option<&Path>, colour: bool) -> String {
    let mut text = String::from("\n=== Workflow Summary ===\n");
    let outcome = paint(report.outcome.as_str(), outcome_colour(report.outcome), colour);
    let _ = writeln!(text, "Run:                  {} ({})", report.run_id, plain(&report.team, false));
    let _ = writeln!(text, "Outcome:              {outcome}: {}", plain(&report.reason, false));
    if report.degraded {
        text.push_str("Plan:                 none could be read from the planner's answers; one task for everything\n");
    }
    let _ = writeln!(text, "Total Tasks:          {}", report.tasks.len());
    let _ = writeln!(text, "Successful:           {}", report.tasks.iter().filter(|task| task.success).count());
    let _ = writeln!(text, "Failed:               {}", report.tasks.iter().filter(|task| !task.success).count());
    let _ = writeln!(text, "Calls:                {} ({} sent again)", report.calls, report.retries);
    let tokens = |tokens: Option<u64>| tokens.map_or_else(|| "unknown".to_owned(), |tokens| tokens.to_string());
    let (input, output_tokens) = (tokens(report.usage.input_tokens), tokens(report.usage.output_tokens));
    let _ = writeln!(text, "Tokens:               {input} in, {output_tokens} out");
    let _ = writeln!(text, "Cost:                 {}", cost(report));
    if !report.economies.is_empty() {
        let steps: Vec<&str> = report.economies.iter().map(|economy| economy.as_str()).collect();
        let _ = writeln!(text, "Near the budget:      {}", steps.join(", then "));
    }
    let millis = |duration: std::time::Duration| duration.as_secs_f64() * 1e3;
    let _ = writeln!(
        text,
        "Total Execution Time: {:.2}ms ({:.2}ms of work, side by side)",
        millis(report.wall),
        millis(report.busy)
    );
    if !report.tasks.is_empty() {
        text.push('\n');
        text.push_str(&table(report, colour));
    }
    if let Some(result) = &report.result {
        let _ = writeln!(text, "\n{}", plain(result, true).trim());
    } else if let Some(error) = &report.result_error {
        let _ = writeln!(text, "\nThe parts are not joined: {}", cut(&plain(&error.message, false), 160));
    }
    if let Some(remedy) = exit::remedy_of(report) {
        let _ = writeln!(text, "\nTry: {remedy}");
    }
    if let Some(path) = output {
        let _ = writeln!(text, "\nThe work is in {}", path.display());
    }
    text
}

fn cost(report: &RunReport) -> String {
    let known = report.cost_usd.map_or_else(|| "unknown".to_owned(), |cost| cost.to_string());
    match report.unpriced_calls {
        0 => known,
        unpriced => format!("{known}, and {unpriced} calls of unknown cost"),
    }
}

fn table(report: &RunReport, colour: bool) -> String {
    let mut table = format!(
        "{:<5} {:<12} {:<11} {:>5} {:>6} {:>9} {:>7} {:>9}  Title\n",
        "Task", "Role", "State", "Score", "Rounds", "Time", "Tokens", "Cost"
    );
    for task in &report.tasks {
        let state = paint(&format!("{:<11}", task.state.as_str()), state_colour(task.state), colour);
        let score = task.score.map_or_else(|| "-".to_owned(), |score| format!("{score:.2}"));
        let rounds = if task.result.is_some() { task.revisions + 1 } else { 0 };
        let _ = writeln!(
            table,
            "{:<5} {:<12} {state} {score:>5} {rounds:>6} {:>8.2}s {:>7} {:>9}  {}",
            task.task_id,
            cut(&plain(&task.agent, false), 12),
            task.execution_time.as_secs_f64(),
            task.usage.tokens(),
            task.cost_usd.map_or_else(|| "-".to_owned(), |cost: Usd| cost.to_string()),
            cut(&plain(&task.title, false), 60),
        );
        if let Some(error) = &task.error {
            let _ = writeln!(table, "      {}", cut(&plain(&error.message, false), 160));
        }
        for issue in &task.open_issues {
            let _ = writeln!(table, "      open: {}", cut(&plain(&issue.fix, false), 160));
        }
    }
    table
}

/// The work of all tasks, for a file.
pub(crate) fn markdown(report: &RunReport) -> String {
    let mut text = format!("# {}\n\n", plain(&report.request, false));
    let _ = writeln!(text, "Run {}: {}, {}.\n", report.run_id, report.outcome.as_str(), plain(&report.reason, false));
    if let Some(result) = &report.result {
        let _ = writeln!(text, "{}\n", plain(result, true).trim());
    }
    for task in &report.tasks {
        let _ = writeln!(text, "## {} {}\n", task.task_id, plain(&task.title, false));
        let _ = writeln!(text, "*{}{}*\n", task.state.as_str(), judged(task));
        match &task.result {
            Some(work) => {
                let _ = writeln!(text, "{}\n", plain(work, true).trim());
            }
            None => text.push_str("There is no work.\n\n"),
        }
    }
    text
}

fn judged(task: &TaskResult) -> String {
    task.score.map_or_else(String::new, |score| format!(", score {score:.2}"))
}

const fn outcome_colour(outcome: RunOutcome) -> AnsiColor {
    match outcome {
        RunOutcome::Succeeded => AnsiColor::Green,
        RunOutcome::SucceededWithDefects | RunOutcome::Partial => AnsiColor::Yellow,
        _ => AnsiColor::Red,
    }
}

const fn state_colour(state: TaskState) -> AnsiColor {
    match state {
        TaskState::Accepted => AnsiColor::Green,
        TaskState::Blocked | TaskState::Unreviewed | TaskState::Rejected => AnsiColor::Yellow,
        _ => AnsiColor::Red,
    }
}
