//! One model.

use bellwether_core::{Demand, Price, Usage, Usd};
use serde::{Deserialize, Serialize};

use crate::config::MaxTokensField;

/// What is known of one model. Every field may be absent, which means unknown and never zero.
///
/// It reads itself out of any format that serde knows, so that a team's own file can override it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelProfile {
    /// How many tokens input and output may have together.
    pub context_window: Option<u64>,
    /// How many tokens an answer may have.
    pub max_output: Option<u64>,
    /// What its tokens cost.
    pub price: Option<ModelPrice>,
    /// What is doubtful about the price.
    pub doubt: Option<String>,
    /// The field that carries the cap on output tokens; the provider's setting if absent.
    pub max_tokens_field: Option<MaxTokensField>,
    /// What counts against the limit on tokens per minute.
    pub charge: Option<ChargeRule>,
    /// Whether the model wants its own reasoning back.
    pub reasoning: Option<ReasoningBack>,
}

impl ModelProfile {
    /// This profile, with `known` for what it leaves out. A price of its own does away with the doubt about another.
    #[must_use]
    pub(crate) fn over(self, known: Self) -> Self {
        Self {
            context_window: self.context_window.or(known.context_window),
            max_output: self.max_output.or(known.max_output),
            doubt: self.doubt.or_else(|| known.doubt.filter(|_| self.price.is_none())),
            price: self.price.or(known.price),
            max_tokens_field: self.max_tokens_field.or(known.max_tokens_field),
            charge: self.charge.or(known.charge),
            reasoning: self.reasoning.or(known.reasoning),
        }
    }
}

/// What a model's tokens cost, in dollars per million.
///
/// Invariant: each amount is a finite number and not negative.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(try_from = "RawPrice", into = "RawPrice")]
pub struct ModelPrice {
    raw: RawPrice,
    price: Price,
}

impl ModelPrice {
    /// Dollars per million tokens of input, of input read from the cache, and of output. Where nobody says what
    /// cached input costs, it costs what input costs. `None` if an amount is negative or no number.
    #[must_use]
    pub fn new(input: f64, cached_input: Option<f64>, output: f64) -> Option<Self> {
        let raw = RawPrice { input, cached_input, output };
        let price = Price {
            input_per_mtok: Usd::from_dollars(input)?,
            cached_per_mtok: Usd::from_dollars(cached_input.unwrap_or(input))?,
            output_per_mtok: Usd::from_dollars(output)?,
        };
        Some(Self { raw, price })
    }
}

impl From<ModelPrice> for Price {
    fn from(price: ModelPrice) -> Self {
        price.price
    }
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
struct RawPrice {
    input: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cached_input: Option<f64>,
    output: f64,
}

impl TryFrom<RawPrice> for ModelPrice {
    type Error = &'static str;

    fn try_from(RawPrice { input, cached_input, output }: RawPrice) -> Result<Self, Self::Error> {
        Self::new(input, cached_input, output).ok_or("a price is a number of dollars, not below zero")
    }
}

impl From<ModelPrice> for RawPrice {
    fn from(price: ModelPrice) -> Self {
        price.raw
    }
}

/// What a provider counts against its limit on tokens per minute.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChargeRule {
    /// The input and the cap on the output, whatever comes of it: OpenAI's way.
    InputAndCap,
    /// The input and the output as it was generated.
    #[default]
    InputAndOutput,
    /// The input that did not come out of a cache, and the output as it was generated: Anthropic's way.
    UncachedInputAndOutput,
}

impl ChargeRule {
    /// What a call will be counted as, before it is sent.
    #[must_use]
    pub const fn before(self, demand: &Demand) -> u64 {
        demand.tokens()
    }

    /// What a call was counted as, after its answer; `None` if the usage does not say enough. `cap` is what the
    /// request allowed as output.
    #[must_use]
    pub fn after(self, usage: &Usage, cap: Option<u32>) -> Option<u64> {
        let (input, output) = (usage.input_tokens?, usage.output_tokens?);
        Some(match self {
            Self::InputAndCap => input.saturating_add(cap.map_or(output, |cap| u64::from(cap).max(output))),
            Self::InputAndOutput => input.saturating_add(output),
            Self::UncachedInputAndOutput => {
                input.saturating_sub(usage.cached_tokens.unwrap_or(0)).saturating_add(output)
            }
        })
    }
}

/// Whether a model wants its own reasoning back with the conversation.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningBack {
    /// It is left out of the request.
    #[default]
    Omit,
    /// It goes back beside the message it belongs to, as `reasoning_content`.
    Send,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_profile_that_makes_no_sense_is_refused() {
        for profile in [
            json!({ "price": { "input": -1.0, "output": 1.0 } }),
            json!({ "price": { "input": 1.0 } }),
            json!({ "context_windows": 1 }),
            json!({ "charge": "by_moonlight" }),
        ] {
            assert!(serde_json::from_value::<ModelProfile>(profile.clone()).is_err(), "{profile}");
        }
    }

    #[test]
    fn a_profile_survives_being_written_and_read() {
        let profile = json!({
            "context_window": 8, "max_output": 4, "price": { "input": 1.0, "output": 2.0 }, "doubt": null,
            "max_tokens_field": "max_completion_tokens", "charge": "input_and_cap", "reasoning": "send",
        });
        let read: ModelProfile = serde_json::from_value(profile.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), profile);
    }

    #[test]
    fn providers_count_tokens_in_three_ways() {
        let usage =
            Usage { input_tokens: Some(100), cached_tokens: Some(90), output_tokens: Some(7), ..Usage::default() };
        let after = |rule: ChargeRule, cap| rule.after(&usage, cap);
        assert_eq!(after(ChargeRule::InputAndCap, Some(50)), Some(150));
        assert_eq!(after(ChargeRule::InputAndCap, None), Some(107));
        assert_eq!(after(ChargeRule::InputAndOutput, Some(50)), Some(107));
        assert_eq!(after(ChargeRule::UncachedInputAndOutput, Some(50)), Some(17));
        assert_eq!(ChargeRule::InputAndCap.after(&Usage::default(), Some(50)), None);
    }
}
