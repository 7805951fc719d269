//! R12: whatever a provider says about its limits, in whatever order.

use std::time::Duration;

use bellwether_limiter::{
    Concurrency, Demand, Level, Limit, Limits, Outcome, Quota, Rate, RateLimits, Settings, Timestamp,
};
use proptest::prelude::*;

const ONE: Demand = Demand { requests: 1, input_tokens: 10, output_tokens: 10 };

fn level() -> impl Strategy<Value = Level> {
    let number = || prop::option::of(prop_oneof![Just(0), Just(1), Just(u64::MAX), 0..100_000u64, any::<u64>()]);
    let time = || prop::option::of(prop_oneof![Just(Duration::ZERO), Just(Duration::MAX), any::<Duration>()]);
    (number(), number(), time(), time()).prop_map(|(limit, remaining, reset, window)| Level {
        limit,
        remaining,
        reset,
        window,
    })
}

fn words() -> impl Strategy<Value = RateLimits> {
    let after = prop::option::weighted(0.2, prop_oneof![Just(Duration::MAX), any::<Duration>()]);
    (level(), level(), level(), level(), after).prop_map(
        |(requests, tokens, input_tokens, output_tokens, retry_after)| RateLimits {
            requests,
            tokens,
            input_tokens,
            output_tokens,
            retry_after,
        },
    )
}

fn told() -> Settings {
    let limits = Limits {
        requests: Limit::Told { rate: Rate::per_second(10), burst: Some(10) },
        tokens: Limit::Hidden,
        concurrency: Concurrency::Unlimited,
        ..Limits::NONE
    };
    Settings { limits, ..Settings::default() }
}

proptest! {
    /// Reordered, repeated, absurd: no panic, no more at once than the burst that the user told, and it lets somebody
    /// through again within a few of the longest pauses.
    #[test]
    fn chaos_in_the_headers_does_no_harm(
        steps in prop::collection::vec((words(), any::<prop::sample::Index>(), 0..4u8, 0..3_000u64), 0..60),
    ) {
        let mut quota = Quota::new(told(), Timestamp::ZERO);
        let mut now = Timestamp::ZERO;
        let mut out = Vec::new();
        for (limits, which, how, millis) in steps {
            let before = out.len();
            while let Ok(reservation) = quota.reserve(&ONE, now) {
                out.push(reservation);
            }
            prop_assert!(out.len() - before <= 10);
            if !out.is_empty() {
                let reservation = out.remove(which.index(out.len()));
                match how {
                    0 => {
                        quota.hint(&reservation, &limits, now);
                        quota.hint(&reservation, &limits, now);
                        out.push(reservation);
                    }
                    1 => quota.settle(reservation, &Outcome::Throttled { limits }, now),
                    2 => quota.settle(reservation, &Outcome::Overloaded { limits }, now),
                    _ => quota.settle(reservation, &Outcome::Failed { may_have_executed: true, limits }, now),
                }
            }
            now = now + Duration::from_millis(millis);
        }
        for reservation in out {
            quota.settle(reservation, &Outcome::Abandoned, now);
        }
        // However it was confused, it does not stay away for ever.
        let mut tries = 0;
        while let Err(denied) = quota.reserve(&ONE, now) {
            now = denied.until.expect("nobody is under way").max(now);
            tries += 1;
            prop_assert!(tries < 50);
        }
        prop_assert!(now < Timestamp::from_millis(3 * 86_400_000));
    }
}

fn report(limit: u64, remaining: u64) -> RateLimits {
    let requests = Level { limit: Some(limit), remaining: Some(remaining), ..Level::default() };
    RateLimits { requests, ..RateLimits::default() }
}

fn level_of(quota: &Quota, now: Timestamp) -> i64 {
    quota.snapshot(now).requests.expect("it is limited").level
}

#[test]
fn a_report_lowers_the_level_at_once_and_a_second_one_raises_it() {
    let mut quota = Quota::new(told(), Timestamp::ZERO);
    let now = Timestamp::from_millis(10);
    let [first, second, third] = [0; 3].map(|_| quota.reserve(&ONE, now).expect("there is room"));
    quota.hint(&first, &report(600, 3), now);
    assert_eq!(level_of(&quota, now), 1, "three were left, and two were sent since");
    quota.hint(&second, &report(600, 9), now);
    assert_eq!(level_of(&quota, now), 1, "one report of more may be a mistake");
    quota.hint(&third, &report(600, 9), now);
    assert_eq!(level_of(&quota, now), 7, "two are believed, the lower one, less what the way may squeeze together");
}

/// One a second, one at once. Two heads that took seconds to come say that nothing was left; what came in since then
/// ran over, and is no reason to send again at once.
#[test]
fn what_ran_over_since_an_old_report_is_not_there() {
    let requests = Limit::Told { rate: Rate::per_second(1), burst: Some(1) };
    let limits = Limits { requests, ..Limits::NONE };
    let mut quota = Quota::new(Settings { limits, ..Settings::default() }, Timestamp::ZERO);
    let at = Timestamp::from_millis;
    let [first, second, _third] = [0, 1_000, 5_000].map(|now| quota.reserve(&ONE, at(now)).expect("there is room"));
    quota.hint(&first, &report(60, 0), at(5_100));
    quota.hint(&second, &report(60, 0), at(5_200));
    assert_eq!(quota.reserve(&ONE, at(5_200)).map(drop).unwrap_err().until, Some(at(6_000)));
}

#[test]
fn a_report_that_was_overtaken_is_not_heard() {
    let mut quota = Quota::new(told(), Timestamp::ZERO);
    let [first, second] = [0; 2].map(|_| quota.reserve(&ONE, Timestamp::ZERO).expect("there is room"));
    quota.hint(&second, &report(600, 6), Timestamp::ZERO);
    let before = level_of(&quota, Timestamp::ZERO);
    quota.hint(&first, &report(600, 0), Timestamp::ZERO);
    assert_eq!(level_of(&quota, Timestamp::ZERO), before);
}

#[test]
fn words_that_make_no_sense_are_not_heard() {
    let mut quota = Quota::new(told(), Timestamp::ZERO);
    let before = level_of(&quota, Timestamp::ZERO) - 1;
    for (limit, remaining) in [(0, 0), (600, 601), (u64::MAX, 0), (u64::MAX, u64::MAX)] {
        let reservation = quota.reserve(&ONE, Timestamp::ZERO).expect("there is room");
        quota.hint(&reservation, &report(limit, remaining), Timestamp::ZERO);
        quota.settle(reservation, &Outcome::Unused, Timestamp::ZERO);
        assert_eq!(level_of(&quota, Timestamp::ZERO), before + 1, "{remaining} of {limit}");
    }
}

#[test]
fn a_limit_in_the_headers_is_a_ceiling_and_not_a_present() {
    let mut quota = Quota::new(told(), Timestamp::ZERO);
    let rate = |quota: &Quota| quota.snapshot(Timestamp::ZERO).requests.expect("it is limited").per_minute.round();
    for (named, expected) in [(60, 60.0), (6_000, 600.0)] {
        let reservation = quota.reserve(&ONE, Timestamp::ZERO).expect("there is room");
        quota.hint(&reservation, &report(named, named), Timestamp::ZERO);
        assert_eq!(rate(&quota), expected, "named {named} where 600 were told");
    }
}
