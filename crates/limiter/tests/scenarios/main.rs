//! The limiter against a simulated provider in virtual time.

mod rivals;
mod world;

use bellwether_limiter::{Concurrency, Limit, Limits, Settings};
use rivals::{Backoff, NetflixAimd, Ours, PacedCubic};
use world::{Client, Costs, Kind, Report, RetryAfter, World};

fn hidden() -> Settings {
    let limits = Limits { requests: Limit::Hidden, concurrency: Concurrency::Unlimited, ..Limits::NONE };
    Settings { limits, ..Settings::default() }
}

#[test]
#[ignore]
fn explore() {
    let steps = vec![(0.0, 10.0), (90.0, 4.0), (150.0, 20.0)];
    let worlds = [
        ("10-4-20 b1", World { schedule: steps.clone(), seconds: 300, ..World::default() }),
        ("10-4-20 b10", World { schedule: steps.clone(), seconds: 300, kind: Kind::Bucket(10.0), ..World::default() }),
        ("charged", World { schedule: steps.clone(), seconds: 300, charges_refusals: true, ..World::default() }),
        (
            "whole-s",
            World { schedule: steps.clone(), seconds: 300, retry_after: RetryAfter::WholeSeconds, ..World::default() },
        ),
        ("win60", World { schedule: steps.clone(), seconds: 300, kind: Kind::Window(60.0), ..World::default() }),
        (
            "win60 ra",
            World {
                schedule: steps.clone(),
                seconds: 300,
                kind: Kind::Window(60.0),
                retry_after: RetryAfter::Exact,
                ..World::default()
            },
        ),
        ("const", World { seconds: 300, ..World::default() }),
        ("headers", World { schedule: steps.clone(), seconds: 300, headers: true, ..World::default() }),
    ];
    let only = std::env::var("ONLY").unwrap_or_default();
    for (name, world) in worlds {
        if !name.starts_with(&only) {
            continue;
        }
        for seed in 1..=std::env::var("SEEDS").map_or(3u64, |s| s.parse().unwrap()) {
            let mut world = world.clone();
            world.seed = seed;
            for stage in world.schedule.iter_mut().skip(1) {
                stage.0 += (seed as f64 - 1.0) * 3.3;
            }
            let mut ours = Ours::new(Settings { seed, ..hidden() });
            let r = world.run(&mut [&mut ours]);
            println!(
                "{name:12} {seed} good {:.3} refused {:.2}% n {} conv {:?}",
                r.goodput,
                100.0 * r.refused,
                r.refusals,
                r.converged
            );
            if seed == 1 {
                println!("     {:?}", r.refused_at.iter().map(|t| (t * 10.0).round() / 10.0).collect::<Vec<_>>());
            }
        }
        let mut b = Backoff::new(300, 1);
        let r = world.run(&mut [&mut b]);
        println!("   backoff   good {:.3} refused {:.2}%  conv {:?}", r.goodput, 100.0 * r.refused, r.converged);
        let mut b = NetflixAimd::new();
        let r = world.run(&mut [&mut b]);
        println!("   netflix   good {:.3} refused {:.2}%  conv {:?}", r.goodput, 100.0 * r.refused, r.converged);
        let mut b = PacedCubic::new(1.0);
        let r = world.run(&mut [&mut b]);
        println!("   cubic     good {:.3} refused {:.2}%  conv {:?}", r.goodput, 100.0 * r.refused, r.converged);
    }
    let tpm = World {
        costs: Costs::Lognormal(1000.0),
        schedule: vec![(0.0, 10_000.0), (60.0, 4_000.0), (120.0, 20_000.0)],
        kind: Kind::Bucket(5.0),
        seconds: 300,
        ..World::default()
    };
    let mut ours = Ours::new(Settings {
        limits: Limits { tokens: Limit::Hidden, concurrency: Concurrency::Unlimited, ..Limits::NONE },
        ..Settings::default()
    });
    let r = tpm.run(&mut [&mut ours]);
    println!("tpm  good {:.3} refused {:.2}% n {} conv {:?}", r.goodput, 100.0 * r.refused, r.refusals, r.converged);
    let mut ours = Ours::new(Settings {
        limits: Limits { concurrency: Concurrency::Unlimited, ..Limits::default() },
        ..Settings::default()
    });
    let r = tpm.run(&mut [&mut ours]);
    println!(
        "tpm both hidden good {:.3} refused {:.2}% n {} conv {:?}",
        r.goodput,
        100.0 * r.refused,
        r.refusals,
        r.converged
    );
    let rpm = World { schedule: steps.clone(), costs: Costs::One, seconds: 300, ..World::default() };
    let mut ours = Ours::new(Settings {
        limits: Limits { concurrency: Concurrency::Unlimited, ..Limits::default() },
        ..Settings::default()
    });
    let r = rpm.run(&mut [&mut ours]);
    println!(
        "rpm both hidden good {:.3} refused {:.2}% n {} conv {:?}",
        r.goodput,
        100.0 * r.refused,
        r.refusals,
        r.converged
    );
    for seed in 1..=3 {
        let four = World { schedule: vec![(0.0, 40.0)], seconds: 300, seed, ..World::default() };
        let mut c: Vec<Ours> = (0..4).map(|i| Ours::new(Settings { seed: seed * 10 + i, ..hidden() })).collect();
        let mut d: Vec<&mut dyn Client> = c.iter_mut().map(|c| c as &mut dyn Client).collect();
        let r: Report = four.run(&mut d);
        println!("four good {:.3} refused {:.2}% shares {:?}", r.goodput, 100.0 * r.refused, r.shares);
    }
}
