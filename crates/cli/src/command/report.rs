//! `bellwether report`: one file that says what came of a run.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use bellwether_watch::{Story, report};

use crate::args::Report;
use crate::exit::{Exit, Failure};
use crate::memory;
use crate::terminal::{note, out};

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
        None => out(&text),
        Some(path) => {
            write(path, &text).map_err(|error| Failure::io(format!("{} cannot be written", path.display()), &error))?;
            note(&format!("the report of run {} is in {}", info.run, path.display()));
        }
    }
    Ok(Exit::Done)
}

/// Writes a file that only its owner can read: prompts and answers are in it.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}
