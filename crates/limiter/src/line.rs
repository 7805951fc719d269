//! Who waits, in the order of coming; anybody may leave at any time.

/// A line in which everybody keeps a place that can be found again, and leaves in constant time.
///
/// Whoever is at the front can be called: out of the line, but still there until collected.
#[derive(Debug)]
pub(crate) struct Line<T> {
    slots: Vec<Slot<T>>,
    free: Option<usize>,
    front: Option<usize>,
    back: Option<usize>,
    len: usize,
    born: u64,
}

/// A place. It names one stay, and never another.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Place {
    born: u64,
    index: usize,
}

#[derive(Debug)]
enum Slot<T> {
    Free(Option<usize>),
    Taken { born: u64, value: T, before: Option<usize>, after: Option<usize>, in_line: bool },
}

impl<T> Line<T> {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), free: None, front: None, back: None, len: 0, born: 0 }
    }

    /// Joins at the back.
    pub(crate) fn push(&mut self, value: T) -> Place {
        self.born += 1;
        let born = self.born;
        let slot = Slot::Taken { born, value, before: self.back, after: None, in_line: true };
        let index = match self.free {
            Some(index) => {
                if let Slot::Free(next) = self.slots[index] {
                    self.free = next;
                }
                self.slots[index] = slot;
                index
            }
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        match self.back {
            Some(back) => self.set_after(back, Some(index)),
            None => self.front = Some(index),
        }
        self.back = Some(index);
        self.len += 1;
        Place { born, index }
    }

    /// Takes somebody out of the line who stays until [`remove`](Self::remove)d. Whether they were in it.
    pub(crate) fn call(&mut self, place: Place) -> bool {
        let Some(Slot::Taken { born, before, after, in_line, .. }) = self.slots.get_mut(place.index) else {
            return false;
        };
        if *born != place.born || !*in_line {
            return false;
        }
        *in_line = false;
        let (before, after) = (before.take(), after.take());
        match before {
            Some(before) => self.set_after(before, after),
            None => self.front = after,
        }
        match after {
            Some(after) => self.set_before(after, before),
            None => self.back = before,
        }
        self.len -= 1;
        true
    }

    /// Takes somebody out altogether.
    pub(crate) fn remove(&mut self, place: Place) -> Option<T> {
        self.get(place)?;
        self.call(place);
        let slot = std::mem::replace(&mut self.slots[place.index], Slot::Free(self.free));
        self.free = Some(place.index);
        match slot {
            Slot::Taken { value, .. } => Some(value),
            Slot::Free(_) => None,
        }
    }

    pub(crate) fn get(&self, place: Place) -> Option<&T> {
        match self.slots.get(place.index)? {
            Slot::Taken { born, value, .. } if *born == place.born => Some(value),
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, place: Place) -> Option<&mut T> {
        match self.slots.get_mut(place.index)? {
            Slot::Taken { born, value, .. } if *born == place.born => Some(value),
            _ => None,
        }
    }

    /// Who is at the front of the line.
    pub(crate) fn front(&self) -> Option<Place> {
        let index = self.front?;
        match &self.slots[index] {
            Slot::Taken { born, .. } => Some(Place { born: *born, index }),
            Slot::Free(_) => None,
        }
    }

    /// How many are in the line.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    fn set_after(&mut self, index: usize, to: Option<usize>) {
        if let Slot::Taken { after, .. } = &mut self.slots[index] {
            *after = to;
        }
    }

    fn set_before(&mut self, index: usize, to: Option<usize>) {
        if let Slot::Taken { before, .. } = &mut self.slots[index] {
            *before = to;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a list in which everything is searched for.
        #[test]
        fn it_behaves_like_a_list(steps in prop::collection::vec((0..4u8, any::<prop::sample::Index>()), 0..200)) {
            let (mut line, mut list, mut called, mut all) = (Line::new(), Vec::new(), Vec::new(), Vec::new());
            for (step, which) in steps {
                if step == 0 || all.is_empty() {
                    let place = line.push(all.len());
                    list.push(place);
                    all.push(place);
                } else {
                    let place = all[which.index(all.len())];
                    let (waits, was_called) = (list.contains(&place), called.contains(&place));
                    if step == 1 {
                        prop_assert_eq!(line.call(place), waits);
                        if waits {
                            called.push(place);
                        }
                    } else {
                        prop_assert_eq!(line.remove(place).is_some(), waits || was_called);
                        called.retain(|other| *other != place);
                    }
                    list.retain(|other| *other != place);
                }
                prop_assert_eq!(line.front(), list.first().copied());
                prop_assert_eq!(line.len(), list.len());
            }
            while let Some(front) = line.front() {
                prop_assert_eq!(front, list.remove(0));
                line.remove(front);
            }
            prop_assert!(list.is_empty());
        }
    }
}
