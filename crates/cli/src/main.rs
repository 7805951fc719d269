//! The command line of Bellwether: arguments and a team file become parts, parts become a run.
//!
//! - [`args`], [`budget`], [`command`]: what can be asked, and what then happens.
//! - [`team_file`], [`quota`], [`estimates`], [`checks`], [`routing`], [`parts`]: from `team.toml` to a team that can run.
//! - [`session`], [`mod@live`], [`onlookers`], [`trace`], [`summary`]: one run, who looks on, and what is shown of it.
//! - [`memory`]: the journal as the commands use it.
//! - [`batch`], [`endpoint`], [`tally`]: many calls through one quota, without a team.
//! - [`exit`], [`terminal`]: how the program ends, and how it writes.

mod args;
mod batch;
mod budget;
mod checks;
mod command;
mod endpoint;
mod estimates;
mod exit;
mod guard;
mod keyring;
mod live;
mod memory;
mod onlookers;
#[cfg(test)]
mod outages;
mod parts;
mod purse;
mod quota;
mod routing;
mod session;
mod summary;
mod tally;
mod team_file;
mod terminal;
mod trace;

use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::Builder;

use crate::args::{Cli, Command};
use crate::exit::{Exit, Failure};

fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(told) => return misunderstood(&told),
    };
    match runtime(&command).build() {
        Ok(runtime) => {
            let life = runtime.spawn(live(command));
            // What a runtime blocks on is polled after a look at the sockets, a system call more for each result of a batch.
            // What is spawned takes its turn among the tasks.
            runtime.block_on(life).unwrap_or_else(|fell| std::panic::resume_unwind(fell.into_panic()))
        }
        Err(error) => {
            terminal::note(&format!("error: no runtime can be made: {error}"));
            Exit::Io.into()
        }
    }
}

/// Help, the version, or what is wrong with the arguments; whoever asked for JSON reads nothing else.
fn misunderstood(told: &clap::Error) -> ExitCode {
    let _ = told.print();
    if told.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
        let text = told.to_string();
        let first = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
        terminal::out(&format!("{}\n", Failure::usage(first).json()));
    }
    ExitCode::from(u8::try_from(told.exit_code()).unwrap_or(Exit::Usage as u8))
}

/// A batch waits most of the time, and a look at a file or a journal is over at once: on one thread they cost less, and no
/// thread has buffers of its own.
fn runtime(command: &Command) -> Builder {
    let mut runtime = match command {
        Command::Batch(_) | Command::Load(_) | Command::Check(_) | Command::Init(_) => Builder::new_current_thread(),
        Command::Explain(_) | Command::Router(_) | Command::Runs(_) => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    runtime.enable_all();
    runtime
}

async fn live(command: Command) -> ExitCode {
    let json = match &command {
        Command::Demo(args) => args.view.json,
        Command::Run(args) => args.view.json,
        Command::Plan(args) => args.json,
        Command::Batch(args) => args.json,
        Command::Bench(args) => args.json,
        Command::Load(args) => args.json,
        Command::Resume(args) => args.view.json,
        Command::Tail(args) => args.json,
        Command::Replay(args) => args.json,
        Command::Report(args) => args.json,
        Command::Doctor(args) => args.json,
        Command::Router(args) => args.json,
        Command::Explain(args) => args.json,
        Command::Fork(args) => args.json,
        Command::Approve(_) | Command::Runs(_) | Command::Cancel(_) | Command::Watch(_) => false,
        Command::Simulate(args) => args.json,
        Command::Check(args) => args.json,
        Command::Init(_) => false,
    };
    match obey(command).await {
        Ok(exit) => exit.into(),
        Err(failure) => {
            terminal::note(&format!("error: {}", terminal::plain(&failure.to_string(), true)));
            if json {
                terminal::out(&format!("{}\n", failure.json()));
            }
            failure.exit.into()
        }
    }
}

async fn obey(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Demo(args) => command::demo::run(&args).await,
        Command::Run(args) => command::run::run(args).await,
        Command::Plan(args) => command::plan::run(args).await,
        Command::Approve(args) => command::person::approve(args).await,
        Command::Batch(args) => command::batch::run(args).await,
        Command::Bench(args) => command::bench::run(args).await,
        Command::Load(args) => command::load::run(args).await,
        Command::Resume(args) => command::resume::run(args).await,
        Command::Runs(args) => command::runs::run(args).await,
        Command::Tail(args) => command::runs::tail(args).await,
        Command::Replay(args) => command::runs::replay(args).await,
        Command::Watch(args) => command::watch::run(args).await,
        Command::Report(args) => command::report::run(args).await,
        Command::Fork(args) => command::fork::run(args).await,
        Command::Cancel(args) => command::runs::cancel(args).await,
        Command::Explain(args) => command::explain::run(&args).await,
        Command::Router(args) => command::router::run(&args),
        Command::Doctor(args) => command::doctor::run(args).await,
        Command::Simulate(args) => command::simulate::run(*args).await,
        Command::Check(args) => command::check::run(&args).await,
        Command::Init(args) => command::init::run(&args),
    }
}
