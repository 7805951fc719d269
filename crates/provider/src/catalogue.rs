//! What is known of models: their windows, their caps, their prices, their odd wishes.

mod profile;

use std::collections::BTreeMap;
use std::fmt;

use bellwether_core::{Price, Usage, Usd};
use serde::Deserialize;

use crate::preset::Preset;

pub use profile::{ChargeRule, ModelPrice, ModelProfile, ReasoningBack};

/// The models of one provider, by name.
///
/// A name that ends in `*` stands for every name that begins so; the longest one that fits counts. A name also stands
/// for its dated versions: `claude-opus-4-5` for `claude-opus-4-5-20251101`.
///
/// ```
/// use bellwether_provider::{Catalogue, Cost, ModelProfile, Preset, Usage};
///
/// let mut catalogue = Catalogue::of(Preset::HolySheep);
/// let opus = catalogue.find("claude-opus-4-5-20251101").expect("it is listed");
/// assert!(opus.price.is_some() && opus.doubt.is_some());
///
/// let usage = Usage { input_tokens: Some(1_000), output_tokens: Some(100), ..Usage::default() };
/// let cost = catalogue.cost("no-such-model", &usage);
/// assert_eq!(cost.to_string(), "unknown: no price for model no-such-model");
///
/// let mine = serde_json::json!({ "price": { "input": 1.0, "output": 2.0 } });
/// catalogue.set("no-such-model", serde_json::from_value::<ModelProfile>(mine)?);
/// assert_eq!(catalogue.cost("no-such-model", &usage).to_string(), "$0.0012 by the price list");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalogue {
    about: String,
    models: BTreeMap<String, ModelProfile>,
}

/// What a call cost, and who says so.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Cost {
    /// By the price list, whose price is certain as far as known.
    Listed(Usd),
    /// By a price that is only claimed somewhere.
    Doubtful {
        /// What it comes to.
        amount: Usd,
        /// What is doubtful about the price.
        doubt: String,
    },
    /// By the provider's own word.
    Stated(Usd),
    /// Nobody can say. This is not zero.
    Unknown {
        /// What is missing.
        why: String,
    },
}

// === impl Catalogue ===

impl Catalogue {
    /// What this crate knows of a preset's models. Everything in it can be overridden; see [`set`](Self::set).
    #[must_use]
    pub fn of(preset: Preset) -> Self {
        // A test reads the file; a broken one would be an empty catalogue, in which every price is unknown.
        let every: BTreeMap<String, Listing> = serde_json::from_str(DATA).unwrap_or_default();
        let listing = every.into_iter().find_map(|(name, listing)| (name == preset.as_str()).then_some(listing));
        let listing = listing.unwrap_or_default();
        let mut models = BTreeMap::new();
        for (name, listed) in listing.models {
            for alias in listed.aliases {
                models.insert(alias, listed.profile.clone());
            }
            models.insert(name, listed.profile);
        }
        Self { about: listing.about, models }
    }

    /// Sets what is known of a model, field by field: what `profile` leaves out stays as it was.
    pub fn set(&mut self, model: impl Into<String>, profile: ModelProfile) {
        let model = model.into();
        let known = self.find(&model).cloned().unwrap_or_default();
        self.models.insert(model, profile.over(known));
    }

    /// What is known of a model, if it is listed by its name, by the name without a date, or by the beginning of it.
    #[must_use]
    pub fn find(&self, model: &str) -> Option<&ModelProfile> {
        let beginning = || {
            let fits = |name: &&String| name.strip_suffix('*').is_some_and(|beginning| model.starts_with(beginning));
            let longest = self.models.keys().filter(fits).max_by_key(|name| name.len())?;
            self.models.get(longest)
        };
        self.models.get(model).or_else(|| self.models.get(undated(model)?)).or_else(beginning)
    }

    /// What a model's tokens cost, as far as known.
    #[must_use]
    pub fn price(&self, model: &str) -> Option<Price> {
        self.find(model)?.price.map(Price::from)
    }

    /// What a call cost, and who says so. An amount in `usage` is the provider's word, unless it is exactly what the
    /// list makes of the tokens.
    #[must_use]
    pub fn cost(&self, model: &str, usage: &Usage) -> Cost {
        let profile = self.find(model);
        let listed = profile
            .and_then(|profile| profile.price)
            .and_then(|price| Price::from(price).of(&Usage { cost: None, ..*usage }));
        let unknown = |why| Cost::Unknown { why };
        match (usage.cost, listed) {
            (Some(stated), listed) if listed != Some(stated) => Cost::Stated(stated),
            (_, Some(amount)) => match profile.and_then(|profile| profile.doubt.clone()) {
                Some(doubt) => Cost::Doubtful { amount, doubt },
                None => Cost::Listed(amount),
            },
            _ if profile.is_some_and(|profile| profile.price.is_some()) => {
                unknown("the provider did not say how many tokens it took".to_owned())
            }
            _ => unknown(format!("no price for model {model}")),
        }
    }

    /// Where these figures come from, for people.
    #[must_use]
    pub fn about(&self) -> &str {
        &self.about
    }

    /// Every name that is listed, with what is known of it.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ModelProfile)> {
        self.models.iter().map(|(name, profile)| (name.as_str(), profile))
    }
}

// === impl Cost ===

impl Cost {
    /// The amount, whoever says so.
    #[must_use]
    pub const fn amount(&self) -> Option<Usd> {
        match self {
            Self::Listed(amount) | Self::Stated(amount) | Self::Doubtful { amount, .. } => Some(*amount),
            Self::Unknown { .. } => None,
        }
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Doubtful { amount, doubt } => write!(f, "about {amount} by a doubtful price: {doubt}"),
            Self::Listed(amount) => write!(f, "{amount} by the price list"),
            Self::Stated(amount) => write!(f, "{amount} by the provider's word"),
            Self::Unknown { why } => write!(f, "unknown: {why}"),
        }
    }
}

/// A provider in the data file.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listing {
    about: String,
    models: BTreeMap<String, Listed>,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(flatten)]
    profile: ModelProfile,
}

/// The name without `-20251101`, `-2025-11-01` or `-latest`.
fn undated(model: &str) -> Option<&str> {
    if let Some(name) = model.strip_suffix("-latest") {
        return Some(name);
    }
    let name = model.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
    // The version belongs to the name: only what looks like a date goes.
    let tail = &model[name.len()..];
    let date = [9, 11].into_iter().filter_map(|long| tail.len().checked_sub(long)).find(|at| {
        let digits = tail[*at..].bytes().filter(u8::is_ascii_digit).count();
        digits == 8 && tail[*at..].starts_with("-2")
    })?;
    Some(&model[..name.len() + date])
}

const DATA: &str = include_str!("../data/models.json");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_file_can_be_read_and_every_claimed_price_says_so() {
        for preset in Preset::ALL {
            let catalogue = Catalogue::of(preset);
            assert!(!catalogue.about().is_empty(), "{preset} says where its figures come from");
            for (name, profile) in catalogue.iter() {
                assert_eq!(profile.price.is_some(), profile.doubt.is_some(), "{preset}: {name}");
            }
        }
    }

    #[test]
    fn a_model_is_found_by_its_name_its_dated_name_and_the_beginning_of_it() {
        let openai = Catalogue::of(Preset::OpenAi);
        assert_eq!(openai.find("gpt-4o-2024-08-06"), openai.find("gpt-4o"));
        assert_eq!(openai.find("gpt-5-nano").unwrap().price, None, "a family has no price");
        assert!(openai.find("gpt-5").unwrap().price.is_some());
        assert_eq!(openai.find("llama3.2"), None);
        let holysheep = Catalogue::of(Preset::HolySheep);
        assert_eq!(holysheep.find("claude-sonnet-4-5-20250929"), holysheep.find("claude-sonnet-4-6"));
        for (model, name) in [
            ("claude-opus-4-5-20251101", Some("claude-opus-4-5")),
            ("gpt-4o-2024-08-06", Some("gpt-4o")),
            ("mistral-latest", Some("mistral")),
            ("claude-opus-4-5", None),
            ("20251101", None),
            ("", None),
        ] {
            assert_eq!(undated(model), name, "{model}");
        }
    }

    #[test]
    fn a_cost_says_whose_word_it_is() {
        let mut catalogue = Catalogue::of(Preset::HolySheep);
        let usage = Usage { input_tokens: Some(1_000_000), output_tokens: Some(0), ..Usage::default() };
        let dollars = |amount| Usd::from_dollars(amount).unwrap();
        assert!(matches!(catalogue.cost("gpt-4.1", &usage), Cost::Doubtful { amount, .. } if amount == dollars(8.0)));
        let said = Usage { cost: Some(dollars(0.5)), ..usage };
        assert_eq!(catalogue.cost("gpt-4.1", &said), Cost::Stated(dollars(0.5)));
        let same = Usage { cost: Some(dollars(8.0)), ..usage };
        assert!(matches!(catalogue.cost("gpt-4.1", &same), Cost::Doubtful { .. }));
        assert!(matches!(catalogue.cost("gpt-4.1", &Usage::default()), Cost::Unknown { .. }));
        assert!(matches!(catalogue.cost("gpt-5.4", &usage), Cost::Unknown { .. }));
        let price = ModelPrice::new(2.0, None, 8.0).unwrap();
        catalogue.set("gpt-4.1", ModelProfile { price: Some(price), ..ModelProfile::default() });
        assert_eq!(catalogue.cost("gpt-4.1", &usage), Cost::Listed(dollars(2.0)), "a price of one's own is no claim");
        assert_eq!(catalogue.find("gpt-4.1").unwrap().context_window, Some(128_000), "the rest stays");
    }
}
