//! Which of a verdict's issues count, and which of them are the same as before.

use std::collections::BTreeSet;

use crate::verdict::{Issue, Verdict};

/// Gives each issue of a verdict the key it has in this task, and says whether it counts.
///
/// A judge's word for an issue changes from round to round, so it is asked to name those we listed by their keys. What
/// carries no known key is matched by its text, else it is new. With a frozen scope, something new counts after the
/// first verdict only if it makes the work unusable or the revision caused it: otherwise a judge can go on finding
/// things for ever.
pub(crate) fn adopt(verdict: &mut Verdict, earlier: &[&Verdict], frozen: bool) {
    let known: Vec<&Issue> = earlier.iter().flat_map(|verdict| &verdict.issues).collect();
    let judged = earlier.iter().any(|verdict| !verdict.by_checks);
    let mut used: BTreeSet<String> = BTreeSet::new();
    let mut next = known.iter().filter_map(|issue| number(&issue.key)).max().unwrap_or(0);
    for issue in &mut verdict.issues {
        let same = known
            .iter()
            .find(|old| old.key == issue.key)
            .or_else(|| known.iter().find(|old| is_like(old, issue)))
            .filter(|old| !used.contains(&old.key));
        match same {
            Some(old) => {
                issue.key.clone_from(&old.key);
                issue.open = old.open || counts(issue, judged, frozen);
            }
            None => {
                if !verdict.by_checks {
                    next += 1;
                    issue.key = format!("i{next}");
                }
                issue.open = verdict.by_checks || counts(issue, judged, frozen);
            }
        }
        used.insert(issue.key.clone());
    }
}

fn counts(issue: &Issue, judged: bool, frozen: bool) -> bool {
    !frozen || !judged || issue.is_blocker() || issue.from_revision
}

/// The number in a key of ours.
fn number(key: &str) -> Option<u32> {
    key.strip_prefix('i')?.parse().ok()
}

/// Whether two issues say the same, spelling and punctuation aside.
fn is_like(a: &Issue, b: &Issue) -> bool {
    let plain = |issue: &Issue| -> String {
        let text = issue.place.chars().chain(issue.fix.chars());
        text.filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    plain(a) == plain(b)
}

#[cfg(test)]
mod tests {
    use super::adopt;
    use crate::verdict::{Decision, Issue, Verdict};

    fn issue(key: &str, severity: &str, fix: &str) -> Issue {
        Issue { key: key.to_owned(), ..Issue::new(severity, "", fix) }
    }

    fn verdict(issues: Vec<Issue>) -> Verdict {
        Verdict { issues, ..Verdict::new(Decision::Revise, 0.5) }
    }

    fn open(verdict: &Verdict) -> Vec<(&str, bool)> {
        verdict.issues.iter().map(|issue| (issue.key.as_str(), issue.open)).collect()
    }

    #[test]
    fn keys_are_ours_and_last_and_late_complaints_do_not_count() {
        let mut first = verdict(vec![issue("whatever", "major", "Add a test"), issue("", "minor", "rename x")]);
        adopt(&mut first, &[], true);
        assert_eq!(open(&first), [("i1", true), ("i2", true)]);

        let mut second = verdict(vec![
            issue("i1", "major", "there is still no test"),
            issue("", "minor", "Rename X!"),
            issue("", "minor", "use tabs"),
            issue("", "blocker", "it does not compile"),
            Issue { from_revision: true, ..issue("", "minor", "the new test leaks") },
        ]);
        adopt(&mut second, &[&first], true);
        assert_eq!(open(&second), [("i1", true), ("i2", true), ("i3", false), ("i4", true), ("i5", true)]);

        let mut third = verdict(vec![issue("", "minor", "use tabs")]);
        adopt(&mut third, &[&first, &second], true);
        assert_eq!(open(&third), [("i3", false)], "said twice, it is still a late complaint");
        adopt(&mut third, &[&first, &second], false);
        assert_eq!(open(&third), [("i3", true)]);
    }

    #[test]
    fn what_checks_found_does_not_freeze_the_scope_of_the_judge() {
        let failed = Verdict { by_checks: true, ..verdict(vec![issue("check:tests", "blocker", "2 failed")]) };
        let mut judged = verdict(vec![issue("", "minor", "name it")]);
        adopt(&mut judged, &[&failed], true);
        assert_eq!(open(&judged), [("i1", true)]);
    }

    #[test]
    fn one_issue_cannot_stand_for_two() {
        let mut first = verdict(vec![issue("", "major", "a")]);
        adopt(&mut first, &[], true);
        let mut second = verdict(vec![issue("i1", "major", "a"), issue("i1", "major", "a")]);
        adopt(&mut second, &[&first], true);
        assert_eq!(open(&second), [("i1", true), ("i2", false)]);
    }
}
