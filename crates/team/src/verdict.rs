//! What a reviewer says of a piece of work.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::extract;

/// A reviewer's judgement.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Verdict {
    /// What to do with the work.
    pub decision: Decision,
    /// How good it is, from 0 to 1.
    pub score: f64,
    /// The judgement in a sentence.
    pub summary: String,
    /// What is to be mended.
    pub issues: Vec<Issue>,
}

/// What to do with a piece of work.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It is good enough.
    Accept,
    /// It is on the wrong track.
    Reject,
    /// It needs another round.
    Revise,
}

/// Something to be mended.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Issue {
    /// How bad it is, in the reviewer's word.
    pub severity: String,
    /// Where it is.
    pub place: String,
    /// What to do about it.
    pub fix: String,
}

impl Verdict {
    /// Understands a reviewer's answer: JSON in any wrapping, or lines such as `Score: 8/10` and `Verdict: accept`.
    ///
    /// # Errors
    ///
    /// What is missing, in a sentence a reviewer can act on. An answer without a clear verdict is never taken for one.
    pub fn read(answer: &str) -> Result<Self, String> {
        extract::objects(answer)
            .iter()
            .find_map(structured)
            .or_else(|| lines(answer))
            .ok_or_else(|| "the answer contains no verdict: neither a JSON object with \"decision\" and \"score\" nor the lines \"Verdict: accept|revise|reject\" and \"Score: 0.0 to 1.0\"".to_owned())
    }

    /// Whether the work is good enough, measured against the team's threshold as well.
    #[must_use]
    pub fn accepts(&self, threshold: f64) -> bool {
        self.decision == Decision::Accept && self.score >= threshold
    }
}

fn structured(object: &Value) -> Option<Verdict> {
    let decision = decision(&extract::text(object, "decision").or_else(|| extract::text(object, "verdict"))?)?;
    let score = score(&extract::text(object, "score")?)?;
    let issues = object.get("issues").and_then(Value::as_array).map(|issues| issues.iter().filter_map(issue).collect());
    Some(Verdict {
        decision,
        score,
        summary: extract::text(object, "summary").unwrap_or_default(),
        issues: issues.unwrap_or_default(),
    })
}

fn issue(value: &Value) -> Option<Issue> {
    if let Value::String(fix) = value {
        return Some(Issue { severity: "major".to_owned(), place: String::new(), fix: fix.trim().to_owned() });
    }
    Some(Issue {
        severity: extract::text(value, "severity").unwrap_or_else(|| "major".to_owned()),
        place: extract::text(value, "where").unwrap_or_default(),
        fix: extract::text(value, "fix").or_else(|| extract::text(value, "issue"))?,
    })
}

fn lines(answer: &str) -> Option<Verdict> {
    let field = |names: &[&str]| {
        answer.lines().find_map(|line| {
            let line = line.trim().trim_start_matches(['*', '-', '#', ' ']);
            let (name, value) = line.split_once(':')?;
            let name = name.trim_matches(['*', ' ']);
            names.iter().any(|wanted| name.eq_ignore_ascii_case(wanted)).then(|| value.trim_matches(['*', ' ', '.']))
        })
    };
    let decision = decision(field(&["verdict", "decision"])?)?;
    let score = score(field(&["score", "rating"])?)?;
    let issues = answer.lines().filter_map(|line| line.trim().strip_prefix("- "));
    let issues = issues.map(|fix| Issue { severity: "major".to_owned(), place: String::new(), fix: fix.to_owned() });
    Some(Verdict { decision, score, summary: String::new(), issues: issues.collect() })
}

fn decision(word: &str) -> Option<Decision> {
    match word.to_ascii_lowercase().as_str() {
        "accept" | "accepted" | "approve" | "approved" => Some(Decision::Accept),
        "reject" | "rejected" => Some(Decision::Reject),
        "revise" | "revision" | "changes_requested" | "request_changes" => Some(Decision::Revise),
        _ => None,
    }
}

/// `0.8`, `8/10`, `80 %` or `80/100` as a share of 1; `None` for anything else.
fn score(text: &str) -> Option<f64> {
    let text = text.trim();
    let (value, of) = match (text.split_once('/'), text.strip_suffix('%')) {
        (Some((value, of)), _) => (value, of.trim().parse().ok()?),
        (None, Some(value)) => (value, 100.0),
        (None, None) => (text, 1.0),
    };
    let share = value.trim().parse::<f64>().ok()? / of;
    (0.0..=1.0).contains(&share).then_some(share)
}
