//! `[review]` of a team file: what is good enough, and the checks that come before a judge.

use std::sync::Arc;

use bellwether_team::{Check, CommandCheck, PatternCheck, ReviewRules, SchemaCheck};

use crate::exit::Failure;
use crate::team_file::TeamFile;
use crate::team_file::raw::{RawCheck, RawCheckKind, RawExpect, RawReview};

/// What the loop between work and review keeps to.
pub(crate) fn rules(raw: &RawReview) -> ReviewRules {
    let preset = ReviewRules::default();
    ReviewRules {
        threshold: raw.threshold.unwrap_or(preset.threshold),
        max_rounds: raw.max_rounds.unwrap_or(preset.max_rounds),
        max_escalations: raw.max_escalations.unwrap_or(preset.max_escalations),
        freeze_scope: raw.freeze_scope.unwrap_or(preset.freeze_scope),
        min_gain: raw.min_gain.unwrap_or(preset.min_gain),
        on_exhausted: raw.on_exhausted,
    }
}

/// A check as a team file describes it. Programs run in the folder of the file.
pub(crate) fn build(file: &TeamFile, raw: &RawCheck) -> Result<Arc<dyn Check>, Failure> {
    for role in &raw.roles {
        if file.raw.roles.get(role.get_ref()).is_none() {
            let what = format!("there is no role {:?}: known are {}", role.get_ref(), file.raw.roles.names());
            return Err(Failure::usage(file.mistake(Some(role.span()), what)));
        }
    }
    let id = raw.id.get_ref().clone();
    let mistake = |what: String| Failure::usage(file.mistake(Some(raw.id.span()), what));
    let missing = |key: &str| mistake(format!("check {id:?} of this kind needs `{key}`"));
    let roles = raw.roles.iter().map(|role| role.get_ref().clone());
    match raw.kind {
        RawCheckKind::Command => {
            let (program, arguments) = raw.command.split_first().ok_or_else(|| missing("command"))?;
            let mut check = CommandCheck::new(id.clone(), program, arguments.iter().cloned()).for_roles(roles);
            if let Some(folder) = file.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                check = check.in_folder(folder);
            }
            if let Some(limit) = raw.timeout {
                check = check.within(limit.0);
            }
            Ok(Arc::new(if raw.must { check } else { check.advisory() }))
        }
        RawCheckKind::JsonSchema => {
            let named = raw.file.as_ref().ok_or_else(|| missing("file"))?;
            let path = file.path.parent().map_or_else(|| named.get_ref().into(), |folder| folder.join(named.get_ref()));
            let wrong = |why: String| {
                Failure::usage(file.mistake(Some(named.span()), format!("the schema {} {why}", path.display())))
            };
            let text = std::fs::read_to_string(&path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
            let schema = serde_json::from_str(&text).map_err(|error| wrong(format!("is no JSON: {error}")))?;
            let check = SchemaCheck::new(id.clone(), &schema).map_err(|error| mistake(error.to_string()))?;
            let check = check.for_roles(roles);
            Ok(Arc::new(if raw.must { check } else { check.advisory() }))
        }
        RawCheckKind::Regex => {
            let pattern = raw.pattern.as_ref().ok_or_else(|| missing("pattern"))?;
            let check = match raw.expect {
                RawExpect::Absent => PatternCheck::lacks(id, pattern.get_ref()),
                RawExpect::Match => PatternCheck::contains(id, pattern.get_ref()),
            };
            let wrong = |error: bellwether_team::review::check::BadPattern| {
                Failure::usage(file.mistake(Some(pattern.span()), error.to_string()))
            };
            let check = check.map_err(wrong)?.for_roles(roles);
            Ok(Arc::new(if raw.must { check } else { check.advisory() }))
        }
    }
}
