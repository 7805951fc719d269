//! Spans on their way to an OpenTelemetry collector, as protobuf over plain HTTP.

use std::env::var_os;
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;
use tracing_subscriber::layer::Layer;

use super::Kept;
use crate::exit::Failure;
use crate::terminal::note;

/// How long a collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// The names by which the specification lets a collector be chosen.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// Spans that are collected and sent now and then.
#[derive(Debug)]
pub(crate) struct Sent(SdkTracerProvider);

/// Begins to send spans, if the environment says where to.
pub(super) fn begin() -> Result<Option<(Sent, Kept)>, Failure> {
    let Some(place) = ENDPOINTS.iter().find(|name| var_os(name).is_some_and(|value| !value.is_empty())) else {
        return Ok(None);
    };
    let client = HyperClient::with_default_connector(PATIENCE, None);
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(PATIENCE)
        .with_http_client(OnRuntime { client, runtime: Handle::current() })
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
    Ok(Some((Sent(provider), layer)))
}

impl Sent {
    /// Sends what is left.
    pub(super) async fn end(self) {
        let ended = tokio::task::spawn_blocking(move || self.0.shutdown()).await;
        if let Ok(Err(error)) = ended {
            note(&format!("warning: not every span was sent: {error}"));
        }
    }
}

/// The exporter has a thread of its own, and sockets need the runtime.
#[derive(Debug)]
struct OnRuntime {
    client: HyperClient,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for OnRuntime {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        self.runtime.spawn(async move { client.send_bytes(request).await }).await?
    }
}
