//! A proxy before an agent that does to each request what the test decides: pass, hold, refuse, garble, break off.
//!
//! One request per connection to the agent, so that the end of an answer is the end of its connection.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use protocol::api::{AgentError, ErrorCode};
use protocol::client::{AGENT_HEADER, AGENT_HEADER_VALUE, MEDIA_TYPE};
use protocol::sign::{ANSWER_HEADER, SyncKey, read_request_token, sign_answer};

use super::gate::Gate;
use super::rig::KEY;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// The last part of its path: `write`, `list`, `grant/open`.
    pub call: String,
    pub body: Vec<u8>,
    /// How many of the same call came before it.
    pub before: usize,
    pub at: Instant,
}

impl Request {
    /// Of a write: whether it brings this document.
    pub fn writes(&self, id: &str) -> bool {
        // The field "i" of a document, in MessagePack: a string of one byte, then one of less than 32.
        let length = 0xa0 | u8::try_from(id.len()).unwrap();
        let identity = [&[0xa1, b'i', length], id.as_bytes()].concat();
        self.has(&identity)
    }

    /// Of a write or another request about a collection: whether it is this one.
    pub fn is_about(&self, collection: &str) -> bool {
        self.has(collection.as_bytes())
    }

    fn has(&self, part: &[u8]) -> bool {
        self.body.windows(part.len()).any(|window| window == part)
    }
}

/// What becomes of a request.
#[derive(Clone)]
pub enum Act {
    Pass,
    /// Passes after a while.
    After(Duration),
    /// Passes once the gate is open.
    Hold(Arc<Gate>),
    /// Is answered by the proxy itself: status line, further header lines, body.
    Answer(&'static str, &'static str, &'static str),
    /// Is answered with this as if by the agent, but for the signature.
    Forge(&'static [u8]),
    /// Is refused, under signature, as by an agent of an older version that does not know such requests.
    Unknown,
    /// Gets the signed answer that the agent gave to the request of the same kind before it.
    Replay,
    /// The connection is closed before anything is passed on.
    Break,
    /// The agent gets it, but only so many bytes of the answer come back.
    BreakAnswer(usize),
    /// The agent gets half of it.
    BreakRequest,
    /// The agent gets it with one bit changed near the end of the body.
    GarbleRequest,
    /// The answer comes with one bit changed near its end.
    GarbleAnswer,
}

type Rule = Box<dyn Fn(&Request) -> Act + Send + Sync>;

pub struct Proxy {
    shared: Arc<Shared>,
    address: String,
}

struct Shared {
    upstream: String,
    rule: Mutex<Arc<Rule>>,
    seen: Mutex<Vec<Request>>,
    /// By kind of request.
    last_answers: Mutex<HashMap<String, Vec<u8>>>,
    ended: AtomicBool,
}

impl Proxy {
    pub fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let pass: Rule = Box::new(|_| Act::Pass);
        let shared = Arc::new(Shared {
            upstream: upstream.into(),
            rule: Mutex::new(Arc::new(pass)),
            seen: Mutex::default(),
            last_answers: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let serving = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.ended.load(Ordering::Acquire) {
                    return;
                }
                let (Ok(stream), shared) = (stream, serving.clone()) else { continue };
                // A connection that breaks is a caller that went away.
                std::thread::spawn(move || drop(shared.serve(stream)));
            }
        });
        Self { shared, address }
    }

    pub fn address(&self) -> String {
        self.address.clone()
    }

    pub fn set(&self, rule: impl Fn(&Request) -> Act + Send + Sync + 'static) {
        *self.shared.rule.lock().unwrap() = Arc::new(Box::new(rule));
    }

    /// From now on the requests of this kind stand at the gate, but for the first `pass`.
    pub fn hold(&self, call: &'static str, pass: usize) -> Arc<Gate> {
        let gate = Gate::new();
        let held = gate.clone();
        let before = self.count(call);
        self.set(move |request| {
            if request.call == call && request.before >= before + pass { Act::Hold(held.clone()) } else { Act::Pass }
        });
        gate
    }

    /// From now on writes of posts stand at the gate, but for the first `pass`.
    pub fn hold_posts(&self, pass: usize) -> Arc<Gate> {
        let (gate, passed) = (Gate::new(), AtomicUsize::new(0));
        let held = gate.clone();
        self.set(move |request| {
            let is_posts = request.call == "write" && request.is_about("content/collections/posts");
            if is_posts && passed.fetch_add(1, Ordering::Relaxed) >= pass { Act::Hold(held.clone()) } else { Act::Pass }
        });
        gate
    }

    pub fn pass_all(&self) {
        self.set(|_| Act::Pass);
    }

    /// What came, in order.
    pub fn seen(&self, call: &str) -> Vec<Request> {
        self.shared.seen.lock().unwrap().iter().filter(|request| request.call == call).cloned().collect()
    }

    /// How much came, of all kinds.
    pub fn total(&self) -> usize {
        self.shared.seen.lock().unwrap().len()
    }

    pub fn count(&self, call: &str) -> usize {
        self.shared.seen.lock().unwrap().iter().filter(|request| request.call == call).count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        // Wakes the listener, so that it sees the end.
        let _woken = TcpStream::connect(&self.address);
    }
}

impl Shared {
    fn serve(&self, mut caller: TcpStream) -> std::io::Result<()> {
        let Some((head, body)) = read_request(&mut caller)? else { return Ok(()) };
        let request = self.note(&head, &body);
        let rule = self.rule.lock().unwrap().clone();
        match rule(&request) {
            Act::Pass => {
                let answer = self.ask(&head, &body)?;
                self.last_answers.lock().unwrap().insert(request.call, answer.clone());
                caller.write_all(&answer)
            }
            Act::After(time) => {
                std::thread::sleep(time);
                self.pass(&head, &body, caller)
            }
            Act::Hold(gate) => {
                gate.pass();
                let answer = self.ask(&head, &body);
                gate.answered(answer.as_deref().map_or(0, status_of));
                caller.write_all(&answer?)
            }
            Act::Answer(status, headers, text) => {
                let headers = if headers.is_empty() { String::new() } else { format!("{headers}\r\n") };
                let length = text.len();
                write!(
                    caller,
                    "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{text}"
                )
            }
            Act::Forge(body) => {
                let length = body.len();
                write!(
                    caller,
                    "HTTP/1.1 200 OK\r\nContent-Type: application/msgpack\r\nx-cockpit-sync: agent\r\n\
                     Content-Length: {length}\r\nConnection: close\r\n\r\n"
                )?;
                caller.write_all(body)
            }
            Act::Unknown => caller.write_all(&unknown(&head)),
            Act::Replay => {
                let before = self.last_answers.lock().unwrap().get(&request.call).cloned();
                caller.write_all(&before.expect("a request of this kind was answered before"))
            }
            Act::Break => Ok(()),
            Act::BreakAnswer(bytes) => {
                let answer = self.ask(&head, &body)?;
                caller.write_all(&answer[..answer.len().min(bytes)])
            }
            Act::BreakRequest => {
                let mut agent = TcpStream::connect(&self.upstream)?;
                agent.write_all(&closing(&head))?;
                agent.write_all(&body[..body.len() / 2])?;
                agent.shutdown(Shutdown::Write)
            }
            Act::GarbleRequest => self.pass(&head, &garbled(body), caller),
            Act::GarbleAnswer => {
                let answer = self.ask(&head, &body)?;
                caller.write_all(&garbled(answer))
            }
        }
    }

    fn note(&self, head: &[u8], body: &[u8]) -> Request {
        let head = String::from_utf8_lossy(head);
        let path = head.split_whitespace().nth(1).unwrap_or_default();
        let call = path.rsplit_once("/api/sync/").map_or(path, |(_, call)| call).to_owned();
        let mut seen = self.seen.lock().unwrap();
        let before = seen.iter().filter(|request| request.call == call).count();
        let request = Request { call, body: body.to_vec(), before, at: Instant::now() };
        seen.push(request.clone());
        request
    }

    fn pass(&self, head: &[u8], body: &[u8], mut caller: TcpStream) -> std::io::Result<()> {
        let answer = self.ask(head, body)?;
        caller.write_all(&answer)
    }

    /// The whole answer of the agent.
    fn ask(&self, head: &[u8], body: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut agent = TcpStream::connect(&self.upstream)?;
        agent.write_all(&closing(head))?;
        agent.write_all(body)?;
        let mut answer = Vec::new();
        agent.read_to_end(&mut answer)?;
        Ok(answer)
    }
}

/// What an agent answers that does not know the path (404, `bad_request`).
fn unknown(head: &[u8]) -> Vec<u8> {
    let head = String::from_utf8_lossy(head);
    let token = head.lines().find_map(|line| line.split_once("Bearer ")).expect("the request is signed").1;
    let key = SyncKey::new(KEY).unwrap();
    let (_, claims) = read_request_token([&key], token.trim()).expect("it is signed with the key of tests");
    let error = AgentError::new(ErrorCode::BadRequest, "there is nothing here");
    let body = rmp_serde::to_vec_named(&error).unwrap();
    let signature = sign_answer(&key, &claims.jti, 404, &body);
    let head = format!(
        "HTTP/1.1 404 Not Found\r\nContent-Type: {MEDIA_TYPE}\r\n{AGENT_HEADER}: {AGENT_HEADER_VALUE}\r\n{ANSWER_HEADER}: {signature}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

fn status_of(answer: &[u8]) -> u16 {
    let start = String::from_utf8_lossy(&answer[..answer.len().min(64)]).into_owned();
    start.split_whitespace().nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// Head (with the empty line at its end) and body; none when the caller closed.
fn read_request(caller: &mut TcpStream) -> std::io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let mut bytes = Vec::new();
    let mut piece = [0; 64 * 1024];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            return Ok(Some((bytes.clone(), read_body(caller, &bytes, body)?)));
        }
        let count = caller.read(&mut piece)?;
        if count == 0 {
            return Ok(None);
        }
        bytes.extend_from_slice(&piece[..count]);
    }
}

fn read_body(caller: &mut TcpStream, head: &[u8], mut body: Vec<u8>) -> std::io::Result<Vec<u8>> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
    let read = body.len();
    body.resize(length, 0);
    caller.read_exact(&mut body[read..])?;
    Ok(body)
}

/// The head with a wish to close the connection after the answer.
fn closing(head: &[u8]) -> Vec<u8> {
    let mut head = head[..head.len() - 2].to_vec();
    head.extend_from_slice(b"Connection: close\r\n\r\n");
    head
}

fn garbled(mut bytes: Vec<u8>) -> Vec<u8> {
    let at = bytes.len().saturating_sub(20);
    bytes[at] ^= 1;
    bytes
}
