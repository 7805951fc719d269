//! Lines of a result: OpenAI's batch results, with what it took beside them; and which of them are there already.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use bellwether_core::{ChatResponse, FinishReason, ProviderError, Usd};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::book::Ids;

/// A result file that is written line by line.
#[derive(Debug)]
pub(crate) struct Output(File);

impl Output {
    /// Begins a new file.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        OpenOptions::new().write(true).create_new(true).open(path).map(Self)
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
        Ok((done, Self(file)))
    }

    /// Adds a line, which ends in a line break. It is written in one piece, so that a crash leaves all of it or a beginning that is cut off later.
    pub(crate) fn write(&mut self, line: &str) -> io::Result<()> {
        self.0.write_all(line.as_bytes())
    }
}

/// As much of a result as a resume has to know.
#[derive(Deserialize)]
struct Known<'a> {
    #[serde(borrow)]
    custom_id: Cow<'a, str>,
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
    /// The line that says so.
    pub(crate) fn line(&self) -> String {
        let (retries, cost) = match self.result {
            Ok(response) => (response.head.retries, response.usage.cost),
            Err(error) => (error.details.retries, None),
        };
        let took = json!({
            "attempts": retries + 1,
            "cost_usd": cost.map(Usd::as_dollars),
            "flow": self.flow,
            "latency_ms": self.took.as_secs_f64() * 1e3,
            "wait_ms": self.waited.as_secs_f64() * 1e3,
        });
        let line = match self.result {
            Ok(response) => json!({
                "custom_id": self.id,
                "response": {
                    "status_code": 200,
                    "request_id": response.head.request_id,
                    "body": body(response, self.model),
                },
                "error": null,
                "bellwether": took,
            }),
            Err(error) => json!({
                "custom_id": self.id,
                "response": error.details.status.map(|status| json!({
                    "status_code": status,
                    "request_id": error.details.request_id,
                    "body": null,
                })),
                "error": { "code": error.kind.as_str(), "provider_code": error.details.code, "message": error.message },
                "bellwether": took,
            }),
        };
        format!("{line}\n")
    }
}

/// A chat completion in OpenAI's form.
fn body(response: &ChatResponse, asked: &str) -> Value {
    let mut message = Map::from_iter([
        ("role".to_owned(), json!("assistant")),
        ("content".to_owned(), if response.text.is_empty() { Value::Null } else { json!(response.text) }),
    ]);
    if let Some(refusal) = &response.refusal {
        message.insert("refusal".to_owned(), json!(refusal));
    }
    if !response.reasoning.is_empty() {
        message.insert("reasoning_content".to_owned(), json!(response.reasoning));
    }
    if !response.tool_calls.is_empty() {
        let call = |call: &bellwether_core::chat::ToolCall| json!({ "id": call.id, "type": "function", "function": { "name": call.name, "arguments": call.arguments } });
        message.insert("tool_calls".to_owned(), response.tool_calls.iter().map(call).collect());
    }
    let usage = response.usage;
    json!({
        "id": response.head.id,
        "object": "chat.completion",
        "model": response.head.model.as_deref().unwrap_or(asked),
        "choices": [{ "index": 0, "message": message, "finish_reason": finish(&response.finish) }],
        "usage": {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens.zip(usage.output_tokens).map(|(input, output)| input + output),
        },
    })
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
