//! From a team file to a team that can run: the one place that names concrete parts.

mod providers;
mod roles;
mod settings;

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bellwether_budget::{Budgeted, Caps};
use bellwether_core::{Observer, Price};
use bellwether_dispatch::Dispatch;
use bellwether_limiter::Limiter;
use bellwether_router::{Adaptive, Router};
use bellwether_team::Team;

use crate::exit::Failure;
use crate::keyring::Keyring;
use crate::memory::Memory;
use crate::purse::{self, Purse};
use crate::team_file::TeamFile;
use crate::team_file::raw::{Count, Span};
use crate::{checks, routing};

pub(crate) use providers::{KeyState, key_variables, provider_config};
use providers::{dispatch, provider};
use roles::role;
use settings::settings;

/// What the command line says instead of the team file.
#[derive(Debug, Default)]
pub(crate) struct Overrides {
    /// The endpoint of every provider.
    pub(crate) base_url: Option<String>,
    /// The most agents at work at once.
    pub(crate) max_parallel: Option<u32>,
    /// Whether the run waits for somebody to agree to its plan.
    pub(crate) approve_plan: bool,
    /// The most time a run may take.
    pub(crate) deadline: Option<Duration>,
    /// What may be spent, beside what the team file says.
    pub(crate) budget: Caps,
    /// Whether nothing is learnt about models.
    pub(crate) frozen: bool,
    /// Where what is learnt about models is kept if the team file does not say.
    pub(crate) stats: Option<PathBuf>,
}

/// A team and what it stands on.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The team.
    pub(crate) team: Team,
    /// Its providers, each behind its queue and limiter, if it is about to run; to be shut down after that.
    pub(crate) dispatches: Vec<Arc<Dispatch>>,
    /// What keeps its calls within their quotas.
    pub(crate) limiters: Vec<Arc<Limiter>>,
    /// What keeps its calls within their budget, if there is one.
    pub(crate) purse: Option<Arc<Budgeted>>,
    /// What picks the tiers and learns, if the team file asks for it.
    pub(crate) router: Option<Arc<Adaptive>>,
}

/// What the models of each provider cost, as far as known.
type Prices<'a> = HashMap<&'a str, BTreeMap<String, Price>>;

/// Whether a team can do without the keys it needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Keys {
    /// It will not be asked to run, and no model is asked anything.
    Optional,
    /// It is about to run.
    Required,
}

/// Puts the parts together. Needs a runtime for a team that is about to run.
pub(crate) fn build(
    file: &TeamFile,
    overrides: &Overrides,
    keys: Keys,
    observer: &Arc<dyn Observer>,
    memory: Option<Memory>,
) -> Result<Parts, Failure> {
    let mut dispatches = HashMap::new();
    let mut limiters = Vec::new();
    let mut prices: Prices<'_> = HashMap::new();
    let mut purse = Purse::new(file, overrides, memory.as_ref().map(|memory| &memory.store), keys)?;
    for (name, raw) in &file.raw.provider.0 {
        // A provider that no model uses needs no key.
        if file.raw.models.0.iter().any(|(_, model)| model.provider.get_ref() == name) {
            let (provider, known) = provider(file, name, raw, overrides, keys)?;
            prices.insert(name.as_str(), known.clone());
            let key = provider.map(|provider| {
                let (dispatch, limiter) = dispatch(file, name, raw, purse.guard(Arc::new(provider), known), observer);
                limiters.push(limiter);
                dispatch
            });
            dispatches.insert(name.as_str(), key);
        }
    }
    let settings = settings(file, overrides)?;
    let path = std::path::absolute(&file.path).unwrap_or_else(|_| file.path.clone());
    let mut builder = Team::builder(file.raw.team.name.as_str())
        .settings(settings)
        .observer(purse.observer(observer))
        .tenant(purse::tenant(&file.raw.team))
        .origin(path.display().to_string());
    if let Some(memory) = memory {
        builder = builder.journal(memory.journal);
    }
    let keyring = Keyring { file, keys: dispatches, observer };
    for (name, raw) in &file.raw.roles.0 {
        let role = role(file, name, raw, &keyring, &prices)?;
        if keys == Keys::Required {
            purse::provable(file, overrides, &role)?;
        }
        builder = builder.role(role);
    }
    for raw in &file.raw.review.checks {
        builder = builder.check(checks::build(file, raw)?);
    }
    let router = routing::build(file, overrides, keys)?;
    if let Some(router) = &router {
        builder = builder.router(Arc::<Adaptive>::clone(router) as Arc<dyn Router>);
    }
    let team = builder.build().map_err(|error| Failure::usage(file.mistake(None, error.to_string())))?;
    Ok(Parts {
        team,
        dispatches: keyring.keys.into_values().flatten().collect(),
        limiters,
        purse: purse.shared(),
        router,
    })
}

fn places(count: Count) -> NonZeroUsize {
    NonZeroUsize::MIN.saturating_add(usize::try_from(count.0).unwrap_or(usize::MAX) - 1)
}

const fn set(value: &mut Duration, span: Option<Span>) {
    if let Some(Span(duration)) = span {
        *value = duration;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_team_that_is_only_looked_at_has_neither_connections_nor_tasks() {
        let text = include_str!("../../../examples/teams/ladder.toml");
        let file = TeamFile::parse("ladder.toml".as_ref(), text.to_owned()).expect("the file is right");
        let nobody: Arc<dyn Observer> = Arc::new(());
        // Outside of a runtime, where no task can be spawned.
        let parts = build(&file, &Overrides::default(), Keys::Optional, &nobody, None).expect("the file is right");
        assert!(parts.dispatches.is_empty() && parts.limiters.is_empty());
        assert!(parts.team.roles().all(|role| !role.tiers.is_empty()));
    }
}
