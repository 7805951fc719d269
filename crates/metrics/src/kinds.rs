//! Calls that are alike, and what is counted of each: their handles are looked up once.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::{Call, Demand, Usage};
use metrics::{Counter, Gauge, Histogram, SharedString, counter, gauge, histogram};

use crate::caps::Cap;
use crate::mix::Mix;
use crate::names;

/// All kinds of call so far, at most as many as there are series of calls.
#[derive(Debug, Default)]
pub(crate) struct Kinds {
    models: Cap,
    pub(crate) providers: Cap,
    roles: Cap,
    pub(crate) teams: Cap,
    kinds: Vec<Kind>,
    /// By what makes them alike.
    places: HashMap<u64, usize, BuildHasherDefault<Mix>>,
}

/// What makes calls alike.
#[derive(Clone, Debug)]
struct Names {
    class: &'static str,
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
    pub(crate) in_flight: Gauge,
    pub(crate) reserved: Gauge,
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
        let class = context.class.as_str();
        let (model, provider) = (&call.model, &call.provider);
        if let Some(place) = self.find(class, [model, provider, &context.flow.role, &context.flow.team]) {
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
        self.kinds.push(Kind::new(names));
        place
    }

    pub(crate) fn at(&mut self, place: usize) -> Option<&mut Kind> {
        self.kinds.get_mut(place)
    }

    fn find(&self, class: &'static str, names: [&Arc<str>; 4]) -> Option<usize> {
        let place = *self.places.get(&hash(class, names))?;
        self.kinds.get(place).filter(|kind| kind.names.are(class, names)).map(|_| place)
    }
}

fn hash(class: &str, names: [&Arc<str>; 4]) -> u64 {
    let mut hash = Mix::default();
    hash.write_usize(class.len());
    names.iter().for_each(|name| hash.write(name.as_bytes()));
    hash.finish()
}

// === impl Names ===

impl Names {
    const fn all(&self) -> [&Arc<str>; 4] {
        [&self.model, &self.provider, &self.role, &self.team]
    }

    fn are(&self, class: &str, names: [&Arc<str>; 4]) -> bool {
        self.class == class && self.all().iter().zip(names).all(|(own, name)| Arc::ptr_eq(own, name) || *own == name)
    }
}

// === impl Kind ===

impl Kind {
    fn new(names: Names) -> Self {
        let provider = || label(&names.provider);
        Self {
            in_flight: gauge!(names::CALLS_IN_FLIGHT, "provider" => provider()),
            reserved: gauge!(names::LIMIT_RESERVED, "provider" => provider()),
            wait: histogram!(names::QUEUE_WAIT, "class" => names.class),
            overhead: histogram!(names::OVERHEAD, "provider" => provider()),
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
        let answered = self.answered.get_or_insert_with(|| Answered {
            calls: counter!(
                names::CALLS,
                "model" => model(),
                "outcome" => "completed",
                "provider" => provider(),
                "role" => label(&names.role),
            ),
            took: histogram!(names::CALL_DURATION, "model" => model(), "provider" => provider()),
        });
        answered.calls.increment(1);
        answered.took.record(took);
        if let Some(took) = first_token {
            let first = || histogram!(names::FIRST_TOKEN, "model" => model(), "provider" => provider());
            self.first_token.get_or_insert_with(first).record(took);
        }
        self.took_tokens(call.demand, usage);
    }

    fn took_tokens(&mut self, demand: Demand, usage: &Usage) {
        let names = &self.names;
        let model = || label(&names.model);
        let tokens = [usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens];
        for ((tokens, name), cell) in tokens.into_iter().zip(TYPES).zip(&mut self.tokens) {
            if let Some(tokens) = tokens {
                let make = || counter!(names::TOKENS, "model" => model(), "type" => name);
                cell.get_or_insert_with(make).increment(tokens);
            }
        }
        let tokens = usage.tokens();
        if tokens > 0 {
            let make = || counter!(names::FLOW_TOKENS, "class" => names.class, "team" => label(&names.team));
            self.shared.get_or_insert_with(make).increment(tokens);
        }
        if !usage.is_absent() && demand.tokens() > 0 {
            let make = || histogram!(names::ESTIMATE_RATIO, "provider" => label(&names.provider));
            self.ratio.get_or_insert_with(make).record(float(tokens) / float(demand.tokens()));
        }
        match usage.cost {
            // A histogram, because the facade's counters know whole numbers only and its sum is a counter of dollars.
            Some(cost) => {
                let make = || histogram!(names::CALL_COST, "model" => model());
                self.cost.get_or_insert_with(make).record(cost.as_dollars());
            }
            None if tokens > 0 => {
                let make = || counter!(names::COST_UNPRICED, "model" => model());
                self.unpriced.get_or_insert_with(make).increment(1);
            }
            None => {}
        }
    }
}

const TYPES: [&str; 4] = ["input", "output", "cached", "reasoning"];

fn label(value: &Arc<str>) -> SharedString {
    SharedString::from(Arc::clone(value))
}

/// Beyond 2^53 nobody looks closely.
#[expect(clippy::cast_precision_loss, reason = "figures are floating-point numbers")]
pub(crate) const fn float(tokens: u64) -> f64 {
    tokens as f64
}
