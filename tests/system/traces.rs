//! Traces, as a collector receives them.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::support::{Rig, small, wait_until};

/// A collector: takes traces as JSON over HTTP.
pub struct Collector {
    pub address: String,
    spans: Arc<Mutex<Vec<Value>>>,
}

impl Collector {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let spans = Arc::new(Mutex::new(Vec::new()));
        let received = spans.clone();
        // Ends with the process; it holds nothing but its port.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let received = received.clone();
                std::thread::spawn(move || serve(stream.unwrap(), &received));
            }
        });
        Self { address, spans }
    }

    pub fn spans(&self) -> Vec<Value> {
        self.spans.lock().unwrap().clone()
    }
}

/// Requests of one connection, until it ends.
fn serve(mut stream: TcpStream, received: &Mutex<Vec<Value>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let (mut first, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if first.is_empty() {
                first = line;
            }
        }
        assert!(first.starts_with("POST /v1/traces "), "{first}");
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let lists = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
        for resource in lists(&body, "resourceSpans") {
            for scope in lists(&resource, "scopeSpans") {
                received.lock().unwrap().extend(lists(&scope, "spans"));
            }
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}").unwrap();
    }
}

#[test]
fn one_trace_goes_from_the_command_through_its_jobs_to_both_agents() {
    let collector = Collector::start();
    let mut rig = Rig::without_instances();
    rig.environment = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", collector.address)),
        ("OTEL_BSP_SCHEDULE_DELAY", "100".into()),
    ];
    instances::make(&rig.source(), &small()).unwrap();
    rig.start_agent("source");
    rig.add_empty("target");
    rig.start_worker();
    let push = rig.push().expect_code(0).json();

    let named = |name: &str| {
        let spans = collector.spans();
        spans.into_iter().filter(|span| span["name"] == name).collect::<Vec<_>>()
    };
    wait_until("the last spans have arrived", || !named("close").is_empty() && !named("grant/close").is_empty());
    let command = named("push").pop().expect("the command is the beginning");
    assert!(command["parentSpanId"].as_str().unwrap_or_default().is_empty(), "{command}");
    let has = |span: &Value, key: &str, value: &str| {
        let mut attributes = span["attributes"].as_array().unwrap().iter();
        attributes.any(|attribute| attribute["key"] == key && attribute["value"]["stringValue"] == value)
    };
    let id = |span: &Value| span["spanId"].as_str().unwrap().to_owned();
    let collections: BTreeSet<String> = named("collection").iter().map(id).collect();
    let mut jobs = BTreeSet::new();
    for kind in ["open", "collection", "batch", "verify", "close"] {
        let of_kind = named(kind);
        assert!(!of_kind.is_empty(), "no job of kind {kind} was traced");
        for job in of_kind {
            assert_eq!(job["traceId"], command["traceId"], "{job}");
            let made_by = job["parentSpanId"].as_str().unwrap().to_owned();
            let is_part = if kind == "batch" { collections.contains(&made_by) } else { command["spanId"] == made_by };
            assert!(is_part, "batches are parts of the job that split itself into them: {job}");
            assert_eq!(job["links"][0]["spanId"], command["spanId"], "{job}");
            assert!(has(&job, "run.id", push["run"].as_str().unwrap()), "{job}");
            jobs.insert(id(&job));
        }
    }
    // Reads at the source and writes at the target are parts of jobs.
    for request in ["list", "documents", "diff", "write", "grant/open", "grant/close"] {
        let requests = named(request);
        for span in &requests {
            assert_eq!(span["traceId"], command["traceId"], "{span}");
            assert!(jobs.contains(span["parentSpanId"].as_str().unwrap()), "{span}");
        }
        assert!(!requests.is_empty() || request == "documents", "no request {request} was traced");
    }
}

#[test]
fn a_collector_that_is_away_harms_nothing() {
    let mut rig = Rig::without_instances();
    rig.environment = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1".into())];
    instances::make(&rig.source(), &small()).unwrap();
    rig.start_agent("source");
    rig.add_empty("target");
    rig.start_worker();
    rig.push().expect_code(0);
    rig.assert_equal();
}
