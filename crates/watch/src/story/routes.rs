//! On which tier tasks start, and what was believed of each tier when that was decided.

use serde_json::Value;

use super::events::text;
use super::{Part, Route, Story, Weighed};
use crate::text::line;

impl Story {
    /// A task was routed. What was decided without a choice is a line of the log and nothing else.
    pub(super) fn routed(&mut self, seq: u64, t: u64, id: &str, route: &Value) -> String {
        let why = line(&self.keep(text(route, "why")), 300);
        let name = line(text(route, "name"), 60);
        let said = format!("{id} starts on {name}: {why}");
        let mode = line(text(route, "mode"), 20);
        let weighed: Vec<Weighed> =
            route["weighed"].as_array().into_iter().flatten().take(TIERS).map(weighed).collect();
        if mode == "fixed" && weighed.is_empty() {
            self.fold.fixed.insert(seq);
            return said;
        }
        if !route.is_object() {
            return said;
        }
        let role = self.tasks.iter().find(|task| task.id == id).map(|task| task.role.clone());
        self.routes.push(Route {
            seq,
            t,
            task: id.to_owned(),
            role: role.unwrap_or_default(),
            tier: route["tier"].as_u64().unwrap_or_default(),
            name,
            why,
            mode,
            group: line(text(&route["features"], "group"), 20),
            bucket: route["bucket"].as_u64().unwrap_or_default().min(9),
            lambda: figure(&route["lambda"]),
            propensity: figure(&route["propensity"]).min(1.0),
            explored: route["explored"] == true,
            audit: route["audit"] == true,
            weighed,
        });
        self.touch(Part::Routes, self.routes.len() - 1);
        said
    }

    /// Whether an entry says that a task started where every task starts: nothing was decided.
    pub(crate) fn is_fixed(&self, seq: u64) -> bool {
        self.fold.fixed.contains(&seq)
    }

    /// What was believed of each tier when a task was last routed: a decision for each role, difficulty and kind of task.
    #[must_use]
    pub fn beliefs(&self) -> Vec<&Route> {
        let mut latest: Vec<&Route> = Vec::new();
        for route in self.routes.iter().filter(|route| !route.weighed.is_empty()) {
            match latest.binary_search_by(|known| known.cell().cmp(&route.cell())) {
                Ok(n) => latest[n] = route,
                Err(n) => latest.insert(n, route),
            }
        }
        latest
    }
}

fn weighed(tier: &Value) -> Weighed {
    Weighed {
        model: line(text(tier, "model"), 80),
        mean: figure(&tier["mean"]).min(1.0),
        sample: figure(&tier["sample"]).min(1.0),
        seen: figure(&tier["seen"]),
        cost: figure(&tier["cost"]),
        seconds: figure(&tier["seconds"]),
        ruled_out: tier["ruled_out"].as_str().map(|why| line(why, 120)),
    }
}

/// A figure as it is shown: with six places, and neither below nothing nor beyond all reason.
fn figure(value: &Value) -> f64 {
    let figure = value.as_f64().unwrap_or_default().clamp(0.0, 1e9);
    (figure * 1e6).round() / 1e6
}

/// The most tiers of a ladder that are shown.
const TIERS: usize = 16;
