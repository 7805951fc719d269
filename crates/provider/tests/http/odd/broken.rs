//! Answers that are none, each with the kind of failure it is.

use bellwether_provider::ErrorKind;

use super::{Becomes, Odd, framed};

const SSE: &str = "content-type: text/event-stream\r\n";
const JSON: &str = "content-type: application/json\r\n";

const BELL: &str = r#"{"choices":[{"delta":{"content":"bell"}}]}"#;
const DONE: &str = "[DONE]";

fn odd(what: &'static str, body: impl Into<Vec<u8>>, kind: ErrorKind) -> Odd {
    Odd { what, head: SSE, body: body.into(), becomes: Becomes::Failure(kind) }
}

fn json(what: &'static str, body: &str, kind: ErrorKind) -> Odd {
    Odd { head: JSON, ..odd(what, body, kind) }
}

pub(super) fn rows() -> Vec<Odd> {
    let mut rows = cut_off();
    rows.extend(errors_in_streams());
    rows.extend(errors_as_wholes());
    rows.extend(no_answers());
    rows
}

fn cut_off() -> Vec<Odd> {
    use ErrorKind::Truncated;
    let chunk = |choice: &str| format!(r#"{{"choices":[{choice}]}}"#);
    vec![
        odd("nothing at all", "", Truncated),
        odd("nothing but blank lines", "\n\n\r\n", Truncated),
        odd("an end mark and nothing else", framed(&[DONE]), Truncated),
        odd("text and no end", framed(&[BELL]), Truncated),
        odd("reasoning and no end", framed(&[&chunk(r#"{"delta":{"reasoning":"hm"}}"#)]), Truncated),
        odd(
            "a call in pieces and no end",
            framed(&[&chunk(
                r#"{"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"look","arguments":"{"}}]}}"#,
            )]),
            Truncated,
        ),
        odd("a role and the end mark", framed(&[&chunk(r#"{"delta":{"role":"assistant"}}"#), DONE]), Truncated),
        odd("an empty choice and the end mark", framed(&[&chunk("{}"), DONE]), Truncated),
        odd("empty text and the end mark", framed(&[&chunk(r#"{"delta":{"content":""}}"#), DONE]), Truncated),
        odd(
            "usage alone and the end mark",
            framed(&[r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#, DONE]),
            Truncated,
        ),
        odd("half an event", &framed(&[BELL])[..30], ErrorKind::Decode),
        json("half an answer", r#"{"choices":[{"message":{"content":"be"#, Truncated),
        json(
            "a whole answer that says nothing and gives no reason",
            r#"{"choices":[{"message":{"content":null}}]}"#,
            Truncated,
        ),
    ]
}

fn errors_in_streams() -> Vec<Odd> {
    let late = |error: &str| framed(&[BELL, error, DONE]);
    vec![
        odd("an error with a numeric code", late(r#"{"error":{"code":429,"message":"slow"}}"#), ErrorKind::RateLimited),
        odd("an error with a code in quotes", late(r#"{"error":{"code":"503"}}"#), ErrorKind::Overloaded),
        odd("an error that is a string", late(r#"{"error":"operation was aborted"}"#), ErrorKind::Upstream),
        odd(
            "an error beside empty choices",
            late(r#"{"error":{"code":"insufficient_quota"},"choices":[]}"#),
            ErrorKind::QuotaExhausted,
        ),
        odd("an error in a choice", late(r#"{"choices":[{"error":{"code":502}}]}"#), ErrorKind::Upstream),
        odd("an event called error", format!("data: {BELL}\n\nevent: error\ndata: gone\n\n"), ErrorKind::Upstream),
        odd("the reason error", late(r#"{"choices":[{"delta":{},"finish_reason":"error"}]}"#), ErrorKind::Upstream),
        odd(
            "the reason tool_calls without a call",
            framed(&[r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#, DONE]),
            ErrorKind::Decode,
        ),
        odd(
            "a failure of the other family",
            framed(&[r#"{"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded"}}}"#]),
            ErrorKind::RateLimited,
        ),
        odd("a refused key in a stream", framed(&[r#"{"error":{"type":"authentication_error"}}"#]), ErrorKind::Auth),
        odd(
            "too long a conversation",
            framed(&[r#"{"error":{"code":"context_length_exceeded"}}"#]),
            ErrorKind::ContextLength,
        ),
        odd("garbage between chunks", framed(&[BELL, "{oops", DONE]), ErrorKind::Decode),
        odd("a number for an event", framed(&["7"]), ErrorKind::Decode),
        odd("a string for an event", framed(&["\"hello\""]), ErrorKind::Decode),
    ]
}

fn errors_as_wholes() -> Vec<Odd> {
    vec![
        json(
            "OpenAI's error",
            r#"{"error":{"message":"no","type":"tokens","code":"rate_limit_exceeded"}}"#,
            ErrorKind::RateLimited,
        ),
        json(
            "HolySheep's error with everything",
            r#"{"error":{"code":"rate_limit_exceeded","message":"Request quota exceeded. Retry after 1.2 seconds.","param":null,"type":"rate_limit","retry_after":1.2,"request_id":"hs_req_7"}}"#,
            ErrorKind::RateLimited,
        ),
        json(
            "HolySheep's short error",
            r#"{"error":{"type":"rate_limit_error","message":"Rate limit exceeded."}}"#,
            ErrorKind::RateLimited,
        ),
        json(
            "Anthropic's error",
            r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#,
            ErrorKind::Overloaded,
        ),
        json("Google's error in an array", r#"[{"error":{"code":503,"status":"UNAVAILABLE"}}]"#, ErrorKind::Overloaded),
        json("an error that is a string", r#"{"error":"no such model"}"#, ErrorKind::Upstream),
        json("a message and a status", r#"{"message":"who are you","status_code":401}"#, ErrorKind::Auth),
        json("a detail", r#"{"detail":"Not here"}"#, ErrorKind::Upstream),
        json(
            "no money left, said in words only",
            r#"{"error":{"message":"Your credit balance is too low"}}"#,
            ErrorKind::QuotaExhausted,
        ),
        json("an error that wraps its status in text", r#"{"error":{"code":"401","message":"no"}}"#, ErrorKind::Auth),
    ]
}

fn no_answers() -> Vec<Odd> {
    let html = "content-type: text/html\r\n";
    vec![
        json("no choices", r#"{"choices":[]}"#, ErrorKind::Decode),
        json("an empty object", "{}", ErrorKind::Decode),
        json("an empty array", "[]", ErrorKind::Decode),
        json("null", "null", ErrorKind::Upstream),
        json("choices of another type", r#"{"choices":"bell"}"#, ErrorKind::Decode),
        json("a choice of another type", r#"{"choices":[7]}"#, ErrorKind::Truncated),
        json("content of another type", r#"{"choices":[{"message":{"content":7}}]}"#, ErrorKind::Truncated),
        json("two answers in a row", r#"{"choices":[{"message":{"content":"a"}}]}{"choices":[]}"#, ErrorKind::Decode),
        Odd { head: html, ..odd("a page of html", "<!doctype html><title>Sign in</title>", ErrorKind::Upstream) },
        Odd { head: SSE, ..odd("html under the name of a stream", "<html></html>", ErrorKind::Upstream) },
        odd("plain text", "all is well", ErrorKind::Upstream),
        odd("nothing but comments", ": working\n\n: working\n\n", ErrorKind::Upstream),
        odd("a stream without data", "event: message\n\nid: 4\n\n", ErrorKind::Upstream),
        odd("zeros", vec![0; 64], ErrorKind::Upstream),
        Odd {
            head: "content-encoding: gzip\r\n",
            ..odd(
                "what was compressed unasked",
                b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\xae\x05\x00".to_vec(),
                ErrorKind::Upstream,
            )
        },
    ]
}
