//! What a call will take, learnt from what calls took.

mod quantile;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bellwether_core::chat::{Message, Part, Tool};
use bellwether_core::{ChatRequest, Demand, Usage};

use self::quantile::Quantile;

/// Estimates the demand of a request, per model and role, and learns from usage.
///
/// The input is counted in characters; how many of them a token has is learnt for each model, four before anything is
/// known. The output is what the request caps it at; without a cap it is what nine of ten calls of this role and model
/// stayed below. No cap is ever put into a request that has none: an estimate decides when a call is sent, not what it
/// may say.
///
/// ```
/// use bellwether_core::{ChatRequest, Message, Usage};
/// use bellwether_limiter::Estimator;
///
/// let estimator = Estimator::default();
/// let request = ChatRequest::new("m", vec![Message::user("x".repeat(8_000))]);
/// assert_eq!(estimator.demand(&request, "coder").input_tokens, 2_004);
/// for _ in 0..50 {
///     let usage = Usage { input_tokens: Some(4_004), output_tokens: Some(300), ..Usage::default() };
///     estimator.learn(&request, "coder", &usage);
/// }
/// let demand = estimator.demand(&request, "coder");
/// assert!((3_900..=4_100).contains(&demand.input_tokens), "two characters a token, for this model");
/// assert!((300..=400).contains(&demand.output_tokens));
/// ```
#[derive(Debug, Default)]
pub struct Estimator {
    models: Mutex<HashMap<Arc<str>, Model>>,
    count: Count,
}

/// How input is counted before it is calibrated.
#[derive(Clone, Copy, Debug, Default)]
enum Count {
    #[default]
    Characters,
    #[cfg(feature = "tiktoken")]
    Tokens(fn(&str) -> usize),
}

#[derive(Debug)]
struct Model {
    /// Tokens that a counted token turned out to be.
    factor: f64,
    /// Calls of which that is known.
    inputs: u32,
    outputs: HashMap<Arc<str>, Quantile>,
    /// Over all roles, for those that are new.
    output: Quantile,
}

impl Default for Model {
    fn default() -> Self {
        Self { factor: 1.0, inputs: 0, outputs: HashMap::new(), output: Quantile::default() }
    }
}

impl Estimator {
    /// An estimator that counts tokens with OpenAI's table `o200k_base` before it calibrates.
    #[cfg(feature = "tiktoken")]
    #[must_use]
    pub fn with_tiktoken() -> Self {
        let count = |text: &str| tiktoken_rs::o200k_base_singleton().encode_ordinary(text).len();
        Self { models: Mutex::default(), count: Count::Tokens(count) }
    }

    /// What `request`, asked by `role`, will take.
    #[must_use]
    pub fn demand(&self, request: &ChatRequest, role: &str) -> Demand {
        let counted = self.counted(request);
        let models = self.models();
        let model = models.get(&request.model);
        let input = model.map_or(counted, |model| scaled(counted, model.factor));
        let forecast = || {
            let known = model
                .and_then(|model| model.outputs.get(role).and_then(Quantile::value).or_else(|| model.output.value()));
            known.unwrap_or(FIRST_FORECAST)
        };
        let output = request.max_output_tokens.map_or_else(forecast, u64::from);
        Demand { requests: 1, input_tokens: input, output_tokens: output }
    }

    /// Hears what `request` took. What the provider did not say is not learnt.
    pub fn learn(&self, request: &ChatRequest, role: &str, usage: &Usage) {
        let counted = self.counted(request);
        let mut models = self.models();
        if !models.contains_key(&request.model) && models.len() >= MOST_NAMES {
            return;
        }
        let model = models.entry(Arc::clone(&request.model)).or_default();
        if let Some(input) = usage.input_tokens.filter(|input| *input > 0 && counted > 0) {
            let seen = (input as f64 / counted as f64).clamp(LEAST_FACTOR, MOST_FACTOR);
            model.inputs = model.inputs.saturating_add(1);
            // The first is better than a guess; later ones are averaged, the old fading away.
            model.factor += f64::from(model.inputs).recip().max(LEARNT) * (seen - model.factor);
        }
        let whole = |output: &u64| request.max_output_tokens.is_none_or(|cap| *output < u64::from(cap));
        if let Some(output) = usage.output_tokens.filter(whole) {
            model.output.add(output);
            if model.outputs.contains_key(role) || model.outputs.len() < MOST_NAMES {
                model.outputs.entry(role.into()).or_default().add(output);
            }
        }
    }

    fn models(&self) -> MutexGuard<'_, HashMap<Arc<str>, Model>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The input before calibration.
    fn counted(&self, request: &ChatRequest) -> u64 {
        let messages = request.messages.iter().map(|message| self.message(message)).fold(0, u64::saturating_add);
        let tools = request.tools.iter().map(|tool| self.tool(tool)).fold(0, u64::saturating_add);
        messages.saturating_add(tools)
    }

    fn message(&self, message: &Message) -> u64 {
        let parts = message.content.iter().map(|part| match part {
            Part::Text(text) => self.text(text),
            _ => PER_OPAQUE_PART,
        });
        let calls = message.tool_calls.iter().map(|call| self.text(&call.name) + self.text(&call.arguments));
        parts.chain(calls).fold(PER_MESSAGE, u64::saturating_add)
    }

    fn tool(&self, tool: &Tool) -> u64 {
        self.text(&tool.name) + self.text(&tool.description) + self.text(&tool.parameters.to_string())
    }

    fn text(&self, text: &str) -> u64 {
        match self.count {
            Count::Characters => (text.chars().count() as u64).div_ceil(CHARACTERS_PER_TOKEN),
            #[cfg(feature = "tiktoken")]
            Count::Tokens(count) => count(text) as u64,
        }
    }
}

fn scaled(tokens: u64, factor: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the factor is positive and small")]
    let scaled = (tokens as f64 * factor).ceil() as u64;
    scaled
}

const CHARACTERS_PER_TOKEN: u64 = 4;
/// The role and the marks around a message.
const PER_MESSAGE: u64 = 4;
/// A picture or the like; providers charge from 85 tokens to a few thousand for one.
const PER_OPAQUE_PART: u64 = 1_024;
const FIRST_FORECAST: u64 = 1_024;
const LEARNT: f64 = 0.1;
const LEAST_FACTOR: f64 = 0.1;
const MOST_FACTOR: f64 = 10.0;
/// Models, and roles of a model. Names beyond that are not remembered.
const MOST_NAMES: usize = 1_000;
