//! R13 and A1 to A6, small: the limiter against a simulated provider in virtual time. The whole suite, beside other
//! clients, is the benchmark `limiter_scenarios`.

mod rivals;
#[expect(dead_code, reason = "the benchmark uses all of it")]
mod suite;
mod world;

use bellwether_limiter::{Limit, Limits, Rate, Settings};
use rivals::{Guarded, Ours};
use suite::{Row, Scenario};
use world::{Costs, RetryAfter, World};

fn row(name: &str) -> Row {
    let scenario = suite::all().into_iter().find(|scenario| scenario.name.starts_with(name)).expect("there is one");
    scenario.run(1, Scenario::ours)
}

#[test]
fn a_limit_that_was_told_is_never_overrun_and_all_used() {
    let row = row("told");
    assert_eq!(row.refused, 0.0);
    assert!(row.goodput >= 0.995, "{row:?}");
}

#[test]
fn a_hidden_limit_is_found_and_followed() {
    let row = row("A1 hidden 10-4-20");
    assert!(row.goodput >= 0.975 && row.refused <= 0.009, "{row:?}");
    let found = row.converged.iter().map(|seconds| seconds.expect("it is found")).collect::<Vec<_>>();
    assert!(found[0] <= 1.0 && found[1] <= 2.0 && found[2] <= 8.0, "{row:?}");
}

#[test]
fn refusals_that_are_charged_cost_little() {
    let row = row("A2");
    assert!(row.goodput >= 0.94 && row.refused <= 0.025, "{row:?}");
}

#[test]
fn what_came_in_during_a_pause_in_whole_seconds_is_used() {
    let row = row("Retry-After");
    assert!(row.goodput >= 0.945 && row.refused <= 0.013, "{row:?}");
}

#[test]
fn a_limit_that_only_refusals_name_is_followed_up_and_down() {
    let row = row("refusals name it");
    assert!(row.goodput >= 0.91 && row.refused <= 0.018, "{row:?}");
    let found = row.converged.iter().map(|seconds| seconds.expect("it is found")).collect::<Vec<_>>();
    assert!(found[1] <= 1.0 && found[2] <= 8.0, "{row:?}");
}

#[test]
fn with_headers_nothing_is_refused_in_steady_state() {
    let steady = row("A3 headers, steady");
    assert!(steady.goodput >= 0.995 && steady.late == 0, "{steady:?}");
    assert!(steady.refused <= 0.002, "a few before the first answer: {steady:?}");
    let falling = row("A3 headers, 10-4-20");
    assert!(falling.goodput >= 0.99 && falling.refused <= 0.002, "only the start and the fall itself: {falling:?}");
}

#[test]
fn four_processes_share_a_limit_that_nobody_told_them() {
    let row = row("A4");
    assert!(row.goodput >= 0.99 && row.refused <= 0.03 && row.jain >= 0.95, "{row:?}");
}

/// Reservations of a quarter of what calls take: what came on top was taken from the bucket, but not counted when a
/// refusal asked what the limit is. So each count was lower than the last, and .09 of the limit was used.
#[test]
fn calls_that_take_more_than_was_reserved_do_not_make_the_limit_smaller_and_smaller() {
    let (schedule, costs) = (vec![(0.0, 20_000.0)], Costs::Lognormal(1_000.0));
    for tokens in [Limit::told(Rate::per_second(20_000)), Limit::Hidden] {
        let limits = Limits { requests: Limit::None, tokens, ..suite::hidden() };
        let world = World { schedule: schedule.clone(), costs, ..World::default() };
        let mut client = Ours::that_reckons(4, Settings { limits, ..Settings::default() });
        let report = world.run(&mut [&mut client]);
        assert!(report.goodput >= 0.25, "{tokens:?}: {}", report.goodput);
    }
}

#[test]
fn a_provider_that_is_down_is_left_alone_and_found_again() {
    let world = World { seconds: 200, outage: Some((60.0, 120.0)), ..World::default() };
    let mut client = Guarded::new(Settings { limits: suite::hidden(), ..Settings::default() });
    let report = world.run(&mut [&mut client]);
    let between = |from: f64, to: f64| report.sent_at.iter().filter(move |(at, _)| (from..to).contains(at));
    let asked = between(65.0, 120.0).count();
    assert!(asked <= 10, "{asked} requests while it was open");
    let retries = client.retries;
    assert!(retries > 0 && retries * 11 <= report.sent, "A5: {retries} retries among {} attempts", report.sent);
    // The last opening may end up to 66 seconds after the outage began to be judged.
    let again = report.sent_at.iter().find(|(at, let_in)| *at >= 120.0 && *let_in).expect("it comes back").0;
    assert!(again <= 190.0, "the first trial came at {again}");
    let served = between(again + 5.0, again + 10.0).filter(|(_, let_in)| *let_in).count();
    assert!(served >= 45, "{served} in five seconds, five seconds after it was found again");
}

/// What is refused with nothing let in between says that the provider is down. It was taken for a lower limit, and what was
/// let in since the last refusal was counted over the time of the outage, too: 11 of 100 a second after it.
#[test]
fn an_outage_of_refusals_says_nothing_of_the_limit() {
    for (retry_after, rate) in [(RetryAfter::None, 100.0), (RetryAfter::ASecond, 100.0), (RetryAfter::ASecond, 400.0)] {
        let mut client = Ours::new(Settings { limits: suite::hidden(), ..Settings::default() });
        let report = suite::down(rate, retry_after).run(&mut [&mut client]);
        let let_in = |from: f64, to: f64| {
            report.sent_at.iter().filter(move |(at, let_in)| *let_in && (from..to).contains(at)).count() as f64
        };
        let again = report.sent_at.iter().find(|(at, let_in)| *at >= 30.0 && *let_in).expect("it comes back").0;
        let soon = let_in(again, again + 6.0) / (6.0 * rate);
        assert!(soon >= 0.85, "{retry_after:?}, {rate}: {soon} of the limit in the six seconds after {again}");
        let later = let_in(again + 6.0, 60.0) / ((54.0 - again) * rate);
        assert!(later >= 0.9, "{retry_after:?}, {rate}: {later} of it from then on");
        let asked = report.sent_at.iter().filter(|(at, _)| (22.0..30.0).contains(at)).count();
        assert!(asked <= 40, "{asked} requests while it was down");
    }
}
