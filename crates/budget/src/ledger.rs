//! What is spent and what is reserved, for each scope that has a cap.
//!
//! The law: as long as no call takes more than was reserved for it, spent and reserved together never exceed a cap.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::{CallContext, Usd};

/// Whom a cap is for.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Scope {
    /// All calls but those of one phase: what is missing to the cap of [`Scope::Everything`] is held back for it. Who makes
    /// those calls has no claim to it for anything else it does, such as an answer to somebody's question.
    AllBut(Arc<str>),
    /// All calls together.
    Everything,
    /// The calls of each role by themselves.
    EachRole,
    /// The calls of each run by themselves.
    EachRun,
    /// The calls of each task by themselves, with those of the tasks that it asked for.
    EachTask,
    /// The calls of each tenant by themselves.
    EachTenant,
    /// The calls of one role.
    Role(Arc<str>),
}

impl Scope {
    /// Whose account a call belongs to under this scope; `None` if the scope does not concern it.
    fn account(&self, context: &CallContext) -> Option<Key> {
        let of = |name: &str| Some(Key(self.clone(), name.into()));
        match self {
            Self::AllBut(phase) if **phase == *context.phase => None,
            Self::AllBut(_) | Self::Everything => of(""),
            Self::EachRole => of(&context.flow.role),
            Self::EachRun => of(context.run.as_ref()?.as_str()),
            Self::EachTask => {
                let (run, task) = (context.run.as_ref()?, context.task.as_ref()?);
                // What a task asked for spends what the task has: `t3.1` is a part of `t3`.
                let task = task.as_str().split('.').next()?;
                of(&format!("{run}/{task}"))
            }
            Self::EachTenant => of(&context.flow.tenant),
            Self::Role(role) => (*role == context.flow.role).then(|| Key(self.clone(), Arc::clone(role))),
        }
    }
}

impl Scope {
    /// What kind of scope it is, in snake case.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            // To whom it happens it is the cap of everything, earlier.
            Self::AllBut(_) | Self::Everything => "everything",
            Self::EachRole | Self::Role(_) => "role",
            Self::EachRun => "run",
            Self::EachTask => "task",
            Self::EachTenant => "tenant",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllBut(phase) => write!(f, "all calls but those of phase {phase}, for which the rest is held back,"),
            Self::Everything => f.write_str("all calls together"),
            Self::Role(role) => write!(f, "role {role}"),
            each => write!(f, "a {}", each.as_str()),
        }
    }
}

/// The most that may be spent; no cap where absent.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Caps {
    /// Money.
    pub usd: Option<Usd>,
    /// Tokens, input and output together.
    pub tokens: Option<u64>,
    /// Calls, each attempt by itself.
    pub calls: Option<u64>,
    /// Time, of all calls one after the other.
    pub time: Option<Duration>,
}

impl Caps {
    /// The same with a share of them held back, from 0 to 1 and exact to a millionth: of what is counted at least one, if
    /// anything is held back and there is a cap.
    #[must_use]
    pub fn holding_back(self, share: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most a million")]
        let held = (share.clamp(0.0, 1.0) * 1e6).round() as u64;
        let rest = 1_000_000 - held;
        let less = |cap: u64| u64::try_from(u128::from(cap) * u128::from(rest) / 1_000_000).unwrap_or(cap);
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self {
            usd: self.usd.map(|cap| Usd::from_nanos(less(cap.as_nanos()))),
            tokens: self.tokens.map(less),
            calls: self.calls.map(less),
            time: self.time.map(|cap| Duration::from_nanos(less(nanos(cap)))),
        }
    }
}

/// What a call takes, or what many took.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Amount {
    /// Money.
    pub usd: Usd,
    /// Tokens, input and output together.
    pub tokens: u64,
    /// Calls.
    pub calls: u64,
    /// Time from sending to the end of the answer.
    pub time: Duration,
}

impl Amount {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            usd: Usd::from_nanos(self.usd.as_nanos().saturating_add(other.usd.as_nanos())),
            tokens: self.tokens.saturating_add(other.tokens),
            calls: self.calls.saturating_add(other.calls),
            time: self.time.saturating_add(other.time),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            usd: Usd::from_nanos(self.usd.as_nanos().saturating_sub(other.usd.as_nanos())),
            tokens: self.tokens.saturating_sub(other.tokens),
            calls: self.calls.saturating_sub(other.calls),
            time: self.time.saturating_sub(other.time),
        }
    }

    /// The first cap that this amount is above.
    #[must_use]
    pub fn above(&self, caps: &Caps) -> Option<Limit> {
        if caps.usd.is_some_and(|cap| self.usd > cap) {
            Some(Limit::Usd)
        } else if caps.tokens.is_some_and(|cap| self.tokens > cap) {
            Some(Limit::Tokens)
        } else if caps.calls.is_some_and(|cap| self.calls > cap) {
            Some(Limit::Calls)
        } else {
            caps.time.is_some_and(|cap| self.time > cap).then_some(Limit::Time)
        }
    }
}

/// What a cap is in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Limit {
    /// Calls.
    Calls,
    /// Time.
    Time,
    /// Tokens.
    Tokens,
    /// Money.
    Usd,
}

/// The state of one account.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Account {
    /// What calls took that have ended.
    pub spent: Amount,
    /// The worst case of the calls under way.
    pub reserved: Amount,
}

/// A reservation in every account it concerns; has to be settled.
#[derive(Debug)]
#[must_use = "what is reserved stays reserved until it is settled"]
pub struct Reservation {
    keys: Vec<Key>,
    worst: Amount,
}

/// The answer to a call whose worst case does not fit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Exceeded {
    /// The scope whose cap it is.
    pub scope: Scope,
    /// What the cap is in.
    pub limit: Limit,
    /// The caps of the scope.
    pub caps: Caps,
    /// The state of the account.
    pub account: Account,
    /// What the call may take.
    pub worst: Amount,
}

impl Exceeded {
    /// Whether the call may fit once what is under way has settled.
    #[must_use]
    pub fn may_fit_later(&self) -> bool {
        self.account.reserved != Amount::default() && self.account.spent.plus(self.worst).above(&self.caps).is_none()
    }

    /// What is missing, without saying for whom.
    #[must_use]
    pub fn shortfall(&self) -> impl fmt::Display + '_ {
        Shortfall(self)
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the budget for {} does not cover the call: {}", self.scope, self.shortfall())
    }
}

struct Shortfall<'a>(&'a Exceeded);

impl fmt::Display for Shortfall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Exceeded { limit, caps, account: Account { spent, reserved }, worst, .. } = self.0;
        match limit {
            Limit::Usd => {
                let cap = caps.usd.unwrap_or_default();
                write!(f, "of {cap}, {} are spent and {} reserved; it may cost {}", spent.usd, reserved.usd, worst.usd)
            }
            Limit::Tokens => {
                let cap = caps.tokens.unwrap_or_default();
                write!(
                    f,
                    "of {cap} tokens, {} are spent and {} reserved; it may take {}",
                    spent.tokens, reserved.tokens, worst.tokens
                )
            }
            Limit::Calls => {
                let cap = caps.calls.unwrap_or_default();
                write!(f, "of {cap} calls, {} are made and {} under way", spent.calls, reserved.calls)
            }
            Limit::Time => {
                let cap = caps.time.unwrap_or_default();
                let (spent, reserved, worst) = (spent.time, reserved.time, worst.time);
                write!(f, "of {cap:?}, {spent:?} are spent and {reserved:?} reserved; it may take {worst:?}")
            }
        }
    }
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Key(Scope, Arc<str>);

/// What is spent and what is reserved.
///
/// Invariant: an account's `reserved` is the sum of the worst cases of the reservations that are not settled yet.
#[derive(Debug, Default)]
pub struct Ledger {
    caps: Vec<(Scope, Caps)>,
    accounts: HashMap<Key, Account>,
}

impl Ledger {
    /// An empty ledger with these caps. A call has to fit under all of them that concern it.
    #[must_use]
    pub fn new(caps: impl IntoIterator<Item = (Scope, Caps)>) -> Self {
        Self { caps: caps.into_iter().collect(), accounts: HashMap::new() }
    }

    /// Reserves a call's worst case in every account it concerns, or in none.
    ///
    /// # Errors
    ///
    /// [`Exceeded`] names the first cap that does not cover it. Nothing was reserved then.
    pub fn reserve(&mut self, context: &CallContext, worst: Amount) -> Result<Reservation, Box<Exceeded>> {
        let mut keys = Vec::with_capacity(self.caps.len());
        for (scope, caps) in &self.caps {
            let Some(key) = scope.account(context) else { continue };
            let account = self.accounts.get(&key).copied().unwrap_or_default();
            if let Some(limit) = account.spent.plus(account.reserved).plus(worst).above(caps) {
                return Err(Box::new(Exceeded { scope: scope.clone(), limit, caps: *caps, account, worst }));
            }
            keys.push(key);
        }
        for key in &keys {
            let account = self.accounts.entry(key.clone()).or_default();
            account.reserved = account.reserved.plus(worst);
        }
        Ok(Reservation { keys, worst })
    }

    /// Takes a reservation back and books what the call took.
    pub fn settle(&mut self, reservation: Reservation, took: Amount) {
        for key in reservation.keys {
            let account = self.accounts.entry(key).or_default();
            account.reserved = account.reserved.minus(reservation.worst);
            account.spent = account.spent.plus(took);
        }
    }

    /// Books what was spent before this ledger was made, such as by the same run in another process.
    pub fn book(&mut self, context: &CallContext, took: Amount) {
        for (scope, _) in &self.caps {
            if let Some(key) = scope.account(context) {
                let account = self.accounts.entry(key).or_default();
                account.spent = account.spent.plus(took);
            }
        }
    }

    /// Keeps to the caps of a scope no longer.
    pub fn lift(&mut self, scope: &Scope) {
        self.caps.retain(|(capped, _)| capped != scope);
    }

    /// The account of a scope that a call belongs to; empty if nothing was booked.
    #[must_use]
    pub fn account(&self, scope: &Scope, context: &CallContext) -> Account {
        scope.account(context).and_then(|key| self.accounts.get(&key)).copied().unwrap_or_default()
    }

    /// The caps it keeps to.
    #[must_use]
    pub fn caps(&self) -> &[(Scope, Caps)] {
        &self.caps
    }

    /// Forgets the accounts of a run and its tasks, once it has ended.
    pub fn forget_run(&mut self, run: &bellwether_core::RunId) {
        let of_task = format!("{run}/");
        self.accounts.retain(|Key(scope, name), _| match scope {
            Scope::EachRun => **name != *run.as_str(),
            Scope::EachTask => !name.starts_with(&of_task),
            _ => true,
        });
    }
}
