//! Logs, and traces to an OpenTelemetry collector where the environment names one.

use std::collections::HashMap;

use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use protocol::trace::{self, Recording};
use tracing::Span;
use tracing::level_filters::LevelFilter;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::{EnvFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::logs::{self, Format};

/// As OpenTelemetry has them. The exporter reads these and its other variables (headers, timeout) itself.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];

/// What is recorded and not sent yet goes out when this is closed.
pub struct Telemetry(Option<SdkTracerProvider>);

impl Telemetry {
    /// `is_kept`: there will be a queue, whose Redis gets what is logged.
    ///
    /// Before the first thread of the runtime: the exporter brings its own.
    pub fn start(format: Format, filter: EnvFilter, is_kept: bool) -> Self {
        let is_configured = ENDPOINTS.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
        let (provider, problem) = match is_configured.then(provider) {
            Some(Ok(provider)) => (Some(provider), None),
            Some(Err(problem)) => (None, Some(problem)),
            None => (None, None),
        };
        let spans = provider.as_ref().map(|provider| {
            trace::install(Recording { current, follow, link });
            let tracer: SdkTracer = provider.tracer("cockpit-sync");
            let only_spans = Targets::new().with_target(trace::TARGET, LevelFilter::INFO);
            tracing_opentelemetry::layer().with_tracer(tracer).with_filter(only_spans)
        });
        let (printed, kept) = (logs::printed(format, filter), is_kept.then(logs::kept));
        tracing_subscriber::registry().with(printed).with(kept).with(spans).init();
        if let Some(problem) = problem {
            tracing::warn!("no traces are sent: {problem}");
        }
        Self(provider)
    }

    /// Sends what is left.
    pub fn close(self) {
        if let Some(Err(error)) = self.0.map(|provider| provider.shutdown()) {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

fn provider() -> Result<SdkTracerProvider, String> {
    // The exporter's client needs one, as every other.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        let _already_there = rustls::crypto::ring::default_provider().install_default();
    }
    let exporter = SpanExporter::builder().with_http().with_protocol(Protocol::HttpJson).build();
    let exporter = exporter.map_err(|error| error.to_string())?;
    let resource = Resource::builder().with_service_name("cockpit-sync").build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

fn current() -> Option<String> {
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut carrier);
    carrier.remove(trace::HEADER)
}

fn context_of(traceparent: &str) -> Context {
    let carrier = HashMap::from([(trace::HEADER.to_owned(), traceparent.to_owned())]);
    TraceContextPropagator::new().extract(&carrier)
}

fn follow(span: &Span, traceparent: &str) {
    let parent = context_of(traceparent);
    if parent.span().span_context().is_valid() {
        // It fails where the span is not recorded; then there is nothing to follow.
        let _not_recorded = span.set_parent(parent);
    }
}

fn link(span: &Span, traceparent: &str) {
    let named = context_of(traceparent).span().span_context().clone();
    if named.is_valid() {
        span.add_link(named);
    }
}
