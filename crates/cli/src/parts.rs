//! From a team file to a team that can run: the one place that names concrete parts.

use std::collections::{BTreeMap, HashMap};
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bellwether_budget::{Budgeted, Caps};
use bellwether_core::{ChatProvider, Class, Observer, Price};
use bellwether_dispatch::{Dispatch, HedgePolicy, RetryPolicy};
use bellwether_limiter::Limiter;
use bellwether_provider::{
    ApiKey, ConfigError, MaxTokensField, ModelProfile, OpenAiCompatible, Preset, ProviderConfig, StreamUsage,
};
use bellwether_router::{Adaptive, Router};
use bellwether_team::plan::Means;
use bellwether_team::{OnInvalidPlan, OnTaskFailure, Role, RoleKind, Settings, Share, SpawnRules, Team, Tier};

use crate::exit::Failure;
use crate::guard;
use crate::keyring::Keyring;
use crate::memory::Memory;
use crate::purse::{self, Purse};
use crate::quota::{self, Told};
use crate::team_file::TeamFile;
use crate::team_file::raw::{
    Count, RawClass, RawKind, RawMaxTokensField, RawModel, RawOnInvalid, RawOnTaskFailure, RawPlan, RawPrompt,
    RawProvider, RawRole, Span,
};
use crate::{checks, routing};

/// How many calls may be in flight if the team file does not say.
const DEFAULT_CONCURRENCY: usize = 8;

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
    /// Its providers, each behind its queue and limiter; to be shut down after the run.
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
    /// It will not be asked to run.
    Optional,
    /// It is about to run.
    Required,
}

/// Puts the parts together. Needs a runtime.
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
            let (dispatch, limiter) = dispatch(file, name, raw, purse.guard(Arc::new(provider), known), observer);
            dispatches.insert(name.as_str(), dispatch);
            limiters.push(limiter);
        }
    }
    let settings = settings(file, overrides)?;
    let path = std::path::absolute(&file.path).unwrap_or_else(|_| file.path.clone());
    let mut builder = Team::builder(file.raw.team.name.as_str())
        .settings(settings)
        .observer(Arc::clone(observer))
        .tenant(purse::tenant(&file.raw.team))
        .origin(path.display().to_string());
    if let Some(memory) = memory {
        builder = builder.journal(memory.journal);
    }
    let keyring = Keyring { file, keys: dispatches, observer };
    for (name, raw) in &file.raw.roles.0 {
        builder = builder.role(role(file, name, raw, &keyring, &prices)?);
    }
    for raw in &file.raw.review.checks {
        builder = builder.check(checks::build(file, raw)?);
    }
    let router = routing::build(file, overrides, keys)?;
    if let Some(router) = &router {
        builder = builder.router(Arc::<Adaptive>::clone(router) as Arc<dyn Router>);
    }
    let team = builder.build().map_err(|error| Failure::usage(file.mistake(None, error.to_string())))?;
    Ok(Parts { team, dispatches: keyring.keys.into_values().collect(), limiters, purse: purse.shared(), router })
}

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

fn provider(
    file: &TeamFile,
    name: &str,
    raw: &RawProvider,
    overrides: &Overrides,
    keys: Keys,
) -> Result<(OpenAiCompatible, BTreeMap<String, Price>), Failure> {
    let (config, key) = provider_config(file, name, raw, overrides.base_url.as_deref())?;
    if let KeyState::Missing(variable) = key
        && keys == Keys::Required
    {
        let message = format!("no key for provider {name:?}: the environment variable {variable} is not set");
        return Err(Failure::usage(message)
            .remedy(format!("export {variable}=... with the provider's key, or `bellwether demo`, which needs none")));
    }
    let prices = known_prices(file, name, &config);
    let provider = OpenAiCompatible::new(config).map_err(|error| {
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

fn dispatch(
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
    let told = Told { requests, tokens, concurrency: raw.concurrency.max.map(places), charge };
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
        .retry(policy)
        .observer(Arc::clone(observer))
        .build();
    (Arc::new(dispatch), limiter)
}

fn settings(file: &TeamFile, overrides: &Overrides) -> Result<Settings, Failure> {
    let raw = &file.raw;
    let mut settings = Settings::default();
    if let Some(count) = overrides.max_parallel.map(Count).or(raw.workflow.max_parallel) {
        settings.max_parallel = places(count);
    }
    if let Some(count) = raw.plan.max_tasks {
        settings.max_tasks = places(count);
    }
    if let Some(count) = raw.plan.max_depth {
        settings.max_depth = places(count);
    }
    settings.spawn = spawn(&raw.plan);
    settings.max_questions = raw.workflow.max_questions.unwrap_or(settings.max_questions);
    settings.plan_repairs = raw.plan.repair_attempts.unwrap_or(settings.plan_repairs);
    settings.right_size = raw.plan.right_size.unwrap_or(settings.right_size);
    let Caps { usd, tokens, calls, .. } = purse::caps(file, overrides);
    settings.means = Means { usd, tokens, calls };
    if let Some(Count(attempts)) = raw.workflow.max_attempts {
        settings.max_attempts = attempts;
    }
    settings.review = checks::rules(&raw.review);
    settings.may_skip_review = raw.review.may_skip.unwrap_or(settings.may_skip_review);
    settings.on_invalid_plan = match raw.plan.on_invalid {
        RawOnInvalid::Fail => OnInvalidPlan::Fail,
        RawOnInvalid::Fallback => OnInvalidPlan::Fallback,
    };
    settings.deadline = overrides.deadline.or_else(|| raw.budget.deadline.map(|span| span.0));
    set(&mut settings.grace, raw.workflow.grace);
    if let Some(Count(weight)) = raw.team.weight {
        settings.weight = NonZeroU32::MIN.saturating_add(weight - 1);
    }
    settings.class = match raw.team.class {
        RawClass::Batch => Class::Batch,
        RawClass::Interactive => Class::Interactive,
        RawClass::Standard => Class::Standard,
    };
    settings.approve_plan = overrides.approve_plan || raw.approval.plan;
    if let Some(Count(entries)) = raw.journal.snapshot_every {
        settings.snapshot_every = NonZeroU64::MIN.saturating_add(u64::from(entries) - 1);
    }
    settings.pipelined = raw.workflow.pipelined.unwrap_or(settings.pipelined);
    settings.on_task_failure = on_task_failure(file)?;
    settings.task_deadline = raw.workflow.task_deadline.map(|span| span.0);
    set(&mut settings.stall_after, raw.workflow.stall_after);
    Ok(settings)
}

/// How far tasks may ask for further ones.
fn spawn(raw: &RawPlan) -> SpawnRules {
    let usual = SpawnRules::default();
    SpawnRules {
        max_tasks: raw.max_spawn.map_or(usual.max_tasks, |most| usize::try_from(most).unwrap_or(usize::MAX)),
        max_depth: raw.max_spawn_depth.unwrap_or(usual.max_depth),
        join: raw.join.map_or(usual.join, |join| join.0),
    }
}

/// What to do when a task comes to nothing; a quorum needs to know how much of the plan it is.
fn on_task_failure(file: &TeamFile) -> Result<OnTaskFailure, Failure> {
    let workflow = &file.raw.workflow;
    let wrong = |what: &str| Failure::usage(file.mistake(None, what));
    match (workflow.on_task_failure, workflow.quorum) {
        (RawOnTaskFailure::Quorum, Some(share)) => Share::new(share)
            .map(OnTaskFailure::Quorum)
            .ok_or_else(|| wrong("workflow.quorum has to lie between 0 and 1")),
        (RawOnTaskFailure::Quorum, None) => {
            Err(wrong("on_task_failure = \"quorum\" needs quorum = 0.0 to 1.0, the share of tasks that must succeed"))
        }
        (_, Some(_)) => Err(wrong("quorum has no effect without on_task_failure = \"quorum\"")),
        (RawOnTaskFailure::ContinueIndependent, None) => Ok(OnTaskFailure::ContinueIndependent),
        (RawOnTaskFailure::FailFast, None) => Ok(OnTaskFailure::FailFast),
    }
}

fn role(
    file: &TeamFile,
    name: &str,
    raw: &RawRole,
    keyring: &Keyring<'_>,
    prices: &Prices<'_>,
) -> Result<Role, Failure> {
    let mut tiers = Vec::new();
    for tier in &raw.tiers {
        let model = keyring.model(tier)?;
        let served = keyring.serving(tier.get_ref(), model)?;
        let mut known = Tier::new(served, model.id.get_ref().as_str());
        known.name = tier.get_ref().as_str().into();
        if let Some(family) = &model.family {
            known.family = family.as_str().into();
        }
        known.price = prices.get(model.provider.get_ref().as_str()).and_then(|of| of.get(model.id.get_ref())).copied();
        known.context = model.context.map(|count| places(count).get());
        known.max_output = model.max_output.map(|Count(tokens)| tokens);
        tiers.push(known);
    }
    let kind = match raw.kind {
        RawKind::Planner => RoleKind::Planner,
        RawKind::Reviewer => RoleKind::Reviewer,
        RawKind::Synthesizer => RoleKind::Synthesizer,
        RawKind::Worker => RoleKind::Worker,
    };
    let mut role = Role::new(kind, name, prompt(file, name, raw)?, tiers);
    role.temperature = raw.temperature;
    role.may_spawn = raw.may_spawn;
    role.may_ask = raw.may_ask;
    role.max_output_tokens = raw.max_output_tokens.map(|count| count.0);
    set(&mut role.timeout, raw.timeout);
    if let Some(count) = raw.instances.max {
        role.instances = places(count);
    }
    if let Some(count) = raw.history.window_tokens {
        role.history_tokens = places(count).get();
    }
    Ok(role)
}

fn prompt(file: &TeamFile, name: &str, raw: &RawRole) -> Result<String, Failure> {
    let Some(prompt) = &raw.prompt else {
        let what = format!("role {name:?} has no prompt: add prompt = \"...\" or prompt = {{ file = \"...\" }}");
        return Err(Failure::usage(file.mistake(None, what)));
    };
    match prompt.get_ref() {
        RawPrompt::Text(text) => Ok(text.clone()),
        RawPrompt::File(beside) => {
            let path = file.path.parent().map_or_else(|| beside.into(), |folder| folder.join(beside));
            std::fs::read_to_string(&path).map_err(|error| {
                let what = format!("the prompt of role {name:?}, {}, cannot be read: {error}", path.display());
                Failure::usage(file.mistake(Some(prompt.span()), what))
            })
        }
    }
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
    fn a_team_says_how_urgent_it_is_and_how_much_it_weighs() {
        let text = "schema = 1\nprovider = {}\nmodels = {}\nroles = {}\n\
                    team = { name = 't', class = 'batch', weight = 7 }\n";
        let file = TeamFile::parse("team.toml".as_ref(), text.to_owned()).unwrap();
        let settings = settings(&file, &Overrides::default()).expect("the file is right");
        assert_eq!((settings.class, settings.weight.get()), (Class::Batch, 7));
    }
}
