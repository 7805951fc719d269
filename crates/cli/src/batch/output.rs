//! Lines of a result: OpenAI's batch results, with what it took beside them; and which of them are there already.

use std::borrow::Cow;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use bellwether_core::{ChatResponse, FinishReason, ProviderError, Usd};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::book::{Ids, of_line, written};

/// A result file that is written line by line. As long as it is open, no other process of ours writes into it.
#[derive(Debug)]
pub(crate) struct Output {
    file: File,
    /// The line that was written last, of which no more than its room is of use.
    line: Vec<u8>,
}

/// A result file that was read and not changed yet.
#[derive(Debug)]
pub(crate) struct Found {
    /// The ids that have their line.
    pub(crate) done: Ids,
    file: File,
    /// How long it is up to what a crash left of a line.
    whole: u64,
    /// Whether the last line is there but for its line break.
    unbroken: bool,
}

impl Output {
    /// Begins a new file.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        claim(&file)?;
        Ok(Self::of(file))
    }

    /// Adds the line that says what came of an item. It is written in one piece, so that a crash leaves all of it or a
    /// beginning that is cut off later.
    pub(crate) fn write(&mut self, outcome: &Outcome<'_>) -> io::Result<()> {
        self.line.clear();
        self.line.shrink_to(KEPT);
        outcome.write_to(&mut self.line)?;
        self.file.write_all(&self.line)
    }

    const fn of(file: File) -> Self {
        Self { file, line: Vec::new() }
    }
}

impl Found {
    /// Reads a file that is there. What is in it has to be results, and at its end what a crash left of one: anything else
    /// belongs to somebody, and would be lost.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        if !path.metadata()?.is_file() {
            // A pipe would be waited for without an end.
            return Err(io::Error::other("it is no regular file"));
        }
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        claim(&file)?;
        let mut found = Self { done: Ids::default(), file, whole: 0, unbroken: false };
        let mut reader = BufReader::new(&found.file);
        let (mut line, mut number) = (Vec::new(), 0);
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line)?;
            number += 1;
            let ended = line.ends_with(b"\n");
            match serde_json::from_slice::<Known<'_>>(&line) {
                Ok(known) => {
                    found.done.insert(&known.custom_id);
                    if let Some(said) = known.bellwether.and_then(|bellwether| bellwether.line) {
                        found.done.insert(&of_line(&known.custom_id, &said));
                        found.done.know_lines = true;
                    }
                }
                Err(_) if ended && line.trim_ascii().is_empty() => {}
                Err(_) if !ended && is_torn(&line) => return Ok(found),
                Err(_) => return Err(io::Error::other(format!("line {number} is no result of a batch"))),
            }
            found.whole += u64::try_from(read).map_err(io::Error::other)?;
            found.unbroken = !ended;
            if !ended {
                return Ok(found);
            }
        }
    }

    /// Goes on behind the last whole line. What a crash left of a line is cut off.
    pub(crate) fn go_on(mut self) -> io::Result<Output> {
        self.file.set_len(self.whole)?;
        self.file.seek(SeekFrom::Start(self.whole))?;
        if self.unbroken {
            self.file.write_all(b"\n")?;
        }
        Ok(Output::of(self.file))
    }
}

/// Keeps other processes out of a result file, until it is closed. Where the file system knows no locks there is none.
fn claim(file: &File) -> io::Result<()> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(io::Error::new(io::ErrorKind::ResourceBusy, "another process writes it")),
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}

/// Whether this is nothing, or what a crash leaves of a result: its beginning, or a stretch that was never written.
fn is_torn(line: &[u8]) -> bool {
    let fits = line.len().min(BEGINNING.len());
    line[..fits] == BEGINNING[..fits] && serde_json::from_slice::<IgnoredAny>(line).is_err()
        || line.iter().all(|byte| *byte == 0)
}

/// How each result begins.
const BEGINNING: &[u8] = br#"{"custom_id":""#;

/// The room of a line that is kept for the next one.
const KEPT: usize = 64 << 10;

/// As much of a result as a resume has to know.
#[derive(Deserialize)]
struct Known<'a> {
    #[serde(borrow)]
    custom_id: Cow<'a, str>,
    /// A line to be sent has none.
    #[serde(rename = "response")]
    _response: IgnoredAny,
    #[serde(borrow)]
    bellwether: Option<KnownLine<'a>>,
}

#[derive(Deserialize)]
struct KnownLine<'a> {
    #[serde(borrow)]
    line: Option<Cow<'a, str>>,
}

/// What came of an item.
pub(crate) struct Outcome<'a> {
    pub(crate) id: &'a str,
    pub(crate) flow: &'a str,
    /// What its line said, if it has no other id than its number.
    pub(crate) line: Option<u64>,
    /// The model that was asked.
    pub(crate) model: &'a str,
    pub(crate) result: &'a Result<ChatResponse, ProviderError>,
    /// From being asked to the end.
    pub(crate) took: Duration,
    /// Of that, waiting for its turn.
    pub(crate) waited: Duration,
    /// How often it had its turn.
    pub(crate) turns: u32,
}

impl Outcome<'_> {
    /// Writes the line that says so, with its line break.
    fn write_to(&self, line: &mut Vec<u8>) -> serde_json::Result<()> {
        let (retries, cost) = match self.result {
            Ok(response) => (response.head.retries, response.usage.cost),
            Err(error) => (error.details.retries, None),
        };
        let (response, error) = match self.result {
            Ok(response) => {
                let body = Some(body(response, self.model));
                (Some(Answer { status_code: 200, request_id: response.head.request_id.as_deref(), body }), None)
            }
            Err(error) => {
                let details = &error.details;
                let request_id = details.request_id.as_deref();
                let code = error.kind.as_str();
                let failed = Failed { code, provider_code: details.code.as_deref(), message: &error.message };
                (details.status.map(|status_code| Answer { status_code, request_id, body: None }), Some(failed))
            }
        };
        let bellwether = Took {
            // Who was turned away before another try was not tried again, or never was.
            attempts: retries.saturating_add(1).min(self.turns),
            cost_usd: cost.map(Usd::as_dollars),
            flow: self.flow,
            latency_ms: self.took.as_secs_f64() * 1e3,
            line: self.line.map(written),
            wait_ms: self.waited.as_secs_f64() * 1e3,
        };
        serde_json::to_writer(&mut *line, &Line { custom_id: self.id, response, error, bellwether })?;
        line.push(b'\n');
        Ok(())
    }
}

/// A chat completion in OpenAI's form.
fn body<'a>(response: &'a ChatResponse, asked: &'a str) -> Body<'a> {
    let function = |call: &'a bellwether_core::chat::ToolCall| Called {
        id: &call.id,
        r#type: "function",
        function: Function { name: &call.name, arguments: &call.arguments },
    };
    let message = Said {
        role: "assistant",
        content: Some(response.text.as_str()).filter(|text| !text.is_empty()),
        refusal: response.refusal.as_deref(),
        reasoning_content: Some(response.reasoning.as_str()).filter(|text| !text.is_empty()),
        tool_calls: response.tool_calls.iter().map(function).collect(),
    };
    let usage = response.usage;
    Body {
        id: response.head.id.as_deref(),
        object: "chat.completion",
        model: response.head.model.as_deref().unwrap_or(asked),
        choices: [Choice { index: 0, message, finish_reason: finish(&response.finish) }],
        usage: Tokens {
            prompt_tokens: usage.input_tokens,
            completion_tokens: usage.output_tokens,
            total_tokens: usage.input_tokens.zip(usage.output_tokens).map(|(input, output)| input + output),
            prompt_tokens_details: usage.cached_tokens.map(|cached_tokens| Cached { cached_tokens }),
            completion_tokens_details: usage.reasoning_tokens.map(|reasoning_tokens| Reasoned { reasoning_tokens }),
        },
    }
}

fn finish(reason: &FinishReason) -> &str {
    match reason {
        FinishReason::ContentFilter => "content_filter",
        FinishReason::Length => "length",
        FinishReason::Other(reason) => reason,
        FinishReason::Stop => "stop",
        FinishReason::ToolCalls => "tool_calls",
    }
}

/// The form of a line. It is written as it stands, without a tree of values in between: that took a sixth of a batch's
/// work.
#[derive(Serialize)]
struct Line<'a> {
    custom_id: &'a str,
    response: Option<Answer<'a>>,
    error: Option<Failed<'a>>,
    bellwether: Took<'a>,
}

#[derive(Serialize)]
struct Answer<'a> {
    status_code: u16,
    request_id: Option<&'a str>,
    body: Option<Body<'a>>,
}

#[derive(Serialize)]
struct Failed<'a> {
    code: &'a str,
    provider_code: Option<&'a str>,
    message: &'a str,
}

#[derive(Serialize)]
struct Took<'a> {
    attempts: u32,
    cost_usd: Option<f64>,
    flow: &'a str,
    latency_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<String>,
    wait_ms: f64,
}

#[derive(Serialize)]
struct Body<'a> {
    id: Option<&'a str>,
    object: &'a str,
    model: &'a str,
    choices: [Choice<'a>; 1],
    usage: Tokens,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    message: Said<'a>,
    finish_reason: &'a str,
}

#[derive(Serialize)]
struct Said<'a> {
    role: &'a str,
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Called<'a>>,
}

#[derive(Serialize)]
struct Called<'a> {
    id: &'a str,
    r#type: &'a str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: &'a str,
}

#[derive(Serialize)]
struct Tokens {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    total_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens_details: Option<Cached>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens_details: Option<Reasoned>,
}

#[derive(Serialize)]
struct Cached {
    cached_tokens: u64,
}

#[derive(Serialize)]
struct Reasoned {
    reasoning_tokens: u64,
}
