//! The decision: which tier a task starts on, and why.

use std::sync::Arc;

use bellwether_core::{Usage, Usd};
use fastrand::Rng;

use crate::difficulty::BUCKETS;
use crate::ladder::{Rung, Weights, expected};
use crate::sample;
use crate::seam::{Means, Offer, Route, TaskProfile, Weighed};
use crate::settings::{Mode, Settings};
use crate::stats::{Belief, Stats};

/// Tokens of a conversation that are guessed to come in with a task.
const INPUT_TOKENS: u64 = 1_500;
/// How often a choice by sample is made again to see how likely it was.
const REPEATS: u32 = 15;
/// How much one average task too many, in money spent, raises the price of money.
const PACE: f64 = 0.1;
/// Buckets of tasks that may be spent on learning.
const EASY: usize = 2;

/// Picks the tier a task starts on. Everything that chance decides comes out of `random`; the answer holds what was
/// sampled, so that a replay need not draw again.
#[must_use]
pub fn choose(stats: &Stats, settings: &Settings, profile: &TaskProfile, random: &mut Rng) -> Route {
    let bucket = stats.difficulty.bucket(&profile.features);
    let audit = random.f64() < settings.audit_share;
    let tiers = profile.tiers.len();
    let mut route = Route {
        tier: 0,
        name: profile.tiers.first().map_or_else(|| "".into(), |offer| Arc::clone(&offer.name)),
        why: String::new(),
        mode: settings.mode.to_string(),
        features: profile.features,
        bucket: u8::try_from(bucket).unwrap_or(u8::MAX),
        weighed: Vec::new(),
        lambda: 0.0,
        propensity: 1.0,
        explored: false,
        audit,
    };
    if tiers == 0 {
        "there is no tier to choose".clone_into(&mut route.why);
        return route;
    }
    let mut scale = Scale::of(stats, settings, profile, bucket);
    match settings.mode {
        Mode::Fixed => "every task starts on the first tier".clone_into(&mut route.why),
        Mode::Complexity => {
            route.tier = (bucket * tiers / BUCKETS).min(tiers - 1);
            route.why = format!("a task of hardness {bucket} of 0 to {}", BUCKETS - 1);
        }
        Mode::Cascade | Mode::Thompson | Mode::Ucb => scale.weigh(settings, bucket, random, &mut route),
    }
    route.name = Arc::clone(&profile.tiers[route.tier].name);
    route.lambda = scale.lambda;
    route.weighed = scale.shown(settings);
    route
}

/// A ladder with what is believed of its tiers.
struct Scale<'a> {
    profile: &'a TaskProfile,
    beliefs: Vec<Belief>,
    rungs: Vec<Rung>,
    guesses: Vec<f64>,
    ruled_out: Vec<Option<String>>,
    lambda: f64,
    weights: Weights,
    escalations: usize,
}

impl<'a> Scale<'a> {
    fn of(stats: &Stats, settings: &Settings, profile: &'a TaskProfile, bucket: usize) -> Self {
        let (role, tiers) = (&*profile.role, &profile.tiers);
        let group = profile.features.group;
        let guesses = guesses(tiers, profile.features.tokens);
        let belief = |(n, offer): (usize, &Offer)| stats.belief(role, &offer.model, bucket, group, n, tiers.len());
        let beliefs: Vec<Belief> = tiers.iter().enumerate().map(belief).collect();
        let review = stats.review_cost(role);
        let rungs: Vec<Rung> = beliefs
            .iter()
            .zip(&guesses)
            .zip(tiers)
            .map(|((belief, guess), offer)| Rung {
                accepted: belief.mean(),
                cost: guess * belief.log_cost.exp() + review,
                seconds: stats.seconds(role, &offer.model, 0.5).unwrap_or(0.0),
            })
            .collect();
        let most = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max);
        let (dearest, slowest) = (most(&mut guesses.iter().copied()), most(&mut rungs.iter().map(|rung| rung.seconds)));
        let lambda = lambda(settings, &profile.means);
        let weights = Weights {
            quality: settings.quality_weight,
            cost: lambda / dearest.max(f64::MIN_POSITIVE),
            seconds: if slowest > 0.0 { settings.latency_weight / slowest } else { 0.0 },
        };
        let late = |offer: &Offer| stats.seconds(role, &offer.model, 0.95);
        let ruled_out = rule_out(settings, profile, &beliefs, &rungs, late);
        let escalations = usize::try_from(profile.escalations).unwrap_or(usize::MAX);
        Self { profile, beliefs, rungs, guesses, ruled_out, lambda, weights, escalations }
    }

    /// Finds the tier with the best value, unless an easy task is spent on a tier that is little known.
    fn weigh(&mut self, settings: &Settings, bucket: usize, random: &mut Rng, route: &mut Route) {
        let dice = (random.f64(), random.f64());
        self.draw(settings, random);
        let best = self.best();
        let candidates = if bucket < EASY { self.unknown(settings) } else { Vec::new() };
        let share = if candidates.is_empty() { 0.0 } else { settings.explore_share };
        route.explored = dice.0 < share;
        route.tier = if route.explored { pick(&candidates, dice.1) } else { best };
        route.why = match route.explored {
            true => {
                format!("it is tried to learn about it ({:.0} attempts seen lately)", self.beliefs[route.tier].trials)
            }
            false => self.reason(best),
        };
        let explored = share * f64::from(u8::from(candidates.contains(&route.tier))) / candidates.len().max(1) as f64;
        route.propensity = explored + (1.0 - share) * self.likelihood(settings, route.tier, best, random);
    }

    /// Replaces what is most likely by what the mode reckons with.
    fn draw(&mut self, settings: &Settings, random: &mut Rng) {
        let all: f64 = self.beliefs.iter().map(|belief| belief.seen).sum();
        for (rung, belief) in self.rungs.iter_mut().zip(&self.beliefs) {
            rung.accepted = match settings.mode {
                Mode::Thompson => sample::beta(belief.alpha, belief.beta, random),
                Mode::Ucb => {
                    let weight = belief.alpha + belief.beta;
                    let mean = belief.mean();
                    // The bound's width is that of the belief, and grows with how often others were preferred.
                    (mean + (mean * (1.0 - mean) / weight * 2.0 * (all + 2.0).ln()).sqrt()).min(1.0)
                }
                _ => belief.mean(),
            };
        }
    }

    fn best(&self) -> usize {
        self.weights.best(&self.rungs, self.escalations, |n| self.ruled_out[n].is_none()).unwrap_or(0)
    }

    /// The tiers that an easy task may be spent on: the one of those not known well that was tried least, and if no
    /// chance is in the mode, any.
    fn unknown(&self, settings: &Settings) -> Vec<usize> {
        let allowed = |n: &usize| self.ruled_out[*n].is_none();
        let trials = |n: &usize| self.beliefs[*n].trials;
        let enough = f64::from(settings.forced_trials);
        let least = (0..self.beliefs.len())
            .filter(|n| allowed(n) && trials(n) < enough)
            .min_by(|a, b| trials(a).total_cmp(&trials(b)));
        match (least, settings.mode) {
            (Some(least), _) => vec![least],
            (None, Mode::Cascade) => (0..self.beliefs.len()).filter(allowed).collect(),
            (None, _) => Vec::new(),
        }
    }

    /// How likely a choice by value was: certain unless samples were drawn.
    fn likelihood(&mut self, settings: &Settings, tier: usize, best: usize, random: &mut Rng) -> f64 {
        let same = f64::from(u8::from(tier == best));
        if settings.mode != Mode::Thompson {
            return same;
        }
        let drawn: Vec<f64> = self.rungs.iter().map(|rung| rung.accepted).collect();
        let mut hits = same;
        for _ in 0..REPEATS {
            self.draw(settings, random);
            hits += f64::from(u8::from(self.best() == tier));
        }
        for (rung, accepted) in self.rungs.iter_mut().zip(drawn) {
            rung.accepted = accepted;
        }
        hits / f64::from(REPEATS + 1)
    }

    fn value(&self, start: usize) -> f64 {
        self.weights.value(expected(&self.rungs, start, self.escalations))
    }

    fn reason(&self, best: usize) -> String {
        let (mean, seen) = (self.beliefs[best].mean(), self.beliefs[best].seen);
        let mut why = format!(
            "accepted {:.0} % of the time ({seen:.0} seen), about ${:.4} a try, worth {:.2}",
            mean * 100.0,
            self.rungs[best].cost,
            self.value(best)
        );
        let others = (0..self.rungs.len()).filter(|n| *n != best);
        for n in others {
            let name = &self.profile.tiers[n].name;
            match &self.ruled_out[n] {
                Some(reason) => why.push_str(&format!("; {name}: {reason}")),
                None => why.push_str(&format!("; {name}: {:.2}", self.value(n))),
            }
        }
        why
    }

    fn shown(&self, settings: &Settings) -> Vec<Weighed> {
        let round = |value: f64, digits: i32| (value * 10f64.powi(digits)).round() / 10f64.powi(digits);
        let weighs = !matches!(settings.mode, Mode::Fixed | Mode::Complexity);
        let shown = |n: usize| Weighed {
            model: Arc::clone(&self.profile.tiers[n].model),
            mean: round(self.beliefs[n].mean(), 4),
            sample: round(self.rungs[n].accepted, 4),
            seen: round(self.beliefs[n].seen, 2),
            guess: round(self.guesses[n], 9),
            cost: round(self.rungs[n].cost, 9),
            seconds: round(self.rungs[n].seconds, 3),
            value: if weighs { round(self.value(n), 4) } else { 0.0 },
            ruled_out: self.ruled_out[n].clone().filter(|_| weighs),
        };
        (0..self.rungs.len()).map(shown).collect()
    }
}

/// One of several, by a number from 0 to below 1.
fn pick(among: &[usize], dice: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and small")]
    let n = (dice * among.len() as f64) as usize;
    among[n.min(among.len() - 1)]
}

/// What an attempt is guessed to cost on each tier, in dollars. Where a price is missing, each tier is taken for four
/// times as dear as the one below it.
fn guesses(tiers: &[Offer], tokens: u64) -> Vec<f64> {
    let usage = Usage { input_tokens: Some(INPUT_TOKENS), output_tokens: Some(tokens), ..Usage::default() };
    let priced: Option<Vec<f64>> =
        tiers.iter().map(|offer| offer.price.and_then(|price| price.of(&usage)).map(Usd::as_dollars)).collect();
    priced.filter(|priced| priced.iter().any(|cost| *cost > 0.0)).unwrap_or_else(|| {
        (0..tiers.len()).map(|n| 0.001 * 4f64.powi(i32::try_from(n).unwrap_or(i32::MAX).min(20))).collect()
    })
}

/// The price of money: what the ladder's dearest tier costs, measured in accepted work.
///
/// It is a dual variable that follows the pace of spending: each task that comes to rest lowers it by a step, and each
/// time the budget's share of one task is spent raises it by one. Summed up, that depends on what was spent and done
/// so far alone, so a resumed run finds the same price.
fn lambda(settings: &Settings, means: &Means) -> f64 {
    let Some(budget) = settings.budget.filter(|budget| budget.as_nanos() > 0 && means.tasks > 0) else {
        return settings.cost_weight;
    };
    let tasks = means.tasks as f64;
    let share = budget.as_dollars() / tasks;
    let over = means.spent.as_dollars() / share - means.done as f64;
    settings.cost_weight * (1.0 + PACE * over.clamp(-tasks, 10.0 * tasks)).max(0.0)
}

/// Why tiers cannot be chosen, as far as that is so. If it is so for all, the least bad one is let in again.
fn rule_out(
    settings: &Settings,
    profile: &TaskProfile,
    beliefs: &[Belief],
    rungs: &[Rung],
    late: impl Fn(&Offer) -> Option<f64>,
) -> Vec<Option<String>> {
    let left = settings.budget.map(|budget| (budget.as_dollars() - profile.means.spent.as_dollars()).max(0.0));
    let means = |n: usize| -> Option<String> {
        if let (Some(time), Some(late)) = (profile.means.time_left, late(&profile.tiers[n]))
            && late > time.as_secs_f64()
        {
            return Some(format!("takes up to {late:.0} s, and the deadline is in {:.0} s", time.as_secs_f64()));
        }
        let dear = left.filter(|left| rungs[n].cost > *left)?;
        Some(format!("costs about ${:.4}, and ${dear:.4} are left", rungs[n].cost))
    };
    let floor = |n: usize| {
        let mean = beliefs[n].mean();
        (mean < settings.quality_floor).then(|| format!("accepted only {:.0} % of the time", mean * 100.0))
    };
    let all = 0..rungs.len();
    let mut out: Vec<Option<String>> = all.clone().map(|n| means(n).or_else(|| floor(n))).collect();
    if out.iter().all(Option::is_some) {
        // Money and time count before quality; without either, the cheapest has to do.
        let affordable = all.clone().filter(|n| means(*n).is_none());
        let by_quality = |a: &usize, b: &usize| beliefs[*a].mean().total_cmp(&beliefs[*b].mean());
        let by_cost = |a: &usize, b: &usize| rungs[*a].cost.total_cmp(&rungs[*b].cost);
        if let Some(n) = affordable.max_by(by_quality).or_else(|| all.min_by(by_cost)) {
            out[n] = None;
        }
    }
    out
}
