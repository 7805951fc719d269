//! What nine of ten stay below.

/// The 90th percentile of what was seen of late, from a histogram whose steps grow by a twelfth.
///
/// Every count is halved from time to time, so that the old weighs less than the new.
#[derive(Debug, Default)]
pub(super) struct Quantile {
    counts: Vec<u32>,
    seen: u32,
}

impl Quantile {
    pub(super) fn add(&mut self, value: u64) {
        let step = step_of(value);
        if self.counts.len() <= step {
            self.counts.resize(step + 1, 0);
        }
        self.counts[step] += 1;
        self.seen += 1;
        if self.seen >= HALVED_AT {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.seen = self.counts.iter().sum();
        }
    }

    /// `None` before enough was seen.
    pub(super) fn value(&self) -> Option<u64> {
        if self.seen < ENOUGH {
            return None;
        }
        let mut below = 0;
        let step = self.counts.iter().position(|count| {
            below += count;
            below * 10 >= self.seen * 9
        })?;
        Some(top_of(step))
    }
}

fn step_of(value: u64) -> usize {
    let (mut low, mut high) = (0, MOST_STEPS);
    while low < high {
        let middle = usize::midpoint(low, high);
        if top_of(middle) < value {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// The largest value of a step: 16, and from there a twelfth more each, rounded up.
fn top_of(step: usize) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 16 × 1.09^199")]
    let top = (16.0 * (13.0f64 / 12.0).powi(step as i32)).ceil() as u64;
    top
}

const ENOUGH: u32 = 10;
const HALVED_AT: u32 = 1_000;
/// Up to 130 million.
const MOST_STEPS: usize = 200;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nine_of_ten_stay_below_and_not_by_much(mut values in prop::collection::vec(1..100_000u64, 10..500)) {
            let mut quantile = Quantile::default();
            values.iter().for_each(|value| quantile.add(*value));
            values.sort_unstable();
            let exact = values[(values.len() * 9).div_ceil(10) - 1];
            let found = quantile.value().unwrap();
            prop_assert!(found >= exact, "{found} is below {exact}");
            prop_assert!(found <= exact.max(16) * 13 / 12 + 2, "{found} is far above {exact}");
        }
    }
}
