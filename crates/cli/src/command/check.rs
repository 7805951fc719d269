//! `bellwether check`: reads a team file, puts the team together, and shows what it amounts to.

use std::fmt::Write as _;
use std::sync::Arc;

use bellwether_budget::Caps;
use bellwether_core::{Observer, Usd};
use bellwether_team::{OnInvalidPlan, OnTaskFailure, RoleKind};
use serde_json::{Value, json};

use crate::args::Check;
use crate::exit::{Exit, Failure};
use crate::parts::{self, KeyState, Keys, Overrides};
use crate::purse;
use crate::routing::RawRouting;
use crate::team_file::TeamFile;
use crate::terminal::{note, out};

pub(crate) async fn run(args: &Check) -> Result<Exit, Failure> {
    let file = TeamFile::read(&args.team).map_err(Failure::usage)?;
    let observer: Arc<dyn Observer> = Arc::new(());
    let parts = parts::build(&file, &Overrides::default(), Keys::Optional, &observer, None)?;
    parts.team.roles().try_for_each(|role| purse::provable(&file, &Overrides::default(), role))?;
    let mut providers = Vec::new();
    let mut missing = Vec::new();
    for (name, raw) in &file.raw.provider.0 {
        let (config, key) = parts::provider_config(&file, name, raw, None)?;
        let key = match key {
            KeyState::Missing(variable) => {
                let shown = format!("missing: set {variable}");
                missing.push(variable);
                shown
            }
            KeyState::NotNeeded => "not needed".to_owned(),
            KeyState::Set(variable) => format!("in {variable}"),
        };
        providers.push(json!({ "name": name, "base_url": config.shown_url(), "key": key }));
    }
    let shown = json!({
        "team": parts.team.name(),
        "providers": providers,
        "roles": parts.team.roles().map(|role| json!({
            "name": *role.name,
            "kind": role.kind.as_str(),
            "models": role.tiers.iter().map(|tier| &*tier.model).collect::<Vec<_>>(),
            "instances": role.instances,
            "timeout": humantime::format_duration(role.timeout).to_string(),
            "max_output_tokens": role.max_output_tokens,
            "history_tokens": role.history_tokens,
            "may_ask": role.may_ask,
            "may_spawn": role.may_spawn,
        })).collect::<Vec<_>>(),
        "budget": budget(&file),
        "settings": settings(&parts.team, &file),
    });
    out(&if args.json { format!("{shown}\n") } else { text(&shown) });
    for variable in missing {
        note(&format!("warning: the file is right, but {variable} is not set here: `bellwether run` needs it"));
    }
    Ok(Exit::Done)
}

/// What is capped, and by how much.
fn budget(file: &TeamFile) -> Vec<Value> {
    let raw = &file.raw.budget;
    let roles = file.raw.roles.0.iter().map(|(name, role)| (format!("role {name}"), Caps::from(role.budget)));
    let all = [
        ("run".to_owned(), purse::caps(file, &Overrides::default())),
        ("each task".to_owned(), raw.task.into()),
        (format!("day of {}", purse::tenant(&file.raw.team)), raw.tenant_day.into()),
    ];
    let capped = all.into_iter().chain(roles).filter(|(_, caps)| *caps != Caps::default());
    let shown = capped.map(|(name, Caps { usd, tokens, calls, time })| {
        let time = time.map(|time| humantime::format_duration(time).to_string());
        json!({ "name": name, "usd": usd.map(Usd::as_dollars), "tokens": tokens, "calls": calls, "time": time })
    });
    shown.collect()
}

fn settings(team: &bellwether_team::Team, file: &TeamFile) -> Value {
    let settings = team.settings();
    let combines = team.roles().any(|role| role.kind == RoleKind::Synthesizer);
    json!({
        "routing": file.raw.routing.as_ref().map_or("fixed", RawRouting::mode),
        "reserve_for_synthesis": combines.then(|| settings.reserve_for_synthesis.value()),
        "may_skip_review": settings.may_skip_review,
        "freeze_scope": settings.review.freeze_scope,
        "min_gain": settings.review.min_gain,
        "on_invalid_plan": match settings.on_invalid_plan {
            OnInvalidPlan::Fail => "fail",
            OnInvalidPlan::Fallback => "fallback",
        },
        "weight": settings.weight,
        "class": settings.class.as_str(),
        "max_parallel": settings.max_parallel,
        "max_tasks": settings.max_tasks,
        "max_depth": settings.max_depth,
        "max_questions": settings.max_questions,
        "max_spawn": settings.spawn.max_tasks,
        "max_spawn_depth": settings.spawn.max_depth,
        "join": settings.spawn.join.to_string(),
        "plan_repairs": settings.plan_repairs,
        "right_size": settings.right_size,
        "max_attempts": settings.max_attempts,
        "max_rounds": settings.review.max_rounds,
        "max_escalations": settings.review.max_escalations,
        "threshold": settings.review.threshold,
        "on_exhausted": settings.review.on_exhausted,
        "checks": team.checks().map(bellwether_team::Check::id).collect::<Vec<_>>(),
        "approve_plan": settings.approve_plan,
        "pipelined": settings.pipelined,
        "on_task_failure": match settings.on_task_failure {
            OnTaskFailure::ContinueIndependent => "continue_independent".to_owned(),
            OnTaskFailure::FailFast => "fail_fast".to_owned(),
            OnTaskFailure::Quorum(share) => format!("quorum of {}", share.value()),
        },
        "task_deadline": settings.task_deadline.map(|deadline| humantime::format_duration(deadline).to_string()),
        "stall_after": humantime::format_duration(settings.stall_after).to_string(),
        "deadline": settings.deadline.map(|deadline| humantime::format_duration(deadline).to_string()),
        "grace": humantime::format_duration(settings.grace).to_string(),
    })
}

/// The same for people: a line per provider, role and setting.
fn text(shown: &Value) -> String {
    let mut text = format!("team {}: understood\n", shown["team"].as_str().unwrap_or_default());
    for section in ["providers", "roles", "budget"] {
        let _ = writeln!(text, "\n{section}");
        let entries = shown[section].as_array().map_or(&[][..], Vec::as_slice);
        if entries.is_empty() {
            text.push_str("  none\n");
        }
        for entry in entries {
            let fields = entry.as_object().into_iter().flatten();
            let fields = fields.filter(|(key, value)| *key != "name" && !(section == "budget" && value.is_null()));
            let fields: Vec<String> = fields.map(|(key, value)| format!("{key} {}", bare(value))).collect();
            let _ = writeln!(text, "  {:<10} {}", bare(&entry["name"]), fields.join(", "));
        }
    }
    text.push_str("\nsettings\n");
    for (key, value) in shown["settings"].as_object().into_iter().flatten() {
        let _ = writeln!(text, "  {key:<21} {}", bare(value));
    }
    text
}

fn bare(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(bare).collect::<Vec<_>>().join(" > "),
        other => other.to_string(),
    }
}
