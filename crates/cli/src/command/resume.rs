//! `bellwether resume`: goes on with a run that was stopped or crashed.

use bellwether_team::ChangedTerms;

use crate::args::Resume;
use crate::exit::{Exit, Failure};
use crate::parts::Overrides;
use crate::session::{self, Work};
use crate::{memory, terminal};

pub(crate) async fn run(args: Resume) -> Result<Exit, Failure> {
    let reader = memory::read(&args.which.journal)?;
    let info = memory::find(&reader, &args.which.run).await?;
    let file = memory::team_of(&reader, &info.run, args.team).await?;
    drop(reader);
    terminal::note(&format!("going on with run {}", info.run));
    let changed = if args.adopt_config { ChangedTerms::Adopt } else { ChangedTerms::Refuse };
    if args.retry_failed {
        let store = memory::open(&args.which.journal, Some(&file))?;
        if !session::retry(&file, &info.run, changed, store).await? {
            terminal::note("nothing came to nothing: there is nothing to try again");
        }
    }
    let overrides =
        Overrides { base_url: args.base_url, deadline: args.deadline, frozen: args.frozen, ..Overrides::default() };
    let work = Work::Resume(info.run, changed);
    session::run(&file, overrides, &args.budget, work, Some(args.which.journal), &args.view).await
}
