//! `bellwether fork`: a new run that begins where another one was.

use bellwether_team::{fork, new_run_id};
use serde_json::json;

use crate::args::Fork;
use crate::exit::{Exit, Failure};
use crate::terminal::{note, out};
use crate::{memory, session};

pub(crate) async fn run(args: Fork) -> Result<Exit, Failure> {
    let reader = memory::read(&args.which.journal)?;
    let info = memory::find(&reader, &args.which.run).await?;
    drop(reader);
    let journal = memory::open(&args.which.journal, None)?;
    let into = new_run_id();
    fork(&*journal, &info.run, args.at, &into).await.map_err(session::not_resumed)?;
    out(&if args.json {
        format!("{}\n", json!({ "run_id": into, "forked_from": info.run, "at": args.at }))
    } else {
        format!("run {into} begins where run {} was after entry {}\n", info.run, args.at)
    });
    note(&format!("go on with: bellwether resume {into}{}", session::beside(&args.which.journal)));
    Ok(Exit::Done)
}
