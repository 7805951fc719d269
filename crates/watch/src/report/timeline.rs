//! The timeline: a lane for each agent, waits hatched by their reason.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::{length, time};
use crate::story::{Span, Story};
use crate::text::html;

const LEFT: u64 = 96;
const WIDTH: u64 = 900;
const LANE: u64 = 26;
const TOP: u64 = 8;

/// The timeline as SVG.
pub(super) fn timeline(story: &Story) -> String {
    let end = story.head.now.max(1);
    let at = |t: u64| LEFT + t.min(end) * WIDTH / end;
    let (ranks, lanes) = ranks(story);
    let (wide, high) = (LEFT + WIDTH + 16, TOP + lanes * LANE + 26);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {wide} {high}\" width=\"{wide}\" height=\"{high}\" role=\"img\" aria-label=\"who worked on what, and waited for what\">\n{DEFS}"
    );
    for tick in 0..=6 {
        let x = at(end * tick / 6);
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{x}\" x2=\"{x}\" y1=\"{TOP}\" y2=\"{}\"/><text class=\"tick{}\" x=\"{x}\" y=\"{}\">{}</text>",
            TOP + lanes * LANE,
            match tick {
                0 => " first",
                6 => " last",
                _ => "",
            },
            TOP + lanes * LANE + 16,
            time(end * tick / 6)
        );
    }
    for (lane, rank) in story.head.lanes.iter().zip(&ranks) {
        let Some(rank) = rank else { continue };
        let y = TOP + rank * LANE + 17;
        let _ = writeln!(svg, "<text class=\"lane\" x=\"{}\" y=\"{y}\">{}</text>", LEFT - 8, html(lane));
    }
    // Waits lie over the work that they are part of.
    let (work, waits): (Vec<&Span>, Vec<&Span>) = story.spans.iter().partition(|span| span.why.is_none());
    let mut names = String::new();
    for span in work.into_iter().chain(waits.iter().copied()) {
        let (x, y) = (at(span.from), TOP + ranks.get(span.lane).copied().flatten().unwrap_or_default() * LANE + 4);
        let width = at(span.to.unwrap_or(end)).saturating_sub(x).max(1);
        let class = html(span.why.as_deref().unwrap_or_else(|| colour(&span.what)));
        let _ = write!(
            svg,
            "<rect class=\"span {class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{}\" rx=\"3\">",
            LANE - 8
        );
        let _ = writeln!(svg, "<title>{}</title></rect>", html(&said(span, end)));
        if let (None, Some(task)) = (&span.why, &span.task) {
            let (from, to) = bare(span, &waits, end);
            if at(to) - at(from) > 9 + 8 * task.chars().count() as u64 {
                let x = at(from) + 5;
                let _ = writeln!(names, "<text class=\"name\" x=\"{x}\" y=\"{}\">{}</text>", y + 13, html(task));
            }
        }
    }
    svg.push_str(&names);
    for mark in story.marks.iter().filter(|mark| mark.what == "429") {
        let x = at(mark.t);
        let _ = writeln!(
            svg,
            "<path class=\"mark\" d=\"M{x} {} l-4 -7 h8 z\"><title>{}</title></path>",
            TOP + 2,
            html(&mark.text)
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// The place of each lane, and how many there are: roles in the order in which they came, their agents by number. One
/// that was only taken to be at something has none.
fn ranks(story: &Story) -> (Vec<Option<u64>>, u64) {
    let lanes = &story.head.lanes;
    let used: HashSet<usize> = story.spans.iter().map(|span| span.lane).collect();
    let split = |n: usize| lanes[n].rsplit_once('#').unwrap_or((lanes[n].as_str(), ""));
    let first = |n: usize| (0..lanes.len()).find(|other| split(*other).0 == split(n).0);
    let mut order: Vec<usize> = (0..lanes.len()).filter(|n| used.contains(n)).collect();
    order.sort_by_key(|n| (first(*n), split(*n).1.parse::<u64>().unwrap_or_default()));
    let count = order.len() as u64;
    let mut ranks = vec![None; lanes.len()];
    for (rank, n) in (0..).zip(order) {
        ranks[n] = Some(rank);
    }
    (ranks, count)
}

/// The longest part of some work that no wait lies over.
fn bare(work: &Span, waits: &[&Span], end: u64) -> (u64, u64) {
    let to = work.to.unwrap_or(end);
    let over = |wait: &&&Span| wait.lane == work.lane && wait.from < to && wait.to.unwrap_or(end) > work.from;
    let mut over: Vec<(u64, u64)> =
        waits.iter().filter(over).map(|wait| (wait.from, wait.to.unwrap_or(end))).chain([(to, to)]).collect();
    over.sort_unstable();
    let (mut best, mut from) = ((work.from, work.from), work.from);
    for (begin, until) in over {
        if begin.saturating_sub(from) > best.1 - best.0 {
            best = (from, begin);
        }
        from = from.max(until);
    }
    best
}

/// What agents do beside planning, working and judging, such as summing up, has one colour.
fn colour(what: &str) -> &'static str {
    match what {
        "plan" => "plan",
        "work" => "work",
        "audit" | "review" => "review",
        _ => "other",
    }
}

fn said(span: &Span, now: u64) -> String {
    let what = match &span.task {
        Some(task) => format!("{task} {}", span.what),
        None => span.what.clone(),
    };
    let why = span.why.as_ref().map_or_else(String::new, |why| format!(" waits: {why}"));
    format!("{what}{why}, {} from {}", time(length(span, now)), time(span.from))
}

/// One hatching for each reason, told apart by direction as well as by colour.
const DEFS: &str = r#"<defs>
<pattern id="h-queue" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="back" width="7" height="7"/><rect class="ink queue" width="3" height="7"/></pattern>
<pattern id="h-quota" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(-45)"><rect class="back" width="7" height="7"/><rect class="ink quota" width="3" height="7"/></pattern>
<pattern id="h-dependency" width="6" height="6" patternUnits="userSpaceOnUse"><rect class="back" width="6" height="6"/><rect class="ink dependency" width="6" height="2"/></pattern>
<pattern id="h-retry" width="6" height="6" patternUnits="userSpaceOnUse"><rect class="back" width="6" height="6"/><circle class="ink retry" cx="3" cy="3" r="1.7"/></pattern>
</defs>
"#;
