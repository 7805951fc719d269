//! `bellwether run`: lets a team work on a task.

use std::io::Read;
use std::path::PathBuf;

use crate::args::Run;
use crate::exit::{Exit, Failure};
use crate::memory;
use crate::parts::Overrides;
use crate::session::{self, Work};
use crate::team_file::TeamFile;

/// The longest task that is read from standard input.
const MAX_TASK_BYTES: u64 = 1 << 20;

pub(crate) async fn run(args: Run) -> Result<Exit, Failure> {
    let file = TeamFile::read(&args.team).map_err(Failure::usage)?;
    let task = if args.task == "-" { from_stdin()? } else { args.task };
    if task.trim().is_empty() {
        return Err(Failure::usage("the task is empty").remedy("say what the team is to do"));
    }
    let overrides = Overrides {
        base_url: args.base_url,
        max_parallel: args.max_parallel,
        deadline: args.deadline,
        frozen: args.frozen,
        ..Overrides::default()
    };
    let named = args.journal.or_else(|| file.raw.journal.dir.as_ref().map(PathBuf::from));
    let journal = (!args.no_journal).then(|| named.unwrap_or_else(|| memory::DIRECTORY.into()));
    let work = Work::Begin(task.trim().to_owned());
    session::run(&file, overrides, &args.budget, work, journal, &args.view).await
}

fn from_stdin() -> Result<String, Failure> {
    let mut task = String::new();
    std::io::stdin()
        .take(MAX_TASK_BYTES)
        .read_to_string(&mut task)
        .map_err(|error| Failure::io("the task cannot be read from standard input", &error))?;
    Ok(task)
}
