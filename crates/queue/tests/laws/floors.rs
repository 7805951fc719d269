//! P6: a band that has work gets its floor of all work, over every stretch of time, less two tasks.

use bellwether_queue::{Ask, Scheduler, Settings};
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_024))]

    #[test]
    fn a_band_with_work_gets_its_floor(
        floors in vec(0..300_u32, 3),
        arrivals in vec((0..3_usize, 0..3_usize, 1..2_000_u64), 1..150),
        burst in 1..40_usize,
    ) {
        let settings = Settings { floors: floors.clone(), ..Settings::default() };
        let mut scheduler = Scheduler::<()>::new(&settings);
        let mut arrivals = arrivals.into_iter();
        let mut largest = 0;
        // For each band the thousandths of tokens it should have got and did, since it last began to have work.
        let mut balance = [0_i64; 3];
        loop {
            for (band, flow, cost) in arrivals.by_ref().take(burst) {
                largest = largest.max(cost);
                let _ = scheduler.push(band, &[["a", "b", "c"][flow]], Ask::of(cost), ()).expect("there is room");
            }
            for _ in 0..burst.div_ceil(2) {
                let ready = [0, 1, 2].map(|band| scheduler.waiting(band) > 0);
                let Some(granted) = scheduler.pop() else { break };
                for band in 0..3 {
                    if !ready[band] {
                        balance[band] = 0;
                        continue;
                    }
                    balance[band] -= i64::from(floors[band]) * i64::from(granted.cost);
                    if granted.band == band {
                        // The worst stretch begins where the balance was highest: it is kept at no more than 0.
                        balance[band] = (balance[band] + 1_000 * i64::from(granted.cost)).min(0);
                    }
                    prop_assert!(-balance[band] <= 2 * 1_000 * largest as i64, "P6: band {} lacks {}", band, -balance[band]);
                }
            }
            if scheduler.is_empty() && arrivals.len() == 0 {
                break;
            }
        }
    }
}

#[test]
fn without_a_floor_a_band_starves_and_with_one_it_gets_exactly_that() {
    for (floor, share) in [(0, 0), (50, 50), (100, 100)] {
        let settings = Settings { floors: vec![0, floor], ..Settings::default() };
        let mut scheduler = Scheduler::<()>::new(&settings);
        for _ in 0..2_000 {
            for band in 0..2 {
                let _ = scheduler.push(band, &["flow"], Ask::of(3_000), ()).unwrap();
            }
        }
        let lower = (0..1_001).filter(|_| scheduler.pop().unwrap().band == 1).count();
        assert_eq!(lower, share, "thousandths of the 1,000 tasks before the last");
    }
}
