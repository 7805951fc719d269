//! Ways to choose a starting tier on a planted world: what they cost, what is accepted, and how far they are from
//! somebody who knows everything; then what a decision takes.
//!
//! ```sh
//! cargo bench -p bellwether-benches --bench routing_sim
//! ```
//!
//! Nothing is asked of any model: tiers have a planted price, and a planted chance for each kind and hardness of task.
//! After half of the tasks the cheapest tier becomes bad at code and the middle one better at mathematics. Every way
//! sees the same tasks with the same luck. The goals are asserted, so that a change which misses them fails.

#![allow(clippy::print_stdout, reason = "a table is what this is for")]

use std::sync::Arc;
use std::time::Duration;

use bellwether_router::ladder::{Expected, Rung, Weights};
use bellwether_router::{
    Adaptive, Ending, Features, Group, Lesson, Means, Mode, Offer, Price, Route, Router, Settings, TaskProfile, Usd,
};
use fastrand::Rng;
use tokio::time::Instant;

const TIERS: usize = 3;
const NAMES: [&str; TIERS] = ["small", "medium", "large"];
/// Dollars per million tokens, in and out.
const PRICES: [(f64, f64); TIERS] = [(1.0, 5.0), (3.0, 15.0), (5.0, 25.0)];
const SECONDS: [f64; TIERS] = [3.0, 6.0, 12.0];
const KINDS: [Group; 3] = [Group::Code, Group::Maths, Group::Text];
/// How good each tier is at each kind: the log-odds of its work's being accepted at medium hardness.
const SKILL: [[f64; 3]; TIERS] = [[1.0, -2.0, 2.0], [2.2, 0.0, 3.0], [3.4, 2.6, 3.6]];
/// The same after the shift.
const SHIFTED: [[f64; 3]; TIERS] = [[-2.0, -2.0, 2.0], [2.2, 2.2, 3.0], [3.4, 2.6, 3.6]];
/// What a step of hardness, from 1 to 5, takes off the log-odds.
const SLOPE: f64 = 0.9;
const ESCALATIONS: usize = 1;
const INPUT: f64 = 1_500.0;
const REVIEW: f64 = 0.001;

const TASKS: usize = 2_000;
const SHIFT: usize = TASKS / 2;

fn main() {
    let test = std::env::args().any(|argument| argument == "--test");
    let worlds: Vec<Vec<Task>> = (1..=if test { 8 } else { 40 }).map(world).collect();
    let settings = Settings { quality_floor: 0.0, ..Settings::default() };
    let ways = [
        ("always the cheapest", Way::Always(0)),
        ("always the strongest", Way::Always(TIERS - 1)),
        ("by complexity", Way::Routed(Mode::Complexity)),
        ("cascade", Way::Routed(Mode::Cascade)),
        ("ucb", Way::Routed(Mode::Ucb)),
        ("thompson", Way::Routed(Mode::Thompson)),
        ("clairvoyant", Way::Clairvoyant),
        ("oracle", Way::Oracle),
    ];
    let stories: Vec<(&str, Vec<Vec<Step>>)> = ways
        .iter()
        .map(|(name, way)| {
            let live = |(n, tasks): (usize, &Vec<Task>)| live(tasks, *way, settings, n as u64);
            (*name, worlds.iter().enumerate().map(live).collect())
        })
        .collect();
    let (_, oracle) = stories.last().expect("there are ways");
    println!(
        "| way | cost, 500 | accepted | of the oracle's reward | cost, 2,000 | accepted | of the oracle's reward |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (name, steps) in &stories {
        let (a, b) = (Figures::of(steps, 0..500), Figures::of(steps, 0..TASKS));
        println!(
            "| {name} | ${:.2} | {:.1} % | {:.1} % | ${:.2} | {:.1} % | {:.1} % |",
            a.cost,
            a.accepted * 100.0,
            a.against(oracle, 0..500),
            b.cost,
            b.accepted * 100.0,
            b.against(oracle, 0..TASKS)
        );
    }
    println!(
        "\n| of the oracle's reward, in tasks | 1-100 | 101-500 | 501-1000 | 1001-1100 | 1101-1200 | 1201-1400 | 1401-2000 |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let windows = [0..100, 100..500, 500..1_000, 1_000..1_100, 1_100..1_200, 1_200..1_400, 1_400..2_000];
    for (name, steps) in &stories {
        let shares =
            windows.clone().map(|window| format!("{:.1}", Figures::of(steps, window.clone()).against(oracle, window)));
        println!("| {name} | {} |", shares.join(" | "));
    }
    let thompson = &stories[5].1;
    for (what, window) in [("after 500 tasks", 0..500), ("200 tasks after the shift", 1_200..1_400)] {
        let share = Figures::of(thompson, window.clone()).against(oracle, window);
        assert!(share >= 95.0, "Thompson sampling has {share:.1} % of the oracle's reward {what}; 95 % are wanted");
    }
    decision(&worlds[0], settings, if test { 10 } else { 200 });
}

/// A task with its luck: the same whoever routes it.
struct Task {
    kind: usize,
    hardness: f64,
    /// What the planner says: right half of the time, and one off otherwise.
    complexity: u8,
    luck: [f64; TIERS],
    tokens: f64,
    shifted: bool,
}

fn world(seed: u64) -> Vec<Task> {
    let mut random = Rng::with_seed(seed);
    let task = |n: usize| {
        let hardness = random.u8(1..=5);
        let off = [0, 0, -1, 1][random.usize(..4)];
        Task {
            kind: random.usize(..KINDS.len()),
            hardness: f64::from(hardness),
            complexity: u8::try_from((i32::from(hardness) + off).clamp(1, 5)).expect("it is small"),
            luck: std::array::from_fn(|_| random.f64()),
            tokens: 400.0 * f64::from(hardness) * (0.5 + random.f64()),
            shifted: n >= SHIFT,
        }
    };
    (0..TASKS).map(task).collect()
}

impl Task {
    fn chance(&self, tier: usize) -> f64 {
        self.chance_at(tier, self.hardness)
    }

    fn chance_at(&self, tier: usize, hardness: f64) -> f64 {
        let skill = if self.shifted { SHIFTED } else { SKILL }[tier][self.kind];
        1.0 / (1.0 + (SLOPE * (hardness - 3.0) - skill).exp())
    }

    /// How likely each hardness is, given what the planner says.
    fn hardnesses(&self) -> impl Iterator<Item = (f64, f64)> {
        let said = i32::from(self.complexity);
        let weight = move |hardness: i32| -> f64 {
            let offs = [(0, 0.5), (-1, 0.25), (1, 0.25)];
            offs.iter().filter(|(off, _)| (hardness + off).clamp(1, 5) == said).map(|(_, weight)| weight).sum()
        };
        let all: f64 = (1..=5).map(weight).sum();
        (1..=5).map(move |hardness| (f64::from(hardness), weight(hardness) / all))
    }

    fn cost(&self, tier: usize) -> f64 {
        (INPUT * PRICES[tier].0 + self.tokens * PRICES[tier].1) / 1e6
    }

    /// What the router weighs with: the dearest tier's price of a typical task of this complexity, and the slowest wait.
    fn weights(&self, settings: &Settings) -> Weights {
        let dearest = (INPUT * PRICES[TIERS - 1].0 + self.typical_tokens() * PRICES[TIERS - 1].1) / 1e6;
        Weights {
            quality: settings.quality_weight,
            cost: settings.cost_weight / dearest,
            seconds: settings.latency_weight / SECONDS[TIERS - 1],
        }
    }

    fn typical_tokens(&self) -> f64 {
        400.0 * f64::from(self.complexity)
    }

    /// What is to be expected of each tier by somebody who knows the world, and of the task what everybody sees.
    fn seen_rungs(&self) -> [Rung; TIERS] {
        std::array::from_fn(|tier| {
            let over = |of: &dyn Fn(f64) -> f64| -> f64 { self.hardnesses().map(|(at, weight)| weight * of(at)).sum() };
            let tokens = over(&|hardness| 400.0 * hardness);
            Rung {
                accepted: over(&|hardness| self.chance_at(tier, hardness)),
                cost: (INPUT * PRICES[tier].0 + tokens * PRICES[tier].1) / 1e6 + REVIEW,
                seconds: SECONDS[tier],
            }
        })
    }

    /// The same by somebody who knows even how hard the task will be.
    fn rungs(&self) -> [Rung; TIERS] {
        std::array::from_fn(|tier| Rung {
            accepted: self.chance(tier),
            cost: self.cost(tier) + REVIEW,
            seconds: SECONDS[tier],
        })
    }

    fn profile(&self, n: usize) -> TaskProfile {
        let dollars = |amount| Usd::from_dollars(amount).expect("not negative");
        let offer = |tier: usize| Offer {
            name: NAMES[tier].into(),
            model: NAMES[tier].into(),
            price: Some(Price {
                input_per_mtok: dollars(PRICES[tier].0),
                cached_per_mtok: dollars(PRICES[tier].0),
                output_per_mtok: dollars(PRICES[tier].1),
            }),
        };
        let group = KINDS[self.kind];
        TaskProfile {
            run: "world".into(),
            task: format!("t{n}").into(),
            role: "worker".into(),
            tiers: (0..TIERS).map(offer).collect(),
            features: Features {
                complexity: self.complexity,
                tokens: self.typical_tokens() as u64,
                code: group == Group::Code,
                maths: group == Group::Maths,
                group,
                ..Features::default()
            },
            escalations: ESCALATIONS as u32,
            means: Means::default(),
        }
    }
}

#[derive(Clone, Copy)]
enum Way {
    Always(usize),
    Clairvoyant,
    Oracle,
    Routed(Mode),
}

/// What became of a task.
struct Step {
    accepted: bool,
    cost: f64,
    reward: f64,
}

fn live(tasks: &[Task], way: Way, settings: Settings, seed: u64) -> Vec<Step> {
    let mode = if let Way::Routed(mode) = way { mode } else { Mode::Fixed };
    let settings = Settings { mode, ..settings };
    let router = Adaptive::new(settings, seed);
    let step = |(n, task): (usize, &Task)| {
        let weights = task.weights(&settings);
        match way {
            Way::Always(tier) => perform(task, tier, &weights, |_, _| {}),
            Way::Clairvoyant | Way::Oracle => {
                let rungs = if matches!(way, Way::Oracle) { task.seen_rungs() } else { task.rungs() };
                let best = weights.best(&rungs, ESCALATIONS, |_| true).expect("there are tiers");
                perform(task, best, &weights, |_, _| {})
            }
            Way::Routed(_) => {
                let profile = task.profile(n);
                let route = router.route(&profile);
                perform(task, route.tier, &weights, |tier, accepted| {
                    router.learn(&lesson(&profile, &route, tier, accepted, task.cost(tier)));
                })
            }
        }
    };
    tasks.iter().enumerate().map(step).collect()
}

fn perform(task: &Task, start: usize, weights: &Weights, mut learn: impl FnMut(usize, bool)) -> Step {
    let (mut cost, mut seconds, mut accepted) = (0.0, 0.0, false);
    for tier in (start..TIERS).take(ESCALATIONS + 1) {
        cost += task.cost(tier) + REVIEW;
        seconds += SECONDS[tier];
        accepted = task.luck[tier] < task.chance(tier);
        learn(tier, accepted);
        if accepted {
            break;
        }
    }
    let got = Expected { accepted: f64::from(u8::from(accepted)), cost, seconds };
    Step { accepted, cost, reward: weights.value(got) }
}

fn lesson(profile: &TaskProfile, route: &Route, tier: usize, accepted: bool, cost: f64) -> Lesson {
    Lesson {
        run: profile.run.clone(),
        task: profile.task.clone(),
        stint: u32::try_from(tier - route.tier).expect("it is small"),
        role: Arc::clone(&profile.role),
        route: route.clone(),
        tier,
        model: Arc::clone(&profile.tiers[tier].model),
        ending: if accepted { Ending::Accepted } else { Ending::Missed },
        judge: Some("judge".into()),
        cost: Usd::from_dollars(cost),
        review_cost: Usd::from_dollars(REVIEW),
        took: Duration::from_secs_f64(SECONDS[tier]),
    }
}

/// Means over worlds.
struct Figures {
    cost: f64,
    accepted: f64,
    reward: f64,
}

impl Figures {
    fn of(worlds: &[Vec<Step>], window: std::ops::Range<usize>) -> Self {
        let steps = || worlds.iter().flat_map(|steps| &steps[window.clone()]);
        let (worlds, tasks) = (worlds.len() as f64, (worlds.len() * window.len()) as f64);
        Self {
            cost: steps().map(|step| step.cost).sum::<f64>() / worlds,
            accepted: steps().filter(|step| step.accepted).count() as f64 / tasks,
            reward: steps().map(|step| step.reward).sum::<f64>() / tasks,
        }
    }

    /// The share of the oracle's reward, in per cent.
    fn against(&self, oracle: &[Vec<Step>], window: std::ops::Range<usize>) -> f64 {
        100.0 * self.reward / Self::of(oracle, window).reward
    }
}

/// What a decision and a lesson take, once a thousand tasks were seen.
fn decision(tasks: &[Task], settings: Settings, rounds: u32) {
    println!("\n| way | a decision | a lesson |\n|---|---|---|");
    for mode in [Mode::Cascade, Mode::Ucb, Mode::Thompson] {
        let router = Adaptive::new(Settings { mode, ..settings }, 1);
        let profiles: Vec<TaskProfile> = tasks.iter().enumerate().map(|(n, task)| task.profile(n)).collect();
        for (task, profile) in tasks.iter().zip(&profiles).take(SHIFT) {
            let route = router.route(profile);
            perform(task, route.tier, &task.weights(&settings), |tier, accepted| {
                router.learn(&lesson(profile, &route, tier, accepted, task.cost(tier)));
            });
        }
        let batch = &profiles[SHIFT..];
        let lessons: Vec<Lesson> = (0..rounds)
            .flat_map(|round| {
                let router = &router;
                batch.iter().take(100).map(move |profile| {
                    let lesson = {
                        let route = router.route(profile);
                        lesson(profile, &route, route.tier, true, 0.001)
                    };
                    Lesson { run: format!("round-{round}").into(), ..lesson }
                })
            })
            .collect();
        let decide = tenth_percentile(rounds, batch.len(), || {
            for profile in batch {
                std::hint::black_box(router.route(profile));
            }
        });
        let mut chunks = lessons.chunks(100);
        let learn = tenth_percentile(rounds, 100, || {
            chunks.next().into_iter().flatten().for_each(|lesson| router.learn(lesson));
        });
        println!("| {mode} | {decide:.0} ns | {learn:.0} ns |");
    }
}

/// The tenth percentile of many short rounds, because the machine is shared.
fn tenth_percentile(rounds: u32, each: usize, mut round: impl FnMut()) -> f64 {
    let mut took: Vec<Duration> = (0..rounds)
        .map(|_| {
            let from = Instant::now();
            round();
            from.elapsed()
        })
        .collect();
    took.sort_unstable();
    took[took.len() / 10].as_nanos() as f64 / each as f64
}
