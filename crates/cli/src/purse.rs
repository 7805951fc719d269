//! What keeps a team within its budgets: the caps of its file in one ledger, and its tenant's day in the journal.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bellwether_budget::{Account, Amount, Budgeted, Caps, Exceeded, Ledger, Refusal, Scope, Till};
use bellwether_core::{CallContext, ChatProvider, Fact, Observer, Price, Usd};
use bellwether_journal::SqliteJournal;
use bellwether_journal::spend::{Spending, Today};
use bellwether_team::{Booked, Doubt, Role, Settings, Share, new_run_id};

use crate::exit::Failure;
use crate::parts::{Keys, Overrides, provider_config};
use crate::team_file::TeamFile;
use crate::team_file::raw::{RawCaps, RawKind, RawModel, RawTeam};

/// How often a day's account is looked at again while others' reservations are in the way.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Puts every provider of a team under its budgets, if there are any.
pub(crate) struct Purse {
    scopes: Vec<(Scope, Caps)>,
    day: Option<Arc<dyn Till>>,
    first: Option<Arc<Budgeted>>,
    /// Whether a part of it is held back for making the parts one whole.
    holds_back: bool,
}

impl Purse {
    /// The budgets of a team file.
    pub(crate) fn new(
        file: &TeamFile,
        overrides: &Overrides,
        journal: Option<&Arc<SqliteJournal>>,
        keys: Keys,
    ) -> Result<Self, Failure> {
        let budget = &file.raw.budget;
        let roles = file.raw.roles.0.iter().map(|(name, raw)| (Scope::Role(name.as_str().into()), raw.budget.into()));
        let all = caps(file, overrides);
        let whole = held_back(file).map(|share| (all_but_the_whole(), all.holding_back(share)));
        let holds_back = whole.is_some();
        let scopes = [(Scope::Everything, all), (Scope::EachTask, budget.task.into())];
        let scopes =
            scopes.into_iter().chain(whole).chain(roles).filter(|(_, caps)| *caps != Caps::default()).collect();
        let of_day = Caps::from(budget.tenant_day);
        let day = match journal {
            _ if of_day == Caps::default() => None,
            Some(journal) => Some(Arc::new(Day::new(Arc::clone(journal), tenant(&file.raw.team), of_day)) as _),
            None if keys == Keys::Optional => None,
            None => {
                return Err(Failure::usage(
                    file.mistake(None, "budget.tenant_day is kept in the journal, and there is none"),
                )
                .remedy("leave out --no-journal, or [budget.tenant_day]"));
            }
        };
        Ok(Self { scopes, day, first: None, holds_back })
    }

    /// The same provider, within the budgets.
    pub(crate) fn guard(
        &mut self,
        provider: Arc<dyn ChatProvider>,
        prices: BTreeMap<String, Price>,
    ) -> Arc<dyn ChatProvider> {
        if self.scopes.is_empty() && self.day.is_none() {
            return provider;
        }
        let budgeted = match (&self.first, &self.day) {
            (Some(first), _) => first.sharing(provider),
            (None, None) => Budgeted::new(provider, Ledger::new(self.scopes.clone())),
            (None, Some(day)) => Budgeted::new(provider, Ledger::new(self.scopes.clone())).till(Arc::clone(day)),
        };
        let priced = prices.into_iter().fold(budgeted, |budgeted, (model, price)| budgeted.price(model, price));
        let priced = Arc::new(priced);
        self.first.get_or_insert_with(|| Arc::clone(&priced));
        priced
    }

    /// Hears what a team tells, and tells it on.
    pub(crate) fn observer(&self, told: &Arc<dyn Observer>) -> Arc<dyn Observer> {
        match &self.first {
            Some(purse) if self.holds_back => Arc::new(GivesBack { purse: Arc::clone(purse), told: Arc::clone(told) }),
            _ => Arc::clone(told),
        }
    }

    /// What all guarded providers share, if there are budgets.
    pub(crate) fn shared(self) -> Option<Arc<Budgeted>> {
        self.first
    }
}

/// Gives back what is held back for a whole as soon as there will be none: a plan of one task is its own.
#[derive(Debug)]
struct GivesBack {
    purse: Arc<Budgeted>,
    told: Arc<dyn Observer>,
}

impl Observer for GivesBack {
    fn observe(&self, fact: &Fact) {
        if matches!(fact, Fact::PlanAccepted { tasks, .. } if tasks.len() == 1) {
            self.purse.lift(&all_but_the_whole());
        }
        self.told.observe(fact);
    }
}

fn all_but_the_whole() -> Scope {
    Scope::AllBut("combine".into())
}

/// The run's budget in the team file, as far as the command line does not say otherwise.
pub(crate) fn caps(file: &TeamFile, overrides: &Overrides) -> Caps {
    let (raw, given) = (&file.raw.budget, overrides.budget);
    Caps {
        usd: given.usd.or_else(|| raw.usd.map(|usd| usd.0)),
        tokens: given.tokens.or(raw.tokens),
        calls: given.calls.or(raw.calls),
        time: given.time.or_else(|| raw.time.map(|span| span.0)),
    }
}

/// Whether it can be known before each call of a role what it may take, as far as budgets ask for that: a call of which it
/// cannot is refused, and a run would find that out only after its planning was paid for.
pub(crate) fn provable(file: &TeamFile, overrides: &Overrides, role: &Role) -> Result<(), Failure> {
    let budget = &file.raw.budget;
    let of_roles = file.raw.roles.0.iter().map(|(_, raw)| Caps::from(raw.budget));
    let all = [caps(file, overrides), budget.task.into(), budget.tenant_day.into()];
    let all: Vec<Caps> = all.into_iter().chain(of_roles).collect();
    let money = all.iter().any(|caps| caps.usd.is_some());
    let tokens = all.iter().any(|caps| caps.tokens.is_some());
    let wrong = |what: String| Err(Failure::usage(file.mistake(None, what)));
    for tier in &role.tiers {
        let name = &tier.name;
        let unpriced = |model: &str, name: &str| {
            format!("money is capped, and nobody says what {model} costs: set usd_per_mtok in [models.{name}]")
        };
        if money && tier.price.is_none() {
            return wrong(unpriced(&tier.model, name));
        }
        for (name, model) in fallbacks(file, name).filter(|_| money) {
            if !is_priced(file, model)? {
                return wrong(unpriced(model.id.get_ref(), name));
            }
        }
        if (money || tokens) && role.max_output_tokens.is_none() && tier.max_output.is_none() {
            let role = &role.name;
            return wrong(format!(
                "money or tokens are capped, and nobody says how long an answer of role {role} may be: set max_output_tokens in \
                 [roles.{role}], or max_output in [models.{name}]"
            ));
        }
    }
    Ok(())
}

/// The models that a model falls back to, with what the file calls them.
fn fallbacks<'a>(file: &'a TeamFile, name: &str) -> impl Iterator<Item = (&'a str, &'a RawModel)> {
    let models = &file.raw.models;
    let names = models.get(name).into_iter().flat_map(|model| &model.fallback);
    names.filter_map(|name| Some((name.get_ref().as_str(), models.get(name.get_ref())?)))
}

/// Whether the file or the catalogue says what a model costs.
fn is_priced(file: &TeamFile, model: &RawModel) -> Result<bool, Failure> {
    let Some(provider) = file.raw.provider.get(model.provider.get_ref()).filter(|_| model.usd_per_mtok.is_none())
    else {
        return Ok(model.usd_per_mtok.is_some());
    };
    let (config, _) = provider_config(file, model.provider.get_ref(), provider, None)?;
    Ok(config.models.price(model.id.get_ref()).is_some())
}

impl From<RawCaps> for Caps {
    fn from(raw: RawCaps) -> Self {
        let RawCaps { usd, tokens, calls, time } = raw;
        Self { usd: usd.map(|usd| usd.0), tokens, calls, time: time.map(|span| span.0) }
    }
}

/// The share of the run's budget that is held back for making the parts one whole, if somebody does that.
fn held_back(file: &TeamFile) -> Option<f64> {
    let combines = file.raw.roles.0.iter().any(|(_, raw)| matches!(raw.kind, RawKind::Synthesizer));
    combines.then(|| reserve(file).value())
}

/// The share that a team with a synthesizer holds back for it.
pub(crate) fn reserve(file: &TeamFile) -> Share {
    let given = file.raw.budget.reserve_for_synthesis;
    given.map_or_else(|| Settings::default().reserve_for_synthesis, |reserve| reserve.0)
}

/// Who pays for a team's calls.
pub(crate) fn tenant(raw: &RawTeam) -> &str {
    raw.tenant.as_deref().unwrap_or("default")
}

/// Books what a run took in processes before this one; of a call in doubt its worst case.
pub(crate) fn book(purse: &Budgeted, booked: &Booked) {
    let spent = booked.spent;
    let known = Amount {
        usd: spent.usage.cost.unwrap_or_default(),
        tokens: spent.usage.tokens(),
        calls: u64::from(spent.calls) + u64::from(spent.retries),
        time: spent.busy,
    };
    let time = booked.context.timeout.unwrap_or_default();
    let doubtful = booked.in_doubt.as_ref().map(|Doubt { model, messages, bytes, max_output_tokens }| {
        purse.worst_of(model, (*messages, *bytes), *max_output_tokens, time)
    });
    purse.book(&booked.context, known.plus(doubtful.unwrap_or_default()));
}

/// A tenant's account of the present day, in the journal, where all its processes find it.
#[derive(Debug)]
struct Day {
    journal: Arc<SqliteJournal>,
    tenant: String,
    caps: Caps,
    /// Tells this process' reservations from others'.
    process: String,
}

impl Day {
    fn new(journal: Arc<SqliteJournal>, tenant: &str, caps: Caps) -> Self {
        Self { journal, tenant: tenant.to_owned(), caps, process: new_run_id().to_string() }
    }

    fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.process)
    }

    fn refusal(&self, what: impl std::fmt::Display) -> Refusal {
        let message = format!("the budget of tenant {} for today (UTC) does not cover the call: {what}", self.tenant);
        Refusal { scope: "tenant_day", message }
    }
}

#[async_trait]
impl Till for Day {
    fn caps(&self) -> Caps {
        self.caps
    }

    async fn reserve(&self, number: u64, _: &CallContext, worst: Amount) -> Result<(), Refusal> {
        let caps = self.caps;
        let exceeded = move |today: &Today| {
            let account = Account { spent: amount(today.spent), reserved: amount(today.reserved) };
            let limit = account.spent.plus(account.reserved).plus(worst).above(&caps)?;
            Some(Exceeded { scope: Scope::EachTenant, limit, caps, account, worst })
        };
        loop {
            let fits = move |today: &Today| exceeded(today).is_none();
            let asked = self.journal.reserve(&self.tenant, &self.id(number), spending(worst), fits).await;
            let today = match asked {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(today)) => today,
                Err(error) => return Err(self.refusal(error)),
            };
            match exceeded(&today) {
                Some(exceeded) if !exceeded.may_fit_later() => return Err(self.refusal(exceeded.shortfall())),
                _ => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    }

    fn settle(&self, number: u64, took: Amount) {
        self.journal.settle(&self.tenant, &self.id(number), spending(took));
    }
}

const fn spending(amount: Amount) -> Spending {
    let Amount { usd, tokens, calls, time } = amount;
    Spending { nanos: usd.as_nanos(), tokens, calls, time }
}

const fn amount(spending: Spending) -> Amount {
    let Spending { nanos, tokens, calls, time } = spending;
    Amount { usd: Usd::from_nanos(nanos), tokens, calls, time }
}

#[cfg(test)]
mod tests;
