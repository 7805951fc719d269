//! The laws of the limits, in virtual time.

use std::num::NonZeroU32;
use std::time::Duration;

use bellwether_core::time::Timestamp;
use bellwether_sim::quota::{ASSUMED_OUTPUT, Demand, Dimension, Quota};
use bellwether_sim::{Algorithm, Limit};
use proptest::collection::vec;
use proptest::prelude::*;

const MINUTE: u64 = 60_000_000_000;

fn one(tokens: u64) -> Demand {
    Demand { input_tokens: tokens, max_output_tokens: Some(0) }
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// Lets in whatever comes at these moments, one request of so many tokens each; returns what was let in.
fn run(quota: &mut Quota, arrivals: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut now = 0;
    let mut let_in = Vec::new();
    for (pause, tokens) in arrivals {
        now += pause;
        let moment = Timestamp::from_nanos(now);
        if let Ok(ticket) = quota.admit(one(*tokens), moment) {
            quota.settle(ticket, *tokens, moment);
            let_in.push((now, *tokens));
        }
    }
    let_in
}

#[test]
fn a_later_entry_replaces_the_limit_at_its_moment() {
    let limit =
        |seconds, rpm| Limit { at: Duration::from_secs(seconds), rpm: NonZeroU32::new(rpm), ..Limit::default() };
    let mut quota = Quota::new(&[limit(0, 1), limit(10, 120), limit(20, 1)]);
    let standing = |quota: &mut Quota, millis| quota.standing(Dimension::Requests, at(millis)).unwrap();
    assert!(quota.admit(one(1), at(0)).is_ok());
    assert!(quota.admit(one(1), at(9_999)).is_err());
    assert_eq!(standing(&mut quota, 9_999).limit, 1);
    // The new rate fills the bucket from where it stood: one sixth after ten seconds at one per minute.
    assert_eq!(quota.admit(one(1), at(10_000)).unwrap_err().ready_at, Some(Timestamp::from_nanos(10_416_666_667)));
    assert_eq!(standing(&mut quota, 15_000).limit, 120);
    assert_eq!(standing(&mut quota, 15_000).remaining, 10);
    assert_eq!(standing(&mut quota, 20_000).remaining, 1);
}

/// Sixty a minute, two at once: each refusal puts the next turn a second off, but never more than the bucket's depth
/// below nothing.
#[test]
fn a_refusal_that_is_charged_puts_the_next_turn_off() {
    let limit = Limit { rpm: NonZeroU32::new(60), burst: NonZeroU32::new(2), ..Limit::default() };
    let mut quota = Quota::new(&[limit]).charging_refusals();
    assert_eq!(run(&mut quota, &[(0, 1), (0, 1)]).len(), 2);
    let ready = |quota: &mut Quota| quota.admit(one(1), at(0)).unwrap_err().ready_at;
    assert_eq!([0; 3].map(|_| ready(&mut quota)), [2_000, 3_000, 3_000].map(|millis| Some(at(millis))));
    assert!(quota.admit(one(1), at(3_000)).is_ok());
}

#[test]
fn an_entry_without_limits_lifts_them() {
    let lifted = Limit { at: Duration::from_secs(1), ..Limit::default() };
    let mut quota = Quota::new(&[Limit { rpm: NonZeroU32::new(1), ..Limit::default() }, lifted]);
    assert!(quota.admit(one(1), at(0)).is_ok());
    assert!(quota.admit(one(1), at(0)).is_err());
    assert!(quota.admit(one(1), at(1_000)).is_ok());
    assert_eq!(quota.standing(Dimension::Requests, at(1_000)), None);
}

#[test]
fn entries_of_the_same_moment_are_in_force_together() {
    let second = Duration::from_secs(1);
    let per_second = Limit { rpm: NonZeroU32::new(120), window: second, ..Limit::default() };
    let per_minute = Limit { rpm: NonZeroU32::new(3), ..Limit::default() };
    let mut quota = Quota::new(&[per_second, per_minute]);
    assert!(quota.admit(one(1), at(0)).is_ok());
    assert!(quota.admit(one(1), at(0)).is_ok());
    assert_eq!(quota.admit(one(1), at(0)).unwrap_err().ready_at, Some(at(500)));
    assert!(quota.admit(one(1), at(500)).is_ok());
    assert_eq!(quota.admit(one(1), at(1_000)).unwrap_err().ready_at, Some(at(20_000)));
}

#[test]
fn a_refused_request_takes_nothing() {
    let limit = Limit { rpm: NonZeroU32::new(10), tpm: NonZeroU32::new(100), ..Limit::default() };
    let mut quota = Quota::new(&[limit]);
    let refusal = quota.admit(one(101), at(0)).unwrap_err();
    assert!(refusal.too_large && refusal.ready_at.is_none());
    assert_eq!(quota.standing(Dimension::Requests, at(0)).unwrap().remaining, 10);
    assert_eq!(quota.standing(Dimension::Tokens, at(0)).unwrap().remaining, 100);
    assert_eq!(quota.in_flight(), 0);
}

#[test]
fn a_settled_request_gives_back_what_it_did_not_use() {
    for algorithm in [Algorithm::TokenBucket, Algorithm::FixedWindow] {
        let mut quota = Quota::new(&[Limit { algorithm, tpm: NonZeroU32::new(1_000), ..Limit::default() }]);
        let ticket = quota.admit(Demand { input_tokens: 100, max_output_tokens: Some(700) }, at(0)).unwrap();
        assert_eq!(quota.standing(Dimension::Tokens, at(0)).unwrap().remaining, 200);
        quota.settle(ticket, 150, at(0));
        assert_eq!(quota.standing(Dimension::Tokens, at(0)).unwrap().remaining, 850);
    }
}

#[test]
fn a_request_without_a_cap_is_charged_what_is_assumed_or_what_fits() {
    for (tpm, left) in [(10_000, 10_000 - 100 - ASSUMED_OUTPUT), (500, 0)] {
        let mut quota = Quota::new(&[Limit { tpm: NonZeroU32::new(tpm), ..Limit::default() }]);
        let _ticket = quota.admit(Demand { input_tokens: 100, max_output_tokens: None }, at(0)).unwrap();
        assert_eq!(quota.standing(Dimension::Tokens, at(0)).unwrap().remaining, left);
    }
}

#[test]
fn a_correction_does_not_reach_into_the_next_window() {
    let limit = Limit { algorithm: Algorithm::FixedWindow, tpm: NonZeroU32::new(100), ..Limit::default() };
    let mut quota = Quota::new(&[limit]);
    let ticket = quota.admit(one(90), at(59_000)).unwrap();
    let _other = quota.admit(one(90), at(60_000)).unwrap();
    quota.settle(ticket, 0, at(61_000));
    assert_eq!(quota.standing(Dimension::Tokens, at(61_000)).unwrap().remaining, 10);
}

#[test]
fn a_slot_is_free_again_when_its_request_is_settled() {
    let mut quota = Quota::new(&[Limit { concurrency: NonZeroU32::new(1), ..Limit::default() }]);
    let ticket = quota.admit(one(1), at(0)).unwrap();
    let refusal = quota.admit(one(1), at(0)).unwrap_err();
    assert_eq!((refusal.dimension, refusal.ready_at), (Dimension::Concurrency, None));
    quota.settle(ticket, 1, at(1));
    assert!(quota.admit(one(1), at(1)).is_ok());
}

proptest! {
    #[test]
    fn a_bucket_never_lets_in_more_than_its_depth_and_its_rate_in_any_stretch(
        rpm in 1..500_u32,
        tpm in 1..50_000_u32,
        burst in 1..50_u32,
        burst_tokens in 1..5_000_u32,
        arrivals in vec((0..3_000_000_000_u64, 0..3_000_u64), 1..120),
    ) {
        let mut quota = Quota::new(&[Limit {
            rpm: NonZeroU32::new(rpm),
            tpm: NonZeroU32::new(tpm),
            burst: NonZeroU32::new(burst),
            burst_tokens: NonZeroU32::new(burst_tokens),
            ..Limit::default()
        }]);
        let let_in = run(&mut quota, &arrivals);
        for (index, (from, _)) in let_in.iter().enumerate() {
            let mut tokens = 0;
            for (count, (until, taken)) in (1..).zip(&let_in[index..]) {
                tokens += taken;
                let elapsed = u128::from(until - from);
                let minute = u128::from(MINUTE);
                prop_assert!(count * minute <= u128::from(burst) * minute + u128::from(rpm) * elapsed);
                prop_assert!(u128::from(tokens) * minute <= u128::from(burst_tokens) * minute + u128::from(tpm) * elapsed);
            }
        }
    }

    #[test]
    fn a_fixed_window_lets_in_exactly_its_allowance(
        rpm in 1..200_u32,
        seconds in 1..120_u64,
        arrivals in vec(0..2_000_000_000_u64, 1..200),
    ) {
        let (algorithm, window) = (Algorithm::FixedWindow, Duration::from_secs(seconds));
        let mut quota = Quota::new(&[Limit { algorithm, rpm: NonZeroU32::new(rpm), window, ..Limit::default() }]);
        let allowance = usize::try_from((u64::from(rpm) * seconds / 60).max(1)).unwrap();
        let arrivals: Vec<_> = arrivals.into_iter().map(|pause| (pause, 0)).collect();
        let let_in = run(&mut quota, &arrivals);
        let window_of = |moment: u64| moment / (seconds * 1_000_000_000);
        let moments: Vec<u64> = arrivals.iter().scan(0, |now, (pause, _)| { *now += pause; Some(*now) }).collect();
        for index in 0..=window_of(*moments.last().unwrap()) {
            let came = moments.iter().filter(|moment| window_of(**moment) == index).count();
            let entered = let_in.iter().filter(|(moment, _)| window_of(*moment) == index).count();
            prop_assert_eq!(entered, came.min(allowance));
        }
    }

    #[test]
    fn who_comes_back_at_the_named_moment_is_let_in_and_not_before(
        fixed in any::<bool>(),
        rpm in 1..200_u32,
        tpm in 1_000..50_000_u32,
        arrivals in vec((0..3_000_000_000_u64, 0..1_000_u64), 1..100),
        tokens in 0..1_000_u64,
    ) {
        let algorithm = if fixed { Algorithm::FixedWindow } else { Algorithm::TokenBucket };
        let limit = Limit { algorithm, rpm: NonZeroU32::new(rpm), tpm: NonZeroU32::new(tpm), ..Limit::default() };
        let mut quota = Quota::new(&[limit]);
        run(&mut quota, &arrivals);
        let now = Timestamp::from_nanos(arrivals.iter().map(|(pause, _)| pause).sum());
        if let Err(refusal) = quota.admit(one(tokens), now) {
            let ready_at = refusal.ready_at.expect("it is not too large");
            prop_assert!(ready_at > now);
            let just_before = Timestamp::from_nanos(ready_at.as_nanos() - 1);
            prop_assert!(quota.clone().admit(one(tokens), just_before).is_err());
            prop_assert!(quota.admit(one(tokens), ready_at).is_ok());
        }
    }

    #[test]
    fn what_is_left_never_exceeds_the_limit_whatever_is_given_back(
        steps in vec((0..5_000_000_000_u64, 0..800_u64, 0..800_u64, any::<bool>()), 1..100),
        fixed in any::<bool>(),
    ) {
        let algorithm = if fixed { Algorithm::FixedWindow } else { Algorithm::TokenBucket };
        let mut quota = Quota::new(&[Limit { algorithm, tpm: NonZeroU32::new(2_000), ..Limit::default() }]);
        let (mut now, mut open) = (0, Vec::new());
        for (pause, charged, used, settle_first) in steps {
            now += pause;
            let moment = Timestamp::from_nanos(now);
            if settle_first && let Some(ticket) = open.pop() {
                quota.settle(ticket, used, moment);
            }
            open.extend(quota.admit(one(charged), moment));
            let standing = quota.standing(Dimension::Tokens, moment).unwrap();
            prop_assert!(standing.remaining <= 2_000);
            prop_assert_eq!(usize::try_from(quota.in_flight()).unwrap(), open.len());
        }
    }
}
