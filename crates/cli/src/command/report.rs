//! `bellwether report`: one file that says what came of a run.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use bellwether_watch::{Story, report};

use crate::args::Report;
use crate::exit::{Exit, Failure};
use crate::memory;
use crate::terminal::{note, offer};

pub(crate) async fn run(args: Report) -> Result<Exit, Failure> {
    let reader = memory::read(&args.which.journal)?;
    let info = memory::find(&reader, &args.which.run).await?;
    let entries = reader.read(&info.run, 0, usize::MAX).await.map_err(|error| memory::failed(&error))?;
    let mut story = Story::of(&entries);
    info.run.as_str().clone_into(&mut story.head.run);
    let text = match (args.html, args.json) {
        (true, _) => report::html(&story),
        (_, true) => format!("{}\n", report::json(&story)),
        _ => report::markdown(&story),
    };
    match &args.output {
        None => publish(&text).map(drop)?,
        Some(path) => {
            write(path, &text).map_err(|error| Failure::io(format!("{} cannot be written", path.display()), &error))?;
            note(&format!("the report of run {} is in {}", info.run, path.display()));
        }
    }
    Ok(Exit::Done)
}

/// Writes what a command is for to standard output, and says whether anybody reads on: in `report | head` nobody may, which
/// is no failure. What finds no room, as on a full disk, is one.
pub(crate) fn publish(text: &str) -> Result<bool, Failure> {
    match offer(text).and_then(|()| io::stdout().flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::io("standard output cannot be written", &error)),
    }
}

/// Writes a file that only its owner can read, whoever could read what was there before: prompts and answers are in it.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    #[cfg(unix)]
    if file.metadata()?.is_file() {
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    }
    file.write_all(text.as_bytes())
}
