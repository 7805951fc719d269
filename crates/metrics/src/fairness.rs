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

    /// Shows the index of the while that is over by now, if it is, and begins another. A clock that was set back ends one,
    /// too: it would last until the clock is where it was.
    pub(crate) fn tick(&mut self, now: f64) {
        if !(0.0..WHILE_SECONDS).contains(&(now - self.since)) {
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
    use std::num::NonZeroU32;

    use bellwether_core::{CallContext, Demand, Flow};

    use super::*;
    use crate::Exporter;

    /// A call of 40 tokens.
    fn call(team: &str, run: &str, weight: u32) -> Call {
        let weight = NonZeroU32::new(weight).unwrap();
        let context = CallContext { weight, ..CallContext::new(Flow::new(team, run, "coder")) };
        let demand = Demand { requests: 1, input_tokens: 30, output_tokens: 10 };
        Call { context, model: "m".into(), provider: "p".into(), demand }
    }

    /// The index that is shown after something was done with shares since moment 0.
    fn index(work: impl FnOnce(&mut Shares)) -> f64 {
        let exporter = Exporter::local();
        exporter.record(|| work(&mut Shares::new(Class::Batch, 0.0)));
        let text = exporter.render();
        let line = text.lines().find_map(|line| line.strip_prefix("bellwether_fairness_jain{class=\"batch\"} "));
        line.unwrap().parse().unwrap()
    }

    fn admit(shares: &mut Shares, call: &Call, times: u32, waited: Duration) {
        (0..times).for_each(|_| shares.admitted(call, waited));
    }

    #[test]
    fn what_is_taken_before_anybody_has_to_wait_is_nobodys_share() {
        let call = call("team", "run", 1);
        let mut shares = Shares::new(Class::Batch, 0.0);
        let mut admitted = |waited| {
            shares.admitted(&call, waited);
            shares.runs.values().map(|share| share.admitted).sum::<f64>()
        };
        assert_eq!([Duration::ZERO, A_WAIT, Duration::ZERO].map(&mut admitted), [0.0, 40.0, 80.0]);
    }

    #[test]
    fn the_index_is_of_the_last_full_minute_and_of_those_who_waited_in_it() {
        let (greedy, light) = (call("team", "greedy", 1), call("team", "light", 1));
        let unfair = |shares: &mut Shares| {
            admit(shares, &greedy, 3, A_WAIT);
            admit(shares, &light, 1, A_WAIT);
            // Whoever never waits takes nothing from himself.
            admit(shares, &call("team", "idle", 1), 90, Duration::ZERO);
        };
        let after = |moments: &'static [f64]| {
            index(|shares| {
                unfair(shares);
                moments.iter().for_each(|now| shares.tick(*now));
            })
        };
        assert!((after(&[59.9]) - 1.0).abs() < 1e-9, "the minute is not over");
        assert!((after(&[60.0]) - 0.8).abs() < 1e-9);
        assert!((after(&[60.0, 119.9]) - 0.8).abs() < 1e-9, "the next one is not over");
        assert!((after(&[60.0, 120.0]) - 1.0).abs() < 1e-9, "nobody waited in it");
        assert!((after(&[-3_600.0]) - 0.8).abs() < 1e-9, "a clock that is set back ends it");
        assert!((after(&[-3_600.0, -3_540.0]) - 1.0).abs() < 1e-9, "and the next one begins there");
    }

    #[test]
    fn what_somebody_is_due_is_measured_by_weight_and_runs_of_a_team_are_apart() {
        let shared = |calls: [(Call, u32); 2]| {
            index(|shares| {
                calls.iter().for_each(|(call, times)| admit(shares, call, *times, A_WAIT));
                shares.tick(60.0);
            })
        };
        let fair = shared([(call("team", "heavy", 3), 3), (call("team", "light", 1), 1)]);
        assert!((fair - 1.0).abs() < 1e-9, "{fair}");
        for other in [call("team", "b", 1), call("other", "a", 1)] {
            let unfair = shared([(call("team", "a", 1), 3), (other, 1)]);
            assert!((unfair - 0.8).abs() < 1e-9, "{unfair}");
        }
    }

    #[test]
    fn the_index_is_one_for_equals_and_the_nth_part_for_one_who_has_all() {
        assert!((jain([5.0, 5.0, 5.0].into_iter()) - 1.0).abs() < 1e-12);
        assert!((jain([9.0, 0.0, 0.0].into_iter()) - 1.0 / 3.0).abs() < 1e-12);
        assert!((jain([3.0, 1.0].into_iter()) - 0.8).abs() < 1e-12);
        assert!((jain(std::iter::empty()) - 1.0).abs() < 1e-12);
    }
}
