//! Keeps the number of label values bounded, whatever names come along.

use std::collections::HashSet;
use std::sync::Arc;

/// The first names it sees, as they are; all further ones become `other`.
#[derive(Debug, Default)]
pub(crate) struct Cap(HashSet<Arc<str>>);

impl Cap {
    /// The name to use as a label's value.
    pub(crate) fn value(&mut self, name: &Arc<str>) -> Arc<str> {
        if self.0.len() < MOST || self.0.contains(name) {
            self.0.insert(Arc::clone(name));
            return Arc::clone(name);
        }
        OTHER.into()
    }
}

const MOST: usize = 100;
const OTHER: &str = "other";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_hundred_names_are_kept_and_the_rest_is_other() {
        let mut cap = Cap::default();
        let names: Vec<Arc<str>> = (0..150).map(|n| format!("model-{n}").into()).collect();
        let values: HashSet<_> = names.iter().map(|name| cap.value(name)).collect();
        assert_eq!(values.len(), MOST + 1);
        assert_eq!(&*cap.value(&names[99]), "model-99");
        assert_eq!(&*cap.value(&names[100]), OTHER);
    }
}
