//! How evenly the quota is shared between the runs that have to wait for it.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher as _};
use std::time::Duration;

use bellwether_core::{Call, Class};
use metrics::{Gauge, gauge};

use crate::kinds::float;
use crate::mix::Mix;
use crate::names;

/// The shares of the runs of one class, over a while.
#[derive(Debug)]
pub(crate) struct Shares {
    since: f64,
    /// By tenant, team and run. Two runs whose names mix alike would count as one, which is rare and only a gauge.
    runs: HashMap<u64, Share, BuildHasherDefault<Mix>>,
    index: Gauge,
}

#[derive(Debug, Default)]
struct Share {
    /// What was admitted, per unit of weight.
    admitted: f64,
    waited: bool,
}

impl Shares {
    pub(crate) fn new(class: Class, now: f64) -> Self {
        let index = gauge!(names::FAIRNESS, "class" => class.as_str());
        index.set(1.0);
        Self { since: now, runs: HashMap::default(), index }
    }

    /// A call is admitted after it waited so long.
    pub(crate) fn admitted(&mut self, call: &Call, waited: Duration) {
        // What is taken while nobody has to wait is taken from nobody.
        if waited < A_WAIT && self.runs.is_empty() {
            return;
        }
        let mut name = Mix::default();
        let flow = &call.context.flow;
        [&flow.tenant, &flow.team, &flow.run].iter().for_each(|part| name.write(part.as_bytes()));
        let share = self.runs.entry(name.finish()).or_default();
        share.admitted += float(call.demand.tokens()) / f64::from(call.context.weight.get());
        share.waited |= waited >= A_WAIT;
    }

    /// Shows the index of the while that is over by now, if it is, and begins another.
    pub(crate) fn tick(&mut self, now: f64) {
        if now - self.since >= WHILE_SECONDS {
            let waited = self.runs.values().filter(|share| share.waited).map(|share| share.admitted);
            self.index.set(jain(waited));
            self.runs.clear();
            self.since = now;
        }
    }
}

/// Jain's index: 1 if all have as much, 1/n if one of n has everything. Nobody is treated unfairly where nobody else is.
fn jain(shares: impl Iterator<Item = f64>) -> f64 {
    let (mut count, mut sum, mut squares) = (0_u32, 0.0, 0.0);
    for share in shares {
        count += 1;
        sum += share;
        squares += share * share;
    }
    if squares > 0.0 { sum * sum / (f64::from(count) * squares) } else { 1.0 }
}

/// Whoever waits less than this meets nobody.
const A_WAIT: Duration = Duration::from_millis(10);
/// Long enough for some calls of everybody, short enough to see a change.
const WHILE_SECONDS: f64 = 60.0;

#[cfg(test)]
mod tests {
    use bellwether_core::{CallContext, Demand};

    use super::*;

    #[test]
    fn what_is_taken_before_anybody_has_to_wait_is_nobodys_share() {
        let context = CallContext::default();
        let demand = Demand { requests: 1, input_tokens: 30, output_tokens: 10 };
        let call = Call { context, model: "m".into(), provider: "p".into(), demand };
        let mut shares = Shares::new(Class::Batch, 0.0);
        let mut admitted = |waited| {
            shares.admitted(&call, waited);
            shares.runs.values().map(|share| share.admitted).sum::<f64>()
        };
        assert_eq!([Duration::ZERO, A_WAIT, Duration::ZERO].map(&mut admitted), [0.0, 40.0, 80.0]);
    }

    #[test]
    fn the_index_is_one_for_equals_and_the_nth_part_for_one_who_has_all() {
        assert!((jain([5.0, 5.0, 5.0].into_iter()) - 1.0).abs() < 1e-12);
        assert!((jain([9.0, 0.0, 0.0].into_iter()) - 1.0 / 3.0).abs() < 1e-12);
        assert!((jain([3.0, 1.0].into_iter()) - 0.8).abs() < 1e-12);
        assert!((jain(std::iter::empty()) - 1.0).abs() < 1e-12);
    }
}
