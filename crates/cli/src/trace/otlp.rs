//! Spans on their way to an OpenTelemetry collector, as protobuf over HTTP.

use std::env::var_os;
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bellwether_provider::{RootCertificate, connections};
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;
use tracing_subscriber::layer::Layer;

use super::Kept;
use crate::exit::Failure;
use crate::terminal::{note, plain};

/// How long a collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// The names by which the specification lets a collector be chosen.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// The names by which a file with the authority of its certificate is chosen.
const CERTIFICATES: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"];

/// Spans that are collected and sent now and then.
#[derive(Debug)]
pub(crate) struct Sent {
    provider: SdkTracerProvider,
    failed: Arc<OnceLock<String>>,
}

/// Begins to send spans, if the environment says where to.
pub(super) fn begin() -> Result<Option<(Sent, Kept)>, Failure> {
    let Some(place) = ENDPOINTS.iter().find(|name| var_os(name).is_some_and(|value| !value.is_empty())) else {
        return Ok(None);
    };
    let client =
        Arc::new(connections(&roots()?, PATIENCE).map_err(|error| Failure::usage(format!("{place}: {error}")))?);
    let failed = Arc::default();
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(PATIENCE)
        .with_http_client(OnRuntime { client, runtime: Handle::current(), failed: Arc::clone(&failed) })
        .build()
        .map_err(|error| {
            Failure::usage(format!("{place}: {error}")).remedy("an address such as http://localhost:4318")
        })?;
    let resource = Resource::builder().with_service_name("bellwether").build();
    let provider = SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build();
    let layer = tracing_opentelemetry::layer()
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_tracer(provider.tracer("bellwether"))
        .boxed();
    Ok(Some((Sent { provider, failed }, layer)))
}

/// The certificates that the environment trusts for the collector, beside the system's.
fn roots() -> Result<Vec<RootCertificate>, Failure> {
    let chosen = CERTIFICATES.iter().find_map(|name| Some((name, var_os(name).filter(|path| !path.is_empty())?)));
    let Some((name, path)) = chosen.map(|(name, path)| (name, PathBuf::from(path))) else { return Ok(Vec::new()) };
    let pem =
        fs::read(&path).map_err(|error| Failure::io(format!("{name}: {} cannot be read", path.display()), &error))?;
    RootCertificate::from_pem(&pem).map_err(|_| {
        Failure::usage(format!("{name}: {} holds no certificate in PEM", path.display()))
            .remedy("the certificate of the authority that signed the collector's, between its BEGIN and END lines")
    })
}

impl Sent {
    /// Sends what is left.
    pub(super) async fn end(self) {
        let ended = tokio::task::spawn_blocking(move || self.provider.shutdown()).await;
        // The exporter itself tells nobody why a collector got nothing.
        let failed = self.failed.get().cloned();
        if let Some(why) = failed.or_else(|| Some(ended.ok()?.err()?.to_string())) {
            note(&format!("warning: not every span was sent: {why}"));
        }
    }
}

/// The exporter has a thread of its own, and sockets need the runtime.
#[derive(Debug)]
struct OnRuntime {
    client: Arc<dyn HttpClient>,
    runtime: Handle,
    /// The first failure.
    failed: Arc<OnceLock<String>>,
}

#[async_trait]
impl HttpClient for OnRuntime {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = Arc::clone(&self.client);
        let answer = self.runtime.spawn(async move { client.send_bytes(request).await }).await?;
        let failed = match &answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("the collector answers {}", answer.status())),
            Err(error) => Some(innermost(error.as_ref())),
        };
        if let Some(why) = failed {
            // The first one says most.
            let _ = self.failed.set(why);
        }
        answer
    }
}

/// The cause that says something, without the address before it.
fn innermost(mut error: &(dyn Error + 'static)) -> String {
    while let Some(source) = error.source() {
        error = source;
    }
    plain(&error.to_string(), false)
}
