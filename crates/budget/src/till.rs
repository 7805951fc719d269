//! A cap that outlives a process and is shared by several, such as that of a tenant for a day.

use std::fmt;

use async_trait::async_trait;
use bellwether_core::CallContext;

use crate::ledger::{Amount, Caps};

/// Keeps the account of a cap that outlives this process.
///
/// A reservation is named by its caller, so that one whose answer never came can be settled all the same.
#[async_trait]
pub trait Till: fmt::Debug + Send + Sync {
    /// The caps it keeps to: of what they are in, a call's worst case has to be known.
    fn caps(&self) -> Caps;

    /// Reserves a call's worst case under a new number; waits while only others' reservations are in the way.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if it does not fit, or nobody knows; nothing was reserved then.
    ///
    /// # Cancel safety
    ///
    /// It may have been reserved all the same: settle it.
    async fn reserve(&self, number: u64, context: &CallContext, worst: Amount) -> Result<(), Refusal>;

    /// Takes a reservation back and books what the call took. One that was never made is settled without harm. Must not
    /// block.
    fn settle(&self, number: u64, took: Amount);
}

const _: fn(&dyn Till) = |_| {};

/// Why a till did not reserve.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// Whose cap it is, in snake case, such as `tenant_day`.
    pub scope: &'static str,
    /// What is in the way, for people.
    pub message: String,
}
