//! The dashboard under load: 200 events a second to 50 open pages, each of which also asks for itself once a second, and
//! how soon the overview begins to come, with 10,000 runs in the history.

mod figures;
#[expect(dead_code, reason = "this bench empties nothing")]
mod server;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use figures::{Figure, publish};
use queue::by_hand::WorkerByHand;
use queue::{NewJob, NewRun, Outcome, Queue, Settings, Verdict};
use serde_json::{Map, Value};
use server::{Keeps, Server};
use tempfile::TempDir;

const PAGES: usize = 50;
const EVENTS_PER_SECOND: u64 = 200;
const RUNS: usize = 10_000;
/// Unless an argument says otherwise.
const SECONDS: u64 = 60;
/// How often the first byte is measured.
const LOOKS: usize = 200;
/// Stands on the overview once the queue was looked at.
const LOOKED: &str = "push from source";
/// What is wanted of the first byte, and of an event on its way to a page.
const FIRST_BYTE_MS: f64 = 20.0;
const LAG_MS: f64 = 1000.0;
/// What memory may grow by.
const GROWTH_MB: f64 = 8.0;

#[tokio::main]
async fn main() -> Result<()> {
    let seconds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(SECONDS);
    let redis = Server::start(Keeps::EverySecond)?;
    let (queue, _) = Queue::connect(Settings { prefix: "{cs}".into(), ..Settings::new(redis.url()) }).await?;
    fill_history(&queue).await?;
    let serving = Serving::start(&redis.url())?;
    let address: &'static str = serving.address.clone().leak();
    while !look(address)?.1.contains(LOOKED) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut first_bytes = Vec::new();
    for _ in 0..LOOKS {
        first_bytes.push(first_byte(address)?);
    }

    let sent: Arc<Vec<OnceLock<Instant>>> =
        Arc::new((0..seconds * EVENTS_PER_SECOND).map(|_| OnceLock::new()).collect());
    let before = queue.last_seq().await?;
    let pages: Vec<JoinHandle<Result<Duration>>> = (0..PAGES)
        .map(|_| {
            let (stream, sent) = (open(address, &format!("/api/events?since={before}"))?, sent.clone());
            Ok(std::thread::spawn(move || listen(stream, before, &sent)))
        })
        .collect::<Result<_>>()?;
    let over = Arc::new(AtomicBool::new(false));
    let looking = {
        let over = over.clone();
        std::thread::spawn(move || look_all_the_time(address, &over))
    };
    let (mut settled, begun) = (None, Instant::now());
    for (number, sent) in sent.iter().enumerate() {
        let due = begun + Duration::from_secs(1) * u32::try_from(number)? / u32::try_from(EVENTS_PER_SECOND)?;
        tokio::time::sleep_until(due.into()).await;
        if settled.is_none() && begun.elapsed() > Duration::from_secs(seconds) / 4 {
            settled = Some(serving.megabytes()?);
        }
        sent.get_or_init(Instant::now);
        queue.announce("bench.event", &filler(number)).await?;
    }
    let mut lag = Duration::ZERO;
    for page in pages {
        lag = lag.max(page.join().map_err(|_| anyhow::anyhow!("a page panicked"))??);
    }
    let took = begun.elapsed().as_secs_f64();
    over.store(true, Ordering::Relaxed);
    let under_load = looking.join().map_err(|_| anyhow::anyhow!("looking panicked"))??;
    let grown = serving.megabytes()? - settled.context("it took no time")?;

    let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
    let first = |name: &str, times: Vec<Duration>, share: f64| {
        Figure::new(
            format!("first byte of the overview, {name}"),
            ms(at(times, share)),
            "ms",
            FIRST_BYTE_MS,
            Some(0.0..=1.0),
        )
    };
    let wanted = EVENTS_PER_SECOND as f64;
    publish(
        "serve",
        "what is wanted",
        &[
            first("the middle one", first_bytes.clone(), 0.5),
            first("99 of 100", first_bytes, 0.99),
            Figure::new(
                "the same under load, the middle one",
                ms(at(under_load.clone(), 0.5)),
                "ms",
                FIRST_BYTE_MS,
                None,
            ),
            Figure::new("the same under load, 99 of 100", ms(at(under_load, 0.99)), "ms", FIRST_BYTE_MS, None),
            Figure::new(
                format!("events a second to each of {PAGES} pages, for {seconds} s"),
                sent.len() as f64 / took,
                "/s",
                wanted,
                Some(0.97..=f64::INFINITY),
            ),
            Figure::new("the longest an event took to a page", ms(lag), "ms", LAG_MS, Some(0.0..=1.0)),
            Figure::new("memory grown by, after the first quarter", grown.max(0.0), "MB", GROWTH_MB, Some(0.0..=1.0)),
        ],
    )
}

/// What most runs of a day look like: a spec of a KiB, counters of some models.
async fn fill_history(queue: &Queue) -> Result<()> {
    let mut worker = WorkerByHand::new(queue, "bench", &["source", "target"]).await?;
    for _ in 0..RUNS {
        let mut run = NewRun::new("source", "target").stage("content", vec![NewJob::new("batch", "batch", "x")]);
        run.spec = vec![b'x'; 1024];
        run.labels.insert("direction".into(), "push".into());
        queue.submit(&run).await?;
        let mut claims = worker.claim("target", 1).await?;
        while claims.is_empty() {
            // On a busy machine it was held for dead.
            worker.tick().await?;
            claims = worker.claim("target", 1).await?;
        }
        let counted = |claim| {
            let models = ["posts", "authors", "pages"].into_iter();
            let outcome =
                models.fold(Outcome::default(), |outcome, model| outcome.count(format!("content/{model}/created"), 7));
            (claim, Verdict::Done(outcome))
        };
        worker.settle(claims.iter().map(counted).collect()).await?;
    }
    // A look at what goes on costs memory by run.
    let live = queue.live_runs().await?.len();
    ensure!(live == 0, "{live} runs of the history are not over");
    Ok(())
}

/// As large as an event about a batch.
fn filler(number: usize) -> Map<String, Value> {
    let ids: Vec<Value> = (0..20).map(|id| format!("{number:012}{id:012}").into()).collect();
    Map::from_iter([("items".to_owned(), Value::from(ids))])
}

/// Ends with its owner.
struct Serving {
    child: Child,
    address: String,
    _folder: TempDir,
}

impl Serving {
    fn start(redis: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("cockpit-sync.toml");
        let instance = |name: &str| {
            format!(
                "[instance.{name}]\nurl = \"http://127.0.0.1:9\"\nsync_key = \"a key of twenty characters\"\npush = true\n"
            )
        };
        let text = format!("redis = {redis:?}\nlocal = \"source\"\n{}{}", instance("source"), instance("target"));
        std::fs::write(&file, text)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_cockpit-sync"));
        command.arg("--json").arg("--config").arg(&file).args(["serve", "--listen", "127.0.0.1:0"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("starting serve")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("its output is piped")?).read_line(&mut line)?;
        let said: Value = serde_json::from_str(&line).with_context(|| format!("serve said {line:?}"))?;
        let address = said["listening"].as_str().context("it says where it listens")?.to_owned();
        Ok(Self { child, address, _folder: folder })
    }

    fn megabytes(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse::<f64>()? / 1024.0)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("serve: {error}");
        }
    }
}

fn open(address: &str, path: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    Ok(stream)
}

/// Of an overview that knows the runs there are.
fn first_byte(address: &str) -> Result<Duration> {
    let (took, page) = look(address)?;
    ensure!(page.contains(LOOKED), "{page}");
    Ok(took)
}

/// How long the first byte takes, from the connection on. The rest is read, too, so that nothing is cut off.
fn look(address: &str) -> Result<(Duration, String)> {
    let begun = Instant::now();
    let mut stream = open(address, "/")?;
    let mut answer = [0; 1];
    stream.read_exact(&mut answer)?;
    let took = begun.elapsed();
    let mut rest = String::new();
    stream.read_to_string(&mut rest)?;
    ensure!(rest.starts_with("TTP/1.1 200"), "{rest}");
    Ok((took, rest))
}

/// As all pages together do it.
fn look_all_the_time(address: &str, over: &AtomicBool) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        times.push(first_byte(address)?);
        std::thread::sleep((Duration::from_secs(1) / PAGES as u32).saturating_sub(begun.elapsed()));
    }
    Ok(times)
}

/// Reads until the last event has come; how long the slowest took. Each must come, and in order.
fn listen(stream: TcpStream, before: u64, sent: &[OnceLock<Instant>]) -> Result<Duration> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut slowest = Duration::ZERO;
    let mut next = before + 1;
    for line in BufReader::new(stream).lines() {
        let line = line?;
        let Some(seq) = line.strip_prefix("id: ") else { continue };
        let seq: u64 = seq.parse()?;
        ensure!(seq == next, "event {next} is missing: {seq} came");
        let number = usize::try_from(seq - before - 1)?;
        slowest = slowest.max(sent[number].get().context("it came before it was sent")?.elapsed());
        next += 1;
        if number + 1 == sent.len() {
            return Ok(slowest);
        }
    }
    bail!("the stream ended before event {next}")
}

/// The time that this share of them took at most.
fn at(mut times: Vec<Duration>, share: f64) -> Duration {
    times.sort();
    times[((times.len() - 1) as f64 * share).round() as usize]
}
