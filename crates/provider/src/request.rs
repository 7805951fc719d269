//! A conversation as the JSON that endpoints expect.

use std::collections::BTreeMap;

use bellwether_core::chat::{ChatRequest, Message, MessageRole, Part, ResponseFormat, Tool, ToolCall, ToolChoice};
use serde::Serialize;
use serde_json::{Value, json};

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

/// The request's body. It has no nulls, and its fields stand in the order of their names, so that prompt caches hit.
pub(crate) fn body(request: &ChatRequest, mode: Mode, wishes: Wishes) -> Vec<u8> {
    let messages = request.messages.iter().map(|said| message(said, wishes.reasoning)).collect();
    let mut body = BTreeMap::from([("model", Field::Text(&request.model)), ("messages", Field::Messages(messages))]);
    let max_tokens = match wishes.max_tokens {
        MaxTokensField::MaxCompletionTokens => "max_completion_tokens",
        MaxTokensField::MaxTokens => "max_tokens",
    };
    let streams = matches!(mode, Mode::Stream(_));
    let asks_for_usage = mode == Mode::Stream(StreamUsage::Ask);
    let values = [
        ("tools", some(request.tools.iter().map(tool))),
        ("tool_choice", request.tool_choice.as_ref().map(tool_choice)),
        ("response_format", request.response_format.as_ref().map(response_format)),
        (max_tokens, request.max_output_tokens.map(Value::from)),
        ("temperature", request.temperature.and_then(decimal)),
        ("top_p", request.top_p.and_then(decimal)),
        ("stop", some(request.stop.iter().map(|stop| Value::from(stop.as_str())))),
        ("seed", request.seed.map(Value::from)),
        ("stream", streams.then_some(Value::Bool(true))),
        ("stream_options", asks_for_usage.then(|| json!({ "include_usage": true }))),
    ];
    body.extend(values.into_iter().filter_map(|(name, value)| Some((name, Field::Value(value?)))));
    for (name, value) in &request.extra {
        let decided = match name.as_str() {
            "stream" | "stream_options" => true,
            "max_completion_tokens" | "max_tokens" => request.max_output_tokens.is_some(),
            name => body.contains_key(name),
        };
        if !decided {
            body.insert(name, Field::Extra(value));
        }
    }
    serde_json::to_vec(&body).expect("a map with string keys is always JSON")
}

/// What stands in a field of a body. What is long is written from where it is.
#[derive(Serialize)]
#[serde(untagged)]
enum Field<'a> {
    Extra(&'a Value),
    Messages(Vec<Said<'a>>),
    Text(&'a str),
    Value(Value),
}

/// A message, its fields in the order of their names.
#[derive(Serialize)]
struct Said<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Field<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<Value>,
}

fn message(message: &Message, reasoning: ReasoningBack) -> Said<'_> {
    let role = match message.role {
        MessageRole::Assistant => "assistant",
        MessageRole::System => "system",
        MessageRole::Tool => "tool",
        MessageRole::User => "user",
    };
    let said: Vec<_> = message.content.iter().filter(|part| thought(part).is_none()).collect();
    let thoughts: String = message.content.iter().filter_map(thought).collect();
    Said {
        // Next to tool calls an empty text is left out: some endpoints reject it there.
        content: (!said.is_empty() || message.tool_calls.is_empty()).then(|| content(&said)),
        reasoning_content: Some(thoughts).filter(|text| reasoning == ReasoningBack::Send && !text.is_empty()),
        role,
        tool_call_id: message.tool_call_id.as_deref(),
        tool_calls: some(message.tool_calls.iter().map(tool_call)),
    }
}

fn thought(part: &Part) -> Option<&str> {
    if let Part::Reasoning(text) = part { Some(text) } else { None }
}

/// A single text goes as a string, which every endpoint knows.
fn content<'a>(parts: &[&'a Part]) -> Field<'a> {
    let part = |part: &&Part| match part {
        Part::Opaque(value) => value.clone(),
        Part::Text(text) => json!({ "type": "text", "text": text }),
        _ => unreachable!("core and this crate are built together, and reasoning was taken out before"),
    };
    match parts {
        [] => Field::Text(""),
        [Part::Text(text)] => Field::Text(text),
        parts => Field::Value(parts.iter().map(part).collect()),
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
    fn fields_stand_in_the_order_of_their_names() {
        let mut request = ChatRequest::new("m", vec![Message::tool("c1", "found")]);
        request.max_output_tokens = Some(7);
        request.extra = json!({ "user": "u", "audio": {}, "n": 1 }).as_object().unwrap().clone();
        let sent = String::from_utf8(body(&request, Mode::Whole, Wishes::default())).unwrap();
        let messages = r#"[{"content":"found","role":"tool","tool_call_id":"c1"}]"#;
        assert_eq!(
            sent,
            format!(r#"{{"audio":{{}},"max_tokens":7,"messages":{messages},"model":"m","n":1,"user":"u"}}"#)
        );
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
