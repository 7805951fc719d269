//! What a plan is likely to take, before it is begun.
//!
//! The plan is lived through many times with made-up answers: so many tokens as its planner expects, more or less (a
//! lognormal spread), a reviewer who now and then sends work back, and as many agents at once as the team allows. What
//! half and nine tenths of these lives stay below is the estimate.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::{TaskId, Usage, Usd};

use crate::plan::{Plan, PlannedTask, SpawnRules};
use crate::role::{Role, RoleKind, Tier};
use crate::state::order::expected_tokens;
use crate::team::Team;

/// How many lives are made up; the seed is fixed, so that the same plan has the same estimate.
const LIVES: usize = 400;
const SEED: u64 = 0x00be_11de;
/// The spread of answers' lengths and of speeds.
const SIGMA: f64 = 0.5;
/// The share of work that a reviewer sends back in each round.
const REVISED: f64 = 0.3;
/// How fast models write, and how long they think before; rules of thumb of hosted models.
const TOKENS_PER_SECOND: f64 = 60.0;
const FIRST_TOKEN: f64 = 1.0;
/// What is said to a model beside the request and the work of others, and what a reviewer answers.
const FRAME_TOKENS: f64 = 500.0;
const VERDICT_TOKENS: f64 = 250.0;
const CHARS_PER_TOKEN: f64 = 4.0;

/// What a plan is likely to take. The planning itself is not in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// Calls.
    pub calls: Spread<u64>,
    /// Input and output tokens.
    pub tokens: Spread<u64>,
    /// Money; `None` if the price of a model is not known.
    pub cost: Option<Spread<Usd>>,
    /// From the plan to the end.
    pub time: Spread<Duration>,
    /// What it may come to if tasks ask for all the further ones they may; `None` if none may.
    pub spawning: Option<Spawning>,
}

/// What nine tenths of the cases stay below in which tasks ask for as many further ones as the team allows, each of them
/// like the longest that may ask.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spawning {
    /// How many further tasks.
    pub tasks: usize,
    /// Calls.
    pub calls: u64,
    /// Input and output tokens.
    pub tokens: u64,
    /// Money; `None` if the price of a model is not known.
    pub cost: Option<Usd>,
    /// From the plan to the end.
    pub time: Duration,
}

/// What half of the cases stay below, and what nine tenths do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread<T> {
    /// The median.
    pub p50: T,
    /// The ninetieth percentile.
    pub p90: T,
}

impl Team {
    /// What a plan for `request` is likely to take, if every role uses its first tier and no task asks for
    /// further ones.
    #[must_use]
    pub fn estimate(&self, plan: &Plan, request: &str) -> Estimate {
        let spawning = self.spawned(plan).map(|(tasks, plan)| {
            let Estimate { calls, tokens, cost, time, .. } = self.estimate_as_it_is(&plan, request);
            Spawning { tasks, calls: calls.p90, tokens: tokens.p90, cost: cost.map(|cost| cost.p90), time: time.p90 }
        });
        Estimate { spawning, ..self.estimate_as_it_is(plan, request) }
    }

    /// How many further tasks a plan's may ask for, and the plan with all of them.
    fn spawned(&self, plan: &Plan) -> Option<(usize, Plan)> {
        let SpawnRules { max_tasks, max_depth, .. } = self.settings.spawn;
        let may = |task: &&PlannedTask| self.named(&task.role).is_some_and(|role| role.may_spawn);
        let parent = plan.tasks.iter().filter(may).max_by_key(|task| expected_tokens(task))?.clone();
        if max_tasks == 0 || max_depth == 0 {
            return None;
        }
        // The one that is too many stands for the answer that asks for the others.
        let further =
            (0..=max_tasks).map(|n| PlannedTask { id: format!("{}.{n}", parent.id).into(), ..parent.clone() });
        let further: Vec<PlannedTask> = further.collect();
        let mut plan = plan.clone();
        for task in plan.tasks.iter_mut().filter(|task| task.id == parent.id) {
            task.depends_on.extend(further.iter().map(|task| task.id.clone()));
        }
        plan.tasks.extend(further);
        Some((max_tasks, plan))
    }

    fn estimate_as_it_is(&self, plan: &Plan, request: &str) -> Estimate {
        let mut dice = fastrand::Rng::with_seed(SEED);
        let mut lives: Vec<Life> =
            (0..LIVES).map(|_| Life::live(self, plan, chars(request) / CHARS_PER_TOKEN, &mut dice)).collect();
        let priced = lives.iter().all(|life| life.priced);
        Estimate {
            calls: spread(&mut lives, |life| life.calls),
            tokens: spread(&mut lives, |life| life.tokens),
            cost: priced.then(|| spread(&mut lives, |life| Usd::from_nanos(life.nanos))),
            time: spread(&mut lives, |life| life.time),
            spawning: None,
        }
    }
}

/// One made-up life of a plan.
#[derive(Debug)]
struct Life {
    calls: u64,
    tokens: u64,
    nanos: u64,
    time: Duration,
    priced: bool,
}

impl Life {
    fn live(team: &Team, plan: &Plan, request: f64, dice: &mut fastrand::Rng) -> Self {
        let mut life = Self { calls: 0, tokens: 0, nanos: 0, time: Duration::ZERO, priced: true };
        let reviewer = team.role(RoleKind::Reviewer);
        let mut written: HashMap<&TaskId, f64> = HashMap::new();
        let mut ended: HashMap<&TaskId, f64> = HashMap::new();
        // When each agent is free again: a task takes the one that is free first.
        let mut agents = vec![0.0_f64; team.settings.max_parallel.get().min(plan.tasks.len().max(1))];
        for task in in_order(plan) {
            let needs = || task.depends_on.iter().chain(&task.wants);
            let given: f64 = needs().filter_map(|id| written.get(id)).sum();
            let ready = needs().filter_map(|id| ended.get(id)).fold(0.0_f64, |latest, end| latest.max(*end));
            let output = tokens(expected_tokens(task)) * lognormal(dice);
            let input = FRAME_TOKENS + request + chars(&task.objective) / CHARS_PER_TOKEN + given;
            let rounds =
                (0..team.settings.review.max_rounds).take_while(|_| reviewer.is_some() && dice.f64() < REVISED).count();
            let worker = team.named(&task.role);
            let mut took = 0.0;
            for round in 0..=rounds {
                // A revision is told what was written before and what is wrong with it.
                let before = if round == 0 { 0.0 } else { output + VERDICT_TOKENS };
                took += life.call(worker, input + before, output, dice);
                if reviewer.is_some() {
                    took += life.call(reviewer, FRAME_TOKENS + request + output, VERDICT_TOKENS, dice);
                }
            }
            let free = agents.iter_mut().min_by(|a, b| a.total_cmp(b));
            if let Some(free) = free {
                *free = free.max(ready) + took;
                ended.insert(&task.id, *free);
            }
            written.insert(&task.id, output);
        }
        let mut end = agents.into_iter().fold(0.0_f64, f64::max);
        let synthesizer = team.role(RoleKind::Synthesizer);
        if synthesizer.is_some() && plan.tasks.len() > 1 {
            let all: f64 = written.values().sum();
            end += life.call(synthesizer, FRAME_TOKENS + request + all, all / 2.0, dice);
        }
        life.time = Duration::from_secs_f64(end);
        life
    }

    /// One call, and the seconds it takes.
    fn call(&mut self, role: Option<&Arc<Role>>, input: f64, output: f64, dice: &mut fastrand::Rng) -> f64 {
        let (input, output) = (whole(input), whole(output));
        let usage = Usage { input_tokens: Some(input), output_tokens: Some(output), ..Usage::default() };
        let price = role.and_then(|role| role.tiers.first()).and_then(|Tier { price, .. }| *price);
        match price.and_then(|price| price.of(&usage)) {
            Some(cost) => self.nanos = self.nanos.saturating_add(cost.as_nanos()),
            None => self.priced = false,
        }
        self.calls += 1;
        self.tokens = self.tokens.saturating_add(input).saturating_add(output);
        (FIRST_TOKEN + tokens(output) / TOKENS_PER_SECOND) * lognormal(dice)
    }
}

/// The tasks, each after those it waits for.
fn in_order(plan: &Plan) -> Vec<&PlannedTask> {
    let mut placed: Vec<&PlannedTask> = Vec::with_capacity(plan.tasks.len());
    let mut waiting: Vec<&PlannedTask> = plan.tasks.iter().collect();
    while !waiting.is_empty() {
        let before = placed.len();
        let is_placed = |id: &TaskId| placed[..before].iter().any(|task| task.id == *id);
        let (ready, rest): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|task| task.depends_on.iter().chain(&task.wants).all(is_placed));
        if ready.is_empty() {
            break;
        }
        placed.extend(ready);
        waiting = rest;
    }
    placed
}

fn spread<T: Copy + Ord>(lives: &mut [Life], of: impl Fn(&Life) -> T) -> Spread<T> {
    lives.sort_by_key(&of);
    let at = |percent: usize| of(&lives[(lives.len() * percent).div_ceil(100) - 1]);
    Spread { p50: at(50), p90: at(90) }
}

/// A factor whose median is 1 (Box and Muller 1958).
fn lognormal(dice: &mut fastrand::Rng) -> f64 {
    let (a, b) = (1.0 - dice.f64(), dice.f64());
    (SIGMA * (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()).exp()
}

#[expect(clippy::cast_precision_loss, reason = "an estimate of fewer than 2^52 characters")]
fn chars(text: &str) -> f64 {
    text.chars().count() as f64
}

#[expect(clippy::cast_precision_loss, reason = "an estimate of fewer than 2^52 tokens")]
fn tokens(tokens: u64) -> f64 {
    tokens as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate of a positive number")]
fn whole(tokens: f64) -> u64 {
    tokens.round() as u64
}
