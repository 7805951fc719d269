//! The report as Markdown, for an issue or a wiki.

use std::fmt::Write as _;

use super::{at, on, outcome, reason, routes, time, totals};
use crate::story::Story;
use crate::text::{line, markdown as safe, plain};

/// The report as Markdown. Texts of models are shown word for word: nothing in them is a link, a picture or HTML.
#[must_use]
pub fn markdown(story: &Story) -> String {
    let (head, totals) = (&story.head, totals(story));
    let mut text = format!("# {}\n\n", safe(&line(&head.request, 200)));
    let _ = writeln!(
        text,
        "Run `{}` of team {}: **{}**{}\n",
        head.run.replace('`', ""),
        safe(&head.team),
        safe(&outcome(story)),
        stop(story)
    );
    let _ = writeln!(
        text,
        "| time | work, side by side | cost | tokens in | tokens out | calls | sent again | 429 |\n|---|---|---|---|---|---|---|---|"
    );
    let _ = writeln!(
        text,
        "| {} | {} | ${:.4}{} | {} | {} | {} | {} | {} |\n",
        time(totals.wall),
        time(totals.busy),
        totals.usd,
        match totals.unpriced {
            0 => String::new(),
            1 => " and an unpriced call".to_owned(),
            unpriced => format!(" and {unpriced} unpriced calls"),
        },
        totals.input,
        totals.output,
        totals.calls,
        totals.retries,
        totals.throttled
    );
    notes(&mut text, story);
    tables(&mut text, story);
    if !totals.waits.is_empty() {
        text.push_str("\n## Waits\n\n");
    }
    for (why, wait) in &totals.waits {
        let _ = writeln!(text, "- {} {}", time(*wait), reason(why));
    }
    ladder(&mut text, story);
    text.push_str(&routes::markdown(story));
    work(&mut text, story);
    text
}

/// What has to be known of a run to read its figures.
fn notes(text: &mut String, story: &Story) {
    let head = &story.head;
    if head.degraded {
        text.push_str("No plan could be read from the planner's answers: the request was worked on as a whole.\n\n");
    }
    if head.doubtful > 0 {
        let _ = writeln!(text, "Calls under way when a process ended, which may have been billed: {}\n", head.doubtful);
    }
    if head.lost > 0 {
        let _ = writeln!(text, "Notes that found no room and are missing here: {}\n", head.lost);
    }
}

/// The tasks, their critical path, and what they cost.
fn tables(text: &mut String, story: &Story) {
    if !story.tasks.is_empty() {
        tasks(text, story);
    }
    if story.costs.is_empty() {
        return;
    }
    text.push_str("## Cost by role and model\n\n| role | model | calls | sent again | tokens in | tokens out | cost |\n|---|---|---|---|---|---|---|\n");
    for cost in &story.costs {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | ${:.4} |",
            safe(&cost.role),
            safe(&cost.model),
            cost.calls,
            cost.retries,
            cost.input,
            cost.output,
            cost.usd
        );
    }
}

fn tasks(text: &mut String, story: &Story) {
    text.push_str("## Tasks\n\n| task | role | state | rounds | score | tokens | cost | title |\n|---|---|---|---|---|---|---|---|\n");
    for task in &story.tasks {
        let score =
            task.best().and_then(|round| round.score).map_or_else(|| "-".to_owned(), |score| format!("{score:.2}"));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {score} | {} | ${:.4} | {} |",
            safe(&task.id),
            safe(&task.role),
            safe(task.state()),
            task.rounds.len(),
            task.tokens,
            task.usd,
            safe(&task.title)
        );
    }
    let critical: Vec<String> = story.head.critical.iter().map(|id| safe(id)).collect();
    if !critical.is_empty() {
        let _ = writeln!(text, "\nCritical path: {}", critical.join(" → "));
    }
    text.push('\n');
}

fn stop(story: &Story) -> String {
    story.head.stop.as_ref().map_or_else(String::new, |stop| format!(", because {}", safe(stop)))
}

fn ladder(text: &mut String, story: &Story) {
    let mut lines = String::new();
    for task in &story.tasks {
        for (n, round) in task.rounds.iter().enumerate() {
            let score = round.score.map_or_else(|| "not reviewed".to_owned(), |score| format!("score {score:.2}"));
            let _ = writeln!(
                lines,
                "- {} round {}{}: {score} {}",
                safe(&task.id),
                n + 1,
                safe(&on(&round.model)),
                safe(&round.summary)
            );
            for (severity, place, fix) in &round.issues {
                let _ = writeln!(lines, "  - {} {}{}", safe(severity), safe(&at(place)), safe(fix));
            }
        }
        if let Some(failure) = &task.failure {
            let _ = writeln!(lines, "- {} came to nothing, or its review did: {}", safe(&task.id), safe(failure));
        }
    }
    if !lines.is_empty() {
        let _ = write!(text, "\n## Reviews\n\n{lines}");
    }
}

fn work(text: &mut String, story: &Story) {
    if let Some(whole) = story.made_whole() {
        let _ = writeln!(text, "\n## The parts as one whole\n\n{}", fenced(&whole.text));
    }
    let done = story.tasks.iter().filter_map(|task| Some((task, task.best()?)));
    for (n, (task, best)) in done.enumerate() {
        if n == 0 {
            text.push_str("\n## The work\n");
        }
        let _ = writeln!(text, "\n### {} {}\n\n{}", safe(&task.id), safe(&task.title), fenced(&best.text));
    }
}

/// A text word for word. A fence that is longer than any in it cannot be closed by it.
fn fenced(text: &str) -> String {
    let text = plain(text.trim());
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{text}\n{fence}")
}
