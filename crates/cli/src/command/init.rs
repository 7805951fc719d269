//! `bellwether init`: writes a commented team file to begin with.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};

use super::FEATURE_TEAM;
use crate::args::Init;
use crate::exit::{Exit, Failure};
use crate::terminal::out;

pub(crate) fn run(args: &Init) -> Result<Exit, Failure> {
    let path = args.file.display();
    let mut options = OpenOptions::new();
    // Whether the file is there is asked and answered in one step, so that nothing is ever overwritten by accident.
    options.write(true).create(args.force).truncate(args.force).create_new(!args.force);
    let mut file = options.open(&args.file).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            Failure::usage(format!("{path} is there already")).remedy("another name, or --force to overwrite it")
        }
        _ => Failure::io(format!("{path} cannot be written"), &error),
    })?;
    file.write_all(FEATURE_TEAM.as_bytes())
        .map_err(|error| Failure::io(format!("{path} cannot be written"), &error))?;
    out(&format!(
        "wrote {path}\n\n  bellwether check {path}\n  bellwether run {path} \"what the team is to do\"\n\n\
         The team asks HolySheep AI with the key in HOLYSHEEP_API_KEY; change [provider.main] for another provider.\n"
    ));
    Ok(Exit::Done)
}
