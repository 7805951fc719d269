//! What a team file says, as it says it.

mod values;

use bellwether_provider::ChargeRule;
use bellwether_team::OnExhausted;
use toml::Spanned;

use crate::routing::RawRouting;

pub(crate) use values::{Count, RawPrompt, Share, Span};
use values::{Dollars, Ordered, RawJoin, Reserve, Temperature};

/// The whole file.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawFile {
    pub(crate) schema: u32,
    pub(crate) team: RawTeam,
    pub(crate) provider: Ordered<RawProvider>,
    pub(crate) models: Ordered<RawModel>,
    pub(crate) roles: Ordered<RawRole>,
    #[serde(default)]
    pub(crate) plan: RawPlan,
    #[serde(default)]
    pub(crate) workflow: RawWorkflow,
    #[serde(default)]
    pub(crate) review: RawReview,
    #[serde(default)]
    pub(crate) approval: RawApproval,
    #[serde(default)]
    pub(crate) budget: RawBudget,
    #[serde(default)]
    pub(crate) journal: RawJournal,
    #[serde(default)]
    pub(crate) queue: RawQueue,
    #[serde(default)]
    pub(crate) routing: Option<RawRouting>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTeam {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) class: RawClass,
    #[serde(default)]
    pub(crate) tenant: Option<String>,
    #[serde(default)]
    pub(crate) weight: Option<Count>,
}

#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawClass {
    Interactive,
    #[default]
    Standard,
    Batch,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawProvider {
    #[serde(default)]
    pub(crate) kind: Option<Spanned<String>>,
    #[serde(default)]
    pub(crate) base_url: Option<Spanned<String>>,
    #[serde(default)]
    pub(crate) api_key_env: Option<Spanned<String>>,
    #[serde(default)]
    pub(crate) timeouts: RawTimeouts,
    #[serde(default)]
    pub(crate) concurrency: RawConcurrency,
    #[serde(default)]
    pub(crate) rpm: Option<Count>,
    #[serde(default)]
    pub(crate) tpm: Option<Count>,
    /// What second tries beside slow calls may cost at most, in percent of the tokens.
    #[serde(default)]
    pub(crate) hedge_percent: Option<Count>,
    #[serde(default)]
    pub(crate) organisation: Option<String>,
    #[serde(default)]
    pub(crate) allow_insecure: bool,
    #[serde(default)]
    pub(crate) max_tokens_field: RawMaxTokensField,
    #[serde(default = "yes")]
    pub(crate) stream_usage: bool,
}

const fn yes() -> bool {
    true
}

#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawMaxTokensField {
    #[default]
    MaxTokens,
    MaxCompletionTokens,
}

#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawTimeouts {
    pub(crate) connect: Option<Span>,
    pub(crate) first_token: Option<Span>,
    pub(crate) idle: Option<Span>,
    pub(crate) total: Option<Span>,
}

#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawConcurrency {
    pub(crate) max: Option<Count>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawModel {
    pub(crate) provider: Spanned<String>,
    pub(crate) id: Spanned<String>,
    /// Models to ask, in order, while this one's key cannot.
    #[serde(default)]
    pub(crate) fallback: Vec<Spanned<String>>,
    #[serde(default)]
    pub(crate) usd_per_mtok: Option<RawPrice>,
    #[serde(default)]
    pub(crate) context: Option<Count>,
    #[serde(default)]
    pub(crate) family: Option<String>,
    #[serde(default)]
    pub(crate) max_output: Option<Count>,
    #[serde(default)]
    pub(crate) max_tokens_field: Option<RawMaxTokensField>,
    #[serde(default)]
    pub(crate) charge: Option<ChargeRule>,
}

#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawPrice {
    #[serde(rename = "in")]
    pub(crate) input: Dollars,
    pub(crate) out: Dollars,
    #[serde(default)]
    pub(crate) cached: Option<Dollars>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRole {
    pub(crate) kind: RawKind,
    #[serde(default)]
    pub(crate) prompt: Option<Spanned<RawPrompt>>,
    pub(crate) tiers: Vec<Spanned<String>>,
    #[serde(default)]
    pub(crate) instances: RawInstances,
    #[serde(default)]
    pub(crate) temperature: Option<Temperature>,
    #[serde(default)]
    pub(crate) max_output_tokens: Option<Count>,
    #[serde(default)]
    pub(crate) timeout: Option<Span>,
    #[serde(default)]
    pub(crate) history: RawHistory,
    #[serde(default)]
    pub(crate) may_spawn: bool,
    #[serde(default)]
    pub(crate) may_ask: bool,
    #[serde(default)]
    pub(crate) budget: RawCaps,
}

#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawKind {
    Planner,
    Reviewer,
    Synthesizer,
    Worker,
}

#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawInstances {
    pub(crate) max: Option<Count>,
}

#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawHistory {
    pub(crate) window_tokens: Option<Count>,
}

#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawPlan {
    pub(crate) max_tasks: Option<Count>,
    pub(crate) max_depth: Option<Count>,
    pub(crate) max_spawn: Option<u32>,
    pub(crate) max_spawn_depth: Option<u32>,
    pub(crate) join: Option<RawJoin>,
    pub(crate) repair_attempts: Option<u32>,
    pub(crate) right_size: Option<bool>,
    pub(crate) on_invalid: RawOnInvalid,
}

#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawOnInvalid {
    #[default]
    Fallback,
    Fail,
}

/// What waits for somebody to agree.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawApproval {
    pub(crate) plan: bool,
}

#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawOnTaskFailure {
    #[default]
    ContinueIndependent,
    FailFast,
    Quorum,
}

#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawWorkflow {
    pub(crate) max_parallel: Option<Count>,
    pub(crate) max_questions: Option<u32>,
    pub(crate) max_attempts: Option<Count>,
    pub(crate) pipelined: Option<bool>,
    pub(crate) on_task_failure: RawOnTaskFailure,
    pub(crate) quorum: Option<f64>,
    pub(crate) task_deadline: Option<Span>,
    pub(crate) stall_after: Option<Span>,
    pub(crate) transport_attempts: Option<Count>,
    pub(crate) backoff: RawBackoff,
    pub(crate) grace: Option<Span>,
}

#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawBackoff {
    pub(crate) base: Option<Span>,
    pub(crate) cap: Option<Span>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawReview {
    pub(crate) threshold: Option<f64>,
    pub(crate) max_rounds: Option<u32>,
    pub(crate) max_escalations: Option<u32>,
    pub(crate) freeze_scope: Option<bool>,
    pub(crate) may_skip: Option<bool>,
    pub(crate) min_gain: Option<f64>,
    pub(crate) on_exhausted: OnExhausted,
    pub(crate) checks: Vec<RawCheck>,
}

/// `[[review.checks]]`: which of the keys count depends on the kind.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawCheck {
    pub(crate) id: Spanned<String>,
    pub(crate) kind: RawCheckKind,
    #[serde(default = "yes")]
    pub(crate) must: bool,
    #[serde(default)]
    pub(crate) roles: Vec<Spanned<String>>,
    #[serde(default)]
    pub(crate) file: Option<Spanned<String>>,
    #[serde(default)]
    pub(crate) pattern: Option<Spanned<String>>,
    #[serde(default)]
    pub(crate) expect: RawExpect,
    #[serde(default)]
    pub(crate) command: Vec<String>,
    #[serde(default)]
    pub(crate) timeout: Option<Span>,
}

#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawCheckKind {
    Command,
    JsonSchema,
    Regex,
}

#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawExpect {
    Absent,
    #[default]
    Match,
}

#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawBudget {
    pub(crate) calls: Option<u64>,
    pub(crate) deadline: Option<Span>,
    pub(crate) reserve_for_synthesis: Option<Reserve>,
    pub(crate) task: RawCaps,
    pub(crate) tenant_day: RawCaps,
    pub(crate) time: Option<Span>,
    pub(crate) tokens: Option<u64>,
    pub(crate) usd: Option<Dollars>,
}

/// The most that calls may take together.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawCaps {
    pub(crate) calls: Option<u64>,
    pub(crate) time: Option<Span>,
    pub(crate) tokens: Option<u64>,
    pub(crate) usd: Option<Dollars>,
}

#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawQueue {
    pub(crate) capacity: Option<Count>,
    pub(crate) floors: Option<RawFloors>,
}

/// The shares of all work, from 0 to 1, that a class is sure of while it has something waiting.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawFloors {
    pub(crate) standard: Share,
    pub(crate) batch: Share,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawJournal {
    pub(crate) dir: Option<String>,
    /// After how many entries of a run a snapshot of it is left.
    pub(crate) snapshot_every: Option<Count>,
}
