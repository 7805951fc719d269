//! A conversation as the JSON that endpoints expect.

use bellwether_core::chat::{ChatRequest, Message, MessageRole, Part, ResponseFormat, Tool, ToolCall, ToolChoice};
use serde_json::{Map, Value, json};

use crate::catalogue::ReasoningBack;
use crate::config::{MaxTokensField, StreamUsage};

/// How the answer is to come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    Stream(StreamUsage),
    Whole,
}

/// What a model wants to be asked differently.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Wishes {
    pub(crate) max_tokens: MaxTokensField,
    pub(crate) reasoning: ReasoningBack,
}

/// The request's body. It has no nulls, and its fields have a stable order, so that prompt caches hit.
pub(crate) fn body(request: &ChatRequest, mode: Mode, wishes: Wishes) -> Vec<u8> {
    let mut body = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    };
    set("model", Some(Value::from(&*request.model)));
    set("messages", Some(request.messages.iter().map(|said| message(said, wishes.reasoning)).collect()));
    set("tools", some(request.tools.iter().map(tool)));
    set("tool_choice", request.tool_choice.as_ref().map(tool_choice));
    set("response_format", request.response_format.as_ref().map(response_format));
    let max_tokens = match wishes.max_tokens {
        MaxTokensField::MaxCompletionTokens => "max_completion_tokens",
        MaxTokensField::MaxTokens => "max_tokens",
    };
    set(max_tokens, request.max_output_tokens.map(Value::from));
    set("temperature", request.temperature.and_then(decimal));
    set("top_p", request.top_p.and_then(decimal));
    set("stop", some(request.stop.iter().map(|stop| Value::from(stop.as_str()))));
    set("seed", request.seed.map(Value::from));
    if let Mode::Stream(usage) = mode {
        set("stream", Some(Value::Bool(true)));
        set("stream_options", (usage == StreamUsage::Ask).then(|| json!({ "include_usage": true })));
    }
    for (name, value) in &request.extra {
        let decided = match name.as_str() {
            "stream" | "stream_options" => true,
            "max_completion_tokens" | "max_tokens" => request.max_output_tokens.is_some(),
            _ => body.contains_key(name),
        };
        if !decided {
            body.insert(name.clone(), value.clone());
        }
    }
    serde_json::to_vec(&body).expect("a map with string keys is always JSON")
}

fn message(message: &Message, reasoning: ReasoningBack) -> Value {
    let role = match message.role {
        MessageRole::Assistant => "assistant",
        MessageRole::System => "system",
        MessageRole::Tool => "tool",
        MessageRole::User => "user",
    };
    let mut out = Map::from_iter([("role".to_owned(), Value::from(role))]);
    let said: Vec<_> = message.content.iter().filter(|part| thought(part).is_none()).collect();
    // Next to tool calls an empty text is left out: some endpoints reject it there.
    if !said.is_empty() || message.tool_calls.is_empty() {
        out.insert("content".to_owned(), content(&said));
    }
    let thoughts: String = message.content.iter().filter_map(thought).collect();
    if reasoning == ReasoningBack::Send && !thoughts.is_empty() {
        out.insert("reasoning_content".to_owned(), Value::from(thoughts));
    }
    if let Some(calls) = some(message.tool_calls.iter().map(tool_call)) {
        out.insert("tool_calls".to_owned(), calls);
    }
    if let Some(id) = &message.tool_call_id {
        out.insert("tool_call_id".to_owned(), Value::from(id.as_str()));
    }
    Value::Object(out)
}

fn thought(part: &Part) -> Option<&str> {
    if let Part::Reasoning(text) = part { Some(text) } else { None }
}

/// A single text goes as a string, which every endpoint knows.
fn content(parts: &[&Part]) -> Value {
    let part = |part: &&Part| match part {
        Part::Opaque(value) => value.clone(),
        Part::Text(text) => json!({ "type": "text", "text": text }),
        _ => unreachable!("core and this crate are built together, and reasoning was taken out before"),
    };
    match parts {
        [] => Value::from(""),
        [Part::Text(text)] => Value::from(text.as_str()),
        parts => parts.iter().map(part).collect(),
    }
}

fn tool_call(call: &ToolCall) -> Value {
    let arguments = if call.arguments.trim().is_empty() { "{}" } else { &call.arguments };
    json!({ "id": call.id, "type": "function", "function": { "name": call.name, "arguments": arguments } })
}

fn tool(tool: &Tool) -> Value {
    let mut function = json!({ "name": tool.name, "parameters": tool.parameters });
    if !tool.description.is_empty() {
        function["description"] = Value::from(tool.description.as_str());
    }
    json!({ "type": "function", "function": function })
}

fn tool_choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => json!("auto"),
        ToolChoice::Named(name) => json!({ "type": "function", "function": { "name": name } }),
        ToolChoice::None => json!("none"),
        ToolChoice::Required => json!("required"),
    }
}

fn response_format(format: &ResponseFormat) -> Value {
    match format {
        ResponseFormat::JsonObject => json!({ "type": "json_object" }),
        ResponseFormat::JsonSchema { name, schema } => {
            json!({ "type": "json_schema", "json_schema": { "name": name, "schema": schema } })
        }
    }
}

/// `0.7` and not `0.699999988079071`, which is what the nearest `f64` would print.
fn decimal(value: f32) -> Option<Value> {
    value.to_string().parse::<f64>().ok().filter(|value| value.is_finite()).map(Value::from)
}

fn some(values: impl Iterator<Item = Value>) -> Option<Value> {
    let values: Vec<_> = values.collect();
    (!values.is_empty()).then(|| Value::from(values))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(request: &ChatRequest, mode: Mode) -> Value {
        serde_json::from_slice(&body(request, mode, Wishes::default())).unwrap()
    }

    #[test]
    fn a_plain_question_is_as_short_as_can_be() {
        let request = ChatRequest::new("m", vec![Message::user("Hello")]);
        let plain = json!({ "model": "m", "messages": [{ "role": "user", "content": "Hello" }] });
        assert_eq!(encode(&request, Mode::Whole), plain);
        let stream = encode(&request, Mode::Stream(StreamUsage::Ask));
        assert_eq!(stream["stream_options"], json!({ "include_usage": true }));
        assert!(encode(&request, Mode::Stream(StreamUsage::DoNotAsk)).get("stream_options").is_none());
    }

    #[test]
    fn extra_fields_pass_but_replace_nothing() {
        let mut request = ChatRequest::new("m", Vec::new());
        request.max_output_tokens = Some(7);
        request.temperature = Some(0.7);
        request.extra =
            json!({ "model": "x", "max_completion_tokens": 9, "stream": true, "thinking": { "type": "on" } })
                .as_object()
                .unwrap()
                .clone();
        let expected =
            json!({ "model": "m", "messages": [], "max_tokens": 7, "temperature": 0.7, "thinking": { "type": "on" } });
        assert_eq!(encode(&request, Mode::Whole), expected);
    }

    #[test]
    fn reasoning_goes_back_only_to_a_model_that_wants_it() {
        let said = Message {
            content: vec![Part::Reasoning("hm".to_owned()), Part::Text("bell".to_owned())],
            ..Message::assistant("")
        };
        let request = ChatRequest::new("m", vec![said]);
        assert_eq!(encode(&request, Mode::Whole)["messages"], json!([{ "role": "assistant", "content": "bell" }]));
        let wishes = Wishes { reasoning: ReasoningBack::Send, ..Wishes::default() };
        let sent: Value = serde_json::from_slice(&body(&request, Mode::Whole, wishes)).unwrap();
        let expected = json!([{ "role": "assistant", "content": "bell", "reasoning_content": "hm" }]);
        assert_eq!(sent["messages"], expected);
    }

    #[test]
    fn a_round_of_tools_goes_back_as_it_came() {
        let call = ToolCall { id: "c1".to_owned(), name: "look".to_owned(), arguments: String::new() };
        let asked = Message { content: Vec::new(), tool_calls: vec![call], ..Message::assistant("") };
        let request = ChatRequest::new("m", vec![asked, Message::tool("c1", "found")]);
        let messages = &encode(&request, Mode::Whole)["messages"];
        let function = json!({ "name": "look", "arguments": "{}" });
        assert_eq!(
            messages[0],
            json!({ "role": "assistant", "tool_calls": [{ "id": "c1", "type": "function", "function": function }] })
        );
        assert_eq!(messages[1], json!({ "role": "tool", "content": "found", "tool_call_id": "c1" }));
    }
}
