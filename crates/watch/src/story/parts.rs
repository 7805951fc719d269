//! What a story is made of. Times are milliseconds since the run began.

use serde::Serialize;

use super::Story;

/// What is known of a run as a whole.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Head {
    /// The last entry that was taken in.
    pub seq: u64,
    /// The run's id; empty if nobody said it.
    pub run: String,
    /// The team's name.
    pub team: String,
    /// What was asked for.
    pub request: String,
    /// When it began, in milliseconds since the Unix epoch.
    pub began: u64,
    /// The latest moment anything is known of.
    pub now: u64,
    /// How it ended; `None` while it is on or interrupted.
    pub outcome: Option<String>,
    /// Why it begins nothing further, or what it failed of.
    pub stop: Option<String>,
    /// How the planner saw the whole.
    pub summary: String,
    /// Whether there was no usable plan.
    pub degraded: bool,
    /// The agents, such as `coder#1`.
    pub lanes: Vec<String>,
    /// The chain of tasks that decides how long the run takes, as of [`Story::of`](super::Story::of) or the latest
    /// [`news`](super::Story::news).
    pub critical: Vec<String>,
    /// Calls that were under way when a process ended, and may have been billed twice.
    pub doubtful: u64,
    /// Notes that found no room.
    pub lost: u64,
}

/// A task.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Task {
    /// Its id.
    pub id: String,
    /// A few words.
    pub title: String,
    /// What is to be done.
    pub objective: String,
    /// The role that does it.
    pub role: String,
    /// The tasks whose work it needs.
    pub needs: Vec<String>,
    /// How hard it is, from 1 to 5.
    pub complexity: u64,
    /// When its first agent began; anew once it is tried again after it came to nothing.
    pub began: Option<u64>,
    /// Where it was from when on.
    pub states: Vec<(u64, String)>,
    /// The rounds of work and review.
    pub rounds: Vec<Round>,
    /// Why it, or its review, came to nothing.
    pub failure: Option<String>,
    /// Calls, and how often they were sent again.
    pub calls: u64,
    /// How often a call was sent again.
    pub retries: u64,
    /// Input and output tokens.
    pub tokens: u64,
    /// What is known to have been spent, in dollars.
    pub usd: f64,
    /// The model that worked on it last.
    pub model: String,
}

impl Task {
    /// Where it is now.
    #[must_use]
    pub fn state(&self) -> &str {
        self.states.last().map_or("pending", |(_, state)| state)
    }

    /// Whether it came to rest.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state(), "accepted" | "unreviewed" | "rejected" | "failed" | "skipped" | "cancelled")
    }

    /// How long it took, from its first agent's begin to its end, or until now.
    #[must_use]
    pub fn taken(&self, now: u64) -> Option<u64> {
        let until = if self.is_over() { self.states.last()?.0 } else { now };
        Some(until.saturating_sub(self.began?))
    }

    /// Its best work: of the best score, else the latest.
    #[must_use]
    pub fn best(&self) -> Option<&Round> {
        let latest = self.rounds.last()?;
        if latest.score.is_none() {
            return Some(latest);
        }
        let score = |round: &Round| round.score.unwrap_or(-1.0);
        self.rounds.iter().max_by(|a, b| score(a).total_cmp(&score(b)))
    }
}

/// One round of work and what a reviewer said of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Round {
    /// When the work was handed in.
    pub drafted: u64,
    /// The work.
    pub text: String,
    /// The model that did it; empty if it is the one of the round before.
    pub model: String,
    /// When it was judged.
    pub judged: Option<u64>,
    /// From 0 to 1.
    pub score: Option<f64>,
    /// What the reviewer decided.
    pub decision: Option<String>,
    /// The judgement in a sentence.
    pub summary: String,
    /// What is to be mended: how bad, where, and what to do.
    pub issues: Vec<(String, String, String)>,
    /// What tells the whole of the work from any other, though not all of it may be kept.
    #[serde(skip)]
    pub(super) print: u64,
}

/// A time in which an agent worked, or waited.
#[derive(Clone, Debug, Serialize)]
pub struct Span {
    /// The lane's index.
    pub lane: usize,
    /// When it began.
    pub from: u64,
    /// When it ended; `None` while it goes on.
    pub to: Option<u64>,
    /// What for: `plan`, `work` or `review`.
    pub what: String,
    /// The task.
    pub task: Option<String>,
    /// The review round, counted from 0.
    pub round: u64,
    /// What it waits for: `queue`, `quota`, `dependency` or `retry`; `None` if it works.
    pub why: Option<String>,
}

/// What a role spent on a model.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Cost {
    /// The role.
    pub role: String,
    /// The model.
    pub model: String,
    /// Calls.
    pub calls: u64,
    /// How often a call was sent again.
    pub retries: u64,
    /// Input tokens.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// The part of the input that came from the provider's cache.
    pub cached: u64,
    /// Dollars, as far as known.
    pub usd: f64,
    /// Calls of unknown cost.
    pub unpriced: u64,
    /// How long agents were at it, in milliseconds.
    pub busy: u64,
}

/// How the budget stood at a moment, in dollars.
#[derive(Clone, Debug, Serialize)]
pub struct Money {
    /// When.
    pub t: u64,
    /// Spent so far.
    pub spent: f64,
    /// The worst case of calls under way; `None` where no budget says so.
    pub reserved: Option<f64>,
    /// The most that may be spent.
    pub cap: Option<f64>,
}

/// On which tier a task starts, and why.
#[derive(Clone, Debug, Serialize)]
pub struct Route {
    /// The journal's entry it comes from.
    pub seq: u64,
    /// When that was decided.
    pub t: u64,
    /// The task.
    pub task: String,
    /// The role that works on it.
    pub role: String,
    /// The tier, counted from 0.
    pub tier: u64,
    /// The tier's name.
    pub name: String,
    /// Why this one, in words.
    pub why: String,
    /// How it was decided, such as `thompson`.
    pub mode: String,
    /// The kind of task that it is learnt about with.
    pub group: String,
    /// How hard it seemed, from 0 to 3.
    pub bucket: u64,
    /// What a ladder's dearest tier cost, measured in accepted work.
    pub lambda: f64,
    /// How likely this choice was, as far as chance had a part in it.
    pub propensity: f64,
    /// Whether it was chosen to learn about it.
    pub explored: bool,
    /// Whether the work is to be shown to a second judge.
    pub audit: bool,
    /// What was believed of each tier, the cheapest first; empty if nothing was weighed.
    pub weighed: Vec<Weighed>,
}

impl Route {
    /// What is learnt about as one.
    pub(super) fn cell(&self) -> (&str, u64, &str) {
        (&self.role, self.bucket, &self.group)
    }
}

/// What was believed of a tier when a task was routed.
#[derive(Clone, Debug, Serialize)]
pub struct Weighed {
    /// The model.
    pub model: String,
    /// How likely its work is accepted.
    pub mean: f64,
    /// The chance that was reckoned with: a sample, an upper bound, or the mean.
    pub sample: f64,
    /// Observations behind it, the older ones counting less.
    pub seen: f64,
    /// What an attempt costs, in dollars.
    pub cost: f64,
    /// How long an attempt takes, in seconds; 0 if unknown.
    pub seconds: f64,
    /// Why it could not be chosen, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ruled_out: Option<String>,
}

/// How many tokens a flow had in all at a moment.
#[derive(Clone, Debug, Serialize)]
pub struct Share {
    /// When.
    pub t: u64,
    /// The flow: a role of the run.
    pub flow: String,
    /// Tokens so far.
    pub tokens: u64,
    /// Tokens that were due to it so far: those of each call are divided evenly among the roles that waited when it was
    /// let through, for roles of a run weigh the same.
    pub due: f64,
}

/// A limit as it was learnt.
#[derive(Clone, Debug, Serialize)]
pub struct Limit {
    /// When.
    pub t: u64,
    /// The quota.
    pub quota: String,
    /// Which limit.
    pub dimension: String,
    /// What it is: per minute, or at once.
    pub limit: u64,
}

/// Something worth a mark.
#[derive(Clone, Debug, Serialize)]
pub struct Mark {
    /// When.
    pub t: u64,
    /// What: `429`, `failed`, `retried`, `refused`, `paused`, `abandoned`, `hedged`.
    pub what: String,
    /// The provider or quota.
    pub quota: String,
    /// It in words.
    pub text: String,
    /// Until when it lasts, if it does: a pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

/// The parts as one whole.
#[derive(Clone, Debug, Serialize)]
pub struct Whole {
    /// When it was made.
    pub t: u64,
    /// It.
    pub text: String,
}

impl Story {
    /// The parts as one whole, unless a task was taken up again: it was made of less than there will be.
    #[must_use]
    pub fn made_whole(&self) -> Option<&Whole> {
        self.wholes.last().filter(|_| self.tasks.iter().all(Task::is_over))
    }
}

/// A line of the log.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// The journal's entry it comes from.
    pub seq: u64,
    /// When.
    pub t: u64,
    /// What kind of thing happened.
    pub kind: String,
    /// It in words.
    pub text: String,
}
