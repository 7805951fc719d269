//! The command line: what can be asked, and what several commands are asked alike.

mod calls;
mod past;
mod team;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{exit, memory};

pub(crate) use calls::{Batch, Bench, Endpoint, Load, Simulate};
pub(crate) use past::{Cancel, Explain, Fork, Replay, Report, Router, RouterCommand, Runs, RunsCommand, Tail, Watch};
pub(crate) use team::{Approve, Check, Demo, Doctor, Init, Plan, Resume, Run};

/// Runs teams of LLM agents on one shared quota.
#[derive(Debug, Parser)]
#[command(name = "bellwether", version, about, after_help = exit::TABLE, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Plans, implements and reviews a task against the built-in simulator: no key, no network.
    Demo(Demo),
    /// Lets a team work on a task.
    #[command(after_help = exit::TABLE)]
    Run(Run),
    /// Plans a task and shows what it would take; nothing else is done until the plan is approved.
    #[command(after_help = exit::TABLE)]
    Plan(Plan),
    /// Agrees to the plan of a run that waits for it; `resume` then goes on with it.
    Approve(Approve),
    /// Sends the requests of a file through one quota and answers each of them once.
    #[command(after_help = exit::TABLE)]
    Batch(Batch),
    /// Goes on with a run that was stopped or crashed.
    #[command(after_help = exit::TABLE)]
    Resume(Resume),
    /// Makes a new run that begins where another one was; makes no calls.
    Fork(Fork),
    /// Lists, shows and removes what the journal knows.
    Runs(Runs),
    /// Prints what is remembered of a run, and goes on with what comes.
    Tail(Tail),
    /// Shows what came of a run as far as it is remembered; makes no calls.
    Replay(Replay),
    /// Serves a live page of the journal's runs, those of other processes and past ones among them.
    Watch(Watch),
    /// Writes one file that says what came of a run: timeline, costs, reviews, waits, and the work.
    Report(Report),
    /// Says why a task was started on the model it was, what it waited for, and why its work went back.
    Explain(Explain),
    /// Shows, exports or forgets what routing has learnt of models.
    Router(Router),
    /// Asks the process that works on a run to stop, as Ctrl-C does.
    Cancel(Cancel),
    /// Says what is wrong with a team's providers, and how to mend it; makes one tiny call for each model.
    #[command(after_help = exit::TABLE)]
    Doctor(Doctor),
    /// Loads an endpoint with loops of calls in several flows, and shows what each flow got.
    #[command(after_help = exit::TABLE)]
    Load(Load),
    /// Makes the same calls one after the other, side by side, and under a limit, against the built-in simulator.
    Bench(Bench),
    /// Serves a simulated, OpenAI-compatible provider to test agents against.
    Simulate(Box<Simulate>),
    /// Checks a team file and shows what it amounts to.
    Check(Check),
    /// Writes a commented team file to begin with.
    Init(Init),
}

/// A run that the journal knows.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The run: its id, the beginning or end of it, or `last`.
    #[arg(default_value = "last")]
    pub(crate) run: String,
    /// The journal that remembers it.
    #[arg(long, value_name = "DIR", default_value = memory::DIRECTORY)]
    pub(crate) journal: PathBuf,
}

/// What is shown of a run, and where.
#[derive(Debug, Args)]
pub(crate) struct View {
    /// Prints one JSON object instead of the summary.
    #[arg(long)]
    pub(crate) json: bool,
    /// Writes the work of all tasks into this file, as Markdown.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// How to show what goes on, on standard error.
    #[arg(long, value_enum, default_value_t = Progress::Auto)]
    pub(crate) progress: Progress,
    /// Serves Prometheus metrics at this address while the run is on: a port on this machine, or IP:PORT.
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(crate) metrics: Option<SocketAddr>,
    /// Serves a live page of the run there as well: the plan, who works and who waits for what, budget, limits, events.
    #[arg(long, requires = "metrics")]
    pub(crate) ui: bool,
    /// Adds a line to this file for each run, agent's turn and call that ended, as a span with OpenTelemetry's attributes
    /// for generative AI; prompts and answers are not among them.
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Progress {
    /// Live on a terminal, otherwise not at all.
    Auto,
    /// A line per task, redrawn.
    Live,
    /// Not at all.
    None,
    /// A line per change.
    Plain,
}

/// `9000`, `:9000` or `127.0.0.1:9000`. Other machines are reached only by an address that is written out.
fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.trim_start_matches(':').parse() {
        return Ok((IpAddr::V4(Ipv4Addr::LOCALHOST), port).into());
    }
    text.parse().map_err(|_| "write a port, such as 9000, or an address, such as 127.0.0.1:9000".to_owned())
}

/// A time that comes to an end, and in which something can be done.
fn some_time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time.is_zero() || time > LONGEST {
        return Err("write a time from 1ms to a hundred years, such as 10s".to_owned());
    }
    Ok(time)
}

/// The longest time that is taken for one.
pub(crate) const LONGEST: Duration = Duration::from_secs(36_525 * 86_400);

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_address_without_a_host_stays_on_this_machine() {
        assert_eq!(address("9000"), address("127.0.0.1:9000"));
        assert_eq!(address(":9000"), address("127.0.0.1:9000"));
        assert_eq!(address("0.0.0.0:1").unwrap().to_string(), "0.0.0.0:1");
        assert!(address("nonsense").is_err() && address("70000").is_err());
    }

    #[test]
    fn a_time_ends_and_begins() {
        assert_eq!(some_time("90s"), Ok(Duration::from_secs(90)));
        for wrong in ["0s", "500000000000y", "200y", "-1s", "soon"] {
            assert!(some_time(wrong).is_err(), "{wrong}");
        }
    }
}
