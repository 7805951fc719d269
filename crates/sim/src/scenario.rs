//! What the simulated provider is like: its limits, its pace, its faults, its answers.

mod duration;
mod error;
mod field;
mod throttling;

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;

pub use self::error::ScenarioError;
pub use self::throttling::{Algorithm, Burst, Limit, Rejections, RetryAfter};

/// Everything that makes one simulated provider different from another.
///
/// Plain data: build it with [`Default`] and change what matters, or read it from a file with [`Scenario::parse`]. The
/// default is quick, healthy and without limits.
///
/// ```
/// use bellwether_sim::{Faults, Scenario};
///
/// let by_hand = Scenario { faults: Faults { error_503: 0.2, ..Faults::default() }, ..Scenario::default() };
/// let from_file = Scenario::parse("[faults]\nerror_503 = 0.2")?;
/// assert_eq!(by_hand, from_file);
/// # Ok::<(), bellwether_sim::ScenarioError>(())
/// ```
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// Whether the server may listen on an address that other machines reach.
    pub allow_remote: bool,
    /// What the simulated models say.
    pub answers: Answers,
    /// The bearer key that every call must carry; none lets everybody in.
    pub api_key: Option<ApiKey>,
    /// Stretches in which every request is told to slow down, whatever the limits say.
    pub bursts: Vec<Burst>,
    /// What goes wrong on purpose.
    pub faults: Faults,
    /// How long an answer takes.
    pub latency: Latency,
    /// The limits and their schedule. Entries with the same `at` are in force together, from then until the next `at`.
    pub limits: Vec<Limit>,
    /// What `GET /v1/models` lists.
    pub models: Vec<Model>,
    /// How a refused request is told.
    pub rejections: Rejections,
    /// Decides every draw: latencies, faults, verdicts.
    pub seed: u64,
    /// Whether a model outside of `models` is answered with 404.
    pub strict_models: bool,
}

/// How the simulated models answer.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Answers {
    /// Whether the last of three or more planned tasks depends on the first.
    pub dependencies: bool,
    /// The form of a plan.
    pub plan: PlanForm,
    /// How many tasks a plan has, from 1 to 64; values outside count as the nearest of these.
    #[serde(deserialize_with = "field::plan_tasks")]
    pub plan_tasks: usize,
    /// The share of first drafts that a reviewer sends back, from 0 to 1.
    #[serde(deserialize_with = "field::share")]
    pub revise_share: f64,
    /// The form of a verdict.
    pub verdict: VerdictForm,
}

/// The form in which a plan comes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum PlanForm {
    /// JSON if the conversation asks for it, otherwise a numbered list.
    #[default]
    Auto,
    /// JSON inside of a Markdown fence, with talk around it.
    Fenced,
    /// Nothing that can be read as a plan.
    Garbage,
    /// Garbage the first time; a real plan once the conversation shows the garbage back.
    GarbageOnce,
    /// JSON always.
    Json,
    /// A numbered list always.
    List,
}

/// The form in which a verdict comes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum VerdictForm {
    /// JSON if the conversation asks for it, otherwise text.
    #[default]
    Auto,
    /// Nothing that can be read as a verdict.
    Garbage,
    /// JSON always.
    Json,
    /// Text always.
    Text,
}

/// A bearer key, which never shows itself.
#[derive(Clone, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct ApiKey(String);

/// What goes wrong on purpose: shares of all requests, and single requests by their number.
///
/// Requests are numbered from 1 as they arrive, well-formed and authorised ones only. The same seed makes the same request
/// numbers fail in the same way.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// The share of requests answered with 500.
    #[serde(deserialize_with = "field::share")]
    pub error_500: f64,
    /// The share of requests answered with 503.
    #[serde(deserialize_with = "field::share")]
    pub error_503: f64,
    /// Requests that fail for certain; they count before the shares.
    pub fail: Vec<Fail>,
    /// The share of requests whose connection breaks in the middle of the answer.
    #[serde(deserialize_with = "field::share")]
    pub reset: f64,
    /// The share of requests that fall silent after the first piece of the answer.
    #[serde(deserialize_with = "field::share")]
    pub stall: f64,
    /// When a silent connection is closed, if the client waits so long.
    #[serde(deserialize_with = "duration::deserialize")]
    pub stall_limit: Duration,
}

/// One request that fails for certain.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Fail {
    /// The request's number, from 1.
    #[serde(deserialize_with = "field::number")]
    pub request: u64,
    /// How it fails.
    pub with: Fault,
}

/// One way in which a request fails.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// An answer with status 500.
    #[serde(rename = "error_500")]
    Error500,
    /// An answer with status 503.
    #[serde(rename = "error_503")]
    Error503,
    /// The connection breaks in the middle of the answer.
    Reset,
    /// Silence after the first piece of the answer.
    Stall,
}

/// How long an answer takes.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Latency {
    /// Until the first token.
    #[serde(deserialize_with = "duration::deserialize")]
    pub first_token: Duration,
    /// By how much both may deviate, up and down, as a share from 0 to 1; drawn once per request.
    #[serde(deserialize_with = "field::share")]
    pub jitter: f64,
    /// For every output token.
    #[serde(deserialize_with = "duration::deserialize")]
    pub per_token: Duration,
}

/// A model that the server lists.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// How many tokens input and output may have together; more is answered with 400.
    #[serde(default = "Model::default_context", deserialize_with = "field::context")]
    pub context: u32,
    /// The name that requests use.
    #[serde(deserialize_with = "field::name")]
    pub id: String,
}

// === impl Scenario ===

impl Scenario {
    /// Reads a scenario from TOML.
    ///
    /// # Errors
    ///
    /// [`ScenarioError`] if the text is not TOML, has an unknown key, or a value that cannot be meant; it says in which line.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text).map_err(|error| ScenarioError::from_toml(text, &error))?;
        match scenario.mistake() {
            Some((key, nth, problem)) => Err(ScenarioError::at_key(text, key, nth, problem)),
            None => Ok(scenario),
        }
    }

    /// Whether its parts go together, for whoever changed a scenario that was read.
    ///
    /// # Errors
    ///
    /// [`ScenarioError`], without a line.
    pub fn check(&self) -> Result<(), ScenarioError> {
        self.mistake().map_or(Ok(()), |(key, nth, problem)| Err(ScenarioError::at_key("", key, nth, problem)))
    }

    /// What only shows when everything is known, and which line to look for: a key, and how many of it stand before.
    fn mistake(&self) -> Option<(&'static str, usize, &'static str)> {
        let faults = &self.faults;
        if faults.error_500 + faults.error_503 + faults.reset + faults.stall > 1.0 + f64::EPSILON {
            return Some(("faults", 0, "the shares of all faults add up to more than 1"));
        }
        let (mut numbers, mut names) = (HashSet::new(), HashSet::new());
        if let Some(nth) = faults.fail.iter().position(|fail| !numbers.insert(fail.request)) {
            return Some(("faults.fail", nth, "`faults.fail` names a request twice, which can fail in one way only"));
        }
        if let Some(nth) = self.models.iter().position(|model| !names.insert(&model.id)) {
            return Some(("models", nth, "`models` lists a model twice"));
        }
        self.limits.iter().enumerate().find_map(|(nth, limit)| Some(("limits", nth, limit.mistake()?)))
    }
}

impl Default for Scenario {
    fn default() -> Self {
        let model = |id: &str, context| Model { context, id: id.to_owned() };
        Self {
            allow_remote: false,
            answers: Answers::default(),
            api_key: None,
            bursts: Vec::new(),
            faults: Faults::default(),
            latency: Latency::default(),
            limits: Vec::new(),
            models: vec![
                model("sim-small", 128_000),
                model("sim-medium", 128_000),
                model("sim-large", Model::default_context()),
            ],
            rejections: Rejections::default(),
            seed: 1,
            strict_models: false,
        }
    }
}

// === impl the parts ===

impl Default for Answers {
    fn default() -> Self {
        Self { dependencies: true, plan: PlanForm::Auto, plan_tasks: 5, revise_share: 0.3, verdict: VerdictForm::Auto }
    }
}

impl ApiKey {
    /// Wraps a key.
    #[must_use]
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    /// Whether a caller's key is this one.
    #[must_use]
    pub fn matches(&self, given: &str) -> bool {
        self.0 == given
    }
}

impl TryFrom<String> for ApiKey {
    type Error = &'static str;

    /// A key that a call can carry.
    fn try_from(key: String) -> Result<Self, Self::Error> {
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a key is made of visible characters without blanks; nobody could send another one");
        }
        Ok(Self(key))
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(..)")
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            error_500: 0.0,
            error_503: 0.0,
            fail: Vec::new(),
            reset: 0.0,
            stall: 0.0,
            stall_limit: Duration::from_secs(60),
        }
    }
}

impl Fault {
    /// The name that scenario files and statistics use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error500 => "error_500",
            Self::Error503 => "error_503",
            Self::Reset => "reset",
            Self::Stall => "stall",
        }
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self { first_token: Duration::from_millis(40), jitter: 0.2, per_token: Duration::from_millis(1) }
    }
}

impl Model {
    const fn default_context() -> u32 {
        200_000
    }
}
