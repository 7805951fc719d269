//! Further tasks that the worker of a task asks for, understood and checked as a plan is.

use std::fmt;
use std::str::FromStr;

use bellwether_core::TaskId;
use serde::{Deserialize, Serialize};

use super::{PlanRules, PlannedTask, check, draft, structured};

/// How much of what a task spawned has to come to work before the task goes on.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    /// All of it.
    #[default]
    All,
    /// One of the tasks; the others are called off then.
    Any,
    /// So many of the tasks; the others are called off then.
    Quorum(u32),
}

impl Join {
    /// How many of so many tasks have to come to work.
    #[must_use]
    pub fn least(self, of: usize) -> usize {
        match self {
            Self::All => of,
            Self::Any => of.min(1),
            Self::Quorum(least) => usize::try_from(least).unwrap_or(usize::MAX).min(of),
        }
    }
}

impl fmt::Display for Join {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Any => f.write_str("any"),
            Self::Quorum(least) => write!(f, "quorum({least})"),
        }
    }
}

impl FromStr for Join {
    type Err = String;

    /// Understands `all`, `any` and `quorum(2)`.
    fn from_str(text: &str) -> Result<Self, String> {
        let plain: String = text.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).take(32).collect();
        let least = || plain.strip_prefix("quorum(")?.strip_suffix(')')?.parse().ok().filter(|least| *least > 0);
        match (plain.as_str(), least()) {
            ("all", _) => Ok(Self::All),
            ("any", _) => Ok(Self::Any),
            (_, Some(least)) => Ok(Self::Quorum(least)),
            _ => Err(format!("the join {plain:?} is none of \"all\", \"any\" and \"quorum(n)\" with n from 1 up")),
        }
    }
}

/// How far tasks may spawn further ones; only roles that may do so at all are asked.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SpawnRules {
    /// The most tasks that a run may gain in this way, over all its tasks.
    pub max_tasks: usize,
    /// How deep: 1 if only tasks of the plan may spawn, 2 if what they spawned may, too.
    pub max_depth: u32,
    /// How what was spawned is joined if the worker does not say.
    pub join: Join,
}

impl Default for SpawnRules {
    fn default() -> Self {
        Self { max_tasks: 12, max_depth: 1, join: Join::All }
    }
}

/// Tasks that a worker asked for instead of handing in work.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spawn {
    /// The tasks; they wait for each other at most.
    pub(crate) tasks: Vec<PlannedTask>,
    /// When their parent goes on.
    pub(crate) join: Join,
    /// What was wrong with the answer and could be mended.
    pub(crate) mended: Vec<String>,
}

/// What a task that asks for further ones has to keep to, as things stand.
#[derive(Debug)]
pub(crate) struct SpawnTerms<'a> {
    /// The task that asks.
    pub(crate) parent: &'a TaskId,
    /// All tasks there are: none of them is to be done again.
    pub(crate) tasks: &'a [PlannedTask],
    /// How many further tasks the run has room for.
    pub(crate) room: usize,
    /// How they are joined if the answer does not say.
    pub(crate) join: Join,
    /// What every plan keeps to, with the means that are left.
    pub(crate) rules: &'a PlanRules,
}

impl Spawn {
    /// Whether an answer asks for tasks instead of being work.
    pub(crate) fn is_asked_for(answer: &str) -> bool {
        structured::spawn(answer).is_some()
    }

    /// Understands an answer that asks for tasks; `None` if it is work.
    ///
    /// # Errors
    ///
    /// What is wrong with the tasks, in sentences a worker can act on.
    pub(crate) fn read(answer: &str, terms: &SpawnTerms<'_>) -> Option<Result<Self, Vec<String>>> {
        let asked = structured::spawn(answer)?;
        Some(Self::check(answer, asked, terms).map_err(check::worst))
    }

    fn check(
        answer: &str,
        (draft, join): (draft::Draft, Option<String>),
        terms: &SpawnTerms<'_>,
    ) -> Result<Self, Vec<String>> {
        check::size(answer)?;
        let draft::Draft { tasks, notes: mut mended, .. } = draft;
        check::limits(&tasks, terms.room)?;
        let join = join.map_or(Ok(terms.join), |join| join.parse()).map_err(|problem| vec![problem])?;
        if let Join::Quorum(least) = join
            && join.least(usize::MAX) > tasks.len()
        {
            return Err(vec![format!("a quorum of {least} cannot be met by {} tasks", tasks.len())]);
        }
        // Ids are below the parent's, so that nothing but the siblings can be meant by `depends_on`.
        let id = |n: usize| format!("{}.{}", terms.parent, n + 1).into();
        let tasks = draft::settle(tasks, &id, terms.rules, &mut mended)?;
        check::means(&tasks, terms.rules)?;
        let all: Vec<PlannedTask> = terms.tasks.iter().chain(&tasks).cloned().collect();
        let names: Vec<String> = all.iter().map(|task| task.id.to_string()).collect();
        let repeated = check::duplicates(&all, &names);
        if repeated.is_empty() { Ok(Self { tasks, join, mended }) } else { Err(repeated) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Join, PlanRules, Spawn, SpawnTerms};
    use crate::plan::{Means, Plan};

    fn read(answer: &str, room: usize, rules: &PlanRules) -> Option<Result<Spawn, Vec<String>>> {
        let plan = Plan::single("write a parser for dates in every usual form", rules, false);
        let terms = SpawnTerms { parent: &"t1".into(), tasks: &plan.tasks, room, join: Join::All, rules };
        Spawn::read(answer, &terms)
    }

    #[test]
    fn what_is_no_request_is_work() {
        let rules = PlanRules::new(["coder"]);
        for work in ["fn main() {}", "Here: {\"spawn\": [\"a\"]}", "{\"spawn\": 3}", "{\"tasks\": []}", ""] {
            assert!(read(work, 9, &rules).is_none(), "{work}");
        }
        assert!(read("```json\n{\"spawn\": [\"read the file\"]}\n```", 9, &rules).is_some());
    }

    #[test]
    fn spawned_tasks_reach_nothing_but_each_other() {
        let rules = PlanRules::new(["coder", "tester"]);
        let answer = r#"{"spawn": [{"id": "a", "title": "read", "role": "testers"},
            {"title": "write", "depends_on": ["a"], "url": "http://elsewhere", "budget": 9}], "join": "quorum(2)"}"#;
        let spawn = read(answer, 2, &rules).unwrap().unwrap();
        let ids: Vec<&str> = spawn.tasks.iter().map(|task| task.id.as_str()).collect();
        assert_eq!((ids, spawn.join), (vec!["t1.1", "t1.2"], Join::Quorum(2)));
        assert_eq!((&*spawn.tasks[0].role, spawn.tasks[1].depends_on[0].as_str()), ("tester", "t1.1"));
        assert!(spawn.mended.iter().any(|note| note.contains("url")), "{:?}", spawn.mended);
        let outside = read(r#"{"spawn": [{"title": "read", "depends_on": ["t1"]}]}"#, 2, &rules).unwrap();
        assert!(outside.unwrap_err()[0].contains("does not exist"));
    }

    #[test]
    fn what_breaks_a_cap_is_named() {
        let mut rules = PlanRules::new(["coder"]);
        rules.max_depth = 1;
        rules.means = Means { calls: Some(1), ..Means::default() };
        let wrong = |answer: &str, room, what: &str| {
            let problems = read(answer, room, &rules).expect("it is a request").expect_err(answer);
            assert!(problems.join("; ").contains(what), "{answer}: {problems:?}");
        };
        wrong(r#"{"spawn": []}"#, 9, "no tasks");
        wrong(r#"{"spawn": ["a", "b"]}"#, 1, "at most 1");
        wrong(r#"{"spawn": ["a", "b"]}"#, 9, "2 calls");
        wrong(r#"{"spawn": ["a"], "join": "most"}"#, 9, "none of");
        wrong(r#"{"spawn": ["a"], "join": {"quorum": 2}}"#, 9, "cannot be met");
        wrong(r#"{"spawn": [{"title": "a", "role": "boss"}]}"#, 9, "boss");
        wrong(r#"{"spawn": [{"id": "a", "title": "a"}, {"title": "b", "depends_on": ["a"]}]}"#, 9, "in a row");
        wrong(
            r#"{"spawn": [{"id": "a", "title": "a", "depends_on": ["b"]}, {"id": "b", "title": "b", "depends_on": ["a"]}]}"#,
            9,
            "cycle",
        );
        wrong(r#"{"spawn": ["write a parser for dates in every usual form"]}"#, 9, "almost the same objective");
    }

    #[test]
    fn a_join_says_how_many_are_enough() {
        assert_eq!([Join::All, Join::Any, Join::Quorum(2)].map(|join| join.least(3)), [3, 1, 2]);
        for join in [Join::All, Join::Any, Join::Quorum(7)] {
            assert_eq!(join.to_string().parse(), Ok(join));
        }
        assert!("quorum(0)".parse::<Join>().is_err());
    }
}
