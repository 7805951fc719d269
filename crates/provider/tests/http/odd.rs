//! Odd answers, one row each: what real endpoints send, and what becomes of it. None is a silent success.
//!
//! Each row is asked for as a stream and as a whole, and each time it comes in one piece and byte by byte.

mod broken;
mod readable;

use bellwether_provider::{
    CallContext, ChatProvider, ChatResponse, ErrorKind, FinishReason, Fold, OpenAiCompatible, ProviderError,
};

use crate::server::{Act, Server, question, read};

/// One odd answer.
pub(crate) struct Odd {
    pub(crate) what: &'static str,
    pub(crate) head: &'static str,
    pub(crate) body: Vec<u8>,
    pub(crate) becomes: Becomes,
}

/// What an odd answer becomes.
pub(crate) enum Becomes {
    /// An answer that this check accepts.
    Answer(fn(&ChatResponse) -> bool),
    /// A failure of this kind.
    Failure(ErrorKind),
}

/// How the bytes come.
#[derive(Clone, Copy, Debug)]
enum Cut {
    AtEveryByte,
    Nowhere,
}

impl Odd {
    fn acts(&self, cut: Cut) -> Vec<Act> {
        let mut bytes = b"HTTP/1.1 200 OK\r\nconnection: close\r\n".to_vec();
        bytes.extend_from_slice(self.head.as_bytes());
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        let most = match cut {
            Cut::AtEveryByte => 1,
            Cut::Nowhere => bytes.len(),
        };
        bytes.chunks(most).map(|piece| Act::Send(piece.to_vec())).chain([Act::Close]).collect()
    }

    fn check(&self, how: &str, outcome: Result<ChatResponse, ProviderError>) {
        let what = self.what;
        match (&self.becomes, outcome) {
            (Becomes::Answer(good), Ok(answer)) => assert!(good(&answer), "{what}, {how}: {answer:?}"),
            (Becomes::Failure(kind), Err(error)) => {
                assert_eq!(error.kind, *kind, "{what}, {how}: {error}");
                assert!(!error.message.is_empty() && error.details.body.len() <= 4_096, "{what}, {how}");
            }
            (Becomes::Answer(_), Err(error)) => panic!("{what}, {how}: should be read, but: {error}"),
            (Becomes::Failure(kind), Ok(answer)) => panic!("{what}, {how}: should be {kind:?}, but: {answer:?}"),
        }
    }
}

async fn streamed(client: &OpenAiCompatible) -> Result<ChatResponse, ProviderError> {
    let (events, error) = read(client).await;
    let mut fold = Fold::default();
    events.into_iter().for_each(|event| fold.add(event));
    error.map_or_else(|| fold.finish(), Err)
}

async fn run(rows: Vec<Odd>) -> usize {
    for row in &rows {
        for cut in [Cut::Nowhere, Cut::AtEveryByte] {
            let client = Server::playing(row.acts(cut)).await.client_of_its_own();
            row.check(&format!("streamed, cut {cut:?}"), streamed(&client.1).await);
            row.check(&format!("whole, cut {cut:?}"), client.1.chat(question(), CallContext::default()).await);
        }
    }
    rows.len()
}

#[tokio::test]
async fn odd_answers_that_can_be_read_are_read() {
    let rows = readable::rows();
    assert!(run(rows).await >= 50);
}

#[tokio::test]
async fn odd_answers_that_cannot_be_read_are_failures_of_a_kind() {
    let rows = broken::rows();
    assert!(run(rows).await >= 35);
}

/// The text of an answer that ended by itself.
pub(crate) fn bell(answer: &ChatResponse) -> bool {
    answer.text == "bell" && answer.finish == FinishReason::Stop && answer.tool_calls.is_empty()
}

/// One call of a tool, complete.
pub(crate) fn look(answer: &ChatResponse) -> bool {
    let [call] = &answer.tool_calls[..] else { return false };
    call.name == "look"
        && call.arguments.replace(' ', "") == "{\"x\":1}"
        && !call.id.is_empty()
        && answer.finish == FinishReason::ToolCalls
}

/// Events as they are usually framed.
pub(crate) fn framed(events: &[&str]) -> String {
    events.iter().map(|event| format!("data: {event}\n\n")).collect()
}
