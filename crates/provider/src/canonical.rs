//! Requests in one form, so that the same question is recognised.

use bellwether_core::ChatRequest;
use serde_json::{Map, Value};

use crate::catalogue::ReasoningBack;
use crate::request::{self, Mode, Wishes};

/// The request as JSON with sorted names: equal for requests that ask the same, different for all others.
pub(crate) fn request(request: &ChatRequest) -> Value {
    let wishes = Wishes { reasoning: ReasoningBack::Send, ..Wishes::default() };
    let body = request::body(request, Mode::Whole, wishes);
    sorted(serde_json::from_slice(&body).expect("a request's body is JSON"))
}

/// The same with the fields of every object in the order of their names, whatever order the map type keeps.
fn sorted(value: Value) -> Value {
    match value {
        Value::Array(values) => values.into_iter().map(sorted).collect(),
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            fields.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(Map::from_iter(fields))
        }
        other => other,
    }
}

/// The places at which two values differ, each as `messages[1].content`, with what is there on both sides.
pub(crate) fn differences<'a>(
    left: &'a Value,
    right: &'a Value,
) -> Vec<(String, Option<&'a Value>, Option<&'a Value>)> {
    let mut found = Vec::new();
    compare(String::new(), Some(left), Some(right), &mut found);
    found
}

fn compare<'a>(
    path: String,
    left: Option<&'a Value>,
    right: Option<&'a Value>,
    found: &mut Vec<(String, Option<&'a Value>, Option<&'a Value>)>,
) {
    match (left, right) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let mut names: Vec<_> = a.keys().chain(b.keys()).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                compare(path, a.get(name), b.get(name), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            for at in 0..a.len().max(b.len()) {
                compare(format!("{path}[{at}]"), a.get(at), b.get(at), found);
            }
        }
        (left, right) if left == right => {}
        (left, right) => found.push((path, left, right)),
    }
}

#[cfg(test)]
mod tests {
    use bellwether_core::Message;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_same_question_has_one_form_and_another_question_another() {
        let ask = |text: &str| ChatRequest::new("m", vec![Message::user(text)]);
        let with = |extra: Value| ChatRequest { extra: extra.as_object().unwrap().clone(), ..ask("a") };
        assert_eq!(request(&with(json!({ "x": 1, "b": 2 }))), request(&with(json!({ "b": 2, "x": 1 }))));
        assert_ne!(request(&ask("a")), request(&ask("b")));
        assert_ne!(request(&ask("a")), request(&ChatRequest { seed: Some(1), ..ask("a") }));
    }

    #[test]
    fn a_difference_is_named_by_its_place() {
        let (a, b) = (json!({ "x": [1, { "y": 2 }], "z": 1 }), json!({ "x": [1, { "y": 3 }, 4], "z": 1 }));
        let found = differences(&a, &b);
        let paths: Vec<_> = found.iter().map(|(path, ..)| path.as_str()).collect();
        assert_eq!(paths, ["x[1].y", "x[2]"]);
    }
}
