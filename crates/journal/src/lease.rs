//! Who may write a run.

use bellwether_core::Timestamp;
use bellwether_core::journal::Holder;

/// What the file says about a run's writer.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    /// The id of the writer's sign of life.
    pub(crate) presence: String,
    /// Who it is.
    pub(crate) holder: Holder,
}

/// The holder that stands in the way of a new writer: one whose lease has not ended and that lives.
///
/// A lease that ended belongs to a process that was stopped or hangs; one whose process is dead need not be waited for.
pub(crate) fn in_the_way(
    standing: Option<Standing>,
    now: Timestamp,
    is_alive: impl FnOnce(&str) -> bool,
) -> Option<Holder> {
    standing.filter(|standing| standing.holder.until > now && is_alive(&standing.presence)).map(|found| found.holder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_living_writer_whose_lease_goes_on_stands_in_the_way() {
        let at = Timestamp::from_millis;
        let holder = Holder { pid: 7, host: "here".to_owned(), since: at(0), until: at(60) };
        let standing = || Some(Standing { presence: "p".to_owned(), holder: holder.clone() });
        assert_eq!(in_the_way(standing(), at(59), |_| true), Some(holder.clone()));
        assert_eq!(in_the_way(standing(), at(60), |_| true), None, "the lease has ended");
        assert_eq!(in_the_way(standing(), at(59), |id| id != "p"), None, "the process is dead");
        assert_eq!(in_the_way(None, at(0), |_| true), None, "nobody holds it");
    }
}
