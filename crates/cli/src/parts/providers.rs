//! From a team file to its providers: their keys and prices, each behind its queue and limiter.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::{ChatProvider, Observer, Price};
use bellwether_dispatch::{Dispatch, HedgePolicy, RetryPolicy};
use bellwether_limiter::Limiter;
use bellwether_provider::{
    ApiKey, ConfigError, MaxTokensField, ModelProfile, OpenAiCompatible, Preset, ProviderConfig, StreamUsage,
};

use super::{Keys, Overrides, places, set};
use crate::estimates::Estimates;
use crate::exit::Failure;
use crate::guard;
use crate::quota::{self, Told};
use crate::team_file::TeamFile;
use crate::team_file::raw::{Count, RawMaxTokensField, RawModel, RawProvider};

/// How many calls may be in flight if the team file does not say.
const DEFAULT_CONCURRENCY: usize = 8;

/// The environment variables that hold the keys of a team's providers.
pub(crate) fn key_variables(file: &TeamFile) -> Vec<String> {
    let named = file.raw.provider.0.iter().map(|(_, raw)| match (&raw.api_key_env, &raw.kind) {
        (Some(named), _) => Some(named.get_ref().clone()),
        (None, kind) => {
            let preset = kind.as_ref().map_or_else(|| Some(Preset::default()), |kind| kind.get_ref().parse().ok());
            preset.and_then(Preset::key_env).map(str::to_owned)
        }
    });
    named.flatten().collect()
}

/// What a provider needs to be asked, and whether its key is there.
pub(crate) fn provider_config(
    file: &TeamFile,
    name: &str,
    raw: &RawProvider,
    base_url: Option<&str>,
) -> Result<(ProviderConfig, KeyState), Failure> {
    let preset = match &raw.kind {
        None => Preset::default(),
        Some(kind) => kind
            .get_ref()
            .parse()
            .map_err(|error: ConfigError| Failure::usage(file.mistake(Some(kind.span()), error.to_string())))?,
    };
    let mut config = ProviderConfig::preset(preset);
    name.clone_into(&mut config.name);
    if let Some(base_url) = base_url.or_else(|| raw.base_url.as_ref().map(|url| url.get_ref().as_str())) {
        base_url.clone_into(&mut config.base_url);
    }
    set(&mut config.timeouts.connect, raw.timeouts.connect);
    set(&mut config.timeouts.first_token, raw.timeouts.first_token);
    set(&mut config.timeouts.idle, raw.timeouts.idle);
    set(&mut config.timeouts.total, raw.timeouts.total);
    config.max_tokens = raw.max_tokens_field.into();
    config.stream_usage = if raw.stream_usage { StreamUsage::Ask } else { StreamUsage::DoNotAsk };
    config.organisation.clone_from(&raw.organisation);
    config.allow_insecure = raw.allow_insecure;
    config.pool_size = concurrency(raw).get();
    config.prices = prices(file, name);
    for (_, model) in file.raw.models.0.iter().filter(|(_, model)| model.provider.get_ref() == name) {
        config.models.set(model.id.get_ref().as_str(), profile(model));
    }
    let state = key(file, raw, preset, &mut config)?;
    Ok((config, state))
}

/// What a team file says of a model beside its price; the rest is as the catalogue knows it.
fn profile(raw: &RawModel) -> ModelProfile {
    let tokens = |count: Option<Count>| count.map(|Count(tokens)| u64::from(tokens));
    ModelProfile {
        context_window: tokens(raw.context),
        max_output: tokens(raw.max_output),
        max_tokens_field: raw.max_tokens_field.map(MaxTokensField::from),
        charge: raw.charge,
        ..ModelProfile::default()
    }
}

impl From<RawMaxTokensField> for MaxTokensField {
    fn from(raw: RawMaxTokensField) -> Self {
        match raw {
            RawMaxTokensField::MaxTokens => Self::MaxTokens,
            RawMaxTokensField::MaxCompletionTokens => Self::MaxCompletionTokens,
        }
    }
}

/// Whether a provider's key is there.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum KeyState {
    /// It is not there, and the provider answers nobody without one.
    Missing(String),
    /// It is not there, and not needed.
    NotNeeded,
    /// It is in this variable.
    Set(String),
}

fn key(file: &TeamFile, raw: &RawProvider, preset: Preset, config: &mut ProviderConfig) -> Result<KeyState, Failure> {
    let named = raw.api_key_env.as_ref();
    // Another endpoint's key does not travel to a server on this machine unless the file names it.
    let elsewhere = config.is_loopback() && named.is_none();
    let Some(variable) =
        named.map(|named| named.get_ref().as_str()).or_else(|| preset.key_env()).filter(|_| !elsewhere)
    else {
        return Ok(KeyState::NotNeeded);
    };
    match ApiKey::from_env(variable) {
        Ok(key) => {
            config.key = Some(key);
            Ok(KeyState::Set(variable.to_owned()))
        }
        Err(ConfigError::MissingKey { .. }) if config.is_loopback() => Ok(KeyState::NotNeeded),
        Err(ConfigError::MissingKey { .. }) if preset.key_required() || named.is_some() => {
            Ok(KeyState::Missing(variable.to_owned()))
        }
        Err(ConfigError::MissingKey { .. }) => Ok(KeyState::NotNeeded),
        Err(error) => {
            Err(Failure::usage(file.mistake(raw.api_key_env.as_ref().map(toml::Spanned::span), error.to_string())))
        }
    }
}

/// A provider and the prices of its models; no provider for a team that will not be asked to run, for connections and
/// their encryption take time and memory.
pub(super) fn provider(
    file: &TeamFile,
    name: &str,
    raw: &RawProvider,
    overrides: &Overrides,
    keys: Keys,
) -> Result<(Option<OpenAiCompatible>, BTreeMap<String, Price>), Failure> {
    let (config, key) = provider_config(file, name, raw, overrides.base_url.as_deref())?;
    if let KeyState::Missing(variable) = key
        && keys == Keys::Required
    {
        let message = format!("no key for provider {name:?}: the environment variable {variable} is not set");
        return Err(Failure::usage(message)
            .remedy(format!("export {variable}=... with the provider's key, or `bellwether demo`, which needs none")));
    }
    let prices = known_prices(file, name, &config);
    let made = match keys {
        Keys::Optional => OpenAiCompatible::check(&config).map(|()| None),
        Keys::Required => OpenAiCompatible::new(config).map(Some),
    };
    let provider = made.map_err(|error| {
        let place = raw.base_url.as_ref().map(toml::Spanned::span);
        Failure::usage(file.mistake(place, format!("provider {name:?}: {error}")))
    })?;
    Ok((provider, prices))
}

/// The prices of the models that the file names: its own, or else what is known of them.
fn known_prices(file: &TeamFile, provider: &str, config: &ProviderConfig) -> BTreeMap<String, Price> {
    let own = file.raw.models.0.iter().filter(|(_, model)| model.provider.get_ref() == provider);
    let id = |(_, model): &(String, RawModel)| model.id.get_ref().clone();
    let price =
        |id: String| config.prices.get(&id).copied().or_else(|| config.models.price(&id)).map(|price| (id, price));
    own.map(id).filter_map(price).collect()
}

pub(super) fn dispatch(
    file: &TeamFile,
    name: &str,
    raw: &RawProvider,
    provider: Arc<dyn ChatProvider>,
    observer: &Arc<dyn Observer>,
) -> (Arc<Dispatch>, Arc<Limiter>) {
    let workflow = &file.raw.workflow;
    let mut policy = RetryPolicy::default();
    if let Some(Count(attempts)) = workflow.transport_attempts {
        policy.max_attempts = attempts;
    }
    set(&mut policy.base, workflow.backoff.base);
    set(&mut policy.cap, workflow.backoff.cap);
    let requests = raw.rpm.map(|Count(rpm)| u64::from(rpm));
    let tokens = raw.tpm.map(|Count(tpm)| u64::from(tpm));
    // One key has one rule of counting: that of the first model which says so.
    let own = file.raw.models.0.iter().filter(|(_, model)| model.provider.get_ref() == name);
    let charge = own.filter_map(|(_, model)| model.charge).next().unwrap_or_default();
    let told = Told { requests, tokens, concurrency: raw.concurrency.max.map(places), charge, stride: Duration::ZERO };
    let limiter = quota::limiter(name, told, observer);
    let room = file.raw.queue;
    let mut dispatch = Dispatch::builder(provider);
    if let Some(Count(percent)) = raw.hedge_percent {
        dispatch = dispatch.hedge(HedgePolicy { percent, ..HedgePolicy::default() });
    }
    let dispatch = dispatch
        .queue_with(move |observer| quota::queue(&room, observer))
        .guard(guard::guard(name))
        .limiter(Arc::<Limiter>::clone(&limiter))
        .estimator(Arc::new(Estimates::default()))
        .retry(policy)
        .observer(Arc::clone(observer))
        .build();
    (Arc::new(dispatch), limiter)
}

fn prices(file: &TeamFile, provider: &str) -> BTreeMap<String, Price> {
    let own = file.raw.models.0.iter().filter(|(_, model)| model.provider.get_ref() == provider);
    let priced = own.filter_map(|(_, model)| Some((model.id.get_ref().clone(), model.usd_per_mtok?)));
    let price = |raw: crate::team_file::raw::RawPrice| Price {
        input_per_mtok: raw.input.0,
        cached_per_mtok: raw.cached.unwrap_or(raw.input).0,
        output_per_mtok: raw.out.0,
    };
    priced.map(|(id, raw)| (id, price(raw))).collect()
}

fn concurrency(raw: &RawProvider) -> NonZeroUsize {
    raw.concurrency.max.map_or(NonZeroUsize::MIN.saturating_add(DEFAULT_CONCURRENCY - 1), places)
}
