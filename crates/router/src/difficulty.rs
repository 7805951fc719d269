//! How hard a task seems: a logistic score of its features, corrected by what becomes of tasks on the first tier.

use crate::features::{Features, Group};

/// How many buckets of hardness there are.
pub(crate) const BUCKETS: usize = 4;
/// How many features the score has, the constant one included.
const WEIGHTS: usize = 9;
/// What the features weigh before anything is learnt: constant, complexity, length, needs, criteria, code, maths,
/// edit, history of the group.
const FIRST: [f64; WEIGHTS] = [-0.6, 1.6, 0.5, 0.4, 0.4, 0.2, 0.5, -0.2, 1.5];
/// How far one observation moves the weights.
const STEP: f64 = 0.03;
/// How strongly the weights are drawn back to where they began, so that buckets keep their meaning.
const PULL: f64 = 0.01;
/// How far a weight may get from where it began.
const REACH: f64 = 1.0;
/// What one observation changes of a group's history.
const GROUP_STEP: f64 = 0.03;

/// The chance that a task is too hard for the first tier, by a logistic regression that learns as it goes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Difficulty {
    weights: [f64; WEIGHTS],
    /// How often tasks of each group were too hard for the first tier.
    groups: [f64; Group::ALL.len()],
}

impl Default for Difficulty {
    fn default() -> Self {
        Self { weights: FIRST, groups: [0.5; Group::ALL.len()] }
    }
}

impl Difficulty {
    /// The chance that the first tier's work will not do.
    pub(crate) fn score(&self, features: &Features) -> f64 {
        let inputs = self.inputs(features);
        let sum: f64 = self.weights.iter().zip(inputs).map(|(weight, input)| weight * input).sum();
        1.0 / (1.0 + (-sum).exp())
    }

    /// The bucket of a task, from 0 for the easiest.
    pub(crate) fn bucket(&self, features: &Features) -> usize {
        let score = self.score(features);
        [0.25, 0.5, 0.75].iter().filter(|bound| score >= **bound).count()
    }

    /// Learns whether the first tier's work would not do: a step down the gradient of the logistic loss.
    pub(crate) fn learn(&mut self, features: &Features, missed: bool) {
        let wanted = f64::from(u8::from(missed));
        let error = wanted - self.score(features);
        let inputs = self.inputs(features);
        for ((weight, first), input) in self.weights.iter_mut().zip(FIRST).zip(inputs) {
            *weight += STEP * error * input - STEP * PULL * (*weight - first);
            *weight = weight.clamp(first - REACH, first + REACH);
        }
        let group = &mut self.groups[features.group as usize];
        *group += GROUP_STEP * (wanted - *group);
    }

    /// The features, each of the order of 1.
    fn inputs(&self, features: &Features) -> [f64; WEIGHTS] {
        let truth = |truth: bool| f64::from(u8::from(truth));
        #[expect(clippy::cast_precision_loss, reason = "a number of tokens; its logarithm is what counts")]
        let tokens = features.tokens.max(1) as f64;
        [
            1.0,
            (f64::from(features.complexity) - 3.0) / 2.0,
            ((tokens / 800.0).ln() / 2.0).clamp(-1.0, 1.0),
            f64::from(features.needs.min(5)) / 5.0,
            f64::from(features.criteria.min(8)) / 8.0,
            truth(features.code),
            truth(features.maths),
            truth(features.edit),
            self.groups[features.group as usize] - 0.5,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(complexity: u8) -> Features {
        Features { complexity, tokens: 800, ..Features::default() }
    }

    #[test]
    fn what_the_planner_finds_harder_is_not_in_an_easier_bucket() {
        let difficulty = Difficulty::default();
        let buckets: Vec<usize> = (1..=5).map(|complexity| difficulty.bucket(&task(complexity))).collect();
        assert!(buckets.is_sorted() && buckets[0] == 0 && buckets[4] >= 2, "{buckets:?}");
        let many = Features { needs: 5, criteria: 8, code: true, maths: true, ..task(5) };
        assert_eq!(difficulty.bucket(&many), 3);
    }

    #[test]
    fn what_turns_out_hard_moves_up_and_never_without_bound() {
        let mut difficulty = Difficulty::default();
        let maths = Features { maths: true, group: Group::Maths, ..task(3) };
        let before = (difficulty.score(&maths), difficulty.score(&task(3)));
        for _ in 0..300 {
            difficulty.learn(&maths, true);
            difficulty.learn(&task(3), false);
        }
        let after = (difficulty.score(&maths), difficulty.score(&task(3)));
        assert!(after.0 > before.0 + 0.2 && after.1 < before.1, "{before:?} {after:?}");
        for _ in 0..10_000 {
            difficulty.learn(&maths, true);
        }
        assert!(difficulty.weights.iter().zip(FIRST).all(|(weight, first)| (weight - first).abs() <= REACH));
    }
}
