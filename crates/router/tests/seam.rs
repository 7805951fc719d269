//! Every router keeps the promises of the seam.

use bellwether_router::{FirstTier, conformance};

#[test]
fn the_first_tier_is_a_router() {
    conformance::router(&FirstTier);
}
