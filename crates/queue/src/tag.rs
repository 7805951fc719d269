//! Virtual time in whole numbers that may wrap around.

use std::num::NonZeroU32;

/// A point in virtual time: work divided by weight, in units of 2^-20 token.
///
/// Tags are compared like TCP sequence numbers, by the sign of their difference. The tags that are compared with each
/// other lie within the spread bound of each other, far less than 2^63 apart, so that wrapping around is harmless and
/// nothing ever has to be rebased.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tag(pub(crate) u64);

/// What one token adds to the tag of a node: 2^20 divided by its weight.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Unit(u32);

/// The order among the children of a node: by tag, then by who began to wait first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Rank {
    pub(crate) tag: Tag,
    pub(crate) arrival: u32,
}

// === impl Tag ===

impl Tag {
    pub(crate) const fn is_after(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0).cast_signed() > 0
    }

    pub(crate) const fn max(self, other: Self) -> Self {
        if other.is_after(self) { other } else { self }
    }

    pub(crate) const fn plus(self, tokens: u64, unit: Unit) -> Self {
        Self(self.0.wrapping_add(tokens.wrapping_mul(unit.0 as u64)))
    }

    pub(crate) const fn corrected(self, tokens: i64, unit: Unit) -> Self {
        Self(self.0.wrapping_add(tokens.wrapping_mul(unit.0 as i64).cast_unsigned()))
    }
}

// === impl Unit ===

impl Unit {
    /// Of a weight; weights above 65,536 count as 65,536, so that a token always moves a tag.
    pub(crate) const fn of(weight: NonZeroU32) -> Self {
        let weight = if weight.get() > MAX_WEIGHT { MAX_WEIGHT } else { weight.get() };
        Self(SCALE / weight)
    }

    pub(crate) const fn get(self) -> u32 {
        self.0
    }
}

// === impl Rank ===

impl Rank {
    /// Without a branch: in a heap nobody can guess the answer.
    pub(crate) const fn is_before(self, other: Self) -> bool {
        let tag = self.tag.0.wrapping_sub(other.tag.0).cast_signed();
        let arrival = self.arrival.wrapping_sub(other.arrival).cast_signed();
        (tag < 0) | ((tag == 0) & (arrival < 0))
    }
}

pub(crate) const SCALE: u32 = 1 << 20;
const MAX_WEIGHT: u32 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_ordered_across_the_wrap_and_ties_go_to_the_first_who_came() {
        let before = Tag(u64::MAX - 5);
        let after = before.plus(1, Unit::of(NonZeroU32::MIN));
        assert!(after.is_after(before) && !before.is_after(after) && !before.is_after(before));
        assert_eq!(before.max(after), after);
        assert_eq!(after.corrected(-1, Unit::of(NonZeroU32::MIN)), before);
        let rank = |tag, arrival| Rank { tag, arrival };
        assert!(rank(before, 7).is_before(rank(after, 3)));
        assert!(rank(after, u32::MAX).is_before(rank(after, 2)));
        assert!(!rank(after, 2).is_before(rank(after, 2)));
    }
}
