//! `bellwether batch`: many requests from a file through one quota, each answered once.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::{CallContext, ChatProvider, ChatResponse, Flow, Observer, ProviderError, TaskId};
use bellwether_dispatch::Dispatch;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use crate::args::Batch;
use crate::batch::book::{Book, Ids};
use crate::batch::input::Item;
use crate::batch::output::{Outcome, Output};
use crate::exit::{self, Exit, Failure};
use crate::tally::{self, Tally};
use crate::terminal::{advise, note, out};
use crate::{endpoint, session};

/// The most lines that are read ahead, over all flows.
const READ_AHEAD: usize = 8_000;
/// So many lines of each flow wait behind the most that can be in flight, so that none runs dry between two looks.
const BEHIND: usize = 16;

/// What became of a line.
struct Finished {
    line: Line,
    result: Result<ChatResponse, ProviderError>,
    took: Duration,
}

/// What has to be known of a line until its result is written.
struct Line {
    id: Arc<str>,
    flow: Arc<str>,
    model: Arc<str>,
    /// The flow's number in the book.
    number: usize,
}

pub(crate) async fn run(args: Batch) -> Result<Exit, Failure> {
    let (book, mut output) = open(&args)?;
    let tally = Arc::new(Tally::default());
    let observer: Arc<dyn Observer> = Arc::<Tally>::clone(&tally) as Arc<dyn Observer>;
    let dispatch = endpoint::connect(&args.endpoint, endpoint::Way::Whole, &observer)?;
    let bar = progress(book.left());
    let began = Instant::now();
    let mut sending = Sending {
        under_way: vec![0; book.flows()],
        ahead: (args.endpoint.max_in_flight.get() + BEHIND).min(READ_AHEAD / book.flows().max(1)).max(1),
        turn: 0,
        book,
        deadline: args.deadline.map(|deadline| began + deadline),
        timeout: args.timeout,
        dispatch: Arc::clone(&dispatch),
        calls: JoinSet::new(),
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
            "{ok} answered, {failed} failed{}, in {:.1}s; results in {}\n",
            tally::failed_of_what(&summary),
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
        Ended::Done => {
            let (exit, remedy) = tally.exit();
            advise(remedy);
            Ok(exit)
        }
    }
}

/// The lines to send, and where their results go. A new file is begun only when the lines make sense.
fn open(args: &Batch) -> Result<(Book, Output), Failure> {
    let path = args.output.display();
    if let (Ok(input), Ok(output)) = (args.input.canonicalize(), args.output.canonicalize())
        && input == output
    {
        return Err(Failure::usage(format!("{path} holds the lines to send")).remedy("another name for the results"));
    }
    let model = args.model.as_deref();
    if args.resume {
        let resumed = Output::resume(&args.output);
        let (done, output) = resumed.map_err(|error| Failure::io(format!("{path} cannot be resumed"), &error))?;
        return Ok((Book::open(&args.input, model, &done)?, output));
    }
    let book = Book::open(&args.input, model, &Ids::default())?;
    let output = Output::create(&args.output).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::usage(format!("{path} is there already")).remedy("--resume to go on with it, or another name")
        }
        _ => Failure::io(format!("{path} cannot be written"), &error),
    })?;
    Ok((book, output))
}

enum Ended {
    Done,
    Interrupted,
}

/// Lines on their way.
struct Sending {
    book: Book,
    /// How many lines of each flow are under way, waiting ones included.
    under_way: Vec<usize>,
    /// How many may be.
    ahead: usize,
    /// The flow that is looked at first when lines are read.
    turn: usize,
    deadline: Option<Instant>,
    timeout: Duration,
    dispatch: Arc<Dispatch>,
    calls: JoinSet<Finished>,
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
                failure = tally.nobody_there() => return Err(failure),
                joined = self.calls.join_next() => joined,
            };
            let Some(joined) = joined else { return Ok(Ended::Done) };
            self.write(joined, output, tally)?;
            while let Some(joined) = self.calls.try_join_next() {
                self.write(joined, output, tally)?;
            }
            if !bar.is_hidden() {
                let (ok, failed, tokens, cost) = tally.so_far();
                bar.set_position(ok + failed);
                bar.set_message(format!("{failed} failed, {tokens} tok, {cost}"));
            }
        }
    }

    /// Writes what became of a line.
    fn write(
        &mut self,
        joined: Result<Finished, JoinError>,
        output: &mut Output,
        tally: &Tally,
    ) -> Result<(), Failure> {
        let fell_over = |error| Failure::new(Exit::Failed, format!("a call fell over: {error}"));
        let Finished { line, result, took } = joined.map_err(fell_over)?;
        self.under_way[line.number] -= 1;
        let Line { id, flow, model, .. } = &line;
        if let Err(error) = &result
            && error.kind.is_hopeless()
        {
            // It has no result line, so that a resume asks again.
            let failure = Failure::new(exit::of_kind(error.kind), format!("{id}: {error}"));
            return Err(failure.remedy(exit::remedy(error.kind).unwrap_or("--resume once this is mended")));
        }
        tally.finished(flow, result.as_ref().map(|_| took).map_err(|error| error.kind));
        let waited = tally.take_wait(id);
        let written = output.write(&Outcome { id, flow, model, result: &result, took, waited });
        written.map_err(|error| Failure::io("the result cannot be written", &error))
    }

    /// Reads on until enough of each flow is under way, one line of each in turn.
    fn fill(&mut self) -> Result<(), Failure> {
        let flows = self.book.flows();
        let mut idle = 0;
        while idle < flows && self.book.left() > 0 && self.calls.len() < READ_AHEAD {
            let flow = self.turn;
            self.turn = (self.turn + 1) % flows;
            if self.under_way[flow] < self.ahead
                && let Some(item) = self.book.next(flow)?
            {
                idle = 0;
                self.send(item, flow);
            } else {
                idle += 1;
            }
        }
        Ok(())
    }

    fn send(&mut self, item: Item, number: usize) {
        let Item { id, flow, weight, class, request } = item;
        let context = CallContext {
            weight,
            class,
            deadline: self.deadline.map(Instant::into_std),
            timeout: Some(self.timeout),
            task: Some(TaskId::from(Arc::clone(&id))),
            phase: "batch",
            idempotency_key: Some(Arc::clone(&id)),
            ..CallContext::new(Flow::new("batch", Arc::clone(&flow), "line"))
        };
        let dispatch = Arc::clone(&self.dispatch);
        let line = Line { id, flow, model: Arc::clone(&request.model), number };
        self.under_way[number] += 1;
        self.calls.spawn(async move {
            let began = Instant::now();
            let result = dispatch.chat(request, context).await;
            Finished { line, result, took: began.elapsed() }
        });
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
