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

/// `strict`, a search of the provider's own and a negative seed were lost without a word.
#[test]
fn what_a_request_cannot_hold_is_passed_on_as_it_is() {
    let asked = |fields: Value| {
        let mut body = serde_json::json!({ "model": "m", "messages": [{ "role": "user", "content": "Hi" }], "n": 1 });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        read(body.to_string().as_bytes(), 1, None).unwrap().request
    };
    let function = |more: Value| {
        let mut function = serde_json::json!({ "name": "f", "parameters": {} });
        function.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::json!([{ "type": "function", "function": function }])
    };
    let schema = |more: Value| {
        let mut schema = serde_json::json!({ "name": "s", "schema": {} });
        schema.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::json!({ "type": "json_schema", "json_schema": schema })
    };
    let strict = serde_json::json!({ "strict": true });
    let odd = serde_json::json!({
        "tools": function(strict.clone()), "response_format": schema(strict), "seed": -1, "stop": ["a", 5],
        "tool_choice": { "type": "allowed_tools" }, "max_tokens": -1, "temperature": "warm", "top_p": 1e300,
    });
    let extra = asked(odd.clone()).extra;
    assert_eq!(odd.as_object().unwrap().iter().find(|(name, value)| extra.get(*name) != Some(*value)), None);
    let plain = serde_json::json!({
        "tools": function(serde_json::json!({ "description": "d" })), "tool_choice": "required", "seed": 1,
        "response_format": schema(serde_json::json!({})), "stop": ["a"], "max_tokens": 5, "user": null,
        "temperature": 0.5, "top_p": 1, "stream": true,
    });
    let understood = asked(plain);
    assert_eq!(understood.extra.keys().collect::<Vec<_>>(), ["n"]);
    assert_eq!((understood.tools.len(), understood.stop.len(), understood.max_output_tokens), (1, 1, Some(5)));
    let said = serde_json::json!({ "messages": [{
        "role": "assistant",
        "tool_calls": [{ "id": "c", "function": { "name": "f", "arguments": { "a": 1 } } }],
    }]});
    assert_eq!(asked(said).messages[0].tool_calls[0].arguments, r#"{"a":1}"#);
    let cached = serde_json::json!({ "type": "text", "text": "long", "cache_control": { "type": "ephemeral" } });
    let messages = serde_json::json!({ "messages": [{ "role": "user", "content": [cached] }] });
    assert_eq!(asked(messages).messages[0].content, [Part::Opaque(cached)]);
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
        (r#"{"model":"","messages":[{"role":"user","content":"x"}]}"#, "no `model`"),
        (r#"{"model":"m","n":3,"messages":[{"role":"user","content":"x"}]}"#, "`n` is 3: a line has one answer"),
        (r#"{"model":"m","messages":[{"role":"assistant","tool_calls":[5]}]}"#, "no call of a function"),
        (r#"{"body":{},"url":"/v1/embeddings"}"#, "only /v1/chat/completions"),
        (r#"{"weight":0}"#, "from 1 up"),
        (r#"{"class":"vip"}"#, "interactive"),
    ] {
        let told = read(line.as_bytes(), 1, None).unwrap_err();
        assert!(told.contains(why), "{line}: {told}");
    }
}
