//! Commands for which a team file is written, looked at or worked with.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{Progress, View, Which, some_time};
use crate::budget::Budget;

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
    #[arg(long, value_name = "TIME", value_parser = some_time)]
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
    #[arg(long, value_name = "REASON", value_parser = words, conflicts_with_all = ["accept", "again", "fail", "task"])]
    pub(crate) deny: Option<String>,
    /// The task that is decided on; the only one that waits if not given.
    #[arg(long, value_name = "TASK")]
    pub(crate) task: Option<String>,
    /// The best of the task's work is good enough.
    #[arg(long, group = "decision")]
    pub(crate) accept: bool,
    /// The task's work goes back once more, with this note.
    #[arg(long, value_name = "NOTE", value_parser = words, group = "decision")]
    pub(crate) again: Option<String>,
    /// The task failed, for this reason.
    #[arg(long, value_name = "REASON", value_parser = words, group = "decision")]
    pub(crate) fail: Option<String>,
    /// The team file, if it is not where it was.
    #[arg(long, value_name = "FILE")]
    pub(crate) team: Option<PathBuf>,
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
    /// Tries again what came to nothing: tasks, the plan or the whole, and reviews that nobody could make.
    #[arg(long)]
    pub(crate) retry_failed: bool,
    /// The most to spend, such as 2usd, 500000tokens or 40calls; with a + before it, beyond what is spent already.
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) budget: Vec<Budget>,
    /// Asks this endpoint instead of the one in the team file, for all its providers.
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
    /// Ends the run after this time, such as 90s or 10m, with what there is.
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub(crate) deadline: Option<Duration>,
    #[command(flatten)]
    pub(crate) view: View,
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

/// What a person has to say. A decision cannot be taken back, and one without a word is a variable that was not set.
fn words(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() { Err("say why".to_owned()) } else { Ok(text.to_owned()) }
}
