//! A state as a snapshot holds it: equal to the fold of every event up to it, or not used at all.

use std::borrow::Cow;

use bellwether_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::State;

/// The version of the form, and of what folding means. It grows with every change of either: a snapshot of another
/// version is left out, and the run folded from its beginning.
const FORM: &[u8] = b"bellwether state 5\n";

#[derive(Deserialize, Serialize)]
struct Snapshot<'a> {
    /// When the last event in it happened.
    at: Timestamp,
    state: Cow<'a, State>,
}

impl State {
    /// The state after an event at `at`, for [`State::thaw`].
    pub(crate) fn freeze(&self, at: Timestamp) -> Vec<u8> {
        let mut bytes = FORM.to_vec();
        let snapshot = Snapshot { at, state: Cow::Borrowed(self) };
        serde_json::to_writer(&mut bytes, &snapshot).expect("its keys are strings, and a vector takes everything");
        bytes
    }

    /// The state that was frozen, and the moment of its last event; `None` if it is not understood.
    pub(crate) fn thaw(bytes: &[u8]) -> Option<(Self, Timestamp)> {
        let Snapshot { at, state } = serde_json::from_slice(bytes.strip_prefix(FORM)?).ok()?;
        let mut state = state.into_owned();
        state.find_places();
        Some((state, at))
    }
}
