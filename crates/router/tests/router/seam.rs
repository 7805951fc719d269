//! Every router keeps the promises of the seam.

use bellwether_router::{Adaptive, FirstTier, Mode, Settings, conformance};

#[test]
fn every_router_keeps_the_promises_of_the_seam() {
    conformance::router(&FirstTier);
    for mode in Mode::ALL {
        conformance::router(&Adaptive::new(Settings { mode, ..Settings::default() }, 1));
        assert_eq!(mode.as_str().parse(), Ok(mode));
    }
    assert!("tompson".parse::<Mode>().unwrap_err().contains("known are fixed, complexity"));
}
