//! Whether a piece of work is good enough, goes back, or has gone back often enough.
//!
//! Without a measure of progress a loop of revisions ends by its cap only, and most of its rounds are paid for nothing:
//! gains are in the first one or two, and self-correction without new information does not help (Huang et al., "Large
//! Language Models Cannot Self-Correct Reasoning Yet", 2023). So a further round is only granted if the last one
//! closed an issue nobody had closed before, or raised the score. Both can happen only so often, which bounds the loop
//! even without a cap.

use super::ReviewRules;
use crate::verdict::{Decision, Verdict};

/// What becomes of a piece of work after a verdict.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Next {
    /// It is good enough.
    Accept,
    /// It goes back, with the issues that count.
    Revise,
    /// More rounds on this tier bring nothing.
    Exhausted,
}

/// What becomes of a task's work after the last of `verdicts`, the verdicts since it came to its tier.
pub(crate) fn next(verdicts: &[&Verdict], rules: &ReviewRules) -> Next {
    let Some((last, earlier)) = verdicts.split_last() else { return Next::Exhausted };
    if is_accepted(last, rules) {
        return Next::Accept;
    }
    let rounds = u32::try_from(earlier.len()).unwrap_or(u32::MAX);
    if rounds < rules.max_rounds && has_progressed(last, earlier, rules) { Next::Revise } else { Next::Exhausted }
}

/// Whether work is good enough: by the judge's word or with nothing left that counts, above the threshold, with every
/// criterion met and no blocker open.
pub(crate) fn is_accepted(verdict: &Verdict, rules: &ReviewRules) -> bool {
    let passed = verdict.criteria.iter().all(|finding| finding.pass || !finding.must);
    let open = || verdict.issues.iter().filter(|issue| issue.open);
    let willing = match verdict.decision {
        Decision::Accept => !open().any(|issue| issue.is_blocker()),
        // What the judge still names came too late to count.
        Decision::Revise => !verdict.issues.is_empty() && open().next().is_none(),
        Decision::Reject => false,
    };
    !verdict.by_checks && willing && passed && verdict.score >= rules.threshold
}

fn has_progressed(last: &Verdict, earlier: &[&Verdict], rules: &ReviewRules) -> bool {
    let Some(fewest) = earlier.iter().map(|verdict| verdict.open_count()).min() else { return true };
    let best = earlier.iter().map(|verdict| verdict.score).fold(0.0, f64::max);
    last.open_count() < fewest || last.score >= best + rules.min_gain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Next, ReviewRules, is_accepted, next};
    use crate::review::Finding;
    use crate::review::scope::adopt;
    use crate::verdict::{Decision, Issue, Verdict};

    const RULES: ReviewRules = ReviewRules {
        threshold: 0.8,
        max_rounds: 5,
        max_escalations: 0,
        freeze_scope: true,
        min_gain: 0.05,
        on_exhausted: super::super::OnExhausted::AcceptBest,
    };

    fn verdict(decision: Decision, score: f64, issues: usize) -> Verdict {
        let issues = (0..issues).map(|n| Issue::new("major", "", &format!("mend {n}"))).collect();
        let mut verdict = Verdict { issues, ..Verdict::new(decision, score) };
        adopt(&mut verdict, &[], true);
        verdict
    }

    #[test]
    fn a_round_that_brings_nothing_is_the_last() {
        let first = verdict(Decision::Revise, 0.5, 2);
        assert_eq!(next(&[&first], &RULES), Next::Revise);
        assert_eq!(next(&[&first, &verdict(Decision::Revise, 0.5, 1)], &RULES), Next::Revise, "an issue fewer");
        assert_eq!(next(&[&first, &verdict(Decision::Revise, 0.55, 3)], &RULES), Next::Revise, "a better score");
        assert_eq!(next(&[&first, &verdict(Decision::Revise, 0.52, 2)], &RULES), Next::Exhausted);
        let again = verdict(Decision::Revise, 0.5, 2);
        let better = verdict(Decision::Revise, 0.5, 1);
        assert_eq!(next(&[&better, &again, &better], &RULES), Next::Exhausted, "to and fro is no progress");
    }

    #[test]
    fn a_word_of_acceptance_is_not_enough() {
        let accept = verdict(Decision::Accept, 0.9, 0);
        assert!(is_accepted(&accept, &RULES));
        assert!(!is_accepted(&verdict(Decision::Accept, 0.79, 0), &RULES), "the threshold");
        let unmet = Finding { id: "c1".to_owned(), must: true, pass: false, evidence: "no test".to_owned() };
        assert!(!is_accepted(&Verdict { criteria: vec![unmet.clone()], ..accept.clone() }, &RULES));
        assert!(is_accepted(&Verdict { criteria: vec![Finding { must: false, ..unmet }], ..accept.clone() }, &RULES));
        let mut blocked = Verdict { issues: vec![Issue::new("blocker", "", "panics")], ..accept.clone() };
        adopt(&mut blocked, &[], true);
        assert!(!is_accepted(&blocked, &RULES));
        assert!(!is_accepted(&Verdict { by_checks: true, ..accept }, &RULES), "checks alone are the state's matter");
        assert!(!is_accepted(&verdict(Decision::Revise, 0.9, 0), &RULES), "a revision without a reason is no consent");
    }

    #[test]
    fn late_complaints_about_good_work_do_not_send_it_back() {
        let first = verdict(Decision::Revise, 0.7, 1);
        let mut second =
            Verdict { issues: vec![Issue::new("minor", "", "use tabs")], ..Verdict::new(Decision::Revise, 0.9) };
        adopt(&mut second, &[&first], true);
        assert_eq!(next(&[&first, &second], &RULES), Next::Accept);
        second.score = 0.7;
        assert_eq!(next(&[&first, &second], &RULES), Next::Revise, "nothing that counts is open: an issue fewer");
    }

    fn any_verdict() -> impl Strategy<Value = Verdict> {
        let decision = prop_oneof![Just(Decision::Accept), Just(Decision::Revise), Just(Decision::Reject)];
        let issue = (0..6u8, prop_oneof![Just("minor"), Just("major"), Just("blocker")], any::<bool>());
        (decision, 0..=100u8, proptest::collection::vec(issue, 0..6)).prop_map(|(decision, score, issues)| {
            let issues = issues.into_iter().map(|(n, severity, from_revision)| Issue {
                key: format!("i{n}"),
                from_revision,
                ..Issue::new(severity, "", &format!("mend {n}"))
            });
            Verdict { issues: issues.collect(), ..Verdict::new(decision, f64::from(score) / 100.0) }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_024))]

        /// Whatever a judge says, and however often work may go back: the loop ends, and no work below the threshold or
        /// with a blocker is accepted.
        #[test]
        fn every_loop_ends(mut said in proptest::collection::vec(any_verdict(), 60), frozen: bool) {
            let rules = ReviewRules { max_rounds: u32::MAX, freeze_scope: frozen, ..RULES };
            let mut rounds = 0;
            for n in 0..said.len() {
                let (earlier, rest) = said.split_at_mut(n);
                let earlier: Vec<&Verdict> = earlier.iter().collect();
                adopt(&mut rest[0], &earlier, frozen);
                let so_far: Vec<&Verdict> = earlier.into_iter().chain([&rest[0]]).collect();
                let answer = next(&so_far, &rules);
                if answer == Next::Accept {
                    prop_assert!(rest[0].score >= rules.threshold);
                    prop_assert!(rest[0].decision != Decision::Reject);
                    prop_assert!(!rest[0].issues.iter().any(|issue| issue.open && issue.is_blocker()));
                }
                if answer != Next::Revise {
                    break;
                }
                rounds += 1;
            }
            // Each further round closes one of at most five issues for good or raises the score by a twentieth.
            prop_assert!(rounds <= 1 + 5 + 20, "{rounds} rounds");
        }
    }
}
