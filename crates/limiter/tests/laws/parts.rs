//! R9 and R10: the parts for clients that retry.

use std::time::Duration;

use bellwether_limiter::{Backoff, Breaker, BreakerPolicy, RetryBudget, Timestamp, Verdict, Why};
use proptest::prelude::*;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

proptest! {
    /// R9: retries cost at most a tenth of what succeeded, and what came in with time.
    #[test]
    fn retries_are_a_tenth_of_the_work_and_the_floor(
        floor in 1..1_000u64,
        steps in prop::collection::vec((0..3u8, 1..5_000u64, 0..2_000u64), 0..200),
    ) {
        let mut budget = RetryBudget::new(floor, Duration::from_secs(10));
        let (mut now, mut succeeded, mut retried) = (0, 0u64, 0u64);
        for (step, cost, millis) in steps {
            now += millis;
            // Larger calls than the budget are a case of their own, below.
            let cost = cost.min(floor * 5);
            match step {
                0 => {
                    budget.succeeded(cost, at(now));
                    succeeded += cost;
                }
                1 if budget.retry(cost, Why::Failed, at(now)) => retried += cost,
                2 if budget.retry(cost, Why::TimedOut, at(now)) => retried += 2 * cost,
                _ => {}
            }
            prop_assert!(retried * 10_000 <= succeeded * 1_000 + floor * now * 10 + 10_000);
            prop_assert!(budget.level() <= floor * 10);
        }
    }

    #[test]
    fn a_pause_is_never_longer_than_it_may_be(base in 0..10_000u64, cap in 0..100_000u64, attempts in 0..80u32, seed in any::<u64>()) {
        let backoff = Backoff { base: Duration::from_millis(base), cap: Duration::from_millis(cap), attempts };
        let mut rng = fastrand::Rng::with_seed(seed);
        for retry in 0..100 {
            match backoff.pause(retry, &mut rng) {
                Some(pause) => {
                    prop_assert!(retry >= 1 && retry < attempts);
                    prop_assert!(pause <= backoff.cap);
                    prop_assert!(pause <= backoff.base.saturating_mul(2u32.saturating_pow(retry - 1)));
                }
                None => prop_assert!(retry == 0 || retry >= attempts),
            }
        }
    }

    /// R10, against a plain model: closed, open, half-open, and nothing else; open long enough; trials one, two, four.
    #[test]
    fn a_breaker_does_what_its_model_says(steps in prop::collection::vec((0..5u8, any::<prop::sample::Index>(), 0..4_000u64), 0..200)) {
        let policy = BreakerPolicy { calls: 20, least: 4, trials: 3, ..BreakerPolicy::default() };
        let mut breaker = Breaker::new(policy, 7);
        let mut out = Vec::new();
        let mut now = 0;
        let mut opened: Option<u64> = None;
        for (step, which, millis) in steps {
            now += millis;
            if step < 3 {
                let was_open = breaker.open_until();
                match breaker.admit(at(now)) {
                    Ok(pass) => {
                        prop_assert!(was_open.is_none_or(|until| until <= at(now)), "nobody while it is open");
                        out.push(pass);
                    }
                    Err(until) => prop_assert!(until > at(now), "it says when, and that lies ahead"),
                }
            } else if !out.is_empty() {
                let pass = out.remove(which.index(out.len()));
                let verdict = if step == 3 { Verdict::Fault } else { Verdict::Fine };
                let before = breaker.open_until();
                breaker.judge(pass, verdict, at(now));
                match (before, breaker.open_until()) {
                    (None, Some(until)) => {
                        prop_assert_eq!(verdict, Verdict::Fault, "only a fault opens it");
                        let open = until.since(at(now));
                        prop_assert!(open >= policy.first && open <= policy.longest.mul_f64(1.1));
                        opened = Some(now);
                    }
                    (before, after) => prop_assert_eq!(before, after, "what was sent before says nothing"),
                }
            }
        }
        prop_assert!(opened.is_none_or(|opened| opened <= now));
    }
}

#[test]
fn a_call_that_is_larger_than_the_budget_may_be_retried_when_it_is_full() {
    let mut budget = RetryBudget::new(10, Duration::from_secs(10));
    assert!(!budget.retry(1_000, Why::Failed, at(9_999)));
    assert!(budget.retry(1_000, Why::Failed, at(10_000)));
    assert_eq!(budget.level(), 0);
}

#[test]
fn no_floor_memory_or_cost_is_too_large_for_a_budget() {
    let mut budget = RetryBudget::new(u64::MAX, Duration::MAX);
    budget.succeeded(u64::MAX, Timestamp::from_nanos(u64::MAX));
    assert!(budget.retry(u64::MAX, Why::TimedOut, Timestamp::from_nanos(u64::MAX)));
    assert!(budget.retry(u64::MAX, Why::Failed, Timestamp::from_nanos(u64::MAX)));
}

#[test]
fn a_half_open_breaker_lets_one_through_and_then_twice_as_many() {
    let mut breaker = Breaker::new(BreakerPolicy::default(), 1);
    for _ in 0..10 {
        let pass = breaker.admit(at(0)).unwrap();
        breaker.judge(pass, Verdict::Fault, at(0));
    }
    let reopened = breaker.open_until().unwrap();
    let trial = breaker.admit(reopened).unwrap();
    assert!(breaker.admit(reopened).is_err(), "one finds out");
    breaker.judge(trial, Verdict::Fine, reopened);
    let two = [breaker.admit(reopened).unwrap(), breaker.admit(reopened).unwrap()];
    assert!(breaker.admit(reopened).is_err());
    let mut verdicts = [Verdict::Fine, Verdict::Fault].into_iter();
    for pass in two {
        breaker.judge(pass, verdicts.next().unwrap(), reopened);
    }
    let again = breaker.open_until().unwrap().since(reopened);
    assert!(again >= Duration::from_secs(10), "a fault opens it for twice as long");
}

#[test]
fn too_many_requests_are_no_fault() {
    let mut breaker = Breaker::new(BreakerPolicy::default(), 1);
    for _ in 0..1_000 {
        let pass = breaker.admit(at(0)).unwrap();
        breaker.judge(pass, Verdict::Fine, at(0));
    }
    assert!(breaker.is_closed());
}
