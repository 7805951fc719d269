//! What a seed decides.

use std::time::Duration;

use bellwether_core::time::Timestamp;
use bellwether_sim::fate::{self, Refused};
use bellwether_sim::{Burst, Fault, Faults, Latency};

fn faults(seed: u64, number_of: u64) -> Vec<Option<Fault>> {
    let faults = Faults { error_500: 0.05, error_503: 0.2, reset: 0.05, stall: 0.05, ..Faults::default() };
    (1..=number_of).map(|number| fate::fault(&faults, seed, number)).collect()
}

#[test]
fn the_same_seed_brings_the_same_faults_and_another_seed_others() {
    assert_eq!(faults(7, 500), faults(7, 500));
    assert_ne!(faults(7, 500), faults(8, 500));
}

#[test]
fn faults_come_as_often_as_their_share_says() {
    let drawn = faults(1, 20_000);
    for (fault, share) in
        [(Fault::Error500, 1_000), (Fault::Error503, 4_000), (Fault::Reset, 1_000), (Fault::Stall, 1_000)]
    {
        let count = drawn.iter().filter(|drawn| **drawn == Some(fault)).count();
        assert!(count.abs_diff(share) < share / 8, "{fault:?}: {count} of {share}");
    }
    assert!(faults(1, 1_000).iter().any(Option::is_none));
}

#[test]
fn the_shares_zero_and_one_mean_never_and_always() {
    let never = Faults::default();
    let always = Faults { error_503: 1.0, ..Faults::default() };
    for number in 1..2_000 {
        assert_eq!(fate::fault(&never, 3, number), None);
        assert_eq!(fate::fault(&always, 3, number), Some(Fault::Error503));
    }
}

#[test]
fn the_pace_stays_within_its_jitter_and_repeats() {
    let second = Duration::from_secs(1);
    let latency = Latency { first_token: second, jitter: 0.25, per_token: Duration::from_millis(10) };
    let mut seen = Vec::new();
    for number in 1..200 {
        let pace = fate::pace(&latency, 1, number);
        assert!(pace.first_token >= second.mul_f64(0.749) && pace.first_token <= second.mul_f64(1.251));
        assert_eq!(pace, fate::pace(&latency, 1, number));
        seen.push(pace.first_token);
    }
    seen.sort();
    seen.dedup();
    assert!(seen.len() > 100);
    let steady = fate::pace(&Latency { jitter: 0.0, ..latency }, 1, 1);
    assert_eq!(steady.reached(Timestamp::from_millis(5), 100), Timestamp::from_millis(2_005));
}

#[test]
fn a_burst_in_time_begins_and_ends_on_the_dot() {
    let (at, lasting) = (Duration::from_secs(5), Duration::from_secs(2));
    let retry_after = Some(Duration::from_secs(9));
    let bursts = [Burst::Time { at, lasting, retry_after }];
    let refused = |millis| fate::burst(&bursts, 1, Timestamp::from_millis(millis));
    assert_eq!(refused(4_999), None);
    assert_eq!(refused(5_000), Some(Refused { retry_after }));
    assert_eq!(refused(6_999), Some(Refused { retry_after }));
    assert_eq!(refused(7_000), None);
}
