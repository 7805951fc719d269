//! Laws of reading: where the bytes are cut does not matter, and nothing makes it panic or hang.

use std::time::{Duration, SystemTime};

use bellwether_provider::decode::{AnswerDecoder, HeaderMap, rate_limits, refusal};
use bellwether_provider::{ChatEvent, Retry};
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// What came of a body, as text: the events, and the error that ended them.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let mut answer = AnswerDecoder::new("api.example");
    let mut out = Vec::new();
    for piece in pieces {
        answer.feed(piece);
        out.extend(std::iter::from_fn(|| answer.next_event()));
    }
    answer.finish();
    out.extend(std::iter::from_fn(|| answer.next_event()));
    assert!(answer.is_over() && answer.next_event().is_none(), "a body that is over is over");
    let errors = out.iter().filter(|event| event.is_err()).count();
    let finished = out.iter().any(|event| matches!(event, Ok(ChatEvent::Finished(_))));
    assert!(errors <= 1 && (errors == 1 || finished), "an answer finishes, or fails, and says which");
    out.into_iter()
        .map(|event| match event {
            Ok(event) => format!("{event:?}"),
            // How much of the beginning is kept is not a part of the law.
            Err(error) => format!("{:?} {} {}", error.kind, error.message, error.details.emitted_output),
        })
        .collect()
}

/// Fragments that streams are made of, the odd ones too.
const FRAGMENTS: [&str; 26] = [
    "data: ",
    "data:",
    "event: error\n",
    "event: response.output_text.delta\n",
    ": comment\n",
    "\n",
    "\n\n",
    "\r\n",
    "\r",
    "\r\n\r\n",
    "\u{feff}",
    "[DONE]",
    "{\"choices\":[{\"delta\":{\"content\":\"bé🐑ll\"}}]}",
    "{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}",
    "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"function\":{\"name\":\"look\",\"arguments\":\"{\"}}]}}]}",
    "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"arguments\":\"}\"}}]},\"finish_reason\":\"tool_calls\"}]}",
    "{\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}",
    "{\"choices\":[{\"message\":{\"content\":\"bell\"},\"finish_reason\":\"stop\"}]}",
    "{\"error\":{\"code\":429,\"message\":\"slow\"}}",
    "{\"delta\":\"bell\"}",
    "{\"type\":\"response.completed\",\"response\":{}}",
    "{oops",
    "null",
    "<html>",
    " ",
    "x",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_024))]

    #[test]
    fn it_does_not_matter_where_an_answer_is_cut(
        fragments in proptest::collection::vec(select(&FRAGMENTS[..]), 0..24),
        cuts in proptest::collection::vec(any::<Index>(), 0..8),
    ) {
        let body = fragments.concat().into_bytes();
        let whole = read([body.as_slice()]);
        let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(body.len() + 1)).chain([0, body.len()]).collect();
        ends.sort_unstable();
        prop_assert_eq!(&read(ends.windows(2).map(|pair| &body[pair[0]..pair[1]])), &whole);
        prop_assert_eq!(&read(body.chunks(1)), &whole);
    }

    #[test]
    fn no_bytes_make_it_panic_and_the_cut_does_not_matter(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(read(body.chunks(3)), read([body.as_slice()]));
    }

    #[test]
    fn a_refusal_never_panics_and_never_waits_for_nothing(
        status in 300u16..1_000,
        body in "(\\{\"error\":\\{)?(\"retry_after\":|\"message\":\"try again in )?\\PC{0,20}(s\"|\\}\\})?",
        wait in "[-0-9.a-zA-Z ,:]{0,32}",
        seconds in 0u64..4_000_000_000,
    ) {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let mut headers = HeaderMap::new();
        for name in ["retry-after", "retry-after-ms", "ratelimit", "x-ratelimit-reset", "anthropic-ratelimit-tokens-reset"] {
            headers.insert(name, wait.parse().expect("visible characters"));
        }
        let limits = rate_limits(&headers, now);
        prop_assert!(limits.retry_after.is_none_or(|wait| !wait.is_zero()));
        let error = refusal("api.example", status, &headers, body.as_bytes(), now);
        let waits_for_nothing = matches!(error.retry, Retry::After(wait) if wait.is_zero());
        prop_assert!(!waits_for_nothing, "{:?}", error.retry);
    }
}
