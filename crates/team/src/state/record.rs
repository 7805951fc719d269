//! What is known of a task: its drafts, what was said of them, what they took.

use bellwether_core::{TaskState, Timestamp};
use bellwether_router::Route;
use serde::{Deserialize, Serialize};

use super::audit::Audited;
use super::event::Attempt;
use super::spawn::Offspring;
use super::stint::Stint;
use super::{Next, OnExhausted, Rules, convergence};
use crate::message::{Job, Spent};
use crate::plan::PlannedTask;
use crate::question::Asked;
use crate::report::Failure;
use crate::review::{Finding, scope};
use crate::verdict::{Issue, Verdict};

/// How often a conversation that is too long is halved before another model is asked.
const MAX_SQUEEZES: u32 = 2;

/// What is known of a task.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Record {
    /// What was planned.
    pub(crate) planned: PlannedTask,
    /// The places of the tasks it cannot do without, and of those it would like to see.
    pub(super) needs: Vec<usize>,
    pub(super) wants: Vec<usize>,
    /// The place of the task that asked for it; `None` if it is in the plan.
    pub(crate) parent: Option<usize>,
    /// What it asked for.
    pub(crate) offspring: Option<Offspring>,
    /// What it asked others, and what they answered.
    pub(crate) asked: Vec<Asked>,
    /// What a second judge said of its acceptance, if one was asked.
    pub(crate) audited: Option<Audited>,
    /// Whether a person said what becomes of it.
    pub(crate) ruled: bool,
    /// Whether nobody needs its work any more.
    pub(crate) dismissed: bool,
    /// How long the way from it to the end of the plan is, itself included.
    pub(super) rank: u64,
    /// How many tasks stand before it in a row.
    pub(super) level: usize,
    /// Whether a job of it is under way that it waits for.
    pub(super) held: bool,
    /// Where it is.
    pub(crate) state: TaskState,
    /// The review round, counted from 0.
    pub(crate) round: u32,
    /// The work of each round.
    pub(crate) drafts: Vec<Draft>,
    /// The tier it is worked on.
    pub(crate) tier: usize,
    /// Why it started on the tier it did.
    pub(crate) route: Option<Route>,
    /// The tier of the reviewers' ladder that judged it last.
    pub(crate) judge: usize,
    /// The tiers it was on, in order.
    pub(crate) stints: Vec<Stint>,
    /// How many drafts were made on the tiers below, before it went up.
    pub(crate) below: usize,
    /// How often it went up a tier.
    pub(crate) escalations: u32,
    /// Judges of the latest draft that came to no verdict.
    pub(crate) deaf_judges: u32,
    /// How many calls of its current jobs were made before it was tried again.
    pub(crate) tried: u32,
    /// How often the current job's conversation turned out to be longer than its model takes.
    pub(crate) overflows: u32,
    /// What it took.
    pub(crate) spent: Spent,
    /// The part of it that went into verdicts.
    pub(crate) judging: Spent,
    /// Answers to its current job that could not be used.
    pub(crate) unusable: Vec<Attempt>,
    /// The same of its audit and of its digest, which may be made side by side.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) bad_audits: Vec<Attempt>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) bad_digests: Vec<Attempt>,
    /// Why it, or its review, came to nothing.
    pub(crate) failure: Option<Failure>,
    /// When the first agent began.
    pub(crate) began: Option<Timestamp>,
    /// When it came to rest.
    pub(crate) ended: Option<Timestamp>,
}

/// The work of one round.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Draft {
    /// The work.
    pub(crate) text: String,
    /// What checks found, once they have looked.
    pub(crate) checks: Option<Vec<Finding>>,
    /// What the reviewer, or a check, said of it.
    pub(crate) verdict: Option<Verdict>,
    /// What a person said of it who sent it back.
    pub(crate) note: Option<String>,
    /// The work, summed up, once that was asked for.
    pub(crate) digest: Option<Digest>,
}

impl Draft {
    fn score(&self) -> f64 {
        self.verdict.as_ref().map_or(-1.0, |verdict| verdict.score)
    }
}

/// What came of asking for a task's work to be summed up.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Digest {
    /// Nobody could.
    Nobody,
    /// The work, summed up.
    Text(String),
}

impl Record {
    pub(super) const fn new(planned: PlannedTask) -> Self {
        Self {
            planned,
            needs: Vec::new(),
            wants: Vec::new(),
            parent: None,
            offspring: None,
            asked: Vec::new(),
            audited: None,
            ruled: false,
            dismissed: false,
            rank: 0,
            level: 0,
            held: false,
            state: TaskState::Pending,
            round: 0,
            drafts: Vec::new(),
            tier: 0,
            route: None,
            judge: 0,
            stints: Vec::new(),
            below: 0,
            escalations: 0,
            deaf_judges: 0,
            tried: 0,
            overflows: 0,
            spent: Spent::ZERO,
            judging: Spent::ZERO,
            unusable: Vec::new(),
            bad_audits: Vec::new(),
            bad_digests: Vec::new(),
            failure: None,
            began: None,
            ended: None,
        }
    }

    /// The places of the tasks that have to come to rest before it begins.
    pub(super) fn waits_for(&self) -> impl Iterator<Item = usize> {
        self.needs.iter().chain(&self.wants).chain(self.spawned()).copied()
    }

    /// The places of the tasks that it asked for.
    pub(crate) fn spawned(&self) -> &[usize] {
        self.offspring.as_ref().map_or(&[], |offspring| &offspring.tasks)
    }

    /// The answers to one of its jobs that could not be used.
    pub(super) const fn unusable(&self, job: &Job) -> &Vec<Attempt> {
        match job {
            Job::Audit { .. } => &self.bad_audits,
            Job::Digest { .. } => &self.bad_digests,
            _ => &self.unusable,
        }
    }

    /// The same, for a further one.
    pub(super) const fn unusable_mut(&mut self, job: &Job) -> &mut Vec<Attempt> {
        match job {
            Job::Audit { .. } => &mut self.bad_audits,
            Job::Digest { .. } => &mut self.bad_digests,
            _ => &mut self.unusable,
        }
    }

    /// How often work on a round was begun anew because its answer was no work and yet of use.
    pub(super) fn interludes(&self) -> u32 {
        u32::from(self.offspring.is_some()) + u32::try_from(self.asked.len()).unwrap_or(u32::MAX / 2)
    }

    /// Whether there is work that somebody can build on.
    pub(crate) fn has_work(&self) -> bool {
        !self.drafts.is_empty()
            && matches!(self.state, TaskState::Accepted | TaskState::Rejected | TaskState::Unreviewed)
    }

    /// Whether its work is handed to those who wait for it.
    pub(crate) fn is_of_use(&self) -> bool {
        !self.dismissed && self.best().is_some()
    }

    /// Whether checks have looked at the latest draft.
    pub(super) fn is_checked(&self) -> bool {
        self.drafts.last().is_some_and(|draft| draft.checks.is_some())
    }

    /// Puts a verdict beside the latest draft, its issues named as before.
    pub(super) fn hear(&mut self, mut verdict: Verdict, frozen: bool) {
        let Some((last, earlier)) = self.drafts.split_last_mut() else { return };
        let earlier: Vec<&Verdict> = earlier.iter().filter_map(|draft| draft.verdict.as_ref()).collect();
        scope::adopt(&mut verdict, &earlier, frozen);
        last.verdict = Some(verdict);
    }

    /// Whether the latest draft was found good enough.
    pub(super) fn is_accepted(&self, rules: &Rules) -> bool {
        let verdict = self.drafts.last().and_then(|draft| draft.verdict.as_ref());
        verdict.is_some_and(|verdict| convergence::is_accepted(verdict, &rules.review))
    }

    /// Where the task goes with the latest draft's verdict: to rest, into another round, or up a tier.
    pub(super) fn go_on(&mut self, rules: &Rules) -> TaskState {
        let verdicts: Vec<&Verdict> =
            self.drafts.iter().skip(self.below).filter_map(|draft| draft.verdict.as_ref()).collect();
        match convergence::next(&verdicts, &rules.review) {
            Next::Accept => TaskState::Accepted,
            Next::Revise => {
                self.round += 1;
                TaskState::Revising
            }
            Next::Exhausted if self.may_go_up(rules) => {
                self.round += 1;
                self.tier += 1;
                self.escalations += 1;
                self.below = self.drafts.len();
                TaskState::Revising
            }
            Next::Exhausted => match rules.review.on_exhausted {
                OnExhausted::AcceptBest => TaskState::Rejected,
                OnExhausted::Fail => TaskState::Failed,
                OnExhausted::Human => TaskState::Blocked,
            },
        }
    }

    /// Makes room in a conversation that was longer than its model takes: by leaving out more, twice; then by a tier with
    /// a larger window. Whether there was anything left to try.
    pub(super) fn make_room(&mut self, job: &Job, windows: Option<&Vec<usize>>) -> bool {
        let larger = || {
            let here = windows?.get(self.tier)?;
            windows?.iter().position(|window| window > here)
        };
        match (job, self.overflows) {
            (Job::Review { .. } | Job::Work { .. }, 0..MAX_SQUEEZES) => {}
            (Job::Work { .. }, MAX_SQUEEZES) => match larger() {
                Some(tier) => self.tier = tier,
                None => return false,
            },
            _ => return false,
        }
        self.overflows += 1;
        self.unusable.clear();
        true
    }

    /// How much of a tier's window its current conversation may fill: half of it for each time it was too long.
    pub(crate) const fn squeezed(&self, window: usize) -> usize {
        if self.is_squeezed() { window >> self.overflows } else { window }
    }

    /// Whether its current conversation was too long, and no larger window was found yet.
    pub(crate) const fn is_squeezed(&self) -> bool {
        0 < self.overflows && self.overflows <= MAX_SQUEEZES
    }

    fn may_go_up(&self, rules: &Rules) -> bool {
        let tiers = rules.windows.get(&self.planned.role).map_or(1, Vec::len);
        self.tier + 1 < tiers && self.escalations < rules.review.max_escalations
    }

    /// Goes back to where it was before the run was stopped, if that is why it came to rest.
    pub(super) fn resume(&mut self, rules: &Rules) {
        if self.failure.as_ref().is_some_and(Failure::may_be_mended) {
            self.failure = None;
        } else if self.failure.is_some() {
            return;
        }
        let judged = self.drafts.last().map(|draft| draft.verdict.is_some());
        let behind = u32::try_from(self.drafts.len()).unwrap_or(u32::MAX) <= self.round;
        let state = match (self.state, judged) {
            // Its rounds were used up, which counts as failure in this team; there may be more of them now.
            (TaskState::Failed, Some(true)) if !behind => self.go_on(rules),
            (TaskState::Cancelled | TaskState::Unreviewed, Some(false)) => TaskState::Produced,
            (TaskState::Cancelled | TaskState::Rejected, Some(true)) if behind => TaskState::Revising,
            (TaskState::Cancelled | TaskState::Rejected, Some(true)) => self.go_on(rules),
            (TaskState::Cancelled | TaskState::Failed | TaskState::Skipped, _) => TaskState::Pending,
            (state, _) => state,
        };
        if state != self.state {
            self.state = state;
            self.ended = None;
        }
    }

    /// The work to keep: the best judged one, and of equals the latest. Work that nobody could judge is kept if it is
    /// the latest.
    pub(crate) fn best(&self) -> Option<&Draft> {
        let latest = self.drafts.last()?;
        if latest.verdict.is_none() {
            return Some(latest);
        }
        self.drafts.iter().max_by(|a, b| a.score().total_cmp(&b.score()))
    }

    /// The same, to be summed up.
    pub(super) fn best_mut(&mut self) -> Option<&mut Draft> {
        let latest = self.drafts.len().checked_sub(1)?;
        if self.drafts[latest].verdict.is_none() {
            return self.drafts.get_mut(latest);
        }
        self.drafts.iter_mut().max_by(|a, b| a.score().total_cmp(&b.score()))
    }

    /// How many of its drafts were summed up.
    pub(super) fn digests(&self) -> u32 {
        let summed_up = self.drafts.iter().filter(|draft| draft.digest.is_some()).count();
        u32::try_from(summed_up).unwrap_or(u32::MAX)
    }

    /// How long the work to keep is, in bytes; 0 if there is none.
    pub(crate) fn length(&self) -> usize {
        self.best().map_or(0, |draft| draft.text.len())
    }

    /// The issues that the latest verdict left open, those that count only.
    pub(crate) fn open_issues(&self) -> Vec<Issue> {
        self.verdict().map_or_else(Vec::new, Verdict::open_issues)
    }

    /// What the latest verdict found wanting.
    pub(crate) fn wanting(&self) -> Vec<Issue> {
        self.verdict().map_or_else(Vec::new, Verdict::wanting)
    }

    fn verdict(&self) -> Option<&Verdict> {
        self.drafts.iter().rev().find_map(|draft| draft.verdict.as_ref())
    }
}
