//! One file that says what came of a run: HTML for people, Markdown for other pages, JSON for machines.
//!
//! What models said is data. In HTML every text is escaped, there is no script and nothing remote, and a content security
//! policy forbids both; in Markdown every character that could mean something is escaped.

mod changes;
mod html;
mod markdown;
mod routes;
mod timeline;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::story::{Cost, Line, Span, Story};

pub use html::html;
pub use markdown::markdown;

/// What a run took in all.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Totals {
    /// From begin to end, in milliseconds.
    pub wall: u64,
    /// What all agents together worked and waited, in milliseconds.
    pub busy: u64,
    /// Calls.
    pub calls: u64,
    /// How often a call was sent again.
    pub retries: u64,
    /// Input tokens.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// Dollars, as far as known.
    pub usd: f64,
    /// Calls of unknown cost.
    pub unpriced: u64,
    /// How often a provider asked to slow down.
    pub throttled: u64,
    /// What agents waited for, and how long in all, in milliseconds.
    pub waits: BTreeMap<String, u64>,
}

/// What a run took in all.
#[must_use]
pub fn totals(story: &Story) -> Totals {
    let sum = |of: fn(&Cost) -> u64| story.costs.iter().map(of).sum();
    let mut waits = BTreeMap::<String, u64>::new();
    for span in &story.spans {
        if let Some(why) = &span.why {
            *waits.entry(why.clone()).or_default() += length(span, story.head.now);
        }
    }
    Totals {
        wall: story.head.now,
        busy: sum(|cost| cost.busy),
        calls: sum(|cost| cost.calls),
        retries: sum(|cost| cost.retries),
        input: sum(|cost| cost.input),
        output: sum(|cost| cost.output),
        usd: story.costs.iter().map(|cost| cost.usd).sum(),
        unpriced: sum(|cost| cost.unpriced),
        throttled: story.marks.iter().filter(|mark| mark.what == "429").count() as u64,
        waits,
    }
}

/// What routing decided and learnt, as the journal's entries say it.
#[must_use]
pub fn routing(story: &Story) -> Vec<(u64, String)> {
    about_routing(story).map(routed).collect()
}

fn about_routing(story: &Story) -> impl Iterator<Item = &Line> {
    let about = |kind: &str| kind.starts_with("rout") || kind.starts_with("lesson") || kind.starts_with("escalat");
    story.log.iter().filter(move |line| about(&line.kind))
}

fn routed(line: &Line) -> (u64, String) {
    (line.t, format!("{}: {}", line.kind, line.text))
}

/// A run for machines: its story, what it took in all, and what was believed of each tier in the end.
#[must_use]
pub fn json(story: &Story) -> Value {
    let routing: Vec<Value> = routing(story).into_iter().map(|(t, text)| json!({ "t": t, "text": text })).collect();
    json!({ "totals": totals(story), "routing": routing, "beliefs": story.beliefs(), "story": story })
}

/// How long a span is by now.
fn length(span: &Span, now: u64) -> u64 {
    span.to.unwrap_or(now).saturating_sub(span.from)
}

/// Milliseconds as people read them.
#[expect(clippy::cast_precision_loss, reason = "shown, never reckoned with")]
fn time(millis: u64) -> String {
    match millis {
        0..60_000 => format!("{:.1} s", millis as f64 / 1e3),
        60_000..3_600_000 => format!("{}:{:02} min", millis / 60_000, millis / 1_000 % 60),
        _ => format!("{}:{:02} h", millis / 3_600_000, millis / 60_000 % 60),
    }
}

/// How it ended, or that it did not.
fn outcome(story: &Story) -> String {
    story.head.outcome.as_deref().unwrap_or("not finished").replace('_', " ")
}

/// Where an issue is, before what to do about it.
fn at(place: &str) -> String {
    if place.is_empty() { String::new() } else { format!("{place}: ") }
}

/// The model of a round, where it is another than before.
fn on(model: &str) -> String {
    if model.is_empty() { String::new() } else { format!(" on {model}") }
}

/// What a wait is called.
fn reason(why: &str) -> &'static str {
    match why {
        "queue" => "in the queue, behind other calls",
        "quota" => "at the quota's gate",
        "dependency" => "for other tasks' work",
        "retry" => "before a call was sent again",
        _ => "for something else",
    }
}
