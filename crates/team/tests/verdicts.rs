//! What is understood as a verdict, and what is not.

use bellwether_team::verdict::{Decision, Verdict};
use proptest::prelude::*;

#[test]
fn a_verdict_is_read_from_json_and_from_lines() {
    let json = r#"Here: {"decision": "revise", "score": 0.6, "summary": "close", "issues": [{"severity": "major", "where": "send", "fix": "add a timeout"}, "name it"]}"#;
    let verdict = Verdict::read(json).unwrap();
    assert_eq!((verdict.decision, verdict.score), (Decision::Revise, 0.6));
    assert_eq!(verdict.issues.iter().map(|issue| &*issue.fix).collect::<Vec<_>>(), ["add a timeout", "name it"]);

    let lines = Verdict::read("**Score:** 9/10\n**Verdict:** Accept\n").unwrap();
    assert_eq!((lines.decision, lines.score), (Decision::Accept, 0.9));
    assert_eq!(Verdict::read("Verdict: reject\nScore: 20 %").unwrap().score, 0.2);
}

#[test]
fn an_answer_without_a_clear_verdict_is_never_one() {
    let vague = [
        "",
        "Looks good to me!",
        r#"{"decision": "accept"}"#,
        r#"{"decision": "maybe", "score": 0.9}"#,
        r#"{"decision": "accept", "score": 9}"#,
        r#"{"decision": "accept", "score": -1}"#,
        "Verdict: accept\nScore: 1/0",
    ];
    for answer in vague {
        assert!(Verdict::read(answer).is_err(), "{answer:?}");
    }
}

#[test]
fn accepting_takes_the_word_and_the_score() {
    let verdict = |decision, score| Verdict { decision, score, summary: String::new(), issues: Vec::new() };
    assert!(verdict(Decision::Accept, 0.8).accepts(0.8));
    assert!(!verdict(Decision::Accept, 0.7).accepts(0.8));
    assert!(!verdict(Decision::Revise, 1.0).accepts(0.8));
}

proptest! {
    /// Whatever a model says, a score lies between 0 and 1.
    #[test]
    fn a_score_is_a_share(answer in "(Verdict: accept\\n)?(Score: )?[0-9./% a-zA-Z\\n{}\":-]{0,40}") {
        if let Ok(verdict) = Verdict::read(&answer) {
            prop_assert!((0.0..=1.0).contains(&verdict.score));
        }
    }
}
