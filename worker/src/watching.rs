//! `/metrics`, `/healthz` and `/readyz` of a worker. Names and meanings: docs/metrics.md.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics::{counter, gauge};
use protocol::drift::Drift;
use protocol::viewing::{METRICS_TYPE, Page, Viewers};
use queue::{Depth, Queue, RunState, RunView};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// More wait in the system's queue.
const CONNECTIONS: usize = 32;
/// For the head of a request, and the time before it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// A Redis that takes longer is as good as away.
const PATIENCE: Duration = Duration::from_secs(3);

/// All that is recorded in this process, as Prometheus reads it.
pub type Render = Arc<dyn Fn() -> String + Send + Sync>;

/// Where pages are served, to whom, and what they show.
pub struct Watching {
    pub listener: TcpListener,
    pub viewers: Viewers,
    pub render: Render,
}

/// Pages that are served. They end when this is dropped.
pub struct Watched {
    worker: Arc<OnceLock<Worker>>,
    _serving: JoinSet<()>,
}

/// Whom the pages are about.
pub(crate) struct Worker {
    pub(crate) queue: Queue,
    pub(crate) consumer: String,
    pub(crate) names: Vec<String>,
    pub(crate) shutdown: CancellationToken,
}

struct Pages {
    viewers: Viewers,
    render: Render,
    /// None while it waits for Redis.
    worker: Arc<OnceLock<Worker>>,
}

impl Watching {
    /// Serves them from now on.
    pub fn start(self) -> Watched {
        let Self { listener, viewers, render } = self;
        let worker = Arc::new(OnceLock::new());
        let pages = Arc::new(Pages { viewers, render, worker: worker.clone() });
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, pages));
        Watched { worker, _serving: serving }
    }
}

impl Watched {
    /// The worker begins.
    pub(crate) fn begins(&self, worker: Worker) {
        let _the_first_stays = self.worker.set(worker);
    }
}

async fn serve(listener: TcpListener, pages: Arc<Pages>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let connection = serve_one(stream, peer.ip(), pages.clone());
                open.spawn(async move {
                    connection.await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the metrics cannot be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve_one(stream: TcpStream, peer: IpAddr, pages: Arc<Pages>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let pages = pages.clone();
        async move { Ok::<_, Infallible>(pages.answer(peer, &request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%peer, %error, "a connection to the metrics ended early");
    }
}

impl Pages {
    async fn answer(&self, peer: IpAddr, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        if !self.viewers.may_view(peer, header) {
            return text(403, "only this machine, or whoever has the token, may look\n".into());
        }
        match Page::at(request.uri().path()) {
            None => text(404, "there are /metrics, /healthz and /readyz\n".into()),
            Some(Page::Health) => text(200, "alive\n".into()),
            Some(Page::Ready) => match self.ready().await {
                Ok(()) => text(200, "ready\n".into()),
                Err(why) => text(503, format!("not ready: {why}\n")),
            },
            Some(Page::Metrics) => {
                self.look().await;
                let mut answer = text(200, (self.render)());
                answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(METRICS_TYPE));
                answer
            }
        }
    }

    /// Jobs get here: Redis answers, and knows this worker as alive. A worker whose parts have ended has ended itself.
    async fn ready(&self) -> Result<(), String> {
        let worker = self.worker.get().ok_or("it waits for Redis")?;
        if worker.shutdown.is_cancelled() {
            return Err("it is stopping".into());
        }
        let workers = tokio::time::timeout(PATIENCE, worker.queue.workers()).await;
        let workers = workers.map_err(|_| "Redis does not answer".to_owned())?.map_err(|error| error.to_string())?;
        if workers.iter().any(|alive| alive.consumer == worker.consumer) {
            return Ok(());
        }
        Err("Redis does not count it as alive: it has not announced itself yet, or its announcement has lapsed".into())
    }

    /// What belongs to no worker alone is asked of Redis now.
    async fn look(&self) {
        let Some(Worker { queue, names, .. }) = self.worker.get() else {
            gauge!("cockpit_sync_redis_up").set(0.0);
            return;
        };
        let seen = tokio::time::timeout(PATIENCE, async {
            let runs = queue.live_runs().await?;
            let granted = queue.leases_granted().await?;
            for name in names {
                let found = queue.kept(&Drift::name(name)).await?.and_then(|kept| Drift::decode(&kept));
                let differ = found.map_or(0, |found| found.differ);
                gauge!("cockpit_sync_drift_items", "target" => name.clone()).set(differ as f64);
            }
            Ok::<_, queue::Error>((runs, granted, queue.workers().await?.len()))
        });
        let Ok(Ok((runs, granted, workers))) = seen.await else {
            gauge!("cockpit_sync_redis_up").set(0.0);
            return;
        };
        gauge!("cockpit_sync_redis_up").set(1.0);
        gauge!("cockpit_sync_workers").set(workers as f64);
        let known = names.iter().chain(granted.keys()).chain(runs.iter().map(|run| &run.target));
        for target in known.collect::<BTreeSet<_>>() {
            let of_target: Vec<&RunView> = runs.iter().filter(|run| run.target == *target).collect();
            show_target(target, &of_target, &granted);
        }
    }
}

fn show_target(target: &str, runs: &[&RunView], granted: &BTreeMap<String, u64>) {
    let target = target.to_owned();
    let depth = Depth::sum(runs.iter().map(|run| run.depth));
    for (place, jobs) in depth.places() {
        gauge!("cockpit_sync_jobs", "target" => target.clone(), "place" => place).set(jobs as f64);
    }
    let age = runs.iter().map(|run| run.seen.saturating_sub(run.created)).max().unwrap_or_default();
    gauge!("cockpit_sync_oldest_run_age_seconds", "target" => target.clone()).set(age as f64 / 1000.0);
    let waiting = runs.iter().filter(|run| run.state == RunState::Waiting).count();
    gauge!("cockpit_sync_runs_waiting", "target" => target.clone()).set(waiting as f64);
    let holder = runs.iter().find(|run| run.lease_id.is_some());
    gauge!("cockpit_sync_lease_held", "target" => target.clone()).set(if holder.is_some() { 1.0 } else { 0.0 });
    let window = holder.map_or(0, |run| run.window_now);
    gauge!("cockpit_sync_window_jobs", "target" => target.clone()).set(f64::from(window));
    let leases = granted.get(&target).copied().unwrap_or_default();
    counter!("cockpit_sync_lease_changes_total", "target" => target).absolute(leases);
}

fn text(status: u16, text: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = StatusCode::from_u16(status).expect("statuses are listed in this file");
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}
