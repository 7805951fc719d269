//! One agent: takes an assignment from its role's mailbox, asks its model, makes something of the answer.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bellwether_core::{
    CallContext, ChatRequest, ChatResponse, Class, ErrorKind, Fact, FinishReason, Flow, Observer, ProviderError, RunId,
};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::mailbox::Mailbox;
use crate::message::{Address, Assignment, Body, Envelope, Finished, Job, JobError, Product, Spent};
use crate::plan::{Plan, PlanRules};
use crate::question::DeadLetter;
use crate::role::{Role, Tier};
use crate::verdict::Verdict;

/// What all agents of a run share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) run: RunId,
    pub(crate) team: Arc<str>,
    pub(crate) tenant: Arc<str>,
    pub(crate) class: Class,
    pub(crate) weight: NonZeroU32,
    pub(crate) deadline: Option<Instant>,
    pub(crate) request: Arc<str>,
    pub(crate) plan_rules: PlanRules,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) runtime: Mailbox,
    pub(crate) sent: AtomicU64,
    /// How many messages the runtime sent.
    pub(crate) own: AtomicU64,
    /// Messages that reached nobody and are not remembered yet.
    pub(crate) dead: Mutex<Vec<DeadLetter>>,
}

impl Shared {
    /// Wraps a message that is about to be sent, and tells everybody who watches. `sent` counts what its sender sent.
    pub(crate) fn envelope(
        &self,
        cause: Option<u64>,
        (from, sent): (Address, &AtomicU64),
        to: Address,
        body: Body,
    ) -> Envelope {
        let seq = sent.fetch_add(1, Ordering::Relaxed) + 1;
        let id = self.sent.fetch_add(1, Ordering::Relaxed) + 1;
        self.observer.observe(&Fact::MessageSent {
            run: self.run.clone(),
            from: from.to_string().into(),
            to: to.to_string().into(),
            what: body.as_str(),
        });
        Envelope { id, seq, run: self.run.clone(), cause, from, to, body }
    }

    /// Keeps a message that nobody will read, to be remembered as dead.
    pub(crate) fn bury(&self, envelope: &Envelope) {
        let letter = DeadLetter {
            from: envelope.from.to_string(),
            to: envelope.to.to_string(),
            what: envelope.body.as_str().to_owned(),
            task: envelope.task().cloned(),
            reason: "the run ended before anybody read it".to_owned(),
        };
        self.dead.lock().unwrap_or_else(PoisonError::into_inner).push(letter);
    }
}

/// One agent of a role. It owns nothing that has to last.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    pub(crate) address: Address,
    pub(crate) role: Arc<Role>,
    pub(crate) inbox: Arc<Mailbox>,
    /// How many messages it sent.
    pub(crate) sent: Arc<AtomicU64>,
    pub(crate) shared: Arc<Shared>,
}

impl Agent {
    /// Works until its mailbox is closed.
    pub(crate) async fn live(self) {
        while let Some(envelope) = self.inbox.receive().await {
            let (Body::Assign(assignment)
            | Body::Question(assignment)
            | Body::Revise(assignment)
            | Body::ReviewRequest(assignment)) = envelope.body
            else {
                continue;
            };
            // In a box: agents idle by the hundred thousand, and an idle one holds no room for work.
            let body = Box::pin(self.serve(assignment)).await;
            let from = (self.address.clone(), &*self.sent);
            let reply = self.shared.envelope(Some(envelope.id), from, Address::Runtime, body);
            if let Err(reply) = Box::pin(self.shared.runtime.send(reply)).await {
                return self.shared.bury(&reply);
            }
        }
    }

    /// Does what it was asked for, unless it is called off.
    async fn serve(&self, assignment: Assignment) -> Body {
        let (job, called_off) = (assignment.job.clone(), assignment.called_off.clone());
        // In a task of its own, so that a provider that panics costs one job and not the run.
        let mut working = JoinSet::new();
        let agent = self.clone();
        working.spawn(async move { agent.perform(assignment).await });
        let finished = match called_off.run_until_cancelled(working.join_next()).await {
            Some(Some(Ok(finished))) => finished,
            Some(_) => Finished { job, result: Err(JobError::Panicked), spent: Spent { calls: 1, ..Spent::ZERO } },
            None => {
                working.shutdown().await;
                Finished {
                    job,
                    result: Err(JobError::CalledOff),
                    spent: Spent { calls: 1, unpriced: 1, ..Spent::ZERO },
                }
            }
        };
        let finished = Box::new(finished);
        match finished.job {
            Job::Answer { .. } => Body::Answer(finished),
            _ => Body::Finished(finished),
        }
    }

    /// Asks once and makes something of the answer.
    async fn perform(&self, assignment: Assignment) -> Finished {
        let began = Instant::now();
        let mut spent = Spent::ZERO;
        let result = match self.ask(&assignment, &mut spent).await {
            Ok(answer) => {
                self.make(&assignment, &answer).map_err(|problems| self.unusable(&assignment, answer, problems))
            }
            Err(error) => Err(error.into()),
        };
        spent.busy = began.elapsed();
        Finished { job: assignment.job, result, spent }
    }

    async fn ask(&self, assignment: &Assignment, spent: &mut Spent) -> Result<ChatResponse, ProviderError> {
        let tier = &self.role.tiers[assignment.tier];
        let request = ChatRequest {
            model: Arc::clone(&tier.model),
            messages: assignment.conversation.clone(),
            max_output_tokens: assignment.output_cap,
            temperature: self.role.temperature,
            ..ChatRequest::default()
        };
        spent.calls += 1;
        let answer = tier.provider.chat(request, self.context(assignment));
        let answer = within(assignment.deadline, answer).await;
        let answer = answer.map_err(|error| self.in_time(assignment, error));
        match &answer {
            Ok(response) => {
                spent.retries += response.head.retries;
                spent.usage += response.usage;
                spent.unpriced += u32::from(response.usage.cost.is_none());
            }
            Err(error) => {
                // What a budget refused was not sent.
                spent.calls -= u32::from(error.kind == ErrorKind::BudgetExceeded && error.details.retries == 0);
                spent.retries += error.details.retries;
                // It may be billed, and nobody knows how much.
                spent.unpriced += u32::from(error.details.may_have_executed);
            }
        }
        answer
    }

    /// Says whose deadline it was, if it was that of the task: whoever waits for an answer only knows a moment.
    fn in_time(&self, assignment: &Assignment, mut error: ProviderError) -> ProviderError {
        let first = self.shared.deadline.into_iter().chain(assignment.deadline).min();
        if error.kind == ErrorKind::DeadlineExceeded && assignment.deadline.is_some() && first == assignment.deadline {
            error.message = format!("the time of the task is over (task_deadline): {}", error.message);
        }
        error
    }

    fn context(&self, assignment: &Assignment) -> CallContext {
        let Assignment { job, attempt, deadline: own, .. } = assignment;
        let Shared { run, team, tenant, class, weight, deadline, .. } = &*self.shared;
        let task = job.task().map_or("run", |task| task.as_str());
        CallContext {
            weight: *weight,
            class: *class,
            deadline: (*deadline).into_iter().chain(*own).min().map(Instant::into_std),
            timeout: Some(self.role.timeout),
            run: Some(run.clone()),
            task: job.task().cloned(),
            agent: self.address.number(),
            phase: job.phase(),
            round: job.round(),
            attempt: 0,
            // The same step of a resumed run asks under the same key.
            idempotency_key: Some(format!("{run}-{task}-{}-{}-{attempt}", job.phase(), job.round()).into()),
            ..CallContext::new(Flow {
                tenant: Arc::clone(tenant),
                ..Flow::new(Arc::clone(team), run.as_str(), Arc::clone(&self.role.name))
            })
        }
    }

    /// An answer of no use, and what can be done about it.
    fn unusable(&self, assignment: &Assignment, answer: ChatResponse, problems: Vec<String>) -> JobError {
        let cut_off = answer.finish == FinishReason::Length && answer.refusal.is_none();
        let remedy = cut_off.then(|| self.longer_answers(assignment));
        // Who is to say it more briefly does not go on from there: to be shown how it began is enough.
        let answer = if cut_off { within_bytes(answer.text, MAX_CUT_OFF_BYTES) } else { beginning(answer.text) };
        JobError::Unusable { answer, problems, remedy }
    }

    /// How an answer to this job may become longer, or what is asked for shorter.
    fn longer_answers(&self, assignment: &Assignment) -> String {
        let Role { name, max_output_tokens, .. } = &*self.role;
        let Tier { model, max_output, .. } = &self.role.tiers[assignment.tier];
        let usual = self.role.output_cap(assignment.tier);
        let longer = if assignment.output_cap < usual {
            "the budget has made answers shorter: raise it".to_owned()
        } else if max_output.is_some() && usual == *max_output && *max_output_tokens != *max_output {
            format!("{model} gives no more: give role {name} a model that does")
        } else if usual.is_some() {
            format!("raise max_output_tokens of role {name}")
        } else {
            format!("set max_output_tokens of role {name}: without it the provider decides")
        };
        if assignment.job == Job::Plan { format!("{longer}, or lower plan.max_tasks") } else { longer }
    }

    /// Makes of an answer what the job is for, or says what is wrong with it.
    fn make(&self, assignment: &Assignment, answer: &ChatResponse) -> Result<Product, Vec<String>> {
        if let Some(refusal) = &answer.refusal {
            return Err(vec![format!("the model refused: {refusal}")]);
        }
        match answer.finish {
            FinishReason::Length => {
                return Err(vec![format!(
                    "the answer was cut off{}; answer more briefly",
                    assignment.output_cap.map_or(String::new(), |cap| format!(" after {cap} tokens"))
                )]);
            }
            FinishReason::ContentFilter => return Err(vec!["the provider's filter withheld the answer".to_owned()]),
            _ if answer.text.trim().is_empty() => return Err(vec!["the answer is empty".to_owned()]),
            _ => {}
        }
        match assignment.job {
            Job::Answer { .. } => Ok(Product::Answer(answer.text.clone())),
            Job::Check { .. } => Err(vec!["a check is not for an agent".to_owned()]),
            Job::Plan => Plan::read(&answer.text, &self.shared.request, &self.shared.plan_rules).map(Product::Plan),
            Job::Audit { .. } | Job::Review { .. } => {
                Verdict::read(&answer.text).map(Product::Verdict).map_err(|problem| vec![problem])
            }
            Job::Combine => Ok(Product::Whole(answer.text.clone())),
            Job::Digest { .. } => Ok(Product::Digest(answer.text.clone())),
            Job::Work { .. } => Ok(Product::Work(answer.text.clone())),
        }
    }
}

/// What is asked for, unless the time for it comes first.
async fn within(
    deadline: Option<Instant>,
    answer: impl Future<Output = Result<ChatResponse, ProviderError>>,
) -> Result<ChatResponse, ProviderError> {
    let Some(deadline) = deadline else { return answer.await };
    tokio::time::timeout_at(deadline, answer).await.unwrap_or_else(|_| {
        let mut error = ProviderError::new(ErrorKind::DeadlineExceeded, "nobody answered in time");
        error.details.may_have_executed = true;
        Err(error)
    })
}

/// The most that is kept of an answer that could not be used: it goes back to the model, which is paid for.
const MAX_UNUSABLE_BYTES: usize = 16 * 1024;
/// The same of one that was too long already.
const MAX_CUT_OFF_BYTES: usize = 1024;

/// What is kept of an answer that could not be used.
pub(crate) fn beginning(answer: String) -> String {
    within_bytes(answer, MAX_UNUSABLE_BYTES)
}

fn within_bytes(mut answer: String, most: usize) -> String {
    if answer.len() > most {
        answer.truncate(answer.floor_char_boundary(most));
        answer.push_str("\n… (the rest was left out)");
    }
    answer
}
