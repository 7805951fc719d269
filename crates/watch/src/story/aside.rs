//! Entries that say something beside the way of a task from draft to verdict.

use serde_json::Value;

use super::ending::DENIED;
use super::events::{job, text};
use super::{Job, Part, Story, Task, Whole};
use crate::text::line;

impl Story {
    /// What checks found, digests, the parts as one whole, what a run does without, why a tier was chosen, silence.
    pub(super) fn aside(&mut self, seq: u64, t: u64, kind: &str, event: &Value) {
        let id = line(text(event, "task"), 60);
        let said = match kind {
            "adopted" => {
                self.adopt(&event["rules"]);
                "it goes on by other rules than before: those of its team file as it is now".to_owned()
            }
            "decided" => self.decided(t, &event["ruling"]),
            "answered" | "asked" | "undelivered" => self.letter(&id, t, kind, event),
            "audited" => {
                if let Some(job) = self.under_way("audit", &id) {
                    self.settle(&job, t, &event["spent"]);
                }
                let (decision, score) = (text(&event["verdict"], "decision"), event["verdict"]["score"].as_f64());
                let (decision, score) = (line(decision, 20), score.unwrap_or_default());
                format!("{id}: audited: a second judge says {decision}, score {score:.2}")
            }
            "called_off" => {
                let job = job(&event["job"]);
                self.settle(&job, t, &event["spent"]);
                if let Some(n) = job.task.as_deref().and_then(|id| self.task(id)) {
                    self.move_to(n, t, "cancelled");
                }
                format!("{}: stopped, because nobody needs it any more", job.name())
            }
            "joined" => self.joined(&id, t, event),
            "retried" => self.retried(&event["tasks"]),
            "ruled" => self.ruled(&id, t, &event["ruling"]),
            "checked" => self.checked(&id, t, &event["findings"]),
            "combined" => self.combined(t, event),
            "digested" => {
                if let Some(job) = self.under_way("digest", &id) {
                    self.settle(&job, t, &event["spent"]);
                }
                format!("{id}: summed up in {} characters", text(event, "text").chars().count())
            }
            "economised" => {
                let job = job(&event["job"]);
                self.settle(&job, t, &event["spent"]);
                let economy = self.keep(event["economy"].as_str().unwrap_or("something"));
                format!("{}: the budget is near its end; from now on: {}", job.name(), economy.replace('_', " "))
            }
            "routed" => self.routed(seq, t, &id, &event["route"]),
            _ => "nothing came in for longer than is right".to_owned(),
        };
        self.say(seq, t, kind, said);
    }

    /// A worker asked for further tasks.
    pub(super) fn spawned(&mut self, seq: u64, t: u64, event: &Value) {
        let id = text(event, "task").to_owned();
        if let Some(job) = self.under_way("work", &id) {
            self.settle(&job, t, &event["spent"]);
        }
        if let Some(n) = self.task(&id) {
            self.move_to(n, t, "pending");
        }
        let before = self.tasks.len();
        self.enlist(t, &event["tasks"]);
        let join = event["join"].as_str().map_or_else(
            || event["join"]["quorum"].as_u64().map_or_else(String::new, |least| format!("{least} of them")),
            |join| line(join, 20),
        );
        let asked = self.tasks[before..].iter().map(|task| task.id.clone()).collect();
        self.fold.offspring.insert(id.clone(), (asked, join.clone()));
        self.say(
            seq,
            t,
            "spawned",
            format!("{id} asks for {} further tasks and needs {join}", self.tasks.len() - before),
        );
    }

    /// Why what a task asked for is not enough.
    fn unmet(&self, id: &str) -> Option<String> {
        let (asked, join) = self.fold.offspring.get(id)?;
        let works =
            |task: &&Task| !task.rounds.is_empty() && ["accepted", "rejected", "unreviewed"].contains(&task.state());
        let done = self.tasks.iter().filter(|task| asked.contains(&task.id)).filter(works).count();
        Some(format!("{done} of the {} tasks it asked for came to work; it needs {join}", asked.len()))
    }

    /// What agents say to each other, and what reaches nobody.
    fn letter(&mut self, id: &str, t: u64, kind: &str, event: &Value) -> String {
        match kind {
            "answered" => {
                if let Some(job) = self.under_way("answer", id) {
                    self.settle(&job, t, &event["spent"]);
                }
                format!("{id}: the answer: {}", line(&self.keep(text(event, "text")), 400))
            }
            "asked" => {
                if let Some(job) = self.under_way("work", id) {
                    self.settle(&job, t, &event["spent"]);
                }
                let (to, asked) = (text(&event["question"], "to"), text(&event["question"], "text"));
                format!("{id} asks {}: {}", line(&self.keep(to), 60), line(&self.keep(asked), 400))
            }
            _ => {
                let letter = &event["letter"];
                let field = |name: &str| line(&self.keep(text(letter, name)), 200);
                let about = letter["task"].as_str().map_or_else(String::new, |task| format!("{}: ", line(task, 60)));
                let (what, from, to) = (message(text(letter, "what")), field("from"), field("to"));
                format!("{about}{what} from {from} to {to} reached nobody: {}", field("reason"))
            }
        }
    }

    /// The parts were made one whole.
    fn combined(&mut self, t: u64, event: &Value) -> String {
        self.settle(&Job { phase: "combine".to_owned(), task: None, round: 0 }, t, &event["spent"]);
        self.wholes.push(Whole { t, text: self.keep(text(event, "text")) });
        self.touch(Part::Wholes, self.wholes.len() - 1);
        format!("the parts were made one whole of {} characters", text(event, "text").chars().count())
    }

    /// What came to nothing is to be tried again; where its tasks are, a resume tells.
    fn retried(&mut self, tasks: &Value) -> String {
        let ids: Vec<&str> = tasks.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for id in &ids {
            if let Some(n) = self.task(id) {
                (self.tasks[n].failure, self.tasks[n].began) = (None, None);
            }
        }
        let what = if ids.is_empty() { "what came to nothing".to_owned() } else { line(&ids.join(", "), 400) };
        format!("{what}: to be tried again")
    }

    /// A person said what becomes of the plan.
    fn decided(&mut self, t: u64, ruling: &Value) -> String {
        let Some(reason) = ruling["deny"].as_str() else {
            self.unpark();
            return "a person agrees to the plan".to_owned();
        };
        let said = format!("{DENIED}: {}", self.keep(reason));
        self.head.stop = Some(said.clone());
        self.head.outcome = self.head.outcome.take().map(|_| "cancelled".to_owned());
        for n in 0..self.tasks.len() {
            if !self.tasks[n].is_over() {
                self.move_to(n, t, "cancelled");
            }
        }
        said
    }

    /// What a parked run waits for now that a person has decided something.
    fn unpark(&mut self) {
        if self.head.outcome.is_some() {
            let onward = format!("a person has decided; bellwether resume {} goes on with it", self.head.run);
            self.head.stop = Some(self.blocked().unwrap_or(onward));
        }
    }

    /// A person said what becomes of a task.
    fn ruled(&mut self, id: &str, t: u64, ruling: &Value) -> String {
        let (to, said) = match (ruling["again"]["note"].as_str(), ruling["fail"]["reason"].as_str()) {
            (Some(note), _) => ("revising", format!("asks for another round: {}", line(&self.keep(note), 400))),
            (_, Some(reason)) => ("failed", format!("turns it down: {}", line(&self.keep(reason), 400))),
            _ => ("accepted", "accepts the best of it".to_owned()),
        };
        if let Some(n) = self.task(id) {
            self.move_to(n, t, to);
            self.tasks[n].failure = ruling["fail"]["reason"].as_str().map(|reason| self.keep(reason));
            if to == "revising" {
                // It has all of its time again.
                self.tasks[n].began = None;
            }
            self.skip_dependents(t);
            if to == "failed" && self.fold.fail_fast {
                self.give_up(t);
            }
        }
        self.unpark();
        format!("{id}: a person {said}")
    }

    /// What a task asked for is there, or will never be.
    fn joined(&mut self, id: &str, t: u64, event: &Value) -> String {
        let dismissed: Vec<String> = event["dismissed"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|id| id.as_str().map(|id| line(id, 60)))
            .collect();
        for id in &dismissed {
            let held = ["work", "review", "check"].iter().any(|phase| self.under_way(phase, id).is_some());
            if let Some(n) = self.task(id).filter(|_| !held) {
                self.move_to(n, t, "cancelled");
            }
        }
        let met = event["met"].as_bool().unwrap_or_default();
        if let Some(n) = self.task(id).filter(|_| !met) {
            self.move_to(n, t, "failed");
            self.tasks[n].failure = self.unmet(id);
            self.skip_dependents(t);
        }
        let what = if met { "goes on with what it asked for" } else { "what it asked for came to nothing" };
        let off = if dismissed.is_empty() { String::new() } else { format!("; called off: {}", dismissed.join(", ")) };
        format!("{id}: {what}{off}")
    }
}

/// A message between agents in plain words.
fn message(what: &str) -> String {
    let known = match what {
        "answer" => "an answer",
        "assign" => "a task to work on",
        "finished" => "what came of a step",
        "question" => "a question",
        "review_request" => "work to review",
        "revise" => "work to revise",
        other => return format!("a message ({})", line(other, 40)),
    };
    known.to_owned()
}
