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

/// The object that an answer begins with, bare or in a fence; `None` if anything else comes first.
pub(crate) fn sole_object(answer: &str) -> Option<Value> {
    let bare = answer.trim();
    let bare = bare.strip_prefix("```").map_or(bare, |rest| rest.trim_start_matches(char::is_alphabetic).trim_start());
    if bare.starts_with('{') { objects(bare).into_iter().next() } else { None }
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
    match object.get(key) {
        Some(Value::Array(items)) => items.iter().filter_map(plain).collect(),
        Some(value) => plain(value).into_iter().collect(),
        None => Vec::new(),
    }
}

/// A text, a number as text, or the `text` of an object.
pub(crate) fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Object(_) => text(value, "text"),
        _ => None,
    }
}

/// The same text without what JSON does not know but models write all the same: commas before a closing bracket, and
/// comments behind `//`. What stands in strings stays.
pub(crate) fn relaxed(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut quoted = false;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' if quoted => {
                kept.push(c);
                kept.extend(rest.next());
                continue;
            }
            '/' if !quoted && rest.peek() == Some(&'/') => {
                while rest.next_if(|c| *c != '\n').is_some() {}
                continue;
            }
            ']' | '}' if !quoted => {
                let end = kept.trim_end();
                if let Some(before) = end.strip_suffix(',') {
                    kept.truncate(before.len());
                }
            }
            _ => {}
        }
        kept.push(c);
    }
    kept
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{objects, relaxed};

    #[test]
    fn commas_and_comments_that_json_does_not_know_are_left_out() {
        let text = "{\"a\": [1, 2 , ], // \"two\"\n \"b\": \"//,} \\\" ,]\",\n}";
        assert_eq!(objects(&relaxed(text)), [json!({"a": [1, 2], "b": "//,} \" ,]"})]);
        assert_eq!(relaxed(",,,"), ",,,");
    }

    #[test]
    fn an_object_is_found_in_prose_and_fences() {
        let text = "Sure {not json}! Here:\n```json\n{\"a\": {\"b\": \"}\"}}\n```\nand {\"c\": 1}";
        assert_eq!(objects(text), [json!({"a": {"b": "}"}}), json!({"c": 1})]);
        assert_eq!(objects("none"), Vec::<serde_json::Value>::new());
        assert_eq!(objects(&"{".repeat(100_000)), Vec::<serde_json::Value>::new());
    }
}
