//! How a run comes to rest: what may fail, what a stop leaves lying, and what a resumed run takes up again.

use bellwether_core::{ErrorKind, RunOutcome, TaskState, Timestamp};

use super::{Draft, Event, Moves, Record, State, Stop};
use crate::runtime::Ruling;
use crate::team::OnTaskFailure;

impl State {
    /// How the run ended, once it is over.
    pub(crate) fn outcome(&self) -> RunOutcome {
        let usable = self
            .planned()
            .filter(|task| matches!(task.state, TaskState::Accepted | TaskState::Rejected | TaskState::Unreviewed));
        let usable = usable.count();
        let mut all = self.tasks.iter().filter(|task| task.parent.is_none() || task.has_work()).peekable();
        let flawless = all.peek().is_some() && all.all(|task| task.state == TaskState::Accepted);
        let whole = self.whole.as_ref().is_none_or(Result::is_ok);
        if flawless && whole && !self.parked {
            return RunOutcome::Succeeded;
        }
        match &self.stop {
            None if self.parked || self.blocked().next().is_some() => RunOutcome::Parked,
            Some(Stop::Denied(_)) => RunOutcome::Cancelled,
            Some(Stop::Asked) => RunOutcome::Cancelled,
            Some(Stop::Deadline) => RunOutcome::DeadlineExceeded,
            Some(Stop::Hopeless(failure)) if failure.is_about_money() => RunOutcome::BudgetExhausted,
            Some(Stop::Hopeless(failure)) if failure.provider == Some(ErrorKind::QuotaExhausted) => RunOutcome::Parked,
            _ if self.is_short_of_budget() => RunOutcome::BudgetExhausted,
            _ if usable == 0 => RunOutcome::Failed,
            _ if usable >= self.least_usable() => RunOutcome::SucceededWithDefects,
            _ => RunOutcome::Partial,
        }
    }

    pub(super) fn decide(&mut self, ruling: Ruling, moves: &mut Moves) {
        if !std::mem::take(&mut self.parked) {
            return;
        }
        if let Ruling::Deny(reason) = ruling {
            self.halt(Stop::Denied(reason), moves);
        }
    }

    /// Whether a resume has anything to do, now or once a person has decided.
    pub(crate) fn is_resumable(&self) -> bool {
        let mut resumed = self.clone();
        resumed.apply(Event::Resumed, Timestamp::ZERO);
        resumed.parked || resumed.blocked().next().is_some() || !resumed.is_over()
    }

    /// Why a task was skipped.
    pub(crate) fn why_skipped(&self, record: &Record) -> String {
        let lost = record.planned.depends_on.iter().filter_map(|id| self.task(id));
        let lost = lost.filter(|needed| needed.state.is_final() && !needed.is_of_use());
        let lost: Vec<String> = lost.map(|needed| format!("{}, which came to nothing", needed.planned.id)).collect();
        if lost.is_empty() { "it was skipped".to_owned() } else { format!("it needs {}", lost.join(", and ")) }
    }

    /// Takes up again what a stop or a crash left lying. What came to rest for a reason of its own stays.
    pub(super) fn resume(&mut self, at: Timestamp) {
        for job in std::mem::take(&mut self.in_flight) {
            self.doubtful += u32::from(job.is_paid());
            self.charge_doubtful(&job);
        }
        self.tasks.iter_mut().for_each(|record| record.held = false);
        if matches!(&self.whole, Some(Err(failure)) if failure.may_be_mended()) {
            self.whole = None;
        }
        if self.stop.as_ref().is_some_and(Stop::is_resumable) {
            self.stop = None;
        }
        // Whoever watches is told of all tasks anew, so that nobody has to hear of these moves.
        let mut moves = Moves { at, made: Vec::new() };
        if self.stop.is_some() {
            return self.give_up_waiting(&mut moves);
        }
        // Whoever resumes a run may have given it more.
        self.economy = None;
        self.take_up(&mut moves);
        // What cannot be done now either is at rest again.
        self.weigh_failures(&mut moves);
        if self.tasks.iter().any(|task| !task.state.is_final()) {
            // It was made of less than there will be.
            self.whole = None;
        }
    }

    /// How many tasks must have work to show for the run to count as done.
    fn least_usable(&self) -> usize {
        match self.rules.on_failure {
            OnTaskFailure::Quorum(share) => share.of(self.planned().count()),
            OnTaskFailure::ContinueIndependent | OnTaskFailure::FailFast => self.planned().count(),
        }
    }

    /// Stops the run if more came to nothing than may.
    pub(super) fn weigh_failures(&mut self, moves: &mut Moves) {
        self.skip_dependents(moves);
        let lost = self.planned().filter(|task| matches!(task.state, TaskState::Failed | TaskState::Skipped)).count();
        let most = match self.rules.on_failure {
            OnTaskFailure::ContinueIndependent => return,
            OnTaskFailure::FailFast => 0,
            OnTaskFailure::Quorum(_) => self.planned().count() - self.least_usable(),
        };
        if lost > most {
            self.halt(Stop::TooManyFailed { failed: lost, allowed: most }, moves);
        }
    }

    /// Skips what needs work that will never be there, and what needs that in turn.
    pub(super) fn skip_dependents(&mut self, moves: &mut Moves) {
        let missing = |state: TaskState| matches!(state, TaskState::Failed | TaskState::Skipped | TaskState::Cancelled);
        while let Some(n) = (0..self.tasks.len()).find(|&n| {
            let Record { state, needs, .. } = &self.tasks[n];
            *state == TaskState::Pending && needs.iter().any(|needed| missing(self.tasks[*needed].state))
        }) {
            moves.make(n, &mut self.tasks[n], TaskState::Skipped);
        }
    }

    /// Stops the run, even if it has only its whole left to make.
    pub(super) fn stop_for_good(&mut self, stop: Stop, moves: &mut Moves) {
        self.stop.take_if(|before| before.leaves_the_whole());
        self.halt(stop, moves);
    }

    pub(super) fn halt(&mut self, stop: Stop, moves: &mut Moves) {
        if self.stop.is_none() {
            self.stop = Some(stop);
        }
        self.give_up_waiting(moves);
    }

    /// Brings every task that no agent holds to rest.
    pub(super) fn give_up_waiting(&mut self, moves: &mut Moves) {
        for n in 0..self.tasks.len() {
            if !self.tasks[n].held && !self.tasks[n].state.is_final() {
                self.give_up(n, moves);
            }
        }
    }

    /// Brings a task to rest with what there is of it.
    pub(super) fn give_up(&mut self, n: usize, moves: &mut Moves) {
        let record = &mut self.tasks[n];
        let to = match record.drafts.last() {
            None => TaskState::Cancelled,
            Some(Draft { verdict: None, .. }) => TaskState::Unreviewed,
            Some(Draft { verdict: Some(_), .. }) => TaskState::Rejected,
        };
        moves.make(n, record, to);
    }
}
