//! What notifications go to: a mail server and a receiver of webhooks. Both speak their protocol over TCP and keep what they
//! were given.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// What came in, oldest first.
struct Kept<T>(Arc<Mutex<Vec<T>>>);

impl<T> Kept<T> {
    fn all(&self) -> MutexGuard<'_, Vec<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves each connection in a thread of its own, until the process ends.
fn serve<T: Send + 'static>(
    port: u16,
    connection: impl Fn(TcpStream, &Kept<T>) -> std::io::Result<()> + Send + Sync + Copy + 'static,
) -> Kept<T> {
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    let kept = Arc::new(Mutex::new(Vec::new()));
    let theirs = kept.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let kept = Kept(theirs.clone());
            // A caller that hangs up is its own business.
            thread::spawn(move || connection(stream, &kept));
        }
    });
    Kept(kept)
}

/// A mail as it came in.
#[derive(Debug, Clone, Default)]
pub struct Mail {
    pub from: String,
    pub to: Vec<String>,
    /// Head and body.
    pub data: String,
}

impl Mail {
    pub fn header(&self, name: &str) -> Option<&str> {
        let head = self.data.split("\r\n\r\n").next()?;
        let start = format!("{}: ", name.to_lowercase());
        head.lines().find(|line| line.to_lowercase().starts_with(&start)).map(|line| &line[start.len()..])
    }
}

/// A mail server that takes every mail, but those to `nobody@...`.
pub struct MailServer(Kept<Mail>);

impl MailServer {
    pub fn start(port: u16) -> Self {
        Self(serve(port, take_mails))
    }

    pub fn mails(&self) -> Vec<Mail> {
        self.0.all().clone()
    }
}

fn take_mails(stream: TcpStream, kept: &Kept<Mail>) -> std::io::Result<()> {
    let mut out = stream.try_clone()?;
    let mut lines = BufReader::new(stream);
    let mut mail = Mail::default();
    out.write_all(b"220 test\r\n")?;
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let word = line.split([' ', ':', '\r']).next().unwrap_or_default().to_uppercase();
        let address = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        let answer = match word.as_str() {
            "EHLO" => "250-test\r\n250 AUTH PLAIN\r\n",
            "AUTH" => "235 welcome\r\n",
            "MAIL" => {
                mail = Mail { from: address, ..Mail::default() };
                "250 ok\r\n"
            }
            "RCPT" if address.starts_with("nobody@") => "550 there is no such mailbox\r\n",
            "RCPT" => {
                mail.to.push(address);
                "250 ok\r\n"
            }
            "DATA" => {
                out.write_all(b"354 go on\r\n")?;
                mail.data = data(&mut lines)?;
                kept.all().push(mail.clone());
                "250 taken\r\n"
            }
            "QUIT" => return out.write_all(b"221 bye\r\n"),
            "RSET" | "NOOP" => "250 ok\r\n",
            _ => "500 what?\r\n",
        };
        out.write_all(answer.as_bytes())?;
    }
}

fn data(lines: &mut impl BufRead) -> std::io::Result<String> {
    let mut data = String::new();
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 || line == ".\r\n" {
            return Ok(data);
        }
        data += line.strip_prefix('.').unwrap_or(&line);
    }
}

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct Call {
    pub path: String,
    /// Names in small letters.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// Answers 204 to every request, but to those below `/STATUS/`: with that status, for the first so many with `/STATUS/N`.
pub struct Receiver(Kept<Call>);

impl Receiver {
    pub fn start(port: u16) -> Self {
        Self(serve(port, take_calls))
    }

    pub fn calls(&self) -> Vec<Call> {
        self.0.all().clone()
    }
}

fn take_calls(stream: TcpStream, kept: &Kept<Call>) -> std::io::Result<()> {
    let mut out = stream.try_clone()?;
    let mut lines = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if lines.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            lines.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        lines.read_exact(&mut body)?;
        let call = Call { path, headers, body: String::from_utf8_lossy(&body).into_owned() };
        let mut calls = kept.all();
        let before = calls.iter().filter(|one| one.path == call.path).count();
        let status = status(&call.path, before);
        calls.push(call);
        drop(calls);
        write!(out, "HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n")?;
    }
}

fn status(path: &str, before: usize) -> u16 {
    let mut parts = path.split('/').skip(1);
    let status = parts.next().and_then(|status| status.parse().ok());
    let times = parts.next().and_then(|times| times.parse().ok()).unwrap_or(usize::MAX);
    status.filter(|_| before < times).unwrap_or(204)
}
