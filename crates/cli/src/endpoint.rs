//! One endpoint behind one queue and one limit, as `batch` and `load` ask for it.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::Observer;
use bellwether_dispatch::{Dispatch, HedgePolicy, RetryPolicy};
use bellwether_provider::{ApiKey, ChargeRule, ConfigError, MaxTokensField, OpenAiCompatible, Preset, ProviderConfig};

use crate::args::{Endpoint, LONGEST};
use crate::estimates::Estimates;
use crate::exit::Failure;
use crate::guard;
use crate::quota::{self, Told};
use crate::team_file::raw::RawQueue;
use crate::terminal::note;

/// How the endpoint is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    /// For a stream, so that the first token is seen and silence in the middle noticed.
    Streaming,
    /// For the whole answer at once, which costs less on both sides; the cap on output has this name.
    Whole(MaxTokensField),
}

/// Whoever asks for whole answers has time: calls that are due within this time of each other are sent together, for a
/// program that has to wake up for each of them pays for that more than for the call. It is far shorter than what fills a
/// burst, so that nothing is lost. Only under a limit that was told: one that is found by refusals would be refused more.
const STRIDE: Duration = Duration::from_millis(50);

/// What has all the time that nobody limits waits as long as a provider asks it to, and is tried as often as a team's calls.
/// A pause of hours used to make failures of those lines that happened to be in flight.
const PERSISTENT: RetryPolicy = RetryPolicy {
    max_attempts: 6,
    base: Duration::from_millis(500),
    cap: Duration::from_secs(30),
    max_throttled_wait: LONGEST,
};

/// Puts the parts together. Needs a runtime.
pub(crate) fn connect(endpoint: &Endpoint, way: Way, observer: &Arc<dyn Observer>) -> Result<Arc<Dispatch>, Failure> {
    let mut config = ProviderConfig::preset(Preset::default());
    if let Some(base_url) = &endpoint.base_url {
        config.base_url.clone_from(base_url);
    }
    config.allow_insecure = endpoint.allow_insecure;
    let in_flight = places(endpoint.max_in_flight);
    config.pool_size = in_flight.get();
    if let Way::Whole(cap) = way {
        config.max_tokens = cap;
    }
    if let Some(variable) = key_env(endpoint.api_key_env.as_deref(), &config) {
        match ApiKey::from_env(variable) {
            Ok(key) => config.key = Some(key),
            // Another endpoint may do without; HolySheep does not.
            Err(ConfigError::MissingKey { .. }) if endpoint.base_url.is_some() => {}
            Err(error) => {
                return Err(Failure::usage(error).remedy(format!("export {variable}=..., or --base-url")));
            }
        }
    }
    let is_open = !endpoint.allow_insecure && config.base_url.starts_with("http://");
    let provider = OpenAiCompatible::new(config).map_err(|error| match Failure::usage(error) {
        failure if is_open => failure.remedy("https://, or --allow-insecure if nobody else is on the way"),
        failure => failure,
    })?;
    let is_whole = way != Way::Streaming;
    let in_groups = is_whole && (endpoint.rpm.is_some() || endpoint.tpm.is_some());
    let told = Told {
        requests: endpoint.rpm,
        tokens: endpoint.tpm,
        concurrency: Some(in_flight),
        charge: ChargeRule::default(),
        stride: if in_groups { STRIDE } else { Duration::ZERO },
    };
    let mut dispatch = Dispatch::builder(Arc::new(provider));
    if let Some(percent) = endpoint.hedge {
        dispatch = dispatch.hedge(HedgePolicy { percent, ..HedgePolicy::default() });
    }
    if is_whole {
        dispatch = dispatch.unary().retry(PERSISTENT);
    }
    let dispatch = dispatch
        .queue_with(|observer| quota::queue(&RawQueue::default(), observer))
        .guard(guard::guard("endpoint"))
        .limiter(quota::limiter("endpoint", told, observer))
        .estimator(Arc::new(Estimates::default()))
        .observer(Arc::clone(observer))
        .build();
    Ok(Arc::new(dispatch))
}

/// As many calls at once as connections can be open. More of them used to fail by the hundreds, as if nobody were there.
fn places(wanted: NonZeroUsize) -> NonZeroUsize {
    let places = connections(wanted).map_or(wanted, |most| wanted.min(most));
    // Nobody asks for all of the numbers there are and wants to hear that it is fewer.
    if places < wanted && wanted.get() <= quota::CAPACITY {
        note(&format!("no more than {places} calls at once: no more connections may be open here (ulimit -n)"));
    }
    places
}

/// How many connections may be open, once the system allows as many as it will.
#[cfg(unix)]
fn connections(wanted: NonZeroUsize) -> Option<NonZeroUsize> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let needed = u64::try_from(wanted.get().min(quota::CAPACITY)).ok()?.saturating_add(OTHER_FILES);
    let raised = needed.min(hard).max(soft);
    let open = if setrlimit(Resource::RLIMIT_NOFILE, raised, hard).is_ok() { raised } else { soft };
    let most = usize::try_from(open.saturating_sub(OTHER_FILES)).ok()?;
    Some(NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN))
}

#[cfg(not(unix))]
const fn connections(_: NonZeroUsize) -> Option<NonZeroUsize> {
    None
}

/// Files that are no connections in use: the program's own, and connections that are just being closed or made anew.
#[cfg(unix)]
const OTHER_FILES: u64 = 32;

/// The variable whose key is sent. HolySheep's own travels nowhere else unless somebody names it.
fn key_env<'a>(named: Option<&'a str>, config: &ProviderConfig) -> Option<&'a str> {
    named.or_else(|| Preset::default().key_env().filter(|_| config.asks(Preset::default())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_one_provider_is_sent_to_no_other_unless_it_is_named() {
        let sent = |base_url: &str, named: Option<&'static str>| {
            let base_url = base_url.to_owned();
            key_env(named, &ProviderConfig { base_url, allow_insecure: true, ..ProviderConfig::default() })
        };
        let own = Some("HOLYSHEEP_API_KEY");
        assert_eq!(sent("https://api.holysheep.ai/v1", None), own);
        let others =
            ["http://api.holysheep.ai/v1", "https://api.holysheep.ai.example.com/v1", "http://127.0.0.1:8089/v1"];
        for other in others {
            assert_eq!((sent(other, None), sent(other, own)), (None, own), "{other}");
        }
    }
}
