//! `bellwether doctor`: says what is wrong with a team's providers, and how to mend it.

use std::io::{self, IsTerminal};

use bellwether_provider::{Check, Diagnosis, Health, doctor};
use serde_json::json;

use crate::args::Doctor;
use crate::exit::{self, Exit, Failure};
use crate::parts::{self, KeyState};
use crate::team_file::TeamFile;
use crate::terminal::{note, out, plain};

pub(crate) async fn run(args: Doctor) -> Result<Exit, Failure> {
    let file = TeamFile::read(&args.team).map_err(Failure::usage)?;
    if file.raw.models.0.is_empty() {
        return Err(Failure::usage(file.mistake(None, "there is no model in it to ask for: add [models.NAME]")));
    }
    let mut ended = None;
    for (_, model) in &file.raw.models.0 {
        let name = model.provider.get_ref();
        let raw = file.raw.provider.get(name).ok_or_else(|| {
            let what = format!("there is no provider {name:?}: known are {}", file.raw.provider.names());
            Failure::usage(file.mistake(Some(model.provider.span()), what))
        })?;
        let (config, key) = parts::provider_config(&file, name, raw, args.base_url.as_deref())?;
        if io::stderr().is_terminal() {
            note(&format!("examining {name} with {}", plain(model.id.get_ref(), false)));
        }
        let mut diagnosis = doctor(config, model.id.get_ref()).await;
        if let KeyState::Missing(variable) = key {
            missing(&mut diagnosis, &variable);
        }
        ended = ended.or_else(|| of(&diagnosis));
        out(&if args.json { machine(&diagnosis) } else { plain(&diagnosis.to_string(), true) });
    }
    Ok(ended.unwrap_or(Exit::Done))
}

/// How a run would end of the first thing that is broken, if any is.
fn of(diagnosis: &Diagnosis) -> Option<Exit> {
    let broken = diagnosis.findings.iter().find(|finding| finding.state == Health::Broken)?;
    Some(match (broken.kind, broken.check) {
        (Some(kind), _) => exit::of_kind(kind),
        (None, Check::Key | Check::Settings) => Exit::Usage,
        (None, _) => Exit::Failed,
    })
}

/// A run does not begin without the key that the team file names, whatever the endpoint thinks of it.
fn missing(diagnosis: &mut Diagnosis, variable: &str) {
    for finding in diagnosis.findings.iter_mut().filter(|finding| finding.check == Check::Key) {
        finding.state = Health::Broken;
        finding.says = format!("{variable} is not set");
        finding.remedy = Some(format!("put the key into {variable}; no run begins without it"));
    }
}

fn machine(diagnosis: &Diagnosis) -> String {
    let findings: Vec<_> = diagnosis
        .findings
        .iter()
        .map(|finding| {
            json!({
                "check": finding.check.as_str(), "state": finding.state.as_str(),
                "says": finding.says, "remedy": finding.remedy,
            })
        })
        .collect();
    format!("{}\n", json!({ "provider": diagnosis.provider, "model": diagnosis.model, "findings": findings }))
}
