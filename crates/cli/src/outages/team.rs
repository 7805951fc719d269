//! A team of 41 calls whose provider turns everybody away in the middle: the run loses time, and nothing else.

use std::num::NonZeroUsize;

use bellwether_core::RunOutcome;
use bellwether_team::{Role, Settings, Team, Tier};

use super::*;

/// Calls in flight at once: what a limiter may have sent before the first refusal is heard.
const PLACES: usize = 8;
const BEGINS: f64 = 0.3;
/// How many seconds after the outage the team is done at the latest: the longest pause that nobody asked for is 15 s and up to a
/// tenth of it, by lot, and then there is a second of work.
const LATEST: f64 = 15.0 * 1.1 + 1.0;

/// Answers as a team needs it, except in its outage.
#[derive(Debug)]
struct Turncoat {
    inner: Provider,
    /// What the refusals ask for.
    asks: Asks,
}

#[derive(Clone, Copy, Debug)]
enum Asks {
    /// To stay away until the outage is over.
    ForTheRest,
    /// To stay away for two seconds, each time.
    ForTwoSeconds,
    /// For nothing.
    Nothing,
}

#[async_trait]
impl ChatProvider for Turncoat {
    fn name(&self) -> &'static str {
        "turncoat"
    }

    async fn stream(&self, request: ChatRequest, context: CallContext) -> Result<ChatStream, ProviderError> {
        let phase = context.phase;
        let Err(refused) = self.inner.stream(request, context).await else {
            return Ok(ChatStream::ready(ChatResponse::text(match phase {
                "plan" => (1..=20).map(|n| format!("{n}. step {n}\n")).collect(),
                "review" => r#"{"decision": "accept", "score": 0.9}"#.to_owned(),
                _ => "done".to_owned(),
            })));
        };
        // It may have ended while the refusal was on its way.
        let rest = Duration::from_secs_f64((self.inner.outage.1 - self.inner.now()).max(0.0));
        Err(match self.asks {
            Asks::ForTheRest => refused.with_retry(Retry::After(rest)),
            Asks::ForTwoSeconds => refused.with_retry(Retry::After(Duration::from_secs(2))),
            Asks::Nothing => refused,
        })
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        Ok(Vec::new())
    }
}

fn team(dispatch: &Arc<Dispatch>) -> Team {
    let tier = Tier::new(Arc::<Dispatch>::clone(dispatch) as Arc<dyn ChatProvider>, "model");
    let max_parallel = NonZeroUsize::new(20).expect("20 is not zero");
    Team::builder("outage")
        .role(Role::planner("lead", "You plan.", tier.clone()))
        .role(Role::worker("coder", "You code.", tier.clone()))
        .role(Role::reviewer("critic", "You review.", tier))
        .settings(Settings { max_parallel, ..Settings::default() })
        .build()
        .expect("the team makes sense")
}

#[tokio::test(start_paused = true)]
async fn a_team_of_41_calls_outlives_an_outage_and_wastes_few_of_them() {
    for lasting in [10.0, 60.0] {
        for asks in [Asks::ForTheRest, Asks::ForTwoSeconds, Asks::Nothing] {
            let ends = BEGINS + lasting;
            let refused = ProviderError::new(ErrorKind::RateLimited, "too many requests");
            let provider = Arc::new(Turncoat { inner: Provider::new(BEGINS, ends, refused), asks });
            let facts = Arc::new(Recorder::default());
            let dispatch = dispatch(Arc::<Turncoat>::clone(&provider), &facts, PLACES);
            let report = team(&dispatch).run("build it").await;
            dispatch.shutdown().await;

            let answered = facts.count(|fact| matches!(fact, Fact::CallCompleted { .. }));
            assert_eq!((answered, report.outcome), (41, RunOutcome::Succeeded), "{lasting} s, {asks:?}");
            let wasted = provider.inner.sent_within(BEGINS, ends);
            // Whoever asks for two seconds, and again for two, is asked as often by one call.
            let most = if matches!(asks, Asks::ForTwoSeconds) { (2 * PLACES).max(30) } else { 2 * PLACES };
            assert!(wasted > 0 && wasted <= most, "{wasted} calls were sent in vain: {lasting} s, {asks:?}");
            assert!(provider.inner.now() < ends + LATEST, "{lasting} s, {asks:?}: it ends at {}", provider.inner.now());
        }
    }
}
