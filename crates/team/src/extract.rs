//! Finding the JSON that a model wrapped into prose, fences and apologies.

use serde_json::Value;

/// How many opening braces are tried; a longer answer is not an answer in JSON.
const MAX_TRIES: usize = 64;

/// The JSON objects in `text`, in order, outermost only.
pub(crate) fn objects(text: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let mut rest = text;
    for _ in 0..MAX_TRIES {
        let Some(start) = rest.find('{') else { break };
        rest = &rest[start..];
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        let next = values.next();
        let end = values.byte_offset();
        match next {
            Some(Ok(value)) => {
                found.push(value);
                rest = &rest[end..];
            }
            _ => rest = &rest[1..],
        }
    }
    found
}

/// A text field of an object, trimmed; numbers count as text.
pub(crate) fn text(object: &Value, key: &str) -> Option<String> {
    let text = match object.get(key)? {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// A field that is a list of texts; a single text counts as a list of one.
pub(crate) fn texts(object: &Value, key: &str) -> Vec<String> {
    let of = |value: &Value| match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Object(_) => text(value, "text"),
        _ => None,
    };
    match object.get(key) {
        Some(Value::Array(items)) => items.iter().filter_map(of).collect(),
        Some(value) => of(value).into_iter().collect(),
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::objects;

    #[test]
    fn an_object_is_found_in_prose_and_fences() {
        let text = "Sure {not json}! Here:\n```json\n{\"a\": {\"b\": \"}\"}}\n```\nand {\"c\": 1}";
        assert_eq!(objects(text), [json!({"a": {"b": "}"}}), json!({"c": 1})]);
        assert_eq!(objects("none"), Vec::<serde_json::Value>::new());
        assert_eq!(objects(&"{".repeat(100_000)), Vec::<serde_json::Value>::new());
    }
}
