//! The top band's wait under tenfold overload, with and without floors for the bands below it.

use bellwether_queue::{Ask, Overflow, Scheduler, Settings};

/// Tokens in a second: a million in a minute.
const RATE: f64 = 1_000_000.0 / 60.0;
/// What the bands ask for, of all there is: ten times as much in all.
const LOADS: [f64; 3] = [0.2, 5.0, 4.8];
const MEAN: f64 = 3_000.0;
const LARGEST: f64 = 20_000.0;

pub(crate) fn run(test: bool) {
    let hours = if test { 0.2 } else { 20.0 };
    println!("\ntop band at 20 % of 1M TPM, ten times as much asked for in all; {hours} h of virtual time");
    println!(
        "| floors | top p50 s | top p99 s | top max s | share of the middle | share of the lowest | longest gap of the lowest s |"
    );
    for floors in [vec![0, 0, 0], vec![0, 100, 50], vec![0, 50, 100]] {
        let outcome = hold(&floors, hours * 3_600.0);
        let Outcome { waits, shares, gap } = outcome;
        let at = |part: f64| waits[((waits.len() - 1) as f64 * part) as usize];
        println!(
            "| {floors:?} | {:.2} | {:.2} | {:.2} | {:.4} | {:.4} | {gap:.1} |",
            at(0.5),
            at(0.99),
            at(1.0),
            shares[1],
            shares[2]
        );
        for band in 1..3 {
            let floor = f64::from(floors[band]) / 1_000.0;
            assert!(shares[band] >= floor - 2.0 * LARGEST / (hours * 3_600.0 * RATE), "band {band} gets its floor");
        }
        // A short run has too few tasks for a 99th percentile.
        assert!(test || at(0.99) <= 1.25, "the top band waits {} s at p99", at(0.99));
    }
}

struct Outcome {
    /// How long tasks of the top band waited, the shortest first.
    waits: Vec<f64>,
    /// What part of all work each band got.
    shares: [f64; 3],
    /// The longest time in which the lowest band got nothing.
    gap: f64,
}

/// A quota that gives `RATE` tokens in a second, one task after the other.
fn hold(floors: &[u32], seconds: f64) -> Outcome {
    let settings =
        Settings { floors: floors.to_vec(), capacity: 2_000, overflow: Overflow::Shed, ..Settings::default() };
    let mut scheduler = Scheduler::<f64>::new(&settings);
    let mut random = fastrand::Rng::with_seed(5);
    let mut due = [0.0; 3];
    let (mut now, mut waits, mut work, mut last, mut gap) = (0.0, Vec::new(), [0.0; 3], 0.0, 0.0_f64);
    while now < seconds {
        for band in 0..3 {
            while due[band] <= now {
                let cost = (-(1.0 - random.f64()).ln() * MEAN).clamp(1.0, LARGEST) as u64;
                let flow = ["a", "b", "c"][random.usize(..3)];
                // The lower bands ask for more than there is: what does not fit is refused or makes others give way.
                let pushed = scheduler.push(band, &[flow, "run", "role"], Ask::of(cost), due[band]);
                assert!(band > 0 || pushed.is_ok(), "the top band is never refused");
                due[band] -= (1.0 - random.f64()).ln() * MEAN / (LOADS[band] * RATE);
            }
        }
        let Some(granted) = scheduler.pop() else {
            now = due[0].min(due[1]).min(due[2]);
            continue;
        };
        if granted.band == 0 {
            waits.push(now - granted.task);
        }
        if granted.band == 2 {
            gap = gap.max(now - last);
            last = now;
        }
        work[granted.band] += f64::from(granted.cost);
        now += f64::from(granted.cost) / RATE;
    }
    waits.sort_by(f64::total_cmp);
    let all: f64 = work.iter().sum();
    Outcome { waits, shares: work.map(|one| one / all), gap: gap.max(now - last) }
}
