//! `[routing]` of a team file: which tier a task starts on, and where what is learnt is kept.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::path::Path;
use std::sync::Arc;

use bellwether_router::{Adaptive, Mode, Settings, StoreError};
use serde::de::{Deserialize, Deserializer, Error as _};
use toml::Spanned;

use crate::exit::{Exit, Failure};
use crate::parts::{Keys, Overrides};
use crate::purse;
use crate::team_file::TeamFile;

/// What the file in the journal's directory is called.
pub(crate) const NAME: &str = "router.log";
/// The same in the directory where the journal is if nobody says.
pub(crate) const FILE: &str = "runs/router.log";

/// How tiers are picked if `[routing]` does not say.
const PRESET: Mode = Mode::Thompson;

/// `[routing]` as the file says it.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawRouting {
    audit_limit: Option<Part>,
    audit_share: Option<Part>,
    cost_weight: Option<Weight>,
    explore_share: Option<Part>,
    forgetting: Option<Forgetting>,
    latency_weight: Option<Weight>,
    mode: Option<Spanned<String>>,
    quality_floor: Option<Part>,
    quality_weight: Option<Weight>,
    stats: Option<String>,
}

impl RawRouting {
    /// How tiers are picked, in the file's word.
    pub(crate) fn mode(&self) -> &str {
        self.mode.as_ref().map_or(PRESET.as_str(), |mode| mode.get_ref())
    }
}

macro_rules! figure {
    ($(#[$doc:meta])* $name:ident, $range:expr, $says:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        struct $name(f64);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = f64::deserialize(deserializer)?;
                if $range.contains(&value) { Ok(Self(value)) } else { Err(D::Error::custom($says)) }
            }
        }
    };
}

figure! {
    /// A share of something.
    Part, (0.0..=1.0), "this has to be a share from 0 to 1, such as 0.05"
}
figure! {
    /// What something is worth beside other things.
    Weight, (0.0..=1e6), "this has to be a number that is not negative, such as 0.5"
}
figure! {
    /// What an observation still counts after the next one.
    Forgetting, (0.5..=1.0), "this has to be a number from 0.5 to 1, such as 0.997"
}

/// The router that a team file asks for; `None` if it says nothing about it.
pub(crate) fn build(file: &TeamFile, overrides: &Overrides, keys: Keys) -> Result<Option<Arc<Adaptive>>, Failure> {
    let Some(raw) = &file.raw.routing else { return Ok(None) };
    let settings = settings(raw, file, overrides)?;
    // A random state is the standard library's own source of chance.
    let seed = RandomState::new().build_hasher().finish();
    let kept = raw.stats.as_deref().map(Path::new).or(overrides.stats.as_deref());
    match kept.filter(|_| keys == Keys::Required) {
        None => Ok(Some(Arc::new(Adaptive::new(settings, seed)))),
        Some(path) => {
            let opened = Adaptive::open(settings, seed, path);
            opened.map(|router| Some(Arc::new(router))).map_err(|error| unusable(&error))
        }
    }
}

fn settings(raw: &RawRouting, file: &TeamFile, overrides: &Overrides) -> Result<Settings, Failure> {
    let preset = Settings::default();
    let mode = match &raw.mode {
        None => PRESET,
        Some(mode) => {
            mode.get_ref().parse().map_err(|what: String| Failure::usage(file.mistake(Some(mode.span()), what)))?
        }
    };
    let part = |part: Option<Part>, preset: f64| part.map_or(preset, |Part(share)| share);
    let weight = |weight: Option<Weight>, preset: f64| weight.map_or(preset, |Weight(weight)| weight);
    Ok(Settings {
        mode,
        audit_share: part(raw.audit_share, preset.audit_share),
        audit_limit: part(raw.audit_limit, preset.audit_limit),
        quality_weight: weight(raw.quality_weight, preset.quality_weight),
        cost_weight: weight(raw.cost_weight, preset.cost_weight),
        latency_weight: weight(raw.latency_weight, preset.latency_weight),
        explore_share: part(raw.explore_share, preset.explore_share),
        forgetting: raw.forgetting.map_or(preset.forgetting, |Forgetting(forgetting)| forgetting),
        quality_floor: part(raw.quality_floor, preset.quality_floor),
        budget: purse::caps(file, overrides).usd,
        frozen: overrides.frozen,
        ..preset
    })
}

/// Statistics that cannot be used.
pub(crate) fn unusable(error: &StoreError) -> Failure {
    let remedy = match error {
        StoreError::Schema { .. } => "`bellwether router reset`, or another file under `stats` in [routing]",
        _ => "another file under `stats` in [routing]",
    };
    Failure::new(Exit::Io, failed(error).to_string()).remedy(remedy)
}

/// A failure of the statistics with its cause.
pub(crate) fn failed(error: &StoreError) -> impl fmt::Display {
    let source = std::error::Error::source(error).map_or_else(String::new, |source| format!(": {source}"));
    format!("{error}{source}")
}

#[cfg(test)]
mod tests {
    use bellwether_core::Usd;

    use super::*;

    const LADDER: &str = include_str!("../../../examples/teams/ladder.toml");

    /// The settings of the example with another `[routing]`.
    fn read(routing: &str, overrides: &Overrides) -> Settings {
        let before = LADDER.split_once("[routing]").expect("it routes").0;
        let file =
            TeamFile::parse("ladder.toml".as_ref(), format!("{before}[routing]\n{routing}")).expect("it is right");
        settings(file.raw.routing.as_ref().expect("it routes"), &file, overrides).expect("so is that")
    }

    #[test]
    fn every_key_of_routing_has_an_effect() {
        let all = "mode = \"ucb\"\naudit_limit = 0.11\naudit_share = 0.12\ncost_weight = 0.13\nexplore_share = 0.14\n\
                   forgetting = 0.95\nlatency_weight = 0.16\nquality_floor = 0.17\nquality_weight = 0.18\n\n\
                   [budget]\nusd = 2.0\n";
        let overrides = Overrides { frozen: true, ..Overrides::default() };
        let wanted = Settings {
            mode: Mode::Ucb,
            audit_limit: 0.11,
            audit_share: 0.12,
            cost_weight: 0.13,
            explore_share: 0.14,
            forgetting: 0.95,
            latency_weight: 0.16,
            quality_floor: 0.17,
            quality_weight: 0.18,
            budget: Usd::from_dollars(2.0),
            frozen: true,
            ..Settings::default()
        };
        assert_eq!(read(all, &overrides), wanted);
        assert_eq!(read("", &Overrides::default()), Settings { mode: PRESET, ..Settings::default() });
    }
}
