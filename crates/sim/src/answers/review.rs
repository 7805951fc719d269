//! Verdicts: a seeded share of first drafts goes back with something concrete, a revision is accepted.

use std::fmt::Write;

use serde_json::json;

use super::{MARK, Prompt, Speaker, work};
use crate::fate;
use crate::scenario::{Answers, VerdictForm};

pub(super) fn write(prompt: &Prompt, forms: &Answers, seed: u64) -> String {
    let verdict = judge(prompt, forms, seed);
    match forms.verdict {
        VerdictForm::Auto if prompt.wants_json() => verdict.json(),
        VerdictForm::Auto | VerdictForm::Text => verdict.text(),
        VerdictForm::Garbage => format!("It is what it is, and it was quite an interesting read.\n\n{MARK}"),
        VerdictForm::Json => verdict.json(),
    }
}

/// The draw depends on the piece of work and not on the wording of the question, so that one draft gets one verdict.
fn judge(prompt: &Prompt, forms: &Answers, seed: u64) -> Verdict {
    let submitted = prompt.said_by(Speaker::User).collect::<Vec<_>>().join("\n");
    let key = work::title_in(&submitted).unwrap_or(&submitted);
    let mut rng = fate::rng(seed, fate::fnv(key.as_bytes(), fate::FNV_OFFSET), "verdict");
    let drawn = rng.f64();
    if work::is_revision(&submitted) {
        let percent = rng.u32(88..=97);
        return Verdict { issues: Vec::new(), percent, summary: "The issues are addressed; the work is complete." };
    }
    if drawn < forms.revise_share {
        let first = rng.usize(..ISSUES.len());
        let second = (first + 1 + rng.usize(..ISSUES.len() - 1)) % ISSUES.len();
        let issues = if rng.bool() { vec![&ISSUES[first]] } else { vec![&ISSUES[first], &ISSUES[second]] };
        let percent = rng.u32(52..=74);
        return Verdict { issues, percent, summary: "The structure is sound, but it is not ready yet." };
    }
    let percent = rng.u32(82..=95);
    Verdict { issues: Vec::new(), percent, summary: "Clear, complete and consistent with the task." }
}

#[derive(Debug)]
struct Verdict {
    /// None means that it is accepted.
    issues: Vec<&'static Issue>,
    percent: u32,
    summary: &'static str,
}

#[derive(Debug)]
struct Issue {
    severity: &'static str,
    place: &'static str,
    fix: &'static str,
}

impl Verdict {
    const fn decision(&self) -> &'static str {
        if self.issues.is_empty() { "accept" } else { "revise" }
    }

    fn json(&self) -> String {
        let issues: Vec<_> = self
            .issues
            .iter()
            .map(|issue| json!({ "severity": issue.severity, "where": issue.place, "fix": issue.fix }))
            .collect();
        json!({
            "decision": self.decision(),
            "score": f64::from(self.percent) / 100.0,
            "summary": self.summary,
            "issues": issues,
            "simulated": true,
        })
        .to_string()
    }

    fn text(&self) -> String {
        // Whole tens, so that the threshold of 8 separates the two decisions here as well.
        let mut text = format!("Score: {}/10\nVerdict: {}\n\n{}\n", self.percent / 10, self.decision(), self.summary);
        for issue in &self.issues {
            writeln!(text, "- [{}] {}: {}", issue.severity, issue.place, issue.fix)
                .expect("writing to a string does not fail");
        }
        text + "\n" + MARK
    }
}

const ISSUES: [Issue; 8] = [
    Issue {
        severity: "major",
        place: "failure path",
        fix: "Report the last cause together with the number of attempts instead of dropping it.",
    },
    Issue {
        severity: "major",
        place: "time limits",
        fix: "Bound the whole call by a deadline, not only each single step.",
    },
    Issue {
        severity: "major",
        place: "input checks",
        fix: "Reject an empty or oversized input before any work is done.",
    },
    Issue {
        severity: "major",
        place: "resource use",
        fix: "Release the connection on every way out, cancellation included.",
    },
    Issue {
        severity: "minor",
        place: "configuration",
        fix: "Turn the number in the code into a setting with a default.",
    },
    Issue {
        severity: "minor",
        place: "documentation",
        fix: "Say in the first line what the caller gets, and when it fails.",
    },
    Issue { severity: "minor", place: "tests", fix: "Cover the case in which every attempt fails." },
    Issue { severity: "minor", place: "naming", fix: "Name the two durations by what they limit." },
];
