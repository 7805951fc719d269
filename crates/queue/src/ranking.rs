//! The children of a node in the order of their ranks, which change all the time.

mod by_crate;
mod indexed;

use std::fmt;

use crate::tag::Rank;

pub use by_crate::ByPriorityQueue;
pub(crate) use by_crate::Lowest;
pub use indexed::IndexedHeap;

/// Keeps the children of one node in order. Private: it exists so that one structure can take the other's place.
pub(crate) trait Ranking: fmt::Debug + Default {
    /// Puts a child in, or gives it another rank.
    fn set(&mut self, places: &mut Places, child: u32, rank: Rank);

    /// Takes a child out; a child that is not in is left alone.
    fn remove(&mut self, places: &mut Places, child: u32);

    /// The child with the lowest rank.
    fn first(&self) -> Option<u32>;

    /// Whether nobody is in.
    fn is_empty(&self) -> bool;
}

/// Where each node stands in the ranking of its parent.
#[derive(Debug, Default)]
pub(crate) struct Places(Vec<u32>);

// === impl Places ===

impl Places {
    pub(crate) fn grow(&mut self, nodes: usize) {
        self.0.resize(nodes.max(self.0.len()), NOWHERE);
    }

    pub(crate) fn holds(&self, child: u32) -> bool {
        self.0[child as usize] != NOWHERE
    }

    fn get(&self, child: u32) -> usize {
        self.0[child as usize] as usize
    }

    fn put(&mut self, child: u32, place: usize) {
        self.0[child as usize] = place as u32;
    }

    fn clear(&mut self, child: u32) {
        self.0[child as usize] = NOWHERE;
    }
}

const NOWHERE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tag::Tag;

    /// Both structures, given the same random changes, name the same child first as a plain scan does.
    fn agrees_with_a_scan<R: Ranking>(seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut ranking, mut places, mut plain) = (R::default(), Places::default(), vec![None; 40]);
        places.grow(40);
        for arrival in 0..4_000 {
            let child = random.u32(0..40);
            if random.u8(0..3) == 0 {
                ranking.remove(&mut places, child);
                plain[child as usize] = None;
            } else {
                let rank = Rank { tag: Tag(u64::MAX.wrapping_add(random.u64(0..30))), arrival };
                ranking.set(&mut places, child, rank);
                plain[child as usize] = Some(rank);
            }
            let mut first = None;
            for (child, rank) in (0..).zip(&plain) {
                if let Some(rank) = *rank
                    && first.is_none_or(|(_, least): (u32, Rank)| rank.is_before(least))
                {
                    first = Some((child, rank));
                }
                assert_eq!(places.holds(child), rank.is_some());
            }
            assert_eq!(ranking.first(), first.map(|(child, _)| child));
            assert_eq!(ranking.is_empty(), first.is_none());
        }
    }

    #[test]
    fn both_rankings_agree_with_a_plain_scan() {
        for seed in 0..8 {
            agrees_with_a_scan::<IndexedHeap>(seed);
            agrees_with_a_scan::<ByPriorityQueue>(seed);
        }
    }
}
