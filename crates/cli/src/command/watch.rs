//! `bellwether watch`: a live page of the journal's runs, whichever process writes them.

use bellwether_metrics::Exporter;
use bellwether_watch::Page;

use crate::args::Watch;
use crate::exit::{Exit, Failure};
use crate::terminal::{note, out};
use crate::{memory, onlookers, session};

pub(crate) async fn run(args: Watch) -> Result<Exit, Failure> {
    let reader = memory::read(&args.which.journal)?;
    let run = memory::find(&reader, &args.which.run).await?.run;
    let server = onlookers::listen(&Exporter::local(), args.listen, Some(&Page::new(reader))).await?;
    out(&format!("live page at http://{}/#{run}\n", server.addr()));
    note("Ctrl-C ends it");
    session::signal().await;
    server.shutdown().await;
    Ok(Exit::Done)
}
