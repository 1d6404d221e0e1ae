//! A process that serves, and requests to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;

use serde_json::Value;

use crate::support::{Process, Rig, wait_for};

pub struct Served {
    pub process: Process,
    pub address: String,
    /// Sent with every request, each with its line end.
    pub headers: String,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// The message of a refusal holds all of these.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        let message = self.json()["error"]["message"].as_str().unwrap_or_else(|| panic!("{self:#?}")).to_owned();
        for word in words {
            assert!(message.contains(word), "{word:?} is missing in {message:?}");
        }
        self
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let of = |line: &&str| line.split(':').next().is_some_and(|key| key.eq_ignore_ascii_case(name));
        self.head.lines().find(of).and_then(|line| line.split_once(':')).map(|(_, value)| value.trim())
    }
}

impl Served {
    /// Serves with the usual config.
    pub fn start(rig: &mut Rig) -> Self {
        let config = rig.config();
        Self::start_with(rig, &config)
    }

    pub fn start_with(rig: &mut Rig, config: &Path) -> Self {
        let process = rig.spawn_with(config, &["serve", "--listen", "127.0.0.1:0"]);
        let address = wait_for("it serves", || {
            let said: Value = serde_json::from_str(process.stdout().lines().next()?).ok()?;
            Some(said["listening"].as_str()?.to_owned())
        });
        Self { process, address, headers: String::new() }
    }

    /// The same server, for whoever has this token.
    pub fn token(&mut self, token: &str) -> &mut Self {
        self.headers = format!("Authorization: Bearer {token}\r\n");
        self
    }

    fn send(&self, method: &str, path: &str, headers: &str, body: Option<&Value>) -> BufReader<TcpStream> {
        let kind = if body.is_some() { "Content-Type: application/json\r\n" } else { "" };
        self.send_text(method, path, &format!("{headers}{kind}"), &body.map(Value::to_string).unwrap_or_default())
    }

    fn send_text(&self, method: &str, path: &str, headers: &str, body: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let host = if headers.to_lowercase().contains("host:") {
            String::new()
        } else {
            format!("Host: {}\r\n", self.address)
        };
        // HTTP/1.0: the answer ends with the connection, in no chunks.
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\n{host}{}{headers}Content-Length: {}\r\n\r\n{body}",
            self.headers,
            body.len()
        )
        .unwrap();
        BufReader::new(stream)
    }

    pub fn ask(&self, method: &str, path: &str, headers: &str, body: Option<&Value>) -> Answer {
        answer(self.send(method, path, headers, body))
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "", None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, "", Some(body))
    }

    /// As a form of a page sends it.
    pub fn post_form(&self, path: &str, fields: &str) -> Answer {
        let kind = "Content-Type: application/x-www-form-urlencoded\r\n";
        answer(self.send_text("POST", path, kind, fields))
    }

    /// A stream of events after this one.
    pub fn events(&self, query: &str, headers: &str) -> Events {
        let mut reader = self.send("GET", &format!("/api/events{query}"), headers, None);
        let (status, head) = head_of(&mut reader);
        assert_eq!(status, 200, "{head}");
        Events(reader)
    }

    /// Waits until a run is over; what is known of it then.
    #[track_caller]
    pub fn wait_for_end(&self, run: &str) -> Value {
        wait_for("the run is over", || {
            let run = self.get(&format!("/api/runs/{run}")).expect(200).json();
            let is_over = !run["finished"].is_null();
            is_over.then_some(run)
        })
    }
}

fn answer(mut reader: BufReader<TcpStream>) -> Answer {
    let (status, head) = head_of(&mut reader);
    let mut body = String::new();
    // Of a stream of events the head is the answer.
    if !head.contains("text/event-stream") {
        reader.read_to_string(&mut body).unwrap();
    }
    Answer { status, head, body }
}

fn head_of(reader: &mut impl BufRead) -> (u16, String) {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        let read = reader.read_line(&mut line).unwrap();
        if read == 0 || line == "\r\n" {
            break;
        }
        head += &line;
    }
    let status = head.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {head:?}")).parse().unwrap();
    (status, head)
}

/// Events as they come in.
pub struct Events(BufReader<TcpStream>);

impl Iterator for Events {
    type Item = Value;

    /// The next one; none when the stream has ended, or said three times that there is nothing: so no test hangs.
    fn next(&mut self) -> Option<Value> {
        let mut silences = 0;
        loop {
            let mut line = String::new();
            // Cut off is ended.
            if self.0.read_line(&mut line).unwrap_or(0) == 0 {
                return None;
            }
            silences += usize::from(line.starts_with(": here"));
            if silences == 3 {
                return None;
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return Some(serde_json::from_str(data).unwrap());
            }
        }
    }
}
