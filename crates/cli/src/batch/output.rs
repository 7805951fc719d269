//! Lines of a result: OpenAI's batch results, with what it took beside them; and which of them are there already.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use bellwether_core::{ChatResponse, FinishReason, ProviderError, Usd};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::book::Ids;

/// A result file that is written line by line.
#[derive(Debug)]
pub(crate) struct Output {
    file: File,
    /// The line that was written last, of which no more than its room is of use.
    line: Vec<u8>,
}

impl Output {
    /// Begins a new file.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        OpenOptions::new().write(true).create_new(true).open(path).map(Self::of)
    }

    /// Goes on with a file: the ids that have their line, and the file behind the last whole line. What a crash left of
    /// a line is cut off.
    pub(crate) fn resume(path: &Path) -> io::Result<(Ids, Self)> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut done = Ids::default();
        let mut whole = 0;
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line)?;
            if !line.ends_with(b"\n") {
                break;
            }
            let known = serde_json::from_slice::<Known<'_>>(&line);
            let known =
                known.map_err(|_| io::Error::other(format!("line {} is no result of a batch", done.len() + 1)))?;
            done.insert(&known.custom_id);
            whole += u64::try_from(read).map_err(io::Error::other)?;
        }
        file.set_len(whole)?;
        file.seek(SeekFrom::Start(whole))?;
        Ok((done, Self::of(file)))
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
}

/// What came of an item.
pub(crate) struct Outcome<'a> {
    pub(crate) id: &'a str,
    pub(crate) flow: &'a str,
    /// The model that was asked.
    pub(crate) model: &'a str,
    pub(crate) result: &'a Result<ChatResponse, ProviderError>,
    /// From being asked to the end.
    pub(crate) took: Duration,
    /// Of that, waiting for its turn.
    pub(crate) waited: Duration,
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
            attempts: retries + 1,
            cost_usd: cost.map(Usd::as_dollars),
            flow: self.flow,
            latency_ms: self.took.as_secs_f64() * 1e3,
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
}
