//! Whose line is read next: one of each flow in turn, and of none more than can be sent soon.

use std::collections::VecDeque;

/// The most lines that are read ahead, over all flows.
pub(crate) const READ_AHEAD: usize = 8_000;
/// So many lines of each flow wait behind the most that can be in flight, so that none runs dry between two looks.
const BEHIND: usize = 16;

/// The flows that may have lines left, and how many lines of each are under way.
#[derive(Debug)]
pub(crate) struct Turns {
    /// The one that is looked at next stands first.
    flows: VecDeque<usize>,
    max_in_flight: usize,
    /// By the flow's number, waiting ones included.
    under_way: Vec<usize>,
}

impl Turns {
    pub(crate) fn new(flows: usize, max_in_flight: usize) -> Self {
        Self { flows: (0..flows).collect(), max_in_flight, under_way: vec![0; flows] }
    }

    /// The next flow of which another line may be read. Those that have none left leave their room to the others.
    pub(crate) fn next(&mut self) -> Option<usize> {
        let ahead = self.max_in_flight.saturating_add(BEHIND).min(READ_AHEAD / self.flows.len().max(1)).max(1);
        let at = self.flows.iter().position(|flow| self.under_way[*flow] < ahead)?;
        self.flows.rotate_left(at);
        let flow = self.flows.pop_front()?;
        self.flows.push_back(flow);
        Some(flow)
    }

    /// A line of a flow was sent.
    pub(crate) fn sent(&mut self, flow: usize) {
        self.under_way[flow] += 1;
    }

    /// A line of a flow has come to its end.
    pub(crate) fn ended(&mut self, flow: usize) {
        self.under_way[flow] -= 1;
    }

    /// The flow that was named last has no line left.
    pub(crate) fn dry(&mut self) {
        self.flows.pop_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads as much as may be read.
    fn fill(turns: &mut Turns, lines: &mut [usize]) {
        while let Some(flow) = turns.next() {
            if lines[flow] == 0 {
                turns.dry();
            } else {
                lines[flow] -= 1;
                turns.sent(flow);
            }
        }
    }

    /// The long flow of a file with thousands of short ones was sent one line at a time to the end.
    #[test]
    fn flows_that_are_done_leave_their_room_to_the_others() {
        let mut lines = vec![1; 5_000];
        lines[7] = 900;
        let mut turns = Turns::new(lines.len(), 64);
        fill(&mut turns, &mut lines);
        assert_eq!(
            (turns.under_way.iter().sum::<usize>(), turns.under_way[7]),
            (5_000, 1),
            "there is room for no more"
        );
        (0..5_000).filter(|flow| *flow != 7).for_each(|flow| turns.ended(flow));
        fill(&mut turns, &mut lines);
        assert_eq!(turns.under_way[7], 64 + BEHIND);
    }

    #[test]
    fn each_flow_has_its_turn_and_none_more_than_its_room() {
        let mut turns = Turns::new(3, 2);
        let named: Vec<_> = (0..4).filter_map(|_| turns.next()).collect();
        assert_eq!(named, [0, 1, 2, 0]);
        fill(&mut turns, &mut [100, 5, 100]);
        assert_eq!(turns.under_way, [18, 5, 18]);
        turns.ended(2);
        assert_eq!((turns.next(), turns.next()), (Some(2), Some(2)));
        let mut widest = Turns::new(1, usize::MAX);
        fill(&mut widest, &mut [10_000]);
        assert_eq!(widest.under_way, [READ_AHEAD]);
    }
}
