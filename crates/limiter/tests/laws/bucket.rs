//! R1 and R3 for one budget.

use std::time::Duration;

use bellwether_limiter::{Bucket, Rate, Timestamp};
use proptest::prelude::*;

proptest! {
    /// Whoever comes and waits as told is let through no earlier and no later than the rate allows, to the nanosecond,
    /// over any stretch of time, debts of large requests included.
    #[test]
    fn what_is_let_through_is_the_rate_to_the_last_unit(
        amount in 1..5_000u64,
        nanos in 1..4_000_000_000u64,
        burst in 1..200u64,
        costs in prop::collection::vec(1..300u64, 1..100),
    ) {
        let rate = Rate::new(amount, Duration::from_nanos(nanos));
        let mut bucket = Bucket::new(rate, burst, Timestamp::ZERO);
        let mut now = Timestamp::ZERO;
        let mut granted = Vec::new();
        for cost in costs {
            bucket.refill(now);
            let at = bucket.ready_at(cost, now);
            if at > now {
                let before = Timestamp::from_nanos(at.as_nanos() - 1);
                let mut early = bucket.clone();
                early.refill(before);
                prop_assert!(early.ready_at(cost, before) > before, "not a nanosecond too late");
            }
            now = at;
            bucket.refill(now);
            prop_assert_eq!(bucket.ready_at(cost, now), now, "when it says it is ready, it is");
            bucket.take(cost);
            granted.push((now, cost));
        }
        for (i, (from, _)) in granted.iter().enumerate() {
            let mut sum = 0u128;
            for (to, cost) in &granted[i..] {
                sum += u128::from(*cost);
                // What lies before the last one is within burst and rate; the last may be one that is larger.
                let elapsed = u128::from(to.as_nanos() - from.as_nanos());
                let came = u128::from(amount) * elapsed / u128::from(nanos) + 1;
                let debt = u128::from(cost.saturating_sub(burst));
                prop_assert!(sum <= u128::from(burst) + came + debt);
            }
        }
    }

    /// Refunds, changes of the rate, jumps of the clock forwards and back: never above the burst.
    #[test]
    fn nothing_lifts_it_above_the_burst(
        steps in prop::collection::vec((0..6u8, 0..1_000u64, any::<u32>()), 0..60),
    ) {
        let mut bucket = Bucket::new(Rate::per_second(10), 50, Timestamp::ZERO);
        let mut now = 0u64;
        for (step, amount, nanos) in steps {
            match step {
                0 => bucket.take(amount),
                1 => bucket.give(amount),
                2 => bucket.raise_to(amount),
                3 => now += u64::from(nanos) * 1_000,
                4 => now = now.saturating_sub(u64::from(nanos) * 1_000),
                _ => {
                    let before = bucket.level(Timestamp::from_nanos(now));
                    bucket.change(Rate::new(amount, Duration::from_nanos(u64::from(nanos))), amount, Timestamp::from_nanos(now));
                    prop_assert!(bucket.level(Timestamp::from_nanos(now)) <= before, "a change gives nothing");
                }
            }
            bucket.refill(Timestamp::from_nanos(now));
            let level = bucket.level(Timestamp::from_nanos(now));
            prop_assert!(level <= i64::try_from(bucket.burst()).unwrap());
        }
    }
}

#[test]
fn a_third_of_a_unit_a_second_is_kept_for_a_year() {
    let mut bucket = Bucket::new(Rate::new(1, Duration::from_secs(3)), 1, Timestamp::ZERO);
    let mut now = Timestamp::ZERO;
    let mut granted = 0u64;
    while now < Timestamp::from_millis(86_400_000) {
        bucket.refill(now);
        now = bucket.ready_at(1, now);
        bucket.refill(now);
        bucket.take(1);
        granted += 1;
    }
    assert_eq!(granted, 28_801, "one at once, and one every three seconds to the end of the day");
}
