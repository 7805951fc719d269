//! `bellwether explain`: why a task went as it did.

use bellwether_team::explain::Explanation;

use super::report::publish;
use crate::args::Explain;
use crate::exit::{Exit, Failure};
use crate::memory;
use crate::session;
use crate::terminal::plain;

pub(crate) async fn run(args: &Explain) -> Result<Exit, Failure> {
    let reader = memory::read(&args.journal)?;
    let info = memory::find(&reader, &args.run).await?;
    let entries = reader.read(&info.run, 0, usize::MAX).await.map_err(|error| memory::failed(&error))?;
    let entries = entries.into_iter().map(|recorded| recorded.entry).collect();
    let explained = Explanation::of(entries, &args.task).map_err(session::not_resumed)?;
    let explanation = explained.map_err(|known| {
        let known: Vec<&str> = known.iter().map(|task| task.as_str()).collect();
        Failure::usage(format!("run {} has no task {}", info.run, args.task)).remedy(if known.is_empty() {
            format!("bellwether runs show {}: it has no plan, or none yet", info.run)
        } else {
            known.join(", ")
        })
    })?;
    publish(&if args.json {
        let json = serde_json::to_string(&explanation).map_err(|error| Failure::new(Exit::Io, error.to_string()))?;
        format!("{json}\n")
    } else {
        plain(&explanation.to_string(), true)
    })?;
    Ok(Exit::Done)
}
