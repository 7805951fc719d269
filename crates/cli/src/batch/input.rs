//! Lines of a batch: OpenAI's (`custom_id`, `method`, `url`, `body`), or bare request bodies; each may name its
//! `flow`, `weight` and `class`.

use std::num::NonZeroU32;
use std::sync::Arc;

use bellwether_core::chat::{MessageRole, Part, ResponseFormat, Tool, ToolCall, ToolChoice};
use bellwether_core::{ChatRequest, Class, Message};
use serde_json::{Map, Value};

/// One request of a batch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Item {
    /// What its result is known by.
    pub(crate) id: Arc<str>,
    /// Whom its share is counted for.
    pub(crate) flow: Arc<str>,
    /// The flow's share relative to the others.
    pub(crate) weight: NonZeroU32,
    /// How urgent it is.
    pub(crate) class: Class,
    /// What is asked.
    pub(crate) request: ChatRequest,
}

/// Understands a line; `number` counts from 1 and names a line without an id, `model` is asked if the line names none.
pub(crate) fn read(line: &[u8], number: usize, model: Option<&str>) -> Result<Item, String> {
    let value: Value = serde_json::from_slice(line).map_err(|error| format!("this is not JSON: {error}"))?;
    let Value::Object(mut fields) = value else { return Err("this is not a JSON object".to_owned()) };
    let flow = text(&mut fields, "flow")?.unwrap_or_else(|| "batch".to_owned());
    let weight = match fields.remove("weight") {
        None => NonZeroU32::MIN,
        Some(weight) => weight
            .as_u64()
            .and_then(|weight| NonZeroU32::new(u32::try_from(weight).ok()?))
            .ok_or("`weight` has to be a whole number from 1 up")?,
    };
    let class = match text(&mut fields, "class")?.as_deref() {
        None => Class::Batch,
        Some(name) => [Class::Interactive, Class::Standard, Class::Batch]
            .into_iter()
            .find(|class| class.as_str() == name)
            .ok_or("`class` has to be interactive, standard or batch")?,
    };
    let id = text(&mut fields, "custom_id")?.unwrap_or_else(|| format!("line-{number}"));
    let body = match fields.remove("body") {
        None => fields,
        Some(Value::Object(body)) => {
            let url = text(&mut fields, "url")?;
            if url.as_deref().is_some_and(|url| !url.ends_with("/chat/completions")) {
                return Err(format!("`url` is {:?}; only /v1/chat/completions is understood", url.unwrap_or_default()));
            }
            body
        }
        Some(_) => return Err("`body` has to be a JSON object".to_owned()),
    };
    let request = request(body, model)?;
    Ok(Item { id: id.into(), flow: flow.into(), weight, class, request })
}

fn text(fields: &mut Map<String, Value>, key: &str) -> Result<Option<String>, String> {
    match fields.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("`{key}` has to be a text")),
    }
}

/// A request body in OpenAI's form. What is not understood is passed on as it is.
fn request(mut body: Map<String, Value>, model: Option<&str>) -> Result<ChatRequest, String> {
    let named = text(&mut body, "model")?;
    let model = named.or_else(|| model.map(str::to_owned)).ok_or("there is no `model`, and no --model is given")?;
    let Some(Value::Array(messages)) = body.remove("messages") else {
        return Err("`messages` has to be a list".to_owned());
    };
    let messages = messages.into_iter().map(message).collect::<Result<Vec<_>, _>>()?;
    if messages.is_empty() {
        return Err("`messages` is empty".to_owned());
    }
    let cap = body.remove("max_completion_tokens").or_else(|| body.remove("max_tokens"));
    // Whether the answer is streamed is ours to choose; the result is whole either way.
    body.remove("stream");
    body.remove("stream_options");
    let whole = |value: Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    #[expect(clippy::cast_possible_truncation, reason = "sampling needs no more digits than an f32 has")]
    let number = |value: Value| value.as_f64().map(|number| number as f32);
    let tools = body.remove("tools").and_then(|tools| tools.as_array().cloned()).unwrap_or_default();
    Ok(ChatRequest {
        model: model.into(),
        messages,
        tools: tools.iter().map(tool).collect::<Option<_>>().ok_or("`tools` has an entry that is no function")?,
        tool_choice: body.remove("tool_choice").as_ref().and_then(tool_choice),
        response_format: body.remove("response_format").as_ref().and_then(response_format),
        max_output_tokens: cap.and_then(whole),
        temperature: body.remove("temperature").and_then(number),
        top_p: body.remove("top_p").and_then(number),
        stop: match body.remove("stop") {
            Some(Value::String(stop)) => vec![stop],
            Some(Value::Array(stops)) => stops.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        },
        seed: body.remove("seed").and_then(|seed| seed.as_u64()),
        extra: body,
    })
}

fn message(value: Value) -> Result<Message, String> {
    let Value::Object(mut fields) = value else { return Err("a message has to be a JSON object".to_owned()) };
    let role = match text(&mut fields, "role")?.as_deref() {
        Some("assistant") => MessageRole::Assistant,
        Some("system" | "developer") => MessageRole::System,
        Some("tool") => MessageRole::Tool,
        Some("user") => MessageRole::User,
        other => return Err(format!("a message's role is {:?}", other.unwrap_or("missing"))),
    };
    let content = match fields.remove("content") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(text)) => vec![Part::Text(text)],
        Some(Value::Array(parts)) => parts.into_iter().map(part).collect(),
        Some(_) => return Err("a message's content has to be a text or a list of parts".to_owned()),
    };
    let calls = fields.remove("tool_calls").and_then(|calls| calls.as_array().cloned()).unwrap_or_default();
    Ok(Message {
        role,
        content,
        tool_calls: calls.iter().filter_map(tool_call).collect(),
        tool_call_id: text(&mut fields, "tool_call_id")?,
    })
}

fn part(value: Value) -> Part {
    match (value["type"].as_str(), value["text"].as_str()) {
        (Some("text"), Some(text)) => Part::Text(text.to_owned()),
        _ => Part::Opaque(value),
    }
}

fn tool_call(value: &Value) -> Option<ToolCall> {
    Some(ToolCall {
        id: value["id"].as_str()?.to_owned(),
        name: value["function"]["name"].as_str()?.to_owned(),
        arguments: value["function"]["arguments"].as_str()?.to_owned(),
    })
}

fn tool(value: &Value) -> Option<Tool> {
    let function = value.get("function")?;
    Some(Tool {
        name: function["name"].as_str()?.to_owned(),
        description: function["description"].as_str().unwrap_or_default().to_owned(),
        parameters: function.get("parameters").cloned().unwrap_or_else(|| Value::Object(Map::new())),
    })
}

fn tool_choice(value: &Value) -> Option<ToolChoice> {
    match value.as_str() {
        Some("auto") => Some(ToolChoice::Auto),
        Some("none") => Some(ToolChoice::None),
        Some("required") => Some(ToolChoice::Required),
        _ => Some(ToolChoice::Named(value["function"]["name"].as_str()?.to_owned())),
    }
}

fn response_format(value: &Value) -> Option<ResponseFormat> {
    match value["type"].as_str()? {
        "json_object" => Some(ResponseFormat::JsonObject),
        "json_schema" => Some(ResponseFormat::JsonSchema {
            name: value["json_schema"]["name"].as_str()?.to_owned(),
            schema: value["json_schema"].get("schema")?.clone(),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_openai_and_a_bare_body_are_understood() {
        let body = r#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"max_tokens":5,"user":"u"}"#;
        let line = format!(
            r#"{{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{body},"flow":"x","weight":4,"class":"standard"}}"#
        );
        let item = read(line.as_bytes(), 1, None).unwrap();
        assert_eq!((&*item.id, &*item.flow, item.weight.get(), item.class), ("a", "x", 4, Class::Standard));
        assert_eq!(item.request.messages, [Message::user("Hi")]);
        assert_eq!((item.request.max_output_tokens, item.request.extra["user"].as_str()), (Some(5), Some("u")));
        let bare = read(body.as_bytes(), 7, None).unwrap();
        assert_eq!((&*bare.id, &*bare.flow, bare.class), ("line-7", "batch", Class::Batch));
        assert_eq!(bare.request, item.request);
        let without = r#"{"messages":[{"role":"user","content":[{"type":"text","text":"Hi"},{"type":"image_url"}]}]}"#;
        assert_eq!(&*read(without.as_bytes(), 1, Some("other")).unwrap().request.model, "other");
    }

    #[test]
    fn a_line_that_makes_no_sense_is_told_why() {
        for (line, why) in [
            ("nonsense", "not JSON"),
            ("[]", "not a JSON object"),
            (r#"{"messages":[]}"#, "--model"),
            (r#"{"model":"m"}"#, "`messages` has to be a list"),
            (r#"{"model":"m","messages":[]}"#, "empty"),
            (r#"{"model":"m","messages":[{"role":"king","content":"x"}]}"#, "king"),
            (r#"{"body":{},"url":"/v1/embeddings"}"#, "only /v1/chat/completions"),
            (r#"{"weight":0}"#, "from 1 up"),
            (r#"{"class":"vip"}"#, "interactive"),
        ] {
            let told = read(line.as_bytes(), 1, None).unwrap_err();
            assert!(told.contains(why), "{line}: {told}");
        }
    }
}
