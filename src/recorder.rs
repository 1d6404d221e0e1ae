//! Where what the libraries count ends up: one recorder per process, shown as Prometheus reads it.

use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use producer::Problem;
use tokio::task::JoinHandle;

/// From a tenth of a write to a job that hangs.
const SECONDS: &[f64] = &[0.0025, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0, 60.0, 120.0];
/// From a document to far more than a batch.
const BYTES: &[f64] = &[1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
/// What histograms collect is put into their buckets so often, also when nobody asks.
const UPKEEP: Duration = Duration::from_secs(5);

/// All that is recorded.
pub struct Recorder {
    render: Arc<dyn Fn() -> String + Send + Sync>,
    upkeep: JoinHandle<()>,
}

impl Recorder {
    /// Once per process.
    pub fn install() -> Result<Self, Problem> {
        let wrong = |error: &dyn std::error::Error| Problem::usage(format!("metrics: {error}"));
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)
            .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_bytes".into()), BYTES))
            .and_then(PrometheusBuilder::install_recorder)
            .map_err(|error| wrong(&error))?;
        gauge!("cockpit_sync_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        let upkeep = tokio::spawn({
            let handle = handle.clone();
            async move {
                loop {
                    tokio::time::sleep(UPKEEP).await;
                    handle.run_upkeep();
                }
            }
        });
        Ok(Self { render: Arc::new(move || handle.render()), upkeep })
    }

    pub fn render(&self) -> Arc<dyn Fn() -> String + Send + Sync> {
        self.render.clone()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.upkeep.abort();
    }
}
