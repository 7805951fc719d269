//! The report as Markdown, for an issue or a wiki.

use std::fmt::Write as _;

use super::{outcome, reason, routing, time, totals};
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
        if totals.unpriced > 0 { format!(" and {} unpriced calls", totals.unpriced) } else { String::new() },
        totals.input,
        totals.output,
        totals.calls,
        totals.retries,
        totals.throttled
    );
    tables(&mut text, story);
    text.push_str("\n## Waits\n\n");
    for (why, wait) in &totals.waits {
        let _ = writeln!(text, "- {} {}", time(*wait), reason(why));
    }
    ladder(&mut text, story);
    let lines = routing(story);
    if !lines.is_empty() {
        text.push_str("\n## What routing decided and learnt\n\n");
        for (t, said) in lines {
            let _ = writeln!(text, "- {} {}", time(t), safe(&said));
        }
    }
    work(&mut text, story);
    text
}

/// The tasks, their critical path, and what they cost.
fn tables(text: &mut String, story: &Story) {
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
    let _ = writeln!(text, "\nCritical path: {}\n", critical.join(" → "));
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

fn stop(story: &Story) -> String {
    story.head.stop.as_ref().map_or_else(String::new, |stop| format!(", because {}", safe(stop)))
}

fn ladder(text: &mut String, story: &Story) {
    text.push_str("\n## Reviews\n\n");
    for task in &story.tasks {
        for (n, round) in task.rounds.iter().enumerate() {
            let score = round.score.map_or_else(|| "not reviewed".to_owned(), |score| format!("score {score:.2}"));
            let _ = writeln!(text, "- {} round {}: {score} {}", safe(&task.id), n + 1, safe(&round.summary));
            for (severity, place, fix) in &round.issues {
                let _ = writeln!(text, "  - {} {} {}", safe(severity), safe(place), safe(fix));
            }
        }
    }
}

fn work(text: &mut String, story: &Story) {
    text.push_str("\n## The work\n");
    for task in &story.tasks {
        let Some(best) = task.best() else { continue };
        let work = plain(best.text.trim());
        // A fence that is longer than any in the work cannot be closed by it.
        let longest = work.split(|c| c != '`').map(str::len).max().unwrap_or_default();
        let fence = "`".repeat(longest.max(2) + 1);
        let _ = writeln!(text, "\n### {} {}\n\n{fence}text\n{work}\n{fence}", safe(&task.id), safe(&task.title));
    }
}
