//! What a call will take, before anybody knows: once for the quota, once for fairness.

use std::fmt;
use std::sync::Arc;

use bellwether_core::chat::{Message, Part, Tool};
use bellwether_core::{ChatRequest, Demand, Usage};
use serde_json::{Map, Value};

/// Estimates what calls will take of the quota, and learns from what they took.
///
/// [`Dispatch`](crate::Dispatch) tells it the usage of each call that was answered, and reserves what it says when a call
/// comes to the gate of the quota, for much may have been learnt while the call waited. It never reserves less than
/// [`demand`] reckons: many providers count a call by its characters and by a cap on its output until they have answered it,
/// and what is too much comes back then. A limit that is told is kept only as well as calls are estimated: four characters
/// are one token of English, and three or four of Chinese. `bellwether-limiter` has an estimator that fits.
///
/// ```
/// use bellwether_dispatch::{ChatRequest, Demand, Estimator, Message, Usage};
///
/// #[derive(Debug, Default)]
/// struct Learnt(bellwether_limiter::Estimator);
///
/// impl Estimator for Learnt {
///     fn demand(&self, request: &ChatRequest, role: &str) -> Demand {
///         self.0.demand(request, role)
///     }
///
///     fn learn(&self, request: &ChatRequest, role: &str, usage: &Usage) {
///         self.0.learn(request, role, usage);
///     }
/// }
///
/// let estimator = Learnt::default();
/// let request = ChatRequest::new("m", vec![Message::user("\u{7f8a}".repeat(4_000))]);
/// assert_eq!(estimator.demand(&request, "translator").input_tokens, 1_004);
/// estimator.learn(&request, "translator", &Usage { input_tokens: Some(4_000), ..Usage::default() });
/// assert_eq!(estimator.demand(&request, "translator").input_tokens, 4_000);
/// ```
pub trait Estimator: fmt::Debug + Send + Sync {
    /// What `request`, asked by `role`, will take by what was learnt.
    fn demand(&self, request: &ChatRequest, role: &str) -> Demand;

    /// Hears what `request`, asked by `role`, took: what the provider said of it.
    fn learn(&self, request: &ChatRequest, role: &str, usage: &Usage);
}

const _: fn(&dyn Estimator) = |_| {};

/// A call before an estimator: what it will take, and what is learnt from what it took.
#[derive(Clone, Debug)]
pub(crate) struct Lesson {
    estimator: Arc<dyn Estimator>,
    request: Arc<ChatRequest>,
    role: Arc<str>,
    /// What is reckoned without anything learnt.
    reckoned: Demand,
}

impl Lesson {
    pub(crate) fn new(estimator: Arc<dyn Estimator>, request: Arc<ChatRequest>, role: Arc<str>) -> Self {
        let reckoned = demand(&request);
        Self { estimator, request, role, reckoned }
    }

    /// What it takes by what is known now.
    pub(crate) fn demand(&self) -> Demand {
        let learnt = self.estimator.demand(&self.request, &self.role);
        Demand {
            requests: learnt.requests.max(self.reckoned.requests),
            input_tokens: learnt.input_tokens.max(self.reckoned.input_tokens),
            output_tokens: learnt.output_tokens.max(self.reckoned.output_tokens),
        }
    }

    /// It took this.
    pub(crate) fn learn(&self, usage: &Usage) {
        self.estimator.learn(&self.request, &self.role, usage);
    }
}

/// What `request` reserves of the quota: its input, reckoned at four characters a token, and the most it may put out.
///
/// A request without a cap on its output reserves a forecast of 1,024 tokens.
///
/// ```
/// use bellwether_dispatch::{ChatRequest, Message, demand};
///
/// let mut request = ChatRequest::new("m", vec![Message::user("twelve chars")]);
/// assert_eq!((demand(&request).input_tokens, demand(&request).output_tokens), (3 + 4, 1024));
/// request.max_output_tokens = Some(4096);
/// assert_eq!(demand(&request).output_tokens, 4096);
/// ```
#[must_use]
pub fn demand(request: &ChatRequest) -> Demand {
    let messages = request.messages.iter().map(of_message).fold(0, u64::saturating_add);
    let tools = request.tools.iter().map(of_tool).fold(0, u64::saturating_add);
    Demand {
        requests: 1,
        input_tokens: messages.saturating_add(tools).saturating_add(of_extra(&request.extra)),
        output_tokens: request.max_output_tokens.map_or(OUTPUT_FORECAST, u64::from),
    }
}

/// What a call with this demand is charged at first when shares are reckoned, in tokens.
///
/// Other than the reservation it expects no more output than the forecast: a generous cap is no reason to wait
/// longer. The charge is corrected by what the call took.
///
/// ```
/// use bellwether_dispatch::{Demand, charge};
///
/// assert_eq!(charge(&Demand { requests: 1, input_tokens: 10, output_tokens: 50 }), 60);
/// assert_eq!(charge(&Demand { requests: 1, input_tokens: 10, output_tokens: 100_000 }), 1034);
/// ```
#[must_use]
pub fn charge(demand: &Demand) -> u64 {
    demand.input_tokens.saturating_add(demand.output_tokens.min(OUTPUT_FORECAST))
}

/// What a call is charged in the end; `None` if nobody said what it took.
pub(crate) fn charge_of(usage: &Usage) -> Option<u64> {
    (usage.input_tokens.is_some() || usage.output_tokens.is_some()).then(|| usage.tokens())
}

fn of_message(message: &Message) -> u64 {
    let opaque =
        message.content.iter().filter_map(|part| if let Part::Opaque(value) = part { Some(value) } else { None });
    let opaque: u64 = opaque.map(of_opaque).fold(0, u64::saturating_add);
    let calls: usize = message.tool_calls.iter().map(|call| chars(&call.name) + chars(&call.arguments)).sum();
    tokens(message.chars() + calls).saturating_add(PER_MESSAGE).saturating_add(opaque)
}

/// A text that says more than its words, such as where a cache ends, or a picture or the like.
fn of_opaque(part: &Value) -> u64 {
    part.get("text").and_then(Value::as_str).map_or(PER_OPAQUE_PART, |text| tokens(chars(text)))
}

/// What a request has beyond the fields that everybody has: tools and schemas in words of their own, if it is long.
fn of_extra(extra: &Map<String, Value>) -> u64 {
    extra
        .values()
        .filter(|value| value.is_array() || value.is_object())
        .map(|value| tokens(chars(&value.to_string())))
        .sum()
}

fn of_tool(tool: &Tool) -> u64 {
    tokens(chars(&tool.name) + chars(&tool.description) + chars(&tool.parameters.to_string()))
}

fn chars(text: &str) -> usize {
    text.chars().count()
}

const fn tokens(chars: usize) -> u64 {
    (chars as u64).div_ceil(CHARS_PER_TOKEN)
}

const CHARS_PER_TOKEN: u64 = 4;
/// The role and the marks around a message.
const PER_MESSAGE: u64 = 4;
/// A picture or a file costs about this much, whatever the size of its JSON.
const PER_OPAQUE_PART: u64 = 1_000;
const OUTPUT_FORECAST: u64 = 1_024;

#[cfg(test)]
mod tests {
    use bellwether_core::chat::ToolCall;

    use super::*;

    #[test]
    fn every_part_of_a_request_is_counted() {
        let mut asks = Message::assistant("");
        asks.tool_calls.push(ToolCall { id: "c1".into(), name: "find".into(), arguments: r#"{"a":1}"#.into() });
        let mut shows = Message::user("äöü");
        shows.content.push(Part::Opaque("a picture".into()));
        shows.content.push(Part::Opaque(serde_json::json!({ "type": "text", "text": "twelve chars" })));
        let mut request = ChatRequest::new("m", vec![asks, shows]);
        request.tools.push(Tool { name: "find".into(), description: "finds".into(), parameters: "{}".into() });
        request.extra.insert("tools".into(), serde_json::json!([{ "name": "f" }]));
        request.extra.insert("seed".into(), 7.into());
        let parts = [3 + 4, 1 + 4 + 1_000 + 3, 4, 4];
        assert_eq!(demand(&request).input_tokens, parts.iter().sum::<u64>());
    }

    #[derive(Debug, Default)]
    struct Learnt(bellwether_limiter::Estimator);

    impl Estimator for Learnt {
        fn demand(&self, request: &ChatRequest, role: &str) -> Demand {
            self.0.demand(request, role)
        }

        fn learn(&self, request: &ChatRequest, role: &str, usage: &Usage) {
            self.0.learn(request, role, usage);
        }
    }

    #[test]
    fn calls_that_take_more_than_is_reckoned_reserve_more_and_those_that_take_less_no_less() {
        let request = ChatRequest::new("m", vec![Message::user("羊".repeat(4_000))]);
        let reckoned = demand(&request);
        let lesson = Lesson::new(Arc::<Learnt>::default(), Arc::new(request), "coder".into());
        let took = |input: u64, output: u64| {
            lesson.learn(&Usage { input_tokens: Some(input), output_tokens: Some(output), ..Usage::default() });
        };
        assert_eq!(lesson.demand(), reckoned);
        (0..60).for_each(|_| took(50, 10));
        assert_eq!(lesson.demand(), reckoned, "little is no reason to come too close to a limit");
        (0..600).for_each(|_| took(4_000, 3_000));
        let Demand { requests, input_tokens, output_tokens } = lesson.demand();
        assert!(requests == 1 && (3_990..=4_010).contains(&input_tokens), "a token for each character: {input_tokens}");
        assert!((3_000..=3_300).contains(&output_tokens), "{output_tokens}");
    }

    #[test]
    fn usage_that_nobody_sent_leaves_the_charge_alone() {
        assert_eq!(charge_of(&Usage::default()), None);
        assert_eq!(charge_of(&Usage { output_tokens: Some(7), ..Usage::default() }), Some(7));
    }
}
