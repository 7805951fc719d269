//! How a run ends, and why.

use bellwether_core::journal::Entry;
use serde_json::Value;

use super::Story;
use super::events::text;
use crate::text::line;

impl Story {
    pub(super) fn end(&mut self, seq: u64, wall: u64, body: &Value) {
        let t = self.time(wall);
        self.rest_all(t);
        let outcome = line(body["outcome"].as_str().unwrap_or("unknown"), 40);
        for n in 0..self.tasks.len() {
            // What is parked only waits.
            if !self.tasks[n].is_over() && outcome != "parked" {
                self.move_to(n, t, "cancelled");
            }
        }
        self.say(seq, t, "run", format!("ended: {outcome}"));
        if self.head.stop.is_none() {
            self.head.stop = self.why_it_ended(&outcome);
        }
        self.close_the_till(t);
        self.head.outcome = Some(outcome);
    }

    /// Why a run ended that nobody stopped, if it did not do everything.
    fn why_it_ended(&mut self, outcome: &str) -> Option<String> {
        match outcome {
            "parked" => self
                .blocked()
                .or_else(|| self.fold.failure.take())
                .or_else(|| Some("its plan waits for approval".to_owned())),
            "budget_exhausted" | "failed" => self.fold.failure.take(),
            _ => None,
        }
    }

    /// That tasks wait for a person's word, if some do.
    pub(super) fn blocked(&self) -> Option<String> {
        let blocked = self.tasks.iter().filter(|task| task.state() == "blocked");
        let blocked: Vec<&str> = blocked.map(|task| task.id.as_str()).collect();
        (!blocked.is_empty()).then(|| format!("a person has to say what becomes of {}", blocked.join(", ")))
    }

    /// Why a run was stopped, where that takes more than a word.
    fn why(&self, stop: &Value) -> String {
        if let Some(reason) = stop["denied"].as_str() {
            return format!("{DENIED}: {}", self.keep(reason));
        }
        match stop["too_many_failed"]["failed"].as_u64() {
            Some(failed) => format!("{failed} tasks came to nothing, more than may"),
            None => self.keep(text(&stop["hopeless"], "message")),
        }
    }

    pub(super) fn stopped(&mut self, seq: u64, t: u64, event: &Value) {
        let stop = &event["stop"];
        let why = match stop.as_str() {
            Some("asked") => "somebody asked it to stop".to_owned(),
            Some("deadline") => "its deadline came".to_owned(),
            Some(other) => line(other, 200),
            None => self.why(stop),
        };
        self.fold.stopped = true;
        self.say(seq, t, "stopped", why.clone());
        self.head.stop = Some(why);
        self.give_up(t);
    }

    /// Every task that no agent holds comes to rest with what there is of it.
    pub(super) fn give_up(&mut self, t: u64) {
        for n in 0..self.tasks.len() {
            let held = self.fold.under_way.iter().any(|job| job.task.as_deref() == Some(self.tasks[n].id.as_str()));
            if !held && !self.tasks[n].is_over() {
                let to = match self.tasks[n].rounds.last() {
                    None => "cancelled",
                    Some(round) if round.judged.is_none() => "unreviewed",
                    Some(_) => "rejected",
                };
                self.move_to(n, t, to);
            }
        }
    }
}

/// How a run ended by its last entry; `None` if it is on, or was interrupted.
///
/// A parked run that a person decided about is [`DECIDED`] until somebody goes on with it.
#[must_use]
pub fn ended(last: &Entry) -> Option<String> {
    let outcome = match last.kind.as_str() {
        "decided" if !last.body["event"]["ruling"]["deny"].is_null() => "cancelled",
        "decided" | "ruled" => DECIDED,
        _ => last.body["outcome"].as_str()?,
    };
    Some(line(outcome, 40))
}

/// What a parked run is called from a person's word on until a resume.
pub const DECIDED: &str = "decided";

/// The beginning of the sentence that a person's word ends.
pub(super) const DENIED: &str = "its plan was not approved";
