//! Who is in a team: roles, and the models they may use.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::{ChatProvider, Price};

/// A part in the team. Several agents may play it side by side.
#[derive(Clone, Debug)]
pub struct Role {
    /// Its name, unique in the team.
    pub name: Arc<str>,
    /// What it does.
    pub kind: RoleKind,
    /// The instructions every conversation of it begins with.
    pub prompt: Arc<str>,
    /// The models it may use, the cheapest first.
    pub tiers: Vec<Tier>,
    /// How many agents may play it at once.
    pub instances: NonZeroUsize,
    /// Sampling temperature; the provider's default if absent.
    pub temperature: Option<f32>,
    /// The most output tokens a call may buy; the provider's own cap if absent.
    pub max_output_tokens: Option<u32>,
    /// The most time one attempt of a call may take.
    pub timeout: Duration,
    /// The most input tokens of one conversation, estimated; what is older is left out.
    pub history_tokens: usize,
    /// Whether a worker may ask for further tasks instead of handing in work; see [`SpawnRules`](crate::SpawnRules).
    pub may_spawn: bool,
    /// Whether a worker may ask others something instead of handing in work, at most
    /// [`max_questions`](crate::Settings::max_questions) times a task.
    pub may_ask: bool,
}

impl Role {
    /// A role of any kind, with its ladder of tiers, the cheapest first.
    #[must_use]
    pub fn new(kind: RoleKind, name: impl Into<Arc<str>>, prompt: impl Into<Arc<str>>, tiers: Vec<Tier>) -> Self {
        Self {
            name: name.into(),
            kind,
            prompt: prompt.into(),
            tiers,
            instances: NonZeroUsize::MIN.saturating_add(7),
            temperature: None,
            max_output_tokens: None,
            timeout: Duration::from_secs(180),
            history_tokens: 24_000,
            may_spawn: false,
            may_ask: false,
        }
    }

    /// The most output tokens a call on a tier may buy: the role's cap, as far as the model can give so many.
    pub(crate) fn output_cap(&self, tier: usize) -> Option<u32> {
        let able = self.tiers.get(tier).and_then(|tier| tier.max_output);
        match (self.max_output_tokens, able) {
            (Some(cap), Some(able)) => Some(cap.min(able)),
            (cap, able) => cap.or(able),
        }
    }

    /// The most input tokens of a conversation, on each tier.
    pub(crate) fn windows(&self) -> Vec<usize> {
        (0..self.tiers.len()).map(|tier| self.window(tier)).collect()
    }

    /// The most input tokens of a conversation on a tier.
    pub(crate) fn window(&self, tier: usize) -> usize {
        self.bound(tier).map_or(self.history_tokens, |bound| self.history_tokens.min(bound))
    }

    /// The most input tokens that a tier's model takes, if that is known: the answer has to fit into its window as well.
    pub(crate) fn bound(&self, tier: usize) -> Option<usize> {
        let answer = self.output_cap(tier).map_or(0, |cap| usize::try_from(cap).unwrap_or(usize::MAX));
        Some(self.tiers.get(tier)?.context?.saturating_sub(answer))
    }

    /// A role that breaks the request down.
    #[must_use]
    pub fn planner(name: impl Into<Arc<str>>, prompt: impl Into<Arc<str>>, tier: Tier) -> Self {
        Self::new(RoleKind::Planner, name, prompt, vec![tier])
    }

    /// A role that works on subtasks.
    #[must_use]
    pub fn worker(name: impl Into<Arc<str>>, prompt: impl Into<Arc<str>>, tier: Tier) -> Self {
        Self::new(RoleKind::Worker, name, prompt, vec![tier])
    }

    /// A role that judges the work.
    #[must_use]
    pub fn reviewer(name: impl Into<Arc<str>>, prompt: impl Into<Arc<str>>, tier: Tier) -> Self {
        Self::new(RoleKind::Reviewer, name, prompt, vec![tier])
    }

    /// A role that makes one whole of the parts, once all of them are at rest.
    #[must_use]
    pub fn synthesizer(name: impl Into<Arc<str>>, prompt: impl Into<Arc<str>>, tier: Tier) -> Self {
        Self::new(RoleKind::Synthesizer, name, prompt, vec![tier])
    }
}

/// What a role does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RoleKind {
    /// Breaks the request down into subtasks.
    Planner,
    /// Judges the work.
    Reviewer,
    /// Makes one whole of the parts.
    Synthesizer,
    /// Works on subtasks.
    Worker,
}

impl RoleKind {
    /// The kind in lower case, as files name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planner => "planner",
            Self::Reviewer => "reviewer",
            Self::Synthesizer => "synthesizer",
            Self::Worker => "worker",
        }
    }
}

/// A model a role may use, and who serves it.
#[derive(Clone, Debug)]
pub struct Tier {
    /// What the team calls it, such as `small`.
    pub name: Arc<str>,
    /// Who serves it.
    pub provider: Arc<dyn ChatProvider>,
    /// The provider's name for it.
    pub model: Arc<str>,
    /// What its tokens cost, if known: for estimates and routes, not for bills.
    pub price: Option<Price>,
    /// The most tokens of a conversation and its answer together; unknown if absent.
    pub context: Option<usize>,
    /// The most output tokens it can give in one answer; unknown if absent.
    pub max_output: Option<u32>,
    /// Which models it is kin to: a judge of another family is preferred to one of the author's own, which shares its
    /// blind spots.
    pub family: Arc<str>,
}

impl Tier {
    /// The model `model` of `provider`, under the same name.
    #[must_use]
    pub fn new(provider: Arc<dyn ChatProvider>, model: impl Into<Arc<str>>) -> Self {
        let model = model.into();
        let family = family_of(&model).into();
        let name = Arc::clone(&model);
        Self { name, provider, model, price: None, context: None, max_output: None, family }
    }

    /// The same with what its tokens cost.
    #[must_use]
    pub const fn priced(mut self, price: Option<Price>) -> Self {
        self.price = price;
        self
    }
}

/// The letters a model's name begins with, without its maker: `gpt` for `openai/gpt-4.1-mini`.
fn family_of(model: &str) -> String {
    let name = model.rsplit('/').next().unwrap_or(model);
    name.chars().take_while(|c| c.is_alphabetic()).flat_map(char::to_lowercase).collect()
}

impl Role {
    /// The tiers of this role in the order in which they should judge the work of a model: those of another family
    /// first, otherwise as they stand.
    pub(crate) fn judges_of(&self, author: Option<&Tier>) -> Vec<usize> {
        let kin = |n: &usize| author.is_some_and(|author| self.tiers[*n].family == author.family);
        let mut order: Vec<usize> = (0..self.tiers.len()).collect();
        order.sort_by_key(kin);
        order
    }
}
