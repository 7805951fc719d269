//! `bellwether resume`: goes on with a run that was stopped or crashed.

use std::path::PathBuf;

use bellwether_team::ChangedTerms;

use crate::args::Resume;
use crate::exit::{Exit, Failure};
use crate::parts::Overrides;
use crate::session::{self, Work};
use crate::team_file::TeamFile;
use crate::{memory, terminal};

pub(crate) async fn run(args: Resume) -> Result<Exit, Failure> {
    let reader = memory::read(&args.which.journal)?;
    let info = memory::find(&reader, &args.which.run).await?;
    let file = match &args.team {
        Some(path) => path.clone(),
        None => memory::opening(&reader, &info.run, "origin").await?.map(PathBuf::from).ok_or_else(|| {
            Failure::usage("the journal does not say where the team file is").remedy("--team with the team file")
        })?,
    };
    drop(reader);
    let file = TeamFile::read(&file).map_err(|mistake| Failure::usage(mistake).remedy("--team with the team file"))?;
    terminal::note(&format!("going on with run {}", info.run));
    let changed = if args.adopt_config { ChangedTerms::Adopt } else { ChangedTerms::Refuse };
    let overrides =
        Overrides { base_url: args.base_url, deadline: args.deadline, frozen: args.frozen, ..Overrides::default() };
    let work = Work::Resume(info.run, changed);
    session::run(&file, overrides, &args.budget, work, Some(args.which.journal), &args.view).await
}
