//! `bellwether batch`: many requests from a file through one quota, each answered once.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::{CallContext, ChatProvider, ChatResponse, Flow, Observer, ProviderError, TaskId};
use bellwether_dispatch::Dispatch;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::args::Batch;
use crate::batch::input::{self, Item};
use crate::batch::output::{Outcome, Output};
use crate::exit::{self, Exit, Failure};
use crate::tally::Tally;
use crate::terminal::{note, out};
use crate::{endpoint, session};

/// The most lines that are read ahead. Shares are fair among these, so that a file that is sorted by flow still is
/// served fairly as long as it is not longer.
const READ_AHEAD: usize = 8_000;

/// What became of a line.
type Finished = (Item, Result<ChatResponse, ProviderError>, Duration);

pub(crate) async fn run(args: Batch) -> Result<Exit, Failure> {
    let total = check(&args)?;
    let (done, mut output) = open(&args)?;
    let tally = Arc::new(Tally::default());
    let observer: Arc<dyn Observer> = Arc::<Tally>::clone(&tally) as Arc<dyn Observer>;
    let dispatch = endpoint::connect(&args.endpoint, &observer)?;
    let bar = progress(total.saturating_sub(done.len()));
    let began = Instant::now();
    let mut sending = Sending {
        lines: Lines::open(&args.input)?,
        done,
        model: args.model.clone(),
        deadline: args.deadline.map(|deadline| began + deadline),
        dispatch: Arc::clone(&dispatch),
        under_way: JoinSet::new(),
    };
    let ended = sending.finish_all(&mut output, &tally, &bar).await;
    drop(sending);
    dispatch.shutdown().await;
    bar.finish_and_clear();
    let summary = tally.summary(began.elapsed());
    if args.json {
        out(&format!("{summary}\n"));
    } else {
        let (ok, failed) = (&summary["ok"], &summary["failed"]);
        out(&format!(
            "{ok} answered, {failed} failed, in {:.1}s; results in {}\n",
            began.elapsed().as_secs_f64(),
            args.output.display()
        ));
    }
    match ended? {
        Ended::Interrupted => {
            note(&format!(
                "stopped; go on with: bellwether batch {} -o {} --resume",
                args.input.display(),
                args.output.display()
            ));
            Ok(Exit::Cancelled)
        }
        Ended::Done => Ok(match (summary["ok"].as_u64(), summary["failed"].as_u64()) {
            (_, Some(0)) => Exit::Done,
            (Some(0), _) => Exit::Failed,
            _ => Exit::Partial,
        }),
    }
}

/// Reads the whole file before anything is paid for: every line makes sense, and no id stands twice.
fn check(args: &Batch) -> Result<usize, Failure> {
    let mut lines = Lines::open(&args.input)?;
    let mut ids = HashSet::new();
    while let Some(line) = lines.next()? {
        let item = line.read(&args.input, args.model.as_deref())?;
        if !ids.insert(item.id) {
            return Err(line.mistake(&args.input, "its custom_id stands in an earlier line, too"));
        }
    }
    Ok(ids.len())
}

fn open(args: &Batch) -> Result<(HashSet<String>, Output), Failure> {
    let path = args.output.display();
    if args.resume {
        return Output::resume(&args.output).map_err(|error| Failure::io(format!("{path} cannot be resumed"), &error));
    }
    let output = Output::create(&args.output).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::usage(format!("{path} is there already")).remedy("--resume to go on with it, or another name")
        }
        _ => Failure::io(format!("{path} cannot be written"), &error),
    })?;
    Ok((HashSet::new(), output))
}

enum Ended {
    Done,
    Interrupted,
}

/// Lines on their way.
struct Sending {
    lines: Lines,
    done: HashSet<String>,
    model: Option<String>,
    deadline: Option<Instant>,
    dispatch: Arc<Dispatch>,
    under_way: JoinSet<Finished>,
}

impl Sending {
    /// Sends everything that has no result yet and writes each result as it comes.
    async fn finish_all(&mut self, output: &mut Output, tally: &Tally, bar: &ProgressBar) -> Result<Ended, Failure> {
        let mut stop = std::pin::pin!(session::signal());
        loop {
            self.fill()?;
            let joined = tokio::select! {
                biased;
                () = &mut stop => return Ok(Ended::Interrupted),
                joined = self.under_way.join_next() => joined,
            };
            let Some(joined) = joined else { return Ok(Ended::Done) };
            let (item, result, took) =
                joined.map_err(|error| Failure::new(Exit::Failed, format!("a call fell over: {error}")))?;
            if let Err(error) = &result
                && error.kind.is_hopeless()
            {
                // It has no result line, so that a resume asks again.
                let failure = Failure::new(exit::of_kind(error.kind), format!("{}: {error}", item.id));
                return Err(failure.remedy(exit::remedy(error.kind).unwrap_or("--resume once this is mended")));
            }
            tally.finished(&item.flow, if result.is_ok() { Ok(took) } else { Err(()) });
            let waited = tally.take_wait(&item.id);
            let line = Outcome { item: &item, result: &result, took, waited }.line();
            output.write(&line).map_err(|error| Failure::io("the result cannot be written", &error))?;
            let (_, failed, tokens, cost) = tally.so_far();
            bar.inc(1);
            bar.set_message(format!("{failed} failed, {tokens} tok, {cost}"));
        }
    }

    fn fill(&mut self) -> Result<(), Failure> {
        while self.under_way.len() < READ_AHEAD {
            let Some(line) = self.lines.next()? else { return Ok(()) };
            let item = line.read(&self.lines.path, self.model.as_deref())?;
            if self.done.contains(&*item.id) {
                continue;
            }
            let context = CallContext {
                weight: item.weight,
                class: item.class,
                deadline: self.deadline.map(Instant::into_std),
                task: Some(TaskId::from(Arc::clone(&item.id))),
                phase: "batch",
                idempotency_key: Some(Arc::clone(&item.id)),
                ..CallContext::new(Flow::new("batch", Arc::clone(&item.flow), "line"))
            };
            let dispatch = Arc::clone(&self.dispatch);
            self.under_way.spawn(async move {
                let began = Instant::now();
                let result = dispatch.chat(item.request.clone(), context).await;
                (item, result, began.elapsed())
            });
        }
        Ok(())
    }
}

/// The lines of a file that say something.
struct Lines {
    path: std::path::PathBuf,
    reader: BufReader<File>,
    number: usize,
}

struct Line {
    text: String,
    number: usize,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, Failure> {
        let file =
            File::open(path).map_err(|error| Failure::usage(format!("{} cannot be read: {error}", path.display())))?;
        Ok(Self { path: path.to_owned(), reader: BufReader::new(file), number: 0 })
    }

    fn next(&mut self) -> Result<Option<Line>, Failure> {
        loop {
            let mut text = String::new();
            let read = self.reader.read_line(&mut text);
            let read = read.map_err(|error| Failure::io(format!("{} cannot be read", self.path.display()), &error))?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            if !text.trim().is_empty() {
                return Ok(Some(Line { text, number: self.number }));
            }
        }
    }
}

impl Line {
    fn read(&self, path: &Path, model: Option<&str>) -> Result<Item, Failure> {
        input::read(&self.text, self.number, model).map_err(|why| self.mistake(path, &why))
    }

    fn mistake(&self, path: &Path, why: &str) -> Failure {
        Failure::usage(format!("{}:{}: {why}", path.display(), self.number))
    }
}

/// A bar with rate and time left on a terminal, otherwise nothing.
fn progress(lines: usize) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {per_sec} {eta} left, {msg}");
    let bar = ProgressBar::new(u64::try_from(lines).unwrap_or(u64::MAX));
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
