//! Lines of a batch: OpenAI's (`custom_id`, `method`, `url`, `body`), or bare request bodies; each may name its
//! `flow`, `weight` and `class`.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::sync::Arc;

use bellwether_core::chat::{MessageRole, Part, ResponseFormat, Tool, ToolCall, ToolChoice};
use bellwether_core::{ChatRequest, Class, Message};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
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
    /// Whether its cap on output has the newer of its two names, which is the only one that some models take.
    pub(crate) is_capped_anew: bool,
    /// Whether the line names its id; otherwise it is known by its number.
    pub(crate) is_named: bool,
    /// What the line is known by, in every version of the program: another line has another one.
    pub(crate) print: u64,
}

/// Understands a line; `number` counts from 1 and names a line without an id, `model` is asked if the line names none.
pub(crate) fn read(line: &[u8], number: usize, model: Option<&str>) -> Result<Item, String> {
    // What some editors put before the first line, and behind each.
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii_end();
    // FNV-1a, for it is remembered beside results.
    let step = |print: u64, byte: &u8| (print ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let print = line.iter().fold(0xcbf2_9ce4_8422_2325, step);
    // Looked through as a whole, it need not be looked through string by string.
    let line = str::from_utf8(line).map_err(|error| format!("this is not JSON: {error}"))?;
    let Object(Line { id, flow, weight, class, url, body, bare }) =
        serde_json::from_str(line).map_err(|why| match serde_json::from_str::<IgnoredAny>(line) {
            Ok(_) => why.to_string(),
            Err(error) => format!("this is not JSON: {error}"),
        })?;
    let weight = match weight {
        None => NonZeroU32::MIN,
        Some(weight) => weight
            .as_u64()
            .and_then(|weight| NonZeroU32::new(u32::try_from(weight).ok()?))
            .ok_or("`weight` has to be a whole number from 1 up")?,
    };
    let class = match class {
        None => Class::Batch,
        Some(name) => [Class::Interactive, Class::Standard, Class::Batch]
            .into_iter()
            .find(|class| class.as_str() == name)
            .ok_or("`class` has to be interactive, standard or batch")?,
    };
    if body.is_some() && url.as_ref().is_some_and(|url| !url.ends_with("/chat/completions")) {
        return Err(format!("`url` is {:?}; only /v1/chat/completions is understood", url.unwrap_or_default()));
    }
    let is_named = id.is_some();
    let id = id.map_or_else(|| format!("line-{number}").into(), |id| Arc::from(&*id));
    let flow = flow.map_or_else(|| "batch".into(), |flow| Arc::from(&*flow));
    let body = body.map_or(bare, |body| body.0);
    let is_capped_anew = body.rest.get("max_completion_tokens").is_some_and(|cap| !cap.is_null());
    let request = body.request(model)?;
    Ok(Item { id, flow, weight, class, request, is_capped_anew, is_named, print })
}

/// The fields of a line. It is read straight into them: a tree of values in between took a sixth of a batch's work.
#[derive(Debug, Default)]
struct Line<'a> {
    id: Option<Cow<'a, str>>,
    flow: Option<Cow<'a, str>>,
    weight: Option<Value>,
    class: Option<Cow<'a, str>>,
    url: Option<Cow<'a, str>>,
    body: Option<Object<Body<'a>>>,
    /// What stands beside these: the request itself, if there is no `body`.
    bare: Body<'a>,
}

/// A request body in OpenAI's form.
#[derive(Debug, Default)]
struct Body<'a> {
    model: Option<Cow<'a, str>>,
    messages: Option<Vec<Said<'a>>>,
    rest: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    role: Option<Text<'a>>,
    content: Option<Content>,
    tool_calls: Option<Value>,
    tool_call_id: Option<String>,
}

/// What a message says: a text or a list of parts.
#[derive(Debug)]
struct Content(Vec<Part>);

#[derive(Debug, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// What is filled with the fields of a JSON object, one after the other; of two with the same name the later one counts.
trait Fields<'de>: Default {
    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error>;
}

/// A JSON object that was read straight into `T`.
#[derive(Debug)]
struct Object<T>(T);

// === impl Line ===

impl<'de> Fields<'de> for Line<'de> {
    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "custom_id" => self.id = text(map)?,
            "flow" => self.flow = text(map)?,
            "weight" => self.weight = Some(map.next_value()?),
            "class" => self.class = text(map)?,
            "method" => _ = map.next_value::<IgnoredAny>()?,
            "url" => self.url = text(map)?,
            "body" => self.body = Some(map.next_value()?),
            _ => self.bare.field(name, map)?,
        }
        Ok(())
    }
}

// === impl Body ===

impl<'de> Fields<'de> for Body<'de> {
    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "model" => self.model = text(map)?,
            "messages" => self.messages = Some(map.next_value()?),
            _ => _ = self.rest.insert(name.to_owned(), map.next_value()?),
        }
        Ok(())
    }
}

impl Body<'_> {
    /// What is not understood, or would lose something of what it says, is passed on as it is.
    fn request(self, model: Option<&str>) -> Result<ChatRequest, String> {
        let Self { model: named, messages, rest: mut body } = self;
        let named = named.as_deref().filter(|named| !named.trim().is_empty());
        let model = named.or(model).ok_or("there is no `model`, and no --model is given")?;
        let messages = messages.ok_or("`messages` has to be a list")?;
        let messages = messages.into_iter().map(Said::message).collect::<Result<Vec<_>, _>>()?;
        if messages.is_empty() {
            return Err("`messages` is empty".to_owned());
        }
        if let Some(n) = body.get("n").and_then(Value::as_u64).filter(|n| *n != 1) {
            return Err(format!("`n` is {n}: a line has one answer; write a line for each"));
        }
        body.retain(|_, value| !value.is_null());
        // Whether the answer is streamed is ours to choose; the result is whole either way.
        body.remove("stream");
        body.remove("stream_options");
        Ok(ChatRequest {
            model: model.into(),
            messages,
            tools: take(&mut body, "tools", tools).unwrap_or_default(),
            tool_choice: take(&mut body, "tool_choice", tool_choice),
            response_format: take(&mut body, "response_format", response_format),
            max_output_tokens: take(&mut body, "max_completion_tokens", whole)
                .or_else(|| take(&mut body, "max_tokens", whole)),
            temperature: take(&mut body, "temperature", number),
            top_p: take(&mut body, "top_p", number),
            stop: take(&mut body, "stop", stop).unwrap_or_default(),
            seed: take(&mut body, "seed", Value::as_u64),
            extra: body,
        })
    }
}

/// Takes a field out of a body if it is `understood`.
fn take<T>(body: &mut Map<String, Value>, name: &str, understood: impl FnOnce(&Value) -> Option<T>) -> Option<T> {
    let value = understood(body.get(name)?)?;
    body.remove(name);
    Some(value)
}

fn whole(value: &Value) -> Option<u32> {
    u32::try_from(value.as_u64()?).ok()
}

#[expect(clippy::cast_possible_truncation, reason = "sampling needs no more digits than an f32 has")]
fn number(value: &Value) -> Option<f32> {
    Some(value.as_f64()? as f32).filter(|number| number.is_finite())
}

fn stop(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(stop) => Some(vec![stop.clone()]),
        Value::Array(stops) => stops.iter().map(|stop| stop.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

// === impl Said ===

impl Said<'_> {
    fn message(self) -> Result<Message, String> {
        let role = match self.role.as_ref().map(|Text(role)| &**role) {
            Some("assistant") => MessageRole::Assistant,
            Some("system" | "developer") => MessageRole::System,
            Some("tool") => MessageRole::Tool,
            Some("user") => MessageRole::User,
            other => {
                let role = other.unwrap_or("missing");
                return Err(format!("a message's role is {role:?}: use system, developer, user, assistant or tool"));
            }
        };
        let calls = self.tool_calls.as_ref().and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        Ok(Message {
            role,
            content: self.content.map(|Content(parts)| parts).unwrap_or_default(),
            tool_calls: calls
                .iter()
                .map(tool_call)
                .collect::<Option<_>>()
                .ok_or("a message's `tool_calls` has an entry that is no call of a function")?,
            tool_call_id: self.tool_call_id,
        })
    }
}

// === impl Content ===

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Contents)
    }
}

struct Contents;

impl<'de> Visitor<'de> for Contents {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list of parts")
    }

    fn visit_str<E>(self, text: &str) -> Result<Content, E> {
        Ok(Content(vec![Part::Text(text.to_owned())]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Content, A::Error> {
        let mut parts = Vec::new();
        while let Some(value) = list.next_element()? {
            parts.push(part(value));
        }
        Ok(Content(parts))
    }
}

// === impl Object ===

impl<'de, T: Fields<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Objects(PhantomData))
    }
}

struct Objects<T>(PhantomData<T>);

impl<'de, T: Fields<'de>> Visitor<'de> for Objects<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<T>, A::Error> {
        let mut filled = T::default();
        while let Some(Text(name)) = map.next_key()? {
            let field = filled.field(&name, &mut map);
            field.map_err(|error| A::Error::custom(format_args!("`{}`: {error}", name.escape_debug())))?;
        }
        Ok(Object(filled))
    }
}

/// The text of a field, or null.
fn text<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Cow<'de, str>>, A::Error> {
    Ok(map.next_value::<Option<Text<'de>>>()?.map(|Text(text)| text))
}

fn part(value: Value) -> Part {
    match (value["type"].as_str(), value["text"].as_str()) {
        // With `cache_control` it is more than its text.
        (Some("text"), Some(text)) if only(&value, &["text", "type"]).is_some() => Part::Text(text.to_owned()),
        _ => Part::Opaque(value),
    }
}

fn tool_call(value: &Value) -> Option<ToolCall> {
    Some(ToolCall {
        id: value["id"].as_str()?.to_owned(),
        name: value["function"]["name"].as_str()?.to_owned(),
        arguments: match &value["function"]["arguments"] {
            Value::Null => String::new(),
            Value::String(arguments) => arguments.clone(),
            arguments => arguments.to_string(),
        },
    })
}

/// Functions that say no more than their name, what they do and what they take; `strict` would be lost.
fn tools(value: &Value) -> Option<Vec<Tool>> {
    value.as_array()?.iter().map(tool).collect()
}

fn tool(value: &Value) -> Option<Tool> {
    let function = value.get("function")?;
    only(value, &["function", "type"])?;
    only(function, &["description", "name", "parameters"])?;
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
        "json_schema" => {
            let schema = &value["json_schema"];
            only(schema, &["name", "schema"])?;
            Some(ResponseFormat::JsonSchema {
                name: schema["name"].as_str()?.to_owned(),
                schema: schema.get("schema")?.clone(),
            })
        }
        _ => None,
    }
}

/// Whether an object has no other fields than these.
fn only(value: &Value, fields: &[&str]) -> Option<()> {
    value.as_object()?.keys().all(|key| fields.contains(&key.as_str())).then_some(())
}

#[cfg(test)]
mod tests;
