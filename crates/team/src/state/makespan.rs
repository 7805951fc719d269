//! The least time in which a run's work could have been done: what a schedule is measured by (Graham 1969).

use std::time::Duration;

use super::State;

impl State {
    /// The longest chain of tasks that wait for each other, or all work shared evenly by as many agents as may work at once,
    /// whichever is more; and before and after it what belongs to no task, such as the planning.
    pub(crate) fn least_time(&self) -> Duration {
        let took = |n: usize| self.tasks[n].spent.busy;
        let all: Duration = (0..self.tasks.len()).map(took).sum();
        let places = u32::try_from(self.rules.max_parallel).unwrap_or(u32::MAX).max(1);
        self.planning.busy + self.longest_chain().max(all / places)
    }

    fn longest_chain(&self) -> Duration {
        let before: Vec<Vec<usize>> = self.tasks.iter().map(|record| record.waits_for().collect()).collect();
        let mut followers = vec![Vec::new(); before.len()];
        let mut left: Vec<usize> = before.iter().map(Vec::len).collect();
        for (n, before) in before.iter().enumerate() {
            before.iter().for_each(|needed| followers[*needed].push(n));
        }
        let mut ready: Vec<usize> = (0..left.len()).filter(|n| left[*n] == 0).collect();
        let (mut until, mut longest) = (vec![Duration::ZERO; left.len()], Duration::ZERO);
        while let Some(n) = ready.pop() {
            let end = until[n] + self.tasks[n].spent.busy;
            longest = longest.max(end);
            for &follower in &followers[n] {
                until[follower] = until[follower].max(end);
                left[follower] -= 1;
                if left[follower] == 0 {
                    ready.push(follower);
                }
            }
        }
        longest
    }
}
