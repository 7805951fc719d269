//! `bellwether router`: what routing has learnt of models.

use std::fmt::Write as _;
use std::path::Path;

use bellwether_router::{Adaptive, History, Settings, StoreError};
use serde_json::json;

use crate::args::{Router, RouterCommand};
use crate::exit::{Exit, Failure};
use crate::routing;
use crate::terminal::{note, out, plain};

pub(crate) fn run(args: &Router) -> Result<Exit, Failure> {
    match args.command {
        RouterCommand::Export => export(&learnt(&args.stats)?, args.json),
        RouterCommand::Reset => reset(args)?,
        RouterCommand::Show => show(&learnt(&args.stats)?, args),
    }
    Ok(Exit::Done)
}

fn learnt(path: &Path) -> Result<History, Failure> {
    let router = open(path)?.map_err(|error| unreadable(&error))?;
    let passed_over = router.passed_over();
    if passed_over > 0 {
        let lines = if passed_over == 1 { "line was" } else { "lines were" };
        note(&format!("{passed_over} {lines} not understood, and passed over"));
    }
    Ok(router.history())
}

/// What was learnt, if it can be read.
fn open(path: &Path) -> Result<Result<Adaptive, StoreError>, Failure> {
    if !path.exists() {
        return Err(Failure::usage(format!("there is no {}: nothing was learnt yet", path.display()))
            .remedy("--stats with the file, and [routing] in the team file"));
    }
    let settings = Settings { frozen: true, ..Settings::default() };
    Ok(Adaptive::open(settings, 0, path))
}

fn unreadable(error: &StoreError) -> Failure {
    Failure::new(Exit::Io, routing::failed(error).to_string()).remedy("--stats with the file that a run wrote")
}

fn reset(args: &Router) -> Result<(), Failure> {
    let forgotten = match open(&args.stats)? {
        Ok(router) => Some(router.history().entries().len()),
        // What another version learnt can be forgotten without being understood.
        Err(StoreError::Schema { .. }) => None,
        Err(error) => return Err(unreadable(&error)),
    };
    Adaptive::reset(&args.stats).map_err(|error| routing::unusable(&error))?;
    let stats = args.stats.display();
    out(&match forgotten {
        _ if args.json => format!("{}\n", json!({ "stats": args.stats, "forgotten": forgotten })),
        Some(forgotten) => format!("forgot {forgotten} outcomes of {stats}\n"),
        None => format!("forgot what another version had learnt in {stats}\n"),
    });
    Ok(())
}

fn export(history: &History, json: bool) {
    if json {
        return out(&format!("{}\n", json!({ "entries": history.entries() })));
    }
    for entry in history.entries() {
        out(&format!("{}\n", json!(entry)));
    }
}

fn show(history: &History, args: &Router) {
    let stats = history.stats();
    let (models, judges) = (stats.models(), stats.judges());
    if args.json {
        let entries = history.entries().len();
        return out(&format!("{}\n", json!({ "entries": entries, "models": models, "judges": judges })));
    }
    let mut text = format!("{} outcomes in {}\n", history.entries().len(), args.stats.display());
    let seconds = |seconds: Option<f64>| seconds.map_or_else(|| "?".to_owned(), |seconds| format!("{seconds:.1}s"));
    for shown in models {
        let _ = writeln!(
            text,
            "\n{} {}: {:.1} attempts lately, p50 {}, p95 {}, {:.2} of the guessed cost",
            plain(&shown.role, false),
            plain(&shown.model, false),
            shown.trials,
            seconds(shown.p50_s),
            seconds(shown.p95_s),
            shown.cost_ratio,
        );
        for cell in shown.cells {
            let (group, seen, accepted) = (cell.group.as_str(), cell.seen, cell.accepted * 100.0);
            let _ = writeln!(text, "  {group:<9} hardness {}  accepted {accepted:5.1} % of {seen:.1}", cell.hardness);
        }
    }
    for judge in judges {
        let (name, flips, audits) = (plain(&judge.judge, false), judge.flips * 100.0, judge.audits);
        let paused = if judge.paused { "; nothing is learnt from it for now" } else { "" };
        let _ = writeln!(text, "\njudge {name}: contradicted in {flips:.0} % of {audits:.1} audits{paused}");
    }
    out(&text);
    if history.entries().is_empty() {
        note("nothing was learnt yet");
    }
}
