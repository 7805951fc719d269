//! How urgent each task of a plan is: how much work hangs on it.

/// For each task of a plan the longest chain of work from its beginning to the end of the plan: its upward rank.
///
/// `costs[i]` is what task `i` is expected to take, in any unit, and `needs[i]` names the tasks it waits for. Serving
/// the highest rank first keeps the longest chain moving; a list schedule in this order ends within (2 - 1/m) of the
/// best possible with m servers (Graham 1969; the rank is that of HEFT, Topcuoglu et al. 2002). The ranks change only
/// when the plan does. `None` if the tasks wait for each other in a circle, or for one that is not there.
///
/// ```
/// use bellwether_queue::upward_ranks;
///
/// // A plan of 3, then work of 5 and of 1, then a review of 2 that needs both.
/// let ranks = upward_ranks(&[3, 5, 1, 2], &[vec![], vec![0], vec![0], vec![1, 2]]);
/// assert_eq!(ranks, Some(vec![10, 7, 3, 2]));
/// ```
#[must_use]
pub fn upward_ranks(costs: &[u64], needs: &[Vec<usize>]) -> Option<Vec<u64>> {
    if needs.len() != costs.len() || needs.iter().flatten().any(|need| *need >= costs.len()) {
        return None;
    }
    let mut dependents = vec![0_usize; costs.len()];
    for need in needs.iter().flatten() {
        dependents[*need] += 1;
    }
    let mut ranks = costs.to_vec();
    let mut last: Vec<usize> = (0..costs.len()).filter(|task| dependents[*task] == 0).collect();
    let mut done = 0;
    while let Some(task) = last.pop() {
        done += 1;
        for need in &needs[task] {
            ranks[*need] = ranks[*need].max(costs[*need].saturating_add(ranks[task]));
            dependents[*need] -= 1;
            if dependents[*need] == 0 {
                last.push(*need);
            }
        }
    }
    (done == costs.len()).then_some(ranks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_and_a_missing_task_have_no_ranks() {
        assert_eq!(upward_ranks(&[1, 1], &[vec![1], vec![0]]), None);
        assert_eq!(upward_ranks(&[1], &[vec![3]]), None);
        assert_eq!(upward_ranks(&[1, 1], &[vec![]]), None);
        assert_eq!(upward_ranks(&[], &[]), Some(Vec::new()));
    }
}
