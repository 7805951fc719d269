//! Says what is wrong with a provider's settings, and how to mend it.

use std::fmt;
use std::time::{Duration, SystemTime};

use bellwether_core::{CallContext, ChatProvider, ChatRequest, ErrorKind, FinishReason, Message, ProviderError, Retry};
use tokio::time::Instant;

use crate::client::OpenAiCompatible;
use crate::clock;
use crate::config::ProviderConfig;
use crate::preset::Preset;

/// What [`doctor`] found, in the order in which it looked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diagnosis {
    /// The provider's name.
    pub provider: String,
    /// The model that was asked for.
    pub model: String,
    /// One finding for each check.
    pub findings: Vec<Finding>,
}

/// What one check found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// What was looked at.
    pub check: Check,
    /// How it is.
    pub state: Health,
    /// What was found, for people. Never a secret.
    pub says: String,
    /// What to do about it, if there is something to do.
    pub remedy: Option<String>,
    /// The kind of the failure, if a call would fail like that.
    pub kind: Option<ErrorKind>,
}

/// What is looked at.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Check {
    /// The base URL and every other setting.
    Settings,
    /// The key, as far as it can be judged without sending it.
    Key,
    /// The list of models: the endpoint is there, takes the key and has the model.
    Models,
    /// This machine's clock against the provider's.
    Clock,
    /// One tiny call.
    Call,
    /// Whether a call's cost can be told.
    Price,
}

/// How something is, the best first.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Health {
    /// It is as it should be.
    Fine,
    /// It was not looked at, because something before it is broken.
    Skipped,
    /// It may become a problem.
    Doubtful,
    /// It does not work.
    Broken,
}

/// Checks settings, key, base URL, models and clock, and makes one call of a few tokens, which may cost a little.
///
/// It never fails: what goes wrong is what it reports.
///
/// # Cancel safety
///
/// Nothing is lost; a call that was sent may be billed.
pub async fn doctor(config: ProviderConfig, model: &str) -> Diagnosis {
    let mut findings = Vec::new();
    let (provider, key) = (config.name.clone(), key(&config));
    match OpenAiCompatible::new(config) {
        Err(error) => {
            let text = error.to_string();
            let (says, remedy) = text.rsplit_once("; ").unwrap_or((&text, "correct this setting"));
            findings.push(broken(Check::Settings, says, remedy));
            findings.push(key);
            findings.extend([Check::Models, Check::Clock, Check::Call, Check::Price].map(skipped));
        }
        Ok(client) => {
            findings.push(fine(Check::Settings, format!("{} can be asked", client.address())));
            findings.push(key);
            asked(&client, model, &mut findings).await;
        }
    }
    findings.sort_by_key(|finding| finding.check);
    Diagnosis { provider, model: model.to_owned(), findings }
}

/// The checks that ask the provider.
async fn asked(client: &OpenAiCompatible, model: &str, findings: &mut Vec<Finding>) {
    let listed = client.listed().await;
    let now = clock::wall();
    findings.push(match &listed {
        Ok((models, _)) => on_offer(models, model),
        Err(error) if error.kind == ErrorKind::Auth && !client.has_key() => {
            let remedy = "no key was sent, and it wants one: name the variable that holds it";
            Finding { remedy: Some(remedy.to_owned()), ..failure(Check::Models, error) }
        }
        Err(error) => failure(Check::Models, error),
    });
    findings.push(listed.as_ref().map_or_else(|_| skipped(Check::Clock), |(_, date)| clock_of(*date, now)));
    if listed.is_err_and(|error| matches!(error.kind, ErrorKind::Auth | ErrorKind::Connect | ErrorKind::Timeout(_))) {
        findings.extend([Check::Call, Check::Price].map(skipped));
        return;
    }
    let mut request = ChatRequest::new(model, vec![Message::user("Reply with the word: bell")]);
    request.max_output_tokens = Some(TINY);
    let began = Instant::now();
    // As a stream, which is how runs ask: not every endpoint that answers takes to it.
    let answer = match client.stream(request, CallContext::default()).await {
        Ok(stream) => stream.fold().await,
        Err(error) => Err(error),
    };
    match answer {
        Err(error) => {
            findings.push(failure(Check::Call, &error));
            findings.push(skipped(Check::Price));
        }
        Ok(answer) => {
            let took = began.elapsed();
            let tokens = match answer.usage.is_absent() {
                true => "without a word about its tokens".to_owned(),
                false => format!("for {} tokens", answer.usage.tokens()),
            };
            let says = format!("answered in {took:.1?} {tokens}");
            findings.push(match (answer.text.trim().is_empty(), &answer.finish) {
                (true, FinishReason::Length) => Finding {
                    remedy: Some("it thinks before it speaks: give its roles a higher cap on output tokens".to_owned()),
                    state: Health::Doubtful,
                    ..fine(Check::Call, format!("{says}, but spent all of its {TINY} tokens before its first word"))
                },
                (true, finish) => broken(
                    Check::Call,
                    &format!("{says}, but said nothing ({finish:?})"),
                    "ask for another model, or ask the provider why this one is silent",
                ),
                (false, _) => fine(Check::Call, says),
            });
            let cost = client.cost(model, &answer.usage);
            findings.push(match cost.amount() {
                Some(_) => fine(Check::Price, format!("this call cost {cost}")),
                None => Finding {
                    // With a price it is the tokens that are missing, and no price helps.
                    remedy: Some(if client.has_price(model) { UNSAID.to_owned() } else { UNPRICED.to_owned() }),
                    state: Health::Doubtful,
                    ..fine(Check::Price, format!("the cost of a call is {cost}"))
                },
            });
        }
    }
}

fn key(config: &ProviderConfig) -> Finding {
    let preset = Preset::ALL.into_iter().find(|preset| preset.base_url() == config.base_url);
    let variable = preset.and_then(Preset::key_env).unwrap_or("the provider's variable");
    match (&config.key, preset) {
        (None, _) if config.is_loopback() => fine(Check::Key, "none, and this machine needs none".to_owned()),
        (None, Some(preset)) if preset.key_required() => {
            broken(Check::Key, "there is none", &format!("put the key into {variable}"))
        }
        // What is asked below shows whether it wants one.
        (None, _) => Finding {
            state: Health::Doubtful,
            remedy: Some("if this endpoint wants one, put it into an environment variable and name that".to_owned()),
            ..fine(Check::Key, "there is none".to_owned())
        },
        (Some(key), Some(Preset::HolySheep)) if !key.expose().starts_with("cr_") => Finding {
            remedy: Some(format!("look whether {variable} holds another provider's key")),
            state: Health::Doubtful,
            ..fine(Check::Key, "there is one, but HolySheep's keys begin with cr_".to_owned())
        },
        (Some(_), _) => fine(Check::Key, "there is one".to_owned()),
    }
}

fn on_offer(models: &[String], model: &str) -> Finding {
    if models.iter().any(|offered| offered == model) {
        return fine(Check::Models, format!("{} on offer, {model} among them", models.len()));
    }
    if models.is_empty() {
        return Finding {
            state: Health::Doubtful,
            remedy: Some("see whether the call below works; some endpoints list nothing".to_owned()),
            ..fine(Check::Models, "the list is empty".to_owned())
        };
    }
    let alike = |offered: &&String| offered.bytes().zip(model.bytes()).take_while(|(a, b)| a == b).count();
    let nearest = models.iter().max_by_key(alike).map(String::as_str).unwrap_or_default();
    let remedy = format!("write a name that is on offer, such as {nearest}");
    Finding {
        // Some relays serve more than they list.
        state: Health::Doubtful,
        ..broken(Check::Models, &format!("{} on offer, but not {model}", models.len()), &remedy)
    }
}

fn clock_of(date: Option<SystemTime>, now: SystemTime) -> Finding {
    let Some(date) = date else {
        return fine(Check::Clock, "the provider does not say what time it is".to_owned());
    };
    let (apart, which) = match now.duration_since(date) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    if apart <= CLOCKS_APART {
        return fine(Check::Clock, "agrees with the provider's".to_owned());
    }
    Finding {
        state: Health::Doubtful,
        ..broken(
            Check::Clock,
            &format!("this machine is {} s {which} the provider", apart.as_secs()),
            "set the clock by the network: pauses that are given as a date come out wrong, and certificates may fail",
        )
    }
}

fn failure(check: Check, error: &ProviderError) -> Finding {
    let finding = Finding { kind: Some(error.kind), ..broken(check, &error.message, remedy(error)) };
    match error.kind {
        // Whoever has too much to do has understood what was asked.
        ErrorKind::Overloaded | ErrorKind::RateLimited => Finding { state: Health::Doubtful, ..finding },
        _ => finding,
    }
}

/// What to do about a failure.
fn remedy(error: &ProviderError) -> &'static str {
    match error.kind {
        ErrorKind::Auth => {
            "copy the key again from the provider's console, without blanks, and check that it is this provider's"
        }
        ErrorKind::Connect => {
            "check the network, the host's name in the base url, the proxy variables, and the certificate"
        }
        ErrorKind::ContentFiltered => "the provider's filter rejects even a plain question: ask its support",
        ErrorKind::Decode | ErrorKind::Truncated => ELSE,
        // A page under a good status.
        ErrorKind::Upstream if error.retry == Retry::Never && error.details.status == Some(200) => ELSE,
        ErrorKind::InvalidRequest => {
            "check the model's name, and whether it wants max_completion_tokens, or no question for the usage of a stream"
        }
        ErrorKind::NotFound => "check the base url's path, usually /v1, and the model's name",
        ErrorKind::Overloaded | ErrorKind::RateLimited => {
            "the settings work; try again later, or with fewer calls at once"
        }
        ErrorKind::PermissionDenied => "let the key use this model in the provider's console",
        ErrorKind::QuotaExhausted => "top up the account, or raise its limit",
        ErrorKind::Timeout(_) => "check the network; if the model is merely slow, raise the timeouts",
        _ => "try again later; if it stays so, show the provider's support the request id",
    }
}

fn fine(check: Check, says: String) -> Finding {
    Finding { check, state: Health::Fine, says, remedy: None, kind: None }
}

fn broken(check: Check, says: &str, remedy: &str) -> Finding {
    Finding { check, state: Health::Broken, says: says.to_owned(), remedy: Some(remedy.to_owned()), kind: None }
}

fn skipped(check: Check) -> Finding {
    Finding { state: Health::Skipped, ..fine(check, "not tried, because of what is broken before it".to_owned()) }
}

// === impl Diagnosis ===

impl Diagnosis {
    /// How it is as a whole: as its worst finding.
    #[must_use]
    pub fn health(&self) -> Health {
        self.findings.iter().map(|finding| finding.state).max().unwrap_or(Health::Fine)
    }
}

impl fmt::Display for Diagnosis {
    /// One line for each finding, and one for each remedy.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, model {}", self.provider, self.model)?;
        for finding in &self.findings {
            writeln!(f, "  {:<9}{:<10}{}", finding.state.as_str(), finding.check.as_str(), finding.says)?;
            if let Some(remedy) = &finding.remedy {
                writeln!(f, "  {:19}-> {remedy}", "")?;
            }
        }
        Ok(())
    }
}

// === impl Check ===

impl Check {
    /// The check in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Key => "key",
            Self::Models => "models",
            Self::Clock => "clock",
            Self::Call => "call",
            Self::Price => "price",
        }
    }
}

// === impl Health ===

impl Health {
    /// The state in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Skipped => "skipped",
            Self::Doubtful => "doubtful",
            Self::Broken => "broken",
        }
    }
}

/// What to do about a call whose cost nobody can tell.
const UNPRICED: &str = "give the model a price in the team's file, so that budgets can count it";
const UNSAID: &str =
    "ask the provider to say its usage; until then budgets count each call as the most it could have cost";

/// What to do where an answer is none.
const ELSE: &str = "something else than a model's API answers there: check the base url's path, usually /v1";

/// How many tokens the tiny call may have.
const TINY: u32 = 16;

/// How far clocks may be apart. The provider's date has whole seconds, and its answer takes a while.
const CLOCKS_APART: Duration = Duration::from_secs(30);
