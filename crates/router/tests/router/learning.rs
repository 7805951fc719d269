//! What is learnt, and what a decision makes of it.

use std::time::Duration;

use bellwether_router::history::MAX_ENTRIES;
use bellwether_router::{
    Adaptive, Audit, Ending, Group, History, Lesson, Means, Mode, Route, Router, Settings, TaskProfile, Usd,
    conformance,
};

use crate::play::{lesson, lesson_of, priced};

fn settings(mode: Mode) -> Settings {
    Settings { mode, explore_share: 0.0, latency_weight: 0.0, ..Settings::default() }
}

/// A task of three tiers, of middling hardness.
fn profile(task: &str) -> TaskProfile {
    priced(conformance::profile(task, 3, 3))
}

fn teach(router: &Adaptive, tier: usize, ending: Ending, times: usize) {
    for n in 0..times {
        router.learn(&lesson_of(&profile(&format!("{tier}-{ending:?}-{n}")), tier, ending));
    }
}

fn route(router: &Adaptive) -> Route {
    router.route(&profile("next"))
}

#[test]
fn a_tier_that_fails_is_left_and_one_that_got_better_is_found_again() {
    for mode in [Mode::Cascade, Mode::Thompson, Mode::Ucb] {
        let router = Adaptive::new(settings(mode), 5);
        assert_eq!(route(&router).tier, 0, "{mode}: the cheapest is trusted with it at first");
        teach(&router, 0, Ending::Missed, 12);
        teach(&router, 1, Ending::Accepted, 12);
        let left = route(&router);
        assert_eq!(left.tier, 1, "{mode}: {}", left.why);
        assert!(left.why.contains("tier-0"), "{}", left.why);
        teach(&router, 0, Ending::Accepted, 40);
        assert_eq!(route(&router).tier, 0, "{mode}: what it was is forgotten soon");
    }
}

#[test]
fn work_that_needed_a_revision_counts_less_than_work_that_did_not() {
    let mean = |ending| {
        let router = Adaptive::new(settings(Mode::Cascade), 1);
        teach(&router, 0, ending, 20);
        route(&router).weighed[0].mean
    };
    let (accepted, revised, missed) = (mean(Ending::Accepted), mean(Ending::Revised), mean(Ending::Missed));
    assert!(accepted > 0.9 && (0.6..0.9).contains(&revised) && missed < 0.25, "{accepted} {revised} {missed}");
}

#[test]
fn what_is_learnt_of_a_model_helps_where_it_was_never_tried() {
    let router = Adaptive::new(settings(Mode::Cascade), 1);
    let before = route(&router).weighed[0].mean;
    for n in 0..20 {
        let hard = priced(conformance::profile(&format!("h{n}"), 3, 5));
        router.learn(&lesson_of(&hard, 0, Ending::Missed));
    }
    let next = route(&router);
    assert!(next.weighed[0].seen == 0.0 && next.weighed[0].mean < before - 0.1, "{before} {:?}", next.weighed[0]);
}

#[test]
fn a_price_that_is_not_as_guessed_is_followed() {
    let router = Adaptive::new(settings(Mode::Cascade), 1);
    let guess = route(&router).weighed[0].guess;
    for n in 0..20 {
        let cost = Usd::from_dollars(guess * 50.0);
        let lesson = lesson_of(&profile(&format!("t{n}")), 0, Ending::Accepted);
        router.learn(&Lesson { cost, ..lesson });
    }
    let next = route(&router);
    assert!((next.weighed[0].cost / guess / 50.0 - 1.0).abs() < 0.3, "{:?}", next.weighed[0]);
    assert_eq!(next.tier, 1, "it is dearer than the tier above it: {}", next.why);
}

/// A run that is resumed with another ladder still has the decisions that were made under the old one.
#[test]
fn what_a_model_costs_is_learnt_by_what_was_guessed_of_that_model() {
    let router = Adaptive::new(settings(Mode::Cascade), 1);
    let before = route(&router);
    let guess = |tier: usize| before.weighed[tier].guess;
    let ratio = |models: &[(&str, usize)]| {
        let router = Adaptive::new(settings(Mode::Cascade), 1);
        for (n, (model, tier)) in models.iter().enumerate() {
            let lesson = lesson_of(&profile(&format!("t{n}")), 0, Ending::Accepted);
            let cost = Usd::from_dollars(guess(1));
            router.learn(&Lesson { tier: *tier, model: (*model).into(), cost, ..lesson });
        }
        router.history().stats().models()[0].cost_ratio
    };
    assert!((ratio(&[("model-1", 1)]) - 1.0).abs() < 1e-6, "it cost what was guessed");
    assert!((ratio(&[("model-1", 0)]) - 1.0).abs() < 1e-6, "also where it is the first tier by now");
    assert!((ratio(&[("model-9", 0)]) - 1.0).abs() < 1e-6, "nothing was guessed of a new one");
}

#[test]
fn deadline_budget_and_floor_rule_tiers_out() {
    let router = Adaptive::new(Settings { budget: Usd::from_dollars(0.01), ..settings(Mode::Cascade) }, 1);
    for n in 0..20 {
        let slow = lesson_of(&profile(&format!("t{n}")), 0, Ending::Accepted);
        router.learn(&Lesson { took: Duration::from_secs(60), ..slow });
    }
    let with = |means: Means| router.route(&TaskProfile { means, ..profile("next") });
    assert_eq!(with(Means::default()).tier, 0);
    let late = with(Means { time_left: Some(Duration::from_secs(20)), ..Means::default() });
    assert!(late.tier > 0 && late.why.contains("the deadline is in 20 s"), "{}", late.why);
    let poor = with(Means { spent: Usd::from_dollars(0.0099).unwrap(), ..Means::default() });
    assert!(poor.tier == 0 && poor.weighed[1].ruled_out.is_some(), "only the cheapest can be paid for: {}", poor.why);

    let router = Adaptive::new(Settings { cost_weight: 0.9, ..settings(Mode::Cascade) }, 1);
    let hard = || priced(conformance::profile("next", 3, 5));
    let floored = router.route(&hard());
    assert!(floored.weighed[0].ruled_out.as_ref().is_some_and(|why| why.contains("% of the time")), "{floored:?}");
}

#[test]
fn the_price_of_money_follows_the_pace_of_spending() {
    let router = Adaptive::new(Settings { budget: Usd::from_dollars(1.0), ..settings(Mode::Cascade) }, 1);
    let lambda = |spent: f64, done: usize| {
        let means = Means { spent: Usd::from_dollars(spent).unwrap(), done, tasks: 20, time_left: None };
        router.route(&TaskProfile { means, ..profile("next") }).lambda
    };
    let even = lambda(0.5, 10);
    assert!((even - 0.5).abs() < 1e-9, "on pace it is what the settings say");
    assert!(lambda(0.8, 10) > even && lambda(0.2, 10) < even);
    assert!(lambda(0.0, 20) >= 0.0, "it is never negative");
}

#[test]
fn easy_tasks_are_spent_on_newcomers_up_to_a_share_and_a_number_of_trials() {
    let settings = Settings { explore_share: 0.1, ..settings(Mode::Cascade) };
    let router = Adaptive::new(settings, 3);
    let easy = |n: usize| priced(conformance::profile(&format!("e{n}"), 2, 1));
    let explored = (0..1_000).filter(|n| router.route(&easy(*n)).explored).count();
    assert!((60..140).contains(&explored), "{explored} of 1,000");
    let hard = |n: usize| priced(conformance::profile(&format!("h{n}"), 2, 5));
    assert!((0..200).all(|n| !router.route(&hard(n)).explored), "hard tasks are not played with");

    let thompson = Adaptive::new(Settings { mode: Mode::Thompson, ..settings }, 3);
    let mut trials = [0; 2];
    for n in 0..1_000 {
        let route = thompson.route(&easy(n));
        trials[route.tier] += usize::from(route.explored);
        thompson.learn(&lesson_of(&easy(n), route.tier, Ending::Accepted));
    }
    // Eight at first; then as many as it takes to know that it is still what it was.
    assert!((8..45).contains(&trials[1]) && trials[0] <= 8, "a newcomer is tried, and then has to win: {trials:?}");
}

#[test]
fn nothing_is_learnt_from_a_judge_whom_others_contradict() {
    let router = Adaptive::new(settings(Mode::Cascade), 1);
    let audit =
        |n: usize, agreed| Audit { run: "run".into(), task: format!("t{n}").into(), judge: "judge".into(), agreed };
    (0..10).for_each(|n| router.audited(&audit(n, n % 2 == 0)));
    router.audited(&audit(0, false));
    let shown = router.history().stats().judges();
    assert!(shown[0].paused && (shown[0].flips - 0.5).abs() < 0.05 && shown[0].audits <= 10.0, "{shown:?}");
    let before = route(&router).weighed[0].mean;
    router.learn(&lesson("paused", 0, Ending::Missed));
    assert_eq!(route(&router).weighed[0].mean, before);
    (10..40).for_each(|n| router.audited(&audit(n, true)));
    assert!(!router.history().stats().judges()[0].paused, "a judge that is right again is heard again");
    router.learn(&lesson("heard", 0, Ending::Missed));
    assert!(route(&router).weighed[0].mean < before);
}

#[test]
fn a_router_without_a_file_keeps_what_a_file_would_and_forgets_nothing_that_it_knows() {
    let router = Adaptive::new(settings(Mode::Cascade), 1);
    let pattern = lesson("t", 0, Ending::Missed);
    let learn = |n: usize| router.learn(&Lesson { task: format!("t{n}").into(), ..pattern.clone() });
    (0..MAX_ENTRIES + MAX_ENTRIES / 4 - 1).for_each(learn);
    let before = router.history();
    assert_eq!(before.entries().len(), MAX_ENTRIES + MAX_ENTRIES / 4 - 1);
    learn(MAX_ENTRIES * 2);
    let after = router.history();
    assert_eq!(after.entries().len(), MAX_ENTRIES, "the latest are kept");
    assert_eq!(after.entries().last().unwrap().id(), format!("run/t{}/0", MAX_ENTRIES * 2));
    assert!(!after.knows("run/t0/0") && after.knows("run/t24998/0"));
    let trials = |history: &History| history.stats().models()[0].trials;
    assert!((trials(&after) - trials(&before)).abs() < 1.0, "what follows from the old ones still counts");
}

#[test]
fn a_share_of_accepted_work_is_audited() {
    let router = Adaptive::new(Settings { audit_share: 0.05, ..settings(Mode::Cascade) }, 1);
    let audits = (0..2_000).filter(|n| router.route(&profile(&format!("t{n}"))).audit).count();
    assert!((60..140).contains(&audits), "{audits} of 2,000");
}

#[test]
fn the_harder_a_task_the_higher_it_starts() {
    let router = Adaptive::new(settings(Mode::Complexity), 1);
    let tiers: Vec<usize> =
        (1..=5).map(|complexity| router.route(&conformance::profile("t", 4, complexity)).tier).collect();
    assert!(tiers.is_sorted() && tiers[0] == 0 && tiers[4] >= 2, "{tiers:?}");
}

#[test]
fn judging_is_a_part_of_what_a_try_costs() {
    let router = Adaptive::new(settings(Mode::Cascade), 1);
    let before = route(&router).weighed[1].cost;
    for n in 0..5 {
        let lesson = lesson_of(&profile(&format!("t{n}")), 0, Ending::Accepted);
        router.learn(&Lesson { review_cost: Usd::from_dollars(0.5), ..lesson });
    }
    assert!((route(&router).weighed[1].cost - before - 0.5).abs() < 1e-6, "whoever works, the same judge judges");
}

#[test]
fn a_tier_that_is_late_now_and_then_is_not_started_on_shortly_before_the_deadline() {
    let router = Adaptive::new(settings(Mode::Cascade), 1);
    for n in 0..40 {
        let took = Duration::from_secs(if n % 8 == 0 { 60 } else { 5 });
        router.learn(&Lesson { took, ..lesson_of(&profile(&format!("t{n}")), 0, Ending::Accepted) });
    }
    let with = |seconds| {
        let means = Means { time_left: Some(Duration::from_secs(seconds)), ..Means::default() };
        router.route(&TaskProfile { means, ..profile("next") })
    };
    assert!(
        with(20).weighed[0].ruled_out.is_some(),
        "half of them are done within 5 s, but one in eight takes a minute"
    );
    assert!(with(200).weighed[0].ruled_out.is_none());
}

#[test]
fn a_wait_has_its_price() {
    let start = |latency_weight| {
        let router = Adaptive::new(Settings { latency_weight, cost_weight: 0.1, ..settings(Mode::Cascade) }, 1);
        for n in 0..20 {
            for (tier, seconds) in [(0, 300), (1, 5), (2, 5)] {
                let lesson = lesson_of(&profile(&format!("{tier}-{n}")), tier, Ending::Accepted);
                router.learn(&Lesson { took: Duration::from_secs(seconds), ..lesson });
            }
        }
        route(&router).tier
    };
    assert_eq!((start(0.0), start(0.5)), (0, 1));
}

#[test]
fn where_no_tier_is_good_enough_the_best_that_can_be_paid_for_is_let_in() {
    let router = Adaptive::new(Settings { quality_floor: 1.0, ..settings(Mode::Cascade) }, 1);
    teach(&router, 0, Ending::Missed, 10);
    teach(&router, 1, Ending::Accepted, 10);
    teach(&router, 2, Ending::Missed, 10);
    let chosen = route(&router);
    let allowed: Vec<bool> = chosen.weighed.iter().map(|weighed| weighed.ruled_out.is_none()).collect();
    assert_eq!((chosen.tier, allowed), (1, vec![false, true, false]));
}

#[test]
fn an_upper_bound_lies_above_what_is_likely_and_nearer_to_it_the_more_is_known() {
    let router = Adaptive::new(settings(Mode::Ucb), 1);
    let room = || {
        let weighed = &route(&router).weighed[0];
        weighed.sample - weighed.mean
    };
    let before = room();
    for n in 0..200 {
        let ending = if n % 2 == 0 { Ending::Accepted } else { Ending::Missed };
        router.learn(&lesson_of(&profile(&format!("t{n}")), 0, ending));
    }
    assert!(before > 0.15 && room() > 0.01 && room() < before / 2.0, "{before} {}", room());
}

/// What is said of a decision has to be what it was made of, and how likely it was how often it comes.
#[test]
fn a_choice_by_sample_is_shown_as_it_was_made_and_is_as_likely_as_it_says() {
    let router = Adaptive::new(Settings { quality_floor: 0.0, ..settings(Mode::Thompson) }, 1);
    teach(&router, 0, Ending::Missed, 2);
    let routes: Vec<Route> = (0..1_000).map(|_| route(&router)).collect();
    for route in &routes {
        let allowed = route.weighed.iter().filter(|weighed| weighed.ruled_out.is_none());
        let most = allowed.map(|weighed| weighed.value).fold(f64::MIN, f64::max);
        assert!((route.weighed[route.tier].value - most).abs() < 1e-9, "{route:?}");
    }
    let samples: std::collections::BTreeSet<u64> =
        routes.iter().map(|route| route.weighed[0].sample.to_bits()).collect();
    assert!(samples.len() > 500, "each is drawn anew");
    for tier in 0..2 {
        let chosen: Vec<&Route> = routes.iter().filter(|route| route.tier == tier).collect();
        let often = chosen.len() as f64 / 1_000.0;
        let said = chosen.iter().map(|route| route.propensity).sum::<f64>() / chosen.len() as f64;
        assert!(
            (0.1..0.9).contains(&often) && (said - often).abs() < 0.08,
            "tier {tier}: {often}, and {said} was said"
        );
    }
}

#[test]
fn without_prices_each_tier_is_taken_for_four_times_as_dear() {
    let router = Adaptive::new(settings(Mode::Cascade), 1);
    let guesses: Vec<f64> =
        router.route(&conformance::profile("t", 3, 3)).weighed.iter().map(|weighed| weighed.guess).collect();
    assert_eq!(guesses, [0.001, 0.004, 0.016]);
}

/// How hard a task is says what became of it on the first tier, before anything else was tried.
#[test]
fn only_first_tries_on_the_first_tier_say_how_hard_tasks_are() {
    let bucket = |stint, tier| {
        let router = Adaptive::new(settings(Mode::Cascade), 1);
        for n in 0..400 {
            router.learn(&Lesson { stint, ..lesson_of(&profile(&format!("t{n}")), tier, Ending::Missed) });
        }
        route(&router).bucket
    };
    let fresh = route(&Adaptive::new(settings(Mode::Cascade), 1)).bucket;
    assert!(bucket(0, 0) > fresh);
    assert_eq!([bucket(1, 0), bucket(0, 1), bucket(1, 1)], [fresh; 3]);
}

#[test]
fn one_contradiction_makes_no_bad_judge() {
    let router = Adaptive::new(settings(Mode::Cascade), 1);
    for n in 0..5 {
        let judges = router.history().stats().judges();
        assert!(judges.iter().all(|judge| !judge.paused), "{n} audits");
        router.audited(&Audit {
            run: "run".into(),
            task: format!("t{n}").into(),
            judge: "judge".into(),
            agreed: false,
        });
    }
    let (run, judge) = ("run".into(), "judge".into());
    router.audited(&Audit { run, task: "t6".into(), judge, agreed: false });
    assert!(router.history().stats().judges()[0].paused);
}

#[test]
fn a_model_that_is_not_what_it_was_is_known_anew_soon() {
    let router = Adaptive::new(settings(Mode::Cascade), 1);
    teach(&router, 0, Ending::Accepted, 300);
    let mean = || route(&router).weighed[0].mean;
    assert!(mean() > 0.95);
    teach(&router, 0, Ending::Missed, 12);
    assert!(mean() < 0.65, "three hundred that went well do not outweigh the last twelve: {}", mean());
}

#[test]
fn what_is_learnt_of_easy_mathematics_is_believed_of_hard_mathematics() {
    let of = |task: &str, group, complexity| {
        let mut profile = priced(conformance::profile(task, 3, complexity));
        profile.features.group = group;
        profile
    };
    let router = Adaptive::new(settings(Mode::Cascade), 1);
    for n in 0..20 {
        router.learn(&lesson_of(&of(&format!("m{n}"), Group::Maths, 1), 0, Ending::Missed));
        router.learn(&lesson_of(&of(&format!("c{n}"), Group::Code, 1), 0, Ending::Accepted));
    }
    let mean = |group| router.route(&of("next", group, 5)).weighed[0].mean;
    let (maths, code, data) = (mean(Group::Maths), mean(Group::Code), mean(Group::Data));
    assert!(maths + 0.1 < data && data + 0.05 < code, "{maths} {data} {code}");
}
