//! Answers that are odd and yet say what they have to say.

use bellwether_provider::FinishReason;

use super::{Becomes, Odd, bell, framed, look};

const SSE: &str = "content-type: text/event-stream\r\n";
const JSON: &str = "content-type: application/json\r\n";

const BE: &str = r#"{"id":"a","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":"be"}}]}"#;
const LL: &str = r#"{"choices":[{"index":0,"delta":{"content":"ll"}}]}"#;
const BELL: &str = r#"{"choices":[{"delta":{"content":"bell"}}]}"#;
const STOP: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const DONE: &str = "[DONE]";
const WHOLE: &str = r#"{"id":"a","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"bell"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;

fn odd(what: &'static str, body: impl Into<Vec<u8>>, good: fn(&bellwether_provider::ChatResponse) -> bool) -> Odd {
    Odd { what, head: SSE, body: body.into(), becomes: Becomes::Answer(good) }
}

fn headed(head: &'static str, odd: Odd) -> Odd {
    Odd { head, ..odd }
}

fn delta(delta: &str) -> String {
    format!(r#"{{"choices":[{{"delta":{delta}}}]}}"#)
}

fn tool(call: &str) -> String {
    delta(&format!(r#"{{"tool_calls":[{call}]}}"#))
}

fn tools(calls: &[&str], reason: &str) -> String {
    let mut events: Vec<_> = calls.iter().map(|call| tool(call)).collect();
    events.push(format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"{reason}"}}]}}"#));
    framed(&events.iter().map(String::as_str).collect::<Vec<_>>())
}

pub(super) fn rows() -> Vec<Odd> {
    let mut rows = framing();
    rows.extend(chunks());
    rows.extend(calls());
    rows.extend(calls_in_pieces());
    rows.extend(usage());
    rows.extend(wholes());
    rows
}

fn framing() -> Vec<Odd> {
    let plain = framed(&[BE, LL, STOP, DONE]);
    vec![
        odd("a byte order mark", format!("\u{feff}{plain}"), bell),
        odd("no space after the colon", plain.replace("data: ", "data:"), bell),
        odd("CRLF", plain.replace('\n', "\r\n"), bell),
        odd("CR", plain.replace('\n', "\r"), bell),
        odd("line ends of all kinds", format!("data: {BE}\r\n\ndata: {LL}\r\rdata: {STOP}\n\r\n"), bell),
        odd("comments, ids and retries", format!(": hi\n\nid: 1\nretry: 5\nfoo: x\n{plain}: bye\n\n"), bell),
        odd("keep-alive events", format!("event: ping\ndata: {{}}\n\nevent: keepalive\ndata: x\n\n{plain}"), bell),
        odd("an event's name", plain.replace("data:", "event: message\ndata:"), bell),
        odd("data over two lines", format!("data: {{\ndata: {}\n\n{}", &BELL[1..], framed(&[STOP])), bell),
        odd("single line ends between events", format!("data: {BE}\ndata: {LL}\ndata: {STOP}\ndata: [DONE]\n"), bell),
        odd("no end mark", framed(&[BE, LL, STOP]), bell),
        odd("an end mark without its blank line", format!("{}data: [DONE]", framed(&[BE, LL, STOP])), bell),
        odd("an end mark and no reason", framed(&[BE, LL, DONE]), bell),
        odd("a reason without its blank line", format!("{}data: {STOP}", framed(&[BE, LL])), bell),
        odd("things after the end mark", format!("{plain}data: [DONE]\n\ndata: {{oops\n\n"), bell),
        odd("garbage after the reason", format!("{}data: {{oops\n\n", framed(&[BELL, STOP])), bell),
        odd("an error after the end mark", format!("{plain}data: {{\"error\":\"late\"}}\n\n"), bell),
        odd("characters of many bytes", framed(&[&BELL.replace("bell", "羊の鈴🐑"), STOP]), |a| {
            a.text == "羊の鈴🐑"
        }),
        odd(
            "bytes that are no UTF-8",
            [b"data: {\"choices\":[{\"delta\":{\"content\":\"a\xff\"},\"finish_reason\":\"stop\"}]}\n\n".as_slice()]
                .concat(),
            |a| a.text == "a\u{fffd}",
        ),
        headed("", odd("no content type", plain.clone(), bell)),
        headed(JSON, odd("events under the name of json", plain.clone(), bell)),
        headed("content-type: text/html\r\n", odd("events under the name of html", plain, bell)),
    ]
}

fn chunks() -> Vec<Odd> {
    let around = |odd: &str| framed(&[odd, BELL, STOP, DONE]);
    let finish =
        |reason: &str| framed(&[BELL, &format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":{reason}}}]}}"#), DONE]);
    vec![
        odd("no choices in a prelude", around(r#"{"choices":[],"prompt_filter_results":[]}"#), bell),
        odd("null choices", around(r#"{"choices":null}"#), bell),
        odd("a null delta", around(r#"{"choices":[{"delta":null}]}"#), bell),
        odd("an empty object", around("{}"), bell),
        odd("a null event", around("null"), bell),
        odd("null content", around(r#"{"choices":[{"delta":{"role":"assistant","content":null}}]}"#), bell),
        odd("a null error beside the content", framed(&[&BELL.replacen('{', r#"{"error":null,"#, 1), STOP]), bell),
        odd("an empty error beside the content", framed(&[&BELL.replacen('{', r#"{"error":"","#, 1), STOP]), bell),
        odd("an error of zero beside the content", framed(&[&BELL.replacen('{', r#"{"error":0,"#, 1), STOP]), bell),
        odd(
            "an empty reason on every chunk",
            framed(&[&BELL.replace(r#""delta""#, r#""finish_reason":"","delta""#), STOP]),
            bell,
        ),
        odd("end_turn", finish(r#""end_turn""#), bell),
        odd("eos", finish(r#""eos""#), bell),
        odd("max_tokens", finish(r#""max_tokens""#), |a| a.finish == FinishReason::Length),
        odd("a reason nobody knows", finish(r#""sleepy""#), |a| a.finish == FinishReason::Other("sleepy".to_owned())),
        odd("the reason null in quotes", finish(r#""null""#), bell),
        odd("a reason that comes twice", framed(&[BELL, STOP, STOP, DONE]), bell),
        odd(
            "content with the reason",
            framed(&[r#"{"choices":[{"delta":{"content":"bell"},"finish_reason":"stop"}]}"#]),
            bell,
        ),
        odd("content in parts", framed(&[&delta(r#"{"content":[{"type":"text","text":"bell"}]}"#), STOP]), bell),
        odd(
            "a message where a delta should be",
            framed(&[r#"{"choices":[{"message":{"content":"bell"}}]}"#, STOP]),
            bell,
        ),
        odd("text where a delta should be", framed(&[r#"{"choices":[{"text":"bell"}]}"#, STOP]), bell),
        odd("a second choice", framed(&[r#"{"choices":[{"index":1,"delta":{"content":"x"}}]}"#, BELL, STOP]), bell),
        odd(
            "reasoning under two names",
            framed(&[&delta(r#"{"reasoning":"hm","reasoning_content":"hm"}"#), BELL, STOP]),
            |a| a.reasoning == "hm" && bell(a),
        ),
        odd("a refusal beside null content", framed(&[&delta(r#"{"content":null,"refusal":"no"}"#), STOP]), |a| {
            a.refusal.as_deref() == Some("no")
        }),
        odd(
            "all spent on reasoning",
            framed(&[&delta(r#"{"reasoning":"hm"}"#), r#"{"choices":[{"delta":{},"finish_reason":"length"}]}"#]),
            |a| a.text.is_empty() && a.finish == FinishReason::Length,
        ),
        odd(
            "events of the other family",
            "event: response.created\ndata: {\"response\":{\"id\":\"r\"}}\n\nevent: response.output_text.delta\ndata: {\"delta\":\"bell\"}\n\nevent: response.completed\ndata: {\"response\":{\"status\":\"completed\"}}\n\n",
            bell,
        ),
    ]
}

fn calls() -> Vec<Odd> {
    let (id, rest) = (r#""id":"c""#, r#""function":{"name":"look","arguments":"{\"x\":1}"}"#);
    let two = format!(r#"{{"index":0,{id},{rest}}},{{"index":1,"id":"d",{rest}}}"#);
    vec![
        odd("two calls in one delta", tools(&[&two], "tool_calls"), |a| {
            a.tool_calls.len() == 2 && a.tool_calls[1].id == "d"
        }),
        odd("a call without an index", tools(&[&format!("{{{id},{rest}}}")], "tool_calls"), look),
        odd("a call without an id", tools(&[&format!(r#"{{"index":0,{rest}}}"#)], "tool_calls"), look),
        odd("a call and the reason stop", tools(&[&format!(r#"{{"index":0,{id},{rest}}}"#)], "stop"), look),
        odd(
            "arguments as an object",
            tools(&[r#"{"index":0,"id":"c","function":{"name":"look","arguments":{"x":1}}}"#], "tool_calls"),
            look,
        ),
        odd(
            "null arguments",
            tools(&[r#"{"index":0,"id":"c","function":{"name":"look","arguments":null}}"#], "tool_calls"),
            |a| a.tool_calls[0].arguments == "{}",
        ),
    ]
}

fn calls_in_pieces() -> Vec<Odd> {
    let (id, rest) = (r#""id":"c""#, r#""function":{"name":"look","arguments":"{\"x\":1}"}"#);
    vec![
        odd(
            "arguments in pieces",
            tools(
                &[
                    r#"{"index":0,"id":"c","function":{"name":"look","arguments":""}}"#,
                    r#"{"index":0,"function":{"arguments":"{\"x\""}}"#,
                    r#"{"index":0,"function":{"arguments":":1}"}}"#,
                ],
                "tool_calls",
            ),
            look,
        ),
        odd(
            "a new id with each piece of a call",
            tools(
                &[
                    r#"{"index":0,"id":"c","function":{"name":"look","arguments":"{\"x\""}}"#,
                    r#"{"index":0,"id":"c2","function":{"name":"look","arguments":":1}"}}"#,
                ],
                "tool_calls",
            ),
            look,
        ),
        odd(
            "a name in pieces",
            tools(
                &[
                    r#"{"index":0,"id":"c","function":{"name":"lo"}}"#,
                    r#"{"index":0,"function":{"name":"ok","arguments":"{\"x\":1}"}}"#,
                ],
                "tool_calls",
            ),
            look,
        ),
        odd(
            "two calls under one index",
            tools(
                &[&format!(r#"{{"index":0,{id},{rest}}}"#), &format!(r#"{{"index":0,"id":"d",{rest}}}"#)],
                "tool_calls",
            ),
            |a| a.tool_calls.len() == 2,
        ),
        odd(
            "arguments that are cut off",
            tools(&[r#"{"index":0,"id":"c","function":{"name":"look","arguments":"{\"x"}}"#], "length"),
            |a| a.tool_calls[0].arguments == "{\"x" && a.finish == FinishReason::Length,
        ),
        odd(
            "the form before there were tools",
            framed(&[
                &delta(r#"{"function_call":{"name":"look","arguments":"{\"x\":1}"}}"#),
                r#"{"choices":[{"finish_reason":"function_call"}]}"#,
            ]),
            look,
        ),
    ]
}

fn usage() -> Vec<Odd> {
    let with = |usage: &str| framed(&[BELL, STOP, &format!(r#"{{"choices":[],"usage":{usage}}}"#), DONE]);
    let on = |usage: &str| BELL.replacen('{', &format!(r#"{{"usage":{usage},"#), 1);
    vec![
        odd("an empty usage on an early chunk", framed(&[&on("{}"), STOP]), |a| bell(a) && a.usage.is_absent()),
        odd("a null usage", framed(&[&on("null"), STOP]), |a| bell(a) && a.usage.is_absent()),
        odd(
            "usage on every chunk",
            framed(&[
                &on(r#"{"prompt_tokens":3,"completion_tokens":1}"#),
                &STOP.replacen('{', r#"{"usage":{"prompt_tokens":3,"completion_tokens":2},"#, 1),
            ]),
            |a| a.usage.tokens() == 5,
        ),
        odd(
            "usage under another name",
            framed(&[
                BELL,
                &STOP.replacen('{', r#"{"x_groq":{"usage":{"prompt_tokens":3,"completion_tokens":2}},"#, 1),
            ]),
            |a| a.usage.tokens() == 5,
        ),
        odd("a negative usage", with(r#"{"prompt_tokens":-3,"completion_tokens":-2}"#), |a| {
            bell(a) && a.usage.is_absent()
        }),
        odd("a huge usage", with(r#"{"prompt_tokens":18446744073709551615,"completion_tokens":1e30}"#), |a| {
            bell(a) && a.usage.is_absent()
        }),
        odd("a usage that is no object", with(r#""plenty""#), |a| bell(a) && a.usage.is_absent()),
        odd("a cost without tokens", with(r#"{"cost_usd":0.5}"#), |a| {
            a.usage.cost.is_some_and(|cost| cost.as_nanos() == 500_000_000)
        }),
    ]
}

fn wholes() -> Vec<Odd> {
    let json = |what, body: &str, good| headed(JSON, odd(what, body, good));
    vec![
        json("a whole answer", WHOLE, |a| bell(a) && a.usage.tokens() == 5),
        json("a whole answer after blank lines and a mark", &format!("\u{feff}\r\n  {WHOLE}\n"), bell),
        headed("content-type: text/plain\r\n", odd("a whole answer as plain text", WHOLE, bell)),
        headed(SSE, odd("a whole answer under the name of a stream", WHOLE, bell)),
        json("a whole answer without a reason", r#"{"choices":[{"message":{"content":"bell"}}]}"#, bell),
        json(
            "a whole answer in parts",
            r#"{"choices":[{"message":{"content":[{"text":"be"},{"text":"ll"}]},"finish_reason":"stop"}]}"#,
            bell,
        ),
        json(
            "a whole answer of the other family",
            r#"{"object":"response","id":"r","status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"bell"}]}]}"#,
            bell,
        ),
        json("HolySheep's extras", &WHOLE.replacen('{', r#"{"latency_ms":47,"#, 1), |a| {
            bell(a) && a.head.latency.is_some_and(|took| took.as_millis() == 47)
        }),
        json(
            "a whole call of a tool",
            r#"{"choices":[{"message":{"content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"look","arguments":"{\"x\":1}"}}]},"finish_reason":"stop"}]}"#,
            look,
        ),
    ]
}
