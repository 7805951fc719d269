//! What came of a run, for people.

use std::fmt::Write as _;
use std::path::Path;

use bellwether_core::Usd;
use bellwether_team::{RunOutcome, RunReport, TaskResult, TaskState};
use clap::builder::styling::AnsiColor;
use console::measure_text_width;

use crate::exit;
use crate::terminal::{Paper, cut, paint, plain, wrap};

/// The summary that closes a run.
pub(crate) fn text(report: &RunReport, output: Option<&Path>, paper: Paper) -> String {
    let mut text = String::from("\n=== Workflow Summary ===\n");
    text.push_str(&folded(&figures(report, paper.colour), paper));
    if !report.tasks.is_empty() {
        text.push('\n');
        text.push_str(&table(report, paper));
    }
    if let Some(result) = &report.result {
        let _ = writeln!(text, "\n{}", plain(result, true).trim());
    } else if let Some(error) = &report.result_error {
        let said = format!("\nThe parts are not joined: {}\n", cut(&plain(&error.message, false), 160));
        text.push_str(&folded(&said, paper));
    }
    if let Some(remedy) = exit::remedy_of(report) {
        text.push_str(&folded(&format!("\nTry: {remedy}\n"), paper));
    }
    if let Some(path) = output {
        let _ = writeln!(text, "\nThe work is in {}", path.display());
    }
    text
}

/// Lines that fit on paper, each with its name in front.
fn folded(lines: &str, paper: Paper) -> String {
    let Some(columns) = paper.columns else { return lines.to_owned() };
    let indent = if columns < ROOMY { 4 } else { 22 };
    lines.lines().map(|line| wrap(line, columns, indent) + "\n").collect()
}

/// The run as a whole, a line for each figure.
fn figures(report: &RunReport, colour: bool) -> String {
    let mut text = String::new();
    let outcome = paint(report.outcome.as_str(), outcome_colour(report.outcome), colour);
    let _ = writeln!(text, "Run:                  {} ({})", report.run_id, plain(&report.team, false));
    let _ = writeln!(text, "Outcome:              {outcome}: {}", plain(&report.reason, false));
    if report.degraded {
        let why =
            report.plan_mended.last().map_or_else(String::new, |why| format!(": {}", cut(&plain(why, false), 300)));
        let what = "none could be read from the planner's answers; one task for everything";
        let _ = writeln!(text, "Plan:                 {what}{why}");
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
    if report.stalls > 0 {
        let _ =
            writeln!(text, "Stalled:              {} times nothing came in for longer than stall_after", report.stalls);
    }
    let millis = |duration: std::time::Duration| duration.as_secs_f64() * 1e3;
    let _ = writeln!(
        text,
        "Total Execution Time: {:.2}ms ({:.2}ms of work, side by side{})",
        millis(report.wall),
        millis(report.busy),
        stretch(report),
    );
    text
}

fn cost(report: &RunReport) -> String {
    let known = report.cost_usd.map_or_else(|| "unknown".to_owned(), |cost| cost.to_string());
    match (report.unpriced_calls, report.cost_usd) {
        (0, _) | (_, None) => known,
        (1, _) => format!("{known}, and a call of unknown cost"),
        (unpriced, _) => format!("{known}, and {unpriced} calls of unknown cost"),
    }
}

/// How far a run is from the shortest that it could have been.
fn stretch(report: &RunReport) -> String {
    let (wall, least) = (report.wall.as_secs_f64(), report.least.as_secs_f64());
    // What was cut off took time that is nobody's work.
    let ended =
        matches!(report.outcome, RunOutcome::Partial | RunOutcome::Succeeded | RunOutcome::SucceededWithDefects);
    if !ended || report.tasks.is_empty() || least <= 0.0 || wall < least {
        return String::new();
    }
    format!("; {:.2} times the shortest possible", wall / least)
}

/// A line for each task and below it what is wanting; where there is no room for that, its figures are below it, too.
fn table(report: &RunReport, paper: Paper) -> String {
    let wide = paper.columns.is_none_or(|columns| columns >= WIDE);
    let columns = paper.columns.unwrap_or(usize::MAX);
    let mut table = String::new();
    if wide {
        let _ = writeln!(
            table,
            "{:<5} {:<12} {:<11} {:>5} {:>6} {:>9} {:>7} {:>9}  Title",
            "Task", "Role", "State", "Score", "Rounds", "Time", "Tokens", "Cost"
        );
    }
    for task in &report.tasks {
        table.push_str(&if wide { row(task, paper) } else { block(task, columns, paper.colour) });
        if task.models.len() > 1 {
            let models: Vec<&str> = task.models.iter().map(|model| &**model).collect();
            let said = format!("      worked on by {}", plain(&models.join(", then "), false));
            let _ = writeln!(table, "{}", wrap(&said, columns, 6));
        }
        if let Some(error) = &task.error {
            let said = format!("      {}", cut(&plain(&error.message, false), 160));
            let _ = writeln!(table, "{}", wrap(&said, columns, 6));
        }
        for issue in &task.open_issues {
            let said = format!("      open: {}", cut(&plain(&issue.fix, false), 160));
            let _ = writeln!(table, "{}", wrap(&said, columns, 6));
        }
    }
    table
}

/// A task in a line of the table.
fn row(task: &TaskResult, paper: Paper) -> String {
    let state = paint(&format!("{:<11}", task.state.as_str()), state_colour(task.state), paper.colour);
    let begin = format!(
        "{:<5} {:<12} {state} {:>5} {:>6} {:>8.2}s {:>7} {:>9}  ",
        task.task_id,
        cut(&plain(&task.agent, false), 12),
        score(task),
        rounds(task),
        task.execution_time.as_secs_f64(),
        task.usage.tokens(),
        price(task),
    );
    begin.clone() + &cut(&plain(&task.title, false), room(&begin, paper.columns).min(60)) + "\n"
}

/// A task in a few short lines: what it is and how it stands, and its figures.
fn block(task: &TaskResult, columns: usize, colour: bool) -> String {
    let state = paint(&format!("{:<11}", task.state.as_str()), state_colour(task.state), colour);
    let begin = format!("{:<5} {state} {:>4}  ", task.task_id, score(task));
    let title = cut(&plain(&task.title, false), room(&begin, Some(columns)));
    let again = if rounds(task) > 1 { format!(", {} rounds", rounds(task)) } else { String::new() };
    let figures = format!(
        "      {}, {:.2}s, {} tok, {}{again}",
        cut(&plain(&task.agent, false), 12),
        task.execution_time.as_secs_f64(),
        task.usage.tokens(),
        price(task),
    );
    format!("{begin}{title}\n{}\n", wrap(&figures, columns, 6))
}

/// How many columns are left after what a line begins with.
fn room(begin: &str, columns: Option<usize>) -> usize {
    columns.map_or(usize::MAX, |columns| columns.saturating_sub(measure_text_width(begin)))
}

fn score(task: &TaskResult) -> String {
    task.score.map_or_else(|| "-".to_owned(), |score| format!("{score:.2}"))
}

const fn rounds(task: &TaskResult) -> u32 {
    if task.result.is_some() { task.revisions + 1 } else { 0 }
}

fn price(task: &TaskResult) -> String {
    task.cost_usd.map_or_else(|| "-".to_owned(), |cost: Usd| cost.to_string())
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

/// From how many columns on a line has room for all figures of a task and a part of its title.
const WIDE: usize = 100;
/// From how many columns on what is broken goes on below what it belongs to.
const ROOMY: usize = 60;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bellwether_core::Usage;

    use super::*;

    fn report() -> RunReport {
        let usage = Usage { input_tokens: Some(1_026), output_tokens: Some(800), ..Usage::default() };
        let failure = serde_json::json!({
            "kind": "upstream",
            "message": "the provider failed while it answered, and again when it was asked once more",
        });
        let failed = || serde_json::from_value(failure.clone()).expect("a failure is read as it is written");
        let task = |id: &str, title: &str, state| TaskResult {
            task_id: id.into(),
            spawned_by: None,
            title: title.into(),
            agent: "researcher-of-all".into(),
            model: "small".into(),
            models: vec!["small".into(), "a-much-larger-one".into()],
            state,
            success: state == TaskState::Accepted,
            result: Some("work".to_owned()),
            error: (state != TaskState::Accepted).then(failed),
            execution_time: Duration::from_millis(7_780),
            retry_count: 0,
            calls: 4,
            revisions: 1,
            score: Some(0.96),
            open_issues: Vec::new(),
            usage,
            cost_usd: Some(Usd::from_nanos(26_700_000)),
        };
        RunReport {
            run_id: "01a22b70-6359-72df-9169-a55c2ef578db".into(),
            team: "feature".into(),
            request: "Build it".to_owned(),
            outcome: RunOutcome::Partial,
            reason: "1 of 2 tasks came to nothing, and what needed it was left out".to_owned(),
            degraded: false,
            plan_mended: Vec::new(),
            plan: None,
            tasks: vec![
                task("t1", "Send requests with timeouts, retries and a deadline for all of them", TaskState::Accepted),
                task("t2.10", "非常に非常に非常に非常に非常に非常に非常に非常に非常に非常に", TaskState::Unreviewed),
            ],
            result: None,
            result_error: None,
            calls: 8,
            retries: 3,
            usage,
            cost_usd: Some(Usd::from_nanos(53_400_000)),
            unpriced_calls: 0,
            possible_duplicates: 0,
            stalls: 2,
            wall: Duration::from_millis(11_346),
            busy: Duration::from_millis(27_869),
            least: Duration::from_millis(10_000),
            economies: Vec::new(),
            dead_letters: Vec::new(),
            error: None,
            resumable: false,
            retriable: true,
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for columns in [40, 60, 80, 99, 100, 200] {
            let text = text(&report(), None, Paper { colour: true, columns: Some(columns) });
            for line in text.lines() {
                assert!(measure_text_width(line) <= columns, "{columns} columns: {line}");
                assert_eq!(line.trim_end(), line, "nothing is left over at the end");
            }
            for said in ["01a22b70-6359-72df-9169-a55c2ef578db", "7.78s", "1826", "$0.0267", "Send", "again"] {
                assert!(text.contains(said), "{said} in {columns} columns: {text}");
            }
        }
    }

    #[test]
    fn stalls_are_told_and_a_run_that_was_cut_off_is_not_measured() {
        let told = |outcome| text(&RunReport { outcome, ..report() }, None, Paper { colour: false, columns: None });
        let (whole, cut_off) = (told(RunOutcome::Partial), told(RunOutcome::DeadlineExceeded));
        assert!(whole.contains("2 times nothing came in") && whole.contains("1.13 times the shortest"), "{whole}");
        assert!(!cut_off.contains("the shortest"), "{cut_off}");
    }

    #[test]
    fn a_file_gets_whole_lines() {
        let text = text(&report(), None, Paper { colour: false, columns: None });
        assert!(text.contains(
            "Outcome:              partial: 1 of 2 tasks came to nothing, and what needed it was left out\n"
        ));
        assert!(text.contains("\nTask  Role         State       Score Rounds      Time  Tokens      Cost  Title\n"));
        assert!(text.contains("\n      worked on by small, then a-much-larger-one\n"), "{text}");
        assert!(text.contains("again when it was asked once more\n") && !text.contains('\u{1b}'), "{text}");
    }
}
