//! `bellwether batch`: many requests from a file through one quota, each answered once.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::{CallContext, ChatProvider, ChatResponse, ErrorKind, Flow, Observer, ProviderError, TaskId};
use bellwether_dispatch::Dispatch;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use crate::args::Batch;
use crate::batch::book::{Book, Ids};
use crate::batch::input::Item;
use crate::batch::output::{Found, Outcome, Output};
use crate::batch::turns::{READ_AHEAD, Turns};
use crate::exit::{self, Exit, Failure};
use crate::tally::{self, Tally};
use crate::terminal::{advise, note, out};
use crate::{endpoint, session};

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
    /// What it said, if it is known by its number.
    print: Option<u64>,
}

pub(crate) async fn run(args: Batch) -> Result<Exit, Failure> {
    let (book, found) = look(&args)?;
    let tally = Arc::new(Tally::default());
    let observer: Arc<dyn Observer> = Arc::<Tally>::clone(&tally) as Arc<dyn Observer>;
    let dispatch = endpoint::connect(&args.endpoint, endpoint::Way::Whole(book.cap()), &observer)?;
    // Only now, so that a missing key leaves nothing behind.
    let mut output = begin(&args, found)?;
    let bar = progress(book.left());
    let began = Instant::now();
    let mut sending = Sending {
        turns: Turns::new(book.flows(), args.endpoint.max_in_flight.get()),
        book,
        deadline: args.deadline.map(|deadline| began + deadline),
        timeout: args.timeout,
        salt: salt(&args),
        dispatch: Arc::clone(&dispatch),
        calls: JoinSet::new(),
    };
    let ended = sending.finish_all(&mut output, &tally, &bar).await;
    drop(sending);
    dispatch.shutdown().await;
    bar.finish_and_clear();
    let summary = tally.summary(began.elapsed());
    if !args.json {
        let (ok, failed) = (&summary["ok"], &summary["failed"]);
        out(&format!(
            "{ok} answered, {failed} failed{}, in {:.1}s; results in {}\n",
            tally::failed_of_what(&summary),
            began.elapsed().as_secs_f64(),
            args.output.display()
        ));
    }
    let ended = ended.map_err(|failure| failure.beside(summary.clone()))?;
    if args.json {
        out(&format!("{summary}\n"));
    }
    match ended {
        Ended::Interrupted => {
            note("stopped; go on with the same command and --resume");
            Ok(Exit::Cancelled)
        }
        Ended::Done => {
            let (exit, remedy) = tally.exit();
            advise(remedy);
            Ok(exit)
        }
    }
}

/// The lines to send, and the results that are there. Nothing is changed yet: the lines have to make sense first, and the
/// results have to be theirs.
fn look(args: &Batch) -> Result<(Book, Option<Found>), Failure> {
    let path = args.output.display();
    if is_one_file(&args.input, &args.output) {
        return Err(Failure::usage(format!("{path} holds the lines to send")).remedy("another name for the results"));
    }
    let model = args.model.as_deref();
    if !args.resume || !args.output.exists() {
        return Ok((Book::open(&args.input, model, &Ids::default())?, None));
    }
    let found = Found::read(&args.output).map_err(|error| cannot_resume(args, &error))?;
    let book = Book::open(&args.input, model, &found.done)?;
    if found.done.len() > 0 && book.done() == 0 {
        let told = format!("none of the results in {path} is of a line in {}", args.input.display());
        return Err(Failure::usage(told).remedy("another name for the results"));
    }
    Ok((book, Some(found)))
}

/// Where results go: behind those that were found, or into a new file.
fn begin(args: &Batch, found: Option<Found>) -> Result<Output, Failure> {
    let path = args.output.display();
    if let Some(found) = found {
        return found.go_on().map_err(|error| cannot_resume(args, &error));
    }
    Output::create(&args.output).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists if args.output.is_file() => {
            Failure::usage(format!("{path} is there already")).remedy("--resume to go on with it, or another name")
        }
        io::ErrorKind::AlreadyExists => {
            Failure::usage(format!("{path} is no regular file, and results are to be there for a resume"))
                .remedy("the name of a new file")
        }
        _ => Failure::io(format!("{path} cannot be written"), &error),
    })
}

fn cannot_resume(args: &Batch, error: &io::Error) -> Failure {
    Failure::io(format!("{} cannot be resumed", args.output.display()), error)
}

/// Whether two paths lead to one file, by another name or a link.
fn is_one_file(one: &Path, other: &Path) -> bool {
    #[cfg(unix)]
    if let (Ok(one), Ok(other)) = (one.metadata(), other.metadata()) {
        use std::os::unix::fs::MetadataExt;

        return (one.dev(), one.ino()) == (other.dev(), other.ino());
    }
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// What the idempotency keys of a batch begin with. A call that is made again, by a resume too, has the key it had; one that
/// another batch makes, with the same ids or of the same lines, has not: an answer to that is none to this. A batch is known
/// by the file of its results, and that by its birth.
fn salt(args: &Batch) -> u64 {
    let mut hasher = DefaultHasher::new();
    args.output.canonicalize().as_ref().unwrap_or(&args.output).hash(&mut hasher);
    args.output.metadata().and_then(|metadata| metadata.created()).ok().hash(&mut hasher);
    args.model.hash(&mut hasher);
    hasher.finish()
}

enum Ended {
    Done,
    Interrupted,
}

/// Lines on their way.
struct Sending {
    book: Book,
    turns: Turns,
    deadline: Option<Instant>,
    timeout: Duration,
    salt: u64,
    dispatch: Arc<Dispatch>,
    calls: JoinSet<Finished>,
}

impl Sending {
    /// Sends everything that has no result yet and writes each result as it comes. Where it cannot go on, what is in flight
    /// is waited for all the same: it is paid.
    async fn finish_all(&mut self, output: &mut Output, tally: &Tally, bar: &ProgressBar) -> Result<Ended, Failure> {
        let mut stop = std::pin::pin!(session::signal());
        loop {
            if let Err(changed) = self.fill() {
                self.drain(output, tally).await?;
                return Err(changed);
            }
            let joined = tokio::select! {
                biased;
                () = &mut stop => {
                    bar.suspend(|| note("finishing the calls in flight; Ctrl-C once more stops at once"));
                    return self.drain(output, tally).await.map(|()| Ended::Interrupted);
                }
                failure = tally.nobody_there() => return Err(failure),
                pause = tally.long_pause() => {
                    let pause = humantime::format_duration(Duration::from_secs(pause.as_secs()));
                    bar.suspend(|| note(&format!("the provider asks for a pause of {pause}; --deadline would end that")));
                    continue;
                }
                joined = self.calls.join_next() => joined,
            };
            let Some(joined) = joined else { return Ok(Ended::Done) };
            let mut hopeless = self.write(joined, output, tally)?;
            while let Some(joined) = self.calls.try_join_next() {
                hopeless = hopeless.or(self.write(joined, output, tally)?);
            }
            if let Some(hopeless) = hopeless {
                self.drain(output, tally).await?;
                return Err(hopeless);
            }
            if !bar.is_hidden() {
                let (ok, failed, tokens, cost) = tally.so_far();
                bar.set_position(ok + failed);
                bar.set_message(format!("{failed} failed, {tokens} tok, {cost}"));
            }
        }
    }

    /// Waits for the calls in flight, until somebody wants it to stop at once. What only waits has no result then.
    async fn drain(&mut self, output: &mut Output, tally: &Tally) -> Result<(), Failure> {
        let mut stop = std::pin::pin!(session::signal());
        let dispatch = Arc::clone(&self.dispatch);
        let mut shutdown = std::pin::pin!(dispatch.shutdown());
        let mut closed = false;
        loop {
            let joined = tokio::select! {
                biased;
                () = &mut stop => return Ok(()),
                () = &mut shutdown, if !closed => {
                    closed = true;
                    continue;
                }
                joined = self.calls.join_next() => joined,
            };
            let Some(joined) = joined else { return Ok(()) };
            self.write(joined, output, tally)?;
        }
    }

    /// Writes what became of a line. One that failed of what every other line would fail of, or was called off, has no
    /// result, so that a resume asks again; in the first case that is returned.
    fn write(
        &mut self,
        joined: Result<Finished, JoinError>,
        output: &mut Output,
        tally: &Tally,
    ) -> Result<Option<Failure>, Failure> {
        let fell_over = |error| Failure::new(Exit::Failed, format!("a call fell over: {error}"));
        let Finished { line, result, took } = joined.map_err(fell_over)?;
        self.turns.ended(line.number);
        let Line { id, flow, model, .. } = &line;
        let turns = tally.take_turns(id);
        let waited = turns.waited(took);
        if let Err(error) = &result {
            match error.kind {
                ErrorKind::Auth | ErrorKind::QuotaExhausted => {
                    let failure = Failure::new(exit::of_kind(error.kind), format!("{id}: {error}"));
                    let remedy = exit::remedy(error.kind).unwrap_or("--resume once this is mended");
                    return Ok(Some(failure.remedy(remedy)));
                }
                ErrorKind::Cancelled => return Ok(None),
                _ => {}
            }
        }
        let (line, turns) = (line.print, turns.count);
        output.write(&Outcome { id, flow, line, model, result: &result, took, waited, turns }).map_err(|error| {
            Failure::io("a result cannot be written", &error).remedy("--resume once there is room for the rest")
        })?;
        tally.finished(flow, waited, result.as_ref().map(|_| took).map_err(|error| error.kind));
        Ok(None)
    }

    /// Reads on until enough of each flow is under way, one line of each in turn.
    fn fill(&mut self) -> Result<(), Failure> {
        while self.calls.len() < READ_AHEAD
            && let Some(flow) = self.turns.next()
        {
            match self.book.next(flow)? {
                Some(item) => self.send(item, flow),
                None => self.turns.dry(),
            }
        }
        Ok(())
    }

    fn send(&mut self, item: Item, number: usize) {
        let Item { id, flow, weight, class, request, is_named, print, is_capped_anew: _ } = item;
        let mut key = DefaultHasher::new();
        (self.salt, &id).hash(&mut key);
        let context = CallContext {
            weight,
            class,
            deadline: self.deadline.map(Instant::into_std),
            timeout: Some(self.timeout),
            task: Some(TaskId::from(Arc::clone(&id))),
            phase: "batch",
            // Of letters and digits, whatever the id is made of.
            idempotency_key: Some(format!("{:016x}{print:016x}", key.finish()).into()),
            ..CallContext::new(Flow::new("batch", Arc::clone(&flow), "line"))
        };
        let dispatch = Arc::clone(&self.dispatch);
        let print = (!is_named).then_some(print);
        let line = Line { id, flow, model: Arc::clone(&request.model), number, print };
        self.turns.sent(number);
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
