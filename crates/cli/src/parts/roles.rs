//! From a team file to the team's roles: their models, and what they are told to be.

use bellwether_team::{Role, RoleKind, Tier};

use super::{Prices, places, set};
use crate::exit::Failure;
use crate::keyring::Keyring;
use crate::team_file::TeamFile;
use crate::team_file::raw::{Count, RawKind, RawPrompt, RawRole};

pub(super) fn role(
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
    role.temperature = raw.temperature.map(|temperature| temperature.0);
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
