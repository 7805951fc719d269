//! Commands that look at what is remembered: runs in a journal, and what routing has learnt.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Which, address};
use crate::{memory, routing};

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
