//! What calls reserve of a quota: what the limiter's estimator learns, and no less than a provider may assume.

use bellwether_core::{ChatRequest, Demand, Usage};
use bellwether_dispatch::demand;
use bellwether_limiter::Estimator;

/// What calls took by their usage, but no less than is reckoned without it: many providers count a call by its
/// characters and by a cap on its output until they have answered it, and what is too much comes back then.
#[derive(Debug, Default)]
pub(crate) struct Estimates(Estimator);

impl bellwether_dispatch::Estimator for Estimates {
    fn demand(&self, request: &ChatRequest, role: &str) -> Demand {
        let (learnt, reckoned) = (self.0.demand(request, role), demand(request));
        Demand {
            input_tokens: learnt.input_tokens.max(reckoned.input_tokens),
            output_tokens: learnt.output_tokens.max(reckoned.output_tokens),
            ..reckoned
        }
    }

    fn learn(&self, request: &ChatRequest, role: &str, usage: &Usage) {
        self.0.learn(request, role, usage);
    }
}

#[cfg(test)]
mod tests {
    use bellwether_core::Message;
    use bellwether_dispatch::Estimator as _;

    use super::*;

    fn took(input: u64, output: u64) -> Usage {
        Usage { input_tokens: Some(input), output_tokens: Some(output), ..Usage::default() }
    }

    #[test]
    fn calls_that_take_more_than_is_reckoned_reserve_more_and_those_that_take_less_no_less() {
        let request = ChatRequest::new("m", vec![Message::user("羊".repeat(4_000))]);
        let (estimates, reckoned) = (Estimates::default(), demand(&request));
        assert_eq!(estimates.demand(&request, "coder"), reckoned);
        for _ in 0..60 {
            estimates.learn(&request, "coder", &took(50, 10));
        }
        assert_eq!(estimates.demand(&request, "coder"), reckoned, "little is no reason to come too close to a limit");
        for _ in 0..600 {
            estimates.learn(&request, "coder", &took(4_000, 3_000));
        }
        let Demand { requests, input_tokens, output_tokens } = estimates.demand(&request, "coder");
        assert!(requests == 1 && (3_990..=4_010).contains(&input_tokens), "a token for each character: {input_tokens}");
        assert!((3_000..=3_300).contains(&output_tokens), "{output_tokens}");
    }
}
