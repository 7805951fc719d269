//! What reviewers and checks say of work, and what that seems to mean for its task.

use std::hash::{DefaultHasher, Hasher};

use serde_json::Value;

use super::events::text;
use super::{Round, Story};
use crate::text::line;

impl Story {
    /// The latest work of a task was handed in.
    pub(super) fn handed_in(&mut self, n: usize, t: u64) {
        let state = match (self.reviewed() || self.fold.checked, self.fold.stopped) {
            (false, _) => "accepted",
            (true, false) => "produced",
            (true, true) => "unreviewed",
        };
        self.move_to(n, t, state);
        let Some((latest, earlier)) = self.tasks[n].rounds.split_last_mut() else { return };
        // Who hands in the same work again gets the same answer, and nobody is asked for it.
        let same = |round: &&Round| round.print == latest.print && round.text == latest.text;
        let Some(known) = earlier.iter().find(same).filter(|round| round.judged.is_some()) else { return };
        (latest.judged, latest.score, latest.decision) = (Some(t), known.score, known.decision.clone());
        (latest.summary, latest.issues) = (known.summary.clone(), known.issues.clone());
        self.weigh(n, t);
    }

    pub(super) fn judged(&mut self, seq: u64, t: u64, event: &Value) {
        let id = text(event, "task").to_owned();
        if let Some(job) = self.under_way("review", &id) {
            self.settle(&job, t, &event["spent"]);
        }
        let verdict = &event["verdict"];
        let (score, decision) = (verdict["score"].as_f64().unwrap_or_default(), line(text(verdict, "decision"), 20));
        let field = |issue: &Value, name: &str| self.keep(text(issue, name));
        let issues = verdict["issues"].as_array().into_iter().flatten();
        let issues =
            issues.map(|issue| (field(issue, "severity"), field(issue, "place"), field(issue, "fix"))).collect();
        let summary = self.keep(text(verdict, "summary"));
        let Some(n) = self.task(&id) else { return };
        if let Some(last) = self.tasks[n].rounds.last_mut() {
            (last.judged, last.score, last.decision) = (Some(t), Some(score), Some(decision.clone()));
            (last.summary, last.issues) = (summary, issues);
        }
        self.weigh(n, t);
        self.say(seq, t, "judged", format!("{id}: score {score:.2}, {decision}"));
    }

    /// What checks found. Work that one which has to pass found wanting goes back, and nobody judges it.
    pub(super) fn checked(&mut self, id: &str, t: u64, findings: &Value) -> String {
        if let Some(job) = self.under_way("check", id) {
            self.rest(&job, t);
        }
        let failed: Vec<&Value> =
            findings.as_array().into_iter().flatten().filter(|finding| finding["pass"] == false).collect();
        let names = |failed: &[&Value]| {
            let names: Vec<String> = failed.iter().map(|finding| line(text(finding, "id"), 60)).collect();
            names.join(", ")
        };
        let said =
            format!("{id}: checks found {}", if failed.is_empty() { "nothing".to_owned() } else { names(&failed) });
        let must: Vec<&Value> = failed.iter().copied().filter(|finding| finding["must"] == true).collect();
        let issue = |finding: &&Value| {
            let place = format!("check {}", line(text(finding, "id"), 60));
            ("blocker".to_owned(), place, self.keep(text(finding, "evidence")))
        };
        let (summary, issues) = (format!("checks that failed: {}", names(&must)), must.iter().map(issue).collect());
        let Some(n) = self.task(id) else { return said };
        let Some(last) = self.tasks[n].rounds.last_mut() else { return said };
        if !must.is_empty() {
            (last.judged, last.score, last.decision) = (Some(t), Some(0.0), Some("revise".to_owned()));
            (last.summary, last.issues) = (summary, issues);
            self.weigh(n, t);
        } else if !self.reviewed() {
            self.move_to(n, t, "accepted");
        }
        said
    }

    fn reviewed(&self) -> bool {
        self.fold.roles.values().any(|(kind, _)| kind == "reviewer")
    }

    /// Where a task goes with its latest verdict, as far as that can be told by its score.
    fn weigh(&mut self, n: usize, t: u64) {
        let Some(last) = self.tasks[n].rounds.last() else { return };
        let accepts = last.decision.as_deref() == Some("accept");
        let to = if accepts && last.score.is_some_and(|score| score >= self.fold.threshold) {
            "accepted"
        } else if self.tasks[n].rounds.len() as u64 <= self.fold.max_rounds && !self.fold.stopped {
            "revising"
        } else if self.fold.person && !self.fold.stopped {
            "blocked"
        } else {
            "rejected"
        };
        self.move_to(n, t, to);
        self.fold.presumed.insert(n);
    }
}

/// What tells a text from any other.
pub(super) fn print(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}
