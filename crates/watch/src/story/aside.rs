//! Entries that say something beside the way of a task from draft to verdict.

use serde_json::Value;

use super::events::{job, text};
use super::{Job, Story};
use crate::text::line;

impl Story {
    /// What checks found, digests, the parts as one whole, what a run does without, why a tier was chosen, silence.
    pub(super) fn aside(&mut self, seq: u64, t: u64, kind: &str, event: &Value) {
        let id = line(text(event, "task"), 60);
        let said = match kind {
            "checked" => {
                if let Some(job) = self.under_way("check", &id) {
                    self.rest(&job, t);
                }
                let found = event["findings"].as_array().into_iter().flatten();
                let failed = found.filter(|finding| finding["pass"] == false);
                let failed: Vec<String> = failed.map(|finding| line(text(finding, "id"), 60)).collect();
                let what = if failed.is_empty() { "nothing".to_owned() } else { failed.join(", ") };
                format!("{id}: checks found {what}")
            }
            "combined" => {
                self.settle(&Job { phase: "combine".to_owned(), task: None, round: 0 }, t, &event["spent"]);
                format!("the parts were made one whole of {} characters", text(event, "text").chars().count())
            }
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
            "routed" => {
                let why = self.keep(text(&event["route"], "why"));
                format!("{id} starts on {}: {}", line(text(&event["route"], "name"), 60), line(&why, 300))
            }
            _ => "nothing came in for longer than is right".to_owned(),
        };
        self.say(seq, t, kind, said);
    }
}
