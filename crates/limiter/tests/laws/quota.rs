//! R1 to R4, R7, R8 and R11: what a quota lets through, whatever happens.

use std::num::NonZeroU32;
use std::time::Duration;

use bellwether_limiter::{
    Charges, Concurrency, Demand, Limit, Limits, News, Outcome, Quota, Rate, RateLimits, Settings, Timestamp, Usage,
    WaitReason,
};
use proptest::prelude::*;

fn told(requests: u64, tokens: u64, places: u32) -> Settings {
    let limits = Limits {
        requests: Limit::Told { rate: Rate::per_second(requests), burst: Some(requests) },
        tokens: Limit::Told { rate: Rate::per_second(tokens), burst: Some(tokens) },
        concurrency: Concurrency::Told(NonZeroU32::new(places).expect("not zero")),
        ..Limits::NONE
    };
    Settings { limits, squeeze: Duration::ZERO, ..Settings::default() }
}

fn demand(tokens: u64) -> Demand {
    Demand { requests: 1, input_tokens: tokens, output_tokens: 0 }
}

#[derive(Clone, Debug)]
enum Step {
    Settle(prop::sample::Index, End),
    Try(u64),
    Wait(u32),
}

#[derive(Clone, Debug)]
enum End {
    Abandoned,
    Completed(u64),
    Failed(bool),
    Throttled(Option<u16>),
    Unused,
}

fn step() -> impl Strategy<Value = Step> {
    let end = prop_oneof![
        Just(End::Abandoned),
        (0..2_000u64).prop_map(End::Completed),
        any::<bool>().prop_map(End::Failed),
        prop::option::of(0..5_000u16).prop_map(End::Throttled),
        Just(End::Unused),
    ];
    prop_oneof![
        4 => (0..2_000u64).prop_map(Step::Try),
        3 => (any::<prop::sample::Index>(), end).prop_map(|(which, end)| Step::Settle(which, end)),
        3 => (0..400_000_000u32).prop_map(Step::Wait),
    ]
}

fn outcome(end: &End) -> Outcome {
    let limits = RateLimits::default();
    match end {
        End::Abandoned => Outcome::Abandoned,
        End::Completed(tokens) => {
            let usage = Usage { input_tokens: Some(*tokens), output_tokens: Some(0), ..Usage::default() };
            Outcome::Completed { usage, limits }
        }
        End::Failed(may_have_executed) => Outcome::Failed { may_have_executed: *may_have_executed, limits },
        End::Throttled(after) => {
            let retry_after = after.map(|millis| Duration::from_millis(u64::from(millis)));
            Outcome::Throttled { limits: RateLimits { retry_after, ..limits } }
        }
        End::Unused => Outcome::Unused,
    }
}

proptest! {
    /// R1, R3, R4, R8: in no stretch of time is more taken than burst, rate, what came back, and one large
    /// request's debt; never more calls than places, nothing taken by who is denied, nobody in a pause, and every place
    /// comes back.
    #[test]
    fn a_told_limit_is_never_overrun(
        requests in 1..20u64,
        tokens in 1..2_000u64,
        places in 1..6u32,
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut quota = Quota::new(told(requests, tokens, places), Timestamp::ZERO);
        let mut now = Timestamp::ZERO;
        let mut out = Vec::new();
        // What was taken, and what came back: when, requests, tokens.
        let mut moved: Vec<(Timestamp, i64, i64)> = Vec::new();
        let mut paused = Timestamp::ZERO;
        for step in steps {
            match step {
                Step::Try(cost) => {
                    let before = quota.snapshot(now);
                    let room = quota.outlook(&demand(cost), now).is_none();
                    match quota.reserve(&demand(cost), now) {
                        Ok(reservation) => {
                            prop_assert!(room, "nothing was said to stand in its way");
                            prop_assert!(now >= paused, "R8");
                            moved.push((now, 1, i64::try_from(cost).unwrap()));
                            out.push((reservation, i64::try_from(cost).unwrap()));
                        }
                        Err(denied) => {
                            prop_assert!(!room, "what it would wait for was said");
                            prop_assert!(denied.until.is_none_or(|until| until > now), "it says when, and that lies ahead");
                            let after = quota.snapshot(now);
                            prop_assert_eq!(before, after, "R4: nothing was taken");
                        }
                    }
                    prop_assert!(out.len() <= places as usize);
                }
                Step::Settle(which, end) if !out.is_empty() => {
                    let (reservation, cost) = out.remove(which.index(out.len()));
                    match end {
                        End::Unused | End::Throttled(_) => moved.push((now, -1, -cost)),
                        End::Completed(took) => {
                            moved.push((now, 0, (i64::try_from(took).unwrap() - cost).min(0)));
                        }
                        End::Failed(false) => moved.push((now, 0, -cost)),
                        _ => {}
                    }
                    if let End::Throttled(Some(millis)) = end {
                        paused = paused.max(now + Duration::from_millis(u64::from(millis)));
                    }
                    quota.settle(reservation, &outcome(&end), now);
                }
                Step::Settle(..) => {}
                Step::Wait(nanos) => now = now + Duration::from_nanos(u64::from(nanos)),
            }
        }
        for (i, (from, ..)) in moved.iter().enumerate() {
            let (mut count, mut cost) = (0, 0);
            for (to, one, took) in &moved[i..] {
                (count, cost) = (count + one, cost + took);
                if *one <= 0 {
                    continue;
                }
                let nanos = u128::from(to.as_nanos() - from.as_nanos());
                let most = |rate: u64| i64::try_from(u128::from(rate) * (1_000_000_000 + nanos) / 1_000_000_000).unwrap() + 1;
                prop_assert!(count <= most(requests), "R1 for requests");
                let debt = (*took - i64::try_from(tokens).unwrap()).max(0);
                // Who takes nothing adds nothing to the debt of a large request that went before at the same moment.
                prop_assert!(*took == 0 || cost <= most(tokens) + debt, "R1 for tokens");
            }
        }
        for (reservation, _) in out {
            quota.settle(reservation, &Outcome::Abandoned, now);
        }
        let snapshot = quota.snapshot(now);
        prop_assert_eq!(snapshot.in_flight, 0, "R3");
        for budget in [snapshot.requests, snapshot.tokens].into_iter().flatten() {
            prop_assert!(budget.level <= i64::try_from(budget.burst).unwrap());
        }
    }

    /// R2: somebody who always wants more gets at least 99.5 percent of a told limit.
    #[test]
    fn all_of_a_told_limit_is_used(which in any::<bool>(), rate in 1..200u64, seed in any::<u64>()) {
        // One of the two is what binds.
        let (requests, tokens) = if which { (rate, 1_000_000) } else { (100_000, 1_000 * rate) };
        let mut quota = Quota::new(told(requests, tokens, 1_000), Timestamp::ZERO);
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut now, mut count, mut cost) = (Timestamp::ZERO, 0u64, 0u64);
        let end = Timestamp::from_millis(60_000);
        while now < end {
            let wanted = rng.u64(1..2_000);
            match quota.reserve(&demand(wanted), now) {
                Ok(reservation) => {
                    (count, cost) = (count + 1, cost + wanted);
                    quota.settle(reservation, &Outcome::Abandoned, now);
                }
                Err(denied) => now = denied.until.expect("there are places"),
            }
        }
        let (of_requests, of_tokens) = (count as f64 / (60 * requests) as f64, cost as f64 / (60 * tokens) as f64);
        prop_assert!(of_requests >= 0.995 || of_tokens >= 0.995, "{of_requests} of the requests, {of_tokens} of the tokens");
    }

    /// R3: with refunds everything that was reserved and not used is there again.
    #[test]
    fn reservations_and_settlements_cancel_out(costs in prop::collection::vec((1..500u64, 0..500u64), 1..50)) {
        let mut quota = Quota::new(told(1_000, 100_000, 1_000), Timestamp::ZERO);
        let mut out = Vec::new();
        for (reserved, took) in &costs {
            out.push((quota.reserve(&demand(*reserved), Timestamp::ZERO).expect("there is room"), took));
        }
        for (reservation, took) in out {
            quota.settle(reservation, &outcome(&End::Completed(*took)), Timestamp::ZERO);
        }
        let took: u64 = costs.iter().map(|(_, took)| took).sum();
        let left = quota.snapshot(Timestamp::ZERO).tokens.expect("it is told").level;
        prop_assert_eq!(left, 100_000 - i64::try_from(took).unwrap());
    }

    /// R11: a clock that jumps an hour back or forth gives at most one burst.
    #[test]
    fn a_jump_of_the_clock_gives_at_most_a_burst(jumps in prop::collection::vec((any::<bool>(), 0..7_200u64), 0..20)) {
        let mut quota = Quota::new(told(5, 1_000_000, 10_000), Timestamp::from_millis(10_000_000));
        let mut now = 10_000_000u64;
        let mut latest = now;
        for (forwards, seconds) in jumps {
            now = if forwards { now + seconds * 1_000 } else { now.saturating_sub(seconds * 1_000) };
            let mut let_in = 0;
            while quota.reserve(&demand(1), Timestamp::from_millis(now)).is_ok() {
                let_in += 1;
            }
            prop_assert!(let_in <= 5, "one burst");
            if now <= latest && let_in > 0 {
                prop_assert!(latest == 10_000_000, "nothing comes in while the clock is behind");
            }
            latest = latest.max(now);
        }
    }
}

#[test]
fn a_request_that_is_larger_than_the_burst_goes_alone_and_is_worked_off() {
    let limits = Limits { tokens: Limit::Told { rate: Rate::per_second(100), burst: Some(100) }, ..Limits::NONE };
    let settings = Settings { limits, squeeze: Duration::ZERO, ..Settings::default() };
    let mut quota = Quota::new(settings, Timestamp::ZERO);
    let _large = quota.reserve(&demand(1_000), Timestamp::ZERO).expect("the bucket is full");
    let denied = quota.reserve(&demand(50), Timestamp::ZERO).unwrap_err();
    assert_eq!((denied.reason, denied.until), (WaitReason::Tokens, Some(Timestamp::from_millis(9_500))));
    assert!(quota.reserve(&demand(0), Timestamp::ZERO).is_ok(), "who wants none of it does not wait for it");
}

#[test]
fn of_a_call_that_nobody_heard_of_again_stands_no_more_than_a_window_holds() {
    let absurd = Demand { requests: 1, input_tokens: 10, output_tokens: u64::from(u32::MAX) };
    let unheard = Outcome::Completed { usage: Usage::default(), limits: RateLimits::default() };
    let may_have = Outcome::Failed { may_have_executed: true, limits: RateLimits::default() };
    for outcome in [Outcome::Abandoned, unheard, may_have] {
        let limits = Limits { tokens: Limit::told(Rate::per_minute(60_000)), ..Limits::NONE };
        let mut quota = Quota::new(Settings { limits, ..Settings::default() }, Timestamp::ZERO);
        let large = quota.reserve(&absurd, Timestamp::ZERO).expect("the bucket is full");
        quota.settle(large, &outcome, Timestamp::ZERO);
        let until = quota.reserve(&demand(10), Timestamp::ZERO).unwrap_err().until.expect("it is worked off");
        let wait = until.since(Timestamp::ZERO).as_secs();
        assert!((58..=60).contains(&wait), "{wait} s after {outcome:?}");
    }
    // Where a day is the window, a day may be used up at once.
    let day = Limit::told(Rate::new(86_400, Duration::from_secs(86_400)));
    let mut quota =
        Quota::new(Settings { limits: Limits { tokens: day, ..Limits::NONE }, ..Settings::default() }, Timestamp::ZERO);
    let large = quota.reserve(&demand(5_000), Timestamp::ZERO).expect("the bucket is full");
    quota.settle(large, &Outcome::Abandoned, Timestamp::ZERO);
    let until = quota.reserve(&demand(1), Timestamp::ZERO).unwrap_err().until.expect("it is worked off");
    assert_eq!(until.since(Timestamp::ZERO).as_secs(), 5_000);
}

#[test]
fn a_debt_under_a_high_limit_is_no_more_than_a_window_of_a_lower_one() {
    let tokens = |a_minute| Limits { tokens: Limit::told(Rate::per_minute(a_minute)), ..Limits::NONE };
    let mut quota = Quota::new(Settings { limits: tokens(6_000_000), ..Settings::default() }, Timestamp::ZERO);
    let large = quota.reserve(&demand(5_000_000), Timestamp::ZERO).expect("the bucket is full");
    quota.settle(large, &Outcome::Abandoned, Timestamp::ZERO);
    quota.change_limits(tokens(6_000), Timestamp::ZERO);
    let until = quota.reserve(&demand(1), Timestamp::ZERO).unwrap_err().until.expect("it is worked off");
    assert!((58..=61).contains(&until.since(Timestamp::ZERO).as_secs()), "not for half a day: {until:?}");
}

#[test]
fn a_debt_that_was_run_up_before_a_hidden_limit_was_found_is_no_more_than_a_window_of_it() {
    let limits = Limits { tokens: Limit::Hidden, ..Limits::NONE };
    let mut quota = Quota::new(Settings { limits, ..Settings::default() }, Timestamp::ZERO);
    for n in 0..1_000 {
        let now = Timestamp::from_millis(10 * n);
        let small = quota.reserve(&demand(100), now).expect("there is room");
        quota.settle(small, &outcome(&End::Completed(100)), now);
    }
    let (now, later) = (Timestamp::from_millis(10_000), Timestamp::from_millis(12_000));
    let small = quota.reserve(&demand(100), now).expect("there is room");
    let absurd = Demand { output_tokens: u64::from(u32::MAX), ..demand(100) };
    let large = quota.reserve(&absurd, Timestamp::from_millis(10_100)).expect("there is room");
    quota.settle(large, &Outcome::Abandoned, later);
    quota.settle(small, &outcome(&End::Throttled(None)), later);
    let until =
        quota.reserve(&demand(100), Timestamp::from_millis(12_010)).unwrap_err().until.expect("a matter of time");
    assert!(until.since(later) < Duration::from_secs(120), "{:?}", until.since(later));
}

#[test]
fn what_a_provider_charges_decides_what_comes_back() {
    for (charges, left) in [(Charges::Actual, 9_900), (Charges::Reserved, 9_000)] {
        let settings = Settings { charges, ..told(1_000, 10_000, 10) };
        let mut quota = Quota::new(settings, Timestamp::ZERO);
        let reservation = quota.reserve(&demand(1_000), Timestamp::ZERO).expect("there is room");
        quota.settle(reservation, &outcome(&End::Completed(100)), Timestamp::ZERO);
        assert_eq!(quota.snapshot(Timestamp::ZERO).tokens.map(|tokens| tokens.level), Some(left));
    }
}

#[test]
fn calls_in_flight_together_make_it_slower_once() {
    let limits = Limits { requests: Limit::Hidden, concurrency: Concurrency::Unlimited, ..Limits::NONE };
    let mut quota = Quota::new(Settings { limits, ..Settings::default() }, Timestamp::ZERO);
    let flight: Vec<_> = (0..4).map(|_| quota.reserve(&demand(0), Timestamp::ZERO).expect("a few at once")).collect();
    let now = Timestamp::from_millis(80);
    let mut rates = Vec::new();
    for reservation in flight {
        quota.settle(reservation, &outcome(&End::Throttled(None)), now);
        rates.push(quota.snapshot(now).requests.expect("it is looked for").per_minute);
    }
    assert!(rates.windows(2).all(|pair| pair[0] == pair[1]), "R7: {rates:?}");
}

#[test]
fn an_overload_takes_places_once_per_flight_and_nothing_else() {
    let mut quota = Quota::new(told(1_000, 1_000_000, 100), Timestamp::ZERO);
    let flight: Vec<_> = (0..50).map(|_| quota.reserve(&demand(1), Timestamp::ZERO).expect("there is room")).collect();
    let now = Timestamp::from_millis(500);
    for reservation in flight {
        quota.settle(reservation, &Outcome::Overloaded { limits: RateLimits::default() }, now);
    }
    let snapshot = quota.snapshot(now);
    assert_eq!(snapshot.places, Some(45), "nine tenths of what was used");
    assert_eq!(snapshot.requests.map(|requests| requests.per_minute.round()), Some(60_000.0));
    assert!(quota.take_news().contains(&News::Limit(WaitReason::Concurrency, 45)));
}

#[test]
fn a_limit_that_is_doubted_is_never_told_as_none() {
    let mut quota = Quota::new(told(10, 1_000_000, 100), Timestamp::ZERO);
    for second in 1..10 {
        let now = Timestamp::from_millis(20_000 * second);
        let reservation = quota.reserve(&demand(0), now).expect("the last pause is over");
        quota.settle(reservation, &outcome(&End::Throttled(None)), now);
    }
    let snapshot = quota.snapshot(Timestamp::from_millis(180_000)).requests.expect("there is a limit");
    assert_eq!(snapshot.limit_per_minute, None, "nobody knows by now");
    let told = |news: &News| matches!(news, News::Limit(WaitReason::Requests, _));
    assert!(!quota.take_news().iter().any(told), "but nobody found another limit");
}

#[test]
fn under_a_pause_ten_thousand_wait_and_then_one_goes_first() {
    let limits = Limits { requests: Limit::Hidden, concurrency: Concurrency::Unlimited, ..Limits::NONE };
    let mut quota = Quota::new(Settings { limits, ..Settings::default() }, Timestamp::ZERO);
    let first = quota.reserve(&demand(0), Timestamp::ZERO).expect("there is room");
    quota.settle(first, &outcome(&End::Throttled(Some(5_000))), Timestamp::from_millis(80));
    let mut sent = Vec::new();
    for millis in 80..6_000 {
        let now = Timestamp::from_millis(millis);
        for _ in 0..2 {
            if quota.reserve(&demand(0), now).is_ok() {
                sent.push(millis);
            }
        }
    }
    assert!(sent[0] >= 5_080, "nobody before the provider said so");
    assert!(sent.iter().filter(|at| **at < sent[0] + 200).count() <= 1, "A6: one first, no burst: {sent:?}");
}
