//! Who asks, how urgently, until when.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::usage::Demand;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<T: Into<Arc<str>>> From<T> for $name {
            fn from(text: T) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

id! {
    /// Names one run of a team. Random for a live run; also the correlation id of everything in it.
    RunId
}
id! {
    /// Names one task within a run: a stable slug, such as `t3`.
    TaskId
}

/// Who is asking. Fair shares are between flows.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Flow {
    /// Who pays; the outermost level of sharing.
    pub tenant: Arc<str>,
    /// The team within the tenant.
    pub team: Arc<str>,
    /// The run within the team.
    pub run: Arc<str>,
    /// The role within the run.
    pub role: Arc<str>,
}

impl Flow {
    /// A flow of the default tenant.
    #[must_use]
    pub fn new(team: impl Into<Arc<str>>, run: impl Into<Arc<str>>, role: impl Into<Arc<str>>) -> Self {
        Self { tenant: "default".into(), team: team.into(), run: run.into(), role: role.into() }
    }
}

impl Default for Flow {
    fn default() -> Self {
        Self::new("default", "default", "default")
    }
}

words! {
    /// The priority band of a call, the most urgent first.
    ///
    /// Strict between bands only up to an ageing bound, so that nothing starves.
    #[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
    pub enum Class {
        /// Somebody is waiting for the answer.
        Interactive = "interactive",
        /// Ordinary work.
        #[default]
        Standard = "standard",
        /// Work that may wait until there is room.
        Batch = "batch",
    }
}

/// What travels with a call beside the conversation itself.
#[derive(Clone, Debug)]
pub struct CallContext {
    /// Who is asking.
    pub flow: Flow,
    /// The flow's share relative to its siblings.
    pub weight: NonZeroU32,
    /// How urgent the call is.
    pub class: Class,
    /// The moment after which an answer is of no use; covers queueing, retries and the call itself.
    pub deadline: Option<Instant>,
    /// The most time one attempt may take from being sent to its end; waiting for a turn does not count.
    pub timeout: Option<Duration>,
    /// Whether a stream that breaks may begin anew although a part of it was handed on. Its reader is told by
    /// [`ChatEvent::Restarted`](crate::ChatEvent::Restarted) that what came before is void.
    pub may_restart: bool,
    /// The run the call belongs to, which is also its correlation id.
    pub run: Option<RunId>,
    /// The task the call works on.
    pub task: Option<TaskId>,
    /// Which agent of the role asks, counted from 1; 0 if nobody in particular does.
    pub agent: usize,
    /// What the call is for within its task, such as `plan`, `work` or `review`.
    pub phase: &'static str,
    /// The review round the call belongs to, counted from 0.
    pub round: u32,
    /// How often this call was sent before, counted from 0. Raised by the one retry layer.
    pub attempt: u32,
    /// Lets a server recognise a call that is sent again.
    pub idempotency_key: Option<Arc<str>>,
}

impl CallContext {
    /// A call of `flow`: standard class, weight 1, no deadline.
    #[must_use]
    pub const fn new(flow: Flow) -> Self {
        Self {
            flow,
            weight: NonZeroU32::MIN,
            class: Class::Standard,
            deadline: None,
            timeout: None,
            may_restart: false,
            run: None,
            task: None,
            agent: 0,
            phase: "call",
            round: 0,
            attempt: 0,
            idempotency_key: None,
        }
    }
}

impl Default for CallContext {
    fn default() -> Self {
        Self::new(Flow::default())
    }
}

/// A call as facts name it: its context, and where it goes.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who asks, for what.
    pub context: CallContext,
    /// The model that is asked.
    pub model: Arc<str>,
    /// The provider that is asked, by its configured name.
    pub provider: Arc<str>,
    /// What is reserved for it.
    pub demand: Demand,
}
