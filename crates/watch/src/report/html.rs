//! The report as one HTML page that needs nothing else.

use std::fmt::Write as _;

use super::{at, changes, on, outcome, reason, routes, time, timeline, totals};
use crate::story::Story;
use crate::text::{cut, html as safe};

/// The report as one HTML page: no script, nothing remote, every text escaped.
#[must_use]
pub fn html(story: &Story) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src '{STYLE_HASH}'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
        safe(&format!("Run {}: {}", story.head.run, outcome(story)))
    );
    head(&mut page, story);
    let _ = writeln!(
        page,
        "<section><h2>Timeline</h2>{}<div class=\"wide\">{}</div></section>",
        legend(),
        timeline::timeline(story)
    );
    path(&mut page, story);
    costs(&mut page, story);
    waits(&mut page, story);
    ladder(&mut page, story);
    page.push_str(&routes::html(story));
    work(&mut page, story);
    page.push_str("</body>\n</html>\n");
    page
}

fn head(page: &mut String, story: &Story) {
    let (head, totals) = (&story.head, totals(story));
    let unpriced = match totals.unpriced {
        0 => String::new(),
        1 => ", and a call of unknown cost".to_owned(),
        unpriced => format!(", and {unpriced} calls of unknown cost"),
    };
    let accepted = story.tasks.iter().filter(|task| task.state() == "accepted").count();
    let _ = writeln!(
        page,
        "<header><p class=\"over\">team {} · run {}</p><h1 dir=\"auto\">{}</h1><p><span class=\"badge {}\">{}</span> {}</p>",
        safe(&head.team),
        safe(&head.run),
        safe(&cut(&head.request, 300)),
        safe(head.outcome.as_deref().unwrap_or("open")),
        safe(&outcome(story)),
        safe(head.stop.as_deref().unwrap_or_default())
    );
    page.push_str("<dl class=\"tiles\">");
    for (name, value) in [
        ("tasks accepted", format!("{accepted} of {}", story.tasks.len())),
        ("time", time(totals.wall)),
        ("work, side by side", time(totals.busy)),
        ("cost", format!("${:.4}{unpriced}", totals.usd)),
        ("tokens in / out", format!("{} / {}", counted(totals.input), counted(totals.output))),
        ("calls / sent again", format!("{} / {}", counted(totals.calls), totals.retries)),
        ("told to slow down", format!("{} time{}", totals.throttled, if totals.throttled == 1 { "" } else { "s" })),
    ] {
        let _ = write!(page, "<div><dt>{name}</dt><dd>{}</dd></div>", safe(&value));
    }
    page.push_str("</dl></header>\n");
    if head.degraded {
        page.push_str("<p class=\"note\">No plan could be read from the planner's answers: the request was worked on as a whole.</p>\n");
    }
    if head.doubtful > 0 {
        let _ = writeln!(
            page,
            "<p class=\"note\">{} calls were under way when a process ended; they may have been billed twice.</p>",
            head.doubtful
        );
    }
}

fn path(page: &mut String, story: &Story) {
    if story.head.critical.is_empty() {
        return;
    }
    page.push_str("<section><h2>Critical path</h2><p class=\"hint\">The chain of tasks that decided how long it took.</p><ol class=\"path\">");
    for id in &story.head.critical {
        let Some(task) = story.tasks.iter().find(|task| task.id == *id) else { continue };
        let _ = write!(
            page,
            "<li><b>{}</b> <bdi>{}</bdi><span>{}</span></li>",
            safe(id),
            safe(&task.title),
            time(task.taken(story.head.now).unwrap_or_default())
        );
    }
    page.push_str("</ol></section>\n");
}

fn costs(page: &mut String, story: &Story) {
    if story.costs.is_empty() {
        return;
    }
    page.push_str("<section><h2>Cost by role and model</h2><div class=\"wide\"><table><thead><tr><th>Role<th>Model<th class=\"n\">Calls<th class=\"n\">Sent again<th class=\"n\">Tokens in<th class=\"n\">Cached<th class=\"n\">Tokens out<th class=\"n\">Cost<th>Share</tr></thead><tbody>");
    let all: f64 = story.costs.iter().map(|cost| cost.usd).sum();
    for cost in &story.costs {
        let share = if all > 0.0 { cost.usd / all * 100.0 } else { 0.0 };
        let _ = write!(
            page,
            "<tr><td>{}<td>{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">${:.4}<td><svg class=\"bar\" viewBox=\"0 0 100 8\" width=\"100\" height=\"8\" aria-label=\"{share:.0} percent\"><rect class=\"back\" width=\"100\" height=\"8\" rx=\"4\"/><rect class=\"fill\" width=\"{share:.1}\" height=\"8\" rx=\"4\"/></svg></tr>",
            safe(&cost.role),
            safe(&cost.model),
            counted(cost.calls),
            counted(cost.retries),
            counted(cost.input),
            counted(cost.cached),
            counted(cost.output),
            cost.usd
        );
    }
    page.push_str("</tbody></table></div></section>\n");
}

fn waits(page: &mut String, story: &Story) {
    page.push_str("<section><h2>Waits and retries</h2>");
    let totals = totals(story);
    if totals.waits.is_empty() {
        page.push_str("<p class=\"hint\">Nobody waited, as far as was noted.</p>");
    } else {
        page.push_str("<ul class=\"plain\">");
        for (why, wait) in &totals.waits {
            let _ = write!(page, "<li>{} {} {}</li>", key(why), time(*wait), reason(why));
        }
        page.push_str("</ul>");
    }
    if story.head.lost > 0 {
        let _ = write!(page, "<p class=\"note\">{} notes found no room and are missing here.</p>", story.head.lost);
    }
    if !story.marks.is_empty() {
        let _ = write!(
            page,
            "<details><summary>{} failures, retries, pauses and second tries</summary><div class=\"wide\"><table><tbody>",
            story.marks.len()
        );
        for mark in &story.marks {
            let _ = write!(
                page,
                "<tr><td class=\"n\">{}<td>{}<td>{}</tr>",
                time(mark.t),
                safe(&mark.what),
                safe(&mark.text)
            );
        }
        page.push_str("</tbody></table></div></details>");
    }
    page.push_str("</section>\n");
}

fn ladder(page: &mut String, story: &Story) {
    if story.tasks.is_empty() {
        page.push_str(
            "<section><h2>Reviews</h2><p class=\"hint\">There was no plan, so nothing to review.</p></section>\n",
        );
        return;
    }
    page.push_str("<section><h2>Reviews</h2><div class=\"cards\">");
    for task in &story.tasks {
        let _ = write!(
            page,
            "<article><h3><b>{}</b> <bdi>{}</bdi></h3><p><span class=\"badge {}\">{}</span> <bdi>{}</bdi> · {} tokens · ${:.4}</p><ol class=\"ladder\">",
            safe(&task.id),
            safe(&task.title),
            safe(task.state()),
            safe(&task.state().replace('_', " ")),
            safe(&task.role),
            counted(task.tokens),
            task.usd
        );
        for (n, round) in task.rounds.iter().enumerate() {
            let score = round.score.map_or_else(|| "not reviewed".to_owned(), |score| format!("{score:.2}"));
            let width = round.score.unwrap_or_default().clamp(0.0, 1.0) * 100.0;
            let _ = write!(
                page,
                "<li>round {}{} <svg class=\"bar\" viewBox=\"0 0 100 8\" width=\"100\" height=\"8\" aria-hidden=\"true\"><rect class=\"back\" width=\"100\" height=\"8\" rx=\"4\"/><rect class=\"fill\" width=\"{width:.0}\" height=\"8\" rx=\"4\"/></svg> {score} {}",
                n + 1,
                safe(&on(&round.model)),
                safe(round.decision.as_deref().unwrap_or_default())
            );
            if !round.summary.is_empty() {
                let _ = write!(page, "<p dir=\"auto\">{}</p>", safe(&round.summary));
            }
            for (severity, place, fix) in &round.issues {
                let _ = write!(
                    page,
                    "<p class=\"issue\" dir=\"auto\"><b>{}</b> {}{}</p>",
                    safe(severity),
                    safe(&at(place)),
                    safe(fix)
                );
            }
            if let Some(before) = n.checked_sub(1) {
                page.push_str(&changes::html(&task.rounds[before].text, &round.text));
            }
            page.push_str("</li>");
        }
        page.push_str("</ol>");
        if let Some(failure) = &task.failure {
            let _ = write!(page, "<p class=\"note\">{}</p>", safe(failure));
        }
        page.push_str("</article>");
    }
    page.push_str("</div></section>\n");
}

fn work(page: &mut String, story: &Story) {
    if let Some(whole) = story.made_whole() {
        let _ = writeln!(
            page,
            "<section><h2>The parts as one whole</h2><pre dir=\"auto\">{}</pre></section>",
            safe(whole.text.trim())
        );
    }
    if story.tasks.iter().all(|task| task.best().is_none()) {
        return;
    }
    page.push_str("<section><h2>The work</h2>");
    for task in &story.tasks {
        let Some(best) = task.best() else { continue };
        let _ = write!(
            page,
            "<details><summary><b>{}</b> <bdi>{}</bdi></summary><pre dir=\"auto\">{}</pre></details>",
            safe(&task.id),
            safe(&task.title),
            safe(best.text.trim())
        );
    }
    page.push_str("</section>\n");
}

const STYLE: &str = include_str!("report.css");
/// The SHA-256 of the style, which is all that the page may apply. `.ci/pages` says what it has to be.
const STYLE_HASH: &str = "sha256-jS5tSmEPp8E0K8DmfAZLLGO9he0ejSXyZABmaSq/V/M=";
const LEGEND: [(&str, &str); 9] = [
    ("plan", "plan"),
    ("work", "work"),
    ("review", "review"),
    ("other", "other"),
    ("queue", "waits: queue"),
    ("quota", "quota"),
    ("dependency", "dependency"),
    ("retry", "retry"),
    ("mark", "429"),
];

/// What the colours and hatchings of the timeline mean: they are drawn as there.
fn legend() -> String {
    let entries = LEGEND.iter().map(|(class, name)| format!("<span>{}{name}</span>", key(class)));
    format!("<p class=\"legend\">{}</p>", entries.collect::<String>())
}

fn key(class: &str) -> String {
    let drawn = match class {
        "mark" => "<path class=\"mark\" d=\"M8 10 l-4.5 -8 h9 z\"/>".to_owned(),
        class => format!("<rect class=\"span {}\" width=\"16\" height=\"11\" rx=\"3\"/>", safe(class)),
    };
    format!("<svg class=\"key\" width=\"16\" height=\"11\" aria-hidden=\"true\">{drawn}</svg>")
}

/// A number with its thousands set apart.
fn counted(n: u64) -> String {
    let digits = n.to_string();
    let mut told = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            told.push(',');
        }
        told.push(digit);
    }
    told
}
