//! The command line.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use bellwether_sim::Burst;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::budget::Budget;
use crate::command::load::FlowSpec;
use crate::{exit, memory, routing};

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
    Doctor(Doctor),
    /// Loads an endpoint with loops of calls in several flows, and shows what each flow got.
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

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// The task.
    #[arg(default_value = "Implementiere einen async HTTP-Client mit Retry-Logik")]
    pub(crate) task: String,
    /// Decides what the simulated models say, and how fast.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How many subtasks the simulated planner makes.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) tasks: u8,
    #[command(flatten)]
    pub(crate) view: View,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The team file.
    pub(crate) team: PathBuf,
    /// The task; `-` reads it from standard input.
    pub(crate) task: String,
    /// Asks this endpoint instead of the one in the team file, for all its providers.
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
    /// The most agents at work at once, instead of the team file's.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_parallel: Option<u32>,
    /// Ends the run after this time, such as 90s or 10m, with what there is.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) deadline: Option<Duration>,
    /// The most to spend, such as 2usd, 500000tokens or 40calls; can be given for each.
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) budget: Vec<Budget>,
    /// Where to remember the run, instead of the directory that the team file names, or `runs`.
    #[arg(long, value_name = "DIR")]
    pub(crate) journal: Option<PathBuf>,
    /// Remembers nothing: the run cannot be resumed.
    #[arg(long, conflicts_with_all = ["journal", "ui"])]
    pub(crate) no_journal: bool,
    /// Learns nothing about models from this run.
    #[arg(long)]
    pub(crate) frozen: bool,
    #[command(flatten)]
    pub(crate) view: View,
}

#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// The team file.
    pub(crate) team: PathBuf,
    /// The task.
    pub(crate) task: String,
    /// Asks this endpoint instead of the one in the team file, for all its providers.
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
    /// The most to spend, such as 2usd, 500000tokens or 40calls: a plan that would take more is turned down.
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) budget: Vec<Budget>,
    /// Where to remember the run, instead of the directory that the team file names, or `runs`.
    #[arg(long, value_name = "DIR")]
    pub(crate) journal: Option<PathBuf>,
    /// Goes on with the plan at once.
    #[arg(long)]
    pub(crate) approve: bool,
    /// Prints one JSON object: the plan and its estimate, or with --approve the report of the run.
    #[arg(long)]
    pub(crate) json: bool,
    /// With --approve, writes the work of all tasks into this file, as Markdown.
    #[arg(short, long, value_name = "FILE", requires = "approve")]
    pub(crate) output: Option<PathBuf>,
    /// How to show what goes on, on standard error.
    #[arg(long, value_enum, default_value_t = Progress::Auto)]
    pub(crate) progress: Progress,
}

#[derive(Debug, Args)]
pub(crate) struct Approve {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Does not agree to the plan, for this reason: nothing further is done.
    #[arg(long, value_name = "REASON", conflicts_with_all = ["accept", "again", "fail", "task"])]
    pub(crate) deny: Option<String>,
    /// The task that is decided on; the only one that waits if not given.
    #[arg(long, value_name = "TASK")]
    pub(crate) task: Option<String>,
    /// The best of the task's work is good enough.
    #[arg(long, group = "decision")]
    pub(crate) accept: bool,
    /// The task's work goes back once more, with this note.
    #[arg(long, value_name = "NOTE", group = "decision")]
    pub(crate) again: Option<String>,
    /// The task failed, for this reason.
    #[arg(long, value_name = "REASON", group = "decision")]
    pub(crate) fail: Option<String>,
    /// The team file, if it is not where it was.
    #[arg(long, value_name = "FILE")]
    pub(crate) team: Option<PathBuf>,
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

#[derive(Debug, Args)]
pub(crate) struct Resume {
    #[command(flatten)]
    pub(crate) which: Which,
    /// The team file, if it is not where it was.
    #[arg(long, value_name = "FILE")]
    pub(crate) team: Option<PathBuf>,
    /// Learns nothing about models from this run.
    #[arg(long)]
    pub(crate) frozen: bool,
    /// Goes on even if prompts, models or the measure of the review have changed.
    #[arg(long)]
    pub(crate) adopt_config: bool,
    /// The most to spend, such as 2usd, 500000tokens or 40calls; with a + before it, beyond what is spent already.
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) budget: Vec<Budget>,
    /// Asks this endpoint instead of the one in the team file, for all its providers.
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
    /// Ends the run after this time, such as 90s or 10m, with what there is.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) deadline: Option<Duration>,
    #[command(flatten)]
    pub(crate) view: View,
}

#[derive(Debug, Args)]
pub(crate) struct Runs {
    #[command(subcommand)]
    pub(crate) command: RunsCommand,
    /// The journal.
    #[arg(long, value_name = "DIR", default_value = memory::DIRECTORY, global = true)]
    pub(crate) journal: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// Lists the runs, the oldest first.
    List {
        /// Prints one JSON object a run.
        #[arg(long)]
        json: bool,
    },
    /// Prints what is remembered of a run.
    Show {
        /// The run: its id, the beginning or end of it, or `last`.
        run: String,
        /// Prints one JSON object an entry.
        #[arg(long)]
        json: bool,
    },
    /// Removes a run.
    Rm {
        /// The run: its id, the beginning or end of it, or `last`.
        run: String,
    },
    /// Removes texts that no run needs any more.
    Gc,
}

#[derive(Debug, Args)]
pub(crate) struct Tail {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Prints one JSON object an entry.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    pub(crate) which: Which,
    /// The team file, if it is not where it was.
    #[arg(long, value_name = "FILE")]
    pub(crate) team: Option<PathBuf>,
    /// Prints one JSON object instead of the summary.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Watch {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Where to listen: a port on this machine (0 picks a free one), or IP:PORT. Prompts and answers are shown there.
    #[arg(long, value_name = "ADDR", default_value = "9000", value_parser = address)]
    pub(crate) listen: SocketAddr,
}

#[derive(Debug, Args)]
pub(crate) struct Report {
    #[command(flatten)]
    pub(crate) which: Which,
    /// One HTML page that needs nothing else: no script, nothing remote.
    #[arg(long, group = "form")]
    pub(crate) html: bool,
    /// Markdown, which is what comes if nothing is said.
    #[arg(long, group = "form")]
    pub(crate) md: bool,
    /// One JSON object.
    #[arg(long, group = "form")]
    pub(crate) json: bool,
    /// Writes it into this file, readable by its owner only, instead of to standard output.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The run: its id, the beginning or end of it, or `last`.
    pub(crate) run: String,
    /// The task, such as t1.
    pub(crate) task: String,
    /// The journal that remembers it.
    #[arg(long, value_name = "DIR", default_value = memory::DIRECTORY)]
    pub(crate) journal: PathBuf,
    /// Prints one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Fork {
    #[command(flatten)]
    pub(crate) which: Which,
    /// The entry to begin after, as `bellwether runs show` numbers them.
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) at: u64,
    /// Prints one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Router {
    #[command(subcommand)]
    pub(crate) command: RouterCommand,
    /// The file that keeps what was learnt: `stats` in `[routing]`, or the one in the journal's directory.
    #[arg(long, value_name = "FILE", default_value = routing::FILE, global = true)]
    pub(crate) stats: PathBuf,
    /// Prints one JSON object.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum RouterCommand {
    /// Shows what is known of each model in each role.
    Show,
    /// Forgets everything that was learnt.
    Reset,
    /// Prints every outcome that was learnt from, a line each.
    Export,
}

#[derive(Debug, Args)]
pub(crate) struct Cancel {
    #[command(flatten)]
    pub(crate) which: Which,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// The team file.
    pub(crate) team: PathBuf,
    /// Examines this endpoint instead of the one in the team file.
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
    /// Prints one JSON object a model.
    #[arg(long)]
    pub(crate) json: bool,
}

/// One endpoint and its limits.
#[derive(Debug, Args)]
pub(crate) struct Endpoint {
    /// The endpoint; HolySheep if not given.
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
    /// The environment variable with the key; HOLYSHEEP_API_KEY if not given, except for endpoints on this machine.
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) api_key_env: Option<String>,
    /// Requests per minute, if known; a limit that is not told is found.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) rpm: Option<u64>,
    /// Tokens per minute, if known.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) tpm: Option<u64>,
    /// The most calls in flight at once.
    #[arg(long, value_name = "N", default_value = "64")]
    pub(crate) max_in_flight: NonZeroUsize,
    /// Sends calls that take unusually long once more beside themselves while nobody else waits, for at most so many
    /// percent of the tokens; the first answer counts, and both may be billed.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) hedge: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct Batch {
    /// The requests, one JSON object a line: OpenAI's batch lines, or bare request bodies.
    pub(crate) input: PathBuf,
    /// The results, one JSON object a line, in the order in which they come.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) endpoint: Endpoint,
    /// The model for lines that name none.
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Gives up after this time, such as 90s or 10m; lines without an answer become errors.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) deadline: Option<Duration>,
    /// The longest that one attempt at a line may take, waiting for its turn not included.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
    /// Goes on with the results that are there: only lines without one are sent.
    #[arg(long)]
    pub(crate) resume: bool,
    /// Prints a summary as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Load {
    #[command(flatten)]
    pub(crate) endpoint: Endpoint,
    /// The model to ask.
    #[arg(long)]
    pub(crate) model: String,
    /// The flows, such as `greedy:weight=1,loops=20;light:weight=1,loops=2`.
    #[arg(long, value_name = "FLOWS", value_delimiter = ';', required = true)]
    pub(crate) flows: Vec<FlowSpec>,
    /// How long to begin new calls.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    pub(crate) duration: Duration,
    /// The most calls to begin, over all flows.
    #[arg(long, value_name = "N")]
    pub(crate) requests: Option<u64>,
    /// The most output tokens a call may buy.
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) max_tokens: u32,
    /// What every call says.
    #[arg(long, default_value = "Say something short.")]
    pub(crate) prompt: String,
    /// Prints one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// How many calls each course makes.
    #[arg(long, value_name = "N", default_value = "60")]
    pub(crate) calls: NonZeroU32,
    /// How many calls are made side by side where they are.
    #[arg(long, value_name = "N", default_value = "16")]
    pub(crate) concurrency: NonZeroUsize,
    /// The limit where there is one, in requests per minute; a second of it may come at once.
    #[arg(long, value_name = "N", default_value = "1200")]
    pub(crate) rpm: NonZeroU32,
    /// Time until the first token, give or take a fifth.
    #[arg(long, value_name = "TIME", default_value = "60ms", value_parser = humantime::parse_duration)]
    pub(crate) first_token: Duration,
    /// Decides how long each answer takes.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Prints one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
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

#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// The scenario file; flags change what it says.
    #[arg(long, value_name = "FILE")]
    pub(crate) scenario: Option<PathBuf>,
    /// Where to listen: a port on this machine (0 picks a free one), or IP:PORT.
    #[arg(long, value_name = "ADDR", default_value = "8089", value_parser = address)]
    pub(crate) listen: SocketAddr,
    /// Decides every draw.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Requests per minute.
    #[arg(long, value_name = "N")]
    pub(crate) rpm: Option<NonZeroU32>,
    /// Tokens per minute.
    #[arg(long, value_name = "N")]
    pub(crate) tpm: Option<NonZeroU32>,
    /// Requests under way at once.
    #[arg(long, value_name = "N")]
    pub(crate) concurrency: Option<NonZeroU32>,
    /// The share of requests answered with 503, from 0 to 1.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub(crate) error_503: Option<f64>,
    /// The share of requests whose connection breaks, from 0 to 1.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub(crate) reset: Option<f64>,
    /// Answers COUNT requests after the first AFTER ones with 429; RETRY is what Retry-After says, such as 2s.
    #[arg(long, value_name = "AFTER:COUNT[:RETRY]", value_parser = burst)]
    pub(crate) burst: Vec<Burst>,
    /// Time until the first token, such as 200ms.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) first_token: Option<Duration>,
    /// Time for every output token, such as 5ms.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) per_token: Option<Duration>,
    /// How many subtasks the simulated planner makes.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) plan_tasks: Option<u8>,
    /// The environment variable with the key that calls must carry; without it everybody is let in.
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) api_key_env: Option<String>,
    /// Prints the address as one JSON object, and the statistics as another at the end.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The team file.
    pub(crate) team: PathBuf,
    /// Prints one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The file to write.
    #[arg(default_value = "team.toml")]
    pub(crate) file: PathBuf,
    /// Overwrites the file if it is there already.
    #[arg(long)]
    pub(crate) force: bool,
}

/// `9000`, `:9000` or `127.0.0.1:9000`. Other machines are reached only by an address that is written out.
fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.trim_start_matches(':').parse() {
        return Ok((IpAddr::V4(Ipv4Addr::LOCALHOST), port).into());
    }
    text.parse().map_err(|_| "write a port, such as 9000, or an address, such as 127.0.0.1:9000".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| "write a number from 0 to 1".to_owned())
}

fn burst(text: &str) -> Result<Burst, String> {
    let mut parts = text.splitn(3, ':');
    let mut number = || parts.next()?.parse().ok();
    let (after, count) =
        number().zip(number()).ok_or_else(|| "write AFTER:COUNT, such as 5:3, or 5:3:2s".to_owned())?;
    let retry_after = parts.next().map(humantime::parse_duration).transpose().map_err(|error| error.to_string())?;
    Ok(Burst::Requests { after, count, retry_after })
}

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
    fn a_burst_is_written_in_two_or_three_parts() {
        let two = Duration::from_secs(2);
        assert_eq!(burst("5:3:2s"), Ok(Burst::Requests { after: 5, count: 3, retry_after: Some(two) }));
        assert_eq!(burst("0:1"), Ok(Burst::Requests { after: 0, count: 1, retry_after: None }));
        assert!(burst("5").is_err() && burst("a:b").is_err() && burst("1:2:x").is_err());
    }
}
