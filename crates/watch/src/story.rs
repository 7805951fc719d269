//! A run as it is shown: a fold over its journal, with a time to everything.
//!
//! [`Story::apply`] takes one entry in. Everything in a story carries the moment it happened, in milliseconds since the
//! run began without the time in which no process worked on it; so a page can show any moment of it by leaving out what
//! came later. [`Story::news`] gives what the entries since the last call changed.
//!
//! Entries are read leniently, by their names: what is not known is a line of the log and nothing else.

mod aside;
mod ending;
mod events;
mod heard;
mod parts;
mod path;
mod rest;
mod routes;
mod verdicts;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bellwether_core::journal::Recorded;
use serde::Serialize;
use serde_json::{Value, json};

use crate::notes;
use crate::text::{cut, plain};

pub use ending::{DECIDED, ended};
pub use parts::{Cost, Head, Limit, Line, Mark, Money, Round, Route, Share, Span, Task, Weighed, Whole};

/// A run as it is shown.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Story {
    /// What is known of the run as a whole.
    pub head: Head,
    /// The tasks, in the plan's order.
    pub tasks: Vec<Task>,
    /// Who worked on what, and who waited for what.
    pub spans: Vec<Span>,
    /// What it cost, by role and model.
    pub costs: Vec<Cost>,
    /// How much was spent and reserved, over time.
    pub money: Vec<Money>,
    /// On which tier tasks start, and what was believed of each tier then.
    pub routes: Vec<Route>,
    /// How many tokens each role had, over time.
    pub shares: Vec<Share>,
    /// Limits as they were learnt, over time.
    pub limits: Vec<Limit>,
    /// What is worth a mark: providers that asked to slow down, failures, pauses.
    pub marks: Vec<Mark>,
    /// The parts as one whole, each time that was made.
    pub wholes: Vec<Whole>,
    /// Everything that happened, a line each.
    pub log: Vec<Line>,
    #[serde(skip)]
    fold: Fold,
}

/// What the fold needs beside what is shown.
#[derive(Clone, Debug, Default)]
struct Fold {
    /// The longest text that is kept; everything if 0.
    longest: usize,
    /// Where time 0 lies, in milliseconds since the Unix epoch.
    offset: u64,
    /// How much later it is than events say since a process went on with the run: the one before worked on after the last
    /// event that counts its time.
    late: u64,
    /// How many entries were copied from another run: they were all written at once, and say themselves when they were.
    copied: u64,
    /// How much later than they say the notes among them are, since the latest event.
    shift: Option<i64>,
    /// The kind of each role, and the models of its tiers.
    roles: BTreeMap<String, (String, Vec<String>)>,
    threshold: f64,
    max_rounds: u64,
    /// Whether nothing further begins once a task has come to nothing.
    fail_fast: bool,
    /// Whether checks look at work before anybody judges it.
    checked: bool,
    /// Whether a person decides on work that was never good enough.
    person: bool,
    stopped: bool,
    /// What the last step that failed died of.
    failure: Option<String>,
    jobs: HashMap<Job, Doing>,
    /// What is under way, in the order in which it began.
    under_way: Vec<Job>,
    /// The job in each lane, by the lane's index in the head. Who has begun another job has none of the former, whose end
    /// may be told later.
    busy: HashMap<usize, Job>,
    /// When each lane fell idle.
    idle: HashMap<usize, u64>,
    /// The tasks whose state is only what a verdict was taken to mean.
    presumed: BTreeSet<usize>,
    /// What each task asked for, and how much of it it needs.
    offspring: HashMap<String, (Vec<String>, String)>,
    /// The tasks that were at rest when somebody went on with the run, and may be taken up again.
    left: BTreeSet<usize>,
    /// When each provider last admitted a call.
    admitted: HashMap<String, u64>,
    /// How many tokens were due to each role.
    due: BTreeMap<String, f64>,
    /// Whether a budget says what is spent, since a process began to work on it.
    purse: bool,
    /// Until when each quota pauses.
    paused: HashMap<String, u64>,
    /// The entries of tasks that started where every task starts.
    fixed: BTreeSet<u64>,
    touched: BTreeSet<(Part, usize)>,
}

/// A step of a run: what for, on which task, in which round; of an answer, to which question.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Job {
    phase: String,
    task: Option<String>,
    round: u64,
}

/// How a job goes.
#[derive(Clone, Debug, Default)]
struct Doing {
    lane: usize,
    /// Whether its agent is known.
    seated: bool,
    span: usize,
    role: String,
    model: String,
    /// The provider of its latest call.
    provider: String,
    /// The wait that is not over.
    waits: Option<usize>,
    /// Who waited each time it was let through, by role: with its part of that turn.
    turns: BTreeMap<String, f64>,
}

/// A list of a story.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Part {
    Costs,
    Limits,
    Log,
    Marks,
    Money,
    Routes,
    Shares,
    Spans,
    Tasks,
    Wholes,
}

impl Story {
    /// A story with nothing in it yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A story that keeps no text beyond so many characters.
    #[must_use]
    pub fn brief(longest: usize) -> Self {
        Self { fold: Fold { longest, ..Fold::default() }, ..Self::default() }
    }

    /// A run's story so far.
    #[must_use]
    pub fn of(entries: &[Recorded]) -> Self {
        let mut story = Self::new();
        entries.iter().for_each(|recorded| story.apply(recorded));
        story.head.critical = path::critical(&story.tasks, story.head.now);
        story
    }

    /// Takes in the next entry of the run.
    pub fn apply(&mut self, recorded: &Recorded) {
        let (kind, body) = (recorded.entry.kind.as_str(), &recorded.entry.body);
        let copied = (recorded.seq <= self.fold.copied).then(|| body["at"].as_u64()).flatten();
        let wall = copied.map_or(recorded.at.as_nanos() / 1_000_000, |at| self.fold.offset + at / 1_000_000);
        self.head.seq = recorded.seq;
        match kind {
            notes::KIND => self.hear(recorded.seq, body),
            "run_started" => self.open(recorded.seq, wall, body),
            "run_finished" => self.end(recorded.seq, wall, body),
            "resumed" => self.resume(recorded.seq, wall, body),
            kind => self.event(recorded.seq, wall, kind, body),
        }
    }

    /// What was changed since the last call: the head, and the items of each list that are new or other than they were,
    /// by their index.
    pub fn news(&mut self) -> Value {
        let mut put = BTreeMap::<&str, Vec<Value>>::new();
        for (part, n) in std::mem::take(&mut self.fold.touched) {
            put.entry(part.name()).or_default().push(json!([n, self.item(part, n)]));
        }
        self.head.critical = path::critical(&self.tasks, self.head.now);
        json!({ "head": self.head, "put": put })
    }

    /// The whole of it in the form of [`news`](Self::news).
    #[must_use]
    pub fn whole(&self) -> Value {
        let mut put = BTreeMap::new();
        for (part, len) in [
            (Part::Costs, self.costs.len()),
            (Part::Limits, self.limits.len()),
            (Part::Log, self.log.len()),
            (Part::Marks, self.marks.len()),
            (Part::Money, self.money.len()),
            (Part::Routes, self.routes.len()),
            (Part::Shares, self.shares.len()),
            (Part::Spans, self.spans.len()),
            (Part::Tasks, self.tasks.len()),
            (Part::Wholes, self.wholes.len()),
        ] {
            put.insert(part.name(), (0..len).map(|n| json!([n, self.item(part, n)])).collect::<Vec<_>>());
        }
        let critical = path::critical(&self.tasks, self.head.now);
        let head = Head { critical, ..self.head.clone() };
        json!({ "head": head, "put": put, "whole": true })
    }

    fn item(&self, part: Part, n: usize) -> Value {
        match part {
            Part::Costs => json!(self.costs[n]),
            Part::Limits => json!(self.limits[n]),
            Part::Log => json!(self.log[n]),
            Part::Marks => json!(self.marks[n]),
            Part::Money => json!(self.money[n]),
            Part::Routes => json!(self.routes[n]),
            Part::Shares => json!(self.shares[n]),
            Part::Spans => json!(self.spans[n]),
            Part::Tasks => json!(self.tasks[n]),
            Part::Wholes => json!(self.wholes[n]),
        }
    }

    fn touch(&mut self, part: Part, n: usize) {
        self.fold.touched.insert((part, n));
    }

    /// The run's time at a wall time; the latest one becomes now.
    fn time(&mut self, wall: u64) -> u64 {
        // Between its end and a resume, in which a person may decide something, no time goes by.
        if self.head.outcome.is_some() {
            return self.head.now;
        }
        // What was noted before the run began is put at its beginning.
        let t = if self.fold.offset == 0 { 0 } else { wall.saturating_sub(self.fold.offset) + self.fold.late };
        self.head.now = self.head.now.max(t);
        t
    }

    /// A model's text, safe to show, as long as it is kept.
    fn keep(&self, text: &str) -> String {
        let text = plain(text);
        match self.fold.longest {
            0 => text,
            longest => cut(&text, longest),
        }
    }

    fn say(&mut self, seq: u64, t: u64, kind: &str, text: String) {
        self.log.push(Line { seq, t, kind: plain(kind), text });
        self.touch(Part::Log, self.log.len() - 1);
    }

    fn mark(&mut self, t: u64, what: &str, quota: &str, text: String) {
        self.marks.push(Mark { t, what: what.to_owned(), quota: plain(quota), text, until: None });
        self.touch(Part::Marks, self.marks.len() - 1);
    }

    fn task(&mut self, id: &str) -> Option<usize> {
        let n = self.tasks.iter().position(|task| task.id == id)?;
        self.touch(Part::Tasks, n);
        Some(n)
    }

    fn move_to(&mut self, n: usize, t: u64, state: &str) {
        self.touch(Part::Tasks, n);
        self.fold.presumed.remove(&n);
        self.fold.left.remove(&n);
        let task = &mut self.tasks[n];
        if task.states.last().is_none_or(|(_, last)| last != state) {
            // Notes and events go by different clocks, which may be a millisecond apart.
            let t = task.states.last().map_or(t, |(since, _)| t.max(*since));
            task.states.push((t, state.to_owned()));
        }
        if state == "running" {
            task.began.get_or_insert(t);
        }
        if !task.is_over() {
            // Somebody takes it up again, or another judge has a look.
            task.failure = None;
        }
    }

    fn begin_span(&mut self, span: Span) -> usize {
        self.spans.push(span);
        self.touch(Part::Spans, self.spans.len() - 1);
        self.spans.len() - 1
    }

    fn end_span(&mut self, n: usize, t: u64) {
        let span = &mut self.spans[n];
        if span.to.is_none() {
            span.to = Some(t.max(span.from));
            self.touch(Part::Spans, n);
        }
    }

    /// The first lane of a role that nobody works in; a new one if there is none. Agents of a role are alike, and which
    /// one takes a job is known once it asks a model.
    fn lane(&mut self, role: &str) -> usize {
        let of_role = |lane: &str| lane.rsplit_once('#').is_some_and(|(name, _)| name == role);
        let free =
            (0..self.head.lanes.len()).find(|n| of_role(&self.head.lanes[*n]) && !self.fold.busy.contains_key(n));
        free.unwrap_or_else(|| {
            let taken = |name: &String| self.head.lanes.contains(name);
            let name = (1..=self.head.lanes.len() + 1).map(|n| format!("{role}#{n}")).find(|name| !taken(name));
            self.lane_named(&name.unwrap_or_default())
        })
    }

    /// The lane of an agent, which is made if it is new.
    fn lane_named(&mut self, agent: &str) -> usize {
        self.head.lanes.iter().position(|lane| lane == agent).unwrap_or_else(|| {
            self.head.lanes.push(agent.to_owned());
            self.head.lanes.len() - 1
        })
    }
}

// === impl Part ===

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Costs => "costs",
            Self::Limits => "limits",
            Self::Log => "log",
            Self::Marks => "marks",
            Self::Money => "money",
            Self::Routes => "routes",
            Self::Shares => "shares",
            Self::Spans => "spans",
            Self::Tasks => "tasks",
            Self::Wholes => "wholes",
        }
    }
}
