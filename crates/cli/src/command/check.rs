//! `bellwether check`: reads a team file, puts the team together, and shows what it amounts to.

use std::fmt::Write as _;
use std::sync::Arc;

use bellwether_core::Observer;
use bellwether_team::OnTaskFailure;
use serde_json::{Value, json};

use crate::args::Check;
use crate::exit::{Exit, Failure};
use crate::parts::{self, KeyState, Keys, Overrides};
use crate::team_file::TeamFile;
use crate::terminal::{note, out};

pub(crate) async fn run(args: &Check) -> Result<Exit, Failure> {
    let file = TeamFile::read(&args.team).map_err(Failure::usage)?;
    let observer: Arc<dyn Observer> = Arc::new(());
    let parts = parts::build(&file, &Overrides::default(), Keys::Optional, &observer, None)?;
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
        providers.push(json!({ "name": name, "base_url": config.base_url, "key": key }));
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
        "settings": settings(&parts.team),
    });
    out(&if args.json { format!("{shown}\n") } else { text(&shown) });
    for variable in missing {
        note(&format!("warning: the file is right, but {variable} is not set here: `bellwether run` needs it"));
    }
    Ok(Exit::Done)
}

fn settings(team: &bellwether_team::Team) -> Value {
    let settings = team.settings();
    json!({
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
    for section in ["providers", "roles"] {
        let _ = writeln!(text, "\n{section}");
        for entry in shown[section].as_array().into_iter().flatten() {
            let fields = entry.as_object().into_iter().flatten().filter(|(key, _)| *key != "name");
            let fields: Vec<String> = fields.map(|(key, value)| format!("{key} {}", bare(value))).collect();
            let _ = writeln!(text, "  {:<10} {}", bare(&entry["name"]), fields.join(", "));
        }
    }
    text.push_str("\nsettings\n");
    for (key, value) in shown["settings"].as_object().into_iter().flatten() {
        let _ = writeln!(text, "  {key:<14} {}", bare(value));
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
