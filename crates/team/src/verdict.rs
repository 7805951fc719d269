//! What a reviewer says of a piece of work.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::extract;
use crate::review::Finding;

/// The most issues, and the most criteria, of one verdict that are kept: a reviewer who finds more finds nothing.
const MAX_POINTS: usize = 50;
/// The most characters of each text in a verdict that are kept.
const MAX_CHARS: usize = 2_000;

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
    /// Criterion by criterion, with evidence, as far as the reviewer went through them; or the checks that failed.
    #[serde(default)]
    pub criteria: Vec<Finding>,
    /// Whether it comes from checks, and no reviewer was asked.
    #[serde(default)]
    pub by_checks: bool,
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
    /// Its name in the task: `i1`, `i2`, ... for a reviewer's, `check:<id>` for one that a check found.
    #[serde(default)]
    pub key: String,
    /// How bad it is, in the reviewer's word: `blocker`, `major`, `minor`.
    pub severity: String,
    /// Where it is.
    pub place: String,
    /// What to do about it.
    pub fix: String,
    /// Whether the revision before caused it, in the reviewer's word.
    #[serde(default)]
    pub from_revision: bool,
    /// Whether it counts: what a reviewer thinks of too late is only noted.
    #[serde(default = "yes")]
    pub open: bool,
}

const fn yes() -> bool {
    true
}

impl Issue {
    /// Something to be mended, not yet named.
    #[must_use]
    pub fn new(severity: &str, place: &str, fix: &str) -> Self {
        Self {
            key: String::new(),
            severity: clip(severity),
            place: clip(place),
            fix: clip(fix),
            from_revision: false,
            open: true,
        }
    }

    /// Whether it makes the work unusable.
    #[must_use]
    pub fn is_blocker(&self) -> bool {
        ["blocker", "critical", "fatal"].iter().any(|word| self.severity.eq_ignore_ascii_case(word))
    }
}

impl Verdict {
    /// A bare verdict.
    #[must_use]
    pub const fn new(decision: Decision, score: f64) -> Self {
        Self { decision, score, summary: String::new(), issues: Vec::new(), criteria: Vec::new(), by_checks: false }
    }

    /// The issues that count.
    #[must_use]
    pub fn open_issues(&self) -> Vec<Issue> {
        self.issues.iter().filter(|issue| issue.open).cloned().collect()
    }

    /// What is wanting: the issues that count, and the criteria that are not met; if there are none of either, the issues that
    /// came too late to count, for whoever has nothing else to go by.
    #[must_use]
    pub fn wanting(&self) -> Vec<Issue> {
        // What a check found is an issue already.
        let unmet = self.criteria.iter().filter(|finding| finding.must && !finding.pass && !self.by_checks);
        let unmet = unmet.map(|Finding { id, evidence, .. }| {
            let found = if evidence.is_empty() { String::new() } else { format!(": {evidence}") };
            Issue { key: id.clone(), ..Issue::new("major", "", &format!("criterion {id} is not met{found}")) }
        });
        let wanting: Vec<Issue> = self.issues.iter().filter(|issue| issue.open).cloned().chain(unmet).collect();
        if wanting.is_empty() { self.issues.clone() } else { wanting }
    }

    /// How many issues count.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.issues.iter().filter(|issue| issue.open).count()
    }

    /// What checks that must pass found, as a verdict that sends the work back; `None` if they found nothing.
    #[must_use]
    pub fn from_checks(findings: &[Finding]) -> Option<Self> {
        let failed: Vec<&Finding> = findings.iter().filter(|finding| finding.must && !finding.pass).collect();
        if failed.is_empty() {
            return None;
        }
        let names: Vec<&str> = failed.iter().map(|finding| finding.id.as_str()).collect();
        let issue = |finding: &&Finding| Issue {
            key: format!("check:{}", finding.id),
            ..Issue::new("blocker", &format!("check {}", finding.id), &finding.evidence)
        };
        Some(Self {
            summary: format!("checks that failed: {}", names.join(", ")),
            issues: failed.iter().map(issue).collect(),
            criteria: findings.to_vec(),
            by_checks: true,
            ..Self::new(Decision::Revise, 0.0)
        })
    }

    /// Understands a reviewer's answer: JSON in any wrapping, or lines such as `Score: 8/10` and `Verdict: accept`.
    ///
    /// # Errors
    ///
    /// What is missing, in a sentence a reviewer can act on. An answer without a clear verdict is never taken for one.
    pub fn read(answer: &str) -> Result<Self, String> {
        let objects = extract::objects(answer);
        let verdicts: Vec<Self> = objects.iter().filter_map(structured).collect();
        let in_lines = fields(answer, &DECISION).filter_map(decision);
        let said: Vec<Decision> = verdicts.iter().map(|verdict| verdict.decision).chain(in_lines).collect();
        // A judge may quote the work, and the work may hold a verdict of its own.
        if said.iter().any(|decision| *decision != said[0]) {
            return Err("the answer contains verdicts that contradict each other: give one, and quote none".to_owned());
        }
        let strictest = verdicts.into_iter().min_by(|a, b| a.score.total_cmp(&b.score));
        strictest.or_else(|| lines(answer)).ok_or_else(|| missing(&objects))
    }
}

fn missing(objects: &[Value]) -> String {
    let decided = objects.iter().find(|object| object.get("decision").is_some());
    match decided.map(|object| extract::text(object, "score")) {
        Some(None) => "the verdict has no \"score\", a number from 0.0 to 1.0".to_owned(),
        Some(Some(given)) if score(&given).is_none() => {
            format!("the score {:?} is no number from 0.0 to 1.0", given.chars().take(40).collect::<String>())
        }
        _ => "the answer contains no verdict: neither a JSON object with \"decision\" and \"score\" nor the lines \"Verdict: accept|revise|reject\" and \"Score: 0.0 to 1.0\"".to_owned(),
    }
}

fn structured(object: &Value) -> Option<Verdict> {
    let decision = decision(&extract::text(object, "decision").or_else(|| extract::text(object, "verdict"))?)?;
    let score = score(&extract::text(object, "score")?)?;
    let list = |key: &str| object.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    Some(Verdict {
        summary: clip(&extract::text(object, "summary").unwrap_or_default()),
        issues: list("issues").iter().filter_map(issue).take(MAX_POINTS).collect(),
        criteria: criteria(object.get("criteria")),
        ..Verdict::new(decision, score)
    })
}

fn issue(value: &Value) -> Option<Issue> {
    if let Value::String(fix) = value {
        return Some(Issue::new("major", "", fix.trim()));
    }
    let severity = extract::text(value, "severity").unwrap_or_else(|| "major".to_owned());
    let place = extract::text(value, "where").unwrap_or_default();
    let fix = extract::text(value, "fix").or_else(|| extract::text(value, "issue"))?;
    Some(Issue {
        key: clip(&extract::text(value, "key").unwrap_or_default()),
        from_revision: value.get("from_revision").and_then(Value::as_bool).unwrap_or_default(),
        ..Issue::new(&severity, &place, &fix)
    })
}

/// A list of `{"id": "c1", "pass": false, "evidence": "..."}`, or an object with the ids as names.
fn criteria(value: Option<&Value>) -> Vec<Finding> {
    let found: Vec<Finding> = match value {
        Some(Value::Array(items)) => {
            items.iter().filter_map(|item| criterion(extract::text(item, "id"), item)).collect()
        }
        Some(Value::Object(by_id)) => by_id.iter().filter_map(|(id, item)| criterion(Some(id.clone()), item)).collect(),
        _ => Vec::new(),
    };
    found.into_iter().take(MAX_POINTS).collect()
}

/// Without a clear word on whether it is met there is none.
fn criterion(id: Option<String>, value: &Value) -> Option<Finding> {
    let evidence = extract::text(value, "evidence").unwrap_or_default();
    let pass = is_met(value.get("pass").unwrap_or(value))?;
    Some(Finding { id: clip(&id?), must: true, pass, evidence: clip(&evidence) })
}

fn is_met(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(met) => Some(*met),
        Value::String(word) => match word.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "pass" | "passed" | "met" => Some(true),
            "false" | "no" | "fail" | "failed" | "not met" | "unmet" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// What stands behind one of these names on a line of its own, line by line.
fn fields<'a>(answer: &'a str, names: &'a [&str]) -> impl Iterator<Item = &'a str> {
    answer.lines().filter_map(|line| {
        let line = line.trim().trim_start_matches(['*', '-', '#', ' ']);
        let (name, value) = line.split_once(':')?;
        let name = name.trim_matches(['*', ' ']);
        names.iter().any(|wanted| name.eq_ignore_ascii_case(wanted)).then(|| value.trim_matches(['*', ' ', '.']))
    })
}

/// What the word that decides is called.
const DECISION: [&str; 2] = ["verdict", "decision"];

fn lines(answer: &str) -> Option<Verdict> {
    let decision = decision(fields(answer, &DECISION).next()?)?;
    let score = score(fields(answer, &["score", "rating"]).next()?)?;
    let issues = answer.lines().filter_map(|line| line.trim().strip_prefix("- "));
    let issues = issues.map(|fix| Issue::new("major", "", fix)).take(MAX_POINTS).collect();
    Some(Verdict { issues, ..Verdict::new(decision, score) })
}

fn clip(text: &str) -> String {
    text.chars().take(MAX_CHARS).collect()
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
