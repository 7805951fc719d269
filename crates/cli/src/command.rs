//! The commands, one room each.

pub(crate) mod batch;
pub(crate) mod bench;
pub(crate) mod check;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod fork;
pub(crate) mod init;
pub(crate) mod load;
pub(crate) mod person;
pub(crate) mod plan;
pub(crate) mod report;
pub(crate) mod resume;
pub(crate) mod router;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod simulate;
pub(crate) mod watch;

/// The team file that `init` writes and `demo` runs.
pub(crate) const FEATURE_TEAM: &str = include_str!("../../../examples/teams/feature.toml");
