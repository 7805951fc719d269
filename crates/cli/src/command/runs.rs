//! `bellwether runs`, `tail`, `replay` and `cancel`: what the journal knows.

use std::path::Path;
use std::pin::pin;
use std::time::{Duration, SystemTime};

use bellwether_core::Timestamp;
use bellwether_journal::{Recorded, RunInfo};
use bellwether_watch::story::{Line, Story, ended};
use serde_json::{Value, json};

use super::report::publish;
use crate::args::{Cancel, Replay, Runs, RunsCommand, Tail};
use crate::exit::{Exit, Failure};
use crate::terminal::{Paper, cut, note, out, plain};
use crate::{memory, session, summary};

/// How often a run that is written elsewhere is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// The state of a run that no process works on, and whose end nobody remembers.
pub(crate) const INTERRUPTED: &str = "interrupted";
/// From how many columns on a run has room in one line.
const ROOMY: usize = 125;
/// The longest text that is kept of an entry whose line is shown.
const LONGEST: usize = 500;
/// How many entries are read at once.
const PAGE: usize = 256;

pub(crate) async fn run(args: Runs) -> Result<Exit, Failure> {
    match args.command {
        RunsCommand::List { json } => list(&args.journal, json).await,
        RunsCommand::Show { run, json } => show(&args.journal, &run, json).await,
        RunsCommand::Rm { run } => remove(&args.journal, &run).await,
        RunsCommand::Gc => collect(&args.journal).await,
    }
}

async fn list(directory: &Path, json: bool) -> Result<Exit, Failure> {
    let reader = memory::read(directory)?;
    let runs = reader.runs().await.map_err(|error| memory::failed(&error))?;
    let columns = Paper::of_output().columns;
    for info in &runs {
        let state = state(&reader, info).await?;
        let request = memory::opening(&reader, &info.run, "request").await?.unwrap_or_default();
        let heard = publish(&if json {
            format!(
                "{}\n",
                json!({
                    "run_id": info.run.as_str(), "state": state, "entries": info.entries, "bytes": info.bytes,
                    "first": info.first.map(when), "last": info.last.map(when), "request": request,
                })
            )
        } else {
            let last = info.last.map(when).unwrap_or_default();
            let request = plain(request.lines().find(|line| !line.trim().is_empty()).unwrap_or_default(), false);
            row(&[info.run.as_str(), &last, &state, &info.entries.to_string(), &request], columns)
        })?;
        if !heard {
            break;
        }
    }
    if runs.is_empty() && !json {
        note("the journal knows no runs");
    }
    Ok(Exit::Done)
}

/// A run in a line; on a terminal that has no room for it in two, of which the second one is cut.
fn row([run, last, state, entries, request]: &[&str; 5], columns: Option<usize>) -> String {
    match columns {
        Some(columns) if columns < ROOMY => {
            let about = format!("    {state}  {last}  {entries} entries  {request}");
            format!("{run}\n{}\n", cut(&about, columns))
        }
        columns => {
            let begin = format!("{run}  {last}  {state:<24} {entries:>7} entries  ");
            let room = columns.map_or(60, |columns| columns.saturating_sub(begin.len()).min(60));
            format!("{begin}{}\n", cut(request, room))
        }
    }
}

/// How a run ended, or who works on it.
pub(crate) async fn state(reader: &bellwether_journal::Reader, info: &RunInfo) -> Result<String, Failure> {
    if let Some(holder) = &info.holder {
        return Ok(format!("process {} works on it", holder.pid));
    }
    let last =
        reader.read(&info.run, info.entries.saturating_sub(1), 1).await.map_err(|error| memory::failed(&error))?;
    let outcome = last.first().and_then(|recorded| ended(&recorded.entry));
    Ok(outcome.unwrap_or_else(|| INTERRUPTED.to_owned()))
}

async fn show(directory: &Path, meant: &str, json: bool) -> Result<Exit, Failure> {
    let reader = memory::read(directory)?;
    let info = memory::find(&reader, meant).await?;
    let mut after = 0;
    while let Some(page) = page(&reader, &info, &mut after).await? {
        for recorded in &page {
            if !publish(&if json { machine(recorded) } else { line(recorded) })? {
                return Ok(Exit::Done);
            }
        }
    }
    Ok(Exit::Done)
}

async fn page(
    reader: &bellwether_journal::Reader,
    info: &RunInfo,
    after: &mut u64,
) -> Result<Option<Vec<Recorded>>, Failure> {
    let page = reader.read(&info.run, *after, PAGE).await.map_err(|error| memory::failed(&error))?;
    let Some(last) = page.last() else { return Ok(None) };
    *after = last.seq;
    Ok(Some(page))
}

async fn remove(directory: &Path, meant: &str) -> Result<Exit, Failure> {
    let info = memory::find(&memory::read(directory)?, meant).await?;
    let journal = memory::open(directory, None)?;
    journal.remove(&info.run).await.map_err(|error| memory::failed(&error))?;
    out(&format!("removed run {}; `bellwether runs gc` frees the space of its texts\n", info.run));
    Ok(Exit::Done)
}

async fn collect(directory: &Path) -> Result<Exit, Failure> {
    // Nothing is collected, and nothing made, where there is no journal.
    drop(memory::read(directory)?);
    let journal = memory::open(directory, None)?;
    let collected = journal.collect().await.map_err(|error| memory::failed(&error))?;
    out(&format!("removed {} texts, {} bytes\n", collected.texts, collected.bytes));
    Ok(Exit::Done)
}

/// Prints what is remembered of a run, and goes on with what comes until it ends.
pub(crate) async fn tail(args: Tail) -> Result<Exit, Failure> {
    let reader = memory::read(&args.which.journal)?;
    let info = memory::find(&reader, &args.which.run).await?;
    let (mut after, mut story) = (0, Story::brief(LONGEST));
    let columns = Paper::of_output().columns.unwrap_or(usize::MAX);
    // One for all of it: a signal that comes between two looks counts, too.
    let mut stopped = pin!(session::signal());
    loop {
        while let Some(page) = page(&reader, &info, &mut after).await? {
            for recorded in &page {
                let text = if args.json { machine(recorded) } else { told(&mut story, recorded, columns) };
                // As in `tail | head`: what comes has nobody to go to.
                if !publish(&text)? {
                    return Ok(Exit::Done);
                }
            }
        }
        let still = memory::find(&reader, info.run.as_str()).await?;
        if still.holder.is_none() && still.entries == after {
            return Ok(Exit::Done);
        }
        tokio::select! {
            () = &mut stopped => return Ok(Exit::Cancelled),
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }
}

/// Shows what came of a run as far as it is remembered; makes no calls.
pub(crate) async fn replay(args: Replay) -> Result<Exit, Failure> {
    let reader = memory::read(&args.which.journal)?;
    let info = memory::find(&reader, &args.which.run).await?;
    let file = memory::team_of(&reader, &info.run, args.team).await?;
    drop(reader);
    let journal = memory::open(&args.which.journal, Some(&file))?;
    let report = session::recall(&file, &info.run, Some(journal.into())).await?;
    if args.json {
        let json = serde_json::to_string(&report).map_err(|error| Failure::new(Exit::Io, error.to_string()))?;
        publish(&format!("{json}\n"))?;
    } else {
        publish(&summary::text(&report, None, Paper::of_output()))?;
    }
    Ok(Exit::Done)
}

/// Asks the process that works on a run to stop, as Ctrl-C does.
pub(crate) async fn cancel(args: Cancel) -> Result<Exit, Failure> {
    let reader = memory::read(&args.which.journal)?;
    let info = memory::find(&reader, &args.which.run).await?;
    let Some(holder) = info.holder else {
        return Err(Failure::usage(format!("nobody works on run {}", info.run)));
    };
    interrupt(holder.pid, &holder.host)?;
    out(&format!("asked process {} to finish what is under way\n", holder.pid));
    Ok(Exit::Done)
}

#[cfg(unix)]
fn interrupt(pid: u32, host: &str) -> Result<(), Failure> {
    let here = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    if here.as_deref().is_some_and(|here| here != host) {
        return Err(Failure::usage(format!("process {pid} runs on {host}")).remedy("stop it there"));
    }
    let pid = i32::try_from(pid).map_err(|_| Failure::usage(format!("{pid} is no process id")))?;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGINT)
        .map_err(|error| Failure::new(Exit::Io, format!("process {pid} cannot be reached: {error}")))
}

#[cfg(not(unix))]
fn interrupt(pid: u32, _: &str) -> Result<(), Failure> {
    Err(Failure::usage(format!("process {pid} cannot be reached from here")).remedy("Ctrl-C in its terminal"))
}

/// An entry in a line.
fn line(recorded: &Recorded) -> String {
    let body = &recorded.entry.body;
    let event = if body["event"].is_null() { body } else { &body["event"] };
    let text = plain(&event.to_string(), false);
    format!("{:>6}  {}  {:<12} {}\n", recorded.seq, when(recorded.at), recorded.entry.kind, cut(&text, 160))
}

/// What an entry adds to a run's story, in the words of the live page; nothing if it is of no interest there.
fn told(story: &mut Story, recorded: &Recorded, columns: usize) -> String {
    story.log.clear();
    story.apply(recorded);
    let line = |line: &Line| {
        let text = format!("{:>6}  {}  {}", recorded.seq, when(recorded.at), plain(&line.text, false));
        format!("{}\n", cut(&text, columns))
    };
    story.log.iter().map(line).collect()
}

/// An entry for machines.
fn machine(recorded: &Recorded) -> String {
    let Value::Object(mut fields) =
        json!({ "seq": recorded.seq, "at": when(recorded.at), "kind": recorded.entry.kind })
    else {
        return String::new();
    };
    fields.insert("body".to_owned(), recorded.entry.body.clone());
    format!("{}\n", Value::Object(fields))
}

/// A moment as people write it, in UTC.
fn when(at: Timestamp) -> String {
    let moment = SystemTime::UNIX_EPOCH + Duration::from_nanos(at.as_nanos());
    humantime::format_rfc3339_seconds(moment).to_string()
}

#[cfg(test)]
mod tests {
    use super::row;

    #[test]
    fn a_run_in_a_list_is_no_wider_than_the_terminal() {
        let request = "Implement an async HTTP client with retries, timeouts and a deadline for all";
        let told =
            ["01a22b70-6359-72df-9169-a55c2ef578db", "2026-11-30T08:05:48Z", "succeeded_with_defects", "132", request];
        for columns in [40, 80, 124, 125, 200] {
            let row = row(&told, Some(columns));
            assert!(row.lines().all(|line| line.chars().count() <= columns), "{columns}: {row}");
            assert!(row.contains(told[0]) && row.contains(told[2]), "{row}");
        }
        assert_eq!(row(&told, None).lines().count(), 1);
    }
}
