//! Laws of the choice and of what is learnt.

use std::time::Duration;

use crate::play::{lesson, priced};
use bellwether_router::ladder::{Rung, Weights, expected};
use bellwether_router::outcome::{Entry, Outcome};
use bellwether_router::{
    Adaptive, Ending, Features, Group, History, Means, Mode, Price, Route, Router, Settings, Stats, Usd, Weighed,
    choose, conformance,
};
use fastrand::Rng;
use proptest::prelude::*;

fn ending() -> impl Strategy<Value = Ending> {
    prop_oneof![Just(Ending::Accepted), Just(Ending::Missed), Just(Ending::Revised)]
}

/// Outcomes whose content follows from their id, as in life.
fn outcomes() -> impl Strategy<Value = Vec<Entry>> {
    let outcome = (0u32..60, 0usize..3, 0u8..4, 0usize..6, ending(), 0.0..10.0).prop_map(
        |(n, tier, bucket, group, ending, seconds)| {
            let features = Features { complexity: bucket + 1, group: Group::ALL[group], ..Features::default() };
            let lesson = lesson(&format!("t{n}"), tier, ending);
            let outcome = Outcome::of(&lesson, u64::from(n));
            Entry::Outcome(Outcome { bucket, features, seconds, ..outcome })
        },
    );
    prop::collection::vec(outcome, 0..80).prop_map(|mut entries| {
        let mut seen = std::collections::HashSet::new();
        entries.retain(|entry| seen.insert(entry.id().to_owned()));
        entries
    })
}

/// Outcomes as a file may have them that somebody damaged or wrote by hand.
fn absurd_outcomes() -> impl Strategy<Value = Vec<Entry>> {
    let figure = || prop_oneof![Just(0.0), Just(f64::MAX), Just(f64::MIN_POSITIVE), -1e9..1e9, Just(f64::MIN)];
    let figures = (figure(), prop::option::of(figure()), prop::option::of(figure()), figure());
    let tiers = (prop_oneof![0usize..4, any::<usize>()], prop_oneof![0usize..4, any::<usize>()]);
    let seen = (any::<u8>(), any::<u8>(), any::<u64>(), any::<u16>(), 0usize..6);
    let outcome = (any::<u32>(), 0usize..4, tiers, seen, ending(), figures, any::<bool>()).prop_map(
        |(n, model, (tier, tiers), (bucket, complexity, tokens, needs, group), ending, figures, first)| {
            let group = Group::ALL[group];
            let features = Features { complexity, tokens, needs, criteria: needs, group, ..Features::default() };
            let (guess, cost, review, seconds) = figures;
            let outcome = Outcome::of(&lesson(&format!("t{n}"), model.min(2), ending), u64::from(n));
            let model = format!("model-{model}").into();
            Entry::Outcome(Outcome {
                model,
                tier,
                tiers,
                bucket,
                features,
                guess,
                cost,
                review,
                seconds,
                first,
                ..outcome
            })
        },
    );
    prop::collection::vec(outcome, 0..60)
}

fn history(entries: &[Entry]) -> History {
    let mut history = History::new(Settings::default());
    history.extend(entries.iter().cloned());
    history
}

fn rungs() -> impl Strategy<Value = Vec<Rung>> {
    let rung = (0.0..=1.0, 0.0..2.0, 0.0..30.0).prop_map(|(accepted, cost, seconds)| Rung { accepted, cost, seconds });
    prop::collection::vec(rung, 1..6)
}

proptest! {
    #[test]
    fn what_is_expected_of_a_ladder_is_in_range(rungs in rungs(), start in 0usize..6, escalations in 0usize..6) {
        let start = start.min(rungs.len() - 1);
        let got = expected(&rungs, start, escalations);
        prop_assert!((0.0..=1.0).contains(&got.accepted));
        prop_assert!(got.accepted >= rungs[start].accepted - 1e-12, "another try never hurts");
        prop_assert!(got.cost >= rungs[start].cost && got.seconds >= rungs[start].seconds);
        let more = expected(&rungs, start, escalations + 1);
        prop_assert!(more.accepted >= got.accepted - 1e-12 && more.cost >= got.cost - 1e-12);
    }

    /// A tier is never chosen because it became dearer.
    #[test]
    fn the_choice_is_monotone_in_price(
        rungs in rungs(), dearer in 0usize..6, by in 0.0..5.0, escalations in 0usize..4, cost in 0.0..2.0,
    ) {
        let dearer = dearer.min(rungs.len() - 1);
        let weights = Weights { quality: 1.0, cost, seconds: 0.01 };
        let before = weights.best(&rungs, escalations, |_| true).unwrap();
        let mut risen = rungs;
        risen[dearer].cost += by;
        let after = weights.best(&risen, escalations, |_| true).unwrap();
        prop_assert!(before == dearer || after != dearer, "{before} -> {after} when {dearer} became dearer");
    }

    #[test]
    fn beliefs_are_probabilities_and_forgetting_bounds_them(entries in outcomes(), repeat in 1usize..8) {
        let settings = Settings { forgetting: 0.9, ..Settings::default() };
        let mut stats = Stats::new(settings);
        for _ in 0..repeat {
            entries.iter().for_each(|entry| stats.fold(entry));
        }
        for bucket in 0..4 {
            for group in Group::ALL {
                for tier in 0..3 {
                    let belief = stats.belief("coder", &format!("model-{tier}"), bucket, group, tier, 3);
                    prop_assert!(belief.alpha > 0.0 && belief.beta > 0.0 && belief.log_cost.is_finite());
                    prop_assert!((0.0..=1.0).contains(&belief.mean()));
                    prop_assert!(belief.seen <= 10.0 + 1e-9 && belief.trials <= 10.0 + 1e-9, "1 / (1 - 0.9)");
                }
            }
        }
    }

    /// Whatever a file says, and whatever things cost: a decision is made of numbers, which a journal can hold.
    #[test]
    fn absurd_lessons_and_prices_make_no_absurd_decisions(
        entries in absurd_outcomes(), mode in 0usize..5, tiers in 1usize..5, price in any::<u64>(), tokens in any::<u64>(),
        budget in prop::option::of(any::<u64>()), spent in any::<u64>(), escalations in any::<u32>(),
        weights in (0.0..1e6, prop_oneof![Just(0.0), 0.0..1e6], 0.0..1e6), tasks in 0usize..100_000,
    ) {
        let (quality_weight, cost_weight, latency_weight) = weights;
        let budget = budget.map(Usd::from_nanos);
        let settings =
            Settings { mode: Mode::ALL[mode], budget, quality_weight, cost_weight, latency_weight, ..Settings::default() };
        let mut profile = conformance::profile("t", tiers, 3);
        (profile.features.tokens, profile.escalations) = (tokens, escalations);
        let price = Usd::from_nanos(price);
        let price = Price { input_per_mtok: price, cached_per_mtok: price, output_per_mtok: price };
        profile.tiers.iter_mut().for_each(|offer| offer.price = Some(price));
        profile.means = Means { spent: Usd::from_nanos(spent), done: tasks / 2, tasks, time_left: Some(Duration::MAX) };
        let stats = history(&entries).stats().clone();
        let route = choose(&stats, &settings, &profile, &mut Rng::with_seed(1));
        prop_assert!(route.tier < tiers && route.propensity > 0.0 && route.lambda >= 0.0 && route.lambda.is_finite());
        for weighed in &route.weighed {
            prop_assert!((0.0..=1.0).contains(&weighed.mean) && weighed.cost >= 0.0);
            let Weighed { sample, cost, seconds, value, seen, .. } = weighed;
            prop_assert!([sample, cost, seconds, value, seen].iter().all(|figure| figure.is_finite()), "{weighed:?}");
        }
        let read: Route = serde_json::from_str(&serde_json::to_string(&route).unwrap()).unwrap();
        prop_assert_eq!(read.tier, route.tier);
    }

    #[test]
    fn merging_is_commutative_and_idempotent(entries in outcomes(), cut in 0usize..80, overlap in 0usize..20) {
        let cut = cut.min(entries.len());
        let (a, b) = (history(&entries[..(cut + overlap).min(entries.len())]), history(&entries[cut..]));
        let (ab, ba) = (a.merged(&b), b.merged(&a));
        prop_assert_eq!(ab.entries(), ba.entries());
        prop_assert_eq!(ab.stats(), ba.stats());
        let again = ab.merged(&a);
        prop_assert_eq!(again.stats(), ab.stats(), "what is there already changes nothing");
        prop_assert_eq!(ab.entries().len(), entries.len());
    }

    #[test]
    fn hearing_of_an_attempt_again_changes_nothing(lessons in prop::collection::vec((0u32..20, 0usize..3, ending()), 1..40)) {
        let router = Adaptive::new(Settings::default(), 1);
        let mut first = std::collections::HashMap::new();
        for (n, tier, ending) in &lessons {
            first.entry(*n).or_insert((*tier, *ending));
            router.learn(&lesson(&format!("t{n}"), *tier, *ending));
        }
        let once = router.history();
        prop_assert_eq!(once.entries().len(), first.len());
        for (n, tier, ending) in lessons {
            router.learn(&lesson(&format!("t{n}"), tier, ending));
        }
        let twice = router.history();
        prop_assert_eq!(twice.stats(), once.stats());
    }

    /// Whatever was learnt, a decision is possible, explained, and the same for the same chance.
    #[test]
    fn decisions_are_possible_and_repeatable(
        entries in outcomes(), seed in any::<u64>(), tiers in 1usize..5, complexity in 1u8..=5, mode in 0usize..5,
        budget in prop::option::of(0.0..0.1), left in prop::option::of(0u64..60), spent in 0.0..0.1,
    ) {
        let budget = budget.and_then(Usd::from_dollars);
        let settings = Settings { mode: Mode::ALL[mode], budget, ..Settings::default() };
        let mut profile = priced(conformance::profile("t", tiers, complexity));
        profile.means = Means {
            spent: Usd::from_dollars(spent).unwrap(),
            done: 3,
            tasks: 10,
            time_left: left.map(Duration::from_secs),
        };
        let stats = history(&entries).stats().clone();
        let route = choose(&stats, &settings, &profile, &mut Rng::with_seed(seed));
        prop_assert_eq!(&route, &choose(&stats, &settings, &profile, &mut Rng::with_seed(seed)));
        prop_assert!(route.tier < tiers && !route.why.is_empty());
        prop_assert!(route.propensity > 0.0 && route.propensity <= 1.0 + 1e-9, "{}", route.propensity);
        prop_assert!(route.lambda >= 0.0 && route.bucket < 4);
        prop_assert_eq!(route.weighed.len(), tiers);
        for weighed in &route.weighed {
            prop_assert!((0.0..=1.0).contains(&weighed.mean) && (0.0..=1.0).contains(&weighed.sample));
            prop_assert!(weighed.cost >= 0.0 && weighed.value.is_finite());
        }
        prop_assert!(route.weighed[route.tier].ruled_out.is_none(), "what is ruled out is not chosen");
        let recorded = serde_json::to_string(&route).unwrap();
        let read: Route = serde_json::from_str(&recorded).unwrap();
        prop_assert_eq!((read.tier, read.why, read.weighed.len()), (route.tier, route.why, tiers));
    }
}

#[test]
fn of_tiers_that_are_worth_the_same_the_lowest_is_chosen() {
    let rung = Rung { accepted: 1.0, cost: 1.0, seconds: 1.0 };
    let weights = Weights { quality: 1.0, cost: 0.1, seconds: 0.1 };
    assert_eq!(weights.best(&[rung; 3], 1, |_| true), Some(0));
    assert_eq!(weights.best(&[rung; 3], 1, |n| n > 0), Some(1));
}

#[test]
fn a_frozen_router_never_changes() {
    let router = Adaptive::new(Settings { mode: Mode::Cascade, frozen: true, ..Settings::default() }, 1);
    let before = router.history();
    conformance::router(&router);
    assert_eq!(router.history().entries().len(), 0);
    assert_eq!(router.history().stats(), before.stats());
}
