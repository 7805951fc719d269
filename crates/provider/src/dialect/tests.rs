//! The odd answers on record, one by one.

use std::collections::VecDeque;

use bellwether_core::chat::{ChatResponse, Fold, ToolCall};
use bellwether_core::{Usage, Usd};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::sse::SseDecoder;

fn events(chunks: &[Value]) -> Result<VecDeque<ChatEvent>, Fault> {
    let mut dialect = Dialect::new(Started::default(), None, 1);
    let mut out = VecDeque::new();
    for chunk in chunks {
        dialect.event(&SseEvent { name: String::new(), data: chunk.to_string() }, &mut out)?;
    }
    dialect.end(&mut out);
    Ok(out)
}

fn fold(chunks: &[Value]) -> ChatResponse {
    let mut fold = Fold::default();
    events(chunks).unwrap().into_iter().for_each(|event| fold.add(event));
    fold.finish().unwrap()
}

fn delta(delta: Value) -> Value {
    json!({ "choices": [{ "delta": delta }] })
}

fn tools(calls: Value) -> Value {
    delta(json!({ "tool_calls": calls }))
}

fn stop(reason: &str) -> Value {
    json!({ "choices": [{ "delta": null, "finish_reason": reason }] })
}

fn call(id: &str, name: &str, arguments: &str) -> ToolCall {
    ToolCall { id: id.to_owned(), name: name.to_owned(), arguments: arguments.to_owned() }
}

#[test]
fn content_comes_as_a_string_as_null_or_as_parts() {
    let parts = json!([{ "type": "text", "text": "b" }, { "type": "thinking", "thinking": [{ "text": "hm" }] }]);
    let answer = fold(&[
        json!({ "choices": [], "prompt_filter_results": [] }),
        json!({ "choices": null }),
        delta(json!({ "role": "assistant", "content": null })),
        delta(json!({ "content": "a" })),
        delta(json!({ "content": parts })),
        json!({ "choices": [{ "delta": { "content": "c" }, "finish_reason": "" }] }),
        json!({ "choices": [{ "text": "d", "finish_reason": "null" }] }),
        stop("end_turn"),
    ]);
    assert_eq!((answer.text.as_str(), answer.reasoning.as_str(), answer.finish), ("abcd", "hm", FinishReason::Stop));
}

#[test]
fn reasoning_under_two_names_counts_once() {
    let answer = fold(&[
        delta(json!({ "reasoning_content": "x", "reasoning": "x" })),
        delta(json!({ "reasoning": "y" })),
        delta(json!({ "reasoning_details": [{ "text": "z" }] })),
        delta(json!({ "refusal": "no", "content": null })),
        stop("content_filter"),
    ]);
    assert_eq!((answer.reasoning.as_str(), answer.refusal.as_deref()), ("xyz", Some("no")));
    assert_eq!(answer.finish, FinishReason::ContentFilter);
}

#[test]
fn a_tool_call_in_pieces_is_put_together_and_upgrades_the_reason() {
    let answer = fold(&[
        tools(json!([{ "index": 0, "id": "a", "function": { "name": "look", "arguments": "" } }])),
        tools(json!([{ "index": 0, "id": "a", "function": { "name": "look", "arguments": "{\"x\":" } }])),
        tools(
            json!([{ "index": 1, "id": "b", "function": { "name": "go" } }, { "index": 0, "function": { "arguments": "1}" } }]),
        ),
        stop("stop"),
    ]);
    assert_eq!(answer.tool_calls, [call("a", "look", "{\"x\":1}"), call("b", "go", "{}")]);
    assert_eq!(answer.finish, FinishReason::ToolCalls);
}

#[test]
fn tool_calls_without_index_or_id_or_with_both_reused_are_kept_apart() {
    let one = |id: &str, name: &str, arguments: Value| json!({ "id": id, "function": { "name": name, "arguments": arguments } });
    let two = fold(&[tools(json!([one("a", "f", json!("{}")), one("b", "g", json!({ "k": 1 }))])), stop("tool_calls")]);
    assert_eq!(two.tool_calls, [call("a", "f", "{}"), call("b", "g", "{\"k\":1}")]);
    let reused = fold(&[
        tools(json!([{ "index": 0, "id": "a", "function": { "name": "f", "arguments": "{\"k\":1}" } }])),
        tools(json!([{ "index": 0, "id": "b", "function": { "name": "f", "arguments": "{\"k\":2}" } }])),
        stop("stop"),
    ]);
    assert_eq!(reused.tool_calls, [call("a", "f", "{\"k\":1}"), call("b", "f", "{\"k\":2}")]);
    let restless = fold(&[
        tools(json!([{ "index": 0, "id": "a", "function": { "name": "f", "arguments": "{\"k\"" } }])),
        tools(json!([{ "index": 0, "id": "b", "function": { "arguments": ":1}" } }])),
        stop("stop"),
    ]);
    assert_eq!(restless.tool_calls, [call("a", "f", "{\"k\":1}")]);
    let bare = fold(&[
        tools(json!([{ "function": { "name": "f", "arguments": "{" } }])),
        tools(json!([{ "function": { "arguments": "}" } }])),
        stop("stop"),
    ]);
    assert_eq!(bare.tool_calls, [call("call_1_0", "f", "{}")]);
    let nameless =
        |name: &str, arguments: &str| tools(json!([{ "function": { "name": name, "arguments": arguments } }]));
    let apart = fold(&[
        nameless("f", "{}"),
        nameless("g", "{\"k\":\"}\\\\\""),
        nameless("g", "}"),
        nameless("g", "{}"),
        stop("stop"),
    ]);
    assert_eq!(
        apart.tool_calls,
        [call("call_1_0", "f", "{}"), call("call_1_1", "g", "{\"k\":\"}\\\\\"}"), call("call_1_2", "g", "{}")]
    );
    let legacy = fold(&[delta(json!({ "function_call": { "name": "f", "arguments": "{}" } })), stop("function_call")]);
    assert_eq!(legacy.tool_calls, [call("call_1_0", "f", "{}")]);
}

#[test]
fn a_name_comes_in_pieces_or_again_and_again() {
    let name = |name: &str| tools(json!([{ "index": 0, "function": { "name": name } }]));
    assert_eq!(fold(&[name("get_"), name("weather"), stop("stop")]).tool_calls[0].name, "get_weather");
    assert_eq!(
        fold(&[name("get"), name("get_weather"), name("get_weather"), stop("stop")]).tool_calls[0].name,
        "get_weather"
    );
}

#[test]
fn arguments_that_were_cut_off_stay_as_they_are() {
    let begun = tools(json!([{ "index": 0, "id": "a", "function": { "name": "f", "arguments": "{\"k" } }]));
    let answer = fold(&[begun, stop("length")]);
    assert_eq!((answer.finish, answer.tool_calls), (FinishReason::Length, vec![call("a", "f", "{\"k")]));
    let empty = fold(&[tools(json!([{ "index": 0, "id": "a", "function": { "name": "f" } }])), stop("length")]);
    assert_eq!(empty.tool_calls, [call("a", "f", "")]);
}

#[test]
fn usage_is_read_wherever_it_stands_and_never_summed() {
    let usage = |usage: Value| fold(&[delta(json!({ "content": "a", "usage": {} })), stop("stop"), usage]).usage;
    let sent = usage(json!({ "choices": [], "usage": {
        "prompt_tokens": 42, "completion_tokens": 38, "total_tokens": 80, "cost_usd": 0.0002,
        "prompt_tokens_details": { "cached_tokens": 5 }, "completion_tokens_details": { "reasoning_tokens": 7 },
    } }));
    let expected = Usage {
        input_tokens: Some(42),
        output_tokens: Some(38),
        cached_tokens: Some(5),
        reasoning_tokens: Some(7),
        cost: Some(Usd::from_nanos(200_000)),
    };
    assert_eq!(sent, expected);
    let groq = usage(json!({ "x_groq": { "usage": { "prompt_tokens": 1, "completion_tokens": "2" } } }));
    assert_eq!(groq.tokens(), 3);
    let anthropic = usage(json!({ "usage": { "input_tokens": 3, "output_tokens": 2, "cache_read_input_tokens": 10 } }));
    assert_eq!((anthropic.input_tokens, anthropic.cached_tokens), (Some(13), Some(10)));
    for nothing in [json!({}), json!(null), json!({ "prompt_tokens": 0 }), json!({ "prompt_tokens": u64::MAX })] {
        assert!(usage(json!({ "usage": nothing })).is_absent());
    }
    let growing = fold(&[
        json!({ "choices": [{ "delta": { "content": "a" } }], "usage": { "prompt_tokens": 9, "completion_tokens": 1 } }),
        json!({ "choices": [{ "finish_reason": "stop", "usage": { "prompt_tokens": 9, "completion_tokens": 4 } }] }),
        json!({ "usage": null }),
    ]);
    assert_eq!(growing.usage.tokens(), 13);
}

#[test]
fn an_answer_ends_well_by_a_reason_or_by_the_mark_and_not_otherwise() {
    let text = delta(json!({ "content": "a" }));
    let ends = |chunks: &[&str]| {
        let (mut dialect, mut out) = (Dialect::new(Started::default(), None, 1), VecDeque::new());
        for chunk in chunks {
            dialect.event(&SseEvent { name: String::new(), data: (*chunk).to_owned() }, &mut out).unwrap();
        }
        dialect.end(&mut out)
    };
    let (text, stop) = (text.to_string(), stop("stop").to_string());
    assert!(ends(&[&text, &stop]));
    assert!(ends(&[&text, DONE]));
    assert!(!ends(&[&text]));
    assert!(!ends(&[DONE]));
    assert!(ends(&[&format!("{text}\n{stop}\n{DONE}")]), "single line ends between events");
}

#[test]
fn a_reason_is_understood_in_any_case_and_one_for_want_of_resources_is_an_error() {
    let other = FinishReason::Other("SAFETY".to_owned());
    for (given, understood) in [("STOP", FinishReason::Stop), ("Max_Tokens", FinishReason::Length), ("SAFETY", other)] {
        let chunk = json!({ "choices": [{ "message": { "content": "baa" }, "finish_reason": given }] });
        assert_eq!(fold(std::slice::from_ref(&chunk)).finish, understood);
        assert_eq!(both_ways(&chunk)[0], both_ways(&chunk)[1]);
    }
    for reason in [stop("insufficient_system_resource"), stop("ERROR"), stop("TOOL_CALLS")] {
        assert!(both_ways(&reason).iter().all(Result::is_err), "{reason}");
    }
}

#[test]
fn calls_without_end_and_names_without_end_are_refused() {
    let endless = |number: usize| tools(json!([{ "function": { "name": format!("n{number}"), "arguments": "{}" } }]));
    assert!(matches!(events(&(0..1_025).map(endless).collect::<Vec<_>>()), Err(Fault::Garbage(_))));
    let long = |n: usize| ["baa", "moo"][n % 2].repeat(10_000);
    let longer = |n: usize| tools(json!([{ "index": 0, "function": { "name": long(n) } }]));
    assert!(matches!(events(&(0..50).map(longer).collect::<Vec<_>>()), Err(Fault::Garbage(_))));
}

#[test]
fn a_whole_answer_gives_the_same_events_as_a_stream() {
    let body = json!({ "id": "x", "model": "m", "choices": [{ "message": { "content": "a", "refusal": null } }] });
    let (mut dialect, mut out) = (Dialect::new(Started::default(), None, 1), VecDeque::new());
    dialect.whole(body.to_string().as_bytes(), &mut out).unwrap();
    assert!(dialect.end(&mut out));
    let started = Started { id: Some("x".to_owned()), model: Some("m".to_owned()), ..Started::default() };
    let expected =
        [ChatEvent::Started(started), ChatEvent::Text("a".to_owned()), ChatEvent::Finished(FinishReason::Stop)];
    assert_eq!(out, expected);
    for body in [json!({ "choices": [] }), json!({}), json!([]), json!(null)] {
        assert!(matches!(dialect_of(&body), Err(Fault::Garbage(_))), "{body}");
    }
    assert!(matches!(dialect_of(&json!({ "error": { "code": 500 } })), Err(Fault::Envelope(_))));
}

#[test]
fn the_responses_family_is_understood_in_pieces_and_as_a_whole() {
    let usage = json!({ "input_tokens": 3, "output_tokens": 2, "input_tokens_details": { "cached_tokens": 1 } });
    let look = json!({ "type": "function_call", "id": "fc", "call_id": "c", "name": "look", "arguments": "{}" });
    let message = json!({ "type": "message", "content": [{ "type": "output_text", "text": "bell" }] });
    let done = json!({ "object": "response", "id": "r", "error": null, "output": [message, look], "usage": usage });
    let begun = json!({ "type": "function_call", "call_id": "c", "name": "look", "arguments": "" });
    let pieces = [
        json!({ "type": "response.created", "response": { "id": "r" } }),
        json!({ "type": "response.output_text.delta", "delta": "be" }),
        json!({ "type": "response.output_text.delta", "delta": "ll" }),
        json!({ "type": "response.content_part.done", "part": { "text": "bell" } }),
        json!({ "type": "response.output_item.added", "output_index": 1, "item": begun }),
        json!({ "type": "response.function_call_arguments.delta", "output_index": 1, "delta": "{}" }),
        json!({ "type": "response.completed", "response": done }),
    ];
    let in_pieces = fold(&pieces);
    assert_eq!(in_pieces, fold(&[done]));
    assert_eq!((in_pieces.text.as_str(), in_pieces.usage.tokens()), ("bell", 5));
    assert_eq!(in_pieces.tool_calls, [call("c", "look", "{}")]);
    let only_the_end = fold(&pieces[6..]);
    assert_eq!(only_the_end, in_pieces);
    let cut = json!({ "incomplete_details": { "reason": "max_output_tokens" } });
    assert_eq!(fold(&[json!({ "type": "response.incomplete", "response": cut })]).finish, FinishReason::Length);
    let failed = json!({ "type": "response.failed", "response": { "error": { "code": "rate_limit_exceeded" } } });
    assert!(matches!(events(&[failed]), Err(Fault::Envelope(_))));
}

#[test]
fn an_event_called_error_is_an_error_whatever_is_in_it() {
    for data in ["upstream went away", "{\"message\":\"upstream went away\"}", "{\"error\":\"upstream went away\"}"] {
        let event = SseEvent { name: "error".to_owned(), data: data.to_owned() };
        let fault = Dialect::new(Started::default(), None, 1).event(&event, &mut VecDeque::new()).unwrap_err();
        let Fault::Envelope(envelope) = fault else { panic!("{data}: {fault:?}") };
        assert_eq!(envelope.message, "upstream went away");
    }
}

/// What becomes of a whole answer: by the way that is found for it, and by the tree of its values.
fn both_ways(body: &Value) -> [Result<VecDeque<ChatEvent>, String>; 2] {
    let body = body.to_string();
    let [input_per_mtok, cached_per_mtok, output_per_mtok] = [2, 1, 3].map(Usd::from_nanos);
    let price = Price { input_per_mtok, cached_per_mtok, output_per_mtok };
    [Dialect::whole, Dialect::tree].map(|read| {
        let mut dialect = Dialect::new(Started::default(), Some(price), 1);
        let mut out = VecDeque::new();
        read(&mut dialect, body.as_bytes(), &mut out).map_err(|fault| format!("{fault:?}"))?;
        dialect.done = true;
        dialect.end(&mut out).then_some(out).ok_or_else(|| "broke off".to_owned())
    })
}

#[test]
fn a_plain_answer_is_read_without_a_tree() {
    let body = json!({
        "id": "x", "object": "chat.completion", "created": 1, "model": "m", "service_tier": "default",
        "choices": [{
            "index": 0, "logprobs": null, "finish_reason": "length",
            "message": { "role": "assistant", "content": "a\u{e4}\n", "refusal": null, "annotations": [], "tool_calls": [] },
        }],
        "usage": {
            "prompt_tokens": 42, "completion_tokens": 38, "total_tokens": 80,
            "prompt_tokens_details": { "cached_tokens": 5, "audio_tokens": 0 },
            "completion_tokens_details": { "reasoning_tokens": 7 },
        },
    });
    let plain = plain::read(body.to_string().as_bytes()).expect("it is plain");
    assert_eq!((plain.text.as_deref(), &*plain.reason, plain.usage.tokens()), (Some("a\u{e4}\n"), "length", 80));
    let [whole, tree] = both_ways(&body);
    assert_eq!(whole, tree);
    assert!(whole.is_ok_and(|events| events.len() == 4));
}

fn dialect_of(body: &Value) -> Result<(), Fault> {
    Dialect::new(Started::default(), None, 1).whole(body.to_string().as_bytes(), &mut VecDeque::new())
}

/// What may stand in a field of an answer.
fn said() -> impl Strategy<Value = Value> {
    let word = proptest::sample::select(vec!["", "stop", "length", "error", "null", "tool_calls", "response", "Error"]);
    let plain = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop_oneof![9 => 0u64..9, 1 => Just(u64::MAX)].prop_map(Value::from),
        (-2.0..9.0).prop_map(Value::from),
        word.prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
    ];
    let text = plain.clone().prop_map(|text| json!([{ "type": "text", "text": text }]));
    prop_oneof![8 => plain, 1 => text]
}

/// An object with some of the `usual` fields and some that are `odd`.
fn object(usual: Value, odd: &'static str) -> impl Strategy<Value = Value> {
    let usual = usual.as_object().expect("it is an object").clone();
    let odd = proptest::sample::select(odd.split_whitespace().collect::<Vec<_>>());
    let odd = proptest::collection::vec((odd, said()), 0..2);
    (proptest::option::weighted(0.2, 0..usual.len()), odd).prop_map(move |(missing, odd)| {
        let left = usual.clone().into_iter().enumerate().filter(|(at, _)| Some(*at) != missing).map(|(_, field)| field);
        let odd = odd.into_iter().map(|(name, value)| (name.to_owned(), value));
        Value::Object(left.chain(odd).collect())
    })
}

fn whole_answer() -> impl Strategy<Value = Value> {
    let usage = object(json!({ "prompt_tokens": 3, "completion_tokens": 2 }), USED);
    let message = object(json!({ "role": "assistant", "content": "a", "reasoning": "hm" }), SAID);
    let choice = object(json!({ "index": 0, "finish_reason": "stop" }), CHOSEN);
    let top = object(json!({ "id": "x", "model": "m", "object": "chat.completion" }), TOP);
    (top, choice, message, usage, 0usize..9).prop_map(|(mut top, mut choice, message, usage, second)| {
        choice.as_object_mut().expect("it is an object").entry("message").or_insert(message);
        let choices = if second == 0 { json!([choice.clone(), choice]) } else { json!([choice]) };
        let fields = top.as_object_mut().expect("it is an object");
        fields.entry("choices").or_insert(choices);
        fields.entry("usage").or_insert(usage);
        top
    })
}

const TOP: &str = "id object model choices usage latency_ms error type x_groq message detail errors data code";
const CHOSEN: &str = "index message delta finish_reason error text usage content";
const SAID: &str = "role content reasoning reasoning_content refusal function_call reasoning_details tool_calls text";
const USED: &str = "prompt_tokens completion_tokens total_tokens prompt_tokens_details completion_tokens_details \
    cache_read_input_tokens cache_creation_input_tokens cached_tokens cost cost_usd input_tokens output_tokens \
    input_tokens_details output_tokens_details prompt_cache_hit_tokens reasoning_tokens";

proptest! {
    #[test]
    fn an_answer_says_the_same_with_and_without_a_tree(body in whole_answer()) {
        let [whole, tree] = both_ways(&body);
        prop_assert_eq!(whole, tree, "{}", body);
    }

    #[test]
    fn no_stream_makes_it_panic_and_calls_are_numbered_in_order(
        pieces in proptest::collection::vec(
            (proptest::option::of(0u64..4), proptest::option::of("[ab]?"), proptest::option::of("[fg]?"), "\\PC{0,3}"), 0..12,
        ),
    ) {
        let chunks: Vec<_> = pieces
            .into_iter()
            .map(|(index, id, name, arguments)| {
                tools(json!([{ "index": index, "id": id, "function": { "name": name, "arguments": arguments } }]))
            })
            .chain([stop("stop")])
            .collect();
        let mut next = 0;
        for event in events(&chunks).unwrap() {
            if let ChatEvent::ToolCall { index, id, .. } = event {
                prop_assert_eq!(id.is_some(), index == next);
                next += usize::from(id.is_some());
                prop_assert!(index < next);
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(text in "(data: ?(\\[DONE\\]|\\{\"choices\":\\[?\\{?\"?\\PC{0,9}\"?\\}?\\]?\\}|\\PC{0,9})\n\n?){0,8}") {
        let (mut decoder, mut found) = (SseDecoder::new(1_024), VecDeque::new());
        let mut dialect = Dialect::new(Started::default(), None, 1);
        prop_assert!(decoder.feed(text.as_bytes(), &mut found).is_ok());
        prop_assert!(decoder.finish(&mut found).is_ok());
        for event in found {
            let _ = dialect.event(&event, &mut VecDeque::new());
        }
    }
}
