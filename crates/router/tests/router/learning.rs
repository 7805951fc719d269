//! What is learnt, and what a decision makes of it.

use std::time::Duration;

use bellwether_router::history::MAX_ENTRIES;
use bellwether_router::{
    Adaptive, Audit, Ending, History, Lesson, Means, Mode, Route, Router, Settings, TaskProfile, Usd, conformance,
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
