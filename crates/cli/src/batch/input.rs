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
}

/// Understands a line; `number` counts from 1 and names a line without an id, `model` is asked if the line names none.
pub(crate) fn read(line: &[u8], number: usize, model: Option<&str>) -> Result<Item, String> {
    // What some editors put before the first line.
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
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
    let id = id.map_or_else(|| format!("line-{number}").into(), |id| Arc::from(&*id));
    let flow = flow.map_or_else(|| "batch".into(), |flow| Arc::from(&*flow));
    Ok(Item { id, flow, weight, class, request: body.map_or(bare, |body| body.0).request(model)? })
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
    /// What is not understood is passed on as it is.
    fn request(self, model: Option<&str>) -> Result<ChatRequest, String> {
        let Self { model: named, messages, rest: mut body } = self;
        let model = named.as_deref().or(model).ok_or("there is no `model`, and no --model is given")?;
        let messages = messages.ok_or("`messages` has to be a list")?;
        let messages = messages.into_iter().map(Said::message).collect::<Result<Vec<_>, _>>()?;
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
            tool_calls: calls.iter().filter_map(tool_call).collect(),
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
            ("[]", "expected a JSON object"),
            (r#"{"body":[]}"#, "`body`: invalid type: sequence, expected a JSON object"),
            (r#"{"body":{"model":5}}"#, "`body`: `model`: invalid type: integer `5`, expected a string"),
            (r#"{"body":{"messages":[{"content""#, "not JSON: EOF"),
            (r#"{"messages":[]}"#, "--model"),
            (r#"{"model":"m"}"#, "`messages` has to be a list"),
            (r#"{"model":"m","messages":[]}"#, "empty"),
            (r#"{"model":"m","messages":[{"role":"king","content":"x"}]}"#, "king"),
            (r#"{"model":"m","messages":[{"role":"user","content":5}]}"#, "a text or a list of parts"),
            (r#"{"body":{},"url":"/v1/embeddings"}"#, "only /v1/chat/completions"),
            (r#"{"weight":0}"#, "from 1 up"),
            (r#"{"class":"vip"}"#, "interactive"),
        ] {
            let told = read(line.as_bytes(), 1, None).unwrap_err();
            assert!(told.contains(why), "{line}: {told}");
        }
    }
}
