//! The bytes: what a chat request must look like, and what answers look like.

use std::time::Duration;

use serde_json::{Value, json};

use crate::answers::{Format, Message, Prompt, Speaker};

/// A chat request, as far as the simulation looks at it.
#[derive(Clone, Debug)]
pub(crate) struct ChatRequest {
    pub(crate) delivery: Delivery,
    pub(crate) max_output_tokens: Option<u64>,
    pub(crate) model: String,
    pub(crate) prompt: Prompt,
}

/// How the answer is to be delivered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Delivery {
    Stream { with_usage: bool },
    Whole,
}

/// What is wrong with a request, and in which field.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Malformed {
    pub(crate) message: String,
    pub(crate) param: Option<String>,
}

/// Everything that an answer's envelope tells.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    pub(crate) completion_tokens: u64,
    pub(crate) created: u64,
    pub(crate) finish_reason: &'static str,
    pub(crate) id: String,
    pub(crate) model: String,
    pub(crate) prompt_tokens: u64,
}

// === impl ChatRequest ===

impl ChatRequest {
    pub(crate) fn read(body: &[u8]) -> Result<Self, Malformed> {
        let value: Value = serde_json::from_slice(body)
            .map_err(|error| Malformed { message: format!("the body is not JSON: {error}"), param: None })?;
        if !value.is_object() {
            return Err(Malformed { message: "the body must be a JSON object".to_owned(), param: None });
        }
        let model = value["model"].as_str().filter(|model| !model.is_empty() && model.len() <= LONGEST_MODEL);
        let model = model.ok_or_else(|| wrong("model", "must be a string of 1 to 256 bytes"))?;
        let messages = value["messages"].as_array().filter(|messages| !messages.is_empty());
        let messages = messages.ok_or_else(|| wrong("messages", "must be an array with at least one message"))?;
        let messages = messages.iter().enumerate().map(|(index, message)| read_message(index, message));
        let messages = messages.collect::<Result<Vec<_>, _>>()?;
        if !value["n"].is_null() && value["n"] != 1 {
            return Err(wrong("n", "must be 1: one answer per request"));
        }
        let newer = cap(&value, "max_completion_tokens")?;
        let max_output_tokens = newer.or(cap(&value, "max_tokens")?);
        let prompt = Prompt { format: format(&value)?, messages };
        Ok(Self { delivery: delivery(&value)?, max_output_tokens, model: model.to_owned(), prompt })
    }
}

fn read_message(index: usize, message: &Value) -> Result<Message, Malformed> {
    let role = message["role"].as_str();
    let role = role.ok_or_else(|| wrong(&format!("messages[{index}].role"), "must be a string"))?;
    let speaker = match role {
        "assistant" => Speaker::Assistant,
        "developer" | "system" => Speaker::System,
        "user" => Speaker::User,
        _ => Speaker::Other,
    };
    let text = match &message["content"] {
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n"),
        // An assistant's message may consist of tool calls alone.
        Value::Null if speaker == Speaker::Assistant => String::new(),
        Value::String(text) => text.clone(),
        _ => return Err(wrong(&format!("messages[{index}].content"), "must be a string or an array of parts")),
    };
    Ok(Message { speaker, text })
}

fn cap(value: &Value, field: &str) -> Result<Option<u64>, Malformed> {
    match &value[field] {
        Value::Null => Ok(None),
        given => match given.as_u64() {
            Some(cap @ 1..) => Ok(Some(cap)),
            _ => Err(wrong(field, "must be a whole number of at least 1")),
        },
    }
}

fn format(value: &Value) -> Result<Format, Malformed> {
    let format = &value["response_format"];
    match format["type"].as_str() {
        Some("json_object") => Ok(Format::Json),
        Some("json_schema") => {
            let name = format["json_schema"]["name"].as_str();
            let name = name.ok_or_else(|| wrong("response_format.json_schema.name", "must be a string"))?;
            Ok(Format::Schema(name.to_owned()))
        }
        Some("text") => Ok(Format::Text),
        None if format.is_null() => Ok(Format::Text),
        _ => Err(wrong("response_format.type", "must be \"text\", \"json_object\" or \"json_schema\"")),
    }
}

fn delivery(value: &Value) -> Result<Delivery, Malformed> {
    match &value["stream"] {
        Value::Bool(true) => {
            Ok(Delivery::Stream { with_usage: value["stream_options"]["include_usage"] == Value::Bool(true) })
        }
        Value::Bool(false) | Value::Null => Ok(Delivery::Whole),
        _ => Err(wrong("stream", "must be true or false")),
    }
}

fn wrong(field: &str, must: &str) -> Malformed {
    Malformed { message: format!("`{field}` {must}"), param: Some(field.to_owned()) }
}

// === impl Envelope ===

impl Envelope {
    /// A whole answer.
    pub(crate) fn whole(&self, content: &str) -> String {
        json!({
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": [{
                "index": 0,
                "message": { "role": "assistant", "content": content, "refusal": null },
                "logprobs": null,
                "finish_reason": self.finish_reason,
            }],
            "usage": self.usage(),
            "system_fingerprint": FINGERPRINT,
        })
        .to_string()
    }

    /// The first event of a stream, which has no text yet. With usage, every event before the last says `null` for it.
    pub(crate) fn opening(&self, with_usage: bool) -> String {
        self.chunk(&json!({ "role": "assistant", "content": "" }), None, with_usage)
    }

    pub(crate) fn piece(&self, text: &str, with_usage: bool) -> String {
        self.chunk(&json!({ "content": text }), None, with_usage)
    }

    /// The reason for the end, the usage if it is wanted, and the mark of the end.
    pub(crate) fn closing(&self, with_usage: bool) -> String {
        let mut events = self.chunk(&json!({}), Some(self.finish_reason), with_usage);
        if with_usage {
            events.push_str(&event(&self.chunk_value(&json!([]), Some(self.usage()))));
        }
        events + "data: [DONE]\n\n"
    }

    fn chunk(&self, delta: &Value, finish_reason: Option<&str>, with_usage: bool) -> String {
        let choices = json!([{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason }]);
        event(&self.chunk_value(&choices, with_usage.then_some(Value::Null)))
    }

    fn chunk_value(&self, choices: &Value, usage: Option<Value>) -> Value {
        let mut chunk = json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": choices,
            "system_fingerprint": FINGERPRINT,
        });
        if let Some(usage) = usage {
            chunk["usage"] = usage;
        }
        chunk
    }

    fn usage(&self) -> Value {
        json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        })
    }
}

fn event(chunk: &Value) -> String {
    format!("data: {chunk}\n\n")
}

/// An error as OpenAI words it.
pub(crate) fn error(message: &str, kind: &str, param: Option<&str>, code: Option<&str>) -> String {
    json!({ "error": { "message": message, "type": kind, "param": param, "code": code } }).to_string()
}

/// A duration as the `x-ratelimit-reset-*` headers write it: `12ms`, `8.64s`, `6m0s`. Rounded up, so that it is never too early.
pub(crate) fn go_duration(duration: Duration) -> String {
    let millis = duration.as_nanos().div_ceil(1_000_000);
    let (seconds, rest) = (millis / 1_000, millis % 1_000);
    let fraction = if rest == 0 { String::new() } else { format!(".{rest:03}").trim_end_matches('0').to_owned() };
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0) => format!("{rest}ms"),
        (0, 0, seconds) => format!("{seconds}{fraction}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}{fraction}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}{fraction}s"),
    }
}

const FINGERPRINT: &str = "simulated";
pub(crate) const LONGEST_MODEL: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_written_as_go_writes_it_and_never_too_short() {
        let written = |millis| go_duration(Duration::from_millis(millis));
        assert_eq!(written(0), "0ms");
        assert_eq!(written(12), "12ms");
        assert_eq!(written(8_640), "8.64s");
        assert_eq!(written(360_000), "6m0s");
        assert_eq!(written(3_723_004), "1h2m3.004s");
        assert_eq!(go_duration(Duration::from_nanos(1)), "1ms");
    }

    #[test]
    fn what_is_wrong_with_a_request_is_named() {
        let param = |body: &str| ChatRequest::read(body.as_bytes()).unwrap_err().param;
        assert_eq!(param("{"), None);
        assert_eq!(param("[]"), None);
        assert_eq!(param("{}"), Some("model".to_owned()));
        assert_eq!(param(r#"{"model":"m"}"#), Some("messages".to_owned()));
        assert_eq!(param(r#"{"model":"m","messages":[{}]}"#), Some("messages[0].role".to_owned()));
        let with =
            |rest: &str| param(&format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],{rest}}}"#));
        assert_eq!(with(r#""max_tokens":0"#), Some("max_tokens".to_owned()));
        assert_eq!(with(r#""max_completion_tokens":"x""#), Some("max_completion_tokens".to_owned()));
        assert_eq!(with(r#""stream":1"#), Some("stream".to_owned()));
        for n in ["2", "0", "-1", "\"2\"", "1.5"] {
            assert_eq!(with(&format!(r#""n":{n}"#)), Some("n".to_owned()), "{n}");
        }
        assert_eq!(with(r#""response_format":{"type":"xml"}"#), Some("response_format.type".to_owned()));
    }
}
