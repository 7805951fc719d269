//! The timeline: a lane for each agent, waits hatched by their reason.

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
    let lanes = story.head.lanes.len() as u64;
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
    for (n, lane) in story.head.lanes.iter().enumerate() {
        let y = TOP + n as u64 * LANE + 17;
        let _ = writeln!(svg, "<text class=\"lane\" x=\"{}\" y=\"{y}\">{}</text>", LEFT - 8, html(lane));
    }
    // Waits lie over the work that they are part of.
    let (work, waits): (Vec<&Span>, Vec<&Span>) = story.spans.iter().partition(|span| span.why.is_none());
    for span in work.into_iter().chain(waits) {
        let (x, y) = (at(span.from), TOP + span.lane as u64 * LANE + 4);
        let width = at(span.to.unwrap_or(end)).saturating_sub(x).max(1);
        let class = html(span.why.as_deref().unwrap_or(&span.what));
        let _ = write!(
            svg,
            "<rect class=\"span {class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{}\" rx=\"3\">",
            LANE - 8
        );
        let _ = writeln!(svg, "<title>{}</title></rect>", html(&said(span, end)));
        if let (None, Some(task)) = (&span.why, &span.task)
            && width > 24
        {
            let _ = writeln!(svg, "<text class=\"name\" x=\"{}\" y=\"{}\">{}</text>", x + 5, y + 13, html(task));
        }
    }
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
