//! What is known of models: a fold over outcomes.
//!
//! A cell is a role, a bucket of hardness and a group of tasks. What is known of a model in a cell is drawn towards
//! what is known of it in the group, that towards what is known of it in the role, that towards what is known of it
//! anywhere, and that towards what its rank in the ladder suggests: each as strongly as four observations would.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::difficulty::{BUCKETS, Difficulty};
use crate::features::{Features, Group};
use crate::outcome::{Audited, Entry, Outcome};
use crate::seam::Ending;
use crate::settings::Settings;
use crate::tally::{Alarm, LogMean, Tally, Waits};

/// How many observations what is known more generally counts for.
const STRENGTH: f64 = 4.0;
/// What is left of what was known of a model when it turns out to have changed.
const DOUBTED: f64 = 6.0;
/// Audits without which a judge is not doubted.
const MIN_AUDITS: f64 = 5.0;

/// What is known of models, judges and the hardness of tasks.
#[derive(Clone, Debug, PartialEq)]
pub struct Stats {
    settings: Settings,
    pub(crate) difficulty: Difficulty,
    pub(crate) roles: BTreeMap<Arc<str>, InRole>,
    models: BTreeMap<Arc<str>, Tally>,
    steps: u64,
    judges: BTreeMap<Arc<str>, Judge>,
}

/// What is known within a role.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct InRole {
    steps: u64,
    pub(crate) models: Vec<Known>,
    cells: [Cell; BUCKETS * Group::ALL.len()],
    review: LogMean,
}

impl Default for InRole {
    fn default() -> Self {
        Self {
            steps: 0,
            models: Vec::new(),
            cells: std::array::from_fn(|_| Cell::default()),
            review: LogMean::default(),
        }
    }
}

/// What is known of a model in a role.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Known {
    pub(crate) model: Arc<str>,
    /// How far outcomes were from what the rank suggests: in all, and in each group of tasks.
    beyond: Tally,
    in_group: [Tally; Group::ALL.len()],
    cost: LogMean,
    pub(crate) waits: Waits,
    alarm: Alarm,
}

/// What is known in a cell, of the role's models in their order.
#[derive(Clone, Debug, Default, PartialEq)]
struct Cell {
    steps: u64,
    arms: Vec<Arm>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Arm {
    accepted: Tally,
    cost: LogMean,
}

/// What is known of a judge.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Judge {
    steps: u64,
    contradicted: Tally,
}

/// How often a judge was contradicted by a second one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JudgeShown {
    /// The judge.
    pub judge: Arc<str>,
    /// Audits, the older ones counting less.
    pub audits: f64,
    /// The share of them in which it was contradicted.
    pub flips: f64,
    /// Whether nothing is learnt from it for now.
    pub paused: bool,
}

/// What is known of a model in a role, for people and for machines.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelShown {
    /// The role.
    pub role: Arc<str>,
    /// The model.
    pub model: Arc<str>,
    /// Attempts, the older ones counting less.
    pub trials: f64,
    /// What its work cost in relation to what was guessed.
    pub cost_ratio: f64,
    /// The median of how long attempts took, in seconds.
    pub p50_s: Option<f64>,
    /// The time within which 95 % of attempts were over, in seconds.
    pub p95_s: Option<f64>,
    /// Where it was tried.
    pub cells: Vec<CellShown>,
}

/// What was seen of a model in a cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CellShown {
    /// The group of tasks.
    pub group: Group,
    /// How hard they seemed, from 0 to 3.
    pub hardness: usize,
    /// Attempts, the older ones counting less.
    pub seen: f64,
    /// The share of them that was accepted, revised work counting less.
    pub accepted: f64,
}

/// What is believed of a model in a cell: Beta(alpha, beta) of its work's being accepted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Belief {
    /// Accepted work, and what is known more generally.
    pub alpha: f64,
    /// Work that was not accepted, and what is known more generally.
    pub beta: f64,
    /// Observations in the cell, the older ones counting less.
    pub seen: f64,
    /// Observations in the role, the older ones counting less.
    pub trials: f64,
    /// How its cost relates to what was guessed: a logarithm.
    pub log_cost: f64,
}

impl Belief {
    /// How likely the work is accepted.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.alpha / (self.alpha + self.beta)
    }
}

/// What the rank of a tier suggests before anything is learnt: the first of several tiers does what is easy, the last
/// one most things.
pub(crate) fn prior(tier: usize, tiers: usize, bucket: usize) -> f64 {
    let rank = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    let height = if tiers > 1 { (rank(tier) / rank(tiers - 1)).min(1.0) } else { 1.0 };
    let (lowest, highest) = (0.80 - 0.15 * rank(bucket), 0.92 - 0.04 * rank(bucket));
    (lowest + (highest - lowest) * height).clamp(0.05, 0.95)
}

const fn cell(bucket: usize, group: Group) -> usize {
    bucket * Group::ALL.len() + group as usize
}

impl Stats {
    /// Nothing is known.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            difficulty: Difficulty::default(),
            roles: BTreeMap::new(),
            models: BTreeMap::new(),
            steps: 0,
            judges: BTreeMap::new(),
        }
    }

    /// Takes in an entry. Whether it was seen before is its owner's matter.
    pub fn fold(&mut self, entry: &Entry) {
        match entry {
            Entry::Audited(audited) => self.audited(audited),
            Entry::Outcome(outcome) => self.learn(outcome),
        }
    }

    /// What is believed of a model in a cell, as a tier of a ladder.
    #[must_use]
    pub fn belief(&self, role: &str, model: &str, bucket: usize, group: Group, tier: usize, tiers: usize) -> Belief {
        let forgetting = self.settings.forgetting;
        let expected = prior(tier, tiers, bucket);
        let (beyond, seen) = self.models.get(model).map_or((0.0, 0.0), |tally| tally.faded(self.steps, forgetting));
        let mut shift = beyond / (seen + STRENGTH);
        let mut belief = Belief { alpha: 0.0, beta: 0.0, seen: 0.0, trials: 0.0, log_cost: 0.0 };
        let mut accepted = 0.0;
        if let Some(role) = self.roles.get(role)
            && let Some(n) = role.position(model)
        {
            let known = &role.models[n];
            let (beyond, trials) = known.beyond.faded(role.steps, forgetting);
            shift = (beyond + STRENGTH * shift) / (trials + STRENGTH);
            belief.trials = trials;
            let (beyond, seen) = known.in_group[group as usize].faded(role.steps, forgetting);
            shift = (beyond + STRENGTH * shift) / (seen + STRENGTH);
            belief.log_cost = known.cost.shrunk(0.0, 1.0);
            let cell = &role.cells[cell(bucket, group)];
            if let Some(arm) = cell.arms.get(n) {
                (accepted, belief.seen) = arm.accepted.faded(cell.steps, forgetting);
                belief.log_cost = arm.cost.shrunk(belief.log_cost, STRENGTH);
            }
        }
        let parent = (expected + shift).clamp(0.02, 0.98);
        belief.alpha = accepted + STRENGTH * parent;
        belief.beta = (belief.seen - accepted).max(0.0) + STRENGTH * (1.0 - parent);
        belief
    }

    /// What judging a piece of work typically costs in a role, in dollars.
    #[must_use]
    pub fn review_cost(&self, role: &str) -> f64 {
        self.roles.get(role).and_then(|role| role.review.typical()).unwrap_or(0.0)
    }

    /// How long a model takes in a role: the time within which a share of its attempts was over, in seconds.
    #[must_use]
    pub fn seconds(&self, role: &str, model: &str, share: f32) -> Option<f64> {
        let role = self.roles.get(role)?;
        role.models[role.position(model)?].waits.quantile(share)
    }

    /// What is known of each model in each role.
    #[must_use]
    pub fn models(&self) -> Vec<ModelShown> {
        let in_role = |(name, role): (&Arc<str>, &InRole)| -> Vec<ModelShown> {
            let shown = |(n, known): (usize, &Known)| ModelShown {
                role: Arc::clone(name),
                model: Arc::clone(&known.model),
                trials: known.beyond.faded(role.steps, self.settings.forgetting).1,
                cost_ratio: known.cost.typical().unwrap_or(1.0),
                p50_s: known.waits.quantile(0.5),
                p95_s: known.waits.quantile(0.95),
                cells: self.cells(role, n),
            };
            role.models.iter().enumerate().map(shown).collect()
        };
        self.roles.iter().flat_map(in_role).collect()
    }

    /// Where a role's model was tried.
    fn cells(&self, role: &InRole, n: usize) -> Vec<CellShown> {
        let shown = |(at, cell): (usize, &Cell)| {
            let (accepted, seen) = cell.arms.get(n)?.accepted.faded(cell.steps, self.settings.forgetting);
            let (hardness, group) = (at / Group::ALL.len(), Group::ALL[at % Group::ALL.len()]);
            (seen > 0.01).then_some(CellShown { group, hardness, seen, accepted: accepted / seen })
        };
        role.cells.iter().enumerate().filter_map(shown).collect()
    }

    /// The judges that were audited.
    #[must_use]
    pub fn judges(&self) -> Vec<JudgeShown> {
        let shown = |(name, judge): (&Arc<str>, &Judge)| {
            let (flips, audits) = judge.contradicted.faded(judge.steps, self.settings.forgetting);
            let share = if audits > 0.0 { flips / audits } else { 0.0 };
            JudgeShown { judge: Arc::clone(name), audits, flips: share, paused: self.is_paused(Some(name)) }
        };
        self.judges.iter().map(shown).collect()
    }

    /// Whether nothing is learnt from a judge for now, because a second one contradicts it too often.
    fn is_paused(&self, judge: Option<&str>) -> bool {
        let Some(judge) = judge.and_then(|judge| self.judges.get(judge)) else { return false };
        let (flips, audits) = judge.contradicted.faded(judge.steps, self.settings.forgetting);
        audits >= MIN_AUDITS && flips > self.settings.audit_limit * audits
    }

    fn audited(&mut self, audited: &Audited) {
        let judge = self.judges.entry(Arc::clone(&audited.judge)).or_default();
        judge.steps += 1;
        judge.contradicted.add(judge.steps, self.settings.forgetting, f64::from(u8::from(!audited.agreed)));
    }

    fn learn(&mut self, outcome: &Outcome) {
        if self.is_paused(outcome.judge.as_deref()) {
            return;
        }
        let reward = match outcome.ending {
            Ending::Accepted => 1.0,
            Ending::Missed => 0.0,
            Ending::Revised => self.settings.revised_reward,
        };
        let bucket = usize::from(outcome.bucket).min(BUCKETS - 1);
        let Features { group, .. } = outcome.features;
        let belief = self.belief(&outcome.role, &outcome.model, bucket, group, outcome.tier, outcome.tiers);
        let beyond = reward - prior(outcome.tier, outcome.tiers, bucket);
        let forgetting = self.settings.forgetting;
        if outcome.first && outcome.tier == 0 {
            self.difficulty.learn(&outcome.features, outcome.ending == Ending::Missed);
        }
        self.steps += 1;
        self.models.entry(Arc::clone(&outcome.model)).or_default().add(self.steps, forgetting, beyond);

        let role = self.roles.entry(Arc::clone(&outcome.role)).or_default();
        role.steps += 1;
        let n = role.place(&outcome.model);
        let known = &mut role.models[n];
        known.beyond.add(role.steps, forgetting, beyond);
        known.in_group[group as usize].add(role.steps, forgetting, beyond);
        known.waits.add(outcome.seconds, forgetting);
        let ratio = outcome.cost.filter(|_| outcome.guess > 0.0).map(|cost| cost / outcome.guess);
        let cell = &mut role.cells[cell(bucket, group)];
        cell.steps += 1;
        if cell.arms.len() <= n {
            cell.arms.resize(n + 1, Arm::default());
        }
        cell.arms[n].accepted.add(cell.steps, forgetting, reward);
        if let Some(ratio) = ratio {
            known.cost.add(ratio);
            cell.arms[n].cost.add(ratio);
        }
        if let Some(review) = outcome.review {
            role.review.add(review);
        }
        if known.alarm.hear(reward - belief.mean()) {
            self.doubt(&outcome.role, &outcome.model, n);
        }
    }

    /// A model is not what it was: what was known of it counts for little from now on.
    fn doubt(&mut self, role: &str, model: &str, n: usize) {
        let forgetting = self.settings.forgetting;
        if let Some(tally) = self.models.get_mut(model) {
            tally.doubt(self.steps, forgetting, DOUBTED);
        }
        let Some(role) = self.roles.get_mut(role) else { return };
        let known = &mut role.models[n];
        for tally in known.in_group.iter_mut().chain([&mut known.beyond]) {
            tally.doubt(role.steps, forgetting, DOUBTED);
        }
        for cell in &mut role.cells {
            if let Some(arm) = cell.arms.get_mut(n) {
                arm.accepted.doubt(cell.steps, forgetting, 1.0);
            }
        }
    }
}

impl InRole {
    fn position(&self, model: &str) -> Option<usize> {
        self.models.iter().position(|known| *known.model == *model)
    }

    fn place(&mut self, model: &Arc<str>) -> usize {
        self.position(model).unwrap_or_else(|| {
            self.models.push(Known {
                model: Arc::clone(model),
                beyond: Tally::default(),
                in_group: [Tally::default(); Group::ALL.len()],
                cost: LogMean::default(),
                waits: Waits::default(),
                alarm: Alarm::default(),
            });
            self.models.len() - 1
        })
    }
}
