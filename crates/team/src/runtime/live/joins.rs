//! Workers that ask for further tasks: what they ask for, when they go on, and who is called off then.

use std::sync::Arc;

use bellwether_core::{Fact, TaskId, Usd};

use super::Runtime;
use crate::agent::beginning;
use crate::message::{JobError, Spent};
use crate::plan::spawn::{Spawn, SpawnTerms};
use crate::plan::{Means, PlanRules, PlannedTask};
use crate::state::Event;

impl Runtime<'_> {
    /// A request for further tasks, if a worker's answer is one and its role may make it; else work.
    pub(super) fn work_or_tasks(&self, task: &TaskId, text: String, spent: Spent) -> Result<Event, JobError> {
        let record = self.state.task(task);
        let role = record.and_then(|record| self.team.named(&record.planned.role));
        let asks = role.is_some_and(|role| role.may_spawn) && Spawn::is_asked_for(&text);
        if !asks {
            return Ok(Event::Produced { task: task.clone(), text, spent });
        }
        let read = self.state.room_to_spawn(task).map_err(|why| vec![format!("{why}: answer with the finished work")]);
        let read = read.and_then(|room| {
            let rules = PlanRules { means: self.means_left(spent), ..self.shared.plan_rules.clone() };
            let tasks = self.state.plan().map_or(&[][..], |plan| &plan.tasks);
            let join = self.team.settings.spawn.join;
            let terms = SpawnTerms { parent: task, tasks, room, join, rules: &rules };
            Spawn::read(&text, &terms).unwrap_or_else(|| Err(Vec::new()))
        });
        match read {
            Ok(Spawn { tasks, join, mended }) => Ok(Event::Spawned { task: task.clone(), tasks, join, mended, spent }),
            Err(problems) => Err(JobError::Unusable { answer: beginning(text), problems, remedy: None }),
        }
    }

    /// What the run may still take, as far as that is limited.
    fn means_left(&self, more: Spent) -> Means {
        let mut spent = self.state.spent();
        spent += more;
        let Means { usd, tokens, calls } = self.shared.plan_rules.means;
        let cost = spent.usage.cost.unwrap_or_default().as_nanos();
        Means {
            usd: usd.map(|usd| Usd::from_nanos(usd.as_nanos().saturating_sub(cost))),
            tokens: tokens.map(|tokens| tokens.saturating_sub(spent.usage.tokens())),
            calls: calls.map(|calls| calls.saturating_sub(u64::from(spent.calls))),
        }
    }

    /// Says which joins are decided, and stops those at work whom nobody needs any more.
    pub(super) async fn join_all(&mut self) {
        while let Some(joined) = self.state.due_join() {
            self.record(vec![joined]).await;
        }
        self.state.unwanted().filter_map(|job| self.called_off.get(job)).for_each(|token| token.cancel());
    }

    pub(super) fn tell_spawned(&self, parent: &TaskId, tasks: &[PlannedTask]) {
        self.tell(&Fact::TasksSpawned {
            run: self.shared.run.clone(),
            parent: parent.clone(),
            tasks: tasks.iter().map(|task| (task.id.clone(), Arc::clone(&task.title))).collect(),
        });
    }
}
