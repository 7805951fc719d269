//! Ten million random steps, and after each of them no flow further ahead of another than the spread bound allows.
//!
//! ```sh
//! cargo bench -p bellwether-benches --bench queue_spread
//! ```
//!
//! The bound is P1 of `docs/QUEUE.md`, with each flow's own largest charge, largest forecast error and most tasks in
//! flight so far; the sums are exact integers.

#![allow(clippy::print_stdout, reason = "a verdict is what this is for")]

use std::collections::VecDeque;

use bellwether_queue::{Ask, FlowId, FlowStatus, Scheduler, Settings, TaskId};

const FLOWS: usize = 10;
const WEIGHTS: [u32; FLOWS] = [1, 1, 1, 2, 2, 3, 4, 7, 1, 1];

#[derive(Default)]
struct Account {
    largest: i128,
    error: i128,
    together: i128,
    in_flight: VecDeque<(TaskId, u64)>,
}

struct World {
    scheduler: Scheduler<usize>,
    flows: Vec<FlowId>,
    accounts: [Account; FLOWS],
    random: fastrand::Rng,
    granted: u64,
    widest: i128,
    tightest: f64,
}

fn main() {
    let test = std::env::args().any(|argument| argument == "--test");
    let steps = if test { 100_000 } else { 10_000_000 };
    for seed in 1..=if test { 1 } else { 2 } {
        let mut world = World::new(seed);
        for _ in 0..steps {
            world.step();
            world.assert_spread();
        }
        println!(
            "seed {seed}: {steps} steps, {} tasks granted, 0 violations; widest spread {} tokens for weight 1, at most {:.3} of its bound",
            world.granted,
            world.widest >> 20,
            world.tightest,
        );
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut scheduler = Scheduler::new(&Settings::default());
        let flows = (0..FLOWS).map(|flow| {
            let name = flow.to_string();
            scheduler.set_weight(&[&name], WEIGHTS[flow].try_into().expect("weights are positive"));
            scheduler.open(0, &[&name]).expect("there is room")
        });
        let flows = flows.collect();
        let (accounts, random) = (<[Account; FLOWS]>::default(), fastrand::Rng::with_seed(seed));
        Self { scheduler, flows, accounts, random, granted: 0, widest: 0, tightest: 0.0 }
    }

    fn step(&mut self) {
        let flow = self.random.usize(..FLOWS);
        match self.random.u8(..10) {
            // Some flows ask for more than their share, others come and go.
            0..4 if self.scheduler.len() < 5_000 && (flow < 7 || self.random.u8(..8) == 0) => {
                let cost = self.cost();
                let _ = self.scheduler.push_open(self.flows[flow], Ask::of(cost), flow).expect("there is room");
            }
            4..7 if self.scheduler.in_flight() < 64 => {
                let Some(granted) = self.scheduler.grant() else { return };
                self.granted += 1;
                let account = &mut self.accounts[granted.task];
                account.in_flight.push_back((granted.id, u64::from(granted.cost)));
                account.largest = account.largest.max(i128::from(granted.cost));
                account.together = account.together.max(account.in_flight.len() as i128);
            }
            7..9 => {
                let account = &mut self.accounts[flow];
                let newest = self.random.bool();
                let task = if newest { account.in_flight.pop_back() } else { account.in_flight.pop_front() };
                let Some((id, charged)) = task else { return };
                // Mostly less than was charged, sometimes more.
                let actual = if self.random.u8(..10) == 0 { charged * 2 } else { self.random.u64(..=charged) };
                account.error = account.error.max((i128::from(actual) - i128::from(charged)).abs());
                self.scheduler.settle(id, actual);
            }
            _ if self.random.u16(..1_000) == 0 => {
                let cap = [0, 1, 4, u32::MAX][self.random.usize(..4)];
                self.scheduler.set_cap(&[&flow.to_string()], cap);
            }
            _ => {}
        }
    }

    /// Costs like those of calls: many small ones, some of 8,000 tokens.
    fn cost(&mut self) -> u64 {
        1 << self.random.u32(..13) | self.random.u64(..200)
    }

    fn assert_spread(&mut self) {
        let status = |flow: usize| self.scheduler.status_of(self.flows[flow]).expect("the flow is open");
        let all: [FlowStatus; FLOWS] = std::array::from_fn(status);
        for (f, own) in self.accounts.iter().enumerate().filter(|(f, _)| all[*f].ready) {
            let unit = i128::from(all[f].unit);
            let of_f = (own.largest + own.together * own.error) * unit;
            for (g, other) in self.accounts.iter().enumerate().filter(|(g, _)| *g != f && all[*g].ready) {
                let ahead = i128::from(all[f].start.wrapping_sub(all[g].start).cast_signed());
                let bound = of_f + other.together * other.error * i128::from(all[g].unit);
                assert!(ahead <= bound, "flow {f} is {ahead} ahead of flow {g}; the bound is {bound}");
                self.widest = self.widest.max(ahead);
                if bound > 0 {
                    self.tightest = self.tightest.max(ahead as f64 / bound as f64);
                }
            }
        }
    }
}
