//! When a call that takes unusually long is sent a second time, beside the first.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How far a dispatch goes in sending a call a second time because its answer takes unusually long to begin.
///
/// The second try waits for nobody's place: it is only made while no other call waits, when the quota has room for
/// several calls of its size, on a key that is well, and when the [`Guard`](crate::Guard) would let the call be tried
/// again. It is charged to its flow and takes its own permit. The first to begin its answer wins; the other is
/// cancelled, and what it had reserved counts as used.
///
/// A provider may bill both, and both carry the idempotency key of the call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HedgePolicy {
    /// What second tries may cost at most, in percent of what the calls cost that are sent.
    pub percent: u32,
    /// Unusually long is longer than so many of a hundred recent calls to the same model took.
    pub slower_than: u32,
}

impl Default for HedgePolicy {
    /// At most two percent, after longer than 95 of a hundred calls take.
    fn default() -> Self {
        Self { percent: 2, slower_than: 95 }
    }
}

/// How long calls take to begin their answers, model by model, and what may still be spent on second tries.
#[derive(Debug)]
pub(crate) struct Hedges {
    policy: HedgePolicy,
    models: HashMap<Arc<str>, Delays>,
    /// What may be spent, in hundredths of a token.
    credit: u64,
}

/// How long the last calls to a model took.
#[derive(Debug, Default)]
struct Delays {
    recent: Vec<Duration>,
    /// The one that is replaced next.
    oldest: usize,
}

impl Hedges {
    pub(crate) fn new(policy: HedgePolicy) -> Self {
        Self { policy, models: HashMap::new(), credit: 0 }
    }

    /// A call that will cost so many tokens is sent for the first time.
    pub(crate) fn sent(&mut self, cost: u64) {
        let most = hundredths(cost).saturating_mul(AT_ONCE);
        let earned = cost.saturating_mul(self.policy.percent.into());
        self.credit = self.credit.saturating_add(earned).min(most.max(self.credit));
    }

    /// A call to this model took so long to begin its answer.
    pub(crate) fn began(&mut self, model: &Arc<str>, took: Duration) {
        if let Some(delays) = self.models.get_mut(model) {
            delays.add(took);
        } else if self.models.len() < MODELS {
            self.models.entry(Arc::clone(model)).or_default().add(took);
        }
    }

    /// After how long a call to this model takes unusually long; `None` while too little is known.
    pub(crate) fn after(&self, model: &Arc<str>) -> Option<Duration> {
        let recent = &self.models.get(model)?.recent;
        if recent.len() < ENOUGH {
            return None;
        }
        let mut recent = recent.clone();
        let share = usize::try_from(self.policy.slower_than.min(100)).unwrap_or(100);
        let rank = (recent.len() * share).div_ceil(100).clamp(1, recent.len());
        let (_, delay, _) = recent.select_nth_unstable(rank - 1);
        Some(*delay)
    }

    /// Takes what a second try will cost; whether there was enough.
    pub(crate) fn take(&mut self, cost: u64) -> bool {
        let left = self.credit.checked_sub(hundredths(cost));
        self.credit = left.unwrap_or(self.credit);
        left.is_some()
    }

    /// The second try was not made after all.
    pub(crate) fn give_back(&mut self, cost: u64) {
        self.credit = self.credit.saturating_add(hundredths(cost));
    }
}

impl Delays {
    fn add(&mut self, took: Duration) {
        if self.recent.len() < KEPT {
            return self.recent.push(took);
        }
        self.recent[self.oldest] = took;
        self.oldest = (self.oldest + 1) % KEPT;
    }
}

const fn hundredths(cost: u64) -> u64 {
    cost.saturating_mul(100)
}

/// So many second tries can be saved up for.
const AT_ONCE: u64 = 10;
/// So many calls have to be known before any is called slow.
const ENOUGH: usize = 20;
const KEPT: usize = 128;
/// Calls to further models are not sent twice: what is remembered has a bound.
const MODELS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_delay_is_learnt_for_each_model_from_its_recent_calls() {
        let (fast, slow): (Arc<str>, Arc<str>) = ("fast".into(), "slow".into());
        let mut hedges = Hedges::new(HedgePolicy::default());
        (1..20).for_each(|ms| hedges.began(&fast, Duration::from_millis(ms)));
        assert_eq!(hedges.after(&fast), None, "nineteen are too few");
        (20..=100).for_each(|ms| hedges.began(&fast, Duration::from_millis(ms)));
        (1..=100).for_each(|second| hedges.began(&slow, Duration::from_secs(second)));
        let after = [&fast, &slow].map(|model| hedges.after(model));
        assert_eq!(after, [Some(Duration::from_millis(95)), Some(Duration::from_secs(95))]);
        (0..KEPT).for_each(|_| hedges.began(&fast, Duration::from_secs(7)));
        let recent = &hedges.models[&fast].recent;
        assert_eq!(*recent, [Duration::from_secs(7); KEPT], "what is long ago is forgotten");
    }

    #[test]
    fn what_a_second_try_did_not_take_after_all_is_there_for_the_next() {
        let mut hedges = Hedges::new(HedgePolicy { percent: 50, ..HedgePolicy::default() });
        hedges.sent(1_000);
        assert!(hedges.take(500) && !hedges.take(1));
        hedges.give_back(500);
        assert!(hedges.take(500) && !hedges.take(1));
    }

    #[test]
    fn models_beyond_a_bound_are_not_remembered() {
        let mut hedges = Hedges::new(HedgePolicy::default());
        for model in 0..1_000 {
            (0..20).for_each(|_| hedges.began(&model.to_string().into(), Duration::from_secs(1)));
        }
        assert_eq!(hedges.models.len(), MODELS);
        assert_eq!(hedges.after(&"999".into()), None);
    }

    proptest! {
        /// Whatever is sent in whatever order: second tries never cost more than their share.
        #[test]
        fn second_tries_keep_to_their_share(
            percent in 0u32..=100,
            calls in prop::collection::vec((1u64..100_000, any::<bool>()), 0..300),
        ) {
            let mut hedges = Hedges::new(HedgePolicy { percent, ..HedgePolicy::default() });
            let (mut sent, mut twice) = (0, 0);
            for (cost, slow) in calls {
                hedges.sent(cost);
                sent += cost;
                if slow && hedges.take(cost) {
                    twice += cost;
                }
                prop_assert!(twice * 100 <= sent * u64::from(percent), "{twice} of {sent}");
            }
        }
    }
}
