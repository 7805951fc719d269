//! What routing believed of each tier, and where it let each task start.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::{about_routing, time};
use crate::story::{Route, Story, Weighed};
use crate::text::{html as safe, markdown as plainly};

pub(super) const HEADING: &str = "What routing decided and learnt";
const BELIEFS: &str = "What was believed of each tier when a task of its kind was last routed: how often its work is accepted, the figure \
     that was reckoned with, observations, and what a try costs.";

/// As a section of a page; nothing if nothing was routed.
pub(super) fn html(story: &Story) -> String {
    let mut page = String::new();
    let beliefs = story.beliefs();
    if !beliefs.is_empty() {
        let _ = write!(
            page,
            "<p class=\"hint\">{BELIEFS}</p><div class=\"wide\"><table><thead><tr><th>Tier<th>Accepted<th class=\"n\">Reckoned with<th class=\"n\">Seen<th class=\"n\">A try</tr></thead>"
        );
        for route in beliefs {
            let _ = write!(
                page,
                "<tbody><tr><th colspan=\"5\"><bdi>{}</bdi>, as of {} at {}</tr>",
                safe(&kind(route)),
                safe(&route.task),
                time(route.t)
            );
            (0u64..).zip(&route.weighed).for_each(|(n, tier)| row(&mut page, tier, n == route.tier));
            page.push_str("</tbody>");
        }
        page.push_str("</table></div>");
    }
    if !story.routes.is_empty() {
        let _ = write!(
            page,
            "<details><summary>{}</summary><div class=\"wide\"><table><tbody>",
            safe(&counted(&story.routes))
        );
        for route in &story.routes {
            let _ = write!(
                page,
                "<tr><td class=\"n\">{}<td><b>{}</b><td>{}<td>{}</tr>",
                time(route.t),
                safe(&route.task),
                safe(&route.name),
                safe(&reason(route))
            );
        }
        page.push_str("</tbody></table></div></details>");
    }
    let lines = others(story);
    if !lines.is_empty() {
        page.push_str("<div class=\"wide\"><table><tbody>");
        for (t, text) in lines {
            let _ = write!(page, "<tr><td class=\"n\">{}<td>{}</tr>", time(t), safe(&text));
        }
        page.push_str("</tbody></table></div>");
    }
    if page.is_empty() { page } else { format!("<section><h2>{HEADING}</h2>{page}</section>\n") }
}

fn row(page: &mut String, tier: &Weighed, chosen: bool) {
    let (mean, sample) = (tier.mean * 100.0, tier.sample * 100.0);
    let (open, close) = if chosen { ("▸ <b>", "</b>") } else { ("", "") };
    let out = tier.ruled_out.as_ref().map_or_else(String::new, |why| format!("<p class=\"hint\">{}</p>", safe(why)));
    let _ = write!(
        page,
        "<tr><td>{open}{}{close}{out}<td><svg class=\"bar\" viewBox=\"0 0 100 8\" width=\"100\" height=\"8\" aria-hidden=\"true\"><rect class=\"back\" width=\"100\" height=\"8\" rx=\"4\"/><rect class=\"fill\" width=\"{mean:.1}\" height=\"8\" rx=\"4\"/><path class=\"reckoned\" d=\"M{sample:.1} 0v8\"/></svg> {mean:.0} %<td class=\"n\">{sample:.0} %<td class=\"n\">{:.1}<td class=\"n\">${:.4}</tr>",
        safe(&tier.model),
        tier.seen,
        tier.cost
    );
}

/// As a section of Markdown; nothing if nothing was routed.
pub(super) fn markdown(story: &Story) -> String {
    let mut text = String::new();
    let beliefs = story.beliefs();
    if !beliefs.is_empty() {
        let _ = write!(
            text,
            "{BELIEFS}\n\n| kind of task | tier | accepted | reckoned with | seen | a try |\n|---|---|---|---|---|---|\n"
        );
        for route in beliefs {
            for (n, tier) in (0u64..).zip(&route.weighed) {
                let _ = writeln!(
                    text,
                    "| {} | {}{} | {:.0} % | {:.0} % | {:.1} | ${:.4} |",
                    plainly(&kind(route)),
                    plainly(&tier.model),
                    if n == route.tier { " ▸" } else { "" },
                    tier.mean * 100.0,
                    tier.sample * 100.0,
                    tier.seen,
                    tier.cost
                );
            }
        }
        text.push('\n');
    }
    if !story.routes.is_empty() {
        let _ = writeln!(text, "{}:\n", plainly(&counted(&story.routes)));
    }
    for route in &story.routes {
        let (task, name, why) = (plainly(&route.task), plainly(&route.name), plainly(&reason(route)));
        let _ = writeln!(text, "- {} {task} on {name}: {why}", time(route.t));
    }
    for (t, said) in others(story) {
        let _ = writeln!(text, "- {} {}", time(t), plainly(&said));
    }
    if text.is_empty() { text } else { format!("\n## {HEADING}\n\n{text}") }
}

/// What is learnt about as one.
fn kind(route: &Route) -> String {
    format!("{} · {}, hardness {}", route.role, route.group, route.bucket)
}

fn counted(routes: &[Route]) -> String {
    let tried = routes.iter().filter(|route| route.explored).count();
    let to_learn = if tried > 0 { format!(", {tried} to learn about a tier") } else { String::new() };
    let how = routes.last().filter(|route| !route.mode.is_empty());
    let how = how.map_or_else(String::new, |route| format!(" by {}", route.mode));
    let s = if routes.len() == 1 { "" } else { "s" };
    format!("{} decision{s}{how}{to_learn}", routes.len())
}

/// Why a task starts there, and what chance and money had to do with it.
fn reason(route: &Route) -> String {
    let mut why = route.why.clone();
    if route.propensity < 1.0 {
        let _ = write!(why, "; chosen {:.0} % of the time", route.propensity * 100.0);
    }
    if route.audit {
        why.push_str("; to be judged twice");
    }
    let _ = write!(why, "; λ {:.2}", route.lambda);
    why
}

/// What else was said of routing, if it is worth a line.
fn others(story: &Story) -> Vec<(u64, String)> {
    let told: HashSet<u64> = story.routes.iter().map(|route| route.seq).collect();
    about_routing(story)
        .filter(|line| !told.contains(&line.seq) && !story.is_fixed(line.seq))
        .map(super::routed)
        .collect()
}
