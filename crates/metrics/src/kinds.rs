//! Calls that are alike, and what is counted of each: their handles are looked up once.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::{Call, Class, Demand, Usage};
use metrics::{Counter, Gauge, Histogram, SharedString, counter, gauge, histogram};

use crate::caps::Cap;
use crate::figures::ALONE;
use crate::mix::Mix;
use crate::names;

/// All kinds of call so far, at most as many as there are series of calls.
#[derive(Debug, Default)]
pub(crate) struct Kinds {
    models: Cap,
    pub(crate) providers: Cap,
    pub(crate) roles: Cap,
    pub(crate) teams: Cap,
    kinds: Vec<Kind>,
    /// What each provider has to do, by its name.
    sent: Vec<(Arc<str>, Sent)>,
    /// How many calls of each class and team wait.
    waiting: Vec<((Class, Arc<str>), Waiting)>,
    /// The place of the one last found: most calls are like the one before.
    last: usize,
    /// By what makes them alike.
    places: HashMap<u64, usize, BuildHasherDefault<Mix>>,
}

/// What makes calls alike.
#[derive(Clone, Debug)]
struct Names {
    class: Class,
    model: Arc<str>,
    provider: Arc<str>,
    role: Arc<str>,
    team: Arc<str>,
}

/// Calls that are alike. What not every call has is made when it is first counted, for a series of zeros says
/// something too.
#[derive(Debug)]
pub(crate) struct Kind {
    names: Names,
    /// The place of its provider's.
    sent: usize,
    /// The place of its class and team's.
    waiting: usize,
    pub(crate) wait: Histogram,
    pub(crate) overhead: Histogram,
    answered: Option<Answered>,
    cost: Option<Histogram>,
    first_token: Option<Histogram>,
    ratio: Option<Histogram>,
    tokens: [Option<Counter>; 4],
    shared: Option<Counter>,
    unpriced: Option<Counter>,
}

/// The calls that a provider has to answer.
#[derive(Debug)]
pub(crate) struct Sent {
    calls: u64,
    tokens: u64,
    in_flight: Gauge,
    reserved: Gauge,
}

/// The calls of a class and team that wait.
#[derive(Debug)]
struct Waiting {
    calls: u64,
    depth: Gauge,
}

#[derive(Debug)]
struct Answered {
    calls: Counter,
    took: Histogram,
}

// === impl Kinds ===

impl Kinds {
    /// The place of the kind that a call is of.
    pub(crate) fn of(&mut self, call: &Call) -> usize {
        let context = &call.context;
        let class = context.class;
        let (model, provider) = (&call.model, &call.provider);
        let given = [model, provider, &context.flow.role, &context.flow.team];
        if self.kinds.get(self.last).is_some_and(|kind| kind.names.are(class, given)) {
            return self.last;
        }
        if let Some(place) = self.find(class, given) {
            self.last = place;
            return place;
        }
        let names = Names {
            class,
            model: self.models.value(model),
            provider: self.providers.value(provider),
            role: self.roles.value(&context.flow.role),
            team: self.teams.value(&context.flow.team),
        };
        if let Some(place) = self.find(class, names.all()) {
            return place;
        }
        let place = self.kinds.len();
        self.places.insert(hash(class, names.all()), place);
        let sent = self.sent.iter().position(|(provider, _)| *provider == names.provider).unwrap_or_else(|| {
            self.sent.push((Arc::clone(&names.provider), Sent::new(&names.provider)));
            self.sent.len() - 1
        });
        let who = (names.class, Arc::clone(&names.team));
        let waiting = self.waiting.iter().position(|(each, _)| *each == who).unwrap_or_else(|| {
            let depth = gauge!(names::QUEUE_DEPTH, "class" => class.as_str(), "team" => label(&who.1));
            self.waiting.push((who, Waiting { calls: 0, depth }));
            self.waiting.len() - 1
        });
        self.kinds.push(Kind::new(names, sent, waiting));
        place
    }

    /// One more call of the kind at a place waits, or one less.
    pub(crate) fn waits(&mut self, place: usize, more: bool) {
        let kind = self.kinds.get(place);
        if let Some((_, waiting)) = kind.and_then(|kind| self.waiting.get_mut(kind.waiting)) {
            waiting.calls = if more { waiting.calls + 1 } else { waiting.calls.saturating_sub(1) };
            waiting.depth.set(float(waiting.calls));
        }
    }

    /// The kind at a place, and what its provider has to do.
    pub(crate) fn with_sent(&mut self, place: usize) -> Option<(&mut Kind, &mut Sent)> {
        let kind = self.kinds.get_mut(place)?;
        let (_, sent) = self.sent.get_mut(kind.sent)?;
        Some((kind, sent))
    }

    pub(crate) fn at(&mut self, place: usize) -> Option<&mut Kind> {
        self.kinds.get_mut(place)
    }

    fn find(&self, class: Class, names: [&Arc<str>; 4]) -> Option<usize> {
        let place = *self.places.get(&hash(class, names))?;
        self.kinds.get(place).filter(|kind| kind.names.are(class, names)).map(|_| place)
    }
}

fn hash(class: Class, names: [&Arc<str>; 4]) -> u64 {
    let mut hash = Mix::default();
    hash.write_usize(class as usize);
    names.iter().for_each(|name| hash.write(name.as_bytes()));
    hash.finish()
}

// === impl Names ===

impl Names {
    const fn all(&self) -> [&Arc<str>; 4] {
        [&self.model, &self.provider, &self.role, &self.team]
    }

    fn are(&self, class: Class, names: [&Arc<str>; 4]) -> bool {
        self.class == class && self.all().iter().zip(names).all(|(own, name)| Arc::ptr_eq(own, name) || *own == name)
    }
}

// === impl Sent ===

impl Sent {
    fn new(provider: &Arc<str>) -> Self {
        let provider = || label(provider);
        let in_flight = gauge!(names::CALLS_IN_FLIGHT, "provider" => provider());
        let reserved = gauge!(names::LIMIT_RESERVED, "provider" => provider());
        Self { calls: 0, tokens: 0, in_flight, reserved }
    }

    /// A call is on its way.
    pub(crate) fn begin(&mut self, tokens: u64) {
        self.calls += 1;
        self.tokens = self.tokens.saturating_add(tokens);
        self.show();
    }

    /// A call is no longer on its way.
    pub(crate) fn end(&mut self, tokens: u64) {
        self.calls = self.calls.saturating_sub(1);
        self.tokens = self.tokens.saturating_sub(tokens);
        self.show();
    }

    fn show(&self) {
        self.in_flight.set(float(self.calls));
        self.reserved.set(float(self.tokens));
    }
}

// === impl Kind ===

impl Kind {
    fn new(names: Names, sent: usize, waiting: usize) -> Self {
        let (class, team) = (names.class.as_str(), label(&names.team));
        Self {
            sent,
            waiting,
            wait: histogram!(target: ALONE, names::QUEUE_WAIT, "class" => class, "team" => team),
            overhead: histogram!(target: ALONE, names::OVERHEAD, "provider" => label(&names.provider)),
            answered: None,
            cost: None,
            first_token: None,
            ratio: None,
            tokens: [const { None }; 4],
            shared: None,
            unpriced: None,
            names,
        }
    }

    pub(crate) fn model(&self) -> SharedString {
        label(&self.names.model)
    }

    pub(crate) fn provider(&self) -> SharedString {
        label(&self.names.provider)
    }

    pub(crate) fn role(&self) -> SharedString {
        label(&self.names.role)
    }

    /// Counts a call that was answered.
    pub(crate) fn answered(&mut self, call: &Call, usage: &Usage, took: Duration, first_token: Option<Duration>) {
        let names = &self.names;
        let (model, provider) = (|| label(&names.model), || label(&names.provider));
        let make = || Answered {
            calls: counter!(
                target: ALONE,
                names::CALLS,
                "model" => model(),
                "outcome" => "completed",
                "provider" => provider(),
                "role" => label(&names.role),
            ),
            took: histogram!(target: ALONE, names::CALL_DURATION, "model" => model(), "provider" => provider()),
        };
        let answered = self.answered.get_or_insert_with(|| once(make));
        answered.calls.increment(1);
        answered.took.record(took);
        if let Some(took) = first_token {
            let first = || histogram!(target: ALONE, names::FIRST_TOKEN, "model" => model(), "provider" => provider());
            self.first_token.get_or_insert_with(|| once(first)).record(took);
        }
        self.took_tokens(call.demand, usage);
    }

    fn took_tokens(&mut self, demand: Demand, usage: &Usage) {
        let names = &self.names;
        let model = || label(&names.model);
        let [input, output, cached, reasoning] = &mut self.tokens;
        let count = |cell: &mut Option<Counter>, name, tokens| {
            if let Some(tokens) = tokens {
                let make = || counter!(target: ALONE, names::TOKENS, "model" => model(), "type" => name);
                cell.get_or_insert_with(|| once(make)).increment(tokens);
            }
        };
        count(input, "input", usage.input_tokens);
        count(output, "output", usage.output_tokens);
        count(cached, "cached", usage.cached_tokens);
        count(reasoning, "reasoning", usage.reasoning_tokens);
        let tokens = usage.tokens();
        if tokens > 0 {
            let make = || counter!(target: ALONE, names::FLOW_TOKENS, "class" => names.class.as_str(), "team" => label(&names.team));
            self.shared.get_or_insert_with(|| once(make)).increment(tokens);
        }
        if !usage.is_absent() && demand.tokens() > 0 {
            let make = || histogram!(target: ALONE, names::ESTIMATE_RATIO, "provider" => label(&names.provider));
            self.ratio.get_or_insert_with(|| once(make)).record(float(tokens) / float(demand.tokens()));
        }
        match usage.cost {
            // A histogram, because the facade's counters know whole numbers only and its sum is a counter of dollars.
            Some(cost) => {
                let make =
                    || histogram!(target: ALONE, names::CALL_COST, "model" => model(), "team" => label(&names.team));
                self.cost.get_or_insert_with(|| once(make)).record(cost.as_dollars());
            }
            None if tokens > 0 => {
                let make = || counter!(target: ALONE, names::COST_UNPRICED, "model" => model());
                self.unpriced.get_or_insert_with(|| once(make)).increment(1);
            }
            None => {}
        }
    }
}

/// What is done once for each kind stands apart from what is done for every call, whose code stays short.
#[cold]
fn once<T>(make: impl FnOnce() -> T) -> T {
    make()
}

fn label(value: &Arc<str>) -> SharedString {
    SharedString::from(Arc::clone(value))
}

/// Beyond 2^53 nobody looks closely.
#[expect(clippy::cast_precision_loss, reason = "figures are floating-point numbers")]
pub(crate) const fn float(tokens: u64) -> f64 {
    tokens as f64
}

#[cfg(test)]
mod tests {
    use bellwether_core::{CallContext, Flow};

    use super::*;

    /// A kind holds a handle for each of its series, so that one for each name that ever came would fill the memory.
    #[test]
    fn names_beyond_the_first_hundred_are_one_kind() {
        let mut kinds = Kinds::default();
        let demand = Demand { requests: 1, input_tokens: 1, output_tokens: 1 };
        let of = |n: u32| {
            let context = CallContext::new(Flow::new("team", "run", "coder"));
            Call { context, model: format!("model-{n}").into(), provider: "p".into(), demand }
        };
        let places: Vec<usize> = (0..300).map(|n| kinds.of(&of(n))).collect();
        assert_eq!((kinds.kinds.len(), kinds.places.len()), (101, 101));
        assert!(places[100..].iter().all(|place| *place == 100));
        assert_eq!(kinds.of(&of(7)), 7, "the first ones are still known");
    }
}
