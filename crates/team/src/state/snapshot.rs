//! A state as a snapshot holds it: equal to the fold of every event up to it, or not used at all.

use std::borrow::Cow;

use bellwether_core::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::State;

/// The version of the form, and of what folding means. It grows with every change of either: a snapshot of another
/// version is left out, and the run folded from its beginning.
const FORM: &[u8] = b"bellwether state 10\n";

#[derive(Deserialize, Serialize)]
struct Snapshot<'a, B> {
    /// When the last event in it happened.
    at: Timestamp,
    state: Cow<'a, State>,
    /// What else was folded from the same events.
    beside: B,
}

impl State {
    /// The state after an event at `at`, and what was folded beside it, for [`State::thaw`].
    pub(crate) fn freeze(&self, at: Timestamp, beside: &impl Serialize) -> Vec<u8> {
        let mut bytes = FORM.to_vec();
        let snapshot = Snapshot { at, state: Cow::Borrowed(self), beside };
        serde_json::to_writer(&mut bytes, &snapshot).expect("its keys are strings, and a vector takes everything");
        bytes
    }

    /// The state that was frozen, the moment of its last event, and what was beside it; `None` if it is not understood.
    pub(crate) fn thaw<B: DeserializeOwned>(bytes: &[u8]) -> Option<(Self, Timestamp, B)> {
        let Snapshot { at, state, beside } = serde_json::from_slice(bytes.strip_prefix(FORM)?).ok()?;
        let mut state = state.into_owned();
        state.find_places();
        Some((state, at, beside))
    }
}
