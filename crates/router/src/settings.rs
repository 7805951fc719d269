//! How to route, and how to learn.

use std::fmt;
use std::str::FromStr;

use bellwether_core::Usd;

/// How a starting tier is chosen.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mode {
    /// The tier with the best value, reckoned with what is most likely.
    Cascade,
    /// The harder a task seems, the higher it starts; nothing else is weighed.
    Complexity,
    /// The first tier.
    #[default]
    Fixed,
    /// The tier with the best value, reckoned with samples of what is known (Thompson 1933): what is little known is
    /// sampled widely, and so gets tried.
    Thompson,
    /// The tier with the best value, reckoned with an upper bound of what is likely (Auer et al. 2002).
    Ucb,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 5] = [Self::Fixed, Self::Complexity, Self::Cascade, Self::Thompson, Self::Ucb];

    /// The mode in lower case, as files name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cascade => "cascade",
            Self::Complexity => "complexity",
            Self::Fixed => "fixed",
            Self::Thompson => "thompson",
            Self::Ucb => "ucb",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|mode| mode.as_str()).collect();
            format!("`{text}` is no mode of routing: known are {}", known.join(", "))
        })
    }
}

/// How to route, and how to learn. Shares and probabilities lie between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// How a starting tier is chosen.
    pub mode: Mode,
    /// What accepted work is worth.
    pub quality_weight: f64,
    /// What the ladder's dearest tier costs, measured in accepted work, while spending keeps to its pace.
    pub cost_weight: f64,
    /// What the wait for the ladder's slowest tier costs, measured in accepted work.
    pub latency_weight: f64,
    /// The share of easy tasks that may be spent on learning about a tier that is little known.
    pub explore_share: f64,
    /// How many observations make a model known. Until then easy tasks may be spent on it; from then on it has to win.
    pub forced_trials: u32,
    /// What an observation still counts after the next one: 0.997 halves it after some 230.
    pub forgetting: f64,
    /// No task starts on a tier whose work is accepted less often than this, unless that holds for all.
    pub quality_floor: f64,
    /// What is learnt from work that was accepted only after a revision.
    pub revised_reward: f64,
    /// The share of accepted work that a second judge looks at.
    pub audit_share: f64,
    /// Nothing is learnt from a judge whom the second one contradicts more often than this.
    pub audit_limit: f64,
    /// What a run may spend; the price of quality rises and falls with the pace of spending.
    pub budget: Option<Usd>,
    /// Whether nothing is learnt.
    pub frozen: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            quality_weight: 1.0,
            cost_weight: 0.5,
            latency_weight: 0.05,
            explore_share: 0.10,
            forced_trials: 8,
            forgetting: 0.997,
            quality_floor: 0.55,
            revised_reward: 0.7,
            audit_share: 0.05,
            audit_limit: 0.3,
            budget: None,
            frozen: false,
        }
    }
}
