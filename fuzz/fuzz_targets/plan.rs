//! Whatever a planner says, it is a plan that keeps to the rules, or a short list of what is wrong with it.
#![no_main]

use std::collections::HashSet;

use bellwether_team::plan::{Plan, PlanRules};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let answer = String::from_utf8_lossy(data);
    let rules = PlanRules { max_tasks: 8, max_depth: 4, ..PlanRules::new(["coder", "tester"]) };
    match Plan::read(&answer, "build it", &rules) {
        Err(problems) => {
            assert!(!problems.is_empty() && problems.len() <= 17);
            assert!(problems.iter().all(|problem| problem.chars().count() <= 401));
        }
        Ok(plan) => {
            assert!((1..=8).contains(&plan.tasks.len()));
            let mut placed = HashSet::new();
            let mut depth = 0;
            // Every round places the tasks whose needs are placed: in a circle, none would be.
            while placed.len() < plan.tasks.len() {
                let free = |task: &&bellwether_team::plan::PlannedTask| {
                    let mut needs = task.depends_on.iter().chain(&task.wants);
                    !placed.contains(&task.id) && needs.all(|id| placed.contains(id))
                };
                let next: Vec<_> = plan.tasks.iter().filter(free).map(|task| task.id.clone()).collect();
                assert!(!next.is_empty(), "the plan is a circle");
                placed.extend(next);
                depth += 1;
            }
            assert!(depth <= 4);
            for task in &plan.tasks {
                assert!(!task.title.is_empty() && !task.objective.is_empty() && !task.acceptance.is_empty());
                assert!(rules.roles.contains(&task.role) && (1..=5).contains(&task.complexity));
            }
        }
    }
});
